//! `dysno verify`

use clap::Args;
use plugins::tree::Digest;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::{count, plain, size};
use crate::ops::{self, Depth, GenerationReport, Problem, Verified};

/// Find damage in the store and name what it affects
///
/// Changes nothing. Without --read-data it checks the structure: records, manifests, and that every pack is there and as
/// long as it was. Ends with 4 when anything is damaged.
#[derive(Args)]
#[command(after_help = "Example: dysno verify --read-data")]
pub(in crate::cli) struct Verify {
    /// Read every byte of every pack as well
    #[arg(long)]
    read_data: bool,
    /// Check these only: UNIT, UNIT@N or the beginning of an id
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
}

impl Verify {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let depth = if self.read_data { Depth::Data } else { Depth::Structure };
        let selected = match &self.snapshots[..] {
            [] => Vec::new(),
            snapshots => app.select(snapshots)?,
        };
        let verified = ops::verify(app.host()?, &selected, depth, &app.progress)?;
        let n_problems = count(verified.problems.len() as u64, "problem");
        let failure = Failure::Damaged { n_problems };
        if app.format() == Format::Json {
            let document = document(&verified, depth);
            if verified.problems.is_empty() {
                return app.print_json(&document);
            }
            app.print_json_with_failure(document, &failure)?;
            return Err(failure);
        }
        let generations = ops::generations(app.host()?, None, &app.progress)?;
        for problem in &verified.problems {
            app.out.line(format!("{}: {}", problem.kind, plain(&problem.object)))?;
            for snapshot in &problem.affects {
                app.out.line(format!(
                    "  affects: snapshot {snapshot}{}",
                    names(&generations, snapshot)
                ))?;
            }
        }
        app.say(summary(&verified, depth))?;
        if verified.problems.is_empty() { Ok(()) } else { Err(failure) }
    }
}

/// Returns the generations that have a snapshot, as the end of a line.
fn names(generations: &[GenerationReport], snapshot: &Digest) -> String {
    let of_snapshot = generations.iter().filter(|report| report.generation.snapshot == *snapshot);
    let name = |report: &GenerationReport| {
        format!(", {}@{}", plain(&report.generation.unit), report.generation.number)
    };
    of_snapshot.map(name).collect()
}

fn summary(verified: &Verified, depth: Depth) -> String {
    let read = match depth {
        Depth::Structure => "structure only".to_owned(),
        Depth::Data => format!("{} read", size(verified.bytes_checked)),
    };
    let problems = match verified.problems.len() as u64 {
        0 => "no problems".to_owned(),
        n => count(n, "problem"),
    };
    format!("{} checked, {read}, {problems}", count(verified.snapshots_checked, "snapshot"))
}

fn document(verified: &Verified, depth: Depth) -> Value {
    let problem = |problem: &Problem| {
        let affects: Vec<_> = problem.affects.iter().map(ToString::to_string).collect();
        json!({ "kind": problem.kind, "object": problem.object, "affects": affects })
    };
    json!({
        "snapshots_checked": verified.snapshots_checked,
        "bytes_checked": verified.bytes_checked,
        "data_read": depth == Depth::Data,
        "problems": verified.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
