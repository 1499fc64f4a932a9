//! Renames databases so that one takes another's place in one step, and drops those that are no longer wanted.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::postgres::connect::{Pace, Session};
use crate::postgres::failure::Failure;
use crate::postgres::names;
use crate::postgres::quote::identifier;
use crate::postgres::settings::Server;
use crate::{Error, Result, Standing, Swap, Tag};

/// A swap that takes longer is given up and rolled back. It takes half a second beside reconnecting clients.
const SWAP_WAIT: Duration = Duration::from_secs(30);

/// How often sessions are ended during a swap: they come back, and a rename waits five seconds at most for none.
const TERMINATION_INTERVAL: Duration = Duration::from_millis(50);

/// How often a rename that found sessions in its way is tried again.
const N_SWAP_ATTEMPTS: usize = 3;

/// A rename: from, to.
type Rename<'a> = (&'a str, &'a str);

/// Puts the staged database in place of the live one, which is kept.
pub(crate) fn swap(server: &Server, database: &str, swap: &Swap) -> Result<()> {
    let session = Session::open_beside(server, database, Pace::Within(SWAP_WAIT))?;
    match standing(&session, database, swap)? {
        Standing::After => return Ok(()),
        Standing::Before => {}
        Standing::Foreign => return Err(replaced("put the snapshot in place of", database)),
    }
    let staged = names::staged(database, &swap.tag);
    if oid(&session, &staged)?.as_ref() != Some(&swap.staged) {
        return Err(Error::Missing { what: format!("the staged database {staged:?}") });
    }
    let displaced = names::displaced(database, &swap.tag);
    if swap.displaced.is_some() {
        rename(server, &session, &[(database, &displaced), (&staged, database)])
    } else {
        rename(server, &session, &[(&staged, database)])
    }
}

/// Puts the displaced database back; the staged one is kept until it is released.
pub(crate) fn unswap(server: &Server, database: &str, swap: &Swap) -> Result<()> {
    let Some(oid_displaced) = &swap.displaced else { return Err(Error::NothingDisplaced) };
    let session = Session::open_beside(server, database, Pace::Within(SWAP_WAIT))?;
    match standing(&session, database, swap)? {
        Standing::Before => return Ok(()),
        Standing::After => {}
        Standing::Foreign => return Err(replaced("put the displaced state in place of", database)),
    }
    let displaced = names::displaced(database, &swap.tag);
    if oid(&session, &displaced)?.as_ref() != Some(oid_displaced) {
        return Err(Error::Missing { what: format!("the displaced database {displaced:?}") });
    }
    let staged = names::staged(database, &swap.tag);
    rename(server, &session, &[(database, &staged), (&displaced, database)])
}

fn replaced(verb: &'static str, database: &str) -> Error {
    Error::Refused {
        verb,
        object: format!("database {database:?}"),
        reason: "somebody else replaced it since the snapshot was staged".to_owned(),
    }
}

/// Returns which side of a swap has the live name.
pub(crate) fn standing(session: &Session, database: &str, swap: &Swap) -> Result<Standing> {
    let live = oid(session, database)?;
    Ok(if live.as_ref() == Some(&swap.staged) {
        Standing::After
    } else if live == swap.displaced {
        Standing::Before
    } else {
        Standing::Foreign
    })
}

