//! The laws that every kind of state unit keeps, as a table that runs on the real thing.
//!
//! A kind is put to the test by a [`Subject`]: a unit on a real server or in a real directory that the laws may fill,
//! change and wreck. [`check`] runs all [`LAWS`], each on a subject of its own, and names those that are broken.

mod laws;
mod tape;

use std::path::PathBuf;

pub use laws::LAWS;
pub use tape::{Fault, Player, Recorder, Tape};

use crate::tree::Profile;
use crate::{Context, Plugin};

/// The result of a law, and of what a subject does for it. The error says what was seen instead.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A unit for a law to try. It begins without state.
///
/// All but [`Subject::plugin`] work on the live state by the kind's own means (files, SQL), not through the plug-in,
/// so that a plug-in that deceives itself is found out.
pub trait Subject {
    /// Opens the plug-in anew, as another run of the program would.
    fn plugin(&self, context: &Context) -> Box<dyn Plugin>;

    /// Returns the profile of the kind's snapshots.
    fn profile(&self) -> Profile;

    /// Puts something of all that the kind can hold into the live state, which exists. At least 1,000 bytes of
    /// content, so that a stream can be cut off in the middle of it.
    fn fill(&self) -> Outcome;

    /// Changes the live state: adds, alters and removes something that [`Subject::fill`] made.
    fn change(&self) -> Outcome;

    /// Destroys the live state by force, as an accident would.
    fn wreck(&self) -> Outcome;

    /// Describes the live state as a client sees it, so that equal states give equal texts; none where there is none.
    fn describe(&self) -> Outcome<Option<String>>;

    /// Names what lies beside the live state and is not part of it: staged and displaced states, temporary files. In
    /// any order; empty where all is clean.
    fn debris(&self) -> Outcome<Vec<String>>;

    /// Makes something that activation can start from, and returns where it is.
    fn initial(&self) -> Outcome<PathBuf>;

    /// Makes something that looks like an initial state and fails half-way; none where the kind has no such thing.
    fn broken_initial(&self) -> Outcome<Option<PathBuf>> {
        Ok(None)
    }
}

/// One law.
pub struct Law {
    /// What must hold, as a sentence.
    pub name: &'static str,
    /// Tries it on a fresh subject.
    pub hold: fn(&dyn Subject) -> Outcome,
}

/// Tries every law, each on a subject of its own. Fails with all that are broken.
pub fn check<S: Subject>(make: impl Fn() -> S) -> Outcome {
    let broken: Vec<String> = LAWS
        .iter()
        .filter_map(|law| {
            let error = (law.hold)(&make()).err()?;
            let mut text = format!("{}: {error}", law.name);
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            Some(text)
        })
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}
