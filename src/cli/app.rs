//! What all commands share: the global options, the host, the output, and how a command ends.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::env;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Args};
use plugins::UnitAddress;
use plugins::tree::Digest;
use serde_json::{Value, json};

use super::edge::{Signals, default_config_path, default_state_dir, surroundings};
use super::failure::{Exit, Failure, FailureReport, Result};
use super::print::Out;
use super::progress::{Progress, Silent, Verbosity, When};
use crate::host::{Config, Host, Surroundings};
use crate::ops::{self, Depth, Selected};
use crate::report::Report;

/// An answer that is longer is not one.
const ANSWER_BYTES_MAX: u64 = 256;

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// Read this configuration file; by default /etc/dysno/dysno.toml for root, else
    /// $XDG_CONFIG_HOME/dysno/dysno.toml, where there is one
    #[arg(long, global = true, value_name = "FILE", env = "DYSNO_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Keep snapshots and records in this directory; by default /var/lib/dysno for root, else $XDG_STATE_HOME/dysno
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "DYSNO_STATE_DIR",
        hide_env_values = true
    )]
    state_dir: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Print what was asked for, warnings and errors only; as DYSNO_LOG=quiet
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more, twice for all; as DYSNO_LOG=verbose and DYSNO_LOG=debug
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Show progress
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value = "auto")]
    progress: When,
    /// Answer the confirmation of a destructive command
    #[arg(short, long, global = true)]
    yes: bool,
}

impl Globals {
    /// Returns how results are printed.
    pub(super) fn format(&self) -> Format {
        if self.json { Format::Json } else { Format::Text }
    }

    /// Options win over `DYSNO_LOG`.
    fn verbosity(&self) -> Result<Verbosity> {
        match (self.quiet, self.verbose) {
            (true, _) => return Ok(Verbosity::Quiet),
            (false, 0) => {}
            (false, 1) => return Ok(Verbosity::Verbose),
            (false, _) => return Ok(Verbosity::Debug),
        }
        match env::var("DYSNO_LOG").as_deref() {
            Err(env::VarError::NotPresent) | Ok("" | "normal") => Ok(Verbosity::Normal),
            Ok("quiet") => Ok(Verbosity::Quiet),
            Ok("verbose") => Ok(Verbosity::Verbose),
            Ok("debug") => Ok(Verbosity::Debug),
            _ => Err(Failure::refused(
                "cannot use the environment variable DYSNO_LOG",
                "it is one of quiet, normal, verbose, debug",
            )),
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// One run of the program.
pub(super) struct App {
    globals: Globals,
    surroundings: Surroundings,
    signals: Signals,
    host: OnceCell<Host>,
    /// The snapshots that the command named, to look at where damage is found.
    selected: RefCell<Vec<Selected>>,
    /// Set by a command that printed its document before it failed.
    has_printed: OnceCell<()>,
    /// The standard output.
    pub(super) out: Out,
    /// The standard error.
    pub(super) progress: Progress,
}

impl App {
    pub(super) fn new(globals: Globals) -> Result<Self> {
        let signals = Signals::catch()
            .map_err(|source| Failure::file("catch signals of", "/proc/self")(source))?;
        let progress = Progress::new(globals.progress, globals.verbosity()?);
        let surroundings = surroundings(signals.interrupt());
        Ok(Self {
            globals,
            surroundings,
            signals,
            host: OnceCell::new(),
            selected: RefCell::default(),
            has_printed: OnceCell::new(),
            out: Out::new(),
            progress,
        })
    }

    /// Returns how results are printed.
    pub(super) fn format(&self) -> Format {
        self.globals.format()
    }

    /// Returns where the configuration is read from; none where there is no home directory to look in.
    pub(super) fn config_path(&self) -> Option<PathBuf> {
        self.globals.config.clone().or_else(default_config_path)
    }

    /// Reads the configuration. A file that was named must be there; without the default one the defaults apply.
    pub(super) fn config(&self) -> Result<Config> {
        let Some(path) = self.config_path() else { return Ok(Config::default()) };
        if self.globals.config.is_none() && !path.exists() {
            self.progress.debug(&format!("there is no configuration {}", path.display()));
            return Ok(Config::default());
        }
        self.progress.debug(&format!("reading the configuration {}", path.display()));
        Ok(Config::read(&path).map_err(crate::host::Error::from)?)
    }

    /// Returns where the state lies.
    pub(super) fn state_dir(&self) -> Result<PathBuf> {
        let path = self.globals.state_dir.clone().or_else(default_state_dir).ok_or_else(|| {
            Failure::refused(
                "cannot find the state directory: there is no home directory",
                "name it with --state-dir",
            )
        })?;
        // The library does not know where it was started.
        std::path::absolute(&path).map_err(Failure::file("find", path))
    }

    /// Returns what plug-ins get.
    pub(super) fn context(&self) -> &plugins::Context {
        &self.surroundings.context
    }

    /// Opens the host, the first time.
    pub(super) fn host(&self) -> Result<&Host> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let config = self.config()?;
        let state_dir = self.state_dir()?;
        self.progress.debug(&format!("the state directory is {}", state_dir.display()));
        self.progress.debug(&format!("looking for tools in {:?}", self.context().tool_path));
        let host = Host::open(config, &state_dir, self.surroundings.clone())?;
        Ok(self.host.get_or_init(|| host))
    }

    /// Finds the snapshots that the command names.
    pub(super) fn select(&self, texts: &[String]) -> Result<Vec<Selected>> {
        let selected = ops::select_all(self.host()?, texts, &self.progress)?;
        self.selected.borrow_mut().extend(selected.iter().cloned());
        Ok(selected)
    }

    /// Finds the snapshot that the command names.
    pub(super) fn select_one(&self, text: &str) -> Result<Selected> {
        let mut selected = self.select(&[text.to_owned()])?;
        Ok(selected.remove(0))
    }

    /// Asks whether a destructive command is meant. Without anybody to ask only `--yes` is an answer.
    pub(super) fn confirm(&self, what: &str) -> Result<()> {
        if self.globals.yes {
            return Ok(());
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            return Err(Failure::refused(
                format!("cannot {what}: it was not confirmed, and there is no terminal to ask on"),
                "give --yes",
            ));
        }
        let answer = self.signals.while_asking(|| ask(what));
        match answer.map_err(Failure::file("read the answer from", "the terminal"))?.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::refused(
                format!("cannot {what}: it was not confirmed"),
                "answer with y, or give --yes",
            )),
        }
    }