/// Returns what tells a database from all others whatever its name.
pub(crate) fn oid(session: &Session, database: &str) -> Result<Option<String>> {
    let rows = session
        .query("SELECT oid::text FROM pg_database WHERE datname = $1::text", &[&database])
        .map_err(|f| f.during("find", format!("database {database:?}")))?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// Renames databases in one transaction: a crash leaves all names as before or as after. Each keeps its settings,
/// rights and comment, which belong to the database and not to the name.
pub(crate) fn rename(server: &Server, session: &Session, renames: &[Rename<'_>]) -> Result<()> {
    let databases: Vec<&str> = renames.iter().map(|(from, _)| *from).collect();
    let object = databases.iter().map(|d| format!("{d:?}")).collect::<Vec<_>>().join(" and ");
    refuse_prepared(session, &databases, &object)?;
    let statements: String = renames
        .iter()
        .map(|(from, to)| {
            format!("ALTER DATABASE {} RENAME TO {}; ", identifier(from), identifier(to))
        })
        .collect();
    let terminator = Session::open_beside(server, databases[0], Pace::Within(SWAP_WAIT))?;
    let mut n_attempts = 1;
    loop {
        let outcome = while_terminating(&terminator, &databases, || {
            session.batch(&format!("SET lock_timeout = '10s'; BEGIN; {statements} COMMIT"))
        });
        let Err(failure) = outcome else { return Ok(()) };
        let in_use = failure.code() == Some(&SqlState::OBJECT_IN_USE);
        if !in_use || n_attempts == N_SWAP_ATTEMPTS {
            return Err(failure.during("rename", object));
        }
        n_attempts += 1;
        session.batch("ROLLBACK").map_err(|f| f.during("rename", object.clone()))?;
    }
}

/// A prepared transaction holds its database's name and ends by itself never.
fn refuse_prepared(session: &Session, databases: &[&str], object: &str) -> Result<()> {
    let rows = session
        .query(
            "SELECT gid, database::text FROM pg_prepared_xacts WHERE database::text = ANY ($1) ORDER BY gid",
            &[&databases],
        )
        .map_err(|f| f.during("inspect", object))?;
    if rows.is_empty() {
        return Ok(());
    }
    let listed: Vec<_> = rows
        .iter()
        .map(|row| format!("{:?} in {:?}", row.get::<_, String>(0), row.get::<_, String>(1)))
        .collect();
    Err(Error::Refused {
        verb: "rename",
        object: object.to_owned(),
        reason: format!(
            "prepared transactions stand in the way: {}; end each with COMMIT PREPARED or ROLLBACK PREPARED",
            listed.join(", ")
        ),
    })
}

/// Does something while all other sessions of the databases are ended again and again.
fn while_terminating(
    terminator: &Session,
    databases: &[&str],
    act: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let (done, watch) = channel::<()>();
    thread::scope(|scope| {
        let ending = scope.spawn(move || {
            loop {
                // A session of a superuser that we may not end makes the rename fail, which says so.
                let ended = terminator.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname::text = ANY ($1) AND pid <> pg_backend_pid()",
                    &[&databases],
                );
                if watch.recv_timeout(TERMINATION_INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
                if ended.is_err_and(|f| f.code().is_none()) {
                    return;
                }
            }
        });
        let outcome = act();
        drop(done);
        ending.join().expect("ending sessions does not panic");
        outcome
    })
}

/// Drops the staged and the displaced database of a tag, except one that is live.
pub(crate) fn release(server: &Server, database: &str, tag: &Tag) -> Result<()> {
    let session = Session::open_beside(server, database, Pace::Data)?;
    for name in [names::staged(database, tag), names::displaced(database, tag)] {
        if name != database {
            drop_database(&session, server, &name)?;
        }
    }
    Ok(())
}

/// Drops a database with all its sessions. Does nothing where there is none.
pub(crate) fn drop_database(session: &Session, server: &Server, database: &str) -> Result<()> {
    if oid(session, database)?.is_none() {
        return Ok(());
    }
    let dropping = |f: Failure| f.during("drop", format!("database {database:?}"));
    let subscriptions = session
        .query(
            "SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid \
             WHERE d.datname = $1::text",
            &[&database],
        )
        .map_err(dropping)?;
    if !subscriptions.is_empty() {
        let inside = Session::open(server, database, Pace::Data)?;
        for row in &subscriptions {
            let name = identifier(row.get(0));
            // Without its slot, which is on another server and serves whoever holds the live copy.
            for change in [
                format!("ALTER SUBSCRIPTION {name} DISABLE"),
                format!("ALTER SUBSCRIPTION {name} SET (slot_name = NONE)"),
                format!("DROP SUBSCRIPTION {name}"),
            ] {
                inside.batch(&change).map_err(dropping)?;
            }
        }
    }
    let name = identifier(database);
    refuse_prepared(session, &[database], &format!("database {database:?}"))?;
    session.batch(&format!("ALTER DATABASE {name} IS_TEMPLATE false")).map_err(dropping)?;
    session.batch(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).map_err(dropping)
}
