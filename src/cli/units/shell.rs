//! `dysno shell`

use std::os::unix::process::CommandExt;
use std::process::Command;

use clap::Args;
use plugins::UnitAddress;

use crate::cli::app::App;
use crate::cli::edge::user_shell;
use crate::cli::failure::{Failure, Result};
use crate::ops;

/// Start a shell with the connection settings of a unit in its environment
///
/// The exit status is that of the shell. No secret is put into the environment.
#[derive(Args)]
#[command(after_help = "Example: dysno shell postgres:main -c 'psql -c \"select version()\"'")]
pub(in crate::cli) struct Shell {
    /// The unit, such as postgres:main or directory:/srv/www
    unit: UnitAddress,
    /// Run this command in place of an interactive shell
    #[arg(short, value_name = "COMMAND")]
    command: Option<String>,
}

impl Shell {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let environment = ops::shell(app.host()?, &self.unit)?;
        let program = user_shell();
        let mut shell = Command::new(&program);
        if let Some(command) = &self.command {
            shell.arg("-c").arg(command);
        }
        shell.envs(environment.variables).env("DYSNO_UNIT", self.unit.to_string());
        if let Some(directory) = environment.directory {
            shell.current_dir(directory);
        }
        // Becomes the shell, so that its exit status and its signals are those of this command; returns only on failure.
        Err(Failure::Run { program, source: shell.exec() })
    }
}
