//! A consistent copy of a live database.

use std::ffi::c_int;
use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use tempfile::TempDir;

use super::connection::{Closing, create, open, open_at_rest, patiently, set_closing};
use crate::{Error, Interrupt, Result};

/// Pages that are copied between two looks at whether the user wants to stop.
const STEP_PAGES: c_int = 4096;

/// A copy in a directory of its own, which goes away with it.
pub(super) struct DatabaseCopy {
    directory: TempDir,
    size_bytes: u64,
}

impl DatabaseCopy {
    /// Copies the database at `path` as it is at one point in time, however busy it is.
    pub(super) fn take(path: &Path, scratch: &Path, interrupt: &Interrupt) -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("dysno-")
            .tempdir_in(scratch)
            .map_err(Error::file("create a directory in", scratch))?;
        let mut copy = Self { directory, size_bytes: 0 };
        let source = open(path, interrupt)?;
        copy_database(&source, path, &copy.path(), interrupt)?;
        set_closing(&source, path, Closing::Tidy)?;
        let metadata = copy.path().metadata().map_err(Error::file("read", copy.path()))?;
        copy.size_bytes = metadata.len();
        Ok(copy)
    }

    /// Returns where the copy is.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("database")
    }

    /// Returns the bytes of the copy.
    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Opens the copy as a file.
    pub(super) fn open(&self) -> Result<File> {
        File::open(self.path()).map_err(Error::file("open", self.path()))
    }
}

/// Copies a database that is at rest, such as one for initial state.
pub(super) fn copy_at_rest(from: &Path, to: &Path, interrupt: &Interrupt) -> Result<()> {
    let source = open_at_rest(from, interrupt)?;
    copy_database(&source, from, to, interrupt)
}

fn copy_database(source: &Connection, path: &Path, to: &Path, interrupt: &Interrupt) -> Result<()> {
    // One transaction from the first page to the last: another process that writes meanwhile would otherwise make the
    // backup begin again, and a busy one for ever.
    let begin = || source.execute_batch("BEGIN; PRAGMA schema_version");
    patiently("read", path, interrupt, || {
        // The attempt before may have left the transaction open.
        if source.is_autocommit() { begin() } else { source.execute_batch("PRAGMA schema_version") }
    })?;
    let n_pages: i64 = source
        .query_row("PRAGMA page_count", [], |row| row.get(0))
        .map_err(Error::database("read", path))?;
    if n_pages == 0 {
        // Without a page there is no page size yet, nor an encoding; a backup would decide them.
        File::create(to).map_err(Error::file("create", to))?;
        return Ok(());
    }
    let mut target = create(to, interrupt)?;
    // The copy is thrown away when anything goes wrong.
    let quick =
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE";
    target.execute_batch(quick).map_err(Error::database("write", to))?;
    let backup = Backup::new(source, &mut target).map_err(Error::database("copy", path))?;
    loop {
        interrupt.stop_if_raised()?;
        match backup.step(STEP_PAGES).map_err(Error::database("copy", path))? {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            // Nobody else knows the copy, and the source's lock is ours.
            other => unexpected(path, other)?,
        }
    }
}

fn unexpected(path: &Path, result: StepResult) -> Result<()> {
    Err(Error::Refused {
        verb: "copy",
        object: path.display().to_string(),
        reason: format!("SQLite lost its lock on it ({result:?})"),
    })
}
