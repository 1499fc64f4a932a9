//! The laws of every kind, on databases of a real server.

use std::path::PathBuf;

use crate::conformance::{Outcome, Subject, check};
use crate::postgres::quote::{identifier, literal};
use crate::postgres::tests::server::{TestServer, run};
use crate::tree::Profile;
use crate::{Context, Plugin};

/// One database of its own on a server that all laws share.
struct Unit<'a> {
    server: &'a TestServer,
    name: String,
    files: tempfile::TempDir,
}

impl Unit<'_> {
    fn exists(&self) -> bool {
        let sql =
            format!("SELECT count(*) FROM pg_database WHERE datname = {}", literal(&self.name));
        self.server.sql("template1", &sql) == "1"
    }
}

impl Subject for Unit<'_> {
    fn plugin(&self, context: &Context) -> Box<dyn Plugin> {
        self.server.container_in("", context).open(&self.name).unwrap()
    }

    fn profile(&self) -> Profile {
        Profile::Files1
    }

    fn fill(&self) -> Outcome {
        self.server.sql(
            &self.name,
            "CREATE TABLE notes (id serial PRIMARY KEY, text text); CREATE TABLE log (line text); \
             INSERT INTO notes (text) SELECT repeat('note ' || i, 20) FROM generate_series(1, 200) i; \
             INSERT INTO log VALUES ('a'), ('b'), ('a'); CREATE INDEX ON notes (text); \
             CREATE VIEW short AS SELECT id FROM notes; SELECT lo_from_bytea(77, '\\x010203'); \
             CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1;'",
        );
        let name = identifier(&self.name);
        self.server.sql(
            "template1",
            &format!(
                "COMMENT ON DATABASE {name} IS 'mine'; ALTER DATABASE {name} SET work_mem = '5MB'"
            ),
        );
        Ok(())
    }

    fn change(&self) -> Outcome {
        self.server.sql(
            &self.name,
            "INSERT INTO notes (text) VALUES ('new'); UPDATE notes SET text = 'other' WHERE id = 7; \
             DELETE FROM notes WHERE id = 8; DROP VIEW short; CREATE TABLE added (); SELECT lo_unlink(77)",
        );
        Ok(())
    }

    fn wreck(&self) -> Outcome {
        self.server.sql(&self.name, "DROP SCHEMA public CASCADE");
        Ok(())
    }

    fn describe(&self) -> Outcome<Option<String>> {
        if !self.exists() {
            return Ok(None);
        }
        let host = [("PGHOST", self.server.directory.path())];
        let dump =
            run("pg_dump", ["--create", "--blobs", "--restrict-key=dysno", &self.name], &host);
        // Rows lie in an order of their own.
        let mut lines: Vec<_> = dump.lines().collect();
        lines.sort_unstable();
        Ok(Some(lines.join("\n")))
    }

    fn debris(&self) -> Outcome<Vec<String>> {
        let sql = format!(
            "SELECT datname FROM pg_database WHERE starts_with(datname, {})",
            literal(&format!("{}.", self.name))
        );
        Ok(self.server.sql("template1", &sql).lines().map(str::to_owned).collect())
    }

    fn initial(&self) -> Outcome<PathBuf> {
        let path = self.files.path().join("initial.sql");
        std::fs::write(&path, "CREATE TABLE first (x int); INSERT INTO first VALUES (1);")?;
        Ok(path)
    }

    fn broken_initial(&self) -> Outcome<Option<PathBuf>> {
        let path = self.files.path().join("broken.sql");
        std::fs::write(&path, "CREATE TABLE first (x int);\nSELECT 1/0;\nSELECT 2;")?;
        Ok(Some(path))
    }
}

#[test]
fn databases_keep_the_laws() {
    let server = TestServer::start();
    let n_units = std::cell::Cell::new(0);
    let outcome = check(|| {
        n_units.set(n_units.get() + 1);
        Unit {
            server: &server,
            name: format!("law \"{}\"", n_units.get()),
            files: tempfile::tempdir().unwrap(),
        }
    });
    outcome.unwrap_or_else(|broken| panic!("{broken}"));
}
