//! `dysno man`

use std::fs;
use std::path::PathBuf;

use clap::Args;

use crate::cli::app::App;
use crate::cli::command_line;
use crate::cli::failure::{Failure, Result};

/// Write the manual pages into a directory
#[derive(Args)]
#[command(after_help = "Example: dysno man /usr/local/share/man/man1")]
pub(in crate::cli) struct Man {
    /// The directory; made where it does not exist
    dir: PathBuf,
}

impl Man {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        fs::create_dir_all(&self.dir).map_err(Failure::file("create", &self.dir))?;
        let written = clap_mangen::generate_to(command_line(), &self.dir);
        written.map_err(Failure::file("write to", &self.dir))?;
        app.say(format!("the manual pages are in {}; start with dysno.1", self.dir.display()))
    }
}
