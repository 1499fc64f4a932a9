//! Walks the live tree and writes it down as a snapshot, in the order of its paths.

use std::collections::HashMap;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::acl;
use super::content::{self, Fault};
use super::descent::{Descent, Names, open_directory, unnoticed};
use super::metadata::{self, file_type, is_same, is_stable, n_links};
use super::prior::{Key, Prior};
use super::times;
use super::xattr::{Reader, Target};
use crate::owners::Owners;
use crate::tree::{Device, Entry, Metadata, Node, Timestamp, TreePath};
use crate::{Capture, Changing, Cut, Error, Interrupt, Result, SnapshotOptions, Unreadable};

/// How often a file that changes while it is read is read in all. A file that is written without pause never holds
/// still; three times catches one that was just being replaced.
const READS_MAX: usize = 3;

/// Bytes that are read at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Hints that are handed on at once.
const HINTS_BYTES: usize = 64 << 10;

/// Writes the tree below `root`, which is at `path`, to `capture`.
pub(super) fn walk(
    path: PathBuf,
    root: OwnedFd,
    capture: &dyn Capture,
    options: SnapshotOptions,
    interrupt: &Interrupt,
) -> Result<()> {
    // Before the sync: what changes during it is too young to be trusted.
    let start = now();
    let previous = match times::tell(&root) {
        true => capture.previous().map_err(Error::read)?,
        false => None,
    };
    let mut walk = Walk {
        capture,
        options,
        interrupt,
        root: path,
        start,
        prior: Prior::new(previous),
        owners: Owners::default(),
        links: HashMap::new(),
        reader: Reader::new(),
        buffer: vec![0; BUFFER_BYTES],
        hints: Vec::with_capacity(HINTS_BYTES + Key::BYTES),
    };
    walk.run(root)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    Timestamp { seconds, nanoseconds: since.subsec_nanos() }
}

struct Walk<'a> {
    capture: &'a dyn Capture,
    options: SnapshotOptions,
    interrupt: &'a Interrupt,
    root: PathBuf,
    start: Timestamp,
    prior: Prior<'a>,
    owners: Owners,
    /// Files with several names: the first name, and how many names are still to come.
    links: HashMap<(u64, u64), (TreePath, u64)>,
    reader: Reader,
    buffer: Vec<u8>,
    hints: Vec<u8>,
}

/// A name in a directory that is being captured.
struct Spot<'a> {
    at: BorrowedFd<'a>,
    name: &'a CStr,
    path: &'a TreePath,
}

/// What came of one attempt to capture something.
enum Attempt {
    /// It was recorded. A directory comes with the handle for going on below it.
    Done(Option<OwnedFd>),
    /// It changed meanwhile.
    Changed,
}

