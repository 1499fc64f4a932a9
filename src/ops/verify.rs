//! Finds damage and names what it affects. Changes nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use plugins::tree::Digest;

use super::error::Result;
use super::mark::Needed;
use super::select::Selected;
use crate::host::Host;
use crate::report::Report;
use crate::store::{Access, Error as StoreError, ObjectKey, Reader, Root};

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Records, manifests and lists, and that every pack is there and as long as it was.
    Structure,
    /// Every byte of every pack as well.
    Data,
}

/// Something that is damaged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind of thing: `root`, `generation`, `snapshot`, `pack`.
    pub kind: &'static str,
    /// Which one, and what is wrong with it.
    pub object: String,
    /// The snapshots that need it, in ascending order.
    pub affects: Vec<Digest>,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// How many snapshots.
    pub snapshots_checked: u64,
    /// How many bytes of packs were read.
    pub bytes_checked: u64,
    /// All that is damaged.
    pub problems: Vec<Problem>,
}

/// Looks for damage in some snapshots, or in all.
pub fn verify(
    host: &Host,
    selected: &[Selected],
    depth: Depth,
    report: &dyn Report,
) -> Result<Verified> {
    let _session = host.session(Access::Shared, "verify", report)?;
    let mut verified = Verified::default();
    let roots = match selected {
        [] => {
            check_records(host, &mut verified.problems)?;
            host.index().roots()?
        }
        _ => selected.iter().map(|selected| selected.root.clone()).collect(),
    };
    let needs = check_snapshots(host, &roots, &mut verified, report)?;
    let bad = check_packs(host, &needs, selected.is_empty(), depth, &mut verified, report)?;
    for (pack, (keys, reason)) in bad {
        let affects = needs
            .iter()
            .filter(|(_, needed)| keys.iter().any(|key| needed.contains(key)))
            .map(|(snapshot, _)| *snapshot)
            .collect();
        let object = format!("{}: {reason}", host.store.pack_path(&pack).display());
        verified.problems.push(Problem { kind: "pack", object, affects });
    }
    Ok(verified)
}

/// Finds records that have no row because they cannot be read.
fn check_records(host: &Host, problems: &mut Vec<Problem>) -> Result<()> {
    for name in host.store.root_names()? {
        match host.store.read_root(&name) {
            Ok(_) => {}
            Err(error @ StoreError::Damaged { .. }) => {
                let affects = name.get(..64).and_then(Digest::parse).into_iter().collect();
                problems.push(Problem { kind: "root", object: error.to_string(), affects });
            }
            Err(error) => return Err(error.into()),
        }
    }
    for path in host.store.generation_paths()? {
        match host.store.read_generation(&path) {
            Ok(generation) => {
                if host.index().roots_of(&generation.snapshot)?.is_empty() {
                    let object = format!("{}: its snapshot has no root file", path.display());
                    let affects = vec![generation.snapshot];
                    problems.push(Problem { kind: "generation", object, affects });
                }
            }
            Err(error @ StoreError::Damaged { .. }) => {
                let object = error.to_string();
                problems.push(Problem { kind: "generation", object, affects: Vec::new() });
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads every manifest and list and looks up all that they name. Returns what each snapshot needs, as far as that could
/// be read.
fn check_snapshots(
    host: &Host,
    roots: &[Root],
    verified: &mut Verified,
    report: &dyn Report,
) -> Result<BTreeMap<Digest, Needed>> {
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let mut needs = BTreeMap::new();
    report.begin("checking manifests", None);
    for root in roots {
        if needs.contains_key(&root.snapshot) {
            continue;
        }
        verified.snapshots_checked += 1;
        let mut needed = Needed::default();
        let problem = match needed.add(&reader, root) {
            Ok(()) => {
                let missing = needed.missing_from(&mut *host.index())?;
                missing.first().map(|key| missing_objects(key, missing.len()))
            }
            Err(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
                Some(error.to_string())
            }
            Err(error) => {
                report.end();
                return Err(error.into());
            }
        };
        if let Some(problem) = problem {
            let object = format!("{}: {problem}", root.file_name());
            let affects = vec![root.snapshot];
            verified.problems.push(Problem { kind: "snapshot", object, affects });
        }
        needs.insert(root.snapshot, needed);
    }
    report.end();
    Ok(needs)
}

fn missing_objects(first: &ObjectKey, n: usize) -> String {
    format!("{n} objects are missing, the first one {} {}", first.kind.name(), first.id)
}

type BadPacks = BTreeMap<Digest, (HashSet<ObjectKey>, String)>;

/// Looks at the packs; returns for each damaged one what can no longer be read from it.
fn check_packs(
    host: &Host,
    needs: &BTreeMap<Digest, Needed>,
    all: bool,
    depth: Depth,
    verified: &mut Verified,
    report: &dyn Report,
) -> Result<BadPacks> {
    let mut packs = host.index().packs()?;
    if !all {
        let mut used = BTreeSet::new();
        for key in needs.values().flat_map(Needed::iter) {
            let location = crate::store::Catalog::find(&mut *host.index(), key)?;
            used.extend(location.map(|location| location.pack));
        }
        packs.retain(|pack| used.contains(&pack.name));
    }
    let total = packs.iter().map(|pack| pack.size_bytes).sum();
    report.begin("reading packs", (depth == Depth::Data).then_some(total));
    let mut bad = BadPacks::new();
    for pack in packs {
        host.context().interrupt.check().map_err(|_| plugins::Interrupted)?;
        let path = host.store.pack_path(&pack.name);
        let size_bytes = std::fs::metadata(&path).map(|metadata| metadata.len()).ok();
        let problem = match (size_bytes, depth) {
            (None, _) => Some((HashSet::new(), "it is missing".to_owned())),
            (Some(n), Depth::Structure) if n != pack.size_bytes => {
                let reason = format!("it has {n} bytes in place of {}", pack.size_bytes);
                Some((read_pack(host, &pack.name, verified, report)?.0, reason))
            }
            (Some(_), Depth::Structure) => None,
            (Some(_), Depth::Data) => {
                let (intact, problems) = read_pack(host, &pack.name, verified, report)?;
                problems.into_iter().next().map(|problem| (intact, problem))
            }
        };
        if let Some((intact, reason)) = problem {
            let of_pack = BTreeSet::from([pack.name]);
            let lost = host.index().objects_in(&of_pack, |key| !intact.contains(key))?;
            bad.insert(pack.name, (lost.into_iter().collect(), reason));
        }
    }
    report.end();
    Ok(bad)
}

/// Reads a pack; returns the objects that are intact, and what is wrong.
fn read_pack(
    host: &Host,
    name: &Digest,
    verified: &mut Verified,
    report: &dyn Report,
) -> Result<(HashSet<ObjectKey>, Vec<String>)> {
    let interrupt = &host.context().interrupt;
    let checked = host.store.check_pack(name, |n| {
        report.advance(n);
        verified.bytes_checked += n;
        if interrupt.is_raised() {
            return Err(StoreError::Interrupted(plugins::Interrupted));
        }
        Ok(())
    });
    let (blocks, problems) = match checked {
        // A disk that cannot read a pack has lost it.
        Err(StoreError::File { verb, source, .. }) => {
            (Vec::new(), vec![format!("cannot {verb} it: {source}")])
        }
        other => other?,
    };
    let keys = blocks.into_iter().flat_map(|block| block.objects).map(|(key, _)| key).collect();
    Ok((keys, problems))
}
