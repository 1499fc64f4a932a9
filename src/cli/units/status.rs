//! `dysno status`

use clap::Args;
use jiff::Timestamp;
use plugins::{Probe, UnitAddress};
use serde_json::{Value, json};

use super::containers::causes;
use super::list::{document, state};
use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::{Table, age, count, maybe_size, plain, size};
use crate::host;
use crate::ops::{self, StatusReport, UnitReport};

/// Show the health of units and of the store at a glance
#[derive(Args)]
#[command(after_help = "Example: dysno status postgres:main")]
pub(in crate::cli) struct Status {
    /// Show this unit only
    unit: Option<UnitAddress>,
}

type Unit = (UnitReport, std::result::Result<Probe, host::Error>);

impl Status {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let host = app.host()?;
        let status = ops::status(host, self.unit.as_ref(), &app.progress)?;
        match app.format() {
            Format::Text => print(app, &status, host.now()),
            Format::Json => app.print_json(&status_document(&status)),
        }
    }
}

fn print(app: &App, status: &StatusReport, now: Timestamp) -> Result<()> {
    let mut table = Table::new(["UNIT", "STATE", "LATEST", "AGE", "SIZE", "LIVE"]);
    for (unit, probe) in &status.units {
        let latest = unit.latest.as_ref();
        table.row([
            unit.unit.clone(),
            state(unit.standing).to_owned(),
            latest.map_or_else(|| "-".to_owned(), |generation| generation.number.to_string()),
            latest.map_or_else(|| "-".to_owned(), |generation| age(&generation.time, now)),
            maybe_size(probe.as_ref().ok().and_then(|probe| probe.size_bytes)),
            live(probe),
        ]);
    }
    table.print(&app.out)?;
    for unit in &status.interrupted {
        let unit = plain(unit);
        app.out.line(format!(
            "{unit}: a restore was interrupted; the next command on it finishes or undoes it"
        ))?;
    }
    for (unit, kept_at) in &status.kept {
        let (unit, kept_at) = (plain(unit), plain(kept_at));
        app.out.line(format!(
            "{unit}: what the last restore displaced is kept as {kept_at}; to go back: dysno restore --undo {unit}"
        ))?;
    }
    let store = &status.store;
    let snapshots = count(store.snapshots, "snapshot");
    let (all, stored) = (size(store.size_bytes), size(store.stored_bytes));
    Ok(app.out.line(format!("store: {snapshots} of {all} in all, {stored} on disk"))?)
}

fn live(probe: &std::result::Result<Probe, host::Error>) -> String {
    match probe {
        Ok(Probe { exists: true, version: Some(version), .. }) => {
            format!("there, version {version}")
        }
        Ok(Probe { exists: true, .. }) => "there".to_owned(),
        Ok(Probe { exists: false, .. }) => "no state".to_owned(),
        Err(error) => format!("unreachable: {}", causes(error).join(": ")),
    }
}

fn status_document(status: &StatusReport) -> Value {
    let store = &status.store;
    let units: Vec<_> = status.units.iter().map(|unit| unit_document(status, unit)).collect();
    json!({
        "units": units,
        "store": {
            "snapshots": store.snapshots,
            "size_bytes": store.size_bytes,
            "stored_bytes": store.stored_bytes,
        },
        "activation": null,
    })
}

fn unit_document(status: &StatusReport, (unit, probe): &Unit) -> Value {
    let mut document = document(unit);
    let kept = status.kept.iter().find(|(name, _)| *name == unit.unit);
    let found = probe.as_ref().ok();
    document["exists"] = json!(found.map(|probe| probe.exists));
    document["version"] = json!(found.and_then(|probe| probe.version.as_ref()));
    document["size_bytes"] = json!(found.and_then(|probe| probe.size_bytes));
    document["reachable"] = json!(probe.is_ok());
    document["causes"] = json!(probe.as_ref().err().map(|error| causes(error)));
    document["interrupted_restore"] = json!(status.interrupted.contains(&unit.unit));
    document["kept_at"] = json!(kept.map(|(_, kept_at)| kept_at));
    document
}
