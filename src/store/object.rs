//! What a block holds and where it lies.

use plugins::tree::Digest;

use super::error::Result;

/// What an object is. The numbers stand in packs and in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A piece of content.
    Chunk = 1,
    /// A part of the list of a content's chunks.
    List = 2,
    /// The list of a content's chunks, named by the content's digest.
    File = 3,
}

impl Kind {
    /// Returns the kind of that number.
    pub fn parse(number: u8) -> Option<Self> {
        [Self::Chunk, Self::List, Self::File].into_iter().find(|&kind| kind as u8 == number)
    }

    /// Returns the word for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chunk => "chunk",
            Self::List => "list",
            Self::File => "file object",
        }
    }
}

/// The name of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its id.
    pub id: Digest,
    /// What it is.
    pub kind: Kind,
}

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack's name.
    pub pack: Digest,
    /// Where its block starts in the pack.
    pub block_offset: u64,
    /// Bytes of the block in the pack.
    pub block_bytes: u32,
    /// Where the object starts in the decoded payload.
    pub offset_bytes: u32,
    /// Bytes of the object.
    pub size_bytes: u32,
}

/// A pack and all that is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackContents {
    /// Its name.
    pub name: Digest,
    /// Bytes of the file.
    pub size_bytes: u64,
    /// Its blocks, in ascending order of their offsets.
    pub blocks: Vec<BlockContents>,
}

impl PackContents {
    /// Returns where each object lies.
    pub fn locations(&self) -> impl Iterator<Item = (ObjectKey, Location)> {
        self.blocks.iter().flat_map(move |block| {
            let mut offset_bytes = 0;
            block.objects.iter().map(move |(key, size_bytes)| {
                let location = Location {
                    pack: self.name,
                    block_offset: block.offset_bytes,
                    block_bytes: block.size_bytes,
                    offset_bytes,
                    size_bytes: *size_bytes,
                };
                offset_bytes += size_bytes;
                (*key, location)
            })
        })
    }

    /// Returns the objects.
    pub fn keys(&self) -> impl Iterator<Item = &ObjectKey> {
        self.blocks.iter().flat_map(|block| block.objects.iter().map(|(key, _)| key))
    }
}

/// A block and the objects in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockContents {
    /// Where it starts in the pack.
    pub offset_bytes: u64,
    /// Bytes of it in the pack: header, table and payload.
    pub size_bytes: u32,
    /// Each object with its size, in the order of the payload.
    pub objects: Vec<(ObjectKey, u32)>,
}

/// Knows which objects are durable, and where. The index is one; tests have another.
pub trait Catalog: Send {
    /// Returns where an object lies.
    fn find(&mut self, key: &ObjectKey) -> Result<Option<Location>>;

    /// Returns whether an object is durable.
    fn contains(&mut self, key: &ObjectKey) -> Result<bool>;

    /// Adds a pack that is durable under its name. Adding it again changes nothing.
    fn add_pack(&mut self, pack: &PackContents, placement: Placement) -> Result<()>;
}

/// What becomes of objects of a new pack that are durable elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// They stay where they are.
    New,
    /// They are found in the new pack from now on, so that the old one can go.
    Move,
    /// The same, but file objects are left out until somebody has read what they list.
    Unproven,
}
