//! Puts rows and large objects into a staged database.

use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::postgres::catalog::column_list;
use crate::postgres::connect::{Pace, Session};
use crate::postgres::failure::Failure;
use crate::postgres::manifest::{
    Format, LARGE_OBJECT_PAGES, LARGE_OBJECT_PRIVILEGES, LARGE_OBJECTS, Load, TableFile,
};
use crate::postgres::quote::{identifier, literal, qualified};
use crate::postgres::settings::Server;
use crate::postgres::snapshot::copy_options;
use crate::postgres::stage::{FILLING, Origin};
use crate::{Error, Result};

/// Bytes of one page of a large object, on every server that was not built otherwise.
const LARGE_OBJECT_PAGE_BYTES: u32 = 2048;

/// Statements for large objects sent at once.
const STATEMENTS_PER_BATCH: usize = 500;

/// Loads all tables over several sessions. A table whose constraint looks into another one fails until that one is
/// there: such tables are tried again as long as any other succeeds.
pub(crate) fn tables(server: &Server, staged: &str, origin: &Origin<'_>) -> Result<()> {
    let mut waiting: Vec<&TableFile> = origin.tables.iter().collect();
    waiting.sort_by_key(|table| origin.index.find(&table.file).map(|content| content.size_bytes));
    loop {
        let n_before = waiting.len();
        let failed = Mutex::new(Vec::new());
        in_parallel(server, staged, waiting, |session, table| {
            match load(session, table, origin) {
                Ok(Ok(())) => Ok(()),
                // The server refused the rows; what it could not do now it may do later.
                Ok(Err(failure)) if failure.code().is_some() => {
                    session.batch("ROLLBACK").map_err(|f| during(f, table))?;
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push((table, failure));
                    Ok(())
                }
                Ok(Err(failure)) => Err(during(failure, table)),
                Err(error) => Err(error),
            }
        })?;
        let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        if failed.is_empty() {
            return Ok(());
        }
        if failed.len() == n_before {
            let (table, failure) = failed.swap_remove(0);
            return Err(during(failure, table));
        }
        waiting = failed.into_iter().map(|(table, _)| table).collect();
    }
}

fn during(failure: Failure, table: &TableFile) -> Error {
    failure.during("load", format!("table {}", qualified(&table.schema, &table.name)))
}

/// Loads one table in a transaction of its own.
fn load(session: &Session, table: &TableFile, origin: &Origin<'_>) -> Result<Result<(), Failure>> {
    let name = qualified(&table.schema, &table.name);
    let content = origin.index.content(&table.file)?;
    let mut rows = origin.source.open(content).map_err(Error::read)?;
    let columns = match table.columns.as_slice() {
        [] => String::new(),
        columns => format!(" ({})", column_list(columns)),
    };
    // Frozen rows are never written again for the sake of their visibility. The server allows it only where this
    // very transaction emptied the table.
    let (prepare, freeze) = match table.load {
        Load::Table => (format!("BEGIN; TRUNCATE ONLY {name}"), ", FREEZE"),
        Load::Root | Load::Extension => ("BEGIN".to_owned(), ""),
    };
    let options = copy_options(&origin.properties.encoding, table.format);
    let copied = session.batch(&prepare).and_then(|()| {
        session.copy_in(&format!("COPY {name}{columns} FROM STDIN ({options}{freeze})"), &mut rows)
    });
    let n_rows = match copied {
        Ok(n_rows) => n_rows,
        Err(failure) => return Ok(Err(failure)),
    };
    if n_rows != table.rows {
        return Err(Error::Verification {
            reason: format!("table {name} took {n_rows} rows, the snapshot has {}", table.rows),
        });
    }
    Ok(session.batch("COMMIT"))
}

/// Gathers the planner's statistics. They are no part of the state, and a function in an index may not run without
/// the settings of its application: then the server gathers them by itself later.
pub(crate) fn analyze(server: &Server, staged: &str, origin: &Origin<'_>) -> Result<()> {
    in_parallel(server, staged, origin.tables.iter().collect(), |session, table| {
        let name = qualified(&table.schema, &table.name);
        // By table: without a name it would follow partitions into foreign servers.
        match session.batch(&format!("ANALYZE {name}")) {
            Err(failure) if failure.code().is_none() => Err(failure.during("analyze", name)),
            Ok(()) | Err(_) => Ok(()),
        }
    })
}

