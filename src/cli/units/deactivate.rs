//! `dysno deactivate`

use clap::Args;
use serde_json::json;

use crate::cli::app::{App, Format, Units};
use crate::cli::failure::Result;
use crate::ops::{self, Targets};

/// Take units out of service and mark them as garbage
///
/// The state stays where it is until `dysno purge`. Deactivating a unit that is not active changes nothing.
#[derive(Args)]
#[command(after_help = "Example: dysno deactivate postgres:old")]
pub(in crate::cli) struct Deactivate {
    #[command(flatten)]
    units: Units,
}

impl Deactivate {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let host = app.host()?;
        let mut documents = Vec::new();
        for unit in ops::targets(host, &Targets::Units(self.units.units))? {
            let deactivated = ops::deactivate(host, &unit, &app.progress)?;
            let was_active = deactivated.was_active;
            match (app.format(), was_active) {
                (Format::Text, true) => {
                    app.say(format!("{unit}: deactivated; its state is still there"))?
                }
                (Format::Text, false) => app.say(format!("{unit}: was not active"))?,
                (Format::Json, _) => {
                    documents.push(json!({ "unit": unit, "was_active": was_active }))
                }
            }
        }
        match app.format() {
            Format::Text => Ok(()),
            Format::Json => app.print_json(&json!(documents)),
        }
    }
}
