//! Builds a tree from the entries of a snapshot.
//!
//! Entries come in the order of their paths, so that the directory of each is one that this writer made and still
//! holds open. Every operation takes that handle and one name: no path is ever resolved, and nothing that a hostile
//! snapshot says can reach what lies outside.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::acl;
use super::descent::{Descent, open_directory};
use super::metadata::Fresh;
use super::walk::below;
use super::xattr::Target;
use crate::owners::Owners;
use crate::place::Place;
use crate::tree::{Content, Device, Entry, Metadata, Node, TreePath};
use crate::{Error, Interrupt, Result, Unreadable};

/// Bytes that are written at once; a multiple of [`HOLE_BYTES`].
const BUFFER_BYTES: usize = 256 << 10;

/// The zeros of this size and alignment become a hole: a block of nearly every file system.
const HOLE_BYTES: usize = 4096;

/// Bytes of a path that the kernel resolves at once, less than `PATH_MAX`.
const STEP_BYTES_MAX: usize = 2048;

/// Opens the content of a file.
pub(super) type Open<'a> = &'a dyn Fn(&Content) -> Result<Box<dyn Read + Send + 'a>>;

/// A tree under construction. Its directories are open to their owner only, until they get their metadata.
pub(super) struct TreeWriter<'a> {
    path: PathBuf,
    interrupt: &'a Interrupt,
    unreadable: Unreadable,
    owners: Owners,
    descent: Descent,
    /// The directories on the way to the last entry, outermost first, with the metadata that they get when left.
    open: Vec<(TreePath, Metadata)>,
    last: Option<TreePath>,
    /// What the snapshot lacks and the user agreed to do without.
    lacking: HashSet<TreePath>,
    buffer: Vec<u8>,
}

impl<'a> TreeWriter<'a> {
    /// Starts a tree under `name` beside the live state, where nothing of that name may be.
    pub(super) fn create(
        place: &Place,
        name: &OsStr,
        unreadable: Unreadable,
        interrupt: &'a Interrupt,
    ) -> Result<Self> {
        let fault = |errno| place.fault("create", name, errno);
        rustix::fs::mkdirat(place.directory(), name, Mode::RWXU).map_err(fault)?;
        let root = make_private(place.directory(), name);
        let descent = root.and_then(Descent::new);
        let descent = match descent {
            Ok(descent) => descent,
            Err(error) => {
                // It is ours and empty; the error that matters is the first.
                let _ = rustix::fs::unlinkat(place.directory(), name, AtFlags::REMOVEDIR);
                return Err(Error::file("create", place.path_of(name))(error));
            }
        };
        Ok(Self {
            path: place.path_of(name),
            interrupt,
            unreadable,
            owners: Owners::default(),
            descent,
            open: Vec::new(),
            last: None,
            lacking: HashSet::new(),
            buffer: vec![0; BUFFER_BYTES],
        })
    }

    /// Adds an entry.
    pub(super) fn entry(&mut self, entry: &Entry, open: Open<'_>) -> Result<()> {
        self.interrupt.stop_if_raised()?;
        if self.last.as_ref().is_some_and(|last| *last >= entry.path) {
            return Err(foreign(&entry.path, "does not come in the order of the paths"));
        }
        self.last = Some(entry.path.clone());
        let Some(parent) = entry.path.parent() else {
            return self.root(entry);
        };
        while self.open.len() > 1 && self.open.last().is_some_and(|(path, _)| *path != parent) {
            self.close_directory()?;
        }
        if self.open.last().is_none_or(|(path, _)| *path != parent) {
            return Err(foreign(&entry.path, "does not lie in a directory of the snapshot"));
        }
        self.node(entry, open)
    }

