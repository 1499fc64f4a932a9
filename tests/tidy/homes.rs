//! What may stand in a few places only: SQL, printing, changing files, each crate.

use std::collections::BTreeSet;

use super::{Source, assert_none, program, read};

/// A text that may stand in the sources below one place only, but for the files after it.
struct Home {
    what: &'static str,
    texts: &'static [&'static str],
    /// The sources that are searched.
    below: &'static [&'static str],
    /// Where it may stand: files, and directories with a slash at the end.
    allowed: &'static [&'static str],
}

const HOMES: &[Home] = &[
    Home {
        what: "SQL",
        texts: &["SELECT ", "INSERT ", "UPDATE ", "DELETE FROM", "CREATE TABLE", "PRAGMA "],
        below: &["src/"],
        allowed: &[
            "src/database.rs",
            "src/index/",
            "src/journal/",
            // Makes and describes the throw-away database of the demonstration.
            "src/cli/other/demo/shop.rs",
        ],
    },
    Home {
        what: "the names of the store's files",
        texts: &["\"packs\"", "\"gcroots\"", "\"quarantine\"", "\"tmp\""],
        below: &["src/"],
        allowed: &["src/store/"],
    },
    Home {
        what: "the environment",
        texts: &["std::env", "env::var", "env::args"],
        below: &["src/", "plugins/"],
        allowed: &[
            "src/cli/",
            // Only to name the place in an error; `tempfile` has chosen it.
            "plugins/postgres/tools.rs",
        ],
    },
    Home {
        what: "printing",
        texts: &[
            "println!",
            "eprintln!",
            " print!(",
            "eprint!(",
            "dbg!(",
            "io::stdout",
            "io::stderr",
        ],
        below: &["src/", "plugins/"],
        allowed: &["src/cli/"],
    },
    Home {
        what: "asynchronous code",
        texts: &["async ", ".await", "block_on("],
        below: &["src/", "plugins/"],
        allowed: &["plugins/runtime.rs", "plugins/postgres/connect.rs"],
    },
    Home {
        what: "child processes",
        texts: &["process::Command", "process::Child"],
        below: &["src/", "plugins/"],
        allowed: &[
            "plugins/command.rs",
            // A shell for a person: it has the terminal, and its end is the user's business.
            "src/cli/units/shell.rs",
        ],
    },
    Home {
        what: "changing files",
        texts: &[
            "fs::rename",
            "fs::remove_",
            "fs::hard_link",
            "fs::write",
            "fs::copy",
            "fs::create_dir",
            "fs::set_permissions",
            "File::create",
            "File::options",
            "OpenOptions",
            "DirBuilder",
            "renameat",
            "unlinkat",
            ".set_len(",
            ".sync_all(",
            ".sync_data(",
            "fsync",
        ],
        below: &["src/"],
        allowed: &[
            "src/disk.rs",
            // Opens lock files and writes into them who holds them: nothing depends on what they say.
            "src/store/session.rs",
            // The bundle is the user's file, not the store's.
            "src/cli/history/export.rs",
            // Manual pages, into the user's directory.
            "src/cli/other/man.rs",
            // A throw-away host in a directory of its own.
            "src/cli/other/demo/",
        ],
    },
];

/// Where each crate of the program is used: files, and directories with a slash at the end.
const PROGRAM_CRATES: &[(&str, &[&str])] = &[
    ("plugins", &["src/"]),
    ("thiserror", &["src/"]),
    ("blake3", &["src/store/"]),
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/other/completions.rs"]),
    ("clap_mangen", &["src/cli/other/man.rs"]),
    ("crossbeam_channel", &["src/store/writer.rs"]),
    ("fastcdc", &["src/store/chunker.rs"]),
    ("indicatif", &["src/cli/progress.rs"]),
    ("jiff", &["src/cli/", "src/host/mod.rs", "src/ops/gc.rs", "src/ops/retention.rs"]),
    ("rusqlite", &["src/database.rs", "src/index/", "src/journal/", "src/cli/other/demo/shop.rs"]),
    ("rustix", &["src/disk.rs", "src/cli/edge.rs"]),
    ("serde", &["src/host/config.rs"]),
    ("serde_json", &["src/cli/", "src/journal/schema.rs"]),
    ("signal_hook", &["src/cli/edge.rs"]),
    ("tar", &["src/ops/export.rs", "src/ops/import.rs"]),
    ("tempfile", &["src/cli/"]),
    ("toml", &["src/host/", "src/ops/check.rs"]),
    ("zstd", &["src/store/block.rs"]),
];

