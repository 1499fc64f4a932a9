//! Snapshots and generations: what units' states were.

use plugins::tree::{Digest, Profile};
use rusqlite::{ToSql, params};

use super::{Index, Result};
use crate::store::{Generation, GenerationKind, Root};

const SNAPSHOTS: &str =
    "SELECT id, unit, profile, manifest_bytes, entries, size_bytes, stored_bytes
                         FROM snapshots";
const GENERATIONS: &str =
    "SELECT unit, number, snapshot, time, host, kind, reason FROM generations";

impl Index {
    /// Adds a root that is durable. Adding it again changes nothing.
    pub fn add_root(&mut self, root: &Root) -> Result<()> {
        self.database.write("add a snapshot to", |transaction| {
            let insert = "INSERT OR IGNORE INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let row = params![
                root.snapshot.0,
                root.unit,
                root.profile.name(),
                root.manifest_bytes,
                root.entries,
                root.size_bytes,
                root.stored_bytes,
            ];
            transaction.execute(insert, row).map(|_| ())
        })?;
        Ok(())
    }

    /// Forgets a root.
    pub fn remove_root(&mut self, snapshot: &Digest, unit: &str) -> Result<()> {
        self.database.write("remove a snapshot from", |transaction| {
            let delete = "DELETE FROM snapshots WHERE id = ?1 AND unit = ?2";
            transaction.execute(delete, params![snapshot.0, unit]).map(|_| ())
        })?;
        Ok(())
    }

    /// Returns all roots.
    pub fn roots(&self) -> Result<Vec<Root>> {
        self.read_roots(&format!("{SNAPSHOTS} ORDER BY id, unit"), &[])
    }

    /// Returns the roots of a snapshot: one for each unit that had this state.
    pub fn roots_of(&self, snapshot: &Digest) -> Result<Vec<Root>> {
        self.read_roots(&format!("{SNAPSHOTS} WHERE id = ?1 ORDER BY unit"), &[&snapshot.0])
    }

    fn read_roots(&self, query: &str, values: &[&dyn ToSql]) -> Result<Vec<Root>> {
        self.database
            .rows(query, values, |row| {
                let profile: String = row.get(2)?;
                let root = Profile::parse(&profile).map(|profile| {
                    Ok(Root {
                        snapshot: Digest(row.get(0)?),
                        unit: row.get(1)?,
                        profile,
                        manifest_bytes: row.get(3)?,
                        entries: row.get(4)?,
                        size_bytes: row.get(5)?,
                        stored_bytes: row.get(6)?,
                    })
                });
                root.transpose()
            })?
            .into_iter()
            .map(|root| root.ok_or_else(|| self.database.invalid("profile").into()))
            .collect()
    }

    /// Adds a generation whose record is durable. Adding it again changes nothing.
    pub fn add_generation(&mut self, generation: &Generation) -> Result<()> {
        self.database.write("add a generation to", |transaction| {
            let insert = "INSERT OR IGNORE INTO generations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let row = params![
                generation.unit,
                generation.number,
                generation.snapshot.0,
                generation.time,
                generation.host,
                generation.kind.name(),
                generation.reason,
            ];
            transaction.execute(insert, row).map(|_| ())
        })?;
        Ok(())
    }

    /// Forgets a generation.
    pub fn remove_generation(&mut self, unit: &str, number: u64) -> Result<()> {
        self.database.write("remove a generation from", |transaction| {
            let delete = "DELETE FROM generations WHERE unit = ?1 AND number = ?2";
            transaction.execute(delete, params![unit, number]).map(|_| ())
        })?;
        Ok(())
    }

    /// Returns a unit's generations, the newest first.
    pub fn generations_of(&self, unit: &str) -> Result<Vec<Generation>> {
        let query = format!("{GENERATIONS} WHERE unit = ?1 ORDER BY number DESC");
        self.read_generations(&query, &[&unit])
    }

    /// Returns all generations, by unit, the newest first.
    pub fn generations(&self) -> Result<Vec<Generation>> {
        self.read_generations(&format!("{GENERATIONS} ORDER BY unit, number DESC"), &[])
    }

    fn read_generations(&self, query: &str, values: &[&dyn ToSql]) -> Result<Vec<Generation>> {
        self.database
            .rows(query, values, |row| {
                let kind: String = row.get(5)?;
                let generation = GenerationKind::parse(&kind).map(|kind| {
                    Ok(Generation {
                        unit: row.get(0)?,
                        number: row.get(1)?,
                        snapshot: Digest(row.get(2)?),
                        time: row.get(3)?,
                        host: row.get(4)?,
                        kind,
                        reason: row.get(6)?,
                    })
                });
                generation.transpose()
            })?
            .into_iter()
            .map(|generation| generation.ok_or_else(|| self.database.invalid("kind").into()))
            .collect()
    }
}
