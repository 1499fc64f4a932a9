//! What the store holds, in SQLite: a cache that can be rebuilt from the store at any time.

mod catalog;
mod history;
mod reconcile;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use catalog::{PackRow, PackUsage};
pub use reconcile::Differences;
use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::disk::Disk;
use crate::store;

/// The result of an operation on the index.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the index failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite refused.
    #[error("cannot {verb} the index {}", path.display())]
    Sqlite {
        /// What was attempted.
        verb: &'static str,
        /// The index.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// A file of the index cannot be replaced or made durable.
    #[error("cannot {verb} the index {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A row holds what the index never writes.
    #[error("cannot read the index {}: a row holds an invalid {what}", path.display())]
    Row {
        /// The index.
        path: PathBuf,
        /// The field.
        what: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The version of the tables; another one means building the index anew.
const VERSION: i64 = 1;
const SCHEMA: &str = include_str!("schema.sql");
/// How long a transaction waits for another process's. Transactions add at most a pack's rows, which takes seconds at
/// worst.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// The index of one store.
pub struct Index {
    connection: Connection,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Index {
    /// Opens the index, or makes an empty one where it is missing, damaged or of another version. An empty index is
    /// filled by [`Index::reconcile`].
    pub fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        match Self::try_open(path, Arc::clone(&disk)) {
            Err(Error::Sqlite { source, .. }) if is_damage(&source) => {
                Self::throw_away(path, disk.as_ref())?;
                Self::try_open(path, disk)
            }
            other => other,
        }
    }

    fn try_open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let error = |source| Error::Sqlite { verb: "open", path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(error)?;
        connection.busy_timeout(BUSY_MAX).map_err(error)?;
        // `FULL`: a generation that was acknowledged must be in the list after a power cut.
        let settings =
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;";
        connection.execute_batch(settings).map_err(error)?;
        let mut index = Self { connection, path: path.to_owned(), disk };
        let version = |connection: &Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        let found = version(&index.connection).map_err(error)?;
        if found == 0 {
            index.write("create", |transaction| {
                // Somebody else may have been faster.
                if version(transaction)? == 0 {
                    transaction.execute_batch(SCHEMA)?;
                    transaction.pragma_update(None, "user_version", VERSION)?;
                }
                Ok(())
            })?;
        } else if found != VERSION {
            drop(index.connection);
            Self::throw_away(path, index.disk.as_ref())?;
            return Self::try_open(path, index.disk);
        }
        Ok(index)
    }

    /// Removes an index that cannot be used. All that is in it stands in the store.
    fn throw_away(path: &Path, disk: &dyn Disk) -> Result<()> {
        for suffix in ["-wal", "-shm", ""] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let path = PathBuf::from(name);
            if fs::symlink_metadata(&path).is_ok() {
                let removed = disk.remove_file(&path);
                removed.map_err(|source| Error::File { verb: "remove", path, source })?;
            }
        }
        Ok(())
    }

    fn error(&self, verb: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Sqlite { verb, path: path.clone(), source }
    }

    fn invalid(&self, what: &'static str) -> Error {
        Error::Row { path: self.path.clone(), what }
    }

    /// Runs one transaction that writes. It is durable when this returns.
    fn write<T>(
        &mut self,
        verb: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let error = self.error(verb);
        let path = self.path.clone();
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&error)?;
        let value = change(&transaction).map_err(&error)?;
        self.disk.commit(verb).map_err(|source| Error::File { verb, path, source })?;
        transaction.commit().map_err(&error)?;
        Ok(value)
    }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}
