//! The documents say what the code says.

use std::fmt::Write as _;

use plugins::conformance::{LAWS, Law};
use plugins::{Consistency, KINDS};

use super::{assert_none, files_below, read, top};

#[test]
fn every_fixture_is_named() {
    let named = read("fixtures/README.md");
    let files = files_below("fixtures").into_iter().filter(|path| path != "fixtures/README.md");
    let unnamed: Vec<_> = files
        .filter(|path| !named.contains(&format!("`{}`", path.trim_start_matches("fixtures/"))))
        .collect();
    assert_none("fixtures/README.md does not say how these were made", &unnamed);
}

/// Returns the rows of the table under that heading of a document: the lines after its rule.
fn table_under<'a>(document: &'a str, head: &str) -> Vec<&'a str> {
    let mut lines = document.lines().skip_while(|line| *line != head);
    assert!(lines.next().is_some(), "plugins/README.md has no table\n{head}");
    lines.skip(1).take_while(|line| line.starts_with('|')).collect()
}

#[track_caller]
fn assert_table(document: &str, head: &str, expected: &str) {
    let found = table_under(document, head).join("\n");
    assert!(found == expected.trim_end(), "plugins/README.md: expected\n{head}\n{expected}");
}

#[test]
fn the_tables_of_the_plug_ins_are_those_of_the_kinds() {
    let document = read("plugins/README.md");
    let (mut kinds, mut settings) = (String::new(), String::new());
    for kind in KINDS {
        let consistency = match kind.consistency {
            Consistency::Dump => "dump",
            Consistency::CrashConsistent => "crash-consistent",
            Consistency::PerFile => "per-file",
        };
        let profile = kind.profile.name();
        writeln!(
            kinds,
            "| `{}` | {} | {} | {} | `{profile}` | {consistency} |",
            kind.name, kind.summary, kind.component, kind.initial
        )
        .unwrap();
        for setting in kind.settings {
            writeln!(settings, "| `{}` | `{}` | {} |", kind.name, setting.name, setting.meaning)
                .unwrap();
        }
        assert!(document.contains(&format!("\n### {}\n", kind.name)), "{} lacks a part", kind.name);
    }
    let head = "| kind | a unit is | the component is | `initial` is | profile | consistency |";
    assert_table(&document, head, &kinds);
    assert_table(&document, "| kind | setting | meaning |", &settings);
}

#[test]
fn the_laws_stand_in_the_contract() {
    let document = read("plugins/README.md");
    let lacks = |law: &&Law| !document.contains(&format!("*{}*", law.name));
    let missing = LAWS.iter().filter(lacks);
    let missing: Vec<_> = missing.map(|law| law.name.to_owned()).collect();
    assert_none("plugins/README.md lacks these laws", &missing);
}

#[test]
fn documents_name_only_files_that_exist() {
    let mut broken = Vec::new();
    for document in ["src/README.md", "plugins/README.md", "fixtures/README.md"] {
        let text = read(document);
        // Between backquotes and with a known beginning and ending: a path of the project.
        for name in text.split('`').skip(1).step_by(2) {
            let is_path =
                ["src/", "plugins/", "tests/", "fixtures/"].iter().any(|d| name.starts_with(d));
            if is_path && !name.contains(['*', ' ', '…']) && !top().join(name).exists() {
                broken.push(format!("{document} names {name}"));
            }
        }
    }
    assert_none("these files do not exist", &broken);
}
