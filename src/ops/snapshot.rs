//! Captures units as new generations.

use std::time::Instant;

use plugins::tree::Digest;
use plugins::{Plugin, SnapshotOptions, UnitAddress};

use super::capture::{Captured, PreviousSnapshot, StoreCapture, hints_of};
use super::error::{Error, Result};
use super::recover::recover_unit;
use crate::host::Host;
use crate::report::Report;
use crate::store::{
    Access, Error as StoreError, Generation, GenerationKind, IntoStore, Lock, Placement, Reader,
    Root, Session, WriteTo,
};

/// What to capture, and why.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    /// The units, captured one after the other.
    pub units: Vec<UnitAddress>,
    /// Why.
    pub kind: GenerationKind,
    /// The user's words.
    pub reason: String,
    /// What to do with files that cannot be read or keep changing.
    pub options: SnapshotOptions,
}

/// One captured unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// The unit.
    pub unit: UnitAddress,
    /// The generation that has this state: a new one, or the last one where nothing changed.
    pub generation: u64,
    /// The state.
    pub snapshot: Digest,
    /// Whether the generation is new.
    pub created: bool,
    /// The sum of all contents.
    pub size_bytes: u64,
    /// What this added to the store.
    pub stored_bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

/// Captures all units of a request. They reach quiescence together before the first is captured. Where one fails, those
/// before it keep their new generations.
pub fn snapshot(host: &Host, request: &SnapshotRequest, report: &dyn Report) -> Result<Vec<Taken>> {
    let opened = request
        .units
        .iter()
        .map(|unit| Ok((unit, host.open_unit(unit)?)))
        .collect::<Result<Vec<_>>>()?;
    let mut locks = Vec::new();
    for (unit, plugin) in &opened {
        locks.push(host.lock_unit(unit, "snapshot of")?);
        recover_unit(host, unit, plugin.as_ref(), report)?;
    }
    let session = host.session(Access::Shared, "snapshot", report)?;
    let quiescence = Quiescence::reach(&opened)?;
    let mut taken = Vec::new();
    for (at, (unit, plugin)) in opened.iter().enumerate() {
        let unit = LockedUnit { unit, plugin: plugin.as_ref(), _lock: &locks[at] };
        match take(host, &session, &unit, request, report) {
            Ok(one) => taken.push(one),
            Err(error) => {
                for Taken { unit, generation, .. } in &taken {
                    report.note(&format!(
                        "{unit} was captured before that, as generation {generation}"
                    ));
                }
                return Err(error);
            }
        }
    }
    quiescence.end()?;
    Ok(taken)
}

/// A unit that nobody else changes or captures.
pub(super) struct LockedUnit<'a> {
    pub(super) unit: &'a UnitAddress,
    pub(super) plugin: &'a dyn Plugin,
    pub(super) _lock: &'a Lock,
}

