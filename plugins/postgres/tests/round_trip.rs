//! A restored database is the one that was captured.

use crate::postgres::tests::memory::Memory;
use crate::postgres::tests::server::{TestServer, chain};
use crate::{Activation, RestoreOptions, Swap, Tag};

const ROLES: &str = "CREATE ROLE app LOGIN; CREATE ROLE reader; CREATE ROLE \"rö le\"\"x\"";

const PROPERTIES: &str = "ALTER DATABASE nasty OWNER TO app; \
    COMMENT ON DATABASE nasty IS 'it''s \\ nasty'; ALTER DATABASE nasty CONNECTION LIMIT 7; \
    ALTER DATABASE nasty SET search_path = \"$user\", \"we\"\"ird sch.ema\", public; \
    ALTER DATABASE nasty SET DateStyle = 'German'; ALTER DATABASE nasty SET IntervalStyle = 'sql_standard'; \
    ALTER DATABASE nasty SET bytea_output = 'escape'; ALTER DATABASE nasty SET extra_float_digits = -10; \
    ALTER DATABASE nasty SET TimeZone = 'Australia/Sydney'; ALTER DATABASE nasty SET app.\"custom\" = 'a, ''b'''; \
    ALTER DATABASE nasty SET default_transaction_read_only = on; ALTER DATABASE nasty SET statement_timeout = '1s'; \
    ALTER DATABASE nasty SET standard_conforming_strings = off; \
    ALTER ROLE app IN DATABASE nasty SET work_mem = '8MB'; \
    REVOKE TEMPORARY ON DATABASE nasty FROM PUBLIC; GRANT CREATE ON DATABASE nasty TO reader WITH GRANT OPTION; \
    SET ROLE reader; GRANT CREATE ON DATABASE nasty TO \"rö le\"\"x\"; RESET ROLE";

pub(super) fn tag() -> Tag {
    Tag::parse("abcdefghij").unwrap()
}

pub(super) fn restore(server: &TestServer, database: &str, source: &Memory) -> Swap {
    let unit = server.unit(database);
    let swap = unit
        .stage(source, &tag(), &RestoreOptions::default())
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    unit.swap(&swap).unwrap_or_else(|error| panic!("{}", chain(&error)));
    swap
}

fn nasty() -> TestServer {
    let server = TestServer::start();
    server.sql("postgres", ROLES);
    server.sql("postgres", "CREATE DATABASE nasty TEMPLATE template0");
    server.sql("nasty", include_str!("nasty.sql"));
    server.sql("postgres", PROPERTIES);
    server
}

