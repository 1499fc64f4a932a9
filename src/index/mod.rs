//! What the store holds, in SQLite: a cache that can be rebuilt from the store at any time.

mod catalog;
mod history;
mod reconcile;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use catalog::{PackRow, PackUsage};
pub use reconcile::Differences;

use crate::database::{self, Database};
use crate::disk::Disk;
use crate::store;

/// The result of an operation on the index.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the index failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] database::Error),
    /// A damaged index cannot be removed.
    #[error("cannot remove the damaged index {}", path.display())]
    ThrowAway {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The version of the tables; another one means building the index anew.
const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");

/// The index of one store.
pub struct Index {
    database: Database,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Error {
    /// Returns whether SQLite found the index damaged.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Database(error) => is_damage(error),
            Self::Store(store::Error::Catalog { source }) => {
                source.downcast_ref().is_some_and(is_damage)
            }
            Self::ThrowAway { .. } | Self::Store(_) => false,
        }
    }
}

impl Index {
    /// Opens the index, or makes an empty one where it is missing, damaged or of another version. An empty index is
    /// filled by [`Index::reconcile`].
    pub fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let opened = Database::open(path, Arc::clone(&disk), SCHEMA, VERSION);
        let is_usable = match &opened {
            Ok(database) => database.version()? == VERSION,
            Err(error) => !is_damage(error),
        };
        if is_usable {
            return Ok(Self { database: opened?, path: path.to_owned(), disk });
        }
        drop(opened);
        throw_away(path, disk.as_ref())?;
        let database = Database::open(path, Arc::clone(&disk), SCHEMA, VERSION)?;
        Ok(Self { database, path: path.to_owned(), disk })
    }

    /// Replaces a damaged index by an empty one, which is filled by [`Index::reconcile`].
    pub fn renew(&mut self) -> Result<()> {
        throw_away(&self.path, self.disk.as_ref())?;
        self.database = Database::open(&self.path, Arc::clone(&self.disk), SCHEMA, VERSION)?;
        Ok(())
    }
}

/// Removes an index that cannot be used. All that is in it stands in the store.
fn throw_away(path: &Path, disk: &dyn Disk) -> Result<()> {
    for suffix in ["-wal", "-shm", ""] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        if fs::symlink_metadata(&path).is_ok() {
            let removed = disk.remove_file(&path);
            removed.map_err(|source| Error::ThrowAway { path, source })?;
        }
    }
    Ok(())
}

fn is_damage(error: &database::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    let database::Error::Sqlite { source, .. } = error else { return false };
    matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
