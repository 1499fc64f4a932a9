//! Each failure is clear, makes no snapshot and leaves live state alone.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::postgres::connect::{Pace, Session};
use crate::postgres::tests::memory::Memory;
use crate::postgres::tests::round_trip::tag;
use crate::postgres::tests::server::{TestServer, chain, identity};
use crate::{Context, Error, Plugin, RestoreOptions, SnapshotOptions};

/// Asserts that a snapshot fails and that its causes say why; nothing is left on the server.
fn check(unit: &dyn Plugin, expected: &[&str]) -> Error {
    let error = unit.snapshot(&Memory::default(), &SnapshotOptions::default()).unwrap_err();
    let text = chain(&error);
    for words in expected {
        assert!(text.contains(words), "{text:?} lacks {words:?}");
    }
    error
}

fn app(server: &TestServer) {
    server.sql("postgres", "CREATE DATABASE app TEMPLATE template0");
    server.sql("app", "CREATE TABLE t (id int PRIMARY KEY, x text)");
    server.sql("app", "INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 2000) i");
}

const ALL: &str = "app postgres template0 template1";

#[test]
fn a_server_that_is_down_is_named() {
    let server = TestServer::start();
    server.control(&["stop", "-m", "fast"]);
    check(
        &*server.unit("app"),
        &["cannot connect to database \"app\"", ".s.PGSQL.5432", "No such file"],
    );
    assert!(server.container("").probe().is_err());
}

#[test]
fn a_missing_database_or_role_is_named() {
    let server = TestServer::start();
    let error = check(&*server.unit("absent"), &["cannot find database \"absent\""]);
    assert!(matches!(error, Error::Missing { .. }));
    let unit =
        server.container("user = 'nobody-here'\nos-user = 'postgres'").open("postgres").unwrap();
    check(&*unit, &["as role \"nobody-here\"", "Peer authentication failed"]);
}

#[test]
fn a_wrong_password_is_said_and_never_shown() {
    let server = TestServer::start();
    app(&server);
    server.sql("postgres", "CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'right one'");
    let path = server.data().join("pg_hba.conf");
    let rules = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("local all keeper scram-sha-256\n{rules}")).unwrap();
    server.control(&["reload"]);
    let password = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(password.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let settings = format!("user = 'keeper'\npassword-file = '{}'", password.path().display());
    let unit = server.container(&settings).open("app").unwrap();
    fs::write(password.path(), "wrong one").unwrap();
    let error = check(&*unit, &["password authentication failed"]);
    assert!(!format!("{error:?} {}", chain(&error)).contains("wrong one"));
    fs::write(password.path(), "right one\n").unwrap();
    unit.snapshot(&Memory::default(), &SnapshotOptions::default()).unwrap();
}

#[test]
fn a_password_is_on_no_command_line() {
    let server = TestServer::start();
    app(&server);
    server.sql("postgres", "CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'hush-hush'");
    let path = server.data().join("pg_hba.conf");
    let rules = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("local all keeper scram-sha-256\n{rules}")).unwrap();
    server.control(&["reload"]);
    let password = tempfile::NamedTempFile::new().unwrap();
    fs::write(password.path(), "hush-hush").unwrap();
    let settings = format!("user = 'keeper'\npassword-file = '{}'", password.path().display());
    let unit = server.container(&settings).open("app").unwrap();
    thread::scope(|scope| {
        let work = scope.spawn(|| unit.snapshot(&Memory::default(), &SnapshotOptions::default()));
        while !work.is_finished() {
            for process in fs::read_dir("/proc").unwrap().flatten() {
                let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
                assert!(!String::from_utf8_lossy(&line).contains("hush-hush"));
            }
        }
        work.join().unwrap().unwrap();
    });
}

#[test]
fn a_table_that_may_not_be_read_is_named_with_the_role() {
    let server = TestServer::start();
    app(&server);
    server.sql("postgres", "CREATE ROLE reader LOGIN");
    let map = server.data().join("pg_hba.conf");
    let rules = fs::read_to_string(&map).unwrap();
    fs::write(&map, format!("local all reader trust\n{rules}")).unwrap();
    server.control(&["reload"]);
    let unit = server.container("user = 'reader'\nos-user = 'postgres'").open("app").unwrap();
    check(&*unit, &["as role \"reader\"", "permission denied for table t"]);
    server.sql("app", "GRANT pg_read_all_data TO reader");
    let memory = Memory::default();
    unit.snapshot(&memory, &SnapshotOptions::default()).unwrap();
    assert!(memory.warnings.lock().unwrap()[0].starts_with("partial: role \"reader\""));
}