impl Walk<'_> {
    fn run(&mut self, root: OwnedFd) -> Result<()> {
        let path = TreePath::default();
        self.open_directory_entry(&path, root.as_fd())?;
        let mut frames = vec![(self.list(root.as_fd(), &path)?, path)];
        let fault = Error::file("open", &self.root);
        let mut descent = Descent::new(root).map_err(fault)?;
        while let Some((names, directory)) = frames.last_mut() {
            self.interrupt.stop_if_raised()?;
            let Some(name) = names.next() else {
                let fault = self.fault("leave", directory);
                frames.pop();
                if !frames.is_empty() {
                    descent.leave().map_err(fault)?;
                }
                continue;
            };
            let path = directory.join(name.to_bytes()).ok_or_else(|| {
                let path = self.live(directory).join(OsStr::from_bytes(name.to_bytes()));
                Error::file("record", path)(Errno::NAMETOOLONG.into())
            })?;
            let spot = Spot { at: descent.current(), name, path: &path };
            if let Some(handle) = self.visit(&spot)? {
                let names = self.list(handle.as_fd(), &path)?;
                descent.enter(handle).map_err(self.fault("open", &path))?;
                frames.push((names, path));
            }
        }
        self.flush()
    }

    fn list(&self, directory: BorrowedFd<'_>, path: &TreePath) -> Result<Names> {
        Names::read(directory).map_err(self.fault("list", path))
    }

    /// Records one name. Returns the handle of a directory whose names come next.
    fn visit(&mut self, spot: &Spot<'_>) -> Result<Option<OwnedFd>> {
        let capture = self.capture;
        let mut earlier = self.prior.take(spot.path, |warning| capture.warn(warning));
        for attempt in 1..=READS_MAX {
            let stat = match rustix::fs::statat(spot.at, spot.name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // It was removed since the directory was listed: as if the snapshot had begun a little later.
                Err(Errno::NOENT) => return Ok(None),
                Err(errno) => {
                    self.unreadable(spot.path, errno.into())?;
                    return Ok(None);
                }
            };
            let last = attempt == READS_MAX;
            match self.attempt(spot, &stat, earlier.take(), last)? {
                Attempt::Done(handle) => return Ok(handle),
                Attempt::Changed => {}
            }
        }
        Err(Error::Changing { path: self.live(spot.path) })
    }

    fn attempt(
        &mut self,
        spot: &Spot<'_>,
        stat: &Stat,
        earlier: Option<(Entry, Key)>,
        last: bool,
    ) -> Result<Attempt> {
        let key = Key::of(stat, &mut self.owners);
        let kind = file_type(stat);
        if kind == FileType::Socket {
            // Made by its server at every start: not state.
            return Ok(Attempt::Done(None));
        }
        if kind != FileType::Directory && self.link(spot.path, stat)? {
            return Ok(Attempt::Done(None));
        }
        let same = earlier.filter(|(entry, old)| *old == key && is_kind(&entry.node, kind));
        let same = same.map(|(entry, _)| entry);
        if kind == FileType::Directory {
            return self.directory(spot, stat, key, same);
        }
        let attempt = match same {
            Some(entry) if !has_names_in_acl(&entry) => {
                self.record(entry, key.unless_young(stat, self.start))?;
                Attempt::Done(None)
            }
            same if kind == FileType::RegularFile => self.file(spot, stat, key, same, last)?,
            _ => self.special(spot, stat, key, kind)?,
        };
        if stat.st_nlink > 1 && matches!(attempt, Attempt::Done(_)) {
            let others = n_links(stat) - 1;
            self.links.insert((stat.st_dev, stat.st_ino), (spot.path.clone(), others));
        }
        Ok(attempt)
    }

    /// Records another name of a file that was recorded already; returns whether it was one.
    fn link(&mut self, path: &TreePath, stat: &Stat) -> Result<bool> {
        let identity = (stat.st_dev, stat.st_ino);
        let Some((first, others)) = self.links.get_mut(&identity).filter(|_| stat.st_nlink > 1)
        else {
            return Ok(false);
        };
        *others = others.saturating_sub(1);
        let done = *others == 0;
        let node = Node::HardLink(first.clone());
        if done {
            self.links.remove(&identity);
        }
        self.record(Entry { path: path.clone(), node, metadata: None }, Key::NEVER)?;
        Ok(true)
    }

    fn directory(
        &mut self,
        spot: &Spot<'_>,
        stat: &Stat,
        key: Key,
        same: Option<Entry>,
    ) -> Result<Attempt> {
        let handle = match open_directory(spot.at, spot.name) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Attempt::Changed),
            Err(Errno::XDEV) => {
                self.capture.warn(&format!(
                    "{} is a mount point; what lies in it is not part of the snapshot",
                    self.live(spot.path).display()
                ));
                return self.special(spot, stat, Key::NEVER, FileType::Directory);
            }
            Err(errno) => {
                self.unreadable(spot.path, errno.into())?;
                let metadata = metadata::plain(stat, &mut self.owners);
                self.record(entry(spot.path, Node::Directory, metadata), Key::NEVER)?;
                return Ok(Attempt::Done(None));
            }
        };
        let opened =
            rustix::fs::fstat(&handle).map_err(|e| self.fault("open", spot.path)(e.into()))?;
        if !is_same(stat, &opened) {
            return Ok(Attempt::Changed);
        }
        match same {
            Some(same) if !has_names_in_acl(&same) => {
                self.record(same, key.unless_young(stat, self.start))?;
            }
            _ => self.open_directory_entry(spot.path, handle.as_fd())?,
        }
        Ok(Attempt::Done(Some(handle)))
    }

    /// Records an open directory.
    fn open_directory_entry(&mut self, path: &TreePath, handle: BorrowedFd<'_>) -> Result<()> {
        let stat =
            rustix::fs::fstat(handle).map_err(|errno| self.fault("open", path)(errno.into()))?;
        let metadata = self.metadata(path, &stat, &Target::Open(handle))?;
        let key = Key::of(&stat, &mut self.owners).unless_young(&stat, self.start);
        self.record(entry(path, Node::Directory, metadata), key)
    }

    fn file(
        &mut self,
        spot: &Spot<'_>,
        stat: &Stat,
        key: Key,
        same: Option<Entry>,
        last: bool,
    ) -> Result<Attempt> {
        // A pipe that took the file's place would block without NONBLOCK.
        let flags =
            OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::openat(spot.at, spot.name, flags, Mode::empty());
        let handle = match unnoticed(flags, open) {
            Ok(handle) => handle,
            Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(Attempt::Changed),
            Err(errno) => return self.unreadable_file(spot, stat, errno.into()),
        };
        let before = match rustix::fs::fstat(&handle) {
            Ok(before) => before,
            Err(errno) => return self.unreadable_file(spot, stat, errno.into()),
        };
        if !is_stable(stat, &before) && !last || !is_same(stat, &before) {
            return Ok(Attempt::Changed);
        }
        let target = Target::Open(handle.as_fd());
        let metadata = self.metadata(spot.path, &before, &target)?;
        if let Some(Entry { node, .. }) = same {
            self.record(entry(spot.path, node, metadata), key.unless_young(stat, self.start))?;
            return Ok(Attempt::Done(None));
        }
        let mut writer = self.capture.content(Cut::Tree).map_err(Error::write)?;
        match content::copy(handle.as_fd(), &before, &mut *writer, &mut self.buffer, self.interrupt)
        {
            Ok(()) => {}
            Err(Fault::Reading(error)) => {
                // Before anything else is written: what was read so far is not to be kept.
                drop(writer);
                return self.unreadable_file(spot, stat, error);
            }
            Err(Fault::Writing(error)) => return Err(Error::write(error)),
            Err(Fault::Interrupted) => return Err(Error::Interrupted),
        }
        let after = rustix::fs::fstat(&handle)
            .map_err(|errno| self.fault("read", spot.path)(errno.into()))?;
        let mut key = Key::of(&after, &mut self.owners).unless_young(&after, self.start);
        if !is_stable(&before, &after) {
            if !last || self.options.changing == Changing::Fail {
                return Ok(Attempt::Changed);
            }
            let path = self.live(spot.path);
            self.capture.warn(&format!("{} changed while it was read", path.display()));
            key = Key::NEVER;
        }
        let content = writer.finish().map_err(Error::write)?;
        self.record(entry(spot.path, Node::File(content), metadata), key)?;
        Ok(Attempt::Done(None))
    }

    /// Records a link, a pipe, a device, or a directory that cannot be gone into.
    fn special(
        &mut self,
        spot: &Spot<'_>,
        stat: &Stat,
        key: Key,
        kind: FileType,
    ) -> Result<Attempt> {
        let device = Device {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        };
        let node = match kind {
            FileType::Symlink => match rustix::fs::readlinkat(spot.at, spot.name, Vec::new()) {
                Ok(target) => Node::Symlink(target.into_bytes()),
                Err(Errno::NOENT | Errno::INVAL) => return Ok(Attempt::Changed),
                Err(errno) => return Err(self.fault("read", spot.path)(errno.into())),
            },
            FileType::Directory => Node::Directory,
            FileType::Fifo => Node::Fifo,
            FileType::CharacterDevice => Node::CharacterDevice(device),
            FileType::BlockDevice => Node::BlockDevice(device),
            FileType::RegularFile | FileType::Socket | FileType::Unknown => {
                let error = io::Error::other("it is of a type that Linux does not have");
                return Err(self.fault("record", spot.path)(error));
            }
        };
        let target = Target::named(spot.at, spot.name);
        let metadata = self.metadata(spot.path, stat, &target)?;
        let after = rustix::fs::statat(spot.at, spot.name, AtFlags::SYMLINK_NOFOLLOW);
        // Read by name three times: only together do they describe one thing.
        if !after.is_ok_and(|after| is_stable(stat, &after)) {
            return Ok(Attempt::Changed);
        }
        let key =
            if kind == FileType::Directory { key } else { key.unless_young(stat, self.start) };
        self.record(entry(spot.path, node, metadata), key)?;
        Ok(Attempt::Done(None))
    }

    fn unreadable_file(
        &mut self,
        spot: &Spot<'_>,
        stat: &Stat,
        error: io::Error,
    ) -> Result<Attempt> {
        self.unreadable(spot.path, error)?;
        let metadata = metadata::plain(stat, &mut self.owners);
        self.record(entry(spot.path, Node::Unreadable, metadata), Key::NEVER)?;
        Ok(Attempt::Done(None))
    }

    /// Fails, or warns, as the options say.
    fn unreadable(&self, path: &TreePath, error: io::Error) -> Result<()> {
        match self.options.unreadable {
            Unreadable::Fail => Err(self.fault("read", path)(error)),
            Unreadable::Allow => {
                let live = self.live(path);
                self.capture.warn(&format!("{} cannot be read: {error}", live.display()));
                Ok(())
            }
        }
    }

    fn metadata(&mut self, path: &TreePath, stat: &Stat, target: &Target<'_>) -> Result<Metadata> {
        metadata::read(stat, target, &mut self.reader, &mut self.owners)
            .map_err(|error| self.fault("read the attributes of", path)(error))
    }

    fn record(&mut self, entry: Entry, key: Key) -> Result<()> {
        self.capture.entry(entry).map_err(Error::write)?;
        self.hints.extend_from_slice(key.as_bytes());
        if self.hints.len() >= HINTS_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        if !self.hints.is_empty() {
            self.capture.hint(&self.hints).map_err(Error::write)?;
            self.hints.clear();
        }
        Ok(())
    }

    fn fault(
        &self,
        verb: &'static str,
        path: &TreePath,
    ) -> impl FnOnce(io::Error) -> Error + use<> {
        Error::file(verb, self.live(path))
    }

    fn live(&self, path: &TreePath) -> PathBuf {
        below(&self.root, path)
    }
}