/// Captures one unit and records the generation. There must be state.
pub(super) fn take(
    host: &Host,
    session: &Session<'_>,
    locked: &LockedUnit<'_>,
    request: &SnapshotRequest,
    report: &dyn Report,
) -> Result<Taken> {
    let start = Instant::now();
    let LockedUnit { unit, plugin, .. } = locked;
    let probe = plugin.probe().map_err(Error::unit("reach", unit))?;
    if !probe.exists {
        return Err(Error::NoState { verb: "capture", unit: (*unit).clone() });
    }
    let size_bytes = match last_size(host, unit)? {
        None => probe.size_bytes,
        known => known,
    };
    report.begin(&format!("capturing {unit}"), size_bytes);
    let captured = capture(host, session, locked, request, report);
    report.end();
    let (captured, stored_bytes) = captured?;
    let root = Root {
        snapshot: captured.snapshot,
        unit: unit.to_string(),
        profile: host.kind_of(unit)?.profile,
        manifest_bytes: captured.manifest_bytes,
        entries: captured.entries,
        size_bytes: captured.size_bytes,
        stored_bytes,
    };
    let (generation, created) = record(host, session, &root, request)?;
    Ok(Taken {
        unit: (*unit).clone(),
        generation,
        snapshot: root.snapshot,
        created,
        size_bytes: root.size_bytes,
        stored_bytes,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Returns how large the unit's newest snapshot is, as an estimate of the next one.
fn last_size(host: &Host, unit: &UnitAddress) -> Result<Option<u64>> {
    let unit = unit.to_string();
    let Some(last) = host.index().generations_of(&unit)?.into_iter().next() else {
        return Ok(None);
    };
    let roots = host.index().roots_of(&last.snapshot)?;
    Ok(roots.into_iter().find(|root| root.unit == unit).map(|root| root.size_bytes))
}

fn capture(
    host: &Host,
    session: &Session<'_>,
    locked: &LockedUnit<'_>,
    request: &SnapshotRequest,
    report: &dyn Report,
) -> Result<(Captured, u64)> {
    let LockedUnit { unit, plugin, .. } = locked;
    let kind = host.kind_of(unit)?;
    let interrupt = &host.context().interrupt;
    let reader = Reader::new(&host.store, host.catalog(), interrupt);
    let (hints_path, hints) = session.create_file("hints")?;
    let destination =
        IntoStore { store: &host.store, catalog: host.catalog(), placement: Placement::New };
    let write_to = WriteTo {
        destination: &destination,
        session,
        compression: host.config.store.compression,
        interrupt,
    };
    let previous = previous_root(host, unit)?.map(|root| PreviousSnapshot {
        reader: &reader,
        root,
        hints: host.hints_path(unit),
    });
    // `run` returns only when every pack is durable and indexed; `finish` is not reached where the plug-in failed.
    let (captured, written) = write_to.run(|writer| {
        let snapshot_error = |source| Error::unit("capture", unit)(plugins::Error::write(source));
        let profile = (kind.name, kind.profile);
        let capture =
            StoreCapture::new(writer, report, profile, hints, previous).map_err(snapshot_error)?;
        plugin.snapshot(&capture, &request.options).map_err(Error::unit("capture", unit))?;
        capture.finish().map_err(snapshot_error)
    })?;
    let kept = host.hints_path(unit);
    // Not synced: hints that a crash damages belong to no snapshot and are not used.
    host.store.disk().rename_over(&hints_path, &kept).map_err(StoreError::file("replace", kept))?;
    Ok((captured, written.stored_bytes))
}

/// Returns the snapshot that the unit's hints belong to, if it is still there.
fn previous_root(host: &Host, unit: &UnitAddress) -> Result<Option<Root>> {
    let Some(snapshot) = hints_of(&host.hints_path(unit)) else { return Ok(None) };
    let unit = unit.to_string();
    Ok(host.index().roots_of(&snapshot)?.into_iter().find(|root| root.unit == unit))
}

/// Records the state as the unit's newest generation; returns its number, and whether it is new.
pub(super) fn record(
    host: &Host,
    session: &Session<'_>,
    root: &Root,
    request: &SnapshotRequest,
) -> Result<(u64, bool)> {
    let generations = host.index().generations_of(&root.unit)?;
    // What was only captured for safety is a new point in the history when somebody asks for it by name.
    let is_wanted = |last: &Generation| {
        last.kind != GenerationKind::Safety || request.kind == GenerationKind::Safety
    };
    if let Some(last) = generations.first()
        && last.snapshot == root.snapshot
        && is_wanted(last)
        && host.index().roots_of(&root.snapshot)?.iter().any(|known| known.unit == root.unit)
    {
        return Ok((last.number, false));
    }
    // The root before the generation that names it, each durable before its row.
    host.store.write_root(session, root)?;
    host.index().add_root(root)?;
    let generation = Generation {
        unit: root.unit.clone(),
        number: generations.first().map_or(1, |last| last.number + 1),
        snapshot: root.snapshot,
        time: host.now_text(),
        host: host.name().to_owned(),
        kind: request.kind,
        reason: request.reason.clone(),
    };
    host.store.write_generation(session, &generation, &root.file_name())?;
    host.index().add_generation(&generation)?;
    Ok((generation.number, true))
}

/// Units that are quiescent. Dropped, it ends quiescence as well as it can.
struct Quiescence<'a> {
    units: &'a [(&'a UnitAddress, Box<dyn Plugin>)],
    n_locked: usize,
}

impl<'a> Quiescence<'a> {
    fn reach(units: &'a [(&'a UnitAddress, Box<dyn Plugin>)]) -> Result<Self> {
        let mut quiescence = Self { units, n_locked: 0 };
        for (unit, plugin) in units {
            plugin.lock().map_err(Error::unit("lock", unit))?;
            quiescence.n_locked += 1;
        }
        Ok(quiescence)
    }

    fn end(mut self) -> Result<()> {
        let mut first = Ok(());
        while self.n_locked > 0 {
            self.n_locked -= 1;
            let (unit, plugin) = &self.units[self.n_locked];
            let unlocked = plugin.unlock().map_err(Error::unit("unlock", unit));
            // All are unlocked, whatever happens; the first error is told.
            first = first.and(unlocked);
        }
        first
    }
}

impl Drop for Quiescence<'_> {
    fn drop(&mut self) {
        for (_, plugin) in self.units[..self.n_locked].iter().rev() {
            // The error that brought us here is the one to tell.
            let _ = plugin.unlock();
        }
    }
}
