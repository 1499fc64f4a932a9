//! Why a command failed: the message, its causes and the exit code.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

use plugins::tree::Digest;
use serde_json::{Value, json};

use super::hint::hint;
use super::print::plain;
use crate::ops::{IndexError, StoreError};
use crate::{host, ops};

/// The result of a command.
pub(super) type Result<T> = std::result::Result<T, Failure>;

/// How the program ends. The numbers are a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Exit {
    /// All was done.
    Done = 0,
    /// It failed, and the live state is what it was.
    Failed = 1,
    /// It was refused or misused, and nothing was touched.
    Refused = 2,
    /// It was done, with warnings.
    Warned = 3,
    /// The store is damaged.
    Damaged = 4,
    /// It stopped half-way.
    HalfWay = 5,
    /// Somebody else holds a lock.
    Locked = 6,
}

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// A use-case failed.
    #[error(transparent)]
    Ops(#[from] ops::Error),
    /// The host cannot be opened.
    #[error(transparent)]
    Host(#[from] host::Error),
    /// The command asks for what cannot be given, as it stands.
    #[error("{message}")]
    Refused {
        /// What, and why not.
        message: String,
        /// What to do instead.
        hint: String,
    },
    /// The result cannot be written.
    #[error("cannot write to the standard output")]
    Output(#[from] io::Error),
    /// A file or directory outside of the store failed.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program cannot be started.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `verify` found what it looks for.
    #[error("cannot trust all of the store: {n_problems} found")]
    Damaged {
        /// How many problems, with the noun.
        n_problems: String,
    },
    /// The demonstration did not show what it is there to show.
    #[error("cannot demonstrate that {claim}")]
    Demo {
        /// What did not hold.
        claim: String,
        /// Why not, where there is more to say.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
}

impl Failure {
    /// Makes a refusal.
    pub(super) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into() }
    }

    /// Makes the closure for `map_err` that says which file operation failed.
    pub(super) fn file(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }

    /// Returns how the program ends.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Refused { .. } => return Exit::Refused,
            Self::Damaged { .. } => return Exit::Damaged,
            _ => {}
        }
        // What is worst decides: a restore that stopped half-way because of damage is above all half-way.
        let exits = layers(self).into_iter().map(exit_of);
        exits.max_by_key(|exit| severity(*exit)).unwrap_or(Exit::Failed)
    }

    /// Returns whether somebody closed the other end of a pipe.
    pub(super) fn is_broken_pipe(&self) -> bool {
        let errors = layers(self).into_iter().filter_map(|layer| layer.downcast_ref::<io::Error>());
        errors.into_iter().any(|error| error.kind() == ErrorKind::BrokenPipe)
    }

    /// Returns what is to be told.
    pub(super) fn report(&self) -> FailureReport {
        let mut lines: Vec<String> = Vec::new();
        let mut next: Option<&dyn StdError> = Some(self);
        while let Some(error) = next {
            let line = error.to_string();
            // Some layers repeat their source as they are.
            if !lines.last().is_some_and(|last| last.ends_with(&line)) {
                lines.push(line);
            }
            next = error.source();
        }
        let message = match lines.remove(0) {
            message if message == plugins::Interrupted.to_string() => {
                format!("cannot go on: {message}")
            }
            message => message,
        };
        let hint = match self {
            Self::Refused { hint, .. } => Some(hint.clone()),
            _ => hint(self, &layers(self)),
        };
        FailureReport { message, causes: lines, hint, exit: self.exit(), affects: Vec::new() }
    }
}

/// All that is told of a failure.
pub(super) struct FailureReport {
    /// What could not be done.
    pub(super) message: String,
    /// Why not, from the outermost inwards.
    pub(super) causes: Vec<String>,
    /// What helps.
    pub(super) hint: Option<String>,
    /// How the program ends.
    pub(super) exit: Exit,
    /// The snapshots that are damaged, with words for what they are.
    pub(super) affects: Vec<(Digest, String)>,
}

impl FailureReport {
    /// Returns the lines for people.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("dysno: {}", plain(&self.message))];
        lines.extend(self.causes.iter().map(|cause| format!("  because: {}", plain(cause))));
        lines.extend(
            self.affects
                .iter()
                .map(|(id, what)| format!("  affects: snapshot {id}, {}", plain(what))),
        );
        lines.extend(self.hint.iter().map(|hint| format!("hint: {}", plain(hint))));
        lines.join("\n")
    }

    /// Returns the document for machines.
    pub(super) fn json(&self) -> Value {
        let affects: Vec<_> = self.affects.iter().map(|(id, _)| id.to_string()).collect();
        json!({
            "message": self.message,
            "causes": self.causes,
            "hint": self.hint,
            "exit_code": self.exit as u8,
            "affects": affects,
        })
    }
}

