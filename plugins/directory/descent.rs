//! A path of directory handles, so that neither a long path nor a symbolic link ever comes into a file operation.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, RawDir, ResolveFlags};
use rustix::io::Errno;

/// Handles that stay open at once: well below the usual limit of 1,024 descriptors of a process. A deeper descent
/// closes the outer ones and finds them again through `..`.
const HANDLES_OPEN_MAX: usize = 64;

/// Bytes of names that are read from a directory in one system call.
const LISTING_BYTES: usize = 32 << 10;

/// Handles of a directory, of one directory in it, and so on. The first and the last are always open.
pub(super) struct Descent {
    levels: Vec<Level>,
}

struct Level {
    handle: Option<OwnedFd>,
    identity: (u64, u64),
}

impl Descent {
    /// Starts at `root`.
    pub(super) fn new(root: OwnedFd) -> io::Result<Self> {
        let mut descent = Self { levels: Vec::new() };
        descent.enter(root)?;
        Ok(descent)
    }

    /// Returns the innermost directory.
    pub(super) fn current(&self) -> BorrowedFd<'_> {
        let level = self.levels.last().expect("a descent has at least its root");
        level.handle.as_ref().expect("the innermost handle is open").as_fd()
    }

    /// Returns the outermost directory.
    pub(super) fn root(&self) -> BorrowedFd<'_> {
        let level = self.levels.first().expect("a descent has at least its root");
        level.handle.as_ref().expect("the root's handle stays open").as_fd()
    }

    /// Goes into a directory, which lies in the current one.
    pub(super) fn enter(&mut self, handle: OwnedFd) -> io::Result<()> {
        let identity = identity(&handle)?;
        self.levels.push(Level { handle: Some(handle), identity });
        match self.levels.len().checked_sub(HANDLES_OPEN_MAX + 1) {
            // The root stays open: it is asked for by hard links.
            None | Some(0) => {}
            Some(outer) => self.levels[outer].handle = None,
        }
        Ok(())
    }

    /// Goes back to the containing directory. The root cannot be left.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        assert!(self.levels.len() > 1, "the root is left by dropping the descent");
        let inner = self.levels.pop().and_then(|level| level.handle);
        let inner = inner.expect("the innermost handle is open");
        let level = self.levels.last_mut().expect("the root stays");
        if level.handle.is_none() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let outer = rustix::fs::openat(&inner, "..", flags, Mode::empty())?;
            // Somebody who moves a directory away must not lead us out of the tree.
            if identity(&outer)? != level.identity {
                return Err(io::Error::other("a directory was moved meanwhile"));
            }
            level.handle = Some(outer);
        }
        Ok(())
    }
}

fn identity(handle: &OwnedFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstat(handle)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Opens a directory in `at`. Follows no link and enters no other mount (`EXDEV`).
pub(super) fn open_directory(at: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let open = |flags| rustix::fs::openat2(at, name, flags, Mode::empty(), resolve);
    unnoticed(OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, open)
}

/// Opens without leaving an access time where that is allowed, which it is for the owner and for root.
pub(super) fn unnoticed<T>(
    flags: OFlags,
    open: impl Fn(OFlags) -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        result => result,
    }
}

/// The names in one directory, in ascending order. One block of bytes, because a directory can hold millions.
pub(super) struct Names {
    bytes: Vec<u8>,
    starts: Vec<u32>,
    next: usize,
}

impl Names {
    /// Reads the names in a directory.
    pub(super) fn read(directory: BorrowedFd<'_>) -> io::Result<Self> {
        let mut names = Self { bytes: Vec::new(), starts: Vec::new(), next: 0 };
        let mut buffer = Box::new([MaybeUninit::uninit(); LISTING_BYTES]);
        let mut listing = RawDir::new(directory, &mut buffer[..]);
        while let Some(entry) = listing.next() {
            let entry = entry?;
            let name = entry.file_name();
            if !matches!(name.to_bytes(), b"." | b"..") {
                let start = u32::try_from(names.bytes.len())
                    .map_err(|_| io::Error::other("the directory holds too many names"))?;
                names.starts.push(start);
                names.bytes.extend_from_slice(name.to_bytes_with_nul());
            }
        }
        // Sorted, because the order in which a file system lists names is not part of the state.
        let bytes = &names.bytes;
        names.starts.sort_unstable_by(|&a, &b| name_at(bytes, a).cmp(name_at(bytes, b)));
        Ok(names)
    }

    /// Returns the next name.
    pub(super) fn next(&mut self) -> Option<&CStr> {
        let start = *self.starts.get(self.next)?;
        self.next += 1;
        Some(name_at(&self.bytes, start))
    }

    /// Returns the name that [`Names::next`] returned last.
    pub(super) fn last(&self) -> Option<&CStr> {
        let start = *self.starts.get(self.next.checked_sub(1)?)?;
        Some(name_at(&self.bytes, start))
    }
}

fn name_at(bytes: &[u8], start: u32) -> &CStr {
    CStr::from_bytes_until_nul(&bytes[start as usize..]).expect("names are kept with their NUL")
}
