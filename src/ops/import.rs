//! Reads a bundle into the store, verifying each object before it counts.

use std::io::Read;

use plugins::UnitAddress;
use plugins::tree::Digest;

use super::bundle::Member;
use super::error::{Error, Result};
use super::mark::Needed;
use super::snapshot::next_number;
use crate::host::Host;
use crate::report::Report;
use crate::store::{
    Access, Catalog, Error as StoreError, Generation, GenerationKind, Kind, PackContents,
    Placement, Reader, Root, Session, decode_bundle_head,
};

/// A longer record is none.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// One imported snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The unit.
    pub unit: String,
    /// The state.
    pub snapshot: Digest,
    /// The generation that has it here.
    pub generation: u64,
    /// Whether the generation is new.
    pub created: bool,
    /// The sum of all contents.
    pub size_bytes: u64,
}

/// What a bundle announced and brought.
#[derive(Default)]
struct Contents {
    announced: Option<u64>,
    roots: Vec<Root>,
    generations: Vec<Generation>,
    /// Packs with file objects, which are not believed yet.
    unproven: Vec<PackContents>,
}

/// Imports all snapshots of a bundle. Where anything is wrong with it, none becomes visible; packs that were whole stay
/// until the next `gc`.
pub fn import(host: &Host, from: &mut dyn Read, report: &dyn Report) -> Result<Vec<Imported>> {
    let session = host.session(Access::Shared, "import", report)?;
    report.begin("importing", None);
    let contents = read_members(host, &session, from, report);
    report.end();
    let contents = contents?;
    if contents.announced != Some(contents.roots.len() as u64) {
        return Err(Error::Member {
            member: "the end of the bundle".to_owned(),
            reason: "it is cut off: it holds fewer snapshots than it announces".to_owned(),
        });
    }
    for pack in &contents.unproven {
        prove_file_objects(host, pack)?;
    }
    // All of them, before the first is recorded.
    for root in &contents.roots {
        check_closure(host, root)?;
    }
    contents.roots.iter().map(|root| record(host, &session, root, &contents.generations)).collect()
}

fn read_members(
    host: &Host,
    session: &Session<'_>,
    from: &mut dyn Read,
    report: &dyn Report,
) -> Result<Contents> {
    let read_error = |source| Error::Bundle { verb: "read", source };
    let mut contents = Contents::default();
    let mut archive = tar::Archive::new(from);
    for member in archive.entries().map_err(read_error)? {
        let mut member = member.map_err(read_error)?;
        let name = String::from_utf8_lossy(&member.path_bytes()).into_owned();
        let refuse =
            |reason: &str| Error::Member { member: name.clone(), reason: reason.to_owned() };
        if member.header().entry_type() != tar::EntryType::Regular {
            return Err(refuse("a bundle holds regular files only"));
        }
        let kind = Member::parse(&name)?;
        if (kind == Member::Head) == contents.announced.is_some() {
            return Err(refuse("a bundle starts with its head, and has one"));
        }
        report.advance(member.size());
        match kind {
            Member::Pack(pack) => {
                let pack = import_pack(host, session, &name, &pack, &mut member)?;
                if pack.keys().any(|key| key.kind == Kind::File) {
                    contents.unproven.push(pack);
                }
            }
            Member::Head => {
                let record = read_record(&mut member, &name)?;
                contents.announced = Some(parsed(&name, decode_bundle_head(&record))?);
            }
            Member::Root(file_name) => {
                let root = parsed(&name, Root::parse(&read_record(&mut member, &name)?))?;
                if root.file_name() != file_name {
                    return Err(refuse("its name does not fit its content"));
                }
                contents.roots.push(root);
            }
            Member::Generation => {
                let record = read_record(&mut member, &name)?;
                contents.generations.push(parsed(&name, Generation::parse(&record))?);
            }
        }
    }
    Ok(contents)
}

/// A record that does not parse is damage of the bundle, not of the store.
fn parsed<T>(name: &str, record: crate::store::Result<T>) -> Result<T> {
    record.map_err(|error| Error::Member { member: name.to_owned(), reason: error.to_string() })
}

