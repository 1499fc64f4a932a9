//! The demonstration.

use std::fs;

use crate::support::sandbox::{Sandbox, entries, run};

#[test]
fn the_demonstration_proves_what_it_claims_and_cleans_up() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tmp")).unwrap();
    let ran = run(sandbox.command(&["demo"]).env("TMPDIR", sandbox.path("tmp")), &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let text = String::from_utf8(ran.stdout).unwrap();
    assert!(text.contains("  - every row, file, mode and link came back as it was\n"), "{text}");
    for command in
        ["snapshot", "generations", "diff", "restore", "gc --keep-last 1", "verify --read-data"]
    {
        assert!(text.contains(&format!("\n$ dysno {command}")), "{command}");
    }
    assert!(entries(&sandbox.path("tmp")).is_empty());
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn the_demonstration_can_leave_its_folder() {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("tmp")).unwrap();
    let mut command = sandbox.command(&["demo", "--keep", "--json"]);
    let ran = run(command.env("TMPDIR", sandbox.path("tmp")), &[]);
    let document: serde_json::Value = serde_json::from_slice(&ran.stdout).unwrap();
    let kept = entries(&sandbox.path("tmp"));
    assert_eq!(document["folder"], kept[0].to_str().unwrap());
    assert_eq!(document["proved"].as_array().unwrap().len(), 5);
}
