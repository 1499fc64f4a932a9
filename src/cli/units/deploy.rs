//! `dysno deploy`

use clap::Args;
use serde_json::{Value, json};

use super::activate::{document, line};
use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::count;
use crate::ops;

/// Make the active units equal to the configured ones
///
/// Activates configured units that are not active, each after those that it requires, and then deactivates units that are
/// no longer configured. Their state stays until `dysno purge`.
#[derive(Args)]
#[command(after_help = "Example: dysno deploy")]
pub(in crate::cli) struct Deploy {}

impl Deploy {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let deployed = ops::deploy(app.host()?, &app.progress)?;
        if app.format() == Format::Json {
            let activated: Vec<Value> = deployed.activated.iter().map(document).collect();
            return app.print_json(&json!({
                "activated": activated,
                "deactivated": deployed.deactivated,
                "unchanged": deployed.unchanged,
            }));
        }
        for activated in &deployed.activated {
            app.say(line(activated))?;
        }
        for unit in &deployed.deactivated {
            app.say(format!(
                "{unit}: deactivated, for it is no longer configured; its state is still there"
            ))?;
        }
        app.say(format!("{} as before", count(deployed.unchanged.len() as u64, "unit")))
    }
}
