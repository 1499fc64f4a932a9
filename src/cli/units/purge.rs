//! `dysno purge`

use clap::Args;
use plugins::UnitAddress;
use serde_json::json;

use super::restore::safety;
use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::short;
use crate::ops::{self, Targets};

/// Delete the state of deactivated units
///
/// Takes a last snapshot of each first. Refuses units that are active.
#[derive(Args)]
#[command(after_help = "Example: dysno purge postgres:old")]
pub(in crate::cli) struct Purge {
    /// The units, such as postgres:main or directory:/srv/www
    #[arg(value_name = "UNIT", required_unless_present = "all")]
    units: Vec<UnitAddress>,
    /// All units that were deactivated
    #[arg(long, conflicts_with = "units")]
    all: bool,
    /// Do not take a last snapshot
    #[arg(long)]
    no_safety_snapshot: bool,
}

impl Purge {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let host = app.host()?;
        let targets = if self.all { Targets::Garbage } else { Targets::Units(self.units) };
        let units = ops::targets(host, &targets)?;
        // Before the first is purged, and before anything is asked.
        let active = ops::targets(host, &Targets::Active)?;
        if let Some(unit) = units.iter().find(|unit| active.contains(unit)) {
            return Err(Failure::from(ops::Error::Active { unit: unit.clone() }));
        }
        if !units.is_empty() {
            let names: Vec<_> = units.iter().map(ToString::to_string).collect();
            app.confirm(&format!("delete the state of {}", names.join(", ")))?;
        }
        let mut documents = Vec::new();
        for unit in &units {
            let last = ops::purge(host, unit, safety(self.no_safety_snapshot), &app.progress)?;
            match (app.format(), &last) {
                (Format::Text, Some(last)) => app.say(format!(
                    "{unit}: purged; its last state is generation {}, snapshot {}",
                    last.generation,
                    short(&last.snapshot)
                ))?,
                (Format::Text, None) => app.say(format!("{unit}: purged"))?,
                (Format::Json, _) => documents.push(json!({
                    "unit": unit,
                    "generation": last.as_ref().map(|last| last.generation),
                    "safety_snapshot": last.as_ref().map(|last| last.snapshot.to_string()),
                })),
            }
        }
        match app.format() {
            Format::Text if units.is_empty() => app.say("there is nothing to purge"),
            Format::Text => Ok(()),
            Format::Json => app.print_json(&json!(documents)),
        }
    }
}