fn read_record(member: &mut dyn Read, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = member.take(RECORD_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|source| Error::Bundle { verb: "read", source })?;
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        let reason = "it is longer than a record can be".to_owned();
        return Err(Error::Member { member: name.to_owned(), reason });
    }
    Ok(bytes)
}

fn import_pack(
    host: &Host,
    session: &Session<'_>,
    name: &str,
    pack: &Digest,
    member: &mut dyn Read,
) -> Result<PackContents> {
    host.context().interrupt.check().map_err(|_| plugins::Interrupted)?;
    match host.store.import_pack(session, pack, member)? {
        Ok(contents) => {
            // The rows only now that the pack is verified and durable. What is there already is found in the imported pack
            // from now on: it is known to be whole.
            host.index().add_pack(&contents, Placement::Unproven)?;
            Ok(contents)
        }
        Err(reason) => Err(Error::Member { member: name.to_owned(), reason }),
    }
}

/// Reads what the file objects of a pack list. Their ids are digests of contents, so that their own bytes prove nothing,
/// and later snapshots would believe them.
fn prove_file_objects(host: &Host, pack: &PackContents) -> Result<()> {
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    for (key, location) in pack.locations() {
        if key.kind == Kind::File {
            reader.prove(&key, &location).map_err(|error| match error {
                StoreError::Damaged { .. } | StoreError::Missing { .. } => Error::Member {
                    member: format!("file object {}", key.id),
                    reason: error.to_string(),
                },
                other => other.into(),
            })?;
        }
    }
    Ok(host.index().add_pack(pack, Placement::Move)?)
}

/// Checks that all a snapshot needs is in the store.
fn check_closure(host: &Host, root: &Root) -> Result<()> {
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let refuse = |reason| Error::Member { member: root.file_name(), reason };
    let mut needed = Needed::default();
    match needed.add(&reader, root) {
        Ok(()) => {}
        Err(error @ (StoreError::Missing { .. } | StoreError::Damaged { .. })) => {
            return Err(refuse(error.to_string()));
        }
        Err(error) => return Err(error.into()),
    }
    let missing = needed.missing_from(&mut *host.index())?;
    match missing.first() {
        None => Ok(()),
        Some(key) => Err(refuse(format!("the bundle lacks {} {}", key.kind.name(), key.id))),
    }
}

/// Records an imported snapshot as the unit's newest generation, with the time, host and reason of the original.
fn record(
    host: &Host,
    session: &Session<'_>,
    root: &Root,
    generations: &[Generation],
) -> Result<Imported> {
    let unit: UnitAddress = root.unit.parse().map_err(|error: plugins::unit::AddressError| {
        Error::Member { member: root.file_name(), reason: error.to_string() }
    })?;
    let _lock = host.lock_unit(&unit, "import of")?;
    let original = generations.iter().find(|g| g.unit == root.unit && g.snapshot == root.snapshot);
    let known = host.index().generations_of(&root.unit)?;
    let imported = |generation, created| Imported {
        unit: root.unit.clone(),
        snapshot: root.snapshot,
        generation,
        created,
        size_bytes: root.size_bytes,
    };
    if let Some(same) = known.iter().find(|generation| generation.snapshot == root.snapshot) {
        return Ok(imported(same.number, false));
    }
    let number = next_number(host, &root.unit, &known)?;
    let generation = match original {
        Some(original) => Generation { number, ..original.clone() },
        None => Generation {
            unit: root.unit.clone(),
            number,
            snapshot: root.snapshot,
            time: host.now_text(),
            host: host.name().to_owned(),
            kind: GenerationKind::Manual,
            reason: "imported".to_owned(),
        },
    };
    host.store.write_root(session, root)?;
    host.index().add_root(root)?;
    host.store.write_generation(session, &generation, &root.file_name())?;
    host.index().add_generation(&generation)?;
    Ok(imported(number, true))
}