/// Returns an error and all below it, with those that are hidden in transparent variants and in `io::Error`.
pub(super) fn layers(failure: &Failure) -> Vec<&(dyn StdError + 'static)> {
    let mut found: Vec<&(dyn StdError + 'static)> = Vec::new();
    let mut next: Option<&(dyn StdError + 'static)> = Some(failure);
    while let Some(error) = next {
        found.push(error);
        next = hidden(error).or_else(|| error.source());
    }
    found
}

/// Returns the error that another one shows as itself, so that its `source` skips it.
fn hidden<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return error.get_ref().map(|inner| inner as _);
    }
    if let Some(error) = error.downcast_ref::<Failure>() {
        return match error {
            Failure::Ops(error) => Some(error),
            Failure::Host(error) => Some(error),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<ops::Error>() {
        return match error {
            ops::Error::Host(error) => Some(error),
            ops::Error::Store(error) => Some(error),
            ops::Error::Index(error) => Some(error),
            ops::Error::Journal(error) => Some(error),
            ops::Error::Interrupted(error) => Some(error),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<host::Error>() {
        return match error {
            host::Error::Config(error) => Some(error),
            host::Error::Store(error) => Some(error),
            host::Error::Index(error) => Some(error),
            host::Error::Journal(error) => Some(error),
            _ => None,
        };
    }
    match (error.downcast_ref::<IndexError>(), error.downcast_ref::<StoreError>()) {
        (Some(IndexError::Store(error)), _) => Some(error),
        (_, Some(StoreError::Interrupted(error))) => Some(error),
        _ => match error.downcast_ref::<plugins::Error>() {
            Some(plugins::Error::Command(error)) => Some(error),
            _ => None,
        },
    }
}

fn severity(exit: Exit) -> u8 {
    match exit {
        Exit::Done | Exit::Warned => 0,
        Exit::Failed => 1,
        Exit::Refused => 2,
        Exit::Locked => 3,
        Exit::Damaged => 4,
        Exit::HalfWay => 5,
    }
}

/// Returns what one layer means for the end of the program.
fn exit_of(error: &(dyn StdError + 'static)) -> Exit {
    if let Some(error) = error.downcast_ref::<ops::Error>() {
        return exit_of_use_case(error);
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return match error {
            StoreError::Damaged { .. } | StoreError::Missing { .. } => Exit::Damaged,
            StoreError::Locked { .. } => Exit::Locked,
            StoreError::Newer { .. } => Exit::Refused,
            // The state directory that was named holds something else.
            StoreError::File { source, .. } if source.kind() == ErrorKind::DirectoryNotEmpty => {
                Exit::Refused
            }
            _ => Exit::Failed,
        };
    }
    if let Some(error) = error.downcast_ref::<host::Error>() {
        return match error {
            host::Error::Config(_) | host::Error::UnknownContainer { .. } => Exit::Refused,
            _ => Exit::Failed,
        };
    }
    match error.downcast_ref::<plugins::Error>() {
        Some(plugins::Error::Settings { .. } | plugins::Error::Component { .. }) => Exit::Refused,
        _ => Exit::Failed,
    }
}

fn exit_of_use_case(error: &ops::Error) -> Exit {
    use ops::Error as E;
    match error {
        E::HalfWay { .. } => Exit::HalfWay,
        E::Unsafe { .. } => Exit::Damaged,
        E::NoState { .. }
        | E::UnknownUnit { .. }
        | E::NoGeneration { .. }
        | E::UnknownGeneration { .. }
        | E::UnknownSnapshot { .. }
        | E::Ambiguous { .. }
        | E::Selector { .. }
        | E::PinName { .. }
        | E::UnknownGroup { .. }
        | E::Path { .. }
        | E::OtherKind { .. }
        | E::Active { .. }
        | E::NeverActive { .. }
        | E::Replaced { .. }
        | E::NothingKept { .. }
        | E::Circle { .. }
        | E::KeepsNothing { .. } => Exit::Refused,
        E::Host(_)
        | E::Store(_)
        | E::Index(_)
        | E::Journal(_)
        | E::Unit { .. }
        | E::Bundle { .. }
        | E::Member { .. }
        | E::File { .. }
        | E::Interrupted(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage() -> StoreError {
        StoreError::damaged("a pack", "its sum is wrong")
    }

    fn unit_error(source: plugins::Error) -> Failure {
        let unit = "directory:/srv".parse().unwrap();
        ops::Error::Unit { verb: "restore", unit, source }.into()
    }

    #[test]
    fn damage_is_found_inside_an_io_error_of_a_plug_in() {
        let failure = unit_error(plugins::Error::read(damage().into()));
        assert_eq!(failure.exit(), Exit::Damaged);
        let report = failure.report();
        assert_eq!(report.message, "cannot restore directory:/srv");
        assert_eq!(
            report.causes,
            ["cannot read the snapshot", "cannot trust a pack: its sum is wrong"]
        );
    }

    #[test]
    fn half_way_weighs_more_than_what_led_there() {
        let source = Some(plugins::Error::read(damage().into()).into());
        let unit = "directory:/srv".parse().unwrap();
        let reason = "nobody knows".to_owned();
        let failure = Failure::from(ops::Error::HalfWay { unit, reason, source });
        assert_eq!(failure.exit(), Exit::HalfWay);
    }

    #[test]
    fn a_lock_is_found_below_the_host() {
        let locked = StoreError::Locked { path: "run/x.lock".into(), holder: "process 7".into() };
        let failure = Failure::from(ops::Error::from(host::Error::from(locked)));
        assert_eq!(failure.exit(), Exit::Locked);
        assert_eq!(failure.report().message, "cannot lock run/x.lock: process 7 holds it");
        assert!(failure.report().causes.is_empty());
    }

    #[test]
    fn a_plug_in_that_fails_is_a_failure() {
        let source = io::Error::from_raw_os_error(28);
        let failure = unit_error(plugins::Error::file("write", "/srv/x")(source));
        assert_eq!(failure.exit(), Exit::Failed);
        let causes = ["cannot write /srv/x", "No space left on device (os error 28)"];
        assert_eq!(failure.report().causes, causes);
    }

    #[test]
    fn settings_that_do_not_fit_are_misuse() {
        let source = toml::from_str::<toml::Table>("=").unwrap_err();
        let source = plugins::Error::Settings { kind: "directory", source };
        let failure = Failure::from(host::Error::Open { what: "the container web".into(), source });
        assert_eq!(failure.exit(), Exit::Refused);
    }
}
