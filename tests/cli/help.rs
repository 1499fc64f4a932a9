//! Help, completions and manual pages, and that the contract's commands exist.

use std::fs;

use crate::support::sandbox::{Sandbox, entries};

/// The commands of the contract that are there.
const COMMANDS: [&str; 27] = [
    "activate",
    "deactivate",
    "snapshot",
    "restore",
    "purge",
    "deploy",
    "shell",
    "units",
    "containers",
    "plugins",
    "status",
    "generations",
    "show",
    "ls",
    "cat",
    "diff",
    "pin",
    "unpin",
    "gc",
    "verify",
    "export",
    "import",
    "check-config",
    "completions",
    "man",
    "version",
    "demo",
];

const GLOBAL_OPTIONS: [&str; 7] =
    ["config", "state_dir", "json", "quiet", "verbose", "progress", "yes"];

#[test]
fn the_commands_and_options_of_the_contract_are_there() {
    let command_line = dysno::cli::command_line();
    let names: Vec<_> = command_line.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    assert_eq!(names, COMMANDS);
    for option in GLOBAL_OPTIONS {
        let argument = command_line.get_arguments().find(|argument| argument.get_id() == option);
        assert!(argument.unwrap().is_global_set(), "{option}");
    }
}

#[test]
fn the_command_line_is_consistent() {
    dysno::cli::command_line().debug_assert();
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in dysno::cli::command_line().get_subcommands() {
        let name = command.get_name();
        let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(example.contains(&format!("dysno {name}")), "{name}: {example}");
        let about = command.get_about().unwrap().to_string();
        assert!(!about.ends_with('.'), "{name}: {about}");
        for argument in command.get_arguments() {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(!help.is_empty() && !help.ends_with('.'), "{name} {}", argument.get_id());
        }
    }
}

#[test]
fn help_goes_to_the_standard_output() {
    let sandbox = Sandbox::new();
    for command in COMMANDS {
        let help = sandbox.succeed(&[command, "--help"]);
        assert!(help.contains("Example"), "{command}");
        assert!(help.contains("--state-dir <DIR>"), "{command}");
    }
    assert!(!sandbox.state_dir().exists());
}

#[test]
fn completions_are_written_for_each_shell() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let text = sandbox.succeed(&["completions", shell]);
        assert!(text.contains("check-config"), "{shell}");
    }
}

#[test]
fn manual_pages_are_written_for_each_command() {
    let sandbox = Sandbox::new();
    sandbox.succeed(&["man", "man/man1"]);
    let pages = entries(&sandbox.path("man/man1"));
    assert_eq!(pages.len(), 1 + COMMANDS.len());
    for command in COMMANDS {
        let page = sandbox.path(&format!("man/man1/dysno-{command}.1"));
        assert!(fs::read_to_string(page).unwrap().contains("Example"), "{command}");
    }
}
