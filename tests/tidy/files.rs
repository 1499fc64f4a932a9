//! The form of the source files, and that none is forgotten.

use std::collections::BTreeSet;

use super::{Source, assert_none, program, read, sources, top};

/// Lines of a file before its tests. A longer one is no longer one idea.
const LINES_MAX: usize = 450;

/// Files that are longer.
const LONGER: &[(&str, usize)] = &[
    // All verbs of a database beside the steps that they share: what order keeps it safe is seen at once.
    ("plugins/sqlite/mod.rs", 480),
];

#[test]
fn every_file_begins_with_what_it_is() {
    let lacks = |source: &&Source| {
        let first = source.text.lines().next().unwrap_or_default();
        !first.starts_with("//! ") || first.len() < 12
    };
    let broken: Vec<_> = sources(&["src", "plugins", "tests"])
        .iter()
        .filter(lacks)
        .map(|s| s.path.clone())
        .collect();
    assert_none("these files do not begin with a `//!` sentence", &broken);
}

#[test]
fn no_file_is_longer_than_one_idea() {
    let mut broken = Vec::new();
    for source in program(&["src", "plugins"]) {
        let lines: Vec<_> = source.text.lines().collect();
        let tests = lines.windows(2).position(|two| two == ["#[cfg(test)]", "mod tests {"]);
        let length = tests.unwrap_or(lines.len());
        let longer = LONGER.iter().find(|(path, _)| *path == source.path);
        if length > longer.map_or(LINES_MAX, |(_, lines)| *lines) {
            broken.push(format!("{} has {length} lines", source.path));
        }
    }
    assert_none(
        &format!("these files have more than {LINES_MAX} lines before their tests"),
        &broken,
    );
}

/// Returns the files of the modules that a file declares, and of those below them.
fn compiled(path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    let (directory, name) = path.rsplit_once('/').unwrap();
    let directory = match name {
        "lib.rs" | "main.rs" | "mod.rs" => directory.to_owned(),
        _ => path.trim_end_matches(".rs").to_owned(),
    };
    for line in read(path).lines() {
        let module = line.trim_start().strip_suffix(';').and_then(|line| line.rsplit_once("mod "));
        let Some((visibility, name)) =
            module.filter(|(before, _)| before.is_empty() || before.starts_with("pub"))
        else {
            continue;
        };
        assert!(visibility.len() < 20, "{path}: {line}");
        let candidates = [format!("{directory}/{name}.rs"), format!("{directory}/{name}/mod.rs")];
        let file = candidates.iter().find(|path| top().join(path).is_file());
        compiled(file.unwrap_or_else(|| panic!("{path}: {line}")), found);
    }
}

#[test]
fn every_file_is_compiled() {
    let mut found = BTreeSet::new();
    for root in ["src/lib.rs", "src/main.rs", "plugins/lib.rs", "tests/main.rs"] {
        compiled(root, &mut found);
    }
    let forgotten = sources(&["src", "plugins", "tests"]).into_iter().map(|source| source.path);
    let forgotten: Vec<_> = forgotten.filter(|path| !found.contains(path)).collect();
    assert_none("these files belong to no module", &forgotten);
}

#[test]
fn all_of_it_is_under_the_same_licence() {
    let program: toml::Table = read("Cargo.toml").parse().unwrap();
    let plugins: toml::Table = read("plugins/Cargo.toml").parse().unwrap();
    assert_eq!(program["workspace"]["package"]["license"].as_str(), Some("MIT"));
    for manifest in [program, plugins] {
        let inherited = manifest["package"]["license"].get("workspace");
        assert_eq!(inherited.and_then(toml::Value::as_bool), Some(true), "{manifest}");
    }
    assert!(read("LICENSE").starts_with("MIT License"));
}
