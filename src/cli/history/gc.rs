//! `dysno gc`

use clap::Args;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::{Table, count, size, time};
use crate::host::Keep;
use crate::ops::{self, CollectRequest, Collected, Generation, KeptGeneration};

/// Forget generations that no rule keeps and free their space
///
/// Without rules here and in the configuration every generation is kept. Rules given here hold for all units in place of
/// the configured ones. The newest generation of a unit, pinned snapshots, and generations from the future are always
/// kept. It does not ask, for the rules were given on purpose; --dry-run explains what they would do.
#[derive(Args)]
#[command(
    after_help = "Examples: dysno gc --keep-last 5 --keep-daily 7 --dry-run\n          dysno gc --older-than 30d"
)]
pub(in crate::cli) struct Gc {
    /// Keep the newest N generations of each unit
    #[arg(long, value_name = "N")]
    keep_last: Option<u32>,
    /// Keep the newest generation of each of the last N hours that have one
    #[arg(long, value_name = "N")]
    keep_hourly: Option<u32>,
    /// Keep the newest generation of each of the last N days that have one
    #[arg(long, value_name = "N")]
    keep_daily: Option<u32>,
    /// Keep the newest generation of each of the last N weeks that have one
    #[arg(long, value_name = "N")]
    keep_weekly: Option<u32>,
    /// Keep the newest generation of each of the last N months that have one
    #[arg(long, value_name = "N")]
    keep_monthly: Option<u32>,
    /// Keep the newest generation of each of the last N years that have one
    #[arg(long, value_name = "N")]
    keep_yearly: Option<u32>,
    /// Forget only generations older than this: hours, days, weeks or years, as in 12h, 30d, 8w, 1y
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    older_than: Option<SignedDuration>,
    /// Explain for each generation what would happen to it, and change nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Gc {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let keep = self.keep();
        if keep == Some(Keep::default()) {
            let message = "cannot forget all generations: each of the given rules keeps none";
            return Err(Failure::refused(
                message,
                "keep at least one, for example with --keep-last 1",
            ));
        }
        let request = CollectRequest { keep, older_than: self.older_than, dry_run: self.dry_run };
        let collected = ops::gc(app.host()?, &request, &app.progress)?;
        match app.format() {
            Format::Text if self.dry_run => explain(app, &collected),
            Format::Text => app.say(summary(&collected)),
            Format::Json => app.print_json(&self.document(&collected)),
        }
    }

    /// Returns the rules, if any was given. Those that were not given keep none.
    fn keep(&self) -> Option<Keep> {
        let given = [
            self.keep_last,
            self.keep_hourly,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ];
        if given.iter().all(Option::is_none) {
            return None;
        }
        let [last, hourly, daily, weekly, monthly, yearly] = given.map(Option::unwrap_or_default);
        Some(Keep { last, hourly, daily, weekly, monthly, yearly })
    }

    fn document(&self, collected: &Collected) -> Value {
        let generation = |generation: &Generation| {
            json!({
                "unit": generation.unit,
                "generation": generation.number,
                "snapshot": generation.snapshot.to_string(),
                "time": generation.time,
            })
        };
        let kept = |kept: &KeptGeneration| {
            let mut document = generation(&kept.generation);
            document["kept_by"] = json!(kept.kept_by);
            document
        };
        let deleted: Vec<_> = collected.deleted_snapshots.iter().map(ToString::to_string).collect();
        json!({
            "forgotten_generations": collected.forgotten.iter().map(generation).collect::<Vec<_>>(),
            "deleted_snapshots": deleted,
            "freed_bytes": collected.freed_bytes,
            "kept_generations": collected.kept.iter().map(kept).collect::<Vec<_>>(),
            "dry_run": self.dry_run,
        })
    }
}

fn explain(app: &App, collected: &Collected) -> Result<()> {
    let kept =
        collected.kept.iter().map(|kept| (&kept.generation, "kept", kept.kept_by.join("; ")));
    let reason = "no rule keeps it".to_owned();
    let forgotten = collected.forgotten.iter().map(|g| (g, "forgotten", reason.clone()));
    let mut rows: Vec<_> = kept.chain(forgotten).collect();
    rows.sort_by(|(a, ..), (b, ..)| a.unit.cmp(&b.unit).then(b.number.cmp(&a.number)));
    let mut table = Table::new(["GENERATION", "TIME", "WOULD BE", "BECAUSE"]);
    for (generation, fate, why) in rows {
        let name = format!("{}@{}", generation.unit, generation.number);
        table.row([name, time(&generation.time), fate.to_owned(), why]);
    }
    table.print(&app.out)?;
    app.say(format!(
        "would forget {}, delete {} and free at least {}",
        count(collected.forgotten.len() as u64, "generation"),
        count(collected.deleted_snapshots.len() as u64, "snapshot"),
        size(collected.freed_bytes),
    ))
}

fn summary(collected: &Collected) -> String {
    format!(
        "forgot {}, kept {}, deleted {}, freed {}",
        count(collected.forgotten.len() as u64, "generation"),
        collected.kept.len(),
        count(collected.deleted_snapshots.len() as u64, "snapshot"),
        size(collected.freed_bytes),
    )
}

fn parse_age(text: &str) -> std::result::Result<SignedDuration, String> {
    let expected = || "expected a number and h, d, w or y, as in 30d".to_owned();
    let unit = text.chars().next_back().ok_or_else(expected)?;
    let hours = match unit {
        'h' => 1,
        'd' => 24,
        'w' => 7 * 24,
        'y' => 365 * 24,
        _ => return Err(expected()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| expected())?;
    Ok(SignedDuration::from_hours(i64::from(number) * hours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_numbers_of_known_units() {
        assert_eq!(parse_age("30d"), Ok(SignedDuration::from_hours(720)));
        assert_eq!(parse_age("8w"), Ok(SignedDuration::from_hours(1344)));
        for text in ["", "d", "30", "30m", "-1d", "1.5d", "30 d", "4294967296y", "3é"] {
            assert!(parse_age(text).is_err(), "{text}");
        }
    }
}
