//! Connections to database files, with bounded waits.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::{Error, Interrupt, Result};

/// How long a lock that somebody else holds is waited for: a long transaction of a service, not a forgotten session.
pub(super) const LOCK_WAIT_MAX: Duration = Duration::from_secs(if cfg!(test) { 5 } else { 30 });

/// How long SQLite waits before we look whether the user wants to stop.
const LOCK_STEP: Duration = Duration::from_millis(200);

/// Steps of SQLite's machine between two looks at whether the user wants to stop: about a millisecond.
const INTERRUPT_STEPS: std::ffi::c_int = 100_000;

/// Databases up to this size are checked with their indexes; of larger ones only the pages are, because comparing
/// every index with its table takes many times as long as reading the file.
const FULL_CHECK_BYTES_MAX: u64 = 1 << 30;

/// Opens a database that exists. A hot journal that a crash left is played back by the first access.
pub(super) fn open(path: &Path, interrupt: &Interrupt) -> Result<Connection> {
    let connection = open_with(path, path, OpenFlags::SQLITE_OPEN_READ_WRITE, interrupt)?;
    // Until it proves to be a database: closing the connection would else remove a log that SQLite cannot read, and
    // somebody may yet want to rescue it.
    set_closing(&connection, path, Closing::Leave)?;
    Ok(connection)
}

/// What the last connection does with the log of a database when it is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// Leaves it where it is.
    Leave,
    /// Writes its changes to the database and removes it, as SQLite always does.
    Tidy,
}

/// Sets what closing the connection does.
pub(super) fn set_closing(connection: &Connection, path: &Path, closing: Closing) -> Result<()> {
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, closing == Closing::Leave)
        .map(drop)
        .map_err(Error::database("open", path))
}

/// Opens a database that nobody else uses and that is not to be changed: makes no file beside it, takes no lock.
pub(super) fn open_at_rest(path: &Path, interrupt: &Interrupt) -> Result<Connection> {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => uri.push(byte.into()),
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    open_with(path, Path::new(&uri), flags, interrupt)
}

/// Opens a database, or makes one.
pub(super) fn create(path: &Path, interrupt: &Interrupt) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    open_with(path, path, flags, interrupt)
}

fn open_with(
    path: &Path,
    name: &Path,
    flags: OpenFlags,
    interrupt: &Interrupt,
) -> Result<Connection> {
    let fault = || Error::database("open", path);
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(name, flags).map_err(fault())?;
    connection.busy_timeout(LOCK_STEP).map_err(fault())?;
    let interrupt = interrupt.clone();
    connection
        .progress_handler(INTERRUPT_STEPS, Some(move || interrupt.is_raised()))
        .map_err(fault())?;
    Ok(connection)
}

/// Does something for which others may hold the lock; waits for them up to [`LOCK_WAIT_MAX`].
pub(super) fn patiently<T>(
    verb: &'static str,
    path: &Path,
    interrupt: &Interrupt,
    mut act: impl FnMut() -> rusqlite::Result<T>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match act() {
            Err(error) if is_busy(&error) => {
                interrupt.stop_if_raised()?;
                if start.elapsed() > LOCK_WAIT_MAX {
                    let seconds = LOCK_WAIT_MAX.as_secs();
                    let reason = format!(
                        "another process has used it for {seconds} seconds; stop the service that does, and try again"
                    );
                    let object = path.display().to_string();
                    return Err(Error::Refused { verb, object, reason });
                }
            }
            Err(_) if interrupt.is_raised() => return Err(Error::Interrupted),
            result => return result.map_err(Error::database(verb, path)),
        }
    }
}

/// Returns whether somebody else holds a lock.
fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// What came of a check.
pub(super) enum Soundness {
    /// All is well.
    Sound,
    /// The database uses functions, collations or modules of its application, without which SQLite cannot check it.
    Unknown(String),
}

/// Checks a database that nobody else uses. `size_bytes` is the size of its file.
pub(super) fn check(path: &Path, size_bytes: u64, interrupt: &Interrupt) -> Result<Soundness> {
    let connection = open_at_rest(path, interrupt)?;
    let statement = if size_bytes <= FULL_CHECK_BYTES_MAX {
        "PRAGMA integrity_check(1)"
    } else {
        "PRAGMA quick_check(1)"
    };
    match connection.query_row(statement, [], |row| row.get::<_, String>(0)) {
        Ok(text) if text == "ok" => Ok(Soundness::Sound),
        Ok(text) => Err(damaged(path, &text)),
        Err(_) if interrupt.is_raised() => Err(Error::Interrupted),
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::Unknown) => Ok(Soundness::Unknown(error.to_string())),
            _ => Err(Error::database("check", PathBuf::from(path))(error)),
        },
    }
}

fn damaged(path: &Path, finding: &str) -> Error {
    let reason = format!("SQLite finds {} damaged: {finding}", path.display());
    Error::Verification { reason }
}
