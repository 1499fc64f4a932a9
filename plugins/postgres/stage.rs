//! Builds a database from a snapshot beside the live one, and proves that it is the same.

use tokio_postgres::types::ToSql;

use crate::postgres::connect::{Pace, Session};
use crate::postgres::failure::Failure;
use crate::postgres::load;
use crate::postgres::manifest::{
    DATABASE, EVENT_TRIGGERS, Index, LAYOUT, LAYOUT_ATTRIBUTE, MATERIALIZED_VIEWS, POST_DATA,
    PRE_DATA, REQUIREMENTS, Requirements, SEQUENCES, Sequence, TABLES, TableFile,
};
use crate::postgres::properties::Properties;
use crate::postgres::quote::{identifier, literal, qualified};
use crate::postgres::settings::Server;
use crate::postgres::statements;
use crate::postgres::swap;
use crate::postgres::{names, verify};
use crate::tree::Profile;
use crate::{Error, Result, Source, Swap, Tag};

/// Sequences set by one statement.
const SEQUENCES_PER_STATEMENT: usize = 200;

/// Settings of sessions that fill a staged database. It is not live, so a crash loses nothing that is not staged
/// again. Bodies of functions are checked when they run: what they name may come later.
pub(crate) const FILLING: &str = "SET synchronous_commit = off; SET check_function_bodies = off; \
    SET client_min_messages = error; SET maintenance_work_mem = '256MB'";

/// What a restore reads.
pub(crate) struct Origin<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) index: Index,
    pub(crate) properties: Properties,
    pub(crate) tables: Vec<TableFile>,
}

/// Builds and verifies the staged database. After a failure it is gone.
pub(crate) fn stage(
    server: &Server,
    database: &str,
    source: &dyn Source,
    tag: &Tag,
) -> Result<Swap> {
    let origin = Origin::read(source)?;
    let beside = Session::open_beside(server, database, Pace::Data)?;
    let requirements = origin.index.parse(source, REQUIREMENTS)?;
    preflight(&beside, &requirements).map_err(|f| f.during("inspect", "the server"))??;
    let staged = names::staged(database, tag);
    // What an earlier attempt of the same restore left behind.
    swap::drop_database(&beside, server, &staged)?;
    let filled = create(&beside, &staged, &origin)
        .and_then(|()| fill(server, &staged, &origin))
        .and_then(|()| finish(&beside, &staged, &origin.properties))
        .and_then(|()| verify::check(server, &staged, &origin));
    if let Err(error) = filled {
        // The first error is the one to tell; what cannot be dropped carries the tag and is released later.
        let server = server.without_interrupt();
        let _ = Session::open_beside(&server, database, Pace::Data)
            .and_then(|session| swap::drop_database(&session, &server, &staged));
        return Err(error);
    }
    let oid = |name: &str| swap::oid(&beside, name);
    Ok(Swap {
        tag: tag.clone(),
        staged: oid(&staged)?
            .ok_or_else(|| Error::Missing { what: format!("the staged database {staged:?}") })?,
        displaced: oid(database)?,
        kept_at: format!("database {:?}", names::displaced(database, tag)),
    })
}

impl<'a> Origin<'a> {
    fn read(source: &'a dyn Source) -> Result<Self> {
        let layout = source.attribute(LAYOUT_ATTRIBUTE).unwrap_or_default();
        if source.profile() != Profile::Files1 || layout != LAYOUT {
            return Err(Error::Foreign {
                reason: format!("its layout is {layout:?}, expected {LAYOUT:?}"),
            });
        }
        let index = Index::read(source)?;
        Ok(Self {
            source,
            properties: index.parse(source, DATABASE)?,
            tables: index.parse(source, TABLES)?,
            index,
        })
    }
}

