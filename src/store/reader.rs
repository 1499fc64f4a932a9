//! The way of objects from the disk, verified before anybody sees them.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use plugins::Interrupt;
use plugins::tree::{Content, Digest};

use super::Store;
use super::block::{DecodedBlock, Decoder};
use super::error::{Error, Result};
use super::list::{List, Pair};
use super::object::{Catalog, Kind, Location, ObjectKey};
use super::pack::read_block;

/// Decoded blocks that are kept: about 1 MiB each, so that a reader stays far below the promised memory.
const CACHED_BLOCKS: usize = 32;
/// Every chunk but a content's last has so many bytes: a hostile list of tiny ones must not take all time.
const CHUNK_BYTES_MIN: u64 = 512;
/// Packs that are kept open.
const OPEN_PACKS: usize = 64;

/// Reads objects and contents. Shared by threads.
pub struct Reader<'a> {
    store: &'a Store,
    catalog: &'a Mutex<dyn Catalog>,
    interrupt: &'a Interrupt,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    /// Counts uses; the block with the lowest one goes first.
    clock: u64,
    blocks: HashMap<(Digest, u64), (Arc<DecodedBlock>, u64)>,
    packs: HashMap<Digest, Arc<File>>,
    decoders: Vec<Decoder>,
}

/// The bytes of an object, without a copy of their own.
pub struct ObjectBytes {
    block: Arc<DecodedBlock>,
    range: Range<usize>,
}

impl AsRef<[u8]> for ObjectBytes {
    fn as_ref(&self) -> &[u8] {
        &self.block.bytes[self.range.clone()]
    }
}

impl<'a> Reader<'a> {
    /// Makes a reader with an empty cache.
    pub fn new(
        store: &'a Store,
        catalog: &'a Mutex<dyn Catalog>,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self { store, catalog, interrupt, cache: Mutex::new(Cache::default()) }
    }

