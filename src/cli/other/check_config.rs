//! `dysno check-config`

use clap::Args;
use serde_json::json;

use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::count;
use crate::ops;

/// Check the configuration file without touching any state
#[derive(Args)]
#[command(after_help = "Example: dysno check-config --config ./dysno.toml")]
pub(in crate::cli) struct CheckConfig {}

impl CheckConfig {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let config = app.config()?;
        ops::check_config(&config, app.context())?;
        // Reading has succeeded, so a file that is not there is one that need not be.
        let path = app.config_path().filter(|path| path.exists());
        let path = path.map(|path| path.display().to_string());
        let n_containers = config.containers.len() as u64;
        let (n_units, n_groups) = (config.units.len() as u64, config.groups.len() as u64);
        if app.format() == Format::Json {
            return app.print_json(&json!({
                "config": path,
                "containers": n_containers,
                "units": n_units,
                "groups": n_groups,
            }));
        }
        app.say(match path {
            Some(path) => format!(
                "{path} is good: {}, {}, {}",
                count(n_containers, "container"),
                count(n_units, "unit"),
                count(n_groups, "group"),
            ),
            None => "there is no configuration file; the defaults apply".to_owned(),
        })
    }
}
