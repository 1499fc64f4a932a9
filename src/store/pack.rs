//! Packs: immutable files of blocks, named by their digest.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use plugins::tree::Digest;

use super::block::{self, Decoder, EncodedBlock, HEADER_BYTES, Header};
use super::error::{Error, Result};
use super::object::{BlockContents, PackContents};
use crate::disk::Disk;

/// A pack is closed once it holds this much: large enough that a store of terabytes has few files, small enough that
/// rewriting one is cheap.
pub(crate) const PACK_BYTES: u64 = 64 << 20;
const MAGIC: &[u8; 8] = b"dysnopk1";
const END_MAGIC: &[u8; 8] = b"dysnopkE";
/// A block and its table are below this; refuse before allocating.
const BLOCK_BYTES_MAX: u64 = 8 << 20;
/// A pack is closed at so many objects too, because a writer remembers them until the pack is durable.
const PACK_OBJECTS: usize = 250_000;
/// Bytes after the block offsets.
const TAIL_BYTES: usize = 48;

/// Writes one pack under a temporary name.
pub(crate) struct PackWriter<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    size_bytes: u64,
    n_objects: usize,
    blocks: Vec<BlockContents>,
}

/// A pack that is complete, but neither durable nor under its name.
pub struct FinishedPack {
    /// Where it lies until somebody takes it.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    /// What is in it.
    pub contents: PackContents,
}

impl<'a> PackWriter<'a> {
    pub(crate) fn create(disk: &'a dyn Disk, path: PathBuf) -> Result<Self> {
        let file = disk.create(&path).map_err(Error::file("create", &path))?;
        let mut writer = Self {
            disk,
            path,
            file,
            hasher: blake3::Hasher::new(),
            size_bytes: 0,
            n_objects: 0,
            blocks: Vec::new(),
        };
        writer.append(MAGIC)?;
        Ok(writer)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.disk.write(&mut self.file, bytes).map_err(Error::file("write", &self.path))?;
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(())
    }

    pub(crate) fn push(&mut self, block: EncodedBlock) -> Result<()> {
        let offset_bytes = self.size_bytes;
        self.append(&block.bytes)?;
        let size_bytes = block.bytes.len() as u32;
        self.n_objects += block.objects.len();
        self.blocks.push(BlockContents { offset_bytes, size_bytes, objects: block.objects });
        Ok(())
    }

    pub(crate) fn is_full(&self) -> bool {
        self.size_bytes >= PACK_BYTES || self.n_objects >= PACK_OBJECTS
    }

    pub(crate) fn finish(mut self) -> Result<FinishedPack> {
        let mut footer = Vec::with_capacity(self.blocks.len() * 8 + TAIL_BYTES);
        for block in &self.blocks {
            footer.extend_from_slice(&block.offset_bytes.to_le_bytes());
        }
        footer.extend_from_slice(&(self.blocks.len() as u32).to_le_bytes());
        footer.extend_from_slice(&[0; 4]);
        let digest = Digest::of(&footer);
        footer.extend_from_slice(&digest.0);
        footer.extend_from_slice(END_MAGIC);
        self.append(&footer)?;
        let contents = PackContents {
            name: Digest(*self.hasher.finalize().as_bytes()),
            size_bytes: self.size_bytes,
            blocks: self.blocks,
        };
        Ok(FinishedPack { path: self.path, file: self.file, contents })
    }
}

/// What reading a whole pack found.
pub(crate) struct PackCheck {
    /// The blocks that are intact.
    pub(crate) blocks: Vec<BlockContents>,
    /// One sentence for each thing that is wrong.
    pub(crate) problems: Vec<String>,
}

/// Reads and verifies all of a pack: each block, each object, the footer and the name. `read` is told the bytes of
/// each block, and can stop by an error.
///
/// Blocks are found by the footer, and, where that is damaged, by their headers.
pub(crate) fn check(
    path: &Path,
    name: Digest,
    mut read: impl FnMut(u64) -> Result<()>,
) -> Result<PackCheck> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    let footer = read_footer(&file).map_err(Error::file("read", path))?;
    let inner = BufReader::with_capacity(1 << 20, file);
    let mut reader = HashingReader { inner, hasher: blake3::Hasher::new() };
    let mut take = |size| reader.read_exact_or_end(size).map_err(Error::file("read", path));
    let mut check = PackCheck { blocks: Vec::new(), problems: Vec::new() };
    let mut decoder = Decoder::new()?;
    if take(MAGIC.len())? != MAGIC {
        check.problems.push("it does not start like a pack".to_owned());
    }
    let mut at = MAGIC.len() as u64;
    let ends = footer.as_ref().map(|footer| footer.block_ends());
    for n in 0.. {
        let bytes = match &ends {
            Some(ends) => match ends.get(n) {
                Some(end) => take((end - at) as usize)?,
                None => break,
            },
            None => {
                let mut bytes = take(HEADER_BYTES)?;
                let Ok(header) = Header::parse(&bytes) else { break };
                bytes.extend(take(header.block_bytes() - HEADER_BYTES)?);
                bytes
            }
        };
        check_block(&mut decoder, &bytes, at, path, &mut check);
        at += bytes.len() as u64;
        read(bytes.len() as u64)?;
    }
    if footer.is_none() {
        check.problems.push("its list of blocks is damaged".to_owned());
    }
    reader.read_rest().map_err(Error::file("read", path))?;
    if reader.hasher.finalize() != blake3::Hash::from_bytes(name.0) && check.problems.is_empty() {
        check.problems.push("its digest is not its name".to_owned());
    }
    Ok(check)
}

