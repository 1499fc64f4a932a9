//! Reads and writes the metadata that is part of the profile `posix/1`.

use std::ffi::CStr;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Gid, Mode, Stat, Timespec, Timestamps, UTIME_OMIT, Uid};

use super::acl;
use super::xattr::{Reader, Target};
use crate::owners::Owners;
use crate::tree::{Metadata, Timestamp};
use crate::{Error, Result};

/// The permission, set-id and sticky bits of a mode.
const MODE_BITS: u32 = 0o7777;

/// Returns the type of what `stat` describes.
pub(super) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Returns how many names it has.
// The type differs from one architecture to the other.
#[allow(clippy::useless_conversion)]
pub(super) fn n_links(stat: &Stat) -> u64 {
    stat.st_nlink.into()
}

/// Returns when the content changed last.
pub(super) fn modified(stat: &Stat) -> Timestamp {
    timestamp(stat.st_mtime, stat.st_mtime_nsec)
}

/// Returns when the content or the metadata changed last.
pub(super) fn changed(stat: &Stat) -> Timestamp {
    timestamp(stat.st_ctime, stat.st_ctime_nsec)
}

// The types of `Stat` differ from one architecture to the other.
#[allow(clippy::unnecessary_fallible_conversions, clippy::useless_conversion)]
fn timestamp(seconds: impl Into<i64>, nanoseconds: impl TryInto<u32>) -> Timestamp {
    Timestamp { seconds: seconds.into(), nanoseconds: nanoseconds.try_into().unwrap_or(0) }
}

/// Returns whether two looks at a file, before and after it was read, show the same file in the same state.
pub(super) fn is_stable(before: &Stat, after: &Stat) -> bool {
    is_same(before, after)
        && before.st_size == after.st_size
        && modified(before) == modified(after)
        && changed(before) == changed(after)
}

/// Returns whether two looks show the same file, whatever its state.
pub(super) fn is_same(one: &Stat, other: &Stat) -> bool {
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino) && file_type(one) == file_type(other)
}

/// Reads the metadata of what `stat` describes.
pub(super) fn read(
    stat: &Stat,
    target: &Target<'_>,
    reader: &mut Reader,
    owners: &mut Owners,
) -> io::Result<Metadata> {
    let mut metadata = plain(stat, owners);
    let mut broken_acl = false;
    reader.read(target, is_wanted, |name, value| {
        let list = match name {
            name if name == acl::ACCESS.as_bytes() => &mut metadata.access_acl,
            name if name == acl::DEFAULT.as_bytes() => &mut metadata.default_acl,
            _ => return metadata.xattrs.push((name.to_vec(), value.to_vec())),
        };
        *list = acl::parse(value, owners);
        broken_acl |= list.is_none();
    })?;
    if broken_acl {
        return Err(io::Error::other("its access control list has an unknown form"));
    }
    metadata.access_acl.take_if(|acl| acl::is_minimal(acl));
    metadata.xattrs.sort_unstable();
    Ok(metadata)
}

/// Returns the metadata that `stat` alone tells.
pub(super) fn plain(stat: &Stat, owners: &mut Owners) -> Metadata {
    Metadata {
        mode: u16::try_from(stat.st_mode & MODE_BITS).expect("twelve bits fit into sixteen"),
        owner: owners.user(stat.st_uid).clone(),
        group: owners.group(stat.st_gid).clone(),
        modified: modified(stat),
        xattrs: Vec::new(),
        access_acl: None,
        default_acl: None,
    }
}

/// Returns whether an attribute is part of the profile. The others belong to the host: labels of its security module.
fn is_wanted(name: &[u8]) -> bool {
    name.starts_with(b"user.")
        || name.starts_with(b"trusted.")
        || name == b"security.capability"
        || name == acl::ACCESS.as_bytes()
        || name == acl::DEFAULT.as_bytes()
}

/// Something that was just created and gets its metadata.
pub(super) enum Fresh<'a> {
    /// An open file or directory.
    Open(BorrowedFd<'a>),
    /// A pipe, a device or a link in a directory.
    Named(BorrowedFd<'a>, &'a CStr, FileType),
}

impl Fresh<'_> {
    /// Gives it its metadata. `fault` makes the error for a verb.
    pub(super) fn set(
        &self,
        metadata: &Metadata,
        owners: &mut Owners,
        fault: &dyn Fn(&'static str, rustix::io::Errno) -> Error,
    ) -> Result<()> {
        let (user, group) = (owners.user_id(&metadata.owner)?, owners.group_id(&metadata.group)?);
        self.set_owner(user, group).map_err(|errno| fault("change the owner of", errno))?;
        // After the owner, whose change takes capabilities away.
        let target = self.target();
        for (name, value) in &metadata.xattrs {
            target.set(name, value).map_err(|errno| fault("set extended attributes of", errno))?;
        }
        let lists = [(acl::ACCESS, &metadata.access_acl), (acl::DEFAULT, &metadata.default_acl)];
        for (name, list) in lists {
            if let Some(list) = list {
                let value = acl::encode(list, owners)?;
                let set = target.set(name.as_bytes(), &value);
                set.map_err(|errno| fault("set the access control list of", errno))?;
            }
        }
        // After the attributes, which a read-only mode would forbid to all but root, and after the owner, whose change
        // takes the set-id bits away.
        self.set_mode(metadata.mode).map_err(|errno| fault("change the mode of", errno))?;
        self.set_modified(metadata.modified).map_err(|errno| fault("set the time of", errno))
    }

    fn target(&self) -> Target<'_> {
        match self {
            Self::Open(handle) => Target::Open(*handle),
            Self::Named(at, name, _) => Target::named(*at, name),
        }
    }

    fn set_owner(&self, user: u32, group: u32) -> rustix::io::Result<()> {
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        match self {
            Self::Open(handle) => rustix::fs::fchown(handle, user, group),
            Self::Named(at, name, _) => {
                rustix::fs::chownat(at, *name, user, group, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }

    fn set_mode(&self, mode: u16) -> rustix::io::Result<()> {
        let mode = Mode::from_raw_mode(mode.into());
        match self {
            Self::Open(handle) => rustix::fs::fchmod(handle, mode),
            // A link has no mode of its own.
            Self::Named(_, _, FileType::Symlink) => Ok(()),
            Self::Named(at, name, _) => rustix::fs::chmodat(at, *name, mode, AtFlags::empty()),
        }
    }

    fn set_modified(&self, modified: Timestamp) -> rustix::io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: modified.seconds,
                tv_nsec: modified.nanoseconds.into(),
            },
        };
        match self {
            Self::Open(handle) => rustix::fs::futimens(handle, &times),
            Self::Named(at, name, _) => {
                rustix::fs::utimensat(at, *name, &times, AtFlags::SYMLINK_NOFOLLOW)
            }
        }
    }
}
