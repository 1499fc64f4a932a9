//! Removes a tree, however deep and however its modes are set, and nothing outside it.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::descent::{Descent, Names, open_directory};
use crate::place::Place;
use crate::{Error, Result};

/// Removes `name` beside the live state and all below it. Removing what does not exist succeeds. Links are removed,
/// never followed; where another file system is mounted below, it stops before it.
pub(super) fn remove_sibling(place: &Place, name: &OsStr) -> Result<()> {
    let text = CString::new(name.as_bytes())
        .map_err(|error| Error::file("remove", place.path_of(name))(error.into()))?;
    remove_tree(place.directory(), &text).map_err(Error::file("remove", place.path_of(name)))
}

fn remove_tree(at: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let Some(root) = unlink_or_open(at, name)? else {
        return Ok(());
    };
    let mut frames = vec![Names::read(root_of(&root))?];
    let mut descent = Descent::new(root)?;
    while let Some(frame) = frames.last_mut() {
        if let Some(child) = frame.next() {
            if let Some(directory) = unlink_or_open(descent.current(), child)? {
                descent.enter(directory)?;
                frames.push(Names::read(descent.current())?);
            }
            continue;
        }
        frames.pop();
        if let Some(child) = frames.last().and_then(Names::last) {
            descent.leave()?;
            remove_directory(descent.current(), child)?;
        }
    }
    drop(descent);
    remove_directory(at, name)
}

fn root_of(root: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(root)
}

/// Removes a name that is no directory; opens one that is.
fn unlink_or_open(at: BorrowedFd<'_>, name: &CStr) -> io::Result<Option<OwnedFd>> {
    match rustix::fs::unlinkat(at, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(None),
        Err(Errno::ISDIR | Errno::PERM) => match open_writable(at, name) {
            Ok(directory) => Ok(Some(directory)),
            // It is no directory, so the refusal was about the name: it is immutable, for instance.
            Err(Errno::NOTDIR | Errno::LOOP) => Err(Errno::PERM.into()),
            Err(Errno::XDEV) => Err(io::Error::other("another file system is mounted in it")),
            Err(errno) => Err(errno.into()),
        },
        Err(errno) => Err(errno.into()),
    }
}

/// Opens a directory in which names can be removed, whatever its mode was.
fn open_writable(at: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let directory = match open_directory(at, name) {
        Err(Errno::ACCESS) => {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let closed = rustix::fs::openat(at, name, flags, Mode::empty())?;
            // By way of /proc, because a handle that cannot read cannot change the mode either.
            rustix::fs::chmod(format!("/proc/self/fd/{}", closed.as_raw_fd()), Mode::RWXU)?;
            open_directory(at, name)?
        }
        result => result?,
    };
    let mode = Mode::from_raw_mode(rustix::fs::fstat(&directory)?.st_mode);
    if !mode.contains(Mode::RWXU) {
        rustix::fs::fchmod(&directory, Mode::RWXU)?;
    }
    Ok(directory)
}

fn remove_directory(at: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    match rustix::fs::unlinkat(at, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
