//! `dysno restore`

use clap::Args;
use plugins::{RestoreOptions, UnitAddress};
use serde_json::json;

use super::snapshot::unreadable;
use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::{plain, seconds, short, time};
use crate::ops::{self, RestoreRequest, Restored, Safety, Selected};

/// Replace the live state of a unit by a snapshot
///
/// The state is replaced wholly or not at all. What is there before is captured first, as a generation of kind `safety`,
/// and is kept beside the new state until the next restore or gc; --undo swaps it back.
#[derive(Args)]
#[command(
    override_usage = "dysno restore [OPTIONS] UNIT[@N]\n       dysno restore [OPTIONS] --undo UNIT",
    after_help = "Examples: dysno restore postgres:main@12\n          dysno restore postgres:main --into postgres:copy\n          dysno restore --undo postgres:main"
)]
pub(in crate::cli) struct Restore {
    /// The unit, with the number of the generation; without one the newest that is no safety snapshot
    #[arg(value_name = "UNIT[@N]")]
    target: String,
    /// Take the state from this snapshot
    #[arg(long, value_name = "ID")]
    snapshot: Option<String>,
    /// Restore into this unit
    #[arg(long, value_name = "UNIT")]
    into: Option<UnitAddress>,
    /// Do not capture what is there before
    #[arg(long)]
    no_safety_snapshot: bool,
    /// Restore all but files that could not be read when the snapshot was taken
    #[arg(long)]
    allow_unreadable: bool,
    /// Swap back what the last restore of the unit displaced
    #[arg(long, conflicts_with_all = ["snapshot", "into", "allow_unreadable"])]
    undo: bool,
}

impl Restore {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let safety = safety(self.no_safety_snapshot);
        let restored = if self.undo {
            let unit = self.unit("--undo")?;
            // An unknown unit is told before anything is asked.
            app.host()?.kind_of(&unit)?;
            app.confirm(&format!("swap back what the last restore of {unit} displaced"))?;
            ops::undo(app.host()?, &unit, safety, &app.progress)?
        } else {
            let (unit, selected) = self.selected(app)?;
            app.host()?.kind_of(&unit)?;
            app.confirm(&format!("replace the state of {unit} by {}", name(&selected, &unit)))?;
            let options = RestoreOptions { unreadable: unreadable(self.allow_unreadable) };
            let request = RestoreRequest { unit, selected, safety, options };
            ops::restore(app.host()?, &request, &app.progress)?
        };
        match app.format() {
            Format::Text => lines(&restored).iter().try_for_each(|line| app.say(line)),
            Format::Json => app.print_json(&document(&restored)),
        }
    }

    fn selected(&self, app: &App) -> Result<(UnitAddress, Selected)> {
        let unit = match &self.snapshot {
            Some(_) => Some(self.unit("--snapshot")?),
            // An id alone does not say where the state is to go.
            None if !self.target.contains(':') => Some(self.unit("no unit")?),
            None => None,
        };
        let selected = app.select_one(self.snapshot.as_deref().unwrap_or(&self.target))?;
        let own = || -> Result<UnitAddress> {
            let unit = selected.generation.as_ref().map_or(&selected.root.unit, |g| &g.unit);
            unit.parse().map_err(|error| not_a_unit(unit, error))
        };
        let unit = match (&self.into, unit) {
            (Some(into), _) => into.clone(),
            (None, Some(unit)) => unit,
            (None, None) => own()?,
        };
        Ok((unit, selected))
    }

    /// Reads the target as a unit without a number. A component may end like a number's, but more likely two
    /// answers were given to one question.
    fn unit(&self, option: &str) -> Result<UnitAddress> {
        let number = self.target.rsplit_once('@').map(|(_, number)| number);
        let is_number =
            |n: &str| n == "latest" || !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit());
        if number.is_some_and(is_number) {
            return Err(Failure::refused(
                format!("cannot restore {}: {option} and @N exclude each other", self.target),
                "leave out one of the two",
            ));
        }
        self.target.parse().map_err(|error| not_a_unit(&self.target, error))
    }
}

fn not_a_unit(text: &str, error: plugins::unit::AddressError) -> Failure {
    Failure::refused(
        format!("cannot restore {text}: {error}"),
        "name the unit; --snapshot ID says which state it gets",
    )
}

/// Returns what a flag asks for.
pub(in crate::cli) fn safety(no_safety_snapshot: bool) -> Safety {
    if no_safety_snapshot { Safety::Skip } else { Safety::Snapshot }
}

fn name(selected: &Selected, unit: &UnitAddress) -> String {
    match &selected.generation {
        Some(generation) if generation.unit == unit.to_string() => {
            format!("its generation {}, captured {}", generation.number, time(&generation.time))
        }
        Some(generation) => {
            let when = time(&generation.time);
            format!("generation {} of {}, captured {when}", generation.number, generation.unit)
        }
        None => format!("snapshot {}", short(&selected.root.snapshot)),
    }
}

fn lines(restored: &Restored) -> Vec<String> {
    let unit = &restored.unit;
    let took = seconds(restored.seconds);
    let mut lines = vec![match (&restored.snapshot, restored.generation) {
        (Some(snapshot), Some(number)) => {
            format!("{unit}: restored generation {number}, snapshot {}, {took}", short(snapshot))
        }
        (Some(snapshot), None) => format!("{unit}: restored snapshot {}, {took}", short(snapshot)),
        (None, _) => format!("{unit}: the displaced state is back, {took}"),
    }];
    if let Some(taken) = &restored.safety_snapshot {
        lines.push(format!("what was there before is generation {}", taken.generation));
    }
    if let Some(kept_at) = &restored.kept_at {
        let kept_at = plain(kept_at);
        lines.push(format!("it is also kept as {kept_at} until the next restore or gc"));
        lines.push(format!("to go back: dysno restore --undo {unit}"));
    }
    lines
}

fn document(restored: &Restored) -> serde_json::Value {
    let safety = restored.safety_snapshot.as_ref();
    json!({
        "unit": restored.unit,
        "generation": restored.generation,
        "snapshot": restored.snapshot.map(|snapshot| snapshot.to_string()),
        "safety_snapshot": safety.map(|taken| taken.snapshot.to_string()),
        "safety_generation": safety.map(|taken| taken.generation),
        "kept_at": restored.kept_at,
        "seconds": restored.seconds,
    })
}