#[test]
fn an_old_or_missing_pg_dump_is_told_with_what_is_needed() {
    let server = TestServer::start();
    app(&server);
    let tools = tempfile::tempdir().unwrap();
    let settings = format!("bin-dir = '{}'", tools.path().display());
    let unit = server.container(&settings).open("app").unwrap();
    let place = tools.path().display().to_string();
    let error = check(&*unit, &["cannot find pg_dump of version", "there is none in", &place]);
    assert!(matches!(error, Error::Tool { .. }));
    let program = tools.path().join("pg_dump");
    fs::write(&program, "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.1'\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    check(&*unit, &["found only version 9", "postgresql-client-"]);
}

#[test]
fn a_failing_pg_dump_makes_no_snapshot() {
    let server = TestServer::start();
    app(&server);
    let tools = tempfile::tempdir().unwrap();
    fs::set_permissions(tools.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = tools.path().join("pg_dump");
    let script = "#!/bin/sh\n[ \"$1\" = --version ] && { echo 'pg_dump (PostgreSQL) 99.0'; exit; }\necho partial; kill -9 $$\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let unit =
        server.container(&format!("bin-dir = '{}'", tools.path().display())).open("app").unwrap();
    check(&*unit, &["pg_dump ended with signal: 9"]);
}

#[test]
fn a_full_store_makes_no_snapshot() {
    let server = TestServer::start();
    app(&server);
    let mut full = Memory::default();
    full.full_after_bytes = Some(100_000);
    let error = server.unit("app").snapshot(&full, &SnapshotOptions::default()).unwrap_err();
    assert!(
        chain(&error).contains("cannot write the snapshot: no storage space"),
        "{}",
        chain(&error)
    );
}

#[test]
fn sessions_that_the_server_ends_make_no_snapshot() {
    let server = TestServer::start();
    app(&server);
    server.sql(
        "app",
        "INSERT INTO t SELECT i, repeat(md5(i::text), 100) FROM generate_series(3000, 60000) i",
    );
    let unit = server.unit("app");
    let outcome = thread::scope(|scope| {
        let work = scope.spawn(|| unit.snapshot(&Memory::default(), &SnapshotOptions::default()));
        let killer = Session::open(&server.inner(), "postgres", Pace::Data).unwrap();
        while !work.is_finished() {
            killer
                .query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE datname = 'app' AND query LIKE 'COPY (SELECT%'",
                    &[],
                )
                .unwrap();
        }
        work.join().unwrap()
    });
    assert!(outcome.is_err());
}

#[test]
fn a_queued_change_of_a_table_is_waited_for_in_bounds() {
    let server = TestServer::start();
    app(&server);
    let holder = Session::open(&server.inner(), "app", Pace::Data).unwrap();
    holder.batch("BEGIN; LOCK TABLE public.t IN ACCESS EXCLUSIVE MODE").unwrap();
    let started = Instant::now();
    check(&*server.unit("app"), &["somebody changes or truncates one", "lock timeout"]);
    assert!(started.elapsed() < Duration::from_secs(25));
}

#[test]
fn a_truncation_beside_the_snapshot_is_seen_wholly_or_not_at_all() {
    let server = TestServer::start();
    server.sql("postgres", "CREATE DATABASE app TEMPLATE template0");
    server.sql("app", "CREATE TABLE a (v int PRIMARY KEY); CREATE TABLE b (v int PRIMARY KEY)");
    server.sql("app", "INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)");
    let writer = Session::open(&server.inner(), "app", Pace::Data).unwrap();
    writer
        .batch(
            "BEGIN; TRUNCATE public.a; INSERT INTO public.a VALUES (2); UPDATE public.b SET v = 2",
        )
        .unwrap();
    let memory = thread::scope(|scope| {
        let work = scope.spawn(|| server.snapshot("app"));
        let watcher = Session::open(&server.inner(), "postgres", Pace::Data).unwrap();
        // Until the snapshot waits for the writer's lock.
        let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
        while watcher.query_one(waiting, &[]).unwrap().get::<_, i64>(0) == 0 {}
        writer.batch("COMMIT").unwrap();
        work.join().unwrap()
    });
    let rows = [memory.text("data/public/a.copy"), memory.text("data/public/b.copy")];
    assert_eq!(rows, ["2\n", "2\n"]);
}

#[test]
fn a_damaged_source_stages_nothing() {
    let server = TestServer::start();
    app(&server);
    for path in ["data/public/t.copy", "schema/post-data.sql", "sequences.json"] {
        let mut memory = server.snapshot("app");
        memory.damaged = Some(path.to_owned());
        let error =
            server.unit("app").stage(&memory, &tag(), &RestoreOptions::default()).unwrap_err();
        assert!(chain(&error).contains("the content is damaged"), "{}", chain(&error));
        assert_eq!(server.databases(), ALL);
        assert_eq!(server.sql("app", "SELECT count(*) FROM t"), "2000");
    }
}

#[test]
fn all_that_the_server_lacks_is_listed_before_anything_is_created() {
    let server = TestServer::start();
    app(&server);
    server.sql("app", "CREATE ROLE one; CREATE ROLE \"t wo\"; CREATE TABLE u (); ALTER TABLE u OWNER TO one; GRANT SELECT ON t TO \"t wo\"");
    let memory = server.snapshot("app");
    server.sql("app", "DROP OWNED BY one, \"t wo\"; DROP ROLE one, \"t wo\"");
    let error = server.unit("app").stage(&memory, &tag(), &RestoreOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot find what the snapshot needs on this server: the roles \"one\", \"t wo\"; create or install it and try again"
    );
    assert_eq!(server.databases(), ALL);
}

#[test]
fn an_interrupt_ends_a_restore_and_leaves_nothing() {
    let server = TestServer::start();
    app(&server);
    let memory = server.snapshot("app");
    let context = Context::default();
    let unit = server.container_in("", &context).open("app").unwrap();
    context.interrupt.raise();
    let stop = |error: Error| assert!(matches!(error, Error::Interrupted), "{}", chain(&error));
    stop(unit.snapshot(&Memory::default(), &SnapshotOptions::default()).unwrap_err());
    stop(unit.stage(&memory, &tag(), &RestoreOptions::default()).unwrap_err());
    assert_eq!(server.databases(), ALL);
}

#[test]
fn a_probe_lists_databases_but_not_ours() {
    let server = TestServer::start();
    app(&server);
    server.sql("postgres", "CREATE DATABASE \"app.dysno-old-abcdefghij\"");
    let probe = server.container("").probe().unwrap();
    assert_eq!(probe.components, ["app", "postgres"]);
    let unit = server.unit("app").probe().unwrap();
    assert!(unit.exists && unit.size_bytes > Some(1 << 20));
    assert!(!server.unit("absent").probe().unwrap().exists);
    assert!(identity().is_none() || rustix::process::geteuid().is_root());
}
