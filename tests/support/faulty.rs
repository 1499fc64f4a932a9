//! A disk that fails at the n-th operation.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use dysno::disk::{Disk, RealDisk};

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process dies here: neither this operation nor any later one happens.
    Death,
    /// This one fails with an I/O error; the program goes on as it can.
    Io,
    /// This one and all later ones that need space fail; a write has written half.
    Full,
}

/// Counts operations and lets one fail.
pub(crate) struct FaultyDisk {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    fail_at: usize,
    /// What was attempted, in order.
    operations: Vec<String>,
}

impl FaultyDisk {
    /// A disk on which operation `fail_at`, counted from 0, fails.
    pub(crate) fn new(fault: Fault, fail_at: usize) -> Self {
        Self { fault, state: Mutex::new(State { fail_at, operations: Vec::new() }) }
    }

    /// Returns the operation that failed; none where all happened.
    pub(crate) fn failed(&self) -> Option<String> {
        let state = self.state.lock().unwrap();
        state.operations.get(state.fail_at).cloned()
    }

    /// Returns all that was attempted, in order.
    pub(crate) fn operations(&self) -> Vec<String> {
        self.state.lock().unwrap().operations.clone()
    }

    fn attempt(&self, operation: &str, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.operations.push(format!("{operation} {}", path.display()));
        let at = state.operations.len() - 1;
        let needs_space = !operation.starts_with("remove");
        let fails = match self.fault {
            Fault::Death => at >= state.fail_at,
            Fault::Io => at == state.fail_at,
            Fault::Full => at >= state.fail_at && needs_space,
        };
        if !fails {
            return Ok(());
        }
        Err(match self.fault {
            Fault::Death => io::Error::other("the process is dead"),
            Fault::Io => io::Error::from_raw_os_error(5),
            Fault::Full => io::Error::from_raw_os_error(28),
        })
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.attempt("create directory", path)?;
        RealDisk.create_dir(path)
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        self.attempt("create", path)?;
        RealDisk.create(path)
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        if let Err(error) = self.attempt("write", Path::new("")) {
            // A write that fails has often written something.
            let _ = RealDisk.write(file, &bytes[..bytes.len() / 2]);
            return Err(error);
        }
        RealDisk.write(file, bytes)
    }

    fn set_mode(&self, file: &File, mode: u32) -> io::Result<()> {
        self.attempt("set mode", Path::new(""))?;
        RealDisk.set_mode(file, mode)
    }

    fn sync(&self, _file: &File) -> io::Result<()> {
        // What is on the disk after a power cut is not tested here, so syncing for real would only take time.
        self.attempt("sync", Path::new(""))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.attempt("sync directory", path)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.attempt("rename to new", to)?;
        RealDisk.rename_new(from, to)
    }

    fn rename_over(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.attempt("rename over", to)?;
        RealDisk.rename_over(from, to)
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.attempt("symlink", path)?;
        RealDisk.symlink(target, path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.attempt("remove", path)?;
        RealDisk.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.attempt("remove directory", path)?;
        RealDisk.remove_dir_all(path)
    }

    fn commit(&self, what: &'static str) -> io::Result<()> {
        self.attempt("commit", Path::new(what))
    }
}
