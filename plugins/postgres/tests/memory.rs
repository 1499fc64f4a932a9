//! Snapshots in memory.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::sync::Mutex;

use crate::tree::{Content, Digest, Entry, Node, Profile};
use crate::{Capture, ContentWriter, Cut, Previous, Source};

/// A snapshot: its entries, contents, attributes and warnings.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) entries: Mutex<BTreeMap<String, Entry>>,
    contents: Mutex<BTreeMap<Digest, Vec<u8>>>,
    attributes: Mutex<BTreeMap<String, &'static str>>,
    pub(super) warnings: Mutex<Vec<String>>,
    /// Contents that fail when they are read.
    pub(super) damaged: Option<String>,
    /// Bytes after which writing fails.
    pub(super) full_after_bytes: Option<usize>,
}

impl Memory {
    /// Returns what makes the identity.
    pub(super) fn identity(&self) -> BTreeMap<String, Digest> {
        let entries = self.entries.lock().unwrap();
        let digest = |entry: &Entry| match &entry.node {
            Node::File(content) => content.digest,
            other => panic!("{other:?} is no file"),
        };
        entries.iter().map(|(path, entry)| (path.clone(), digest(entry))).collect()
    }

    /// Returns a file's text.
    pub(super) fn text(&self, path: &str) -> String {
        let digest = self.identity()[path];
        String::from_utf8_lossy(&self.contents.lock().unwrap()[&digest]).into_owned()
    }

    /// Returns the paths at which two snapshots differ.
    pub(super) fn differences(&self, other: &Self) -> Vec<String> {
        let (a, b) = (self.identity(), other.identity());
        let mut paths: Vec<_> =
            a.keys().chain(b.keys()).filter(|p| a.get(*p) != b.get(*p)).cloned().collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

struct Writer<'a> {
    memory: &'a Memory,
    bytes: Vec<u8>,
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.memory.full_after_bytes.is_some_and(|n| self.bytes.len() + bytes.len() > n) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter for Writer<'_> {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        let digest = Digest::of(&self.bytes);
        let size_bytes = self.bytes.len() as u64;
        self.memory.contents.lock().unwrap().insert(digest, self.bytes);
        Ok(Content { size_bytes, digest })
    }
}

impl Capture for Memory {
    fn content(&self, _: Cut) -> io::Result<Box<dyn ContentWriter + '_>> {
        Ok(Box::new(Writer { memory: self, bytes: Vec::new() }))
    }

    fn entry(&self, entry: Entry) -> io::Result<()> {
        let path = String::from_utf8(entry.path.as_bytes().to_vec()).unwrap();
        assert!(self.entries.lock().unwrap().insert(path, entry).is_none(), "an entry came twice");
        Ok(())
    }

    fn attribute(&self, name: &str, value: &str) -> io::Result<()> {
        self.attributes.lock().unwrap().insert(name.to_owned(), value.to_owned().leak());
        Ok(())
    }

    fn warn(&self, warning: &str) {
        self.warnings.lock().unwrap().push(warning.to_owned());
    }

    fn previous(&self) -> io::Result<Option<Previous<'_>>> {
        Ok(None)
    }

    fn hint(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

struct Broken(io::Cursor<Vec<u8>>);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("the content is damaged")),
            n_bytes => Ok(n_bytes),
        }
    }
}

impl Source for Memory {
    fn profile(&self) -> Profile {
        Profile::Files1
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.lock().unwrap().get(name).copied()
    }

    fn entries(&self) -> io::Result<Box<dyn Iterator<Item = io::Result<Entry>> + '_>> {
        let entries: Vec<_> = self.entries.lock().unwrap().values().cloned().map(Ok).collect();
        Ok(Box::new(entries.into_iter()))
    }

    fn open(&self, content: &Content) -> io::Result<Box<dyn Read + Send + '_>> {
        let bytes = self.contents.lock().unwrap()[&content.digest].clone();
        if let Some(path) = &self.damaged
            && self.identity()[path] == content.digest
        {
            let half = bytes.len() / 2;
            return Ok(Box::new(Broken(io::Cursor::new(bytes[..half].to_vec()))));
        }
        Ok(Box::new(io::Cursor::new(bytes)))
    }
}
