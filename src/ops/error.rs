//! What can go wrong in a use-case.

use std::io;
use std::path::PathBuf;

use plugins::UnitAddress;

use crate::{host, index, journal, store};

/// The result of a use-case.
pub type Result<T> = std::result::Result<T, Error>;

/// A use-case failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The host cannot be opened or does not know what was asked for.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A plug-in's verb failed.
    #[error("cannot {verb} {unit}")]
    Unit {
        /// What was attempted.
        verb: &'static str,
        /// On which unit.
        unit: UnitAddress,
        /// Why not.
        source: plugins::Error,
    },
    /// The unit has no state to capture.
    #[error("cannot {verb} {unit}: it has no state")]
    NoState {
        /// What was attempted.
        verb: &'static str,
        /// On which unit.
        unit: UnitAddress,
    },
    /// Nothing is known of the unit.
    #[error(
        "cannot find the unit {unit}: it is not configured, not active and was never captured here"
    )]
    UnknownUnit {
        /// The unit.
        unit: UnitAddress,
    },
    /// The unit has no generations.
    #[error("cannot find a generation of {unit}: it was never captured here")]
    NoGeneration {
        /// The unit.
        unit: UnitAddress,
    },
    /// The unit does not have this generation.
    #[error("cannot find generation {number} of {unit}: there are {known}")]
    UnknownGeneration {
        /// The unit.
        unit: UnitAddress,
        /// What was asked for.
        number: u64,
        /// The ones there are.
        known: String,
    },
    /// No snapshot has this id.
    #[error("cannot find a snapshot whose id starts with {prefix}")]
    UnknownSnapshot {
        /// What was asked for.
        prefix: String,
    },
    /// Several snapshots have ids that start so.
    #[error("cannot tell which snapshot {prefix} is: {known}")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// The ones there are.
        known: String,
    },
    /// A text names neither a snapshot nor a generation.
    #[error("cannot read {text:?} as a snapshot: {reason}")]
    Selector {
        /// The text.
        text: String,
        /// What was expected.
        reason: String,
    },
    /// A name is not of the form that it needs.
    #[error("cannot use {name:?} as the name of a pin: {reason}")]
    PinName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A group is not configured.
    #[error("cannot find the group {name}: {known}")]
    UnknownGroup {
        /// What was asked for.
        name: String,
        /// The ones there are.
        known: String,
    },
    /// A path is not in a snapshot, or is not what the command needs.
    #[error("cannot read {path} in snapshot {snapshot}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// The snapshot.
        snapshot: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A snapshot of one kind cannot become the state of a unit of another.
    #[error("cannot restore a snapshot of kind {found} into {unit}, which is of kind {expected}")]
    OtherKind {
        /// The unit.
        unit: UnitAddress,
        /// Its kind.
        expected: String,
        /// The snapshot's kind.
        found: String,
    },
    /// The unit is in service.
    #[error("cannot purge {unit}: it is active")]
    Active {
        /// The unit.
        unit: UnitAddress,
    },
    /// The unit was never in service here.
    #[error("cannot purge {unit}: it was not deactivated")]
    NeverActive {
        /// The unit.
        unit: UnitAddress,
    },
    /// Nothing displaced is kept.
    #[error("cannot undo a restore of {unit}: nothing that it displaced is kept")]
    NothingKept {
        /// The unit.
        unit: UnitAddress,
    },
    /// A restore stopped between its steps and cannot be told to have gone either way.
    #[error("cannot tell what is live in {unit}: {reason}")]
    HalfWay {
        /// The unit.
        unit: UnitAddress,
        /// What was found.
        reason: String,
        /// Why the last attempt to finish failed, if one was made.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Somebody else replaced the state after the restore that is to be undone.
    #[error(
        "cannot undo a restore of {unit}: its state was replaced since; what the restore displaced is still {kept_at}"
    )]
    Replaced {
        /// The unit.
        unit: UnitAddress,
        /// Where it is.
        kept_at: String,
    },
    /// Units require each other in a circle.
    #[error("cannot order the units: {circle} require each other")]
    Circle {
        /// The units.
        circle: String,
    },
    /// The store is damaged in a way that makes the operation unsafe.
    #[error("cannot {verb}: {problem}")]
    Unsafe {
        /// What was refused.
        verb: &'static str,
        /// What is damaged.
        problem: String,
    },
    /// Retention would forget every generation of a unit.
    #[error("cannot forget every generation of {unit}")]
    KeepsNothing {
        /// The unit.
        unit: String,
    },
    /// A bundle cannot be written or read.
    #[error("cannot {verb} the bundle")]
    Bundle {
        /// `write` or `read`.
        verb: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A bundle holds what does not belong.
    #[error("cannot import {member:?}: {reason}")]
    Member {
        /// The member of the bundle.
        member: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is no part of the store failed.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The user asked to stop.
    #[error(transparent)]
    Interrupted(#[from] plugins::Interrupted),
}

impl Error {
    /// Makes the closure for `map_err` that adds the unit to a plug-in's error.
    pub(super) fn unit(
        verb: &'static str,
        unit: &UnitAddress,
    ) -> impl FnOnce(plugins::Error) -> Self {
        let unit = unit.clone();
        move |source| Self::Unit { verb, unit, source }
    }
}
