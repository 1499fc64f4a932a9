//! Forgets generations that no rule keeps, and frees what no snapshot needs.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::{SignedDuration, Timestamp};
use plugins::UnitAddress;
use plugins::tree::Digest;

use super::copy::copy_needed;
use super::error::{Error, Result};
use super::mark::Needed;
use super::recover::{recover_unit, release_displaced};
use super::retention::{Decision, Rules, plan};
use crate::host::{Host, Keep};
use crate::index::PackUsage;
use crate::report::Report;
use crate::store::{Access, Generation, IntoStore, Placement, Reader, Root, Session};

/// Packs of which less than one part in this many is needed are rewritten: copying less than half of a pack pays for
/// itself at once.
const SPARSE_DIVISOR: u64 = 2;

/// What to forget.
#[derive(Clone, Copy, Debug, Default)]
pub struct CollectRequest {
    /// Rules for all units, in place of the configured ones.
    pub keep: Option<Keep>,
    /// Only generations older than this are forgotten.
    pub older_than: Option<SignedDuration>,
    /// Whether anything is done.
    pub dry_run: bool,
}

/// What was forgotten and freed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Generations that no rule keeps.
    pub forgotten: Vec<Generation>,
    /// Generations that stay, with the reasons.
    pub kept: Vec<KeptGeneration>,
    /// Snapshots that no generation and no pin names.
    pub deleted_snapshots: Vec<Digest>,
    /// Bytes of packs that went, less those that were written in their place. In a dry run a lower bound.
    pub freed_bytes: u64,
}

/// A generation that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptGeneration {
    /// The generation.
    pub generation: Generation,
    /// Why, in words for people.
    pub kept_by: Vec<String>,
}

/// Collects garbage. Nobody else may use the store meanwhile. Nothing is deleted before all that stays was found whole
/// enough to know what it needs.
pub fn gc(host: &Host, request: &CollectRequest, report: &dyn Report) -> Result<Collected> {
    let session = host.session(Access::Exclusive, "gc", report)?;
    check_records(host)?;
    let decisions = decide(host, request)?;
    let (kept, forgotten): (Vec<_>, Vec<_>) =
        decisions.into_iter().partition(|decision| !decision.kept_by.is_empty());
    let (live, dead) = split_roots(host, &kept)?;

    report.begin("marking", None);
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let mut needed = Needed::default();
    let marked = live.iter().try_for_each(|root| needed.add(&reader, root));
    report.end();
    marked?;
    drop(reader);
    let usage = host.index().pack_usage(|key| needed.contains(key))?;

    let mut collected = Collected {
        forgotten: forgotten.into_iter().map(|decision| decision.generation).collect(),
        kept: kept.into_iter().map(kept_generation).collect(),
        deleted_snapshots: dead.iter().map(|root| root.snapshot).collect(),
        freed_bytes: dead_packs(&usage).map(|usage| usage.pack.size_bytes).sum(),
    };
    if !request.dry_run {
        release_restores(host, report)?;
        forget(host, &collected.forgotten, &dead)?;
        collected.freed_bytes = sweep(host, &session, &usage, &needed, report)?;
    }
    Ok(collected)
}

fn kept_generation(decision: Decision) -> KeptGeneration {
    KeptGeneration { generation: decision.generation, kept_by: decision.kept_by }
}

/// Refuses where a record cannot be read: what it keeps is not known.
fn check_records(host: &Host) -> Result<()> {
    let verb = "collect garbage";
    let known: HashSet<String> = host.index().roots()?.iter().map(Root::file_name).collect();
    if let Some(name) = host.store.root_names()?.into_iter().find(|name| !known.contains(name)) {
        return Err(Error::Unsafe { verb, problem: format!("the root file {name} is damaged") });
    }
    let named: HashSet<_> =
        host.index().roots()?.into_iter().map(|root| (root.snapshot, root.unit)).collect();
    let generations = host.index().generations()?;
    // What it needs cannot be known, and may still be mended.
    if let Some(g) = generations.iter().find(|g| !named.contains(&(g.snapshot, g.unit.clone()))) {
        let problem = format!("the root file of generation {} of {} is missing", g.number, g.unit);
        return Err(Error::Unsafe { verb, problem });
    }
    let path = |g: &Generation| host.store.generation_path(&g.unit, g.number);
    let known: HashSet<_> = generations.iter().map(path).collect();
    if let Some(path) = host.store.generation_paths()?.into_iter().find(|p| !known.contains(p)) {
        let problem = format!("the generation record {} is damaged", path.display());
        return Err(Error::Unsafe { verb, problem });
    }
    Ok(())
}