    /// Opens a content. Fails at once where the store lacks its chunk or its list; reading fails at what is damaged.
    pub fn content(&self, content: &Content) -> Result<ContentReader<'_>> {
        let mut stack = Vec::new();
        let mut hasher = None;
        if content.size_bytes == 0 {
            hasher = Some(blake3::Hasher::new());
        } else {
            let chunk = ObjectKey { id: content.digest, kind: Kind::Chunk };
            let whole = self.locate(&chunk)?;
            if whole.is_some_and(|location| u64::from(location.size_bytes) == content.size_bytes) {
                let pair = Pair { id: content.digest, size_bytes: content.size_bytes };
                stack.push(List { level: 0, pairs: vec![pair] });
            } else {
                stack.push(self.list(content.digest, Kind::File, None)?);
                // A content of one chunk has its chunk's id, which is checked anyway.
                hasher = Some(blake3::Hasher::new());
            }
        }
        Ok(self.content_reader(*content, stack, hasher))
    }

    /// Reads what a file object at some place lists, and checks that it has the digest that names it.
    pub fn prove(&self, key: &ObjectKey, location: &Location) -> Result<()> {
        let bytes = self.object_at(key, location)?;
        let damaged = |reason| Error::damaged(format!("{} {}", key.kind.name(), key.id), reason);
        let list = List::decode(bytes.as_ref()).map_err(damaged)?;
        let sizes = list.pairs.iter().try_fold(0u64, |sum, pair| sum.checked_add(pair.size_bytes));
        let size_bytes = sizes.ok_or_else(|| damaged("its sizes are absurd"))?;
        let content = Content { size_bytes, digest: key.id };
        let mut reader = self.content_reader(content, vec![list], Some(blake3::Hasher::new()));
        while reader.next_chunk()? {}
        Ok(())
    }

    fn content_reader(
        &self,
        content: Content,
        mut stack: Vec<List>,
        hasher: Option<blake3::Hasher>,
    ) -> ContentReader<'_> {
        for list in &mut stack {
            list.pairs.reverse();
        }
        let reader = self;
        ContentReader { reader, content, stack, chunk: None, at: 0, read_bytes: 0, hasher }
    }

    /// Calls `visit` with each object that a content is made of, without reading the chunks.
    pub fn objects(&self, content: &Content, visit: &mut impl FnMut(ObjectKey)) -> Result<()> {
        if content.size_bytes == 0 {
            return Ok(());
        }
        let chunk = ObjectKey { id: content.digest, kind: Kind::Chunk };
        let whole = self.locate(&chunk)?;
        if whole.is_some_and(|location| u64::from(location.size_bytes) == content.size_bytes) {
            visit(chunk);
            return Ok(());
        }
        visit(ObjectKey { id: content.digest, kind: Kind::File });
        let mut seen = HashSet::new();
        // One list of each level at a time: a hostile list of lists must not take all memory, nor all time.
        let mut stack = vec![self.list(content.digest, Kind::File, None)?];
        while let Some(list) = stack.last_mut() {
            let level = list.level;
            let Some(pair) = list.pairs.pop() else {
                stack.pop();
                continue;
            };
            let kind = if level == 0 { Kind::Chunk } else { Kind::List };
            visit(ObjectKey { id: pair.id, kind });
            if kind == Kind::List && seen.insert(pair.id) {
                self.interrupt.check().map_err(|_| plugins::Interrupted)?;
                stack.push(self.list(pair.id, Kind::List, Some(level - 1))?);
            }
        }
        Ok(())
    }

    fn list(&self, id: Digest, kind: Kind, level: Option<u8>) -> Result<List> {
        let bytes = self.object(&ObjectKey { id, kind })?;
        let damaged = |reason| Error::damaged(format!("{} {id}", kind.name()), reason);
        let list = List::decode(bytes.as_ref()).map_err(damaged)?;
        if level.is_some_and(|level| level != list.level) {
            return Err(damaged("it is of another level than its list says"));
        }
        Ok(list)
    }

    /// Returns where an object lies.
    fn locate(&self, key: &ObjectKey) -> Result<Option<Location>> {
        self.catalog.lock().unwrap_or_else(PoisonError::into_inner).find(key)
    }

    /// Returns the verified bytes of an object.
    pub fn object(&self, key: &ObjectKey) -> Result<ObjectBytes> {
        let missing = || Error::Missing { what: key.kind.name(), id: key.id };
        let location = self.locate(key)?.ok_or_else(missing)?;
        self.object_at(key, &location)
    }

    fn object_at(&self, key: &ObjectKey, location: &Location) -> Result<ObjectBytes> {
        let block = self.block(location)?;
        let is_it = |object: &&_| {
            let object: &super::block::DecodedObject = object;
            object.offset_bytes == location.offset_bytes && object.key == *key
        };
        let name = || format!("{} {}", key.kind.name(), key.id);
        let object = block
            .objects
            .binary_search_by_key(&location.offset_bytes, |object| object.offset_bytes)
            .ok()
            .map(|at| &block.objects[at])
            .filter(is_it)
            // Objects without bytes share their offset with the next one.
            .or_else(|| block.objects.iter().find(is_it))
            .ok_or_else(|| Error::damaged(name(), "it is not where the index says"))?;
        if !block.has_its_id(object) {
            return Err(Error::damaged(name(), "its bytes are not what its id says"));
        }
        let start = object.offset_bytes as usize;
        let range = start..start + object.size_bytes as usize;
        Ok(ObjectBytes { block, range })
    }

    fn block(&self, location: &Location) -> Result<Arc<DecodedBlock>> {
        let key = (location.pack, location.block_offset);
        let (file, mut decoder) = {
            let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
            cache.clock += 1;
            let now = cache.clock;
            if let Some((block, used)) = cache.blocks.get_mut(&key) {
                *used = now;
                return Ok(Arc::clone(block));
            }
            (self.open_pack(&mut cache, &location.pack)?, cache.decoders.pop())
        };
        let path = self.store.pack_path(&location.pack);
        let bytes = read_block(&file, &path, location.block_offset, location.block_bytes)?;
        let name = format!("the block at byte {} of {}", location.block_offset, path.display());
        let mut decoder = match decoder.take() {
            Some(decoder) => decoder,
            None => Decoder::new()?,
        };
        let block = Arc::new(decoder.decode(&bytes, &name)?);
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.decoders.push(decoder);
        if cache.blocks.len() >= CACHED_BLOCKS {
            let oldest =
                cache.blocks.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| *key);
            oldest.and_then(|key| cache.blocks.remove(&key));
        }
        let now = cache.clock;
        cache.blocks.insert(key, (Arc::clone(&block), now));
        Ok(block)
    }

    fn open_pack(&self, cache: &mut Cache, name: &Digest) -> Result<Arc<File>> {
        if let Some(file) = cache.packs.get(name) {
            return Ok(Arc::clone(file));
        }
        let path = self.store.pack_path(name);
        let file = match File::open(&path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::damaged(path.display(), "it is missing"));
            }
            Err(error) => return Err(Error::file("open", &path)(error)),
        };
        if cache.packs.len() >= OPEN_PACKS {
            cache.packs.clear();
        }
        cache.packs.insert(*name, Arc::clone(&file));
        Ok(file)
    }
}