    /// Prints a document as it is.
    pub(super) fn print_json(&self, document: &Value) -> Result<()> {
        Ok(self.out.json(document)?)
    }

    /// Says what was done, unless the user wants to hear of failures only.
    pub(super) fn say(&self, line: impl AsRef<str>) -> Result<()> {
        match self.progress.verbosity() {
            Verbosity::Quiet => Ok(()),
            Verbosity::Normal | Verbosity::Verbose | Verbosity::Debug => {
                match self.out.line(line) {
                    // Nobody listens any more; the work goes on all the same.
                    Err(_) if self.out.is_closed() => Ok(()),
                    said => Ok(said?),
                }
            }
        }
    }

    /// Prints a document that tells of the failure as well; no other will be printed.
    pub(super) fn print_json_with_failure(
        &self,
        mut document: Value,
        failure: &Failure,
    ) -> Result<()> {
        document["error"] = failure.report().json();
        self.has_printed.get_or_init(|| ());
        self.print_json(&document)
    }

    /// Ends the program: tells why it failed, and says how in its exit code.
    pub(super) fn end(self, result: Result<()>) -> ExitCode {
        let flushed = (&self.out).flush().map_err(Failure::Output);
        self.progress.end();
        let exit = match result.and(flushed) {
            // Whoever read our output has what they wanted.
            Err(failure) if self.out.is_closed() && failure.is_broken_pipe() => self.done(),
            Ok(()) => self.done(),
            Err(failure) => self.tell(&failure),
        };
        ExitCode::from(exit as u8)
    }

    fn done(&self) -> Exit {
        if self.progress.has_warned() { Exit::Warned } else { Exit::Done }
    }

    fn tell(&self, failure: &Failure) -> Exit {
        let mut report = failure.report();
        if report.exit == Exit::Damaged && self.has_printed.get().is_none() {
            report.affects = self.affected();
        }
        tell(&report);
        if self.format() == Format::Json && self.has_printed.get().is_none() {
            let printed = self.out.json(&json!({ "error": report.json() }));
            // There is no other way to tell than the one that failed.
            let _ = printed.and_then(|()| (&self.out).flush());
        }
        report.exit
    }

    /// Finds out which snapshots are damaged: all bytes of those that the command named, and the structure of all.
    fn affected(&self) -> Vec<(Digest, String)> {
        let Some(host) = self.host.get() else { return Vec::new() };
        let mut affected = BTreeMap::new();
        let selected = self.selected.borrow();
        let of_command = (!selected.is_empty())
            .then(|| ops::verify(host, &selected, Depth::Data, &self.progress));
        let of_all = ops::verify(host, &[], Depth::Structure, &Silent);
        // What cannot even be verified is told by the failure itself.
        for verified in of_command.into_iter().chain([of_all]).flatten() {
            for snapshot in verified.problems.into_iter().flat_map(|problem| problem.affects) {
                affected.insert(snapshot, String::new());
            }
        }
        let generations = ops::generations(host, None, &Silent).unwrap_or_default();
        for (snapshot, what) in &mut affected {
            let of_snapshot = generations.iter().filter(|g| g.generation.snapshot == *snapshot);
            let names: Vec<_> = of_snapshot
                .map(|g| format!("{}@{}", g.generation.unit, g.generation.number))
                .collect();
            *what = match &names[..] {
                [] => "which no generation names".to_owned(),
                names => names.join(", "),
            };
        }
        affected.into_iter().collect()
    }
}

/// Writes a failure to the standard error.
pub(super) fn tell(report: &FailureReport) {
    // Where the standard error is gone there is nobody to tell.
    let _ = writeln!(io::stderr(), "{}", report.text());
}

fn ask(what: &str) -> io::Result<String> {
    write!(io::stderr(), "{what}? [y/N] ")?;
    let mut answer = String::new();
    io::Read::take(io::stdin().lock(), ANSWER_BYTES_MAX).read_line(&mut answer)?;
    Ok(answer)
}

/// Units that a command names one by one.
#[derive(Args)]
pub(super) struct Units {
    /// The units, such as postgres:main or directory:/srv/www
    #[arg(value_name = "UNIT", required = true)]
    pub(super) units: Vec<UnitAddress>,
}
