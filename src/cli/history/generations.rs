//! `dysno generations`

use clap::Args;
use plugins::UnitAddress;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::{Table, maybe_size, short, time};
use crate::ops::{self, GenerationReport};

/// List the history of a unit, or of all, the newest first
#[derive(Args)]
#[command(after_help = "Example: dysno generations postgres:main")]
pub(in crate::cli) struct Generations {
    /// List this unit's only
    unit: Option<UnitAddress>,
}

impl Generations {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let generations = ops::generations(app.host()?, self.unit.as_ref(), &app.progress)?;
        if app.format() == Format::Json {
            return app.print_json(&generations.iter().map(document).collect());
        }
        let header = ["GENERATION", "TIME", "KIND", "SIZE", "SNAPSHOT", "PINS", "REASON"];
        let mut table = Table::new(header);
        for report in &generations {
            let generation = &report.generation;
            let pins = report.pinned_by.join(",");
            table.row([
                format!("{}@{}", generation.unit, generation.number),
                time(&generation.time),
                generation.kind.to_string(),
                maybe_size(report.size_bytes),
                short(&generation.snapshot),
                if pins.is_empty() { "-".to_owned() } else { pins },
                generation.reason.clone(),
            ]);
        }
        Ok(table.print(&app.out)?)
    }
}

fn document(report: &GenerationReport) -> Value {
    let generation = &report.generation;
    json!({
        "unit": generation.unit,
        "generation": generation.number,
        "snapshot": generation.snapshot.to_string(),
        "time": generation.time,
        "host": generation.host,
        "kind": generation.kind.name(),
        "reason": generation.reason,
        "size_bytes": report.size_bytes,
        "pinned_by": report.pinned_by,
    })
}
