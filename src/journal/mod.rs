//! What is under way on this host and which units are in service: SQLite, authoritative.

mod schema;

use std::path::Path;
use std::sync::Arc;

use plugins::{Swap, Tag};
use rusqlite::{OptionalExtension, Row, params};

use crate::database::{self, Database};
use crate::disk::Disk;

/// The result of an operation on the journal.
pub type Result<T> = std::result::Result<T, Error>;

/// An operation on the journal failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the journal")]
pub struct Error(#[from] database::Error);

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

/// The journal of one host.
pub struct Journal {
    database: Database,
}

impl Journal {
    /// Opens the journal, or makes an empty one where there is none. A damaged one is an error: it cannot be rebuilt.
    pub fn open(path: &Path, disk: Arc<dyn Disk>) -> Result<Self> {
        let database = Database::open(path, disk, schema::TABLES, schema::VERSION)?;
        if database.version()? > schema::VERSION {
            return Err(database.newer().into());
        }
        Ok(Self { database })
    }

    /// Returns a unit's state.
    pub fn unit_state(&self, unit: &str) -> Result<Option<UnitState>> {
        let query = "SELECT state FROM units WHERE unit = ?1";
        let state = self.database.ask(|connection| {
            connection.query_row(query, [unit], |row| row.get::<_, String>(0)).optional()
        })?;
        state.map(|state| self.parse_state(&state)).transpose()
    }

    /// Returns all units that were ever activated here and not purged, in ascending order.
    pub fn units(&self) -> Result<Vec<(String, UnitState)>> {
        let query = "SELECT unit, state FROM units ORDER BY unit";
        self.database
            .rows(query, &[], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?
            .into_iter()
            .map(|(unit, state)| Ok((unit, self.parse_state(&state)?)))
            .collect()
    }

    fn parse_state(&self, state: &str) -> Result<UnitState> {
        match state {
            "active" => Ok(UnitState::Active),
            "garbage" => Ok(UnitState::Garbage),
            _ => Err(self.database.invalid("unit state").into()),
        }
    }

    /// Sets a unit's state, or forgets the unit.
    pub fn set_unit_state(&mut self, unit: &str, state: Option<UnitState>) -> Result<()> {
        self.database.write("change", |transaction| {
            let state = match state {
                None => return transaction.execute("DELETE FROM units WHERE unit = ?1", [unit]),
                Some(UnitState::Active) => "active",
                Some(UnitState::Garbage) => "garbage",
            };
            transaction.execute("INSERT OR REPLACE INTO units VALUES (?1, ?2)", [unit, state])
        })?;
        Ok(())
    }

    /// Writes down a restore, replacing what stood there of the same tag.
    pub fn record(&mut self, restore: &Restore) -> Result<()> {
        self.database.write("change", |transaction| {
            let swap = restore.swap.as_ref().map(schema::encode_swap);
            let row = params![
                restore.tag.to_string(),
                restore.unit,
                restore.phase.name(),
                swap,
                restore.time,
            ];
            // Not by REPLACE, which would make it the newest, nor by the clock, which may be wrong.
            let upsert = "INSERT INTO restores VALUES (?1, ?2, ?3, ?4, ?5)
                          ON CONFLICT (tag) DO UPDATE SET phase = excluded.phase, swap = excluded.swap";
            transaction.execute(upsert, row)
        })?;
        Ok(())
    }

    /// Forgets a restore, after all that carries its tag was released.
    pub fn forget(&mut self, tag: &Tag) -> Result<()> {
        self.database.write("change", |transaction| {
            transaction.execute("DELETE FROM restores WHERE tag = ?1", [tag.to_string()])
        })?;
        Ok(())
    }

    /// Returns all restores, the oldest first.
    pub fn restores(&self) -> Result<Vec<Restore>> {
        let query = "SELECT tag, unit, phase, swap, time FROM restores ORDER BY rowid";
        let invalid = |what| self.database.invalid(what);
        let text = |row: &Row<'_>, at| row.get::<_, String>(at);
        self.database
            .rows(query, &[], |row| {
                let swap: Option<String> = row.get(3)?;
                Ok((text(row, 0)?, text(row, 1)?, text(row, 2)?, swap, text(row, 4)?))
            })?
            .into_iter()
            .map(|(tag, unit, phase, swap, time)| {
                let phase = Phase::ALL.into_iter().find(|known| known.name() == phase);
                let swap =
                    swap.map(|swap| schema::decode_swap(&swap).ok_or_else(|| invalid("swap")));
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
}