/// Reads a content. The end comes only after all of it was there and had its digest.
pub struct ContentReader<'a> {
    reader: &'a Reader<'a>,
    content: Content,
    /// The lists from the top to the chunk being read; the pairs still to come, last one first.
    stack: Vec<List>,
    chunk: Option<ObjectBytes>,
    at: usize,
    read_bytes: u64,
    hasher: Option<blake3::Hasher>,
}

impl ContentReader<'_> {
    fn damaged(&self, reason: &str) -> Error {
        Error::damaged(format!("content {}", self.content.digest), reason)
    }

    /// Moves on to the next chunk; returns whether there is one.
    fn next_chunk(&mut self) -> Result<bool> {
        self.reader.interrupt.check().map_err(|_| plugins::Interrupted)?;
        while let Some(list) = self.stack.last_mut() {
            let level = list.level;
            let Some(pair) = list.pairs.pop() else {
                self.stack.pop();
                continue;
            };
            if level > 0 {
                let mut below = self.reader.list(pair.id, Kind::List, Some(level - 1))?;
                below.pairs.reverse();
                self.stack.push(below);
                continue;
            }
            let bytes = self.reader.object(&ObjectKey { id: pair.id, kind: Kind::Chunk })?;
            if bytes.as_ref().len() as u64 != pair.size_bytes {
                return Err(self.damaged("a chunk has another size than its list says"));
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(bytes.as_ref());
            }
            self.read_bytes += pair.size_bytes;
            if self.read_bytes > self.content.size_bytes {
                return Err(self.damaged("it is longer than its entry says"));
            }
            let is_last = self.read_bytes == self.content.size_bytes;
            if pair.size_bytes < CHUNK_BYTES_MIN && !is_last {
                return Err(self.damaged("a chunk in it is smaller than chunks are"));
            }
            (self.chunk, self.at) = (Some(bytes), 0);
            return Ok(true);
        }
        self.check_end()?;
        Ok(false)
    }

    fn check_end(&self) -> Result<()> {
        if self.read_bytes != self.content.size_bytes {
            return Err(self.damaged("it has another size than its entry says"));
        }
        let digest = self.hasher.as_ref().map(|hasher| Digest(*hasher.finalize().as_bytes()));
        if digest.is_some_and(|digest| digest != self.content.digest) {
            return Err(self.damaged("its bytes do not have its digest"));
        }
        Ok(())
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(chunk) = &self.chunk {
                let rest = &chunk.as_ref()[self.at..];
                if !rest.is_empty() || buffer.is_empty() {
                    let n = rest.len().min(buffer.len());
                    buffer[..n].copy_from_slice(&rest[..n]);
                    self.at += n;
                    return Ok(n);
                }
            }
            self.chunk = None;
            if !self.next_chunk()? {
                return Ok(0);
            }
        }
    }
}
