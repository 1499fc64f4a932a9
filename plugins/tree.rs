//! The snapshot as a tree of entries: what plug-ins write and read, and all that the store knows of their world.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The BLAKE3-256 digest of a whole content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Parses 64 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = text.len() == 64
            && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !canonical {
            return None;
        }
        blake3::Hash::from_hex(text).ok().map(|hash| Self(*hash.as_bytes()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Which metadata is part of a snapshot's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Profile {
    /// Files by name and bytes only.
    #[serde(rename = "files/1")]
    Files1,
    /// A directory tree with all that POSIX and Linux keep of it.
    #[serde(rename = "posix/1")]
    Posix1,
}

impl Profile {
    /// Returns the name that stands in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Files1 => "files/1",
            Self::Posix1 => "posix/1",
        }
    }

    /// Returns the profile of that name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Files1, Self::Posix1].into_iter().find(|profile| profile.name() == name)
    }
}

/// A path below the root of a snapshot: components joined by `/`, none of them empty, `.` or `..`, without NUL. The
/// root itself is the empty path. Ordered component by component, so that a directory's children follow it at once
/// and a walk can be written down as it goes.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Vec<u8>);

impl TreePath {
    /// Bytes of the longest path. Longer ones than Linux' `PATH_MAX` occur in deep trees; this bounds what a decoder
    /// allocates.
    pub const BYTES_MAX: usize = 1 << 16;

    /// Parses a path.
    pub fn parse(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        let valid = bytes.is_empty()
            || bytes.len() <= Self::BYTES_MAX
                && !bytes.contains(&0)
                && bytes.split(|&b| b == b'/').all(|c| !matches!(c, b"" | b"." | b".."));
        valid.then_some(Self(bytes))
    }

    /// Returns the path as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns whether this is the root.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the path of `name` in this directory; none where `name` is not one component or the path gets longer
    /// than [`TreePath::BYTES_MAX`].
    pub fn join(&self, name: &[u8]) -> Option<Self> {
        let valid = !matches!(name, b"" | b"." | b"..")
            && !name.iter().any(|&byte| byte == 0 || byte == b'/')
            && self.0.len() + 1 + name.len() <= Self::BYTES_MAX;
        if !valid {
            return None;
        }
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if !self.is_root() {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Some(Self(bytes))
    }

    /// Returns the last component; empty for the root.
    pub fn name(&self) -> &[u8] {
        let start = self.0.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
        &self.0[start..]
    }

    /// Returns the path of the containing directory; none for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let end = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..end].to_vec()))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // A separator counts less than every byte that a component can hold.
        let key = |&byte: &u8| if byte == b'/' { 0 } else { byte };
        self.0.iter().map(key).cmp(other.0.iter().map(key))
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Control characters must not reach a terminal.
        for character in String::from_utf8_lossy(&self.0).chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

/// One thing in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub node: Node,
    /// Its metadata: always there in `posix/1` but for hard links, which share their target's; never in `files/1`.
    pub metadata: Option<Metadata>,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A regular file.
    File(Content),
    /// A directory.
    Directory,
    /// A symbolic link with its target.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharacterDevice(Device),
    /// A block device.
    BlockDevice(Device),
    /// Another name of the file at that path, which comes earlier in the snapshot.
    HardLink(TreePath),
    /// A regular file that could not be read. Only its metadata is known.
    Unreadable,
}

/// The numbers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// The device of that driver.
    pub minor: u32,
}

/// The bytes of a file, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Content {
    /// How many bytes.
    pub size_bytes: u64,
    /// The digest of all of them.
    pub digest: Digest,
}

/// The metadata of an entry under `posix/1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Permission, set-id and sticky bits: the lower 12 bits of `st_mode`.
    pub mode: u16,
    /// The owning user.
    pub owner: Owner,
    /// The owning group.
    pub group: Owner,
    /// When the content last changed.
    pub modified: Timestamp,
    /// Extended attributes of the namespaces `user` and `trusted`, and `security.capability`; in ascending order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The POSIX access ACL, where it says more than the mode.
    pub access_acl: Option<Acl>,
    /// The POSIX default ACL of a directory.
    pub default_acl: Option<Acl>,
}

/// A user or group. By name where this host knows one, so that hosts with other numbers give the same identity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A name of the user or group database.
    Name(String),
    /// A number that has no name.
    Id(u32),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Id(id) => write!(f, "{id}"),
        }
    }
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since 1970-01-01T00:00:00Z.
    pub seconds: i64,
    /// Nanoseconds after that second, below one thousand million.
    pub nanoseconds: u32,
}

/// A POSIX access control list: entries in ascending order, each tag and qualifier once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(pub Vec<AclEntry>);

/// One entry of an access control list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AclEntry {
    /// Whom it is for.
    pub tag: AclTag,
    /// Read 4, write 2, execute 1.
    pub permissions: u8,
}

/// Whom an entry of an access control list is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AclTag {
    /// The file's owner.
    UserObject,
    /// A named user.
    User(Owner),
    /// The file's group.
    GroupObject,
    /// A named group.
    Group(Owner),
    /// The upper bound of all but owner and others.
    Mask,
    /// Everybody else.
    Other,
}
