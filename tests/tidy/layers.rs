//! Who may use whom.

use super::{Source, assert_none, program, read};

/// What each module of `src/` may use of the others. `disk` and `report` use nothing.
const LAYERS: &[(&str, &[&str])] = &[
    ("cli", &["ops", "host", "report"]),
    ("ops", &["host", "report", "journal", "index", "store"]),
    ("host", &["report", "journal", "index", "store", "disk"]),
    ("journal", &["database", "disk"]),
    ("index", &["store", "database", "disk"]),
    ("store", &["disk"]),
    ("database", &["disk"]),
    ("report", &[]),
    ("disk", &[]),
];

/// Single files that use more than their layer.
const LAYER_EXCEPTIONS: &[(&str, &str)] = &[
    // Names the type of what it gets from the store: a finished pack is removed by the way that can fail in tests.
    ("src/ops/export.rs", "disk"),
];

/// What each module may use of the crate `plugins`. `ops`, which calls the verbs, may use all but the laws and the
/// runners of children and of asynchronous code.
const OF_PLUGINS: &[(&str, &[&str])] = &[
    (
        "cli",
        &[
            "Changing",
            "Consistency",
            "Context",
            "Error",
            "Interrupt",
            "Interrupted",
            "KINDS",
            "Kind",
            "Probe",
            "RestoreOptions",
            "Setting",
            "SnapshotOptions",
            "UnitAddress",
            "Unreadable",
            "command",
            "tree",
            "unit",
            // Not of the crate: the command `dysno plugins`, by way of the module `cli::units::plugins`.
            "Plugins",
        ],
    ),
    (
        "ops",
        &[
            "Activation",
            "Capture",
            "Container",
            "ContainerProbe",
            "ContentWriter",
            "Context",
            "Cut",
            "Environment",
            "Error",
            "Interrupted",
            "Plugin",
            "Previous",
            "Probe",
            "RestoreOptions",
            "SnapshotOptions",
            "Source",
            "Standing",
            "Swap",
            "Tag",
            "UnitAddress",
            "tree",
            "unit",
        ],
    ),
    (
        "host",
        &[
            "Container",
            "Context",
            "Error",
            "KINDS",
            "Kind",
            "Plugin",
            "Tag",
            "UnitAddress",
            "find_kind",
            "unit",
        ],
    ),
    ("journal", &["Swap", "Tag"]),
    ("index", &["tree"]),
    ("store", &["ContentWriter", "Cut", "Interrupt", "Interrupted", "tree"]),
    ("database", &[]),
    ("report", &[]),
    ("disk", &[]),
];

/// The verbs of a plug-in that no other type of this program has a method for. Only `ops` calls them.
const VERBS: &[&str] = &[
    ".activate(",
    ".collect_garbage(",
    ".deactivate(",
    ".release(",
    ".snapshot(",
    ".stage(",
    ".standing(",
    ".swap(",
    ".unlock(",
    ".unswap(",
];

fn row<'a>(table: &[(&str, &'a [&'a str])], name: &str) -> &'a [&'a str] {
    let found = table.iter().find(|(module, _)| *module == name);
    found.unwrap_or_else(|| panic!("the module {name} has no row in the tables of tests/tidy.rs")).1
}

#[test]
fn every_module_uses_only_the_layers_below_it() {
    let mut broken = Vec::new();
    for source in program(&["src"]) {
        let module = source.module().unwrap();
        if matches!(module, "lib" | "main") {
            continue;
        }
        for used in source.names_of("crate") {
            let is_exception = LAYER_EXCEPTIONS.contains(&(source.path.as_str(), used.as_str()));
            if used != module && !row(LAYERS, module).contains(&used.as_str()) && !is_exception {
                broken.push(format!("{} uses {used}", source.path));
            }
        }
    }
    assert_none("these files reach past their layer", &broken);
}

#[test]
fn nothing_is_allowed_in_vain() {
    let sources = program(&["src"]);
    let uses = |is_user: &dyn Fn(&Source) -> bool, root: &str, used: &str| {
        sources.iter().any(|source| is_user(source) && source.names_of(root).contains(used))
    };
    let mut idle = Vec::new();
    for (root, table) in [("crate", LAYERS), ("plugins", OF_PLUGINS)] {
        for (module, allowed) in table {
            let is_user = |source: &Source| source.module() == Some(module);
            let unused = allowed.iter().filter(|used| !uses(&is_user, root, used));
            idle.extend(unused.map(|used| format!("{module}: {root}::{used}")));
        }
    }
    for (path, used) in LAYER_EXCEPTIONS {
        if !uses(&|source| source.path == *path, "crate", used) {
            idle.push(format!("{path}: {used}"));
        }
    }
    assert_none("nobody uses what these rows allow", &idle);
}

#[test]
fn every_module_shares_only_its_words_with_the_plug_ins() {
    let mut broken = Vec::new();
    for source in program(&["src"]) {
        let module = source.module().unwrap();
        for used in source.names_of("plugins") {
            if !row(OF_PLUGINS, module).contains(&used.as_str()) {
                broken.push(format!("{} uses plugins::{used}", source.path));
            }
        }
    }
    assert_none("these files use more of the plug-ins than their layer may", &broken);
}

#[test]
fn only_use_cases_call_the_verbs_of_a_plug_in() {
    let mut broken = Vec::new();
    for source in program(&["src"]).iter().filter(|source| source.module() != Some("ops")) {
        for (number, line) in source.code() {
            if VERBS.iter().any(|verb| line.contains(verb)) {
                broken.push(format!("{}:{number}: {line}", source.path));
            }
        }
    }
    assert_none("these lines call a verb outside src/ops", &broken);
}

#[test]
fn plug_ins_do_not_see_the_program() {
    let manifest: toml::Table = read("plugins/Cargo.toml").parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    assert!(!dependencies.contains_key("dysno"), "plugins depend on dysno");
}
