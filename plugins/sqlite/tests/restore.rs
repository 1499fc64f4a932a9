//! What a restore does to a database and to those who use it.

use rusqlite::Connection;

use super::capture::crash;
use super::*;
use crate::conformance::Subject;
use crate::tree::Digest;

#[test]
fn a_database_in_use_with_a_log_is_not_exchanged() {
    let unit = Unit::filled(Journal::Wal);
    let tape = snapshot(&unit);
    let connection = unit.connect();
    connection.execute_batch("DELETE FROM account WHERE id > 5").unwrap();
    let swap = stage(&unit, &tape).unwrap();
    let error = unit.open().swap(&swap).unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(unit.count(), 5);
    connection.execute_batch("DELETE FROM account WHERE id > 4").unwrap();
    drop(connection);
    unit.open().swap(&swap).unwrap();
    assert_eq!(unit.count(), 2000);
    unit.open().unswap(&swap).unwrap();
    assert_eq!(unit.count(), 4);
}

#[test]
fn a_database_in_a_transaction_is_not_exchanged() {
    let unit = Unit::filled(Journal::Rollback);
    let tape = snapshot(&unit);
    let connection = unit.connect();
    connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM account").unwrap();
    let swap = stage(&unit, &tape).unwrap();
    assert!(matches!(unit.open().swap(&swap), Err(Error::Refused { .. })));
    connection.execute_batch("COMMIT").unwrap();
    assert_eq!(unit.count(), 0);
    assert_eq!(unit.open().standing(&swap).unwrap(), Standing::Before);
}

#[test]
fn a_process_that_keeps_the_old_file_open_cannot_harm_the_new_one() {
    let unit = Unit::filled(Journal::Rollback);
    let tape = snapshot(&unit);
    let idle = unit.connect();
    idle.execute_batch("DELETE FROM account WHERE id > 5").unwrap();
    let swap = stage(&unit, &tape).unwrap();
    unit.open().swap(&swap).unwrap();
    let n: i64 = idle.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 5, "it reads what was displaced");
    assert!(idle.execute_batch("DELETE FROM account").is_err(), "it cannot write");
    drop(idle);
    assert_eq!(unit.count(), 2000);
    assert_eq!(snapshot(&unit).identity(), tape.identity());
}

#[test]
fn a_displaced_database_is_complete_without_its_log() {
    let unit = Unit::new(Journal::Wal);
    unit.open().activate(None).unwrap();
    unit.fill().unwrap();
    let tape = snapshot(&unit);
    fs::remove_file(unit.live()).unwrap();
    crash(&unit, |connection| {
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0; DELETE FROM account WHERE id > 10")
    });
    let swap = stage(&unit, &tape).unwrap();
    unit.open().swap(&swap).unwrap();
    assert_eq!(unit.count(), 2000);
    let displaced = Connection::open(&swap.kept_at).unwrap();
    let n: i64 = displaced.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 10);
    drop(displaced);
    unit.open().unswap(&swap).unwrap();
    assert_eq!(unit.count(), 10);
}

#[test]
fn a_hot_journal_is_played_back_before_the_exchange() {
    let unit = Unit::new(Journal::Rollback);
    unit.open();
    crash(&unit, |connection| {
        connection.execute_batch("PRAGMA cache_size = 2; BEGIN; DELETE FROM account")
    });
    let other = Unit::filled(Journal::Rollback);
    other.execute("DELETE FROM account WHERE id > 3");
    let swap = stage(&unit, &snapshot(&other)).unwrap();
    unit.open().swap(&swap).unwrap();
    assert_eq!(unit.count(), 3);
    assert!(!unit.beside("-journal").exists());
    unit.open().unswap(&swap).unwrap();
    assert_eq!(unit.count(), 2000);
}

#[test]
fn the_log_of_a_database_that_is_gone_does_not_reach_the_restored_one() {
    let unit = Unit::new(Journal::Wal);
    unit.open();
    crash(&unit, |connection| {
        connection.execute_batch("PRAGMA wal_autocheckpoint = 0; DELETE FROM account WHERE id > 10")
    });
    fs::remove_file(unit.live()).unwrap();
    let other = Unit::filled(Journal::Wal);
    let tape = snapshot(&other);
    let swap = stage(&unit, &tape).unwrap();
    unit.open().swap(&swap).unwrap();
    assert_eq!(snapshot(&unit).identity(), tape.identity());
    assert!(fs::read_dir(unit.root()).unwrap().count() > 1, "the log is kept until it is released");
    unit.open().release(&a_tag()).unwrap();
    assert!(unit.left_behind().is_empty());
}

#[test]
fn what_lies_beside_an_unreadable_database_goes_and_comes_back_with_it() {
    let unit = Unit::filled(Journal::Wal);
    let tape = snapshot(&unit);
    unit.wreck().unwrap();
    let wreck = (fs::read(unit.live()).unwrap(), fs::read(unit.beside("-wal")).unwrap());
    let swap = stage(&unit, &tape).unwrap();
    unit.open().swap(&swap).unwrap();
    assert_eq!(unit.count(), 2000);
    unit.open().unswap(&swap).unwrap();
    let back = (fs::read(unit.live()).unwrap(), fs::read(unit.beside("-wal")).unwrap());
    assert_eq!(back, wreck);
}

/// Stages what must be refused, and checks that nothing is left.
fn check_refused(spoil: impl FnOnce(&mut Tape)) -> Error {
    let unit = Unit::filled(Journal::Rollback);
    let mut tape = snapshot(&unit);
    let before = unit.describe().unwrap();
    spoil(&mut tape);
    let error = stage(&unit, &tape).unwrap_err();
    assert_eq!(unit.describe().unwrap(), before);
    assert!(unit.left_behind().is_empty());
    error
}

fn put(tape: &mut Tape, path: &str, bytes: &[u8]) {
    let content = tape.insert_content(bytes);
    let path = TreePath::parse(path).unwrap();
    tape.insert(Entry { path, node: Node::File(content), metadata: None });
}

#[test]
fn what_is_no_database_is_not_restored() {
    let error = check_refused(|tape| put(tape, ENTRY, b"no database"));
    assert!(matches!(error, Error::Verification { .. }), "{error}");
}

#[test]
fn a_damaged_database_is_not_restored() {
    let error = check_refused(|tape| {
        let mut bytes = tape.bytes(ENTRY).unwrap().to_vec();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0xA5);
        put(tape, ENTRY, &bytes);
    });
    assert!(matches!(error, Error::Verification { .. } | Error::Database { .. }), "{error}");
}

#[test]
fn a_database_that_ends_within_a_page_is_not_restored() {
    check_refused(|tape| {
        let bytes = tape.bytes(ENTRY).unwrap().to_vec();
        put(tape, ENTRY, &bytes[..bytes.len() - 7]);
    });
}

#[test]
fn a_snapshot_of_something_else_is_not_restored() {
    check_refused(|tape| put(tape, "second", b""));
    check_refused(|tape| tape.set_attribute("mode", "0o644"));
    let error = check_refused(|tape| tape.set_attribute("owner", "nobody knows"));
    assert!(matches!(error, Error::UnknownOwner { .. }), "{error}");
    let missing = Content { size_bytes: 5, digest: Digest::of(b"never written") };
    check_refused(|tape| {
        let node = Node::File(missing);
        tape.insert(Entry { path: entry_path(), node, metadata: None });
    });
}
