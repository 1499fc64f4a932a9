//! What a command tells on the standard error while it works.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::print::{plain, seconds, size};
use crate::report::Report;

/// A step that is over sooner is not worth a bar.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two lines about a step where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
const BAR_PER_SECOND: Duration = Duration::from_millis(200);

/// How much is said beside the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// What was done, and notes.
    Normal,
    /// Each step as well.
    Verbose,
    /// Where everything is looked for as well.
    Debug,
}

/// When a bar is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum When {
    /// When the standard error is a terminal
    Auto,
    /// As lines where it is none
    Always,
    /// Not at all
    Never,
}

/// How a step is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Hidden,
}

/// Shows progress, warnings and notes.
pub(super) struct Progress {
    style: Style,
    verbosity: Verbosity,
    step: Mutex<Option<Step>>,
    warnings: Mutex<BTreeSet<String>>,
}

struct Step {
    what: String,
    total_bytes: Option<u64>,
    started: Instant,
    shown: Instant,
    bytes: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn new(when: When, verbosity: Verbosity) -> Self {
        let style = match when {
            When::Never => Style::Hidden,
            When::Auto | When::Always if verbosity == Verbosity::Quiet => Style::Hidden,
            When::Auto | When::Always if io::stderr().is_terminal() => Style::Bar,
            When::Always => Style::Lines,
            When::Auto => Style::Hidden,
        };
        Self { style, verbosity, step: Mutex::new(None), warnings: Mutex::default() }
    }

    /// Returns whether there was a warning.
    pub(super) fn has_warned(&self) -> bool {
        !self.warnings.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Returns how much is said.
    pub(super) fn verbosity(&self) -> Verbosity {
        self.verbosity
    }

    /// Writes a line for those who want to know all.
    pub(super) fn debug(&self, line: &str) {
        if self.verbosity >= Verbosity::Debug {
            self.say(&format!("debug: {line}"));
        }
    }

    fn step(&self) -> MutexGuard<'_, Option<Step>> {
        self.step.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line without tearing the bar.
    fn say(&self, line: &str) {
        // Where the standard error is gone there is nobody to tell.
        let write = || drop(writeln!(io::stderr(), "{}", plain(line)));
        match self.step().as_ref().and_then(|step| step.bar.as_ref()) {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Report for Progress {
    fn begin(&self, what: &str, total_bytes: Option<u64>) {
        let now = Instant::now();
        let step = Step {
            what: what.to_owned(),
            total_bytes,
            started: now,
            shown: now,
            bytes: 0,
            bar: None,
        };
        *self.step() = Some(step);
        if self.verbosity >= Verbosity::Verbose || self.style == Style::Lines {
            self.say(what);
        }
    }

    fn advance(&self, bytes: u64) {
        let mut guard = self.step();
        let Some(step) = guard.as_mut() else { return };
        step.bytes += bytes;
        let line = match (self.style, &step.bar) {
            (Style::Hidden, _) => None,
            (Style::Bar, Some(bar)) => {
                bar.set_position(step.bytes);
                None
            }
            (Style::Bar, None) => {
                step.bar = (step.started.elapsed() >= PATIENCE).then(|| step.new_bar());
                None
            }
            (Style::Lines, _) => step.line_if_due(),
        };
        drop(guard);
        if let Some(line) = line {
            self.say(&line);
        }
    }

    fn end(&self) {
        let Some(step) = self.step().take() else { return };
        if let Some(bar) = &step.bar {
            bar.finish_and_clear();
        }
        if self.verbosity >= Verbosity::Verbose {
            let took = seconds(step.started.elapsed().as_secs_f64());
            self.say(&format!("{}: {} in {took}", step.what, size(step.bytes)));
        }
    }

    fn warn(&self, warning: &str) {
        // Each session on a damaged store finds the same; once is enough.
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = warnings.insert(warning.to_owned());
        drop(warnings);
        if is_new {
            self.say(&format!("warning: {warning}"));
        }
    }

    fn note(&self, text: &str) {
        if self.verbosity >= Verbosity::Normal {
            self.say(&format!("note: {text}"));
        }
    }
}

impl Step {
    fn new_bar(&self) -> ProgressBar {
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(self.total_bytes, target);
        let template = match self.total_bytes {
            Some(_) => {
                "{msg} [{bar:24}] {binary_bytes} of about {binary_total_bytes}, {binary_bytes_per_sec}"
            }
            None => "{msg} {spinner} {binary_bytes}, {binary_bytes_per_sec}",
        };
        let style = ProgressStyle::with_template(template).expect("the template is well-formed");
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(plain(&self.what));
        bar.set_position(self.bytes);
        bar.enable_steady_tick(BAR_PER_SECOND);
        bar
    }

    fn line_if_due(&mut self) -> Option<String> {
        if self.shown.elapsed() < LINE_INTERVAL {
            return None;
        }
        self.shown = Instant::now();
        let rate = self.bytes as f64 / self.started.elapsed().as_secs_f64();
        let of = self.total_bytes.map(|n| format!(" of about {}", size(n))).unwrap_or_default();
        Some(format!("{}: {}{of}, {}/s", self.what, size(self.bytes), size(rate as u64)))
    }
}

/// Listens without telling anybody.
pub(super) struct Silent;

impl Report for Silent {
    fn begin(&self, _what: &str, _total_bytes: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
    fn warn(&self, _warning: &str) {}
    fn note(&self, _text: &str) {}
}
