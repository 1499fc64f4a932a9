//! `dysno completions`

use std::io::Write;

use clap::Args;
use clap_complete::Shell;

use crate::cli::app::App;
use crate::cli::command_line;
use crate::cli::failure::Result;

/// Print the completions for a shell
#[derive(Args)]
#[command(after_help = "Example: dysno completions bash > /etc/bash_completion.d/dysno")]
pub(in crate::cli) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        // By way of memory, for the generator panics where its output is gone.
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut command_line(), "dysno", &mut text);
        let mut out = &app.out;
        Ok(out.write_all(&text)?)
    }
}
