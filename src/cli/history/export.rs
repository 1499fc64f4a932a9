//! `dysno export`

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::cli::app::{App, Format};
use crate::cli::failure::{Failure, Result};
use crate::cli::print::{count, size};
use crate::ops::{self, Selected};

/// Write snapshots and all that they need into a bundle
///
/// A bundle is one portable file that `dysno import` reads on any host. It gets its name when it is whole and durable, so
/// that a failure leaves no half file; one that has the name is replaced. It holds state: keep it as safe as that.
#[derive(Args)]
#[command(
    after_help = "Examples: dysno export postgres:main -o main.dysno\n          dysno export postgres:main -o - | ssh other dysno import -"
)]
pub(in crate::cli) struct Export {
    /// The snapshots: UNIT, UNIT@N or the beginning of an id
    #[arg(value_name = "SNAPSHOT", required = true)]
    snapshots: Vec<String>,
    /// Write to this file; - is the standard output
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

impl Export {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let is_stdout = self.output == Path::new("-");
        if is_stdout && io::stdout().is_terminal() {
            let message = "cannot write a bundle to a terminal";
            return Err(Failure::refused(
                message,
                "name a file with -o, or pipe it into a command",
            ));
        }
        if is_stdout && app.format() == Format::Json {
            let message = "cannot print a document and a bundle to one output";
            return Err(Failure::refused(message, "name a file with -o, or leave out --json"));
        }
        let selected = app.select(&self.snapshots)?;
        if is_stdout {
            let mut out = &app.out;
            return Ok(ops::export(app.host()?, &selected, &mut out, &app.progress)?);
        }
        let size_bytes = to_file(app, &selected, &self.output)?;
        let file = self.output.display();
        match app.format() {
            Format::Text => app.say(format!(
                "{file}: {}, {}",
                count(selected.len() as u64, "snapshot"),
                size(size_bytes)
            )),
            Format::Json => {
                let ids: Vec<_> = selected.iter().map(|s| s.root.snapshot.to_string()).collect();
                let file = file.to_string();
                app.print_json(&json!({ "file": file, "snapshots": ids, "size_bytes": size_bytes }))
            }
        }
    }
}

/// Writes the bundle; returns its size.
fn to_file(app: &App, selected: &[Selected], path: &Path) -> Result<u64> {
    // What a link points to is replaced, not the link; a pipe or device is written to, not replaced.
    let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let file = File::options().write(true).open(path).map_err(Failure::file("open", path))?;
        return write(app, selected, file, path).map(|(_, size_bytes)| size_bytes);
    }
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let opened = File::open(directory).map_err(Failure::file("open", directory))?;
    let create = NamedTempFile::with_prefix_in(".dysno-export-", directory);
    let (file, temporary) = create.map_err(Failure::file("write to", directory))?.into_parts();
    let (file, size_bytes) = write(app, selected, file, path)?;
    // The content before the name: a power cut must not leave an empty bundle.
    file.sync_all().map_err(Failure::file("sync", path))?;
    temporary.persist(path).map_err(|error| Failure::file("write", path)(error.error))?;
    opened.sync_all().map_err(Failure::file("sync", directory))?;
    Ok(size_bytes)
}

fn write(app: &App, selected: &[Selected], file: File, path: &Path) -> Result<(File, u64)> {
    let mut out = Counted { inner: BufWriter::with_capacity(1 << 20, file), size_bytes: 0 };
    ops::export(app.host()?, selected, &mut out, &app.progress)?;
    let error = |error: io::IntoInnerError<_>| Failure::file("write", path)(error.into_error());
    Ok((out.inner.into_inner().map_err(error)?, out.size_bytes))
}

struct Counted<W: Write> {
    inner: W,
    size_bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.size_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
