//! What a snapshot of a database holds.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;

use super::*;
use crate::conformance::Subject;

/// Writes the bytes of a snapshot to a file and opens it.
fn materialise(unit: &Unit, tape: &Tape) -> Connection {
    let path = unit.outside("materialised");
    let _ = fs::remove_file(&path);
    fs::write(&path, tape.bytes(ENTRY).unwrap()).unwrap();
    connection::open_at_rest(&path, &Interrupt::default()).unwrap()
}

fn sum(connection: &Connection) -> i64 {
    connection.query_row("SELECT sum(cents) FROM account", [], |row| row.get(0)).unwrap()
}

fn consistent_under_load(journal: Journal) {
    let unit = Unit::filled(journal);
    let expected = sum(&unit.connect());
    let (stop, n_writes) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
    std::thread::scope(|scope| {
        // A failed assertion must end the writer too, or the test would never end.
        let _stop = Raise(&stop);
        let writer = scope.spawn(|| {
            let connection = unit.connect();
            // Locks the file for shorter times, so that the reader finds its turn on a slow disk too.
            connection.execute_batch("PRAGMA synchronous = OFF").unwrap();
            let mut i = 0;
            while !stop.load(Ordering::Relaxed) {
                i += 1;
                // Money moves and pages grow; the sum stays.
                let (from, to) = (i * 7 % 2000 + 1, i * 13 % 2000 + 1);
                let done = connection.execute_batch(&format!(
                    "BEGIN IMMEDIATE;
                     UPDATE account SET cents = cents - 1, blob = zeroblob({from}) WHERE id = {from};
                     UPDATE account SET cents = cents + 1 WHERE id = {to};
                     COMMIT;"
                ));
                if done.is_ok() {
                    n_writes.fetch_add(1, Ordering::Relaxed);
                } else if !connection.is_autocommit() {
                    let _ = connection.execute_batch("ROLLBACK");
                }
            }
        });
        let mut seen = 0;
        for _ in 0..10 {
            while n_writes.load(Ordering::Relaxed) < seen + 5 {
                assert!(!writer.is_finished(), "the writer died");
                std::thread::yield_now();
            }
            seen = n_writes.load(Ordering::Relaxed);
            let tape = snapshot(&unit);
            let copy = materialise(&unit, &tape);
            assert_eq!(sum(&copy), expected);
            let text: String =
                copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
            assert_eq!(text, "ok");
        }
    });
}

/// Raises a flag when it goes out of scope.
struct Raise<'a>(&'a AtomicBool);

impl Drop for Raise<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_snapshot_is_consistent_while_others_write_with_a_log() {
    consistent_under_load(Journal::Wal);
}

#[test]
fn a_snapshot_is_consistent_while_others_write_with_a_journal() {
    consistent_under_load(Journal::Rollback);
}

#[test]
fn checkpoints_and_restarts_do_not_show() {
    let unit = Unit::filled(Journal::Wal);
    let connection = unit.connect();
    connection
        .execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE account SET cents = 5")
        .unwrap();
    assert!(unit.beside("-wal").metadata().unwrap().len() > 0);
    let in_log = snapshot(&unit);
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    let in_file = snapshot(&unit);
    drop(connection);
    assert!(!unit.beside("-wal").exists());
    let closed = snapshot(&unit);
    assert_eq!(in_log.identity(), in_file.identity());
    assert_eq!(in_log.identity(), closed.identity());
}

#[test]
fn a_write_that_was_rolled_back_does_not_show() {
    let unit = Unit::filled(Journal::Rollback);
    let before = snapshot(&unit);
    unit.execute("BEGIN; DELETE FROM account; ROLLBACK");
    assert_eq!(snapshot(&unit).identity(), before.identity());
}

#[test]
fn what_a_crashed_service_left_in_its_log_is_part_of_the_snapshot() {
    let unit = Unit::new(Journal::Wal);
    unit.open();
    crash(&unit, |connection| {
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0; DELETE FROM account WHERE id > 10")
    });
    assert!(unit.beside("-wal").exists());
    let copy = materialise(&unit, &snapshot(&unit));
    let n: i64 = copy.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 10);
}

#[test]
fn what_a_crashed_service_did_not_commit_is_not() {
    let unit = Unit::new(Journal::Rollback);
    unit.open();
    crash(&unit, |connection| {
        // A tiny cache forces changed pages into the file before the commit.
        connection.execute_batch(
            "PRAGMA cache_size = 2; BEGIN; UPDATE account SET cents = 0; DELETE FROM account WHERE id > 10",
        )
    });
    assert!(unit.beside("-journal").metadata().unwrap().len() > 0);
    let copy = materialise(&unit, &snapshot(&unit));
    assert_eq!(sum(&copy), 200_000);
}