    /// Ends the tree: gives the open directories their metadata and makes all of it durable.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.open.is_empty() {
            return Err(Error::Foreign { reason: "it has no entries".to_owned() });
        }
        while self.open.len() > 1 {
            self.close_directory()?;
        }
        self.set_directory_metadata()?;
        // Contents, names and metadata at once; one call for each file would take many times as long.
        rustix::fs::syncfs(self.descent.current())
            .map_err(|errno| Error::file("sync", &self.path)(errno.into()))
    }

    fn root(&mut self, entry: &Entry) -> Result<()> {
        if entry.node != Node::Directory {
            return Err(foreign(&entry.path, "is the root and no directory"));
        }
        let metadata = metadata_of(entry)?.clone();
        self.open.push((entry.path.clone(), metadata));
        Ok(())
    }

    fn node(&mut self, entry: &Entry, open: Open<'_>) -> Result<()> {
        let name = CString::new(entry.path.name())
            .map_err(|_| foreign(&entry.path, "has a NUL in its name"))?;
        match &entry.node {
            Node::File(content) => self.file(entry, &name, content, open),
            Node::Directory => self.directory(entry, &name),
            Node::Symlink(target) => {
                let made = rustix::fs::symlinkat(target.as_slice(), self.descent.current(), &name);
                self.special(entry, &name, FileType::Symlink, made)
            }
            Node::Fifo => self.device(entry, &name, FileType::Fifo, Device { major: 0, minor: 0 }),
            Node::CharacterDevice(device) => {
                self.device(entry, &name, FileType::CharacterDevice, *device)
            }
            Node::BlockDevice(device) => self.device(entry, &name, FileType::BlockDevice, *device),
            Node::HardLink(first) => self.hard_link(entry, &name, first),
            Node::Unreadable => self.lacking(entry),
        }
    }

    fn directory(&mut self, entry: &Entry, name: &CString) -> Result<()> {
        let metadata = metadata_of(entry)?.clone();
        let at = self.descent.current();
        rustix::fs::mkdirat(at, name, Mode::RWXU).map_err(self.fault("create", &entry.path))?;
        let handle = open_directory(at, name).map_err(self.fault("open", &entry.path))?;
        self.descent.enter(handle).map_err(Error::file("open", below(&self.path, &entry.path)))?;
        self.open.push((entry.path.clone(), metadata));
        Ok(())
    }

    fn file(
        &mut self,
        entry: &Entry,
        name: &CString,
        content: &Content,
        open: Open<'_>,
    ) -> Result<()> {
        let metadata = metadata_of(entry)?;
        let mut reader = open(content)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let private = Mode::RUSR | Mode::WUSR;
        let file = rustix::fs::openat(self.descent.current(), name, flags, private)
            .map_err(self.fault("create", &entry.path))?;
        let size = self.fill(&file, &mut *reader, &entry.path)?;
        if size != content.size_bytes {
            let reason = format!(
                "{} has {size} bytes, but the snapshot says {}",
                entry.path, content.size_bytes
            );
            return Err(Error::Verification { reason });
        }
        self.set_metadata(&Fresh::Open(file.as_fd()), metadata, &entry.path)
    }

    /// Copies a content into a file and leaves holes where it is zero; returns its size.
    fn fill(&mut self, file: &OwnedFd, reader: &mut dyn Read, path: &TreePath) -> Result<u64> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let filled = self.fill_with(&mut buffer, file, reader, path);
        self.buffer = buffer;
        filled
    }

    fn fill_with(
        &self,
        buffer: &mut [u8],
        file: &OwnedFd,
        reader: &mut dyn Read,
        path: &TreePath,
    ) -> Result<u64> {
        let (mut size, mut written) = (0, 0);
        loop {
            self.interrupt.stop_if_raised()?;
            let length = read_full(reader, buffer).map_err(Error::read)?;
            for run in data_runs(&buffer[..length]) {
                let at = size + run.start as u64;
                write_at(file, &buffer[run.clone()], at)
                    .map_err(Error::file("write", below(&self.path, path)))?;
                written = size + run.end as u64;
            }
            size += length as u64;
            if length < buffer.len() {
                break;
            }
        }
        if written < size {
            rustix::fs::ftruncate(file, size).map_err(self.fault("write", path))?;
        }
        Ok(size)
    }

    fn device(
        &mut self,
        entry: &Entry,
        name: &CString,
        kind: FileType,
        device: Device,
    ) -> Result<()> {
        let device = rustix::fs::makedev(device.major, device.minor);
        let private = Mode::RUSR | Mode::WUSR;
        let made = rustix::fs::mknodat(self.descent.current(), name, kind, private, device);
        self.special(entry, name, kind, made)
    }

    fn special(
        &mut self,
        entry: &Entry,
        name: &CString,
        kind: FileType,
        made: rustix::io::Result<()>,
    ) -> Result<()> {
        made.map_err(self.fault("create", &entry.path))?;
        let (path, at) = (&self.path, self.descent.current());
        let fault = |verb, errno: Errno| Error::file(verb, below(path, &entry.path))(errno.into());
        Fresh::Named(at, name, kind).set(metadata_of(entry)?, &mut self.owners, &fault)
    }

    fn hard_link(&mut self, entry: &Entry, name: &CString, first: &TreePath) -> Result<()> {
        if self.lacking.contains(first) {
            self.lacking.insert(entry.path.clone());
            return Ok(());
        }
        if *first >= entry.path {
            return Err(foreign(&entry.path, "is a hard link to what does not come before it"));
        }
        let linked = self.open_parent(first).and_then(|parent| {
            let first = OsStr::from_bytes(first.name());
            // Without a flag: a link that lies there is linked, not followed.
            let at = self.descent.current();
            rustix::fs::linkat(&parent, first, at, name, AtFlags::empty())
        });
        linked.map_err(self.fault("link", &entry.path))
    }

    /// Opens the directory of something that this writer made, without following anything that it made.
    fn open_parent(&self, path: &TreePath) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let open = |at: BorrowedFd<'_>, step: &[u8]| {
            rustix::fs::openat2(at, step, flags, Mode::empty(), beneath)
        };
        let mut handle = open(self.descent.root(), b".")?;
        let parent = path.parent().unwrap_or_default();
        let mut rest = parent.as_bytes();
        while !rest.is_empty() {
            // At a separator, so that each step is short enough for the kernel.
            let end = match rest.get(STEP_BYTES_MAX..) {
                Some(tail) => tail.iter().position(|&b| b == b'/').map(|at| at + STEP_BYTES_MAX),
                None => None,
            };
            let (step, tail) = rest.split_at(end.unwrap_or(rest.len()));
            handle = open(handle.as_fd(), step)?;
            rest = tail.strip_prefix(b"/").unwrap_or(tail);
        }
        Ok(handle)
    }

    fn lacking(&mut self, entry: &Entry) -> Result<()> {
        match self.unreadable {
            Unreadable::Fail => Err(Error::Lacking { path: entry.path.to_string() }),
            // Left out: an empty file in its place would pass for the file.
            Unreadable::Allow => {
                self.lacking.insert(entry.path.clone());
                Ok(())
            }
        }
    }

    fn close_directory(&mut self) -> Result<()> {
        self.set_directory_metadata()?;
        let left = self.descent.leave();
        let (path, _) = self.open.pop().expect("only open directories are closed");
        left.map_err(Error::file("leave", below(&self.path, &path)))
    }

    /// Gives the innermost directory its metadata. Only when its children are there: they would change its time, and
    /// its mode might forbid them.
    fn set_directory_metadata(&mut self) -> Result<()> {
        let (path, metadata) = self.open.last().expect("only open directories are closed");
        let root = &self.path;
        let fault = |verb, errno: Errno| Error::file(verb, below(root, path))(errno.into());
        Fresh::Open(self.descent.current()).set(metadata, &mut self.owners, &fault)
    }

    fn set_metadata(
        &mut self,
        fresh: &Fresh<'_>,
        metadata: &Metadata,
        path: &TreePath,
    ) -> Result<()> {
        let root = &self.path;
        let fault = |verb, errno: Errno| Error::file(verb, below(root, path))(errno.into());
        fresh.set(metadata, &mut self.owners, &fault)
    }

    fn fault(&self, verb: &'static str, path: &TreePath) -> impl FnOnce(Errno) -> Error + use<> {
        let path = below(&self.path, path);
        move |errno| Error::file(verb, path)(errno.into())
    }
}

