//! `dysno version`

use clap::Args;
use plugins::KINDS;
use serde_json::json;

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Print the version
#[derive(Args)]
#[command(after_help = "Example: dysno version")]
pub(in crate::cli) struct Version {}

impl Version {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let plugins: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        match app.format() {
            Format::Text => Ok(app.out.line(format!("dysno {VERSION}"))?),
            Format::Json => app.print_json(&json!({ "version": VERSION, "plugins": plugins })),
        }
    }
}