/// Leaves at the unit's place what the disk holds when a service dies after `act`.
pub(super) fn crash(unit: &Unit, act: impl FnOnce(&Connection) -> rusqlite::Result<()>) {
    let elsewhere = unit.outside("crashed.db");
    let connection = Connection::open(&elsewhere).unwrap();
    subject::fill(&connection, unit.journal).unwrap();
    act(&connection).unwrap();
    for suffix in ["", "-wal", "-journal"] {
        let from = unit.outside(&format!("crashed.db{suffix}"));
        if from.exists() {
            fs::copy(from, unit.beside(suffix)).unwrap();
        }
    }
}

#[test]
fn pages_are_cut_by_their_size_and_the_header_is_uniform() {
    for size in [512, 65536] {
        let unit = Unit::new(Journal::Rollback);
        unit.open().activate(None).unwrap();
        unit.execute(&format!("PRAGMA page_size = {size}; VACUUM"));
        unit.fill().unwrap();
        let tape = snapshot(&unit);
        let bytes = tape.bytes(ENTRY).unwrap();
        let header = Header::parse(bytes).unwrap();
        assert_eq!(header.page_size_bytes(), size);
        assert_eq!(bytes.len() as u64, unit.live().metadata().unwrap().len());
        assert_eq!(header.normal()[..], bytes[..header::BYTES]);
    }
}

#[test]
fn an_empty_file_stays_an_empty_file() {
    let unit = Unit::new(Journal::Rollback);
    unit.open().activate(None).unwrap();
    assert_eq!(unit.live().metadata().unwrap().len(), 0);
    let tape = snapshot(&unit);
    assert_eq!(tape.bytes(ENTRY).unwrap(), b"");
    unit.fill().unwrap();
    restore(&unit, &tape);
    assert_eq!(unit.live().metadata().unwrap().len(), 0);
}

#[test]
fn mode_and_owner_are_part_of_the_snapshot() {
    let unit = Unit::filled(Journal::Rollback);
    fs::set_permissions(unit.live(), fs::Permissions::from_mode(0o640)).unwrap();
    std::os::unix::fs::chown(unit.live(), Some(1), Some(4_000_000)).unwrap();
    let tape = snapshot(&unit);
    let attributes: Vec<_> =
        tape.attributes().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(attributes, [("group-id", "4000000"), ("mode", "0640"), ("owner", "daemon")]);
    let before = unit.describe().unwrap();
    unit.open().collect_garbage().unwrap();
    restore(&unit, &tape);
    assert_eq!(unit.describe().unwrap(), before);
}

#[test]
fn what_is_no_database_is_an_error() {
    let unit = Unit::filled(Journal::Rollback);
    unit.wreck().unwrap();
    let result = unit.open().snapshot(&Recorder::new(Profile::Files1), &SnapshotOptions::default());
    assert!(matches!(result, Err(Error::Database { .. })));
    assert!(!unit.left_behind().iter().any(|name| name.starts_with("dysno-")));
}

#[test]
fn a_damaged_database_is_an_error() {
    let unit = Unit::filled(Journal::Rollback);
    let mut bytes = fs::read(unit.live()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 4096].fill(0xA5);
    fs::write(unit.live(), bytes).unwrap();
    let result = unit.open().snapshot(&Recorder::new(Profile::Files1), &SnapshotOptions::default());
    assert!(result.is_err());
    assert!(unit.left_behind().is_empty());
}

#[test]
fn a_database_that_cannot_be_checked_is_captured_with_a_warning() {
    let unit = Unit::filled(Journal::Rollback);
    // As an application leaves it that brings a collation of its own.
    unit.execute(
        "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX by_owner ON account (owner COLLATE own)'
         WHERE name = 'by_owner';",
    );
    let tape = snapshot(&unit);
    assert!(tape.warnings()[0].contains("cannot be checked"), "{:?}", tape.warnings());
    restore(&unit, &tape);
}

#[test]
fn a_database_that_somebody_locks_for_long_is_refused() {
    let unit = Unit::filled(Journal::Rollback);
    let connection = unit.connect();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let recorder = Recorder::new(Profile::Files1);
    let error = unit.open().snapshot(&recorder, &SnapshotOptions::default()).unwrap_err();
    assert!(error.to_string().contains("another process has used it"), "{error}");
}