#[test]
fn a_nasty_database_comes_back_as_it_was() {
    let server = nasty();
    let schema = server.schema("nasty");
    let before = server.snapshot("nasty");
    assert_eq!(before.warnings.lock().unwrap().as_slice(), [""; 0]);
    restore(&server, "nasty", &before);
    let after = server.snapshot("nasty");
    assert_eq!(before.differences(&after), [""; 0]);
    let schema_now = server.schema("nasty");
    // Sorted, because the order in which rights were granted means nothing and is not kept.
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (before_lines, after_lines) = (sorted(&schema), sorted(&schema_now));
    let differing = |a: &[String], b: &[String]| {
        a.iter().filter(|line| !b.contains(line)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(differing(&before_lines, &after_lines), differing(&after_lines, &before_lines));
    assert_eq!(before_lines.len(), after_lines.len());
    assert!(!std::path::Path::new("/tmp/dysno-pwned").exists());
    let pages = "SELECT count(*) FROM pg_largeobject WHERE loid = 4242";
    assert_eq!(server.sql("nasty", pages), "2", "a sparse object stays sparse");
    let view = "SELECT count FROM public.a_dependent";
    assert_eq!(
        server.sql("nasty", view),
        "8",
        "views are filled in the order of their dependencies"
    );
    server.unit("nasty").release(&tag()).unwrap();
    assert_eq!(server.databases(), "nasty postgres template0 template1");
}

#[test]
fn what_moves_rows_only_changes_no_byte() {
    let server = nasty();
    let before = server.snapshot("nasty");
    let again = server.snapshot("nasty");
    assert_eq!(before.differences(&again), [""; 0]);
    server.sql(
        "nasty",
        "SET default_transaction_read_only = off; SET statement_timeout = 0; \
         ALTER EVENT TRIGGER log_ddl DISABLE; ALTER EVENT TRIGGER log_ddl ENABLE; \
         UPDATE public.torture SET t = t; UPDATE public.worded SET t = t WHERE t > 'a'; \
         UPDATE \"select\".keyless SET a = a WHERE a = 1; UPDATE public.hashed SET n = n WHERE n = 3; CHECKPOINT",
    );
    server.sql("nasty", "SET default_transaction_read_only = off; VACUUM FULL");
    server.sql("nasty", "SET default_transaction_read_only = off; CLUSTER public.generated");
    server.control(&["restart", "-w"]);
    let after = server.snapshot("nasty");
    // The trigger on CLUSTER logs; nothing else may differ.
    let differences = after.differences(&before);
    assert!(
        differences.is_empty() || differences == ["data/public/ddl_log.copy", "tables.json"],
        "{differences:?}"
    );
}

#[test]
fn a_renamed_database_has_the_same_state() {
    let server = nasty();
    let before = server.snapshot("nasty");
    server.sql("postgres", "ALTER DATABASE nasty RENAME TO other");
    assert_eq!(before.differences(&server.snapshot("other")), [""; 0]);
}

#[test]
fn encodings_other_than_utf_8_come_back_byte_by_byte() {
    let server = TestServer::start();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = encoding.to_lowercase();
        let create =
            format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING {encoding} LOCALE 'C'");
        server.sql("postgres", &create);
        server.sql(
            &name,
            "SET client_encoding = LATIN1; CREATE TABLE t (id int PRIMARY KEY, x text); \
             INSERT INTO t SELECT i, convert_from(decode('e4ff', 'hex'), 'LATIN1') FROM generate_series(1, 3) i",
        );
        if encoding == "SQL_ASCII" {
            server.sql(&name, r"INSERT INTO t VALUES (9, E'\377\376')");
        }
        let before = server.snapshot(&name);
        restore(&server, &name, &before);
        assert_eq!(before.differences(&server.snapshot(&name)), [""; 0]);
        let encoding_now = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()";
        assert_eq!(server.sql(&name, encoding_now), encoding);
        server.unit(&name).release(&tag()).unwrap();
    }
}

#[test]
fn a_database_is_restored_where_there_is_none() {
    let server = TestServer::start();
    let name = "x".repeat(63);
    assert_eq!(server.unit(&name).activate(None).unwrap(), Activation::Created);
    assert_eq!(server.unit(&name).activate(None).unwrap(), Activation::Existing);
    server.sql(&name, "CREATE TABLE t AS SELECT generate_series(1, 3) AS x");
    let before = server.snapshot(&name);
    server.unit(&name).collect_garbage().unwrap();
    server.unit(&name).collect_garbage().unwrap();
    let swap = restore(&server, &name, &before);
    assert_eq!(swap.displaced, None);
    assert_eq!(before.differences(&server.snapshot(&name)), [""; 0]);
}

#[test]
fn files_run_in_the_order_of_their_names_and_a_failure_leaves_nothing() {
    let server = TestServer::start();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("2.sql", "INSERT INTO t VALUES (1);");
    write("1.sql", "\\set ON_ERROR_STOP on\nCREATE TABLE t (x int);");
    write("3.sql", "INSERT INTO missing VALUES (1);");
    write("README", "not SQL");
    let unit = server.unit("app");
    let error = unit.activate(Some(directory.path())).unwrap_err();
    assert!(chain(&error).contains("relation \"missing\" does not exist"), "{}", chain(&error));
    assert_eq!(server.databases(), "postgres template0 template1");
    write("3.sql", "");
    assert_eq!(unit.activate(Some(directory.path())).unwrap(), Activation::Created);
    assert_eq!(server.sql("app", "SELECT x FROM t"), "1");
    assert_eq!(server.databases(), "app postgres template0 template1");
}

#[test]
fn the_maintenance_database_can_be_restored_too() {
    let server = TestServer::start();
    server.sql("postgres", "CREATE TABLE t (x int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let before = server.snapshot("postgres");
    server.sql("postgres", "DROP TABLE t");
    restore(&server, "postgres", &before);
    assert_eq!(before.differences(&server.snapshot("postgres")), [""; 0]);
}
