//! `dysno containers`

use std::error::Error;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::Table;
use crate::ops::{self, ContainerReport};

/// List the containers, what each holds and whether it can be reached
#[derive(Args)]
#[command(after_help = "Example: dysno containers")]
pub(in crate::cli) struct Containers {}

impl Containers {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let containers = ops::containers(app.host()?);
        if app.format() == Format::Json {
            return app.print_json(&containers.iter().map(document).collect());
        }
        let mut table = Table::new(["CONTAINER", "PLUGIN", "STATE", "VERSION", "UNITS"]);
        for container in &containers {
            let (state, version, components) = match &container.probe {
                Ok(probe) => ("reachable", probe.version.clone(), probe.components.join(", ")),
                Err(error) => ("unreachable", None, causes(error).join(": ")),
            };
            table.row([
                container.name.clone(),
                container.plugin.to_owned(),
                state.to_owned(),
                version.unwrap_or_else(|| "-".to_owned()),
                if components.is_empty() { "-".to_owned() } else { components },
            ]);
        }
        Ok(table.print(&app.out)?)
    }
}

fn document(container: &ContainerReport) -> Value {
    let probe = container.probe.as_ref();
    json!({
        "container": container.name,
        "plugin": container.plugin,
        "reachable": probe.is_ok(),
        "version": probe.ok().and_then(|probe| probe.version.as_ref()),
        "components": probe.ok().map(|probe| &probe.components),
        "causes": probe.err().map(|error| causes(error)),
    })
}

/// Returns why something cannot be reached. That it cannot is said elsewhere, so the outermost message is left out where
/// there is another one.
pub(in crate::cli) fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(error) = next {
        causes.push(error.to_string());
        next = error.source();
    }
    causes.dedup();
    if causes.is_empty() {
        causes.push(error.to_string());
    }
    causes
}
