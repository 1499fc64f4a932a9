//! How commands end: each exit code once, and what is true of the live state then.

use std::fs;

use dysno::store::Lock;
use expect_test::expect;

use crate::support::sandbox::Sandbox;

#[test]
fn a_failure_ends_with_1_and_leaves_no_half_file() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check(
        &["export", &unit, "-o", "missing/b"],
        expect![[r#"
        dysno: cannot open missing
          because: No such file or directory (os error 2)
        [exit 1]
    "#]],
    );
    let bundle = sandbox.write("b", "the old bundle");
    let pack = sandbox.only_pack();
    fs::remove_file(&pack).unwrap();
    assert_eq!(sandbox.run(&["export", &unit, "-o", "b"]).code, Some(4));
    assert_eq!(fs::read(bundle).unwrap(), b"the old bundle");
    let left = crate::support::sandbox::entries(&sandbox.path(""));
    assert!(!left.iter().any(|path| path.to_string_lossy().contains(".dysno-export")), "{left:?}");
}

#[test]
fn what_is_no_bundle_ends_with_1() {
    let sandbox = Sandbox::new();
    sandbox.write("b", "this is no bundle");
    let ran = sandbox.run(&["import", "b"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("dysno: cannot "), "{}", ran.stderr);
    assert_eq!(sandbox.succeed(&["generations"]), "");
}

#[test]
fn a_cut_off_bundle_ends_with_1_and_imports_nothing() {
    let (from, to) = (Sandbox::new(), Sandbox::new());
    let unit = from.www();
    from.succeed(&["snapshot", &unit]);
    from.succeed(&["export", &unit, "-o", "b"]);
    let bundle = fs::read(from.path("b")).unwrap();
    for length in [bundle.len() / 3, bundle.len() / 2, bundle.len() - 1024 - 512] {
        let path = to.write("b", &bundle[..length]);
        let ran = to.run(&["import", path.to_str().unwrap()]);
        assert_eq!(ran.code, Some(1), "{length}: {}", ran.stderr);
        assert_eq!(to.succeed(&["generations"]), "", "{length}");
    }
}

#[test]
fn a_server_that_cannot_be_reached_ends_with_1() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "dysno.toml",
        format!("[container.gone]\nplugin = \"postgres\"\nhost = {:?}\n", sandbox.text("nowhere")),
    );
    let ran = sandbox.run(&["snapshot", "gone:main"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  because: "), "{}", ran.stderr);
}

#[test]
fn warnings_end_with_3() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    // A record that cannot be read is told of by every command that opens a session.
    let record = sandbox.state_dir().join("store/not-a-root");
    fs::write(record, "nonsense").unwrap();
    let ran = sandbox.run(&["snapshot", &unit]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("warning: the store is damaged: "), "{}", ran.stderr);
    assert!(String::from_utf8(ran.stdout).unwrap().contains("nothing changed"));
}

#[test]
fn damage_ends_with_4_and_names_the_snapshots() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    let pack = sandbox.only_pack();
    let mut bytes = fs::read(&pack).unwrap();
    for byte in &mut bytes[40..80] {
        *byte ^= 0xff;
    }
    fs::remove_file(&pack).unwrap();
    fs::write(&pack, bytes).unwrap();
    sandbox.write("www/index.html", "live\n");
    let ran = sandbox.run(&["restore", &unit, "-y", "--no-safety-snapshot"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!(", {unit}@1\n")), "{}", ran.stderr);
    assert!(ran.stderr.contains("\n  affects: snapshot "), "{}", ran.stderr);
    assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"live\n");

    let (document, code) = sandbox.json(&["verify", "--read-data"]);
    assert_eq!(code, Some(4));
    let affected = &document["problems"][0]["affects"][0];
    assert_eq!(affected.as_str().unwrap().len(), 64);
    assert_eq!(document["error"]["exit_code"], 4);
    let (document, _) = sandbox.json(&["cat", &unit, "index.html"]);
    assert_eq!(document["error"]["affects"][0], *affected);
}

#[test]
fn a_restore_that_nobody_can_finish_ends_with_5() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.succeed(&["restore", &unit, "-y"]);
    // As if it had been cut short in the swap, by a version that did not say what it was going to exchange.
    let cut_short = "UPDATE restores SET phase = 'swapping', swap = NULL";
    sandbox.journal().execute(cut_short, []).unwrap();
    let ran = sandbox.run(&["restore", &unit, "-y"]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"hello\n");
}

#[test]
fn a_state_that_was_made_anew_after_an_interrupted_restore_is_what_counts() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.succeed(&["restore", &unit, "-y"]);
    sandbox.journal().execute("UPDATE restores SET phase = 'swapping'", []).unwrap();
    fs::rename(sandbox.path("www"), sandbox.path("moved")).unwrap();
    sandbox.write("www/index.html", "foreign\n");
    let beside = crate::support::sandbox::entries(&sandbox.path(""));
    let ran = sandbox.run(&["snapshot", &unit]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("made anew since"), "{}", ran.stderr);
    assert_eq!(crate::support::sandbox::entries(&sandbox.path("")), beside, "nothing is removed");
    assert_eq!(sandbox.succeed(&["cat", &unit, "index.html"]), "foreign\n");
    sandbox.succeed(&["snapshot", &unit]);
}

#[test]
fn a_lock_that_somebody_holds_ends_with_6() {
    let sandbox = Sandbox::new();
    sandbox.succeed(&["units"]);
    let lock = Lock::exclusive(&sandbox.state_dir().join("run/store.lock"), "a test").unwrap();
    let ran = sandbox.run(&["gc"]);
    drop(lock);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stderr.contains("(a test) holds it"), "{}", ran.stderr);
    sandbox.succeed(&["gc"]);
}
