//! Blocks: groups of objects, compressed together and checked before they count as stored.

use plugins::tree::Digest;

use super::error::{Error, Result};
use super::object::{BlockContents, Kind, ObjectKey};

/// A block is closed once it holds this much. Bigger ones compress no better; smaller ones waste ratio.
pub(crate) const BLOCK_RAW_BYTES: usize = 1 << 20;
/// A decoder refuses more before it allocates: a full block and the largest object on top stay below.
const RAW_BYTES_MAX: usize = 4 << 20;
/// Objects of a block fit the table's count and keep a table below the size of its payload's block.
pub(crate) const OBJECTS_MAX: usize = 8192;
/// Bytes before the object table.
pub(crate) const HEADER_BYTES: usize = 56;
const TABLE_ROW_BYTES: usize = 37;
const DIGEST_AT: usize = 24;
const MAGIC: &[u8; 4] = b"DBLK";
/// Three samples of this size tell whether a block is worth compressing.
const SAMPLE_BYTES: usize = 16 << 10;

/// What a block holds. Kinds of bytes that compress differently, or are read apart, do not share blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Chunks of files and pages.
    Files,
    /// Chunks of a database's rows.
    Rows,
    /// Lists and file objects, which are read without the data and compress badly.
    Lists,
}

/// Objects that wait to become a block.
pub(crate) struct RawBlock {
    class: Class,
    objects: Vec<(ObjectKey, u32)>,
    bytes: Vec<u8>,
}

impl RawBlock {
    pub(crate) fn new(class: Class) -> Self {
        Self { class, objects: Vec::new(), bytes: Vec::new() }
    }

    /// Returns what is there, and leaves an empty block of the same class.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.class))
    }

    pub(crate) fn push(&mut self, key: ObjectKey, bytes: &[u8]) {
        self.objects.push((key, u32::try_from(bytes.len()).expect("an object is below 4 MiB")));
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes.len() >= BLOCK_RAW_BYTES || self.objects.len() == OBJECTS_MAX
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
}

/// A block as it lies in a pack.
pub(crate) struct EncodedBlock {
    pub(crate) bytes: Vec<u8>,
    pub(crate) objects: Vec<(ObjectKey, u32)>,
}

/// Compresses and checks blocks; keeps its buffers between them.
pub(crate) struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    rows_compressor: zstd::bulk::Compressor<'static>,
    sampler: zstd::bulk::Compressor<'static>,
    decoder: Decoder,
}

impl Encoder {
    pub(crate) fn new(level: i32) -> Result<Self> {
        let compressor =
            |level| zstd::bulk::Compressor::new(level).map_err(|source| Error::Compress { source });
        // Rows are mostly short texts and digits, where the entropy coder does the work. Measured on 2 GB of them: two levels
        // less take half of the time and 9 % more space; on digests they take less space too.
        let rows_level = (level - 2).max(1);
        Ok(Self {
            rows_compressor: compressor(rows_level)?,
            compressor: compressor(level)?,
            sampler: compressor(1)?,
            decoder: Decoder::new()?,
        })
    }

