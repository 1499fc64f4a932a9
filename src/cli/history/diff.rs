//! `dysno diff`

use clap::Args;
use serde_json::{Value, json};

use super::path_fields;
use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::{Array, size};
use crate::ops::{self, Change, Difference};

/// Show what differs between two snapshots
///
/// `+` is only in the second, `-` only in the first, `~` has another content, type or target, and `m` other metadata.
#[derive(Args)]
#[command(after_help = "Example: dysno diff directory:/srv/www@3 directory:/srv/www")]
pub(in crate::cli) struct Diff {
    /// The first snapshot: UNIT, UNIT@N or the beginning of its id
    #[arg(value_name = "A")]
    before: String,
    /// The second snapshot
    #[arg(value_name = "B")]
    after: String,
}

impl Diff {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let selected = app.select(&[self.before, self.after])?;
        let (before, after) = (&selected[0], &selected[1]);
        let host = app.host()?;
        match app.format() {
            Format::Json => {
                let mut array = Array::new();
                let push = |difference: &Difference| array.push(&document(difference));
                ops::diff(host, before, after, &app.progress, push)?;
                Ok(array.finish(&app.out)?)
            }
            Format::Text => {
                let print = |difference: &Difference| app.out.line(line(difference));
                Ok(ops::diff(host, before, after, &app.progress, print)?)
            }
        }
    }
}

fn line(difference: &Difference) -> String {
    let sign = match difference.change {
        Change::Added => '+',
        Change::Removed => '-',
        Change::Content => '~',
        Change::Metadata => 'm',
    };
    let path = match difference.path.is_root() {
        true => ".".to_owned(),
        false => difference.path.to_string(),
    };
    let sizes = match (difference.change, difference.before_bytes, difference.after_bytes) {
        (Change::Metadata, ..) | (_, None, None) => String::new(),
        (_, Some(before), Some(after)) => format!(", {} to {}", size(before), size(after)),
        (_, Some(bytes), None) | (_, None, Some(bytes)) => format!(", {}", size(bytes)),
    };
    format!("{sign} {path}{sizes}")
}

fn document(difference: &Difference) -> Value {
    let (path, path_hex) = path_fields(&difference.path);
    let change = match difference.change {
        Change::Added => "added",
        Change::Removed => "removed",
        Change::Content => "content",
        Change::Metadata => "metadata",
    };
    json!({
        "path": path,
        "path_hex": path_hex,
        "change": change,
        "before_bytes": difference.before_bytes,
        "after_bytes": difference.after_bytes,
    })
}
