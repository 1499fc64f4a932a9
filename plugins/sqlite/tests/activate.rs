//! How a database begins and ends.

use rusqlite::Connection;

use super::*;
use crate::conformance::Subject;

fn rows(unit: &Unit) -> Vec<String> {
    let connection = unit.connect();
    let mut statement = connection.prepare("SELECT x FROM t ORDER BY rowid").unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

fn initial_directory(unit: &Unit, files: &[(&str, &str)]) -> PathBuf {
    let path = unit.outside("initial");
    fs::create_dir_all(&path).unwrap();
    for (name, text) in files {
        fs::write(path.join(name), text).unwrap();
    }
    path
}

#[test]
fn the_files_of_a_directory_run_in_the_order_of_their_names() {
    let unit = Unit::new(Journal::Rollback);
    let files = [
        ("2.sql", "INSERT INTO t VALUES ('second')"),
        ("1.sql", "CREATE TABLE t (x); INSERT INTO t VALUES ('first');"),
        ("3.txt", "this is no SQL"),
        ("3.sql", "BEGIN; INSERT INTO t VALUES ('third'); COMMIT; PRAGMA journal_mode = WAL"),
    ];
    let initial = initial_directory(&unit, &files);
    unit.open().activate(Some(&initial)).unwrap();
    assert!(unit.left_behind().is_empty(), "{:?}", unit.left_behind());
    assert_eq!(rows(&unit), ["first", "second", "third"]);
}

#[test]
fn the_first_file_that_fails_is_named_and_nothing_is_left() {
    let unit = Unit::new(Journal::Rollback);
    let bad = ["INSERT INTO nowhere VALUES (1)", "BEGIN; CREATE TABLE u (x)", "syntax error"];
    for text in bad {
        let files = [("1.sql", "CREATE TABLE t (x)"), ("2.sql", text)];
        let initial = initial_directory(&unit, &files);
        let error = unit.open().activate(Some(&initial)).unwrap_err();
        let Error::Initial { path, .. } = error else { panic!("{error}") };
        assert_eq!(path, initial.join("2.sql"));
        assert!(!unit.live().exists());
        assert!(unit.left_behind().is_empty());
    }
}

#[test]
fn a_database_file_is_copied() {
    let unit = Unit::new(Journal::Rollback);
    for mode in ["DELETE", "WAL"] {
        let initial = unit.outside(&format!("100%? {mode}.db"));
        let connection = Connection::open(&initial).unwrap();
        let text = format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (x); INSERT INTO t VALUES ('{mode}')"
        );
        connection.execute_batch(&text).unwrap();
        drop(connection);
        unit.open().activate(Some(&initial)).unwrap();
        assert_eq!(rows(&unit), [mode]);
        unit.open().collect_garbage().unwrap();
        assert!(unit.left_behind().is_empty());
    }
}

#[test]
fn what_cannot_be_initial_state_is_refused() {
    let unit = Unit::new(Journal::Rollback);
    let empty = unit.outside("empty");
    fs::create_dir(&empty).unwrap();
    let text = unit.outside("text.txt");
    fs::write(&text, "CREATE TABLE t (x)").unwrap();
    let damaged = unit.outside("damaged.db");
    fs::write(&damaged, [&header::MAGIC[..], &[7; 8000]].concat()).unwrap();
    for initial in [empty, text, damaged] {
        let error = unit.open().activate(Some(&initial)).unwrap_err();
        assert!(matches!(error, Error::Initial { .. }), "{error}");
        assert!(!unit.live().exists());
        assert!(unit.left_behind().is_empty());
    }
}

#[test]
fn a_database_is_not_made_beside_the_log_of_one_that_is_gone() {
    let unit = Unit::new(Journal::Wal);
    let plugin = unit.open();
    fs::write(unit.beside("-wal"), "what is left").unwrap();
    let error = plugin.activate(None).unwrap_err();
    assert!(error.to_string().contains("app.db-wal is left of a database"), "{error}");
    assert!(unit.beside("-wal").exists());
    plugin.collect_garbage().unwrap();
    plugin.activate(None).unwrap();
}

#[test]
fn destroying_that_a_crash_stopped_is_finished() {
    let unit = Unit::filled(Journal::Wal);
    // As after a crash between the rename and the removal.
    fs::rename(unit.live(), unit.root().join(".app.db.dysno-garbage")).unwrap();
    fs::write(unit.beside("-wal"), "its log").unwrap();
    unit.open().activate(None).unwrap();
    assert!(unit.left_behind().is_empty());
    assert_eq!(unit.live().metadata().unwrap().len(), 0);
}

#[test]
fn a_database_in_use_is_not_destroyed() {
    let unit = Unit::filled(Journal::Wal);
    let connection = unit.connect();
    let n: i64 =
        connection.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap();
    assert_eq!(n, 2000);
    assert!(matches!(unit.open().collect_garbage(), Err(Error::Refused { .. })));
    assert_eq!(unit.count(), 2000);
}

#[test]
fn a_container_lists_its_databases() {
    let unit = Unit::filled(Journal::Rollback);
    fs::write(unit.root().join("notes.txt"), "no database".repeat(20)).unwrap();
    fs::copy(unit.live(), unit.root().join("second.db")).unwrap();
    stage(&unit, &snapshot(&unit)).unwrap();
    let mut settings = toml::Table::new();
    settings.insert("root".to_owned(), unit.root().display().to_string().into());
    let container = (KIND.open)(&settings, &Context::default()).unwrap();
    assert_eq!(container.probe().unwrap().components, ["app.db", "second.db"]);
    settings.insert("pth".to_owned(), "x".into());
    assert!(matches!((KIND.open)(&settings, &Context::default()), Err(Error::Settings { .. })));
}

#[test]
fn a_shell_finds_the_database() {
    let unit = Unit::filled(Journal::Rollback);
    let environment = unit.open().shell().unwrap();
    assert_eq!(environment.directory, Some(unit.root()));
    assert_eq!(environment.variables[0].1, unit.live().display().to_string());
    let probe = unit.plugin(&Context::default()).probe().unwrap();
    assert_eq!(probe.version.unwrap(), rusqlite::version());
}
