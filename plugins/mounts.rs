//! The mount points of this process's view of the file system.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where the kernel lists them, one a line.
const MOUNT_INFO: &str = "/proc/self/mountinfo";

/// Returns the mount points at `path`, which is canonical, and below it.
pub(crate) fn at_or_below(path: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read(MOUNT_INFO).map_err(Error::file("read", MOUNT_INFO))?;
    let lines = text.split(|&byte| byte == b'\n');
    Ok(lines.filter_map(mount_point).filter(|point| point.starts_with(path)).collect())
}

/// Refuses `verb` where something is mounted at `path` or below it: a mount would move along with a rename, and a
/// mount point itself cannot be renamed.
pub(crate) fn refuse(verb: &'static str, path: &Path) -> Result<()> {
    let Some(point) = at_or_below(path)?.into_iter().next() else {
        return Ok(());
    };
    let reason = if point == path {
        "it is a mount point, which cannot be exchanged as a whole; use a directory inside it as the unit".to_owned()
    } else {
        format!("another file system is mounted at {}; unmount it first", point.display())
    };
    Err(Error::Refused { verb, object: path.display().to_string(), reason })
}

/// Returns the fifth field of a line of `mountinfo`.
fn mount_point(line: &[u8]) -> Option<PathBuf> {
    let field = line.split(|&byte| byte == b' ').nth(4)?;
    Some(PathBuf::from(OsString::from_vec(unescape(field))))
}

/// Resolves the `\ooo` that the kernel writes for blanks, tabs, line feeds and backslashes.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_with_blanks_is_read_as_it_is() {
        let line = br"36 35 98:0 /mnt1 /mnt\0402\134x rw,noatime master:1 - ext3 /dev/root rw";
        assert_eq!(mount_point(line), Some(PathBuf::from(r"/mnt 2\x")));
    }

    #[test]
    fn a_mount_point_is_found_and_a_namesake_is_not() {
        assert!(at_or_below(Path::new("/proc")).unwrap().contains(&PathBuf::from("/proc")));
        assert!(at_or_below(Path::new("/pro")).unwrap().is_empty());
    }
}
