//! `dysno pin` and `dysno unpin`

use clap::Args;
use serde_json::json;

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::short;
use crate::ops;

/// Keep a snapshot under a name until it is unpinned
#[derive(Args)]
#[command(after_help = "Example: dysno pin postgres:main@12 before-migration")]
pub(in crate::cli) struct Pin {
    /// The snapshot: UNIT, UNIT@N or the beginning of its id
    snapshot: String,
    /// The name
    name: String,
}

impl Pin {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let selected = app.select_one(&self.snapshot)?;
        ops::pin(app.host()?, &selected, &self.name, &app.progress)?;
        let snapshot = selected.root.snapshot;
        match app.format() {
            Format::Text => {
                app.say(format!("snapshot {} is pinned as {}", short(&snapshot), self.name))
            }
            Format::Json => {
                let unit = &selected.root.unit;
                let document =
                    json!({ "name": self.name, "unit": unit, "snapshot": snapshot.to_string() });
                app.print_json(&document)
            }
        }
    }
}

/// End a pin
#[derive(Args)]
#[command(after_help = "Example: dysno unpin before-migration")]
pub(in crate::cli) struct Unpin {
    /// The name
    name: String,
}

impl Unpin {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        match ops::unpin(app.host()?, &self.name, &app.progress) {
            Ok(()) => {}
            Err(ops::Error::PinName { name, reason }) => {
                let message = format!("cannot unpin {name:?}: {reason}");
                return Err(Failure::refused(message, "`dysno generations` lists the pins"));
            }
            Err(error) => return Err(error.into()),
        }
        match app.format() {
            Format::Text => app.say(format!("{} pins nothing any more", self.name)),
            Format::Json => app.print_json(&json!({ "name": self.name })),
        }
    }
}
