//! What each command says to people.

use std::fs;

use expect_test::expect;

use crate::support::sandbox::Sandbox;

#[test]
fn a_unit_goes_in_and_out_of_service() {
    let sandbox = Sandbox::new();
    let unit = format!("directory:{}", sandbox.text("new"));
    sandbox.check(
        &["activate", &unit],
        expect![[r#"
        directory:[dir]/new: active, with new state
    "#]],
    );
    assert!(sandbox.path("new").is_dir());
    sandbox.check(
        &["activate", &unit],
        expect![[r#"
        directory:[dir]/new: was active already
    "#]],
    );
    sandbox.check(
        &["deactivate", &unit],
        expect![[r#"
        directory:[dir]/new: deactivated; its state is still there
    "#]],
    );
    sandbox.check(
        &["deactivate", &unit],
        expect![[r#"
        directory:[dir]/new: was not active
    "#]],
    );
    assert!(sandbox.path("new").is_dir());
    sandbox.check(
        &["purge", &unit, "--yes"],
        expect![[r#"
        directory:[dir]/new: purged; its last state is generation 1, snapshot [id]
    "#]],
    );
    assert!(!sandbox.path("new").exists());
    sandbox.check(
        &["purge", "--all"],
        expect![[r#"
        there is nothing to purge
    "#]],
    );
}

#[test]
fn a_snapshot_is_a_generation_where_something_changed() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.check(
        &["snapshot", &unit, "--reason", "first"],
        expect![[r#"
        directory:[dir]/www: generation 1, snapshot [id], 13 B, [bytes] added, [seconds]
    "#]],
    );
    sandbox.check(
        &["snapshot", &unit],
        expect![[r#"
        directory:[dir]/www: nothing changed since generation 1, snapshot [id], [seconds]
    "#]],
    );
    sandbox.write("www/index.html", "other\n");
    sandbox.check(
        &["snapshot", &unit, &unit],
        expect![[r#"
        directory:[dir]/www: generation 2, snapshot [id], 13 B, [bytes] added, [seconds]
    "#]],
    );
    sandbox.check(
        &["generations", &unit],
        expect![[r#"
        GENERATION  TIME  KIND  SIZE  SNAPSHOT  PINS  REASON
        directory:[dir]/www@2  [time]  manual  13 B  [id]  -
        directory:[dir]/www@1  [time]  manual  13 B  [id]  -  first
    "#]],
    );
}

#[test]
fn a_restore_brings_back_what_was_and_undo_what_it_displaced() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/index.html", "changed\n");
    sandbox.check(
        &["restore", &format!("{unit}@1"), "-y"],
        expect![[r#"
        directory:[dir]/www: restored generation 1, snapshot [id], [seconds]
        what was there before is generation 2
        it is also kept as [dir]/.www.dysno-[tag] until the next restore or gc
        to go back: dysno restore --undo directory:[dir]/www
    "#]],
    );
    assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"hello\n");
    sandbox.check(
        &["restore", "--undo", &unit, "-y"],
        expect![[r#"
        directory:[dir]/www: the displaced state is back, [seconds]
        what was there before is generation 3
    "#]],
    );
    assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"changed\n");
}

#[test]
fn a_snapshot_can_become_another_unit() {
    let sandbox = Sandbox::new();
    let unit = sandbox.database();
    sandbox.succeed(&["snapshot", &unit]);
    let into = format!("sqlite:{}", sandbox.text("copy.db"));
    sandbox.check(
        &["restore", &unit, "--into", &into, "-y"],
        expect![[r#"
        sqlite:[dir]/copy.db: restored generation 1, snapshot [id], [seconds]
    "#]],
    );
    let connection = rusqlite::Connection::open(sandbox.path("copy.db")).unwrap();
    assert_eq!(connection.query_row("SELECT a FROM t", [], |row| row.get(0)), Ok(1));
}

#[test]
fn a_group_is_captured_together() {
    let sandbox = Sandbox::new();
    let (www, database) = (sandbox.www(), sandbox.database());
    sandbox.write("dysno.toml", format!("[group.shop]\nunits = [{www:?}, {database:?}]\n"));
    sandbox.check(
        &["snapshot", "--group", "shop"],
        expect![[r#"
            directory:[dir]/www: generation 1, snapshot [id], 13 B, [bytes] added, [seconds]
            sqlite:[dir]/app.db: generation 1, snapshot [id], 8.0 KiB, [bytes] added, [seconds]
        "#]],
    );
}

#[test]
fn deploy_follows_the_configuration() {
    let sandbox = Sandbox::new();
    let (a, b) = (sandbox.text("a"), sandbox.text("b"));
    sandbox.write(
        "dysno.toml",
        format!(
            "[unit.\"directory:{a}\"]\nrequires = [\"directory:{b}\"]\n[unit.\"directory:{b}\"]\n"
        ),
    );
    sandbox.check(
        &["deploy"],
        expect![[r#"
        directory:[dir]/b: active, with new state
        directory:[dir]/a: active, with new state
        0 units as before
    "#]],
    );
    sandbox.write("dysno.toml", format!("[unit.\"directory:{b}\"]\n"));
    sandbox.check(
        &["deploy"],
        expect![[r#"
        directory:[dir]/a: deactivated, for it is no longer configured; its state is still there
        1 unit as before
    "#]],
    );
    sandbox.check(
        &["units"],
        expect![[r#"
        UNIT  STATE  CONFIGURED  LATEST  TIME
        directory:[dir]/a  garbage  no  -  -
        directory:[dir]/b  active  yes  -  -
    "#]],
    );
    sandbox.check(
        &["snapshot", "--all"],
        expect![[r#"
        directory:[dir]/b: generation 1, snapshot [id], 0 B, [bytes] added, [seconds]
    "#]],
    );
}

#[test]
fn a_shell_has_the_unit_in_its_environment_and_hands_on_its_status() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.check(
        &["shell", &unit, "-c", "pwd; echo $DYSNO_UNIT; exit 7"],
        expect![[r#"
        [dir]/www
        directory:[dir]/www
        [exit 7]
    "#]],
    );
}

#[test]
fn status_tells_of_displaced_and_interrupted_restores() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.succeed(&["restore", &unit, "-y", "-q"]);
    let ran = sandbox.run(&["status", &unit]);
    let transcript = sandbox.transcript(&ran);
    assert!(transcript.contains("directory:[dir]/www: what the last restore displaced is kept as"));
    sandbox.journal().execute("UPDATE restores SET phase = 'staging'", []).unwrap();
    let ran = sandbox.run(&["status"]);
    assert!(sandbox.transcript(&ran).contains("a restore was interrupted"));
}

#[test]
fn one_looks_into_snapshots_without_restoring() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check(
        &["show", &unit],
        expect![[r#"
        snapshot: [id]
        unit:  directory:[dir]/www
        plugin:  directory
        size:  13 B in 5 entries
        added: [bytes]
        files:  2
          img/logo, 7 B
          index.html, 6 B
    "#]],
    );
    sandbox.check(
        &["ls", &unit],
        expect![[r#"
        .
        img
        img/logo
        index.html
        start
    "#]],
    );
    sandbox.check(
        &["ls", &unit, "img/"],
        expect![[r#"
        img
        img/logo
    "#]],
    );
    sandbox.check(
        &["cat", &unit, "/img/logo"],
        expect![[r#"
        a logo
    "#]],
    );
    let long = sandbox.succeed(&["ls", "-l", &unit]);
    let modes: Vec<_> = long.lines().map(|line| &line[..10]).collect();
    assert_eq!(modes, ["drwxr-xr-x", "drwxr-xr-x", "-rw-r--r--", "-rw-r--r--", "lrwxrwxrwx"]);
    assert!(long.ends_with("start -> index.html\n"), "{long}");
    sandbox.write("www/img/logo", "a longer logo\n");
    sandbox.write("www/new", "");
    fs::remove_file(sandbox.path("www/start")).unwrap();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check(
        &["diff", &format!("{unit}@1"), &format!("{unit}@latest")],
        expect![[r#"
        m .
        ~ img/logo, 7 B to 14 B
        + new, 0 B
        - start
    "#]],
    );
}

#[test]
fn a_pin_keeps_what_gc_would_forget() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    for content in ["a", "b", "c"] {
        sandbox.write("www/index.html", content);
        sandbox.succeed(&["snapshot", &unit]);
    }
    sandbox.check(
        &["pin", &format!("{unit}@1"), "release"],
        expect![[r#"
        snapshot [id] is pinned as release
    "#]],
    );
    sandbox.check(
        &["gc", "--keep-last", "1", "--dry-run"],
        expect![[r#"
        GENERATION  TIME  WOULD BE  BECAUSE
        directory:[dir]/www@3  [time]  kept  it is the current one; last 1
        directory:[dir]/www@2  [time]  forgotten  no rule keeps it
        directory:[dir]/www@1  [time]  kept  it is pinned
        would forget 1 generation, delete 1 snapshot and free at least [bytes]
    "#]],
    );
    sandbox.check(
        &["gc", "--older-than", "30d"],
        expect![[r#"
        forgot 0 generations, kept 3, deleted 0 snapshots, freed [bytes]
    "#]],
    );
    sandbox.check(
        &["gc", "--keep-last", "1"],
        expect![[r#"
        forgot 1 generation, kept 2, deleted 1 snapshot, freed [bytes]
    "#]],
    );
    sandbox.check(
        &["generations"],
        expect![[r#"
        GENERATION  TIME  KIND  SIZE  SNAPSHOT  PINS  REASON
        directory:[dir]/www@3  [time]  manual  8 B  [id]  -
        directory:[dir]/www@1  [time]  manual  8 B  [id]  release
    "#]],
    );
    sandbox.check(
        &["unpin", "release"],
        expect![[r#"
        release pins nothing any more
    "#]],
    );
    sandbox.check(
        &["verify", "--read-data"],
        expect![[r#"
        2 snapshots checked, [bytes] read, no problems
    "#]],
    );
    sandbox.check(
        &["verify", &unit],
        expect![[r#"
        1 snapshot checked, structure only, no problems
    "#]],
    );
}

#[test]
fn a_bundle_goes_to_another_host() {
    let (from, to) = (Sandbox::new(), Sandbox::new());
    let unit = from.www();
    from.succeed(&["snapshot", &unit]);
    from.check(
        &["export", &unit, "-o", "www.dysno"],
        expect![[r#"
            www.dysno: 1 snapshot, 6.0 KiB
        "#]],
    );
    let bundle = from.text("www.dysno");
    let imported = to.succeed(&["import", &bundle]);
    assert!(imported.starts_with(&format!("{unit}: generation 1, snapshot ")), "{imported}");
    let again = to.succeed(&["import", &bundle]);
    assert!(again.contains("generation 1 has snapshot"), "{again}");
}

#[test]
fn a_bundle_goes_through_a_pipe() {
    let (from, to) = (Sandbox::new(), Sandbox::new());
    let unit = from.www();
    from.succeed(&["snapshot", &unit]);
    let exported = from.run(&["export", &unit, "-o", "-"]);
    assert_eq!(exported.code, Some(0));
    let imported =
        crate::support::sandbox::run(&mut to.command(&["import", "-"]), &exported.stdout);
    assert_eq!((imported.code, imported.stderr.as_str()), (Some(0), ""));
    assert_eq!(to.succeed(&["cat", &unit, "index.html"]), "hello\n");
}

#[test]
fn a_good_configuration_is_counted() {
    let sandbox = Sandbox::new();
    sandbox.write("dysno.toml", "[container.web]\nplugin = \"directory\"\n[unit.\"web:/srv\"]\n");
    sandbox.check(
        &["check-config"],
        expect![[r#"
        [dir]/dysno.toml is good: 1 container, 1 unit, 0 groups
    "#]],
    );
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn plugins_are_listed_with_their_settings() {
    let sandbox = Sandbox::new();
    let text = sandbox.succeed(&["plugins"]);
    for kind in plugins::KINDS {
        assert!(text.contains(&format!("{}: {}\n", kind.name, kind.summary)), "{}", kind.name);
        for setting in kind.settings {
            assert!(
                text.contains(&format!("  setting:     {}: ", setting.name)),
                "{}",
                setting.name
            );
        }
    }
}

#[test]
fn containers_are_listed_whether_they_can_be_reached_or_not() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "dysno.toml",
        format!("[container.gone]\nplugin = \"postgres\"\nhost = {:?}\n", sandbox.text("nowhere")),
    );
    let text = sandbox.succeed(&["containers"]);
    let states: Vec<_> = text
        .lines()
        .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
        .filter(|line| !line.starts_with("postgres "))
        .collect();
    assert_eq!(
        states,
        [
            "CONTAINER PLUGIN STATE",
            "directory directory reachable",
            "gone postgres unreachable",
            "sqlite sqlite reachable",
        ]
    );
}

#[test]
fn the_version_is_that_of_the_package() {
    let sandbox = Sandbox::new();
    let version = concat!("dysno ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(sandbox.succeed(&["version"]), version);
    assert_eq!(sandbox.succeed(&["--version"]), version);
}
