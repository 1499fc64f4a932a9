//! What is under way on this host and which units are in service: SQLite, authoritative.

mod schema;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use plugins::{Swap, Tag};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use crate::disk::Disk;

/// The result of an operation on the journal.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the journal failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// SQLite refused.
    #[error("cannot {verb} the journal {}", path.display())]
    Sqlite {
        /// What was attempted.
        verb: &'static str,
        /// The journal.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The commit could not be made durable.
    #[error("cannot {verb} the journal {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// The journal.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A row holds what this version does not know.
    #[error("cannot read the journal {}: a row holds an unknown {what}", path.display())]
    Row {
        /// The journal.
        path: PathBuf,
        /// The field.
        what: &'static str,
    },
    /// A later version made it.
    #[error("cannot read the journal {}: a later version of dysno wrote it", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
    },
}

/// Whether a unit is in service on this host. A unit that was never activated has no state here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitState {
    /// Activated.
    Active,
    /// Deactivated: its state stays until it is purged.
    Garbage,
}

/// How far a restore has come. Each is written before what it names begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// State is being built beside the live one; everything that carries the tag can go.
    Staging,
    /// The staged state is about to take the place of the live one.
    Swapping,
    /// The staged state is live; what it displaced is kept.
    Swapped,
}

impl Phase {
    const ALL: [Self; 3] = [Self::Staging, Self::Swapping, Self::Swapped];

    fn name(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Swapping => "swapping",
            Self::Swapped => "swapped",
        }
    }
}

/// One restore on this host, from its beginning until what it displaced is released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restore {
    /// The unit's address.
    pub unit: String,
    /// The name that all it stages carries.
    pub tag: Tag,
    /// How far it has come.
    pub phase: Phase,
    /// What is exchanged; known once it is staged.
    pub swap: Option<Swap>,
    /// When it began, RFC 3339 UTC.
    pub time: String,
}

/// How long a transaction waits for another process's; they are all short.
const BUSY_MAX: Duration = Duration::from_secs(60);

/// The journal of one host.
pub struct Journal {
    connection: Connection,
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Journal {
    /// Opens the journal, or makes an empty one where there is none. A damaged one is an error: it cannot be rebuilt.
    pub fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let error = |source| Error::Sqlite { verb: "open", path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(error)?;
        connection.busy_timeout(BUSY_MAX).map_err(error)?;
        // `FULL`: what is written here is about to be relied on by an effect outside.
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
        connection.execute_batch(settings).map_err(error)?;
        let mut journal = Self { connection, path: path.to_owned(), disk };
        journal.migrate()?;
        Ok(journal)
    }

    fn migrate(&mut self) -> Result<()> {
        let version = |connection: &Connection| {
            connection.query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0))
        };
        let found = version(&self.connection).map_err(self.error("read"))?;
        if found > schema::VERSION {
            return Err(Error::Newer { path: self.path.clone() });
        }
        if found == schema::VERSION {
            return Ok(());
        }
        self.write("create", |transaction| {
            // Somebody else may have been faster.
            if version(transaction)? < schema::VERSION {
                transaction.execute_batch(schema::TABLES)?;
                transaction.pragma_update(None, "user_version", schema::VERSION)?;
            }
            Ok(())
        })
    }

    /// Returns a unit's state.
    pub fn unit_state(&self, unit: &str) -> Result<Option<UnitState>> {
        let query = "SELECT state FROM units WHERE unit = ?1";
        let state = self
            .connection
            .query_row(query, [unit], |row| row.get::<_, String>(0))
            .optional()
            .map_err(self.error("read"))?;
        state.map(|state| self.parse_state(&state)).transpose()
    }

    /// Returns all units that were ever activated here and not purged, in ascending order.
    pub fn units(&self) -> Result<Vec<(String, UnitState)>> {
        let query = "SELECT unit, state FROM units ORDER BY unit";
        self.read(query, |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
            .into_iter()
            .map(|(unit, state)| Ok((unit, self.parse_state(&state)?)))
            .collect()
    }

    fn parse_state(&self, state: &str) -> Result<UnitState> {
        match state {
            "active" => Ok(UnitState::Active),
            "garbage" => Ok(UnitState::Garbage),
            _ => Err(Error::Row { path: self.path.clone(), what: "unit state" }),
        }
    }

    /// Sets a unit's state, or forgets the unit.
    pub fn set_unit_state(&mut self, unit: &str, state: Option<UnitState>) -> Result<()> {
        self.write("change", |transaction| {
            let state = match state {
                None => return transaction.execute("DELETE FROM units WHERE unit = ?1", [unit]),
                Some(UnitState::Active) => "active",
                Some(UnitState::Garbage) => "garbage",
            };
            transaction.execute("INSERT OR REPLACE INTO units VALUES (?1, ?2)", [unit, state])
        })
        .map(|_| ())
    }

    /// Writes down a restore, replacing what stood there of the same tag.
    pub fn record(&mut self, restore: &Restore) -> Result<()> {
        self.write("change", |transaction| {
            let swap = restore.swap.as_ref().map(schema::encode_swap);
            let row = params![
                restore.tag.to_string(),
                restore.unit,
                restore.phase.name(),
                swap,
                restore.time,
            ];
            transaction.execute("INSERT OR REPLACE INTO restores VALUES (?1, ?2, ?3, ?4, ?5)", row)
        })
        .map(|_| ())
    }

    /// Forgets a restore, after all that carries its tag was released.
    pub fn forget(&mut self, tag: &Tag) -> Result<()> {
        self.write("change", |transaction| {
            transaction.execute("DELETE FROM restores WHERE tag = ?1", [tag.to_string()])
        })
        .map(|_| ())
    }

    /// Returns all restores, the oldest first.
    pub fn restores(&self) -> Result<Vec<Restore>> {
        let query = "SELECT tag, unit, phase, swap, time FROM restores ORDER BY time, rowid";
        let invalid = |what| Error::Row { path: self.path.clone(), what };
        let text = |row: &Row<'_>, at| row.get::<_, String>(at);
        self.read(query, |row| {
            let swap: Option<String> = row.get(3)?;
            Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?, swap, text(row, 4)?))
        })?
        .into_iter()
        .map(|(tag, unit, phase, swap, time)| {
            let phase = Phase::ALL.into_iter().find(|known| known.name() == phase);
            let swap = swap.map(|swap| schema::decode_swap(&swap).ok_or_else(|| invalid("swap")));
            Ok(Restore {
                unit,
                tag: Tag::parse(&tag).ok_or_else(|| invalid("tag"))?,
                phase: phase.ok_or_else(|| invalid("phase"))?,
                swap: swap.transpose()?,
                time,
            })
        })
        .collect()
    }

    fn read<T>(
        &self,
        query: &str,
        map: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let read = || {
            let mut statement = self.connection.prepare(query)?;
            let rows = statement.query_map([], map)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(self.error("read"))
    }

    fn error(&self, verb: &'static str) -> impl Fn(rusqlite::Error) -> Error + use<> {
        let path = self.path.clone();
        move |source| Error::Sqlite { verb, path: path.clone(), source }
    }

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
