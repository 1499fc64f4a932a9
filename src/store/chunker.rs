//! Where contents are cut into chunks.

use fastcdc::v2020::FastCDC;
use plugins::Cut;

use super::block::Class;

/// Smallest, average and largest chunk of a way to cut. No identity depends on them; store-format.md says how they
/// were chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) min: usize,
    pub(crate) average: usize,
    pub(crate) max: usize,
}

/// Files of a directory tree.
pub(crate) const TREE: Sizes = Sizes { min: 16 << 10, average: 64 << 10, max: 256 << 10 };
/// Rows of a database.
pub(crate) const ROWS: Sizes = Sizes { min: 4 << 10, average: 16 << 10, max: 128 << 10 };
/// Manifests.
pub(crate) const MANIFEST: Sizes = Sizes { min: 16 << 10, average: 64 << 10, max: 256 << 10 };

/// How one content is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunker {
    /// FastCDC with these sizes.
    Content(Sizes),
    /// Pieces of this size.
    Fixed(usize),
}

impl Chunker {
    pub(crate) fn of(cut: Cut) -> Self {
        match cut {
            Cut::Tree => Self::Content(TREE),
            Cut::Rows => Self::Content(ROWS),
            Cut::Pages { size_bytes } => Self::Fixed((size_bytes as usize).clamp(512, 64 << 10)),
        }
    }

    /// Returns which blocks the chunks belong into.
    pub(crate) fn class(self) -> Class {
        match self {
            Self::Content(ROWS) => Class::Rows,
            Self::Content(_) | Self::Fixed(_) => Class::Files,
        }
    }

    /// How many bytes must be there, or the content's end, before a chunk can be cut off.
    pub(crate) fn lookahead_bytes(self) -> usize {
        match self {
            Self::Content(sizes) => sizes.max,
            Self::Fixed(size) => size,
        }
    }

    /// Returns the length of the first chunk of `bytes`, which hold the lookahead or the rest of the content.
    pub(crate) fn cut(self, bytes: &[u8]) -> usize {
        match self {
            Self::Content(sizes) => {
                if bytes.len() <= sizes.min {
                    return bytes.len();
                }
                let window = &bytes[..bytes.len().min(sizes.max)];
                let cdc = FastCDC::new(window, sizes.min, sizes.average, sizes.max);
                cdc.cut(0, window.len()).1
            }
            Self::Fixed(size) => bytes.len().min(size),
        }
    }
}