/// Finds all that the server lacks before anything is created.
fn preflight(session: &Session, needed: &Requirements) -> Result<Result<()>, Failure> {
    let missing = |sql: &str, names: &Vec<String>| -> Result<Vec<String>, Failure> {
        let names: &(dyn ToSql + Sync) = names;
        let sql = format!(
            "SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM {sql} = n) ORDER BY 1"
        );
        Ok(session
            .query(&sql, &[names])?
            .iter()
            .map(|row| format!("{:?}", row.get::<_, String>(0)))
            .collect())
    };
    let mut lacks = Vec::new();
    let all = [
        ("roles", missing("pg_roles WHERE rolname::text", &needed.roles)?),
        ("extensions", missing("pg_available_extensions WHERE name::text", &needed.extensions)?),
        ("tablespaces", missing("pg_tablespace WHERE spcname::text", &needed.tablespaces)?),
    ];
    for (what, names) in all {
        if !names.is_empty() {
            lacks.push(format!("the {what} {}", names.join(", ")));
        }
    }
    if lacks.is_empty() {
        return Ok(Ok(()));
    }
    Ok(Err(Error::Missing {
        what: format!(
            "what the snapshot needs on this server: {}; create or install it and try again",
            lacks.join("; ")
        ),
    }))
}

fn create(beside: &Session, staged: &str, origin: &Origin<'_>) -> Result<()> {
    let database = identifier(staged);
    let during = |f: Failure| f.during("create", format!("the database {staged:?}"));
    beside.batch(&origin.properties.create(staged, beside.major)).map_err(during)?;
    // Half a database is for nobody to see.
    beside.batch(&format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC")).map_err(during)?;
    let comment = literal("staged by dysno; complete only when this comment is gone");
    beside.batch(&format!("COMMENT ON DATABASE {database} IS {comment}")).map_err(during)
}

/// Puts all that the snapshot holds into the empty database, in the order in which it cannot disturb itself.
fn fill(server: &Server, staged: &str, origin: &Origin<'_>) -> Result<()> {
    let session = Session::open(server, staged, Pace::Data)?;
    session.batch(FILLING).map_err(|f| f.during("prepare", "the session"))?;
    run_file(&session, origin, PRE_DATA)?;
    load::tables(server, staged, origin)?;
    load::large_objects(&session, origin)?;
    set_sequences(&session, origin)?;
    run_file(&session, origin, POST_DATA)?;
    // Afterwards, because views may need keys and indexes to be refreshed.
    run_file(&session, origin, MATERIALIZED_VIEWS)?;
    load::analyze(server, staged, origin)?;
    // Last: they would fire for everything above and write into the data.
    run_file(&session, origin, EVENT_TRIGGERS)
}

/// Runs the statements of a file one by one: all in one transaction may need more locks than the server has.
fn run_file(session: &Session, origin: &Origin<'_>, path: &str) -> Result<()> {
    let text = origin.index.text(origin.source, path)?;
    for statement in statements::split(&text) {
        session
            .batch(statement)
            .map_err(|f| f.during("restore", format!("{path}: {}", title(statement))))?;
    }
    Ok(())
}

/// Returns the words of a statement that name its object; options may hold a secret.
fn title(statement: &str) -> String {
    let line = statement
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("--"))
        .unwrap_or_default();
    let words: Vec<_> = line.split_whitespace().take(4).collect();
    words.join(" ")
}

fn set_sequences(session: &Session, origin: &Origin<'_>) -> Result<()> {
    let sequences: Vec<Sequence> = origin.index.parse(origin.source, SEQUENCES)?;
    for some in sequences.chunks(SEQUENCES_PER_STATEMENT) {
        let calls: Vec<_> = some
            .iter()
            .map(|sequence| {
                let name = literal(&qualified(&sequence.schema, &sequence.name));
                format!("pg_catalog.setval({name}, {}, {})", sequence.value, sequence.called)
            })
            .collect();
        session
            .batch(&format!("SELECT {}", calls.join(", ")))
            .map_err(|f| f.during("set", "the sequences"))?;
    }
    Ok(())
}

/// Gives the filled database its properties. Not earlier: they could stand in the way, as a default of read-only.
fn finish(beside: &Session, staged: &str, properties: &Properties) -> Result<()> {
    for statement in properties.apply(staged) {
        beside
            .batch(&statement)
            .map_err(|f| f.during("set the properties of", format!("the database {staged:?}")))?;
    }
    Ok(())
}
