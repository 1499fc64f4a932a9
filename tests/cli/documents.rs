//! What each command says to machines: the fields are a contract.

use expect_test::expect;

use crate::support::sandbox::Sandbox;

#[test]
fn snapshot_and_generations() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.check_json(
        &["snapshot", &unit, "--reason", "why"],
        expect![[r#"
        [
          {
            "created": true,
            "generation": 1,
            "seconds": "[seconds]",
            "size_bytes": 13,
            "snapshot": "[id]",
            "stored_bytes": "[bytes]",
            "unit": "directory:[dir]/www"
          }
        ]"#]],
    );
    sandbox.check_json(
        &["pin", &unit, "p"],
        expect![[r#"
        {
          "name": "p",
          "snapshot": "[id]",
          "unit": "directory:[dir]/www"
        }"#]],
    );
    sandbox.check_json(
        &["generations"],
        expect![[r#"
        [
          {
            "generation": 1,
            "host": "[host]",
            "kind": "manual",
            "pinned_by": [
              "p"
            ],
            "reason": "why",
            "size_bytes": 13,
            "snapshot": "[id]",
            "time": "[time]",
            "unit": "directory:[dir]/www"
          }
        ]"#]],
    );
    sandbox.check_json(
        &["unpin", "p"],
        expect![[r#"
        {
          "name": "p"
        }"#]],
    );
}

#[test]
fn restore_and_undo() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/index.html", "changed\n");
    sandbox.check_json(
        &["restore", &unit, "-y"],
        expect![[r#"
        {
          "generation": 1,
          "kept_at": "[dir]/.www.dysno-[tag]",
          "safety_generation": 2,
          "safety_snapshot": "[id]",
          "seconds": "[seconds]",
          "snapshot": "[id]",
          "unit": "directory:[dir]/www"
        }"#]],
    );
    sandbox.check_json(
        &["restore", "--undo", &unit, "-y"],
        expect![[r#"
        {
          "generation": null,
          "kept_at": null,
          "safety_generation": 3,
          "safety_snapshot": "[id]",
          "seconds": "[seconds]",
          "snapshot": null,
          "unit": "directory:[dir]/www"
        }"#]],
    );
    let into = format!("directory:{}", sandbox.text("elsewhere"));
    sandbox.check_json(
        &["restore", &unit, "--into", &into, "-y"],
        expect![[r#"
        {
          "generation": 1,
          "kept_at": null,
          "safety_generation": null,
          "safety_snapshot": null,
          "seconds": "[seconds]",
          "snapshot": "[id]",
          "unit": "directory:[dir]/elsewhere"
        }"#]],
    );
}

#[test]
fn activate_deactivate_and_purge() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.check_json(
        &["activate", &unit],
        expect![[r#"
        [
          {
            "created": false,
            "unit": "directory:[dir]/www",
            "was_active": false
          }
        ]"#]],
    );
    sandbox.check_json(
        &["units"],
        expect![[r#"
        [
          {
            "configured": false,
            "latest_generation": null,
            "latest_snapshot": null,
            "latest_time": null,
            "plugin": "directory",
            "state": "active",
            "unit": "directory:[dir]/www"
          }
        ]"#]],
    );
    sandbox.check_json(
        &["deactivate", &unit],
        expect![[r#"
        [
          {
            "unit": "directory:[dir]/www",
            "was_active": true
          }
        ]"#]],
    );
    sandbox.check_json(
        &["purge", "--all", "-y"],
        expect![[r#"
        [
          {
            "generation": 1,
            "safety_snapshot": "[id]",
            "unit": "directory:[dir]/www"
          }
        ]"#]],
    );
}

#[test]
fn deploy() {
    let sandbox = Sandbox::new();
    sandbox.write("dysno.toml", format!("[unit.\"directory:{}\"]\n", sandbox.text("a")));
    sandbox.check_json(
        &["deploy"],
        expect![[r#"
        {
          "activated": [
            {
              "created": true,
              "unit": "directory:[dir]/a",
              "was_active": false
            }
          ],
          "deactivated": [],
          "unchanged": []
        }"#]],
    );
    sandbox.check_json(
        &["check-config"],
        expect![[r#"
        {
          "config": "[dir]/dysno.toml",
          "containers": 0,
          "groups": 0,
          "units": 1
        }"#]],
    );
}

#[test]
fn status() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check_json(
        &["status"],
        expect![[r#"
        {
          "activation": null,
          "store": {
            "size_bytes": 13,
            "snapshots": 1,
            "stored_bytes": "[bytes]"
          },
          "units": [
            {
              "causes": null,
              "configured": false,
              "exists": true,
              "interrupted_restore": false,
              "kept_at": null,
              "latest_generation": 1,
              "latest_snapshot": "[id]",
              "latest_time": "[time]",
              "plugin": "directory",
              "reachable": true,
              "size_bytes": 13,
              "state": "inactive",
              "unit": "directory:[dir]/www",
              "version": null
            }
          ]
        }"#]],
    );
}

#[test]
fn show_ls_and_diff() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check_json(
        &["show", &unit],
        expect![[r#"
        {
          "attributes": {},
          "entries": 5,
          "generation": 1,
          "plugin": "directory",
          "profile": "posix/1",
          "size_bytes": 13,
          "snapshot": "[id]",
          "stored_bytes": "[bytes]",
          "streams": [
            {
              "name": "img/logo",
              "name_hex": null,
              "size_bytes": 7
            },
            {
              "name": "index.html",
              "name_hex": null,
              "size_bytes": 6
            }
          ],
          "unit": "directory:[dir]/www"
        }"#]],
    );
    sandbox.check_json(
        &["ls", &unit, "img"],
        expect![[r#"
        [
          {
            "group": "[group]",
            "mode": "0755",
            "modified": "[time]",
            "owner": "[owner]",
            "path": "img",
            "path_hex": null,
            "type": "directory"
          },
          {
            "digest": "[id]",
            "group": "[group]",
            "mode": "0644",
            "modified": "[time]",
            "owner": "[owner]",
            "path": "img/logo",
            "path_hex": null,
            "size_bytes": 7,
            "type": "file"
          }
        ]"#]],
    );
    sandbox.write("www/index.html", "longer than before\n");
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check_json(
        &["diff", &format!("{unit}@1"), &unit],
        expect![[r#"
        [
          {
            "after_bytes": 19,
            "before_bytes": 6,
            "change": "content",
            "path": "index.html",
            "path_hex": null
          }
        ]"#]],
    );
    sandbox.check_json(&["diff", &unit, &unit], expect!["[]"]);
}

#[test]
fn gc_and_verify() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/index.html", "two\n");
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check_json(
        &["gc", "--keep-last", "1", "-n"],
        expect![[r#"
        {
          "deleted_snapshots": [
            "[id]"
          ],
          "dry_run": true,
          "forgotten_generations": [
            {
              "generation": 1,
              "snapshot": "[id]",
              "time": "[time]",
              "unit": "directory:[dir]/www"
            }
          ],
          "freed_bytes": "[bytes]",
          "kept_generations": [
            {
              "generation": 2,
              "kept_by": [
                "it is the current one",
                "last 1"
              ],
              "snapshot": "[id]",
              "time": "[time]",
              "unit": "directory:[dir]/www"
            }
          ]
        }"#]],
    );
    sandbox.check_json(
        &["verify"],
        expect![[r#"
        {
          "bytes_checked": "[bytes]",
          "data_read": false,
          "problems": [],
          "snapshots_checked": 2
        }"#]],
    );
}

#[test]
fn export_and_import() {
    let sandbox = Sandbox::new();
    let unit = sandbox.database();
    sandbox.succeed(&["snapshot", &unit]);
    let (document, _) = sandbox.json(&["export", &unit, "-o", "b"]);
    let size_bytes = std::fs::metadata(sandbox.path("b")).unwrap().len();
    assert_eq!(document["size_bytes"], size_bytes);
    assert_eq!(document["snapshots"].as_array().unwrap().len(), 1);
    sandbox.check_json(
        &["import", "b"],
        expect![[r#"
        [
          {
            "created": false,
            "generation": 1,
            "size_bytes": 8192,
            "snapshot": "[id]",
            "unit": "sqlite:[dir]/app.db"
          }
        ]"#]],
    );
}

#[test]
fn plugins_containers_and_version() {
    let sandbox = Sandbox::new();
    let (plugins, _) = sandbox.json(&["plugins"]);
    let names: Vec<_> = plugins.as_array().unwrap().iter().map(|p| &p["plugin"]).collect();
    let (version, _) = sandbox.json(&["version"]);
    assert_eq!(names, version["plugins"].as_array().unwrap().iter().collect::<Vec<_>>());
    let (containers, _) = sandbox.json(&["containers"]);
    assert_eq!(containers[0]["container"], "directory");
    assert_eq!(containers[0]["reachable"], true);
}

#[test]
fn a_failure_is_a_document_too() {
    let sandbox = Sandbox::new();
    sandbox.check_json(&["generations", "directory:/none"], expect![[r#"
        {
          "error": {
            "affects": [],
            "causes": [],
            "exit_code": 2,
            "hint": "`dysno units` lists the units that are known",
            "message": "cannot find the unit directory:/none: it is not configured, not active and was never captured here"
          }
        }
        [exit 2]"#]]);
    sandbox.check_json(
        &["snapshot", "--al"],
        expect![[r#"
        {
          "error": {
            "causes": [],
            "exit_code": 2,
            "hint": "a similar argument exists: '--all'",
            "message": "unexpected argument '--al' found"
          }
        }
        [exit 2]"#]],
    );
    sandbox.check_json(
        &["import", "missing"],
        expect![[r#"
        {
          "error": {
            "affects": [],
            "causes": [
              "No such file or directory (os error 2)"
            ],
            "exit_code": 1,
            "hint": null,
            "message": "cannot open missing"
          }
        }
        [exit 1]"#]],
    );
}

#[test]
fn a_document_that_cannot_be_finished_is_not_begun() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.check_json(
        &["ls", &unit, "nothing/here"],
        expect![[r#"
            {
              "error": {
                "affects": [],
                "causes": [],
                "exit_code": 2,
                "hint": "`dysno ls [id]` lists what is in it",
                "message": "cannot read nothing/here in snapshot [id]: there is nothing by that name"
              }
            }
            [exit 2]"#]],
    );
}
