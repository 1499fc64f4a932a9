//! Captures a database: one point in time, the same bytes for the same state.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::postgres::catalog::{self, Range, Table};
use crate::postgres::connect::{Pace, Session};
use crate::postgres::failure::{self, Failure};
use crate::postgres::manifest::{
    DATABASE, Format, LARGE_OBJECT_PAGES, LARGE_OBJECT_PRIVILEGES, LARGE_OBJECTS, LAYOUT,
    LAYOUT_ATTRIBUTE, Order, REQUIREMENTS, SEQUENCES, TABLES, TableFile, data_path, file_entry,
    write_json,
};
use crate::postgres::properties;
use crate::postgres::schema;
use crate::postgres::settings::Server;
use crate::postgres::split;
use crate::postgres::tools::Workshop;
use crate::{Capture, Cut, Error, Result};

/// Tables named by one `LOCK` statement.
const TABLES_PER_LOCK: usize = 500;

/// How often the list of tables may change while we lock it before somebody else must stop first.
const N_LOCK_ATTEMPTS: usize = 5;

/// How long we wait for a lock. Whoever wants the table for himself stands behind us, and everybody else behind him.
const LOCK_WAIT: &str = "SET lock_timeout = '10s'";

/// One view of the whole database, which waits for nobody and writes nothing.
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// One table and what was decided about it before its rows are read.
struct Job {
    table: Table,
    order: Order,
    size_bytes: i64,
    /// The ranges in which several sessions read the table; none where one reads it.
    ranges: Vec<Range>,
}

/// What all that work on one snapshot share.
struct Shot<'a> {
    server: &'a Server,
    database: &'a str,
    /// The name under which other sessions share the leader's view.
    view: String,
    /// The server's encoding, in which rows are written: a client's may not hold every value.
    encoding: String,
    capture: &'a dyn Capture,
    queue: Mutex<VecDeque<Job>>,
    files: Mutex<Vec<TableFile>>,
}

/// Captures the database.
pub(crate) fn capture(server: &Server, database: &str, capture: &dyn Capture) -> Result<()> {
    capture_like(server, database, capture, &[])
}

/// Captures the database with the rows of each table in the order of an earlier snapshot of it: which order is used
/// depends on the room that a table takes, and that may change when it is restored.
pub(crate) fn capture_like(
    server: &Server,
    database: &str,
    capture: &dyn Capture,
    earlier: &[TableFile],
) -> Result<()> {
    let leader = Session::open(server, database, Pace::Data)?;
    let workshop = Workshop::open(server, &leader, database)?;
    let tables = lock(&leader, server)?;
    let jobs = plan(&leader, tables, earlier, server.n_connections())
        .map_err(|f| f.during("read the catalog of", database))?;
    // Only now: what was truncated or rewritten after the view was taken and before the lock was ours would look
    // empty in it. `LOCK` takes no view, and no query ran in this transaction's beginning that did.
    let row = leader
        .query_one("SELECT pg_export_snapshot(), current_setting('server_encoding')", &[])
        .map_err(|f| f.during("share a view of", database))?;
    let shot = Shot {
        server,
        database,
        view: row.get(0),
        encoding: row.get(1),
        capture,
        queue: Mutex::new(jobs.into()),
        files: Mutex::default(),
    };
    let attribute = |name, value| {
        capture.attribute(name, value).map_err(|source| failure::snapshot("write", source))
    };
    attribute(LAYOUT_ATTRIBUTE, LAYOUT)?;
    attribute("encoding", &shot.encoding)?;
    warn_of_missing_rights(&leader, capture).map_err(|f| f.during("inspect", server.user()))?;
    shot.take(&leader, &workshop)?;
    // The others read through the leader's view; only while it stands did they read one state.
    leader.batch("COMMIT").map_err(|f| f.during("end reading", database))?;
    let mut files = shot.files.into_inner().unwrap_or_else(PoisonError::into_inner);
    files.sort_by(|a, b| (&a.schema, &a.name).cmp(&(&b.schema, &b.name)));
    write_json(capture, TABLES, &files)
}

