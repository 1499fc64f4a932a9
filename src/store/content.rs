//! Writes one content: digests it, cuts it, and names its chunks.

use std::io::{self, Write};

use plugins::ContentWriter;
use plugins::tree::{Content, Digest};

use super::chunker::Chunker;
use super::error::Result;
use super::list::{ListBuilder, Pair};
use super::object::{Kind, ObjectKey};
use super::writer::Writer;

/// Takes the bytes of one content. Dropped unfinished, it leaves chunks that nothing names.
pub(crate) struct ContentSink<'a> {
    writer: &'a Writer<'a>,
    chunker: Chunker,
    /// What is written and not yet cut starts at `start`.
    buffer: Vec<u8>,
    start: usize,
    hasher: blake3::Hasher,
    size_bytes: u64,
    lists: ListBuilder,
}

impl<'a> ContentSink<'a> {
    pub(crate) fn new(writer: &'a Writer<'a>, chunker: Chunker) -> Self {
        Self {
            writer,
            chunker,
            buffer: Vec::new(),
            start: 0,
            hasher: blake3::Hasher::new(),
            size_bytes: 0,
            lists: ListBuilder::default(),
        }
    }

    fn cut_chunk(&mut self) -> Result<()> {
        let length = self.chunker.cut(&self.buffer[self.start..]);
        let bytes = &self.buffer[self.start..self.start + length];
        let id = Digest::of(bytes);
        self.writer.put_as(self.chunker.class(), ObjectKey { id, kind: Kind::Chunk }, bytes)?;
        let writer = self.writer;
        self.lists.push(Pair { id, size_bytes: length as u64 }, &mut |id, bytes| {
            writer.put(ObjectKey { id, kind: Kind::List }, bytes)
        })?;
        self.start += length;
        Ok(())
    }

    fn end(mut self) -> Result<Content> {
        let writer = self.writer;
        let is_one_chunk =
            self.lists.n_chunks() == 0 && self.chunker.cut(&self.buffer) == self.buffer.len();
        if is_one_chunk {
            // The chunk's id is the content's digest: nothing else needs to be stored, or hashed twice.
            let digest = Digest::of(&self.buffer);
            if !self.buffer.is_empty() {
                let key = ObjectKey { id: digest, kind: Kind::Chunk };
                writer.put_as(self.chunker.class(), key, &self.buffer)?;
            }
            return Ok(Content { size_bytes: self.size_bytes, digest });
        }
        if self.lists.n_chunks() == 0 {
            self.hasher.update(&self.buffer);
        }
        while self.start < self.buffer.len() {
            self.cut_chunk()?;
        }
        let digest = Digest(*self.hasher.finalize().as_bytes());
        let top = self
            .lists
            .finish(&mut |id, bytes| writer.put(ObjectKey { id, kind: Kind::List }, bytes))?;
        writer.put(ObjectKey { id: digest, kind: Kind::File }, &top.encode())?;
        Ok(Content { size_bytes: self.size_bytes, digest })
    }
}

impl Write for ContentSink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.check()?;
        let lookahead = self.chunker.lookahead_bytes();
        self.size_bytes += bytes.len() as u64;
        let was_uncut = self.lists.n_chunks() == 0;
        self.buffer.extend_from_slice(bytes);
        if !was_uncut {
            self.hasher.update(bytes);
        }
        if self.buffer.len() > lookahead {
            if was_uncut {
                // Until now this could have been a content of one chunk, whose digest is computed at its end.
                self.hasher.update(&self.buffer);
            }
            while self.buffer.len() - self.start > lookahead {
                self.cut_chunk()?;
            }
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter for ContentSink<'_> {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        Ok(self.end()?)
    }
}
