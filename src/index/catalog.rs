//! Packs, blocks and objects: which are durable, and where.

use std::collections::BTreeSet;

use plugins::tree::Digest;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use super::{Index, Result};
use crate::database;
use crate::store::{self, Catalog, Kind, Location, ObjectKey, PackContents, Placement};

/// A pack that the index knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackRow {
    /// Its name.
    pub name: Digest,
    /// Bytes of the file.
    pub size_bytes: u64,
}

/// How much of a pack is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackUsage {
    /// The pack.
    pub pack: PackRow,
    /// Bytes of all its objects, before compression.
    pub object_bytes: u64,
    /// Bytes of those that are needed, before compression.
    pub needed_bytes: u64,
}

impl Catalog for Index {
    fn find(&mut self, key: &ObjectKey) -> store::Result<Option<Location>> {
        let query = "SELECT packs.name, blocks.offset_bytes, blocks.size_bytes,
                            objects.offset_bytes, objects.size_bytes
                     FROM objects JOIN blocks ON blocks.id = objects.block
                                  JOIN packs ON packs.id = blocks.pack
                     WHERE objects.id = ?1 AND objects.kind = ?2";
        let location = |row: &Row<'_>| {
            Ok(Location {
                pack: Digest(row.get(0)?),
                block_offset: row.get(1)?,
                block_bytes: row.get(2)?,
                offset_bytes: row.get(3)?,
                size_bytes: row.get(4)?,
            })
        };
        let found = self.database.ask(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            statement.query_row(params![key.id.0, key.kind as u8], location).optional()
        });
        found.map_err(catalog_error)
    }

    fn contains(&mut self, key: &ObjectKey) -> store::Result<bool> {
        let query = "SELECT 1 FROM objects WHERE id = ?1 AND kind = ?2";
        let found = self.database.ask(|connection| {
            let mut statement = connection.prepare_cached(query)?;
            statement.exists(params![key.id.0, key.kind as u8])
        });
        found.map_err(catalog_error)
    }

    fn add_pack(&mut self, pack: &PackContents, placement: Placement) -> store::Result<()> {
        // In the order of the table: SQLite then writes each page once.
        let mut objects = Vec::new();
        for (block, contents) in pack.blocks.iter().enumerate() {
            let mut offset_bytes = 0u32;
            for (key, size_bytes) in &contents.objects {
                if placement != Placement::Unproven || key.kind != Kind::File {
                    objects.push((key, block, offset_bytes, *size_bytes));
                }
                offset_bytes += size_bytes;
            }
        }
        objects.sort_unstable_by_key(|(key, ..)| **key);
        let added = self.database.write("add a pack to", |transaction| {
            // The pack may be known without its objects: published by a collection that died and adopted, or damaged
            // when it was adopted and whole now.
            let known = "SELECT 1 FROM packs WHERE name = ?1";
            if transaction.prepare_cached(known)?.exists([pack.name.0])? {
                delete_packs(transaction, &[pack.name])?;
            }
            let insert = "INSERT INTO packs (name, size_bytes) VALUES (?1, ?2)";
            transaction.execute(insert, params![pack.name.0, pack.size_bytes])?;
            let pack_id = transaction.last_insert_rowid();
            let mut block_ids = Vec::with_capacity(pack.blocks.len());
            let insert = "INSERT INTO blocks (pack, offset_bytes, size_bytes) VALUES (?1, ?2, ?3)";
            let mut statement = transaction.prepare_cached(insert)?;
            for block in &pack.blocks {
                let row = params![pack_id, block.offset_bytes, block.size_bytes];
                block_ids.push(statement.insert(row)?);
            }
            let insert = match placement {
                Placement::New => "INSERT OR IGNORE",
                Placement::Move | Placement::Unproven => "INSERT OR REPLACE",
            };
            let columns = "(id, kind, block, offset_bytes, size_bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
            let insert = format!("{insert} INTO objects {columns}");
            let mut statement = transaction.prepare_cached(&insert)?;
            for (key, block, offset_bytes, size_bytes) in objects {
                let row =
                    params![key.id.0, key.kind as u8, block_ids[block], offset_bytes, size_bytes];
                statement.execute(row)?;
            }
            Ok(())
        });
        added.map_err(catalog_error)
    }
}

