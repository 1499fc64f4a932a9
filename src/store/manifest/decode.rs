//! Reads manifests, and refuses whatever would not be written the same way.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use plugins::tree::{
    Acl, AclEntry, AclTag, Content, Device, Digest, Entry, Metadata, Node, Owner, Profile,
    Timestamp, TreePath,
};

use super::{MAGIC, Order, TEXT_BYTES_MAX, number};
use crate::store::error::{Error, Result};

/// Reads a manifest as a stream of entries in ascending order of their paths.
pub struct ManifestReader<R> {
    bytes: Bytes<R>,
    profile: Profile,
    attributes: BTreeMap<String, String>,
    order: Order,
    n_entries: u64,
    is_done: bool,
}

impl<R: Read> ManifestReader<R> {
    /// Reads the head of the manifest of `snapshot`.
    pub fn open(input: R, snapshot: Digest) -> Result<Self> {
        let mut bytes = Bytes { input: BufReader::with_capacity(64 << 10, input), snapshot };
        if bytes.array::<8>()? != *MAGIC {
            return Err(bytes.damaged("it does not start like a manifest"));
        }
        let profile = bytes.text()?;
        let profile =
            Profile::parse(&profile).ok_or_else(|| bytes.damaged("its profile is unknown"))?;
        let mut attributes = BTreeMap::new();
        for _ in 0..bytes.number()? {
            let (name, value) = (bytes.text()?, bytes.text()?);
            if attributes.last_key_value().is_some_and(|(last, _)| *last >= name) {
                return Err(bytes.damaged("its attributes are not in order"));
            }
            attributes.insert(name, value);
        }
        let order = Order::new(profile);
        Ok(Self { bytes, profile, attributes, order, n_entries: 0, is_done: false })
    }

    /// Returns the profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Returns the attributes.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    fn read_entry(&mut self) -> Result<Option<Entry>> {
        let kind = self.bytes.byte()?;
        if kind == number::END {
            if self.bytes.number()? != self.n_entries {
                return Err(self.bytes.damaged("its number of entries is not what it says"));
            }
            return self.bytes.end().map(|()| None);
        }
        let path = self.bytes.path()?;
        let node = self.read_node(kind)?;
        let has_metadata = self.profile == Profile::Posix1 && kind != number::HARD_LINK;
        let metadata = if has_metadata { Some(self.bytes.metadata()?) } else { None };
        let entry = Entry { path, node, metadata };
        let snapshot = self.bytes.snapshot;
        self.order
            .check(&entry)
            .map_err(|reason| Error::damaged(format!("manifest {snapshot}"), reason))?;
        self.n_entries += 1;
        Ok(Some(entry))
    }

    fn read_node(&mut self, kind: u8) -> Result<Node> {
        let bytes = &mut self.bytes;
        Ok(match kind {
            number::FILE => {
                let size_bytes = bytes.number()?;
                if size_bytes > i64::MAX as u64 {
                    return Err(bytes.damaged("a file is larger than files can be"));
                }
                Node::File(Content { size_bytes, digest: Digest(bytes.array()?) })
            }
            number::DIRECTORY => Node::Directory,
            number::SYMLINK => {
                let target = bytes.bytes()?;
                if target.is_empty() || target.contains(&0) {
                    return Err(bytes.damaged("a symbolic link's target is invalid"));
                }
                Node::Symlink(target)
            }
            number::FIFO => Node::Fifo,
            number::CHARACTER_DEVICE => Node::CharacterDevice(bytes.device()?),
            number::BLOCK_DEVICE => Node::BlockDevice(bytes.device()?),
            number::HARD_LINK => Node::HardLink(bytes.path()?),
            number::UNREADABLE => Node::Unreadable,
            _ => return Err(bytes.damaged("an entry's type is unknown")),
        })
    }
}

impl<R: Read> Iterator for ManifestReader<R> {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let entry = self.read_entry().transpose();
        // After an error nothing that follows can be trusted.
        self.is_done = !matches!(entry, Some(Ok(_)));
        entry
    }
}

/// The parts that manifests are made of.
struct Bytes<R> {
    input: BufReader<R>,
    snapshot: Digest,
}

