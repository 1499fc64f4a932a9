//! What is refused, with 2, before anything is touched.

use dysno::store::Root;
use expect_test::expect;
use plugins::tree::{Digest, Profile};

use crate::support::sandbox::Sandbox;

#[test]
fn unknown_units_and_containers() {
    let sandbox = Sandbox::new();
    sandbox.check(
        &["snapshot", "directory:/does/not/exist"],
        expect![[r#"
        dysno: cannot capture directory:/does/not/exist: it has no state
        hint: check the unit's name; `dysno activate directory:/does/not/exist` creates its state
        [exit 2]
    "#]],
    );
    sandbox.check(&["snapshot", "nope:main"], expect![[r#"
        dysno: cannot find the container nope: there are directory, postgres, sqlite
        hint: a unit is CONTAINER:COMPONENT; configure a container as [container.nope], or use a kind's own name
        [exit 2]
    "#]]);
    sandbox.check(&["snapshot", "main"], expect![[r#"
        error: invalid value 'main' for '[UNIT]...': "main" is no unit address: it has no colon; expected CONTAINER:COMPONENT, such as postgres:main

        For more information, try '--help'.
        [exit 2]
    "#]]);
    sandbox.check(&["snapshot", "directory:relative"], expect![[r#"
        dysno: cannot open the unit directory:relative
          because: cannot use "relative" as a unit of kind directory: expected an absolute path, because the container has no root
        [exit 2]
    "#]]);
    sandbox.check(&["status", "directory:/none"], expect![[r#"
        dysno: cannot find the unit directory:/none: it is not configured, not active and was never captured here
        hint: `dysno units` lists the units that are known
        [exit 2]
    "#]]);
    sandbox.check(
        &["show", "directory:/none"],
        expect![[r#"
        dysno: cannot find a generation of directory:/none: it was never captured here
        hint: run `dysno snapshot directory:/none` first
        [exit 2]
    "#]],
    );
    sandbox.check(
        &["snapshot", "--group", "shop"],
        expect![[r#"
        dysno: cannot find the group shop: none is configured
        hint: groups are configured as [group.NAME] with units = [...]
        [exit 2]
    "#]],
    );
    sandbox.check(
        &["snapshot", "--all"],
        expect![[r#"
        dysno: cannot capture all units: none is configured or active
        hint: name the units, or configure them
        [exit 2]
    "#]],
    );
}

#[test]
fn a_typo_in_the_last_unit_is_found_before_the_first_is_touched() {
    let sandbox = Sandbox::new();
    let new = format!("directory:{}", sandbox.text("new"));
    assert_eq!(sandbox.run(&["activate", &new, "nope:x"]).code, Some(2));
    assert!(!sandbox.path("new").exists());
}

#[test]
fn unknown_generations_snapshots_and_paths() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check(
        &["restore", &format!("{unit}@7"), "-y"],
        expect![[r#"
        dysno: cannot find generation 7 of directory:[dir]/www: there are 1
        hint: `dysno generations directory:[dir]/www` tells them apart
        [exit 2]
    "#]],
    );
    sandbox.check(
        &["show", "abc"],
        expect![[r#"
            dysno: cannot read "abc" as a snapshot: expected UNIT, UNIT@N or at least 6 digits of a snapshot's id
            hint: a snapshot is named by UNIT, UNIT@N, UNIT@latest or its id, such as postgres:main@3
            [exit 2]
        "#]],
    );
    sandbox.check(
        &["show", "ABCDEF"],
        expect![[r#"
            dysno: cannot read "ABCDEF" as a snapshot: expected UNIT, UNIT@N or at least 6 digits of a snapshot's id
            hint: a snapshot is named by UNIT, UNIT@N, UNIT@latest or its id, such as postgres:main@3
            [exit 2]
        "#]],
    );
    sandbox.check(
        &["show", "000000"],
        expect![[r#"
        dysno: cannot find a snapshot whose id starts with 000000
        hint: `dysno generations` lists the snapshots
        [exit 2]
    "#]],
    );
    sandbox.check(
        &["cat", &unit, "img"],
        expect![[r#"
            dysno: cannot read img in snapshot [id]: it is no file
            hint: `dysno ls [id]` lists what is in it
            [exit 2]
        "#]],
    );
    sandbox.check(
        &["cat", &unit, "gone"],
        expect![[r#"
            dysno: cannot read gone in snapshot [id]: there is nothing by that name
            hint: `dysno ls [id]` lists what is in it
            [exit 2]
        "#]],
    );
    sandbox.check(
        &["ls", &unit, "a/../b"],
        expect![[r#"
        dysno: cannot use "a/../b" as a path in a snapshot
        hint: it is relative to the top of the snapshot, without `..`
        [exit 2]
    "#]],
    );
    sandbox.check(&["pin", &unit, "../x"], expect![[r#"
        dysno: cannot use "../x" as the name of a pin: it is 1 to 100 letters, digits, -, _ and ., and does not start with a dot
        [exit 2]
    "#]]);
    sandbox.check(
        &["unpin", "none"],
        expect![[r#"
        dysno: cannot unpin "none": no snapshot is pinned by it
        hint: `dysno generations` lists the pins
        [exit 2]
    "#]],
    );
}

#[test]
fn an_id_that_is_not_unique() {
    let sandbox = Sandbox::new();
    sandbox.succeed(&["units"]);
    for end in ["0", "1"] {
        let root = Root {
            snapshot: Digest::parse(&format!("abcdef{end}{}", "0".repeat(57))).unwrap(),
            unit: "directory:/srv".into(),
            profile: Profile::Posix1,
            manifest_bytes: 1,
            entries: 1,
            size_bytes: 1,
            stored_bytes: 1,
        };
        let name = format!("state/store/{}", root.file_name());
        sandbox.write(&name, root.encode());
    }
    sandbox.check(
        &["show", "abcdef"],
        expect![[r#"
        dysno: cannot tell which snapshot abcdef is: [id], [id]
        hint: give more digits of the id, or UNIT@N
        [exit 2]
    "#]],
    );
}

#[test]
fn restores_that_make_no_sense() {
    let sandbox = Sandbox::new();
    let (www, database) = (sandbox.www(), sandbox.database());
    sandbox.succeed(&["snapshot", &www, &database]);
    sandbox.check(&["restore", &www, "--into", &database, "-y"], expect![[r#"
        dysno: cannot restore a snapshot of kind directory into sqlite:[dir]/app.db, which is of kind sqlite
        hint: give a unit of the same kind with --into
        [exit 2]
    "#]]);
    sandbox.check(&["restore", "--undo", &www, "-y"], expect![[r#"
        dysno: cannot undo a restore of directory:[dir]/www: nothing that it displaced is kept
        hint: what a restore displaces is kept until the next restore or gc; `dysno generations directory:[dir]/www` lists the safety snapshots
        [exit 2]
    "#]]);
    sandbox.check(
        &["restore", "--undo", &format!("{www}@1"), "-y"],
        expect![[r#"
        dysno: cannot restore directory:[dir]/www@1: --undo and @N exclude each other
        hint: leave out one of the two
        [exit 2]
    "#]],
    );
    let at = format!("{www}@1");
    sandbox.check(
        &["restore", &at, "--snapshot", "000000", "-y"],
        expect![[r#"
        dysno: cannot restore directory:[dir]/www@1: --snapshot and @N exclude each other
        hint: leave out one of the two
        [exit 2]
    "#]],
    );
    sandbox.check(&["restore", "abcdef", "-y"], expect![[r#"
        dysno: cannot restore abcdef: "abcdef" is no unit address: it has no colon; expected CONTAINER:COMPONENT, such as postgres:main
        hint: name the unit; --snapshot ID says which state it gets
        [exit 2]
    "#]]);
    sandbox.check(
        &["restore", "--undo", &www, "--into", &www],
        expect![[r#"
        error: the argument '--undo' cannot be used with '--into <UNIT>'

        Usage: dysno restore [OPTIONS] UNIT[@N]
          dysno restore [OPTIONS] --undo UNIT

        For more information, try '--help'.
        [exit 2]
    "#]],
    );
}

#[test]
fn an_active_unit_is_not_purged() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["activate", &unit]);
    sandbox.check(
        &["purge", &unit, "-y"],
        expect![[r#"
        dysno: cannot purge directory:[dir]/www: it is active
        hint: run `dysno deactivate directory:[dir]/www` first
        [exit 2]
    "#]],
    );
    assert!(sandbox.path("www/index.html").exists());
}

#[test]
fn a_destructive_command_without_a_terminal_asks_for_yes() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/index.html", "live\n");
    sandbox.check(&["restore", &unit], expect![[r#"
        dysno: cannot replace the state of directory:[dir]/www by its generation 1, captured [time]: it was not confirmed, and there is no terminal to ask on
        hint: give --yes
        [exit 2]
    "#]]);
    sandbox.check(&["restore", "--undo", &unit], expect![[r#"
        dysno: cannot swap back what the last restore of directory:[dir]/www displaced: it was not confirmed, and there is no terminal to ask on
        hint: give --yes
        [exit 2]
    "#]]);
    sandbox.check(&["purge", &unit], expect![[r#"
        dysno: cannot delete the state of directory:[dir]/www: it was not confirmed, and there is no terminal to ask on
        hint: give --yes
        [exit 2]
    "#]]);
    assert_eq!(std::fs::read(sandbox.path("www/index.html")).unwrap(), b"live\n");
}

#[test]
fn rules_that_keep_nothing() {
    let sandbox = Sandbox::new();
    sandbox.check(
        &["gc", "--keep-last", "0"],
        expect![[r#"
            dysno: cannot forget all generations: each of the given rules keeps none
            hint: keep at least one, for example with --keep-last 1
            [exit 2]
        "#]],
    );
    sandbox.check(&["gc", "--older-than", "soon"], expect![[r#"
        error: invalid value 'soon' for '--older-than <AGE>': expected a number and h, d, w or y, as in 30d

        For more information, try '--help'.
        [exit 2]
    "#]]);
}

#[test]
fn typos_in_commands_and_flags() {
    let sandbox = Sandbox::new();
    sandbox.check(
        &["snapshott"],
        expect![[r#"
        error: unrecognized subcommand 'snapshott'

          tip: a similar subcommand exists: 'snapshot'

        Usage: dysno [OPTIONS] <COMMAND>

        For more information, try '--help'.
        [exit 2]
    "#]],
    );
    sandbox.check(
        &["gc", "--keep-lost", "1"],
        expect![[r#"
        error: unexpected argument '--keep-lost' found

          tip: a similar argument exists: '--keep-last'

        Usage: dysno gc --keep-last <N>

        For more information, try '--help'.
        [exit 2]
    "#]],
    );
    sandbox.check(
        &["units", "-q", "-v"],
        expect![[r#"
        error: the argument '--quiet' cannot be used with '--verbose...'

        Usage: dysno units --quiet --config <FILE> --state-dir <DIR>

        For more information, try '--help'.
        [exit 2]
    "#]],
    );
    let nothing: [&str; 0] = [];
    assert_eq!(sandbox.run(&nothing).code, Some(2));
}

#[test]
fn a_configuration_with_a_typo_is_named_with_its_line() {
    let sandbox = Sandbox::new();
    sandbox.write("dysno.toml", "\n[unit.\"directory:/srv\"]\ninitail = \"x\"\n");
    sandbox.check(&["units"], expect![[r#"
        dysno: cannot use the configuration [dir]/dysno.toml, line 3: unknown field `initail`, expected one of `initial`, `keep`, `requires`
        [exit 2]
    "#]]);
    sandbox.write("dysno.toml", "[container.web]\nplugin = \"directory\"\nroots = \"/srv\"\n");
    sandbox.check(&["check-config"], expect![[r#"
        dysno: cannot use the configuration [dir]/dysno.toml, line 3: unknown field `roots` in container web, expected one of plugin, root
        [exit 2]
    "#]]);
    sandbox.write("dysno.toml", "[unit.\"directory:/a\"]\nrequires = [\"directory:/a\"]\n");
    sandbox.check(
        &["check-config"],
        expect![[r#"
        dysno: cannot order the units: directory:/a require each other
        hint: remove one of their `requires`
        [exit 2]
    "#]],
    );
    sandbox.write("dysno.toml", "[unit.\"directory:relative\"]\n");
    sandbox.check(&["check-config"], expect![[r#"
        dysno: cannot open the unit directory:relative
          because: cannot use "relative" as a unit of kind directory: expected an absolute path, because the container has no root
        [exit 2]
    "#]]);
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn a_configuration_that_was_named_must_be_there() {
    let sandbox = Sandbox::new();
    sandbox.check(
        &["units", "--config", "missing.toml"],
        expect![[r#"
        dysno: cannot read the configuration missing.toml
          because: No such file or directory (os error 2)
        [exit 2]
    "#]],
    );
    let mut command = sandbox.command(&["check-config"]);
    let ran = crate::support::sandbox::run(
        command.env_remove("DYSNO_CONFIG").env("XDG_CONFIG_HOME", sandbox.path("nowhere")),
        &[],
    );
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn a_directory_that_holds_something_else_does_not_become_a_store() {
    let sandbox = Sandbox::new();
    sandbox.write("mine/letter", "dear");
    sandbox.check(
        &["units", "--state-dir", "mine"],
        expect![[r#"
            dysno: cannot make a store in [dir]/mine
              because: directory not empty
            hint: the state directory must be empty or a store; choose another one with --state-dir
            [exit 2]
        "#]],
    );
    assert_eq!(crate::support::sandbox::entries(&sandbox.path("mine")).len(), 1);
}

#[test]
fn an_unknown_log_level() {
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["units"]);
    let ran = crate::support::sandbox::run(command.env("DYSNO_LOG", "loud"), &[]);
    expect![[r#"
        dysno: cannot use the environment variable DYSNO_LOG
        hint: it is one of quiet, normal, verbose, debug
        [exit 2]
    "#]]
    .assert_eq(&sandbox.transcript(&ran));
    let mut command = sandbox.command(&["units", "--json"]);
    let ran = crate::support::sandbox::run(command.env("DYSNO_LOG", "loud"), &[]);
    let document: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(document["error"]["exit_code"], 2);
}
