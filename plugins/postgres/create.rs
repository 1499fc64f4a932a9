//! Creates a database, empty or from the operator's own SQL files.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::command::Input;
use crate::postgres::connect::{Pace, Session};
use crate::postgres::names;
use crate::postgres::quote::identifier;
use crate::postgres::settings::Server;
use crate::postgres::swap;
use crate::postgres::tools::{Workshop, child_failed};
use crate::tree::Digest;
use crate::{Activation, Error, Result, Tag};

/// What psql prints is of no use; more than this is a script that selects tables.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Creates the database unless it exists.
pub(crate) fn create(
    server: &Server,
    database: &str,
    initial: Option<&Path>,
) -> Result<Activation> {
    let session = Session::open_beside(server, database, Pace::Data)?;
    if swap::oid(&session, database)?.is_some() {
        return Ok(Activation::Existing);
    }
    let Some(initial) = initial else {
        create_empty(&session, database)?;
        return Ok(Activation::Created);
    };
    let files = sql_files(initial)?;
    let unfinished = names::staged(database, &tag(database));
    swap::drop_database(&session, server, &unfinished)?;
    let created = create_empty(&session, &unfinished)
        .and_then(|()| {
            let workshop = Workshop::open(server, &session, &unfinished)?;
            files.iter().try_for_each(|file| run_script(&workshop, server, file))
        })
        .and_then(|()| swap::rename(server, &session, &[(&unfinished, database)]));
    if let Err(error) = created {
        // The first error is the one to tell; the next attempt drops what is left.
        let server = server.without_interrupt();
        let _ = Session::open_beside(&server, database, Pace::Data)
            .and_then(|session| swap::drop_database(&session, &server, &unfinished));
        return Err(error);
    }
    Ok(Activation::Created)
}

/// Returns the tag of a database that is not finished: always the same, so that the next attempt finds it.
fn tag(database: &str) -> Tag {
    let digest = Digest::of(database.as_bytes()).to_string();
    Tag::parse(&digest[..Tag::LENGTH]).expect("hex digits make a tag")
}

fn create_empty(session: &Session, database: &str) -> Result<()> {
    let sql =
        format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", identifier(database));
    session.batch(&sql).map_err(|f| f.during("create", format!("database {database:?}")))
}

/// Returns the file, or those of the directory in the order of their names.
fn sql_files(initial: &Path) -> Result<Vec<PathBuf>> {
    let is_sql = |path: &Path| path.extension() == Some(OsStr::new("sql"));
    let metadata = fs::metadata(initial).map_err(Error::file("read", initial))?;
    let mut files = Vec::new();
    if metadata.is_dir() {
        for entry in fs::read_dir(initial).map_err(Error::file("read", initial))? {
            let path = entry.map_err(Error::file("read", initial))?.path();
            if is_sql(&path) {
                files.push(path);
            }
        }
        files.sort();
    } else if is_sql(initial) {
        files.push(initial.to_owned());
    }
    if files.is_empty() {
        return Err(Error::Initial {
            path: initial.to_owned(),
            reason: "expected a .sql file or a directory of .sql files".to_owned(),
        });
    }
    Ok(files)
}

/// Runs one of the operator's files, which may use all that psql knows.
fn run_script(workshop: &Workshop, server: &Server, file: &Path) -> Result<()> {
    let arguments =
        ["--no-psqlrc", "--quiet", "--no-password", "--set=ON_ERROR_STOP=1", "--file=-"];
    let mut command = workshop.command("psql", arguments);
    // The script sees the server as its author did, not with our pinned settings.
    command.environment.retain(|(name, _)| name != "PGOPTIONS");
    // By its standard input: the user that psql runs as may not be able to read the operator's files.
    let mut stream = File::open(file).map_err(Error::file("read", file))?;
    command
        .read(Input::Stream(&mut stream), OUTPUT_BYTES_MAX, &server.context.interrupt)
        .map_err(child_failed)?;
    Ok(())
}
