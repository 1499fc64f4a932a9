//! `dysno show`

use clap::Args;
use plugins::tree::TreePath;
use serde_json::{Map, Value, json};

use super::path_fields;
use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::{plain, size};
use crate::ops::{self, Selected, Shown};

/// More files than these are not listed one by one.
const FILES_SHOWN_MAX: usize = 20;

/// Show what a snapshot is
#[derive(Args)]
#[command(after_help = "Example: dysno show postgres:main@12")]
pub(in crate::cli) struct Show {
    /// The snapshot: UNIT, UNIT@N or the beginning of its id
    snapshot: String,
}

impl Show {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let selected = app.select_one(&self.snapshot)?;
        let shown = ops::show(app.host()?, &selected, &app.progress)?;
        match app.format() {
            Format::Text => print(app, &selected, &shown, &self.snapshot),
            Format::Json => app.print_json(&document(&selected, &shown)),
        }
    }
}

fn print(app: &App, selected: &Selected, shown: &Shown, name: &str) -> Result<()> {
    let root = &selected.root;
    let out = &app.out;
    out.line(format!("snapshot: {}", root.snapshot))?;
    out.line(format!("unit:     {}", plain(&root.unit)))?;
    out.line(format!("plugin:   {}", plain(&shown.plugin)))?;
    out.line(format!("size:     {} in {}", size(root.size_bytes), entries(root.entries)))?;
    out.line(format!("added:    {}", size(root.stored_bytes)))?;
    for (attribute, value) in &shown.attributes {
        out.line(format!("{:<9} {}", format!("{}:", plain(attribute)), plain(value)))?;
    }
    out.line(format!("files:    {}", shown.streams.len()))?;
    for (path, size_bytes) in shown.streams.iter().take(FILES_SHOWN_MAX) {
        out.line(format!("  {path}, {}", size(*size_bytes)))?;
    }
    if shown.streams.len() > FILES_SHOWN_MAX {
        out.line(format!("  and more: dysno ls {name}"))?;
    }
    Ok(())
}

fn document(selected: &Selected, shown: &Shown) -> Value {
    let root = &selected.root;
    let stream = |(path, size_bytes): &(TreePath, u64)| {
        let (name, name_hex) = path_fields(path);
        json!({ "name": name, "name_hex": name_hex, "size_bytes": size_bytes })
    };
    let attributes: Map<String, Value> =
        shown.attributes.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "snapshot": root.snapshot.to_string(),
        "unit": root.unit,
        "generation": selected.generation.as_ref().map(|generation| generation.number),
        "plugin": shown.plugin,
        "profile": root.profile.name(),
        "streams": shown.streams.iter().map(stream).collect::<Vec<_>>(),
        "entries": root.entries,
        "size_bytes": root.size_bytes,
        "stored_bytes": root.stored_bytes,
        "attributes": attributes,
    })
}

fn entries(n: u64) -> String {
    format!("{n} {}", if n == 1 { "entry" } else { "entries" })
}
