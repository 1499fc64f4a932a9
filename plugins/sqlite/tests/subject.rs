//! A database for the laws and the tests, described by a client of its own.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::conformance::{Outcome, Subject};
use crate::tree::Profile;
use crate::{Context, Plugin, find_kind};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Journal {
    Rollback,
    Wal,
}

pub(super) struct Unit {
    dir: TempDir,
    pub(super) journal: Journal,
}

impl Unit {
    pub(super) fn new(journal: Journal) -> Self {
        Self { dir: tempfile::tempdir().unwrap(), journal }
    }

    /// A unit whose database exists and is filled.
    pub(super) fn filled(journal: Journal) -> Self {
        let unit = Self::new(journal);
        unit.open().activate(None).unwrap();
        unit.fill().unwrap();
        unit
    }

    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("units")
    }

    pub(super) fn live(&self) -> PathBuf {
        self.root().join("app.db")
    }

    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        self.root().join(format!("app.db{suffix}"))
    }

    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn open(&self) -> Box<dyn Plugin> {
        self.open_with(&Context::default())
    }

    pub(super) fn open_with(&self, context: &Context) -> Box<dyn Plugin> {
        fs::create_dir_all(self.root()).unwrap();
        fs::create_dir_all(self.outside("scratch")).unwrap();
        let context = Context { scratch_dir: Some(self.outside("scratch")), ..context.clone() };
        let mut settings = toml::Table::new();
        settings.insert("root".to_owned(), self.root().display().to_string().into());
        let kind = find_kind("sqlite").unwrap();
        (kind.open)(&settings, &context).unwrap().open("app.db").unwrap()
    }

    /// Connects as the service does.
    pub(super) fn connect(&self) -> Connection {
        let connection = Connection::open(self.live()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        connection
    }

    pub(super) fn execute(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }

    pub(super) fn count(&self) -> i64 {
        self.connect().query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap()
    }

    pub(super) fn left_behind(&self) -> Vec<String> {
        let names = |dir: PathBuf| {
            let entries = fs::read_dir(dir).into_iter().flatten();
            entries.map(|entry| entry.unwrap().file_name().display().to_string())
        };
        let mut left: Vec<String> = names(self.root()).filter(|name| name != "app.db").collect();
        left.extend(names(self.outside("scratch")));
        left.sort_unstable();
        left
    }
}

/// Makes a database of `journal` with something in it.
pub(super) fn fill(connection: &Connection, journal: Journal) -> rusqlite::Result<()> {
    if journal == Journal::Wal {
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    }
    connection.execute_batch(
        "PRAGMA user_version = 7;
         PRAGMA application_id = 4711;
         CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, cents INTEGER, blob BLOB);
         CREATE INDEX by_owner ON account (owner);
         CREATE VIEW rich AS SELECT * FROM account WHERE cents > 100;
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO account SELECT i, 'owner ' || i, 100, zeroblob(i % 300) FROM n;",
    )
}

impl Subject for Unit {
    fn plugin(&self, context: &Context) -> Box<dyn Plugin> {
        self.open_with(context)
    }

    fn profile(&self) -> Profile {
        Profile::Files1
    }

    fn fill(&self) -> Outcome {
        fill(&self.connect(), self.journal)?;
        Ok(std::os::unix::fs::chown(self.live(), Some(1), Some(2))?)
    }

    fn change(&self) -> Outcome {
        self.connect().execute_batch(
            "UPDATE account SET cents = 7 WHERE id % 3 = 0;
             DELETE FROM account WHERE id > 1500;
             CREATE TABLE IF NOT EXISTS later (x);
             INSERT INTO later VALUES (1);",
        )?;
        Ok(())
    }

    fn wreck(&self) -> Outcome {
        fs::write(self.beside("-wal"), "junk that SQLite must not take for a log")?;
        Ok(fs::write(self.live(), "no database any more".repeat(1000))?)
    }

    fn describe(&self) -> Outcome<Option<String>> {
        if !self.live().exists() {
            return Ok(None);
        }
        let connection = self.connect();
        let stat = self.live().metadata()?;
        let mut text = format!("{:o} {}:{}\n", stat.mode(), stat.uid(), stat.gid());
        let mut add = |sql: &str| -> Outcome {
            let mut statement = connection.prepare(sql)?;
            let n_columns = statement.column_count();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                for column in 0..n_columns {
                    text.push_str(&format!("{:?} ", row.get_ref(column)?));
                }
                text.push('\n');
            }
            Ok(())
        };
        add("PRAGMA integrity_check")?;
        add("PRAGMA journal_mode")?;
        add("PRAGMA user_version")?;
        add("PRAGMA application_id")?;
        add("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name")?;
        let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
        let tables: Vec<String> = connection
            .prepare(tables)?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        for table in tables {
            add(&format!("SELECT * FROM \"{table}\" ORDER BY rowid"))?;
        }
        Ok(Some(text))
    }

    fn debris(&self) -> Outcome<Vec<String>> {
        Ok(self.left_behind())
    }

    fn initial(&self) -> Outcome<PathBuf> {
        let path = self.outside("initial.sql");
        fs::write(&path, "CREATE TABLE first (x); INSERT INTO first VALUES (1);")?;
        Ok(path)
    }

    fn broken_initial(&self) -> Outcome<Option<PathBuf>> {
        let path = self.outside("broken.sql");
        fs::write(&path, "CREATE TABLE first (x); INSERT INTO second VALUES (1);")?;
        Ok(Some(path))
    }
}
