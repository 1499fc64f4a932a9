//! Makes a database from its initial state: SQL files, or a database file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::connection::{Soundness, check, create};
use super::copy::copy_at_rest;
use super::header::MAGIC;
use crate::{Error, Interrupt, Result};

/// Bytes of the longest SQL file, which is held in memory whole. More is better given as a database file.
const SQL_BYTES_MAX: u64 = 256 << 20;

/// What initial state is.
enum Initial {
    /// SQL files in the order in which they run.
    Scripts(Vec<PathBuf>),
    /// A database file.
    Database,
}

/// Fills the empty database file at `to` from `initial`.
pub(super) fn build(initial: &Path, to: &Path, interrupt: &Interrupt) -> Result<()> {
    match recognise(initial)? {
        Initial::Scripts(scripts) => run(&scripts, to, interrupt)?,
        Initial::Database => {
            copy_at_rest(initial, to, interrupt).map_err(|error| refuse(initial, causes(&error)))?
        }
    }
    let size_bytes = to.metadata().map_err(Error::file("read", to))?.len();
    if size_bytes == 0 {
        return Ok(());
    }
    match check(to, size_bytes, interrupt) {
        Ok(Soundness::Sound | Soundness::Unknown(_)) => Ok(()),
        Err(Error::Interrupted) => Err(Error::Interrupted),
        Err(error) => Err(refuse(initial, causes(&error))),
    }
}

fn recognise(initial: &Path) -> Result<Initial> {
    let fault = |error: io::Error| refuse(initial, error.to_string());
    if initial.is_dir() {
        let mut scripts = Vec::new();
        for entry in fs::read_dir(initial).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            if is_sql(&path) {
                scripts.push(path);
            }
        }
        if scripts.is_empty() {
            return Err(refuse(initial, "the directory holds no .sql file".to_owned()));
        }
        scripts.sort_unstable();
        return Ok(Initial::Scripts(scripts));
    }
    let mut magic = Vec::new();
    let file = File::open(initial).map_err(fault)?;
    file.take(MAGIC.len() as u64).read_to_end(&mut magic).map_err(fault)?;
    if magic == MAGIC {
        Ok(Initial::Database)
    } else if is_sql(initial) {
        Ok(Initial::Scripts(vec![initial.to_owned()]))
    } else {
        let expected = "expected a .sql file, a directory of them, or a SQLite database";
        Err(refuse(initial, expected.to_owned()))
    }
}

fn is_sql(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "sql")
}

fn run(scripts: &[PathBuf], to: &Path, interrupt: &Interrupt) -> Result<()> {
    let connection = create(to, interrupt)?;
    for script in scripts {
        let text = read_script(script)?;
        connection.execute_batch(&text).map_err(|error| {
            if interrupt.is_raised() {
                Error::Interrupted
            } else {
                refuse(script, error.to_string())
            }
        })?;
        // Or what follows would be rolled back in silence when the connection closes.
        if !connection.is_autocommit() {
            return Err(refuse(script, "it leaves a transaction open".to_owned()));
        }
    }
    connection.close().map_err(|(_, error)| Error::database("close", to)(error))
}

fn read_script(script: &Path) -> Result<String> {
    let fault = |error: io::Error| refuse(script, error.to_string());
    let file = File::open(script).map_err(fault)?;
    let mut text = String::new();
    file.take(SQL_BYTES_MAX + 1).read_to_string(&mut text).map_err(fault)?;
    if text.len() as u64 > SQL_BYTES_MAX {
        let reason = "it is longer than 256 MiB; make a database file from it".to_owned();
        return Err(refuse(script, reason));
    }
    Ok(text)
}

fn refuse(path: &Path, reason: String) -> Error {
    Error::Initial { path: path.to_owned(), reason }
}

/// Returns an error with its causes in one line, for a reason that has no room for a chain.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
