//! The command line: one file a command, each with its arguments, its call and its output.

mod app;
mod edge;
mod failure;
mod hint;
mod history;
mod other;
mod print;
mod progress;
mod units;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use app::{App, Format, Globals, tell};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};
use failure::{Exit, Result};
use serde_json::json;

/// Snapshots and restores the state of services
#[derive(Parser)]
#[command(
    name = "dysno",
    version,
    about,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Example: dysno snapshot postgres:main\n\
                  Try it without touching anything: dysno demo"
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    // State units.
    Activate(units::Activate),
    Deactivate(units::Deactivate),
    Snapshot(units::Snapshot),
    Restore(units::Restore),
    Purge(units::Purge),
    Deploy(units::Deploy),
    Shell(units::Shell),
    Units(units::List),
    Containers(units::Containers),
    Plugins(units::Plugins),
    Status(units::Status),
    // History and store.
    Generations(history::Generations),
    Show(history::Show),
    Ls(history::Ls),
    Cat(history::Cat),
    Diff(history::Diff),
    Pin(history::Pin),
    Unpin(history::Unpin),
    Gc(history::Gc),
    Verify(history::Verify),
    Export(history::Export),
    Import(history::Import),
    // Other.
    CheckConfig(other::CheckConfig),
    Completions(other::Completions),
    Man(other::Man),
    Version(other::Version),
    Demo(other::Demo),
}

impl Command {
    fn run(self, app: &App) -> Result<()> {
        match self {
            Self::Activate(command) => command.run(app),
            Self::Deactivate(command) => command.run(app),
            Self::Snapshot(command) => command.run(app),
            Self::Restore(command) => command.run(app),
            Self::Purge(command) => command.run(app),
            Self::Deploy(command) => command.run(app),
            Self::Shell(command) => command.run(app),
            Self::Units(command) => command.run(app),
            Self::Containers(command) => command.run(app),
            Self::Plugins(command) => command.run(app),
            Self::Status(command) => command.run(app),
            Self::Generations(command) => command.run(app),
            Self::Show(command) => command.run(app),
            Self::Ls(command) => command.run(app),
            Self::Cat(command) => command.run(app),
            Self::Diff(command) => command.run(app),
            Self::Pin(command) => command.run(app),
            Self::Unpin(command) => command.run(app),
            Self::Gc(command) => command.run(app),
            Self::Verify(command) => command.run(app),
            Self::Export(command) => command.run(app),
            Self::Import(command) => command.run(app),
            Self::CheckConfig(command) => command.run(app),
            Self::Completions(command) => command.run(app),
            Self::Man(command) => command.run(app),
            Self::Version(command) => command.run(app),
            Self::Demo(command) => command.run(app),
        }
    }
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misused(&error),
    };
    let format = cli.globals.format();
    match App::new(cli.globals) {
        Ok(app) => {
            let result = cli.command.run(&app);
            app.end(result)
        }
        Err(failure) => {
            let report = failure.report();
            tell(&report);
            if format == Format::Json {
                let _ = writeln!(io::stdout(), "{}", json!({ "error": report.json() }));
            }
            ExitCode::from(report.exit as u8)
        }
    }
}

/// Returns the whole command line, for completions, manual pages and tests.
pub fn command_line() -> clap::Command {
    Cli::command()
}

/// Ends the program where the arguments are not the program's, or ask for help.
fn misused(error: &clap::Error) -> ExitCode {
    // Where the output is gone there is nobody to tell.
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return ExitCode::SUCCESS,
        _ => {}
    }
    if env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let hint = lines.find(|line| line.starts_with("tip: ")).map(|line| &line["tip: ".len()..]);
        let exit_code = Exit::Refused as u8;
        let error =
            json!({ "message": message, "causes": [], "hint": hint, "exit_code": exit_code });
        let _ = writeln!(io::stdout(), "{}", json!({ "error": error }));
    }
    ExitCode::from(Exit::Refused as u8)
}
