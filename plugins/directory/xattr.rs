//! Extended attributes of anything: by its handle where it is open, by its name where it cannot be opened.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::XattrFlags;
use rustix::io::{Errno, Result};

/// Bytes of the longest list of names and of the longest value: `XATTR_LIST_MAX` and `XATTR_SIZE_MAX` of Linux.
const BYTES_MAX: usize = 64 << 10;

/// What attributes are read from and written to.
pub(super) enum Target<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A name that must not be followed: a link, a pipe, a device. By way of `/proc`, because the system calls for
    /// attributes know no directory handles and the whole path may be too long.
    Named(PathBuf),
}

impl Target<'_> {
    /// Names something in a directory.
    pub(super) fn named(at: BorrowedFd<'_>, name: &CStr) -> Self {
        let directory = PathBuf::from(format!("/proc/self/fd/{}", at.as_raw_fd()));
        Self::Named(directory.join(std::ffi::OsStr::from_bytes(name.to_bytes())))
    }

    fn list(&self, names: &mut [u8]) -> Result<usize> {
        match self {
            Self::Open(handle) => rustix::fs::flistxattr(handle, names),
            Self::Named(path) => rustix::fs::llistxattr(path, names),
        }
    }

    fn get(&self, name: &CStr, value: &mut [u8]) -> Result<usize> {
        match self {
            Self::Open(handle) => rustix::fs::fgetxattr(handle, name, value),
            Self::Named(path) => rustix::fs::lgetxattr(path, name, value),
        }
    }

    /// Sets an attribute.
    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        match self {
            Self::Open(handle) => rustix::fs::fsetxattr(handle, name, value, XattrFlags::empty()),
            Self::Named(path) => rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()),
        }
    }

    /// Removes an attribute, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        let removed = match self {
            Self::Open(handle) => rustix::fs::fremovexattr(handle, name),
            Self::Named(path) => rustix::fs::lremovexattr(path, name),
        };
        match removed {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(()),
            result => result,
        }
    }
}

/// Reads attributes into buffers that are used again for every file.
pub(super) struct Reader {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Self { names: vec![0; BYTES_MAX], value: vec![0; BYTES_MAX] }
    }

    /// Calls `visit` with the name and value of every attribute that `wanted` picks.
    pub(super) fn read(
        &mut self,
        target: &Target<'_>,
        wanted: impl Fn(&[u8]) -> bool,
        mut visit: impl FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let length = match target.list(&mut self.names) {
            Ok(length) => length,
            // A file system without attributes has none.
            Err(Errno::OPNOTSUPP) => 0,
            Err(errno) => return Err(errno),
        };
        for name in self.names[..length].split_inclusive(|&byte| byte == 0) {
            let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
            if !wanted(name.to_bytes()) {
                continue;
            }
            match target.get(name, &mut self.value) {
                Ok(length) => visit(name.to_bytes(), &self.value[..length]),
                // It was removed between the two calls.
                Err(Errno::NODATA) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }
}
