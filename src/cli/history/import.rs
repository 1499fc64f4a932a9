//! `dysno import`

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::{plain, short, size};
use crate::ops::{self, Imported};

/// Read the snapshots of a bundle into the store
///
/// Every object is verified before it counts. Where anything is wrong with the bundle, none of its snapshots is imported.
#[derive(Args)]
#[command(after_help = "Example: dysno import main.dysno")]
pub(in crate::cli) struct Import {
    /// Read from this file; - is the standard input
    file: PathBuf,
}

impl Import {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let mut input: Box<dyn Read> = if self.file == Path::new("-") {
            if io::stdin().is_terminal() {
                let message = "cannot read a bundle from a terminal";
                return Err(Failure::refused(message, "name a file, or pipe it in"));
            }
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(&self.file).map_err(Failure::file("open", &self.file))?)
        };
        let imported = ops::import(app.host()?, &mut input, &app.progress)?;
        match app.format() {
            Format::Text => imported.iter().try_for_each(|imported| app.say(line(imported))),
            Format::Json => app.print_json(&imported.iter().map(document).collect()),
        }
    }
}

fn line(imported: &Imported) -> String {
    let (unit, snapshot) = (plain(&imported.unit), short(&imported.snapshot));
    let generation = imported.generation;
    match imported.created {
        true => {
            let size = size(imported.size_bytes);
            format!("{unit}: generation {generation}, snapshot {snapshot}, {size}")
        }
        false => format!("{unit}: generation {generation} has snapshot {snapshot} already"),
    }
}

fn document(imported: &Imported) -> Value {
    json!({
        "unit": imported.unit,
        "generation": imported.generation,
        "snapshot": imported.snapshot.to_string(),
        "created": imported.created,
        "size_bytes": imported.size_bytes,
    })
}