/// Locks all tables against being rewritten, begins the view and returns the tables.
fn lock(leader: &Session, server: &Server) -> Result<Vec<Table>> {
    let list =
        |session: &Session| catalog::tables(session).map_err(|f| f.during("list", "the tables"));
    leader.batch(LOCK_WAIT).map_err(|f| f.during("prepare", "the session"))?;
    for _ in 0..N_LOCK_ATTEMPTS {
        let before = list(leader)?;
        leader.batch(BEGIN).map_err(|f| f.during("begin", "reading"))?;
        let locked = before.chunks(TABLES_PER_LOCK).try_for_each(|some| {
            let names: Vec<_> = some.iter().map(Table::lock_target).collect();
            leader.batch(&format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")))
        });
        match locked {
            Ok(()) => {
                let after = list(leader)?;
                if before == after {
                    return Ok(after);
                }
            }
            // A table was dropped after it was listed.
            Err(f) if f.code() == Some(&tokio_postgres::error::SqlState::UNDEFINED_TABLE) => {}
            Err(f) => return Err(lock_refused(f, server)),
        }
        leader.batch("ROLLBACK").map_err(|f| f.during("end", "reading"))?;
    }
    Err(Error::Refused {
        verb: "lock",
        object: "the tables".to_owned(),
        reason: "some are created or dropped all the time; try when that has ended".to_owned(),
    })
}

fn lock_refused(failure: Failure, server: &Server) -> Error {
    use tokio_postgres::error::SqlState;
    let code = failure.code().cloned();
    if code == Some(SqlState::LOCK_NOT_AVAILABLE) {
        return failure.during(
            "lock",
            "the tables: somebody changes or truncates one; wait for it or end it",
        );
    }
    if code == Some(SqlState::OUT_OF_MEMORY) {
        return failure.during("lock", "the tables: raise max_locks_per_transaction of the server");
    }
    let right = if code == Some(SqlState::INSUFFICIENT_PRIVILEGE) {
        ", which must be a superuser or be granted pg_read_all_data"
    } else {
        ""
    };
    failure.during("lock", format!("the tables as role {:?}{right}", server.user()))
}

/// Decides how each table is read, largest first, so that no worker is left with a large one at the end.
fn plan(
    leader: &Session,
    tables: Vec<Table>,
    earlier: &[TableFile],
    n_sessions: usize,
) -> Result<Vec<Job>, Failure> {
    let orders: HashMap<_, _> =
        earlier.iter().map(|file| ((&file.schema, &file.name), file.order)).collect();
    let mut jobs = Vec::with_capacity(tables.len());
    for table in tables {
        let size_bytes = catalog::size_bytes(leader, &table)?;
        let order = match orders.get(&(&table.schema, &table.name)) {
            // A key is used wherever there is one: a snapshot that knew it cannot ask for it in vain.
            Some(order) if *order != Order::Key => *order,
            Some(_) | None => table.order(size_bytes),
        };
        jobs.push(Job { order, table, size_bytes, ranges: Vec::new() });
    }
    jobs.sort_by_key(|job| std::cmp::Reverse(job.size_bytes));
    let mut rest_bytes: i64 = jobs.iter().map(|job| job.size_bytes).sum();
    for job in &mut jobs {
        // One session would still be at this table when the others have read all that follow.
        let is_long = job.size_bytes.saturating_mul(n_sessions as i64) > rest_bytes;
        if n_sessions > 1 && is_long && job.order == Order::Key {
            job.ranges = split::ranges(leader, &job.table, job.size_bytes)?.unwrap_or_default();
        }
        rest_bytes -= job.size_bytes;
    }
    // Those first that all sessions read together.
    jobs.sort_by_key(|job| job.ranges.is_empty());
    Ok(jobs)
}

/// A role that is no superuser sees less, and nothing tells it so.
fn warn_of_missing_rights(leader: &Session, capture: &dyn Capture) -> Result<(), Failure> {
    let row = leader
        .query_one("SELECT current_setting('is_superuser') = 'on', session_user::text", &[])?;
    if !row.get::<_, bool>(0) {
        let role: String = row.get(1);
        capture.warn(&format!(
            "partial: role {role:?} is no superuser, so subscriptions and the options of user mappings are missing"
        ));
    }
    Ok(())
}

/// Copies tables until none is left.
fn work(shot: &Shot<'_>) -> Result<()> {
    let done = (|| {
        let mut session = None;
        while let Some(job) = shot.next_if(|_| true) {
            let current = match session.take() {
                Some(current) => current,
                None => shot.join()?,
            };
            session = Some(copy_table(shot, current, &job)?);
        }
        Ok(())
    })();
    if done.is_err() {
        shot.give_up();
    }
    done
}

/// Copies one table and returns the session that can copy the next.
fn copy_table(shot: &Shot<'_>, session: Session, job: &Job) -> Result<Session> {
    let name = format!("table {}", job.table.sql_name());
    let path = data_path(&job.table.schema, &job.table.name);
    let copied = shot.copy(&session, &job.copy(&shot.encoding, Format::Text), &path);
    let (session, format, n_rows) = match copied {
        Ok(n_rows) => (session, Format::Text, n_rows),
        Err(failure) if failure.is_too_large_for_text() => {
            drop(session);
            // The failure ended the transaction; the leader still holds the view.
            let session = shot.join()?;
            let n_messages = shot
                .copy(&session, &job.copy(&shot.encoding, Format::Binary), &path)
                .map_err(|f| f.during("copy", &name))?;
            // The last message is the trailer.
            (session, Format::Binary, n_messages.saturating_sub(1))
        }
        Err(failure) => return Err(failure.during("copy", name)),
    };
    shot.copied(job, path, format, n_rows);
    Ok(session)
}

/// Copies one table through several sessions at once.
fn copy_split(shot: &Shot<'_>, job: &Job) -> Result<()> {
    let name = format!("table {}", job.table.sql_name());
    let path = data_path(&job.table.schema, &job.table.name);
    let failed = |source| failure::snapshot("write", source);
    let mut content = shot.capture.content(Cut::Rows).map_err(failed)?;
    let options = copy_options(&shot.encoding, Format::Text);
    let n_rows = split::read(
        &job.ranges,
        shot.server.n_connections(),
        &|| shot.join(),
        &|range| job.table.copy_range(range, &options),
        |bytes| content.write_all(bytes),
    )?;
    match n_rows {
        Ok(n_rows) => {
            let content = content.finish().map_err(failed)?;
            shot.capture.entry(file_entry(&path, content)).map_err(failed)?;
            shot.copied(job, path, Format::Text, n_rows);
            Ok(())
        }
        // It takes another format, for which there is one way only.
        Err(failure) if failure.is_too_large_for_text() => {
            drop(content);
            copy_table(shot, shot.join()?, job).map(drop)
        }
        Err(failure) => Err(failure.during("copy", name)),
    }
}

impl Shot<'_> {
    /// Notes what became of a table.
    fn copied(&self, job: &Job, path: String, format: Format, n_rows: u64) {
        let file = TableFile {
            columns: job.table.columns.clone(),
            file: path,
            format,
            load: job.table.load,
            name: job.table.name.clone(),
            order: job.order,
            rows: n_rows,
            schema: job.table.schema.clone(),
        };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
}

impl Job {
    fn copy(&self, encoding: &str, format: Format) -> String {
        self.table.copy_out(self.order, &copy_options(encoding, format))
    }
}

/// Returns the options of `COPY` for a format.
pub(crate) fn copy_options(encoding: &str, format: Format) -> String {
    let format = match format {
        Format::Text => "text",
        Format::Binary => "binary",
    };
    format!("FORMAT {format}, ENCODING '{encoding}'")
}

impl Shot<'_> {
    /// Captures everything, each part at the same time as the others.
    fn take(&self, leader: &Session, workshop: &Workshop) -> Result<()> {
        thread::scope(|scope| {
            let interrupt = &self.server.context.interrupt;
            let schema = scope.spawn(|| {
                schema::capture(workshop, &self.view, &self.encoding, interrupt, self.capture)
            });
            let tables = scope.spawn(|| self.tables());
            let rest = self.rest(leader);
            if rest.is_err() {
                self.give_up();
            }
            let tables = tables.join().expect("the tables' thread returns its error");
            let schema = schema.join().expect("the schema's thread returns its error");
            // The leader's error first: without its view all others fail too.
            rest?;
            tables?;
            let warnings = schema?;
            if !warnings.is_empty() {
                self.capture.warn(&format!("pg_dump says: {warnings}"));
            }
            Ok(())
        })
    }

    /// Copies all tables.
    fn tables(&self) -> Result<()> {
        while let Some(job) = self.next_if(|job| !job.ranges.is_empty()) {
            copy_split(self, &job)?;
        }
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..self.server.n_connections()).map(|_| scope.spawn(|| work(self))).collect();
            let ended = workers.into_iter().map(|worker| worker.join());
            let ended: Vec<_> = ended.map(|end| end.expect("a worker returns its error")).collect();
            ended.into_iter().collect()
        })
    }

    fn next_if(&self, wanted: impl Fn(&Job) -> bool) -> Option<Job> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.front().is_some_and(wanted) { queue.pop_front() } else { None }
    }

    /// Lets the other workers end after their current table.
    fn give_up(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Opens a session that sees what the leader sees.
    fn join(&self) -> Result<Session> {
        let session = Session::open(self.server, self.database, Pace::Data)?;
        let view = crate::postgres::quote::literal(&self.view);
        session
            .batch(&format!("{LOCK_WAIT}; {BEGIN}; SET TRANSACTION SNAPSHOT {view}"))
            .map_err(|f| f.during("share a view of", self.database))?;
        Ok(session)
    }

    /// Copies what a statement gives into a file and returns the number of messages.
    fn copy(&self, session: &Session, sql: &str, path: &str) -> Result<u64, Failure> {
        let write = |source| Failure::Snapshot("write", source);
        let mut content = self.capture.content(Cut::Rows).map_err(write)?;
        let n_messages = session.copy_out(sql, &mut |rows| content.write_all(rows))?;
        let content = content.finish().map_err(write)?;
        self.capture.entry(file_entry(path, content)).map_err(write)?;
        Ok(n_messages)
    }

    /// Captures what is no table, in the leader's session.
    fn rest(&self, leader: &Session) -> Result<()> {
        let reading = |what: &'static str| move |f: Failure| f.during("read", what);
        let properties = properties::read(leader).map_err(reading("the database's properties"))?;
        write_json(self.capture, DATABASE, &properties)?;
        let requirements = catalog::requirements(leader).map_err(reading("the needed roles"))?;
        write_json(self.capture, REQUIREMENTS, &requirements)?;
        let sequences = catalog::sequences(leader).map_err(reading("the sequences"))?;
        write_json(self.capture, SEQUENCES, &sequences)?;
        self.large_objects(leader).map_err(reading("the large objects"))
    }

    fn large_objects(&self, leader: &Session) -> Result<(), Failure> {
        let any = leader.query_one("SELECT EXISTS (SELECT FROM pg_largeobject_metadata)", &[])?;
        if !any.get::<_, bool>(0) {
            return Ok(());
        }
        let files = [
            (
                "SELECT oid, pg_get_userbyid(lomowner), obj_description(oid, 'pg_largeobject') \
                 FROM pg_largeobject_metadata ORDER BY oid",
                LARGE_OBJECTS,
            ),
            (
                "SELECT m.oid, pg_get_userbyid(a.grantor), g.rolname, a.privilege_type, a.is_grantable \
                 FROM pg_largeobject_metadata m CROSS JOIN LATERAL aclexplode(m.lomacl) a \
                 LEFT JOIN pg_roles g ON g.oid = a.grantee WHERE a.grantee <> m.lomowner \
                 ORDER BY 1, a.grantor <> m.lomowner, 2, 3, 4",
                LARGE_OBJECT_PRIVILEGES,
            ),
            ("SELECT loid, pageno, data FROM pg_largeobject ORDER BY 1, 2", LARGE_OBJECT_PAGES),
        ];
        let options = copy_options(&self.encoding, Format::Text);
        for (sql, path) in files {
            self.copy(leader, &format!("COPY ({sql}) TO STDOUT ({options})"), path)?;
        }
        Ok(())
    }
}
