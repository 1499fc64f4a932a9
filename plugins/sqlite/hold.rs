//! Holds a live database so that nobody else can use it while its file is exchanged.
//!
//! SQLite keeps part of a database in files beside it: `-wal` and `-journal` hold changes, `-shm` the locks of those
//! who use the `-wal`. A `-wal` or `-journal` beside a database that it does not belong to destroys that database, so
//! all of them go before another file takes the name; and they may only go when the database does without them.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use rusqlite::{Connection, ErrorCode};
use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::connection::{Closing, open, patiently, set_closing};
use crate::place::Place;
use crate::{Error, Interrupt, Result};

/// What SQLite appends to a database's name.
pub(super) const SUFFIXES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A live database that this process alone can use.
pub(super) enum Hold {
    /// Locked for everybody else, complete in its one file. The lock lasts as long as the connection.
    Locked { _connection: Connection },
    /// It is not one that SQLite can read, so there is nobody to keep out and nothing to complete.
    Unreadable,
}

impl Hold {
    /// Takes the database at `path`, waiting for others a bounded time. `verb` is what for.
    pub(super) fn take(verb: &'static str, path: &Path, interrupt: &Interrupt) -> Result<Self> {
        let connection = open(path, interrupt)?;
        match lock(&connection, verb, path, interrupt) {
            Ok(()) => {
                set_closing(&connection, path, Closing::Tidy)?;
                Ok(Self::Locked { _connection: connection })
            }
            Err(Error::Database { source, .. }) if is_unreadable(&source) => Ok(Self::Unreadable),
            Err(error) => Err(error),
        }
    }
}

fn lock(
    connection: &Connection,
    verb: &'static str,
    path: &Path,
    interrupt: &Interrupt,
) -> Result<()> {
    // In this mode SQLite locks the file itself, in WAL mode too, where otherwise everybody shares it: it succeeds
    // only when no other process has the database open, and keeps those out who come.
    let exclusive = "PRAGMA locking_mode = EXCLUSIVE";
    connection.execute_batch(exclusive).map_err(Error::database("lock", path))?;
    patiently(verb, path, interrupt, || connection.execute_batch("BEGIN EXCLUSIVE"))?;
    // The lock outlives the transaction. Rolled back, because the first transaction would give a database that is
    // still empty its first page.
    connection.execute_batch("ROLLBACK").map_err(Error::database("lock", path))?;
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let incomplete: i64 = patiently(verb, path, interrupt, || {
        connection.query_row(checkpoint, [], |row| row.get(0))
    })?;
    if incomplete != 0 {
        return Err(Error::Refused {
            verb,
            object: path.display().to_string(),
            reason: "its write-ahead log could not be emptied".to_owned(),
        });
    }
    Ok(())
}

fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
}

/// Returns the name of a file that SQLite keeps beside `name`.
pub(super) fn beside(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

/// Returns the first file beside the live name that holds changes of a database.
pub(super) fn find_stale(place: &Place) -> Result<Option<OsString>> {
    for suffix in ["-wal", "-journal"] {
        let name = beside(place.name(), suffix);
        if place.look(&name)?.is_some_and(|found| found.size_bytes > 0) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Removes what lies beside `name`, durably.
pub(super) fn remove_beside(place: &Place, name: &OsStr) -> Result<()> {
    for suffix in SUFFIXES {
        remove(place, &beside(name, suffix))?;
    }
    place.sync()
}

/// Removes a file, if it is there.
pub(super) fn remove(place: &Place, name: &OsStr) -> Result<()> {
    match rustix::fs::unlinkat(place.directory(), name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(place.fault("remove", name, errno)),
    }
}

/// Moves what lies beside `from` beside `to`, durably.
pub(super) fn move_beside(place: &Place, from: &OsStr, to: &OsStr) -> Result<()> {
    for suffix in SUFFIXES {
        let from = beside(from, suffix);
        if place.look(&from)?.is_some() {
            place.rename(&from, &beside(to, suffix))?;
        }
    }
    place.sync()
}