/// Returns where a path of the snapshot is below `root`.
pub(super) fn below(root: &Path, path: &TreePath) -> PathBuf {
    if path.is_root() { root.to_owned() } else { root.join(OsStr::from_bytes(path.as_bytes())) }
}

fn entry(path: &TreePath, node: Node, metadata: Metadata) -> Entry {
    Entry { path: path.clone(), node, metadata: Some(metadata) }
}

/// Returns whether an entry of the last snapshot can stand for a file of that type. A hard link cannot: its first name
/// may be gone.
fn is_kind(node: &Node, kind: FileType) -> bool {
    match node {
        Node::File(_) => kind == FileType::RegularFile,
        Node::Directory => kind == FileType::Directory,
        Node::Symlink(_) => kind == FileType::Symlink,
        Node::Fifo => kind == FileType::Fifo,
        Node::CharacterDevice(_) => kind == FileType::CharacterDevice,
        Node::BlockDevice(_) => kind == FileType::BlockDevice,
        Node::HardLink(_) | Node::Unreadable => false,
    }
}

/// Returns whether an entry holds names that can change without the file's changing and that its key does not hold.
fn has_names_in_acl(entry: &Entry) -> bool {
    entry.metadata.as_ref().is_some_and(|metadata| {
        acl::names_somebody(metadata.access_acl.as_ref())
            || acl::names_somebody(metadata.default_acl.as_ref())
    })
}
