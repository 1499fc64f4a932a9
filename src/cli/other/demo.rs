//! stub
use crate::cli::app::App;
use crate::cli::failure::Result;
use clap::Args;
/// Demo
#[derive(Args)]
pub(in crate::cli) struct Demo {}
impl Demo {
    pub(in crate::cli) fn run(self, _app: &App) -> Result<()> {
        Ok(())
    }
}
