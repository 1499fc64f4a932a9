//! `dysno activate`

use clap::Args;
use plugins::UnitAddress;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::ops::{self, Activated, Targets};

/// Bring units into service
///
/// Creates the state of a unit, from `initial` where that is configured, when there is none. State that exists is never
/// touched. Activating an active unit changes nothing.
#[derive(Args)]
#[command(after_help = "Example: dysno activate postgres:main directory:/srv/www")]
pub(in crate::cli) struct Activate {
    /// The units, such as postgres:main or directory:/srv/www
    #[arg(value_name = "UNIT", required_unless_present = "all")]
    units: Vec<UnitAddress>,
    /// All configured units, each after those that it requires
    #[arg(long, conflicts_with = "units")]
    all: bool,
}

impl Activate {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let host = app.host()?;
        let targets = if self.all { Targets::Configured } else { Targets::Units(self.units) };
        let mut documents = Vec::new();
        for unit in ops::targets(host, &targets)? {
            let activated = ops::activate(host, &unit, &app.progress)?;
            match app.format() {
                Format::Text => app.say(line(&activated))?,
                Format::Json => documents.push(document(&activated)),
            }
        }
        match app.format() {
            Format::Text => Ok(()),
            Format::Json => app.print_json(&json!(documents)),
        }
    }
}

/// Returns what was done, in words.
pub(in crate::cli) fn line(activated: &Activated) -> String {
    let unit = &activated.unit;
    match (activated.created, activated.was_active) {
        (true, _) => format!("{unit}: active, with new state"),
        (false, false) => format!("{unit}: active, with the state that was there"),
        (false, true) => format!("{unit}: was active already"),
    }
}

/// Returns what was done, for machines.
pub(in crate::cli) fn document(activated: &Activated) -> Value {
    json!({
        "unit": activated.unit,
        "created": activated.created,
        "was_active": activated.was_active,
    })
}
