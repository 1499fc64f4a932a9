//! Databases of a real server, through the real program.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;

use crate::hardship::{SmallDisk, WAIT_MAX, signal, wait_until};
use crate::support::postgres::Server;
use crate::support::sandbox::{Ran, Sandbox};

const UNIT: &str = "postgres:app";

/// Starts a server with a database of one table, and configures it.
fn app(sandbox: &Sandbox, n_rows: u32) -> Server {
    let server = Server::start();
    server.sql("postgres", "CREATE DATABASE app");
    server.sql(
        "app",
        &format!(
            "CREATE TABLE t (id int PRIMARY KEY, x text); CREATE INDEX ON t (x); \
             INSERT INTO t SELECT i, sha512(i::text::bytea)::text FROM generate_series(1, {n_rows}) i"
        ),
    );
    server.configure(sandbox, "");
    server
}

fn count(server: &Server, database: &str) -> String {
    server.sql(database, "SELECT count(*) FROM t")
}

/// Returns the id in what a snapshot wrote.
fn id(text: &str) -> &str {
    let (_, rest) = text.split_once(", snapshot ").unwrap();
    rest.split_once(',').unwrap().0
}

/// Runs the program, which must fail and say all these words.
fn check_failure(sandbox: &Sandbox, arguments: &[&str], words: &[&str]) -> Ran {
    let ran = sandbox.run(arguments);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{:?} lacks {word:?}", ran.stderr);
    }
    ran
}

/// Asserts that no snapshot is registered and that nothing is wrong with the store.
fn check_nothing_is_registered(sandbox: &Sandbox) {
    assert_eq!(sandbox.succeed(&["generations"]), "");
    sandbox.succeed(&["verify", "--quiet"]);
}

#[test]
fn a_database_goes_around() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 1000);
    let first = sandbox.succeed(&["snapshot", UNIT]);
    server.sql("app", "DROP TABLE t");
    sandbox.succeed(&["restore", UNIT, "--yes"]);
    assert_eq!(count(&server, "app"), "1000");
    let again = sandbox.succeed(&["snapshot", UNIT]);
    assert_eq!(id(&first), id(&again));

    server.sql("app", "DELETE FROM t WHERE id > 10");
    sandbox.succeed(&["restore", UNIT, "--yes"]);
    sandbox.succeed(&["restore", UNIT, "--undo", "--yes"]);
    assert_eq!(count(&server, "app"), "10");

    let bundle = sandbox.text("bundle");
    sandbox.succeed(&["export", &format!("{UNIT}@1"), "-o", &bundle]);
    let elsewhere = Sandbox::new();
    server.configure(&elsewhere, "");
    elsewhere.succeed(&["import", &bundle]);
    elsewhere.succeed(&["restore", UNIT, "--into", "postgres:other", "--yes"]);
    assert_eq!(count(&server, "other"), "1000");
    assert_eq!(count(&server, "app"), "10");

    elsewhere.succeed(&["deactivate", "postgres:other"]);
    elsewhere.succeed(&["purge", "postgres:other", "--yes"]);
    sandbox.succeed(&["gc"]);
    assert_eq!(server.databases(), "app");
}

#[test]
fn a_new_database_starts_with_what_is_configured() {
    let sandbox = Sandbox::new();
    let server = Server::start();
    let initial =
        sandbox.write("initial.sql", "CREATE TABLE t (id int); INSERT INTO t VALUES (1);");
    server.configure(&sandbox, &format!("[unit.'{UNIT}']\ninitial = '{}'\n", initial.display()));
    sandbox.succeed(&["activate", UNIT]);
    assert_eq!(count(&server, "app"), "1");
}

#[test]
fn a_server_that_is_down_is_named_with_what_to_do() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 1);
    server.control(&["stop", "-m", "fast"]);
    let words = ["no server listens there: start it", ".s.PGSQL.5432"];
    check_failure(&sandbox, &["snapshot", UNIT], &words);
    check_nothing_is_registered(&sandbox);
}

