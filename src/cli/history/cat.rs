//! `dysno cat`

use std::ffi::OsString;

use clap::Args;

use super::tree_path;
use crate::cli::app::App;
use crate::cli::failure::Result;
use crate::ops;

/// Write one file of a snapshot to the standard output
///
/// Every byte is verified before it is written.
#[derive(Args)]
#[command(after_help = "Example: dysno cat directory:/srv/www@3 index.html")]
pub(in crate::cli) struct Cat {
    /// The snapshot: UNIT, UNIT@N or the beginning of its id
    snapshot: String,
    /// The file, relative to the top of the snapshot
    path: OsString,
}

impl Cat {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let path = tree_path(self.path)?;
        let selected = app.select_one(&self.snapshot)?;
        let mut out = &app.out;
        Ok(ops::cat(app.host()?, &selected, &path, &app.progress, &mut out)?)
    }
}