fn decide(host: &Host, request: &CollectRequest) -> Result<Vec<Decision>> {
    let now = host.now();
    let before = request.older_than.map(|age| now.checked_sub(age).unwrap_or(Timestamp::MIN));
    let pinned: HashSet<String> = host.store.pins()?.into_iter().map(|pin| pin.root).collect();
    let roots: BTreeMap<(Digest, String), String> = host
        .index()
        .roots()?
        .into_iter()
        .map(|root| ((root.snapshot, root.unit.clone()), root.file_name()))
        .collect();
    let is_pinned = |generation: &Generation| {
        let root = roots.get(&(generation.snapshot, generation.unit.clone()));
        root.is_some_and(|root| pinned.contains(root))
    };
    let mut by_unit: BTreeMap<String, Vec<Generation>> = BTreeMap::new();
    for generation in host.index().generations()? {
        by_unit.entry(generation.unit.clone()).or_default().push(generation);
    }
    let mut decisions = Vec::new();
    for (unit, generations) in by_unit {
        let unit: Option<UnitAddress> = unit.parse().ok();
        let configured = unit.and_then(|unit| host.config.units.get(&unit)?.keep);
        let rules = Rules { keep: request.keep.or(configured), before };
        let of_unit = plan(&generations, rules, is_pinned, now);
        if let Some(decision) =
            of_unit.iter().all(|d| d.kept_by.is_empty()).then(|| of_unit.first())
        {
            let unit = decision.map(|d| d.generation.unit.clone()).unwrap_or_default();
            return Err(Error::KeepsNothing { unit });
        }
        decisions.extend(of_unit);
    }
    Ok(decisions)
}

/// Splits the roots into those that a kept generation or a pin names, and the others.
fn split_roots(host: &Host, kept: &[Decision]) -> Result<(Vec<Root>, Vec<Root>)> {
    let pinned: HashSet<String> = host.store.pins()?.into_iter().map(|pin| pin.root).collect();
    let named: HashSet<(&Digest, &str)> = kept
        .iter()
        .map(|decision| (&decision.generation.snapshot, decision.generation.unit.as_str()))
        .collect();
    let is_live = |root: &Root| {
        named.contains(&(&root.snapshot, root.unit.as_str())) || pinned.contains(&root.file_name())
    };
    Ok(host.index().roots()?.into_iter().partition(is_live))
}

fn dead_packs(usage: &[PackUsage]) -> impl Iterator<Item = &PackUsage> {
    usage.iter().filter(|usage| usage.needed_bytes == 0)
}

/// Removes what restores left beside live states. A unit that cannot be reached now is left for the next time.
fn release_restores(host: &Host, report: &dyn Report) -> Result<()> {
    let units: HashSet<String> =
        host.journal().restores()?.into_iter().map(|restore| restore.unit).collect();
    for name in units {
        let release = || -> Result<()> {
            let unit: UnitAddress =
                name.parse().map_err(|error: plugins::unit::AddressError| Error::Selector {
                    text: name.clone(),
                    reason: error.to_string(),
                })?;
            let plugin = host.open_unit(&unit)?;
            let _lock = host.lock_unit(&unit, "garbage collection of")?;
            recover_unit(host, &unit, plugin.as_ref(), report)?;
            release_displaced(host, &unit, plugin.as_ref(), None)
        };
        if let Err(error) = release() {
            report.warn(&format!("what a restore of {name} displaced is still there: {error}"));
        }
    }
    Ok(())
}

fn forget(host: &Host, generations: &[Generation], roots: &[Root]) -> Result<()> {
    // Rows before files: a row must never name what is gone. Generations before the roots that they name.
    for generation in generations {
        host.index().remove_generation(&generation.unit, generation.number)?;
        host.store.remove_generation(&generation.unit, generation.number)?;
    }
    let units: BTreeSet<_> = generations.iter().map(|generation| &generation.unit).collect();
    for unit in units {
        // A power cut must not bring back a generation whose root or packs are gone.
        host.store.sync_generations(unit)?;
    }
    for root in roots {
        host.index().remove_root(&root.snapshot, &root.unit)?;
        host.store.remove_root(&root.file_name())?;
    }
    host.store.sync_roots()?;
    Ok(())
}

/// Rewrites packs of which little is needed and removes those of which nothing is. Returns how many bytes that freed.
fn sweep(
    host: &Host,
    session: &Session<'_>,
    usage: &[PackUsage],
    needed: &Needed,
    report: &dyn Report,
) -> Result<u64> {
    let is_sparse = |usage: &&PackUsage| {
        usage.needed_bytes > 0 && usage.needed_bytes < usage.object_bytes / SPARSE_DIVISOR
    };
    let sparse: Vec<_> = usage.iter().filter(is_sparse).collect();
    report.begin("rewriting packs", Some(sparse.iter().map(|usage| usage.needed_bytes).sum()));
    let names: BTreeSet<_> = sparse.iter().map(|usage| usage.pack.name).collect();
    let destination =
        IntoStore { store: &host.store, catalog: host.catalog(), placement: Placement::Move };
    let copied = copy_needed(host, session, &names, needed, &destination, |n| report.advance(n));
    report.end();
    // Asked again: only what is found dead now goes, whatever became of the packs meanwhile.
    let usage = host.index().pack_usage(|key| needed.contains(key))?;
    let dead: Vec<_> = dead_packs(&usage).map(|usage| usage.pack.name).collect();
    let freed_bytes: u64 = dead_packs(&usage).map(|usage| usage.pack.size_bytes).sum();
    // The rows first: they must never name a pack that is gone.
    host.index().remove_packs(&dead)?;
    for name in &dead {
        host.store.remove_pack(name)?;
    }
    // Only now: a damaged pack that cannot be rewritten is no reason to keep those that nobody needs.
    Ok(freed_bytes.saturating_sub(copied?))
}
