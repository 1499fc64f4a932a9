//! Replaces a unit's live state by a snapshot, wholly or not at all, and puts it back on request.

use std::time::Instant;

use plugins::tree::Digest;
use plugins::{RestoreOptions, SnapshotOptions, Source, Standing, Swap, UnitAddress};

use super::capture::KIND;
use super::error::{Error, Result};
use super::recover::{recover_unit, release, release_displaced};
use super::select::Selected;
use super::snapshot::{LockedUnit, SnapshotRequest, Taken, take};
use super::source::StoreSource;
use crate::host::Host;
use crate::journal::{Phase, Restore};
use crate::report::Report;
use crate::store::{Access, GenerationKind, Reader, Session};

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct RestoreRequest {
    /// The unit that gets the state.
    pub unit: UnitAddress,
    /// The state.
    pub selected: Selected,
    /// Whether the state that is there is captured first.
    pub safety: Safety,
    /// What to do with a snapshot that lacks a file's content.
    pub options: RestoreOptions,
}

/// Whether the state that is there is captured before it is replaced or destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Safety {
    /// Capture it.
    Snapshot,
    /// The user said no.
    Skip,
}

/// A restored unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The unit.
    pub unit: UnitAddress,
    /// The generation it was restored from, where it was named by one.
    pub generation: Option<u64>,
    /// The state; none where a restore was undone.
    pub snapshot: Option<Digest>,
    /// What was there before, as a generation of kind `safety`; none where there was no state or none was wanted.
    pub safety_snapshot: Option<Taken>,
    /// Where the displaced state is kept until the next `gc` or restore; none where there was none.
    pub kept_at: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// Restores a unit. After an error the live state is what it was, except for [`Error::HalfWay`].
pub fn restore(host: &Host, request: &RestoreRequest, report: &dyn Report) -> Result<Restored> {
    let start = Instant::now();
    let unit = &request.unit;
    let root = &request.selected.root;
    let plugin = host.open_unit(unit)?;
    let lock = host.lock_unit(unit, "restore of")?;
    recover_unit(host, unit, plugin.as_ref(), report)?;
    let session = host.session(Access::Shared, "restore", report)?;
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let source = StoreSource::open(&reader, report, root)?;
    check_kind(host, unit, &source)?;

    let locked = LockedUnit { unit, plugin: plugin.as_ref(), _lock: &lock };
    let number = request.selected.generation.as_ref().map(|generation| generation.number);
    let before = number.map_or_else(|| root.snapshot.to_string(), |number| number.to_string());
    let reason = format!("before restoring {before}");
    let safety_snapshot = take_safety(host, &session, &locked, request.safety, &reason, report)?;

    report.begin(&format!("restoring {unit}"), Some(root.size_bytes));
    let swapped = stage_and_swap(host, &locked, &source, &request.options);
    report.end();
    let swap = swapped?;
    // The older displaced state is only let go when the newer one is in place.
    if let Err(error) = release_displaced(host, unit, plugin.as_ref(), Some(&swap.tag)) {
        report
            .warn(&format!("what an earlier restore of {unit} displaced is still there: {error}"));
    }
    Ok(Restored {
        unit: unit.clone(),
        generation: number,
        snapshot: Some(root.snapshot),
        safety_snapshot,
        kept_at: swap.displaced.is_some().then_some(swap.kept_at),
        seconds: start.elapsed().as_secs_f64(),
    })
}

fn check_kind(host: &Host, unit: &UnitAddress, source: &StoreSource<'_>) -> Result<()> {
    let expected = host.kind_of(unit)?;
    let found = source.attribute(KIND).unwrap_or("unknown");
    if found == expected.name && source.profile() == expected.profile {
        return Ok(());
    }
    Err(Error::OtherKind {
        unit: unit.clone(),
        expected: expected.name.to_owned(),
        found: found.to_owned(),
    })
}

/// Captures what is there, if there is anything and the user did not say no.
pub(super) fn take_safety(
    host: &Host,
    session: &Session<'_>,
    locked: &LockedUnit<'_>,
    safety: Safety,
    reason: &str,
    report: &dyn Report,
) -> Result<Option<Taken>> {
    let probe = locked.plugin.probe().map_err(Error::unit("reach", locked.unit))?;
    if safety == Safety::Skip || !probe.exists {
        return Ok(None);
    }
    let request = SnapshotRequest {
        units: Vec::new(),
        kind: GenerationKind::Safety,
        reason: reason.to_owned(),
        options: SnapshotOptions::default(),
    };
    take(host, session, locked, &request, report).map(Some)
}

