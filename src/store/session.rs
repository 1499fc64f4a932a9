//! Sessions and locks: who uses the store, told by the kernel.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Store;
use super::error::{Error, Result};

/// How long a session waits for a garbage collection to end. Collections of large stores take minutes; a writer that
/// comes in one should not fail for it.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How long a lock that was let go may still be seen: by a child that was being started and has not closed its copy yet.
const MOMENT: Duration = Duration::from_millis(250);
/// Between two looks in that moment.
const MOMENT_STEP: Duration = Duration::from_millis(5);
/// Between two looks at a lock that somebody holds.
const WAIT_STEP: Duration = Duration::from_millis(50);
/// What a lock file says of its holder is short; more is not read.
const HOLDER_BYTES_MAX: u64 = 1024;

/// How much of the store a session keeps from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads and adds, beside others who do the same.
    Shared,
    /// Removes, so it must be alone.
    Exclusive,
}

/// One use of the store. Its end removes what it left unfinished.
pub struct Session<'a> {
    store: &'a Store,
    directory: PathBuf,
    lease_path: PathBuf,
    /// Held until the end; released by the kernel when the process dies.
    _lease: File,
    _store_lock: Lock,
    n_files: AtomicU64,
}

static N_SESSIONS: AtomicU64 = AtomicU64::new(0);

impl<'a> Session<'a> {
    /// Opens a session. A shared one waits for a collection to end, after telling `waiting` who runs it; an exclusive one
    /// does not wait for anybody.
    pub fn open(
        store: &'a Store,
        access: Access,
        doing: &str,
        waiting: impl FnOnce(&str),
    ) -> Result<Self> {
        let lock_path = store.run_path("store.lock");
        let store_lock = match access {
            Access::Shared => Lock::shared(&lock_path, waiting)?,
            Access::Exclusive => Lock::exclusive(&lock_path, doing)?,
        };
        let number = N_SESSIONS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{number}", std::process::id());
        let lease_path = store.run_path(&format!("{name}.lease"));
        let directory = store.path().join("tmp").join(&name);
        store.remove_dead_sessions()?;
        // Locked under another name first: a lease that is seen unlocked belongs to the dead.
        let unlocked_path = store.run_path(&format!("{name}.new"));
        let lease = open_lock(&unlocked_path)?;
        lease.try_lock().map_err(|_| held(&unlocked_path))?;
        say_holder(&lease, doing);
        let disk = store.disk();
        disk.rename_over(&unlocked_path, &lease_path)
            .map_err(Error::file("create", &lease_path))?;
        disk.create_dir(&directory).map_err(Error::file("create", &directory))?;
        let n_files = AtomicU64::new(0);
        Ok(Self { store, directory, lease_path, _lease: lease, _store_lock: store_lock, n_files })
    }

    /// Returns the store.
    pub fn store(&self) -> &'a Store {
        self.store
    }

    /// Creates a file that is the session's until it is renamed, and removed with it otherwise.
    pub fn create_file(&self, what: &str) -> Result<(PathBuf, File)> {
        let path = self.new_file(what);
        let file = self.store.disk().create(&path).map_err(Error::file("create", &path))?;
        Ok((path, file))
    }

    /// Returns a path for a new unfinished file of this session.
    pub(crate) fn new_file(&self, what: &str) -> PathBuf {
        let number = self.n_files.fetch_add(1, Ordering::Relaxed);
        self.directory.join(format!("{number}.{what}"))
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // The lease goes last: where something stays, the next session sees that this one is gone and removes it.
        if self.store.disk().remove_dir_all(&self.directory).is_ok() {
            let _ = self.store.disk().remove_file(&self.lease_path);
        }
    }
}

impl Store {
    fn remove_dead_sessions(&self) -> Result<()> {
        let run = self.path().join("run");
        for name in super::file_names(&run)? {
            let Some(session) = name.strip_suffix(".lease") else { continue };
            let lease_path = run.join(&name);
            let Ok(lease) = File::open(&lease_path) else { continue };
            if lease.try_lock().is_ok() {
                let directory = self.path().join("tmp").join(session);
                if directory.exists() {
                    let removed = self.disk().remove_dir_all(&directory);
                    removed.map_err(Error::file("remove", &directory))?;
                }
                // Last, so that a crash in between leaves the sign that there is something to remove.
                let removed = self.disk().remove_file(&lease_path);
                removed.map_err(Error::file("remove", &lease_path))?;
            }
        }
        Ok(())
    }
}

/// A lock on something of the store, held until it is dropped or the process dies.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes a lock alone, or fails with [`Error::Locked`] after a moment.
    pub fn exclusive(path: &Path, doing: &str) -> Result<Self> {
        let file = open_lock(path)?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => {
                    say_holder(&file, doing);
                    return Ok(Self { _file: file });
                }
                Err(TryLockError::WouldBlock) if start.elapsed() < MOMENT => {
                    thread::sleep(MOMENT_STEP)
                }
                Err(TryLockError::WouldBlock) => return Err(held(path)),
                Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
            }
        }
    }

    /// Takes a lock together with others who take it so, waiting for whoever has it alone.
    fn shared(path: &Path, waiting: impl FnOnce(&str)) -> Result<Self> {
        let file = open_lock(path)?;
        let start = Instant::now();
        let mut waiting = Some(waiting);
        loop {
            let locked = file.try_lock_shared();
            if let (Err(TryLockError::WouldBlock), Some(waiting)) = (&locked, waiting.take()) {
                waiting(&read_holder(path));
            }
            match locked {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if start.elapsed() < WAIT_MAX => {
                    thread::sleep(WAIT_STEP)
                }
                Err(TryLockError::WouldBlock) => return Err(held(path)),
                Err(TryLockError::Error(source)) => return Err(Error::file("lock", path)(source)),
            }
        }
    }
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(Error::file("open", path))
}

/// For messages only, so that not being able to say it is no reason to stop.
fn say_holder(mut file: &File, doing: &str) {
    let _ = file.set_len(0);
    let _ = file.write_all(format!("process {} ({doing})", std::process::id()).as_bytes());
}

fn held(path: &Path) -> Error {
    Error::Locked { path: path.to_owned(), holder: read_holder(path) }
}

fn read_holder(path: &Path) -> String {
    let mut holder = String::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(HOLDER_BYTES_MAX).read_to_string(&mut holder);
    }
    if holder.is_empty() { "another process".to_owned() } else { holder }
}
