//! What can go wrong in the store, named by what was attempted.

use std::io;
use std::path::PathBuf;

use plugins::tree::Digest;

/// The result of an operation on the store.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the store failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something in the store is not what its name or sum says.
    #[error("cannot trust {object}: {reason}")]
    Damaged {
        /// The file or object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An object that something refers to is not in the store.
    #[error("cannot find {what} {id} in the store")]
    Missing {
        /// What kind of object.
        what: &'static str,
        /// Its id.
        id: Digest,
    },
    /// The store or a file in it was written by a later version.
    #[error("cannot read {}: it has format {found}, and this dysno knows formats up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The highest format this version reads.
        known: u64,
    },
    /// Somebody else holds a lock.
    #[error("cannot lock {}: {holder} holds it", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Who, and what they do.
        holder: String,
    },
    /// The compressor gave bytes that do not decode to what it was given.
    #[error("cannot store a block: it does not decode to what was compressed")]
    Compressor,
    /// The compressor failed.
    #[error("cannot compress a block")]
    Compress {
        /// Why not.
        source: io::Error,
    },
    /// The index failed.
    #[error("cannot use the index")]
    Catalog {
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Entries came in an order that a manifest cannot have.
    #[error("cannot add {path} to the snapshot: {reason}")]
    Entry {
        /// The path.
        path: String,
        /// What is wrong with it there.
        reason: &'static str,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] plugins::Interrupted),
    /// Another thread of the same writer failed; its error is reported instead.
    #[error("cannot go on writing after an earlier failure")]
    Stopped,
}

impl Error {
    /// Makes the closure for `map_err` that says which file operation failed.
    pub fn file(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }

    /// Something is not what its name or sum says.
    pub fn damaged(object: impl ToString, reason: impl ToString) -> Self {
        Self::Damaged { object: object.to_string(), reason: reason.to_string() }
    }
}

/// Plug-ins see the store through `std::io`; the error travels inside.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
