//! A SQLite database of the state directory: opened alike, its commits made to fail by tests like every other step.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, Row, ToSql, Transaction, TransactionBehavior};

use crate::disk::Disk;

/// The result of an operation on a database.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on a database failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite refused.
    #[error("cannot {verb} {}", path.display())]
    Sqlite {
        /// What was attempted.
        verb: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The disk refused a commit.
    #[error("cannot {verb} {}", path.display())]
    Commit {
        /// What was attempted.
        verb: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A row holds what this version never writes.
    #[error("cannot read {}: a row holds an invalid {what}", path.display())]
    Row {
        /// The database.
        path: PathBuf,
        /// The field.
        what: &'static str,
    },
    /// A later version made it.
    #[error("cannot read {}: a later version of dysno wrote it", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
    },
}

/// How long a transaction waits for another process's. Transactions add at most a pack's rows, which takes seconds at
/// worst.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// An open database.
pub(crate) struct Database {
    connection: Connection,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Database {
    /// Opens a database, or makes one where there is none or where it is empty.
    pub(crate) fn open(
        path: &Path,
        disk: Arc<dyn Disk>,
        tables: &str,
        version: i64,
    ) -> Result<Self> {
        let error = |source| Error::Sqlite { verb: "open", path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(error)?;
        connection.busy_timeout(BUSY_MAX).map_err(error)?;
        // `FULL`: what was committed is about to be relied on, or acknowledged, and must survive a power cut.
        let settings =
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -32768;";
        connection.execute_batch(settings).map_err(error)?;
        let mut database = Self { connection, path: path.to_owned(), disk };
        if database.version()? == 0 {
            database.write("create", |transaction| {
                // Somebody else may have been faster.
                if version_of(transaction)? == 0 {
                    transaction.execute_batch(tables)?;
                    transaction.pragma_update(None, "user_version", version)?;
                }
                Ok(())
            })?;
        }
        Ok(database)
    }

    /// Returns the version of the tables.
    pub(crate) fn version(&self) -> Result<i64> {
        version_of(&self.connection).map_err(self.error("read"))
    }

    /// Says that the database was made by a later version.
    pub(crate) fn newer(&self) -> Error {
        Error::Newer { path: self.path.clone() }
    }

    /// Says that a row holds what is never written.
    pub(crate) fn invalid(&self, what: &'static str) -> Error {
        Error::Row { path: self.path.clone(), what }
    }

    /// Runs one transaction that writes. It is durable when this returns.
    pub(crate) fn write<T>(
        &mut self,
        verb: &'static str,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        let error = self.error(verb);
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(&error)?;
        let value = change(&transaction).map_err(&error)?;
        let path = &self.path;
        let refused = |source| Error::Commit { verb, path: path.clone(), source };
        self.disk.commit(verb).map_err(refused)?;
        transaction.commit().map_err(&error)?;
        Ok(value)
    }

    /// Asks anything of the connection.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T> {
        question(&self.connection).map_err(self.error("read"))
    }

    /// Returns the rows of a query.
    pub(crate) fn rows<T>(
        &self,
        query: &str,
        values: &[&dyn ToSql],
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        self.ask(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            let rows = statement.query_map(values, map)?;
            rows.collect()
        })
    }

    fn error(&self, verb: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Sqlite { verb, path: path.clone(), source }
    }
}

fn version_of(connection: &Connection) -> rusqlite::Result<i64> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