/// The store sees its catalog's errors through its own.
fn catalog_error(error: database::Error) -> store::Error {
    store::Error::Catalog { source: Box::new(error) }
}

impl Index {
    /// Returns all packs.
    pub fn packs(&self) -> Result<Vec<PackRow>> {
        let query = "SELECT name, size_bytes FROM packs ORDER BY name";
        Ok(self.database.rows(query, &[], pack_row)?)
    }

    /// Returns for each pack how much of it `is_needed`.
    pub fn pack_usage(&self, is_needed: impl Fn(&ObjectKey) -> bool) -> Result<Vec<PackUsage>> {
        let query =
            "SELECT packs.name, packs.size_bytes, objects.id, objects.kind, objects.size_bytes
                     FROM packs LEFT JOIN blocks ON blocks.pack = packs.id
                                LEFT JOIN objects ON objects.block = blocks.id";
        let mut usage = std::collections::BTreeMap::new();
        self.database.ask(|connection| {
            let mut statement = connection.prepare(query)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let pack = pack_row(row)?;
                let of_pack = usage.entry(pack.name).or_insert(PackUsage {
                    pack,
                    object_bytes: 0,
                    needed_bytes: 0,
                });
                let Some(key) = object_key(row, 2)? else { continue };
                let size_bytes: u64 = row.get(4)?;
                of_pack.object_bytes += size_bytes;
                if is_needed(&key) {
                    of_pack.needed_bytes += size_bytes;
                }
            }
            Ok(())
        })?;
        Ok(usage.into_values().collect())
    }

    /// Returns the objects that the index finds in some packs and that are `wanted`, in the order in which they lie there.
    pub fn objects_in(
        &self,
        packs: &BTreeSet<Digest>,
        wanted: impl Fn(&ObjectKey) -> bool,
    ) -> Result<Vec<ObjectKey>> {
        // One pass over all: an index by block would double the table.
        let query =
            "SELECT objects.id, objects.kind, packs.name, blocks.offset_bytes, objects.offset_bytes
                     FROM objects JOIN blocks ON blocks.id = objects.block
                                  JOIN packs ON packs.id = blocks.pack";
        let mut found = self.database.ask(|connection| {
            let mut statement = connection.prepare(query)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let pack = Digest(row.get(2)?);
                let key = object_key(row, 0)?;
                if let Some(key) = key.filter(|key| packs.contains(&pack) && wanted(key)) {
                    found.push((pack, row.get::<_, u64>(3)?, row.get::<_, u32>(4)?, key));
                }
            }
            Ok(found)
        })?;
        found.sort_unstable();
        Ok(found.into_iter().map(|(.., key)| key).collect())
    }

    /// Forgets packs and all that the index finds in them.
    pub fn remove_packs(&mut self, names: &[Digest]) -> Result<()> {
        let removed = |transaction: &Transaction<'_>| delete_packs(transaction, names);
        Ok(self.database.write("remove packs from", removed)?)
    }
}

fn delete_packs(transaction: &Transaction<'_>, names: &[Digest]) -> rusqlite::Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    // Together, because finding the objects of a pack takes a pass over all.
    transaction.execute_batch("CREATE TEMP TABLE doomed (pack INTEGER PRIMARY KEY)")?;
    let doom = "INSERT INTO doomed SELECT id FROM packs WHERE name = ?1";
    for name in names {
        transaction.execute(doom, [name.0])?;
    }
    transaction.execute_batch(
        "DELETE FROM objects WHERE block IN (SELECT id FROM blocks WHERE pack IN doomed);
         DELETE FROM blocks WHERE pack IN doomed;
         DELETE FROM packs WHERE id IN doomed;
         DROP TABLE doomed;",
    )
}

fn pack_row(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow { name: Digest(row.get(0)?), size_bytes: row.get(1)? })
}

/// Returns the object in two columns from `at`; none where an outer join found none.
fn object_key(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<ObjectKey>> {
    let id: Option<[u8; 32]> = row.get(at)?;
    let kind: Option<u8> = row.get(at + 1)?;
    let key = id.zip(kind.and_then(Kind::parse));
    Ok(key.map(|(id, kind)| ObjectKey { id: Digest(id), kind }))
}
