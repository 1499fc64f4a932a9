//! `dysno plugins`

use clap::Args;
use plugins::{Consistency, KINDS, Kind};
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;

/// List the kinds of state units, what each can do and its settings
#[derive(Args)]
#[command(after_help = "Example: dysno plugins")]
pub(in crate::cli) struct Plugins {}

impl Plugins {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        if app.format() == Format::Json {
            return app.print_json(&KINDS.iter().map(document).collect());
        }
        for (at, kind) in KINDS.iter().enumerate() {
            if at > 0 {
                app.out.line("")?;
            }
            app.out.line(format!("{}: {}", kind.name, kind.summary))?;
            app.out.line(format!("  component:   {}", kind.component))?;
            app.out.line(format!("  initial:     {}", kind.initial))?;
            app.out.line(format!("  consistency: {}", consistency(kind.consistency)))?;
            for setting in kind.settings {
                app.out.line(format!("  setting:     {}: {}", setting.name, setting.meaning))?;
            }
        }
        Ok(())
    }
}

fn consistency(consistency: Consistency) -> &'static str {
    match consistency {
        Consistency::Dump => "one transaction's view of the whole unit",
        Consistency::CrashConsistent => "one point in time of the whole unit, as after a crash",
        Consistency::PerFile => "each file by itself",
    }
}

fn document(kind: &Kind) -> Value {
    let setting =
        |setting: &plugins::Setting| json!({ "name": setting.name, "meaning": setting.meaning });
    json!({
        "plugin": kind.name,
        "summary": kind.summary,
        "component": kind.component,
        "initial": kind.initial,
        "profile": kind.profile.name(),
        "consistency": kind.consistency,
        "settings": kind.settings.iter().map(setting).collect::<Vec<_>>(),
    })
}
