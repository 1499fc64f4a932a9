//! The only file that asks the system for the time, randomness, names, paths and signals.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plugins::{Context, Interrupt};
use rustix::rand::{GetRandomFlags, getrandom};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_default};

use crate::host::{RealDisk, Surroundings};

/// Where Debian and its kin keep the tools of each version of PostgreSQL.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";
/// Where NixOS keeps the tools of the running system, which services do not have on their path.
const NIXOS_TOOLS: &str = "/run/current-system/sw/bin";

/// The signals that ask the program to stop.
pub(super) struct Signals {
    interrupt: Arc<AtomicBool>,
    is_asking: Arc<AtomicBool>,
}

impl Signals {
    /// Begins to catch them. The first asks the work to stop in order, a second one ends the process at once.
    pub(super) fn catch() -> io::Result<Self> {
        let signals = Self { interrupt: Arc::default(), is_asking: Arc::default() };
        for signal in [SIGINT, SIGTERM] {
            // In this order: the one that raises the flag must run after those that look at it.
            register_conditional_default(signal, Arc::clone(&signals.interrupt))?;
            register_conditional_default(signal, Arc::clone(&signals.is_asking))?;
            register(signal, Arc::clone(&signals.interrupt))?;
        }
        Ok(signals)
    }

    /// Waits for the user with `ask`. Nothing is under way then, so that a signal ends the process at once.
    pub(super) fn while_asking<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.is_asking.store(true, Ordering::SeqCst);
        let answer = ask();
        self.is_asking.store(false, Ordering::SeqCst);
        answer
    }

    /// Returns the wish to stop, as the library sees it.
    pub(super) fn interrupt(&self) -> Interrupt {
        Interrupt::new(Arc::clone(&self.interrupt))
    }
}

/// Returns what the library must not ask for itself.
pub(super) fn surroundings(interrupt: Interrupt) -> Surroundings {
    Surroundings {
        now: jiff::Timestamp::now,
        random,
        host_name: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        context: Context { tool_path: tool_path(), interrupt, scratch_dir: scratch_dir() },
        disk: Arc::new(RealDisk),
    }
}

fn random() -> u128 {
    let mut bytes = [0; 16];
    let n = getrandom(&mut bytes, GetRandomFlags::empty());
    // Requests of up to 256 bytes are neither cut short nor interrupted; see getrandom(2).
    assert_eq!(n, Ok(bytes.len()), "the kernel gives randomness");
    u128::from_ne_bytes(bytes)
}

/// Returns where the user wants large temporary files, if anywhere special.
fn scratch_dir() -> Option<PathBuf> {
    env::var_os("TMPDIR").map(PathBuf::from).filter(|path| path.is_absolute())
}

fn tool_path() -> Vec<PathBuf> {
    let mut path: Vec<PathBuf> = env::var_os("PATH")
        .map(|path| env::split_paths(&path).filter(|path| path.is_absolute()).collect())
        .unwrap_or_default();
    path.extend(versioned_tools(Path::new(POSTGRES_VERSIONS)));
    path.push(PathBuf::from(NIXOS_TOOLS));
    path
}

/// Returns the directories of tools below one that holds a directory for each version, the newest first.
fn versioned_tools(versions: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(versions) else { return Vec::new() };
    let number = |name: &str| -> Option<Vec<u32>> {
        name.split('.').map(|part| part.parse().ok()).collect()
    };
    let mut found: Vec<_> = entries
        .filter_map(|entry| entry.ok())
        .map(|entry| (number(&entry.file_name().to_string_lossy()), entry.path().join("bin")))
        .filter(|(number, path)| number.is_some() && path.is_dir())
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Where things lie when nothing else is said: for the system where root runs us, else for the user.
pub(super) fn default_config_path() -> Option<PathBuf> {
    if is_root() {
        return Some(PathBuf::from("/etc/dysno/dysno.toml"));
    }
    Some(user_directory("XDG_CONFIG_HOME", ".config")?.join("dysno/dysno.toml"))
}

/// Returns where the state lies when nothing else is said; none where there is no home directory.
pub(super) fn default_state_dir() -> Option<PathBuf> {
    if is_root() {
        return Some(PathBuf::from("/var/lib/dysno"));
    }
    Some(user_directory("XDG_STATE_HOME", ".local/state")?.join("dysno"))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// By the XDG base directory specification, a path that is not absolute is ignored.
fn user_directory(variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute(variable).or_else(|| Some(absolute("HOME")?.join(below_home)))
}

/// Returns the user's shell.
pub(super) fn user_shell() -> PathBuf {
    let shell = env::var_os("SHELL").filter(|shell| !shell.is_empty());
    shell.map_or_else(|| PathBuf::from("/bin/sh"), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        for version in ["9.6", "15", "17", "common", "9.10"] {
            fs::create_dir_all(directory.path().join(version).join("bin")).unwrap();
        }
        let found = versioned_tools(directory.path());
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(directory.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["17/bin", "15/bin", "9.10/bin", "9.6/bin"]);
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random(), random());
    }
}
