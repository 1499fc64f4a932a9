//! `dysno units`

use clap::Args;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::{Table, time};
use crate::ops::{self, UnitReport, UnitStanding};

/// List the units that are configured, active or captured
#[derive(Args)]
#[command(after_help = "Example: dysno units")]
pub(in crate::cli) struct List {}

impl List {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let units = ops::units(app.host()?, &app.progress)?;
        if app.format() == Format::Json {
            return app.print_json(&units.iter().map(document).collect());
        }
        let mut table = Table::new(["UNIT", "STATE", "CONFIGURED", "LATEST", "TIME"]);
        for unit in &units {
            let latest = unit.latest.as_ref();
            table.row([
                unit.unit.clone(),
                state(unit.standing).to_owned(),
                if unit.configured { "yes" } else { "no" }.to_owned(),
                latest.map_or_else(|| "-".to_owned(), |generation| generation.number.to_string()),
                latest.map_or_else(|| "-".to_owned(), |generation| time(&generation.time)),
            ]);
        }
        Ok(table.print(&app.out)?)
    }
}

/// Returns the word for a unit's standing.
pub(in crate::cli) fn state(standing: UnitStanding) -> &'static str {
    match standing {
        UnitStanding::Active => "active",
        UnitStanding::Inactive => "inactive",
        UnitStanding::Garbage => "garbage",
    }
}

/// Returns what is known of a unit, for machines.
pub(in crate::cli) fn document(unit: &UnitReport) -> Value {
    json!({
        "unit": unit.unit,
        "plugin": unit.plugin,
        "configured": unit.configured,
        "state": state(unit.standing),
        "latest_generation": unit.latest.as_ref().map(|generation| generation.number),
        "latest_snapshot": unit.latest.as_ref().map(|generation| generation.snapshot.to_string()),
        "latest_time": unit.latest.as_ref().map(|generation| &generation.time),
    })
}
