//! `dysno snapshot`

use clap::Args;
use plugins::{Changing, SnapshotOptions, UnitAddress, Unreadable};
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::{seconds, short, size};
use crate::ops::{self, GenerationKind, SnapshotRequest, Taken, Targets};

/// Capture the state of units as new generations
///
/// Where nothing changed since the last generation, that one stays the newest. Units that are captured by one command
/// reach quiescence together before the first is captured.
#[derive(Args)]
#[command(after_help = "Example: dysno snapshot postgres:main --reason 'before the upgrade'")]
pub(in crate::cli) struct Snapshot {
    /// The units, such as postgres:main or directory:/srv/www
    #[arg(value_name = "UNIT", required_unless_present_any = ["all", "group"])]
    units: Vec<UnitAddress>,
    /// All units that are configured or active
    #[arg(long, conflicts_with_all = ["units", "group"])]
    all: bool,
    /// The units of a configured group, at one consistent point
    #[arg(long, value_name = "NAME", conflicts_with = "units")]
    group: Option<String>,
    /// Record why
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Leave out the content of files that cannot be read, with a warning
    #[arg(long)]
    allow_unreadable: bool,
    /// Take files that keep changing as they were read last, with a warning
    #[arg(long)]
    allow_fuzzy: bool,
}

impl Snapshot {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let host = app.host()?;
        let options = SnapshotOptions {
            unreadable: unreadable(self.allow_unreadable),
            changing: if self.allow_fuzzy { Changing::Allow } else { Changing::Fail },
        };
        let targets = match (self.all, self.group) {
            (true, _) => Targets::InUse,
            (false, Some(group)) => Targets::Group(group),
            (false, None) => Targets::Units(self.units),
        };
        let units = ops::targets(host, &targets)?;
        if units.is_empty() {
            return Err(Failure::refused(
                "cannot capture all units: none is configured or active",
                "name the units, or configure them",
            ));
        }
        let reason = self.reason;
        let request = SnapshotRequest { units, kind: GenerationKind::Manual, reason, options };
        let taken = ops::snapshot(host, &request, &app.progress)?;
        match app.format() {
            Format::Text => taken.iter().try_for_each(|taken| app.say(line(taken))),
            Format::Json => app.print_json(&taken.iter().map(document).collect()),
        }
    }
}

/// Returns what a flag asks for.
pub(in crate::cli) fn unreadable(allow: bool) -> Unreadable {
    if allow { Unreadable::Allow } else { Unreadable::Fail }
}

fn line(taken: &Taken) -> String {
    let Taken { unit, generation, .. } = taken;
    let snapshot = short(&taken.snapshot);
    let (size, took) = (size(taken.size_bytes), seconds(taken.seconds));
    match taken.created {
        true => {
            let added = crate::cli::print::size(taken.stored_bytes);
            format!(
                "{unit}: generation {generation}, snapshot {snapshot}, {size}, {added} added, {took}"
            )
        }
        false => format!(
            "{unit}: nothing changed since generation {generation}, snapshot {snapshot}, {took}"
        ),
    }
}

/// Returns what was captured, for machines.
pub(in crate::cli) fn document(taken: &Taken) -> Value {
    json!({
        "unit": taken.unit,
        "generation": taken.generation,
        "snapshot": taken.snapshot.to_string(),
        "created": taken.created,
        "size_bytes": taken.size_bytes,
        "stored_bytes": taken.stored_bytes,
        "seconds": taken.seconds,
    })
}