fn stage_and_swap(
    host: &Host,
    locked: &LockedUnit<'_>,
    source: &dyn Source,
    options: &RestoreOptions,
) -> Result<Swap> {
    let LockedUnit { unit, plugin, .. } = locked;
    let mut restore = Restore {
        unit: unit.to_string(),
        tag: host.new_tag(),
        phase: Phase::Staging,
        swap: None,
        time: host.now_text(),
    };
    // Before anything with this tag exists, so that a crash leaves nothing that nobody knows of.
    host.journal().record(&restore)?;
    let swap = match plugin.stage(source, &restore.tag, options) {
        Ok(swap) => swap,
        Err(error) => {
            // The plug-in cleans up itself; what it could not remove is tried again by the next command.
            let _ = release(host, unit, *plugin, &restore);
            return Err(Error::unit("restore", unit)(error));
        }
    };
    (restore.phase, restore.swap) = (Phase::Swapping, Some(swap.clone()));
    // Before the swap, so that a crash in it can be told from one before it.
    host.journal().record(&restore)?;
    if let Err(error) = plugin.swap(&swap) {
        return Err(after_failed_swap(host, locked, &restore, error));
    }
    restore.phase = Phase::Swapped;
    let recorded = match swap.displaced {
        Some(_) => host.journal().record(&restore).map_err(Error::from),
        None => release(host, unit, *plugin, &restore),
    };
    // The live state is the restored one already, and the next command finds that out by itself.
    let unrecorded = "it is restored, and that could not be written down";
    recorded.map_err(|error| half_way(unit, unrecorded.to_owned(), error))?;
    Ok(swap)
}

fn half_way(
    unit: &UnitAddress,
    reason: String,
    source: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::HalfWay { unit: unit.clone(), reason, source: Some(Box::new(source)) }
}

fn after_failed_swap(
    host: &Host,
    locked: &LockedUnit<'_>,
    restore: &Restore,
    error: plugins::Error,
) -> Error {
    let LockedUnit { unit, plugin, .. } = locked;
    let standing = restore.swap.as_ref().map(|swap| plugin.standing(swap));
    if matches!(standing, Some(Ok(Standing::Before))) {
        // What cannot be removed now is removed by the next command, which finds it in the journal.
        let _ = release(host, unit, *plugin, restore);
        return Error::unit("restore", unit)(error);
    }
    let reason = "exchanging the restored and the live state failed half-way".to_owned();
    half_way(unit, reason, error)
}

/// Puts back what the last restore of a unit displaced, after capturing what is there now.
pub fn undo(
    host: &Host,
    unit: &UnitAddress,
    safety: Safety,
    report: &dyn Report,
) -> Result<Restored> {
    let start = Instant::now();
    let plugin = host.open_unit(unit)?;
    let lock = host.lock_unit(unit, "undoing a restore of")?;
    recover_unit(host, unit, plugin.as_ref(), report)?;
    let session = host.session(Access::Shared, "undo", report)?;
    let name = unit.to_string();
    let kept = host.journal().restores()?.into_iter().rev().find(|restore| restore.unit == name);
    let Some((restore, swap)) = kept.and_then(|r| r.swap.clone().map(|swap| (r, swap))) else {
        return Err(Error::NothingKept { unit: unit.clone() });
    };
    if plugin.standing(&swap).map_err(Error::unit("examine", unit))? == Standing::Foreign {
        return Err(Error::Replaced { unit: unit.clone(), kept_at: swap.kept_at });
    }
    let locked = LockedUnit { unit, plugin: plugin.as_ref(), _lock: &lock };
    let reason = "before undoing a restore";
    let safety_snapshot = take_safety(host, &session, &locked, safety, reason, report)?;
    plugin.unswap(&swap).map_err(Error::unit("put back the displaced state of", unit))?;
    // What the restore had brought is in the store; only the displaced state was nowhere else.
    if let Err(error) = release(host, unit, plugin.as_ref(), &restore) {
        report.warn(&format!("what the restore of {unit} had brought is still there: {error}"));
    }
    Ok(Restored {
        unit: unit.clone(),
        generation: None,
        snapshot: None,
        safety_snapshot,
        kept_at: None,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Returns what a unit's last restore displaced and is still kept.
pub(super) fn kept_state(host: &Host, unit: &str) -> Result<Option<Swap>> {
    let restores = host.journal().restores()?;
    let kept = restores.into_iter().rev().find(|restore| restore.unit == unit);
    Ok(kept.filter(|restore| restore.phase == Phase::Swapped).and_then(|restore| restore.swap))
}