    /// Encodes a block and proves that it decodes to objects that have their ids.
    pub(crate) fn encode(&mut self, raw: RawBlock) -> Result<EncodedBlock> {
        let (codec, payload) = self.compress(raw.class, &raw.bytes)?;
        let payload = payload.as_deref().unwrap_or(&raw.bytes);
        let mut bytes =
            Vec::with_capacity(HEADER_BYTES + TABLE_ROW_BYTES * raw.objects.len() + payload.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[codec, 0]);
        bytes.extend_from_slice(&(raw.objects.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(raw.bytes.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(&[0; 32]);
        for (key, size_bytes) in &raw.objects {
            bytes.push(key.kind as u8);
            bytes.extend_from_slice(&key.id.0);
            bytes.extend_from_slice(&size_bytes.to_le_bytes());
        }
        bytes.extend_from_slice(payload);
        let digest = block_digest(&bytes);
        bytes[DIGEST_AT..HEADER_BYTES].copy_from_slice(&digest.0);

        // A faulty compressor or faulty memory must show now, not when the state is needed.
        let decoded = self.decoder.decode(&bytes, "a block being stored")?;
        let intact = decoded.bytes == raw.bytes
            && decoded.objects.iter().all(|object| decoded.has_its_id(object));
        if !intact {
            return Err(Error::Compressor);
        }
        Ok(EncodedBlock { bytes, objects: raw.objects })
    }

    /// Returns the codec and the compressed payload; no payload where compressing gains nothing.
    fn compress(&mut self, class: Class, bytes: &[u8]) -> Result<(u8, Option<Vec<u8>>)> {
        if !self.is_worth_compressing(bytes)? {
            return Ok((0, None));
        }
        let compressor = match class {
            Class::Files | Class::Lists => &mut self.compressor,
            Class::Rows => &mut self.rows_compressor,
        };
        let compressed = compressor.compress(bytes).map_err(|source| Error::Compress { source })?;
        // Below one part in 32 the reader's time is worth more than the space.
        if compressed.len() + bytes.len() / 32 >= bytes.len() {
            return Ok((0, None));
        }
        Ok((1, Some(compressed)))
    }

    fn is_worth_compressing(&mut self, bytes: &[u8]) -> Result<bool> {
        if bytes.len() < 8 * SAMPLE_BYTES {
            return Ok(true);
        }
        let last = bytes.len() - SAMPLE_BYTES;
        for start in [0, last / 2, last] {
            let sample = &bytes[start..start + SAMPLE_BYTES];
            let compressed =
                self.sampler.compress(sample).map_err(|source| Error::Compress { source })?;
            if compressed.len() + SAMPLE_BYTES / 32 < SAMPLE_BYTES {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// An object in a decoded block.
pub(crate) struct DecodedObject {
    pub(crate) key: ObjectKey,
    pub(crate) offset_bytes: u32,
    pub(crate) size_bytes: u32,
}

/// A block whose digest was checked; its objects' ids are checked when they are used.
pub(crate) struct DecodedBlock {
    pub(crate) objects: Vec<DecodedObject>,
    pub(crate) bytes: Vec<u8>,
}

impl DecodedBlock {
    pub(crate) fn bytes_of(&self, object: &DecodedObject) -> &[u8] {
        let start = object.offset_bytes as usize;
        &self.bytes[start..start + object.size_bytes as usize]
    }

    /// Returns whether the bytes have the object's id. A file object is named by the content it lists, so its own
    /// bytes prove nothing; the block's digest covers them.
    pub(crate) fn has_its_id(&self, object: &DecodedObject) -> bool {
        match object.key.kind {
            Kind::Chunk | Kind::List => Digest::of(self.bytes_of(object)) == object.key.id,
            Kind::File => true,
        }
    }
}

/// Decodes blocks; keeps its buffers between them.
pub(crate) struct Decoder(zstd::bulk::Decompressor<'static>);

impl Decoder {
    pub(crate) fn new() -> Result<Self> {
        zstd::bulk::Decompressor::new().map(Self).map_err(|source| Error::Compress { source })
    }

    /// Decodes a whole block after checking its digest. `name` says which block it is, for messages.
    pub(crate) fn decode(&mut self, block: &[u8], name: &str) -> Result<DecodedBlock> {
        let damaged = |reason: &str| Error::damaged(name, reason);
        let header = Header::parse(block).map_err(damaged)?;
        if block.len() != header.block_bytes() {
            return Err(damaged("its length is not what its header says"));
        }
        if block_digest(block).0 != header.digest {
            return Err(damaged("its digest does not match"));
        }
        let objects = header.objects(block).map_err(damaged)?;
        let payload = &block[header.payload_at()..];
        let bytes = match header.codec {
            Codec::Raw => payload.to_vec(),
            Codec::Zstd => self
                .0
                .decompress(payload, header.raw_bytes)
                .map_err(|_| damaged("its payload does not decompress"))?,
        };
        if bytes.len() != header.raw_bytes {
            return Err(damaged("its payload has another length than its header says"));
        }
        Ok(DecodedBlock { objects, bytes })
    }
}

enum Codec {
    Raw,
    Zstd,
}

/// The fixed part of a block.
pub(crate) struct Header {
    codec: Codec,
    n_objects: usize,
    stored_bytes: usize,
    raw_bytes: usize,
    digest: [u8; 32],
}

impl Header {
    /// Parses the first [`HEADER_BYTES`] of a block.
    pub(crate) fn parse(bytes: &[u8]) -> std::result::Result<Self, &'static str> {
        let header = bytes.first_chunk::<HEADER_BYTES>().ok_or("its header is cut off")?;
        if &header[..4] != MAGIC {
            return Err("it does not start like a block");
        }
        let number = |at: usize| {
            u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes")) as usize
        };
        let codec = match header[4] {
            0 => Codec::Raw,
            1 => Codec::Zstd,
            _ => return Err("its codec is unknown"),
        };
        if number(16) != 0 {
            return Err("it is encrypted, which this version cannot read");
        }
        if header[5] != 0 || number(20) != 0 {
            return Err("a reserved field is not zero");
        }
        let parsed = Self {
            codec,
            n_objects: u16::from_le_bytes([header[6], header[7]]) as usize,
            stored_bytes: number(8),
            raw_bytes: number(12),
            digest: header[DIGEST_AT..].try_into().expect("32 bytes"),
        };
        if parsed.n_objects == 0 || parsed.n_objects > OBJECTS_MAX {
            return Err("its number of objects is out of range");
        }
        if parsed.raw_bytes > RAW_BYTES_MAX || parsed.stored_bytes > RAW_BYTES_MAX {
            return Err("it is larger than a block can be");
        }
        Ok(parsed)
    }

    fn payload_at(&self) -> usize {
        HEADER_BYTES + TABLE_ROW_BYTES * self.n_objects
    }

    /// Returns the bytes of the whole block.
    pub(crate) fn block_bytes(&self) -> usize {
        self.payload_at() + self.stored_bytes
    }

    /// Parses the object table of a whole block.
    fn objects(&self, block: &[u8]) -> std::result::Result<Vec<DecodedObject>, &'static str> {
        let table = block.get(HEADER_BYTES..self.payload_at()).ok_or("its table is cut off")?;
        let mut offset_bytes: usize = 0;
        let mut objects = Vec::with_capacity(self.n_objects);
        for row in table.chunks_exact(TABLE_ROW_BYTES) {
            let kind = Kind::parse(row[0]).ok_or("an object's kind is unknown")?;
            let id = Digest(row[1..33].try_into().expect("32 bytes"));
            let size_bytes = u32::from_le_bytes(row[33..].try_into().expect("four bytes"));
            objects.push(DecodedObject {
                key: ObjectKey { id, kind },
                offset_bytes: offset_bytes as u32,
                size_bytes,
            });
            offset_bytes += size_bytes as usize;
            if offset_bytes > self.raw_bytes {
                return Err("its objects are longer than its payload");
            }
        }
        if offset_bytes != self.raw_bytes {
            return Err("its objects are shorter than its payload");
        }
        Ok(objects)
    }
}

fn block_digest(block: &[u8]) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&block[..DIGEST_AT]);
    hasher.update(&block[HEADER_BYTES..]);
    Digest(*hasher.finalize().as_bytes())
}

/// Returns what a verified block holds, for the index.
pub(crate) fn contents(
    decoded: &DecodedBlock,
    offset_bytes: u64,
    size_bytes: u32,
) -> BlockContents {
    let objects = decoded.objects.iter().map(|object| (object.key, object.size_bytes)).collect();
    BlockContents { offset_bytes, size_bytes, objects }
}