#[test]
fn a_wrong_password_is_refused_and_never_shown() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 1);
    server.sql("postgres", "CREATE ROLE keeper SUPERUSER LOGIN PASSWORD 'right one'");
    let rules = format!("{}/pg_hba.conf", server.data());
    let others = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("local all keeper scram-sha-256\n{others}")).unwrap();
    server.control(&["restart", "-m", "fast", "-w"]);
    let password = sandbox.write("password", "wrong one\n");
    fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let more = format!("user = 'keeper'\npassword-file = '{}'\n", password.display());
    server.configure(&sandbox, &more);
    let words = ["password authentication failed", "correct the file that `password-file` names"];
    let ran = check_failure(&sandbox, &["snapshot", UNIT], &words);
    assert!(!ran.stderr.contains("wrong one"));
    fs::write(&password, "right one\n").unwrap();
    sandbox.succeed(&["snapshot", UNIT]);

    server.configure(&sandbox, "user = 'keeper'\nos-user = 'postgres'\n");
    check_failure(&sandbox, &["snapshot", UNIT], &["name the file that holds it"]);
}

#[test]
fn a_missing_right_is_named_with_what_to_do() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 1);
    server.sql("postgres", "CREATE ROLE low LOGIN");
    let rules = format!("{}/pg_hba.conf", server.data());
    fs::write(&rules, "local all all trust\n").unwrap();
    server.control(&["restart", "-m", "fast", "-w"]);
    server.configure(&sandbox, "user = 'low'\nos-user = 'postgres'\n");
    let words = ["permission denied for table t", "be granted pg_read_all_data"];
    check_failure(&sandbox, &["snapshot", UNIT], &words);
    check_nothing_is_registered(&sandbox);
}

#[test]
fn a_role_that_a_snapshot_needs_is_asked_for_before_anything_happens() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 5);
    server.sql("app", "CREATE ROLE gone; ALTER TABLE t OWNER TO gone");
    sandbox.succeed(&["snapshot", UNIT]);
    server.sql("app", "ALTER TABLE t OWNER TO postgres; DROP ROLE gone");
    let words = ["the roles \"gone\"; create or install it"];
    check_failure(&sandbox, &["restore", UNIT, "--yes"], &words);
    assert_eq!((count(&server, "app").as_str(), server.databases().as_str()), ("5", "app"));
}

#[test]
fn after_a_kill_in_a_restore_the_next_command_cleans_up() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 200_000);
    sandbox.succeed(&["snapshot", UNIT]);
    server.sql("app", "DELETE FROM t WHERE id > 7");
    let mut command = sandbox.command(&["restore", UNIT, "--yes"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("staging", || server.databases().contains(".dysno-new-"));
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(count(&server, "app"), "7");

    let ran = sandbox.run(&["gc"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.contains("interrupted restore"), "{}", ran.stderr);
    assert_eq!((count(&server, "app").as_str(), server.databases().as_str()), ("7", "app"));
    sandbox.succeed(&["restore", &format!("{UNIT}@1"), "--yes"]);
    assert_eq!(count(&server, "app"), "200000");
}

#[test]
fn an_interrupted_restore_leaves_the_server_as_it_was() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 200_000);
    sandbox.succeed(&["snapshot", UNIT]);
    let mut command = sandbox.command(&["restore", UNIT, "--yes"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("staging", || server.databases().contains(".dysno-new-"));
    let start = Instant::now();
    signal(&child, Signal::INT);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(start.elapsed() < WAIT_MAX);
    assert_eq!((count(&server, "app").as_str(), server.databases().as_str()), ("200000", "app"));
}

#[test]
fn a_full_disk_registers_no_database() {
    let sandbox = Sandbox::new();
    let server = app(&sandbox, 100_000);
    let _disk = SmallDisk::mount(sandbox.state_dir(), "4m");
    check_failure(&sandbox, &["snapshot", UNIT], &["No space left on device", "make room"]);
    check_nothing_is_registered(&sandbox);
    assert_eq!(count(&server, "app"), "100000");
}