/// Where each crate of the plug-ins is used.
const PLUGIN_CRATES: &[(&str, &[&str])] = &[
    ("thiserror", &["plugins/"]),
    (
        "blake3",
        &[
            "plugins/tree.rs",
            "plugins/place.rs",
            "plugins/directory/prior.rs",
            "plugins/postgres/verify.rs",
        ],
    ),
    ("bytes", &["plugins/postgres/connect.rs"]),
    ("futures_util", &["plugins/postgres/connect.rs"]),
    ("rusqlite", &["plugins/sqlite/", "plugins/error.rs"]),
    (
        "rustix",
        &[
            "plugins/command.rs",
            "plugins/place.rs",
            "plugins/directory/",
            "plugins/sqlite/",
            "plugins/postgres/settings.rs",
            "plugins/postgres/socket.rs",
        ],
    ),
    (
        "serde",
        &[
            "plugins/lib.rs",
            "plugins/place.rs",
            "plugins/tree.rs",
            "plugins/unit.rs",
            "plugins/postgres/",
        ],
    ),
    ("serde_json", &["plugins/postgres/manifest.rs"]),
    (
        "tempfile",
        &["plugins/directory/copy.rs", "plugins/sqlite/copy.rs", "plugins/postgres/tools.rs"],
    ),
    ("tokio", &["plugins/runtime.rs", "plugins/postgres/connect.rs", "plugins/postgres/socket.rs"]),
    ("tokio_postgres", &["plugins/postgres/"]),
    (
        "toml",
        &[
            "plugins/lib.rs",
            "plugins/error.rs",
            "plugins/place.rs",
            "plugins/directory/mod.rs",
            "plugins/sqlite/mod.rs",
            "plugins/postgres/",
        ],
    ),
    ("uzers", &["plugins/owners.rs", "plugins/postgres/settings.rs"]),
];

#[test]
fn everything_has_one_home() {
    let mut broken = Vec::new();
    for home in HOMES {
        let sources = program(&["src", "plugins"]);
        let searched = |source: &&Source| source.is_in(home.below) && !source.is_in(home.allowed);
        for source in sources.iter().filter(searched) {
            for (number, line) in source.code() {
                if home.texts.iter().any(|text| line.contains(text)) {
                    broken.push(format!("{}: {}:{number}: {line}", home.what, source.path));
                }
            }
        }
    }
    assert_none("these lines are not at home where they are", &broken);
}

#[test]
fn every_home_is_lived_in() {
    let sources = program(&["src", "plugins"]);
    let mut idle = Vec::new();
    for home in HOMES {
        let is_at_home = |source: &Source| {
            source.code().iter().any(|(_, line)| home.texts.iter().any(|text| line.contains(text)))
        };
        for place in home.allowed {
            if !sources.iter().any(|source| source.is_in(&[place]) && is_at_home(source)) {
                idle.push(format!("{}: {place}", home.what));
            }
        }
    }
    assert_none("these places are allowed in vain", &idle);
}

/// Checks one manifest's dependencies against the table of their homes.
fn check_crates(manifest: &str, sources: &str, homes: &[(&str, &[&str])]) -> Vec<String> {
    let manifest: toml::Table = read(manifest).parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let mut broken = Vec::new();
    let names: BTreeSet<String> = dependencies.keys().map(|name| name.replace('-', "_")).collect();
    let known: BTreeSet<String> = homes.iter().map(|(name, _)| (*name).to_owned()).collect();
    for name in names.symmetric_difference(&known) {
        broken.push(format!("{name} stands in {sources}'s manifest or in this test, not in both"));
    }
    let sources = program(&[sources]);
    for (name, allowed) in homes {
        let uses = |source: &&Source| {
            // `use jiff::…`, `jiff::…`, or `use rusqlite;` for the name alone.
            !source.names_of(name).is_empty()
                || source.code().iter().any(|(_, line)| *line == format!("use {name};"))
        };
        let users: Vec<_> = sources.iter().filter(uses).collect();
        if users.is_empty() {
            broken.push(format!("{name} is used nowhere"));
        }
        for source in users.iter().filter(|source| !source.is_in(allowed)) {
            broken.push(format!("{} uses {name}", source.path));
        }
    }
    broken
}

#[test]
fn every_crate_has_one_home() {
    let mut broken = check_crates("Cargo.toml", "src", PROGRAM_CRATES);
    broken.extend(check_crates("plugins/Cargo.toml", "plugins", PLUGIN_CRATES));
    assert_none("these crates are not at home where they are used", &broken);
}