/// Does something with each table, the last first, over several sessions.
fn in_parallel<'a>(
    server: &Server,
    staged: &str,
    tables: Vec<&'a TableFile>,
    act: impl Fn(&Session, &'a TableFile) -> Result<()> + Sync,
) -> Result<()> {
    let n_sessions = server.n_connections().min(tables.len());
    let queue = Mutex::new(tables);
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
    thread::scope(|scope| {
        let work = || -> Result<()> {
            let session = Session::open(server, staged, Pace::Data)?;
            session
                .batch(FILLING)
                .and_then(|()| quieten(&session))
                .map_err(|f| f.during("prepare", "the session"))?;
            while let Some(table) = next() {
                if let Err(error) = act(&session, table) {
                    queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                    return Err(error);
                }
            }
            Ok(())
        };
        let workers: Vec<_> = (0..n_sessions).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker returns its error"))
            .fold(Ok(()), Result::and)
    })
}

/// Keeps the triggers of extensions' own tables from firing; the user's do not exist yet.
fn quieten(session: &Session) -> Result<(), Failure> {
    let row = session.query_one("SELECT current_setting('is_superuser') = 'on'", &[])?;
    if row.get(0) { session.batch("SET session_replication_role = replica") } else { Ok(()) }
}

/// Creates the large objects with their pages, owners, comments and rights.
pub(crate) fn large_objects(session: &Session, origin: &Origin<'_>) -> Result<()> {
    if origin.index.find(LARGE_OBJECTS).is_none() {
        return Ok(());
    }
    let restoring = |f: Failure| f.during("restore", "the large objects");
    let tables = [
        ("dysno_objects (oid oid, owner text, comment text)", LARGE_OBJECTS),
        (
            "dysno_privileges (oid oid, grantor text, grantee text, privilege text, grantable bool)",
            LARGE_OBJECT_PRIVILEGES,
        ),
        ("dysno_pages (oid oid, page int4, data bytea)", LARGE_OBJECT_PAGES),
    ];
    let options = copy_options(&origin.properties.encoding, Format::Text);
    for (definition, path) in tables {
        let (name, _) = definition.split_once(' ').expect("a definition begins with a name");
        let content = origin.index.content(path)?;
        let mut rows = origin.source.open(content).map_err(Error::read)?;
        session
            .batch(&format!("CREATE TEMPORARY TABLE {definition}"))
            .and_then(|()| {
                session.copy_in(&format!("COPY pg_temp.{name} FROM STDIN ({options})"), &mut rows)
            })
            .map_err(restoring)?;
    }
    // Page by page: what was never written takes no room, and stays so.
    session
        .batch(&format!(
            "SELECT count(lo_create(oid)) FROM pg_temp.dysno_objects; \
             SELECT count(lo_put(oid, page::int8 * {LARGE_OBJECT_PAGE_BYTES}, data)::text) FROM pg_temp.dysno_pages"
        ))
        .map_err(restoring)?;
    let statements = large_object_statements(session).map_err(restoring)?;
    for some in statements.chunks(STATEMENTS_PER_BATCH) {
        session.batch(&some.join("; ")).map_err(restoring)?;
    }
    session
        .batch("DROP TABLE pg_temp.dysno_objects, pg_temp.dysno_privileges, pg_temp.dysno_pages")
        .map_err(restoring)
}

fn large_object_statements(session: &Session) -> Result<Vec<String>, Failure> {
    let mut statements = Vec::new();
    for row in
        session.query("SELECT oid, owner, comment FROM pg_temp.dysno_objects ORDER BY oid", &[])?
    {
        let (oid, owner, comment): (u32, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        statements.push(format!("ALTER LARGE OBJECT {oid} OWNER TO {}", identifier(&owner)));
        if let Some(comment) = comment {
            statements.push(format!("COMMENT ON LARGE OBJECT {oid} IS {}", literal(&comment)));
        }
    }
    let rights = session.query(
        "SELECT p.oid, p.grantor, p.grantee, p.privilege, p.grantable FROM pg_temp.dysno_privileges p \
         JOIN pg_temp.dysno_objects o USING (oid) ORDER BY p.oid, p.grantor <> o.owner, 2, 3, 4",
        &[],
    )?;
    for row in rights {
        let (oid, grantor, grantee): (u32, String, Option<String>) =
            (row.get(0), row.get(1), row.get(2));
        let (privilege, grantable): (String, bool) = (row.get(3), row.get(4));
        let grantee = grantee.map_or("PUBLIC".to_owned(), |role| identifier(&role));
        let option = if grantable { " WITH GRANT OPTION" } else { "" };
        statements.push(format!(
            "SET ROLE {}; GRANT {privilege} ON LARGE OBJECT {oid} TO {grantee}{option}; RESET ROLE",
            identifier(&grantor)
        ));
    }
    Ok(statements)
}