/// Opens the directory that was just made and takes from it what it inherited from the directory around it.
fn make_private(at: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = rustix::fs::openat(at, name, flags, Mode::empty())?;
    // A default ACL would be inherited by all that is built here, and a set-group-id bit too.
    let target = Target::Open(root.as_fd());
    target.remove(acl::ACCESS)?;
    target.remove(acl::DEFAULT)?;
    rustix::fs::fchmod(&root, Mode::RWXU)?;
    Ok(root)
}

fn metadata_of(entry: &Entry) -> Result<&Metadata> {
    entry.metadata.as_ref().ok_or_else(|| foreign(&entry.path, "has no metadata"))
}

fn foreign(path: &TreePath, what: &str) -> Error {
    Error::Foreign { reason: format!("{path} {what}") }
}

/// Reads until the buffer is full or the content ends.
fn read_full(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match reader.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// Returns the parts of `bytes` that are no holes.
fn data_runs(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    static ZEROS: [u8; HOLE_BYTES] = [0; HOLE_BYTES];
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    let mut start = 0;
    for block in bytes.chunks(HOLE_BYTES) {
        let end = start + block.len();
        if *block != ZEROS {
            match runs.last_mut() {
                Some(run) if run.end == start => run.end = end,
                _ => runs.push(start..end),
            }
        }
        start = end;
    }
    runs
}

fn write_at(file: &OwnedFd, mut bytes: &[u8], mut position: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let n = rustix::io::retry_on_intr(|| rustix::io::pwrite(file, bytes, position))?;
        bytes = &bytes[n..];
        position += n as u64;
    }
    Ok(())
}