impl<R: Read> Bytes<R> {
    fn damaged(&self, reason: &str) -> Error {
        Error::damaged(format!("manifest {}", self.snapshot), reason)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        match self.input.read_exact(buffer) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.damaged("it is cut off"))
            }
            // The store's own error travels inside.
            Err(error) => Err(match error.downcast::<Error>() {
                Ok(own) => own,
                Err(source) => {
                    let path = format!("manifest {}", self.snapshot).into();
                    Error::File { verb: "read", path, source }
                }
            }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        self.fill(&mut array)?;
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn end(&mut self) -> Result<()> {
        match self.input.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.damaged("it goes on after its end")),
            Err(source) => {
                let path = format!("manifest {}", self.snapshot).into();
                Err(Error::File { verb: "read", path, source })
            }
        }
    }

    fn number(&mut self) -> Result<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            let fits = shift < 63 || bits <= 1;
            let is_shortest = byte != 0 || shift == 0;
            if !fits || !is_shortest {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.damaged("a number is not in its shortest form"))
    }

    fn number_below(&mut self, limit: u64, what: &str) -> Result<u64> {
        let number = self.number()?;
        if number < limit { Ok(number) } else { Err(self.damaged(what)) }
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let length = self.number_below(TEXT_BYTES_MAX + 1, "a text is too long")?;
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| self.damaged("a text is not UTF-8"))
    }

    fn path(&mut self) -> Result<TreePath> {
        TreePath::parse(self.bytes()?).ok_or_else(|| self.damaged("a path is invalid"))
    }

    fn device(&mut self) -> Result<Device> {
        let mut number = || {
            let number = self.number_below(1 << 32, "a device number is too large")?;
            Ok::<u32, Error>(u32::try_from(number).expect("it is below 2^32"))
        };
        Ok(Device { major: number()?, minor: number()? })
    }

    fn metadata(&mut self) -> Result<Metadata> {
        let mode = self.number_below(0o10000, "a mode is too large")?;
        let mode = u16::try_from(mode).expect("it is below 2^12");
        let (owner, group) = (self.owner()?, self.owner()?);
        let seconds = self.number()?;
        let seconds = (seconds >> 1) as i64 ^ -((seconds & 1) as i64);
        let nanoseconds = self.number_below(1_000_000_000, "a time has too many nanoseconds")?;
        let nanoseconds = u32::try_from(nanoseconds).expect("it is below 10^9");
        let mut xattrs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for _ in 0..self.number()? {
            let (name, value) = (self.bytes()?, self.bytes()?);
            if xattrs.last().is_some_and(|(last, _)| *last >= name) {
                return Err(self.damaged("extended attributes are not in order"));
            }
            xattrs.push((name, value));
        }
        Ok(Metadata {
            mode,
            owner,
            group,
            modified: Timestamp { seconds, nanoseconds },
            xattrs,
            access_acl: self.acl()?,
            default_acl: self.acl()?,
        })
    }

    fn owner(&mut self) -> Result<Owner> {
        match self.byte()? {
            0 => {
                let id = self.number_below(1 << 32, "an owner's number is too large")?;
                Ok(Owner::Id(u32::try_from(id).expect("it is below 2^32")))
            }
            1 => match self.text()? {
                name if name.is_empty() => Err(self.damaged("an owner's name is empty")),
                name => Ok(Owner::Name(name)),
            },
            _ => Err(self.damaged("an owner is neither a number nor a name")),
        }
    }

    fn acl(&mut self) -> Result<Option<Acl>> {
        let mut entries: Vec<AclEntry> = Vec::new();
        for _ in 0..self.number()? {
            let tag = match self.byte()? {
                1 => AclTag::UserObject,
                2 => AclTag::User(self.owner()?),
                3 => AclTag::GroupObject,
                4 => AclTag::Group(self.owner()?),
                5 => AclTag::Mask,
                6 => AclTag::Other,
                _ => return Err(self.damaged("an access control list is invalid")),
            };
            let permissions = self.byte()?;
            let is_next = entries.last().is_none_or(|last| last.tag < tag);
            if permissions > 7 || !is_next {
                return Err(self.damaged("an access control list is invalid"));
            }
            entries.push(AclEntry { tag, permissions });
        }
        Ok((!entries.is_empty()).then_some(Acl(entries)))
    }
}