/// Where a pack's blocks lie.
struct Footer {
    offsets: Vec<u64>,
    /// Where the footer starts, and so the last block ends.
    start: u64,
}

impl Footer {
    fn block_ends(&self) -> Vec<u64> {
        self.offsets.iter().skip(1).copied().chain([self.start]).collect()
    }
}

/// Reads the list of blocks; none where it is damaged.
fn read_footer(file: &File) -> io::Result<Option<Footer>> {
    let length = file.metadata()?.len();
    let mut tail = [0; TAIL_BYTES];
    let Some(tail_at) = length.checked_sub(TAIL_BYTES as u64) else { return Ok(None) };
    file.read_exact_at(&mut tail, tail_at)?;
    let n_blocks = u64::from(u32::from_le_bytes(tail[..4].try_into().expect("four bytes")));
    let Some(start) = tail_at.checked_sub(n_blocks * 8) else { return Ok(None) };
    let mut bytes = vec![0; (length - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    let footer = parse_footer(&bytes).map(|offsets| Footer { offsets, start });
    // Ascending, from the first block to the footer, and none larger than a block can be.
    Ok(footer.filter(|footer| {
        let starts = footer.offsets.iter().copied();
        let sizes = starts.zip(footer.block_ends()).map(|(from, to)| to.checked_sub(from));
        footer.offsets.first() == Some(&(MAGIC.len() as u64))
            && sizes.into_iter().all(|size| size.is_some_and(|size| size <= BLOCK_BYTES_MAX))
    }))
}

fn check_block(decoder: &mut Decoder, bytes: &[u8], at: u64, path: &Path, check: &mut PackCheck) {
    let name = format!("the block at byte {at} of {}", path.display());
    match decoder.decode(bytes, &name) {
        Ok(decoded) => {
            if decoded.objects.iter().all(|object| decoded.has_its_id(object)) {
                check.blocks.push(block::contents(&decoded, at, bytes.len() as u32));
            } else {
                check.problems.push(format!("{name} holds an object that is not what its id says"));
            }
        }
        Err(Error::Damaged { object, reason }) => {
            check.problems.push(format!("{object}: {reason}"))
        }
        Err(error) => check.problems.push(format!("{name}: {error}")),
    }
}

fn parse_footer(bytes: &[u8]) -> Option<Vec<u64>> {
    let (rest, magic) = bytes.split_last_chunk::<8>()?;
    let (signed, digest) = rest.split_last_chunk::<32>()?;
    let (offsets, counts) = signed.split_last_chunk::<8>()?;
    let count = u32::from_le_bytes(*counts.first_chunk::<4>()?) as usize;
    let valid = magic == END_MAGIC
        && Digest::of(signed).0 == *digest
        && counts[4..] == [0; 4]
        && offsets.len() == count * 8;
    valid.then(|| {
        offsets
            .chunks_exact(8)
            .map(|o| u64::from_le_bytes(o.try_into().expect("eight bytes")))
            .collect()
    })
}

/// Reads one block from an open pack.
pub(crate) fn read_block(file: &File, path: &Path, offset: u64, size: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size as usize];
    match file.read_exact_at(&mut bytes, offset) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            Err(Error::damaged(path.display(), "it is shorter than it was"))
        }
        Err(error) => Err(Error::file("read", path)(error)),
    }
}

struct HashingReader {
    inner: BufReader<File>,
    hasher: blake3::Hasher,
}

impl HashingReader {
    /// Reads to the end, only for the digest.
    fn read_rest(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.inner.fill_buf()?;
            let length = buffer.len();
            if length == 0 {
                return Ok(());
            }
            self.hasher.update(buffer);
            self.inner.consume(length);
        }
    }

    /// Reads `size` bytes, or fewer where the file ends.
    fn read_exact_or_end(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(size);
        (&mut self.inner).take(size as u64).read_to_end(&mut bytes)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }
}
