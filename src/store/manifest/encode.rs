//! Writes manifests.

use std::collections::BTreeMap;
use std::io::{self, Write};

use plugins::tree::{Acl, AclTag, Device, Entry, Metadata, Node, Owner, Profile};

use super::{FILES_MAX, MAGIC, Order, TEXT_BYTES_MAX, number};
use crate::store::error::{Error, Result};

/// Writes the manifest of one snapshot. A `posix/1` manifest is written as its entries come, which must be in ascending
/// order and after all attributes; a `files/1` manifest is sorted in memory.
pub struct ManifestWriter<W> {
    out: W,
    profile: Profile,
    attributes: BTreeMap<String, String>,
    files: Vec<Entry>,
    is_begun: bool,
    order: Order,
    n_entries: u64,
    size_bytes: u64,
    buffer: Vec<u8>,
}

/// What a finished manifest was.
pub struct ManifestSummary<W> {
    /// The writer that took it.
    pub out: W,
    /// How many entries.
    pub entries: u64,
    /// The sum of all contents.
    pub size_bytes: u64,
}

impl<W: Write> ManifestWriter<W> {
    /// Starts a manifest.
    pub fn new(out: W, profile: Profile) -> Self {
        Self {
            out,
            profile,
            attributes: BTreeMap::new(),
            files: Vec::new(),
            is_begun: false,
            order: Order::new(profile),
            n_entries: 0,
            size_bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// Sets an attribute.
    pub fn attribute(&mut self, name: &str, value: &str) -> Result<()> {
        let refuse = |reason| Err(Error::Entry { path: format!("the attribute {name}"), reason });
        if self.is_begun {
            return refuse("attributes come before entries");
        }
        if (name.len() + value.len()) as u64 > TEXT_BYTES_MAX {
            return refuse("it is too long");
        }
        self.attributes.insert(name.to_owned(), value.to_owned());
        Ok(())
    }

    /// Adds an entry.
    pub fn entry(&mut self, entry: Entry) -> io::Result<()> {
        match self.profile {
            Profile::Files1 if self.files.len() < FILES_MAX => {
                self.files.push(entry);
                Ok(())
            }
            Profile::Files1 => Err(refuse(&entry, "there are too many files").into()),
            Profile::Posix1 => self.write(&entry),
        }
    }

    /// Ends the manifest.
    pub fn finish(mut self) -> io::Result<ManifestSummary<W>> {
        let mut files = std::mem::take(&mut self.files);
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        for entry in &files {
            self.write(entry)?;
        }
        self.begin()?;
        self.buffer.clear();
        self.buffer.push(number::END);
        push_number(&mut self.buffer, self.n_entries);
        self.out.write_all(&self.buffer)?;
        Ok(ManifestSummary { out: self.out, entries: self.n_entries, size_bytes: self.size_bytes })
    }

    fn begin(&mut self) -> io::Result<()> {
        if self.is_begun {
            return Ok(());
        }
        self.is_begun = true;
        let mut head = MAGIC.to_vec();
        push_bytes(&mut head, self.profile.name().as_bytes());
        push_number(&mut head, self.attributes.len() as u64);
        for (name, value) in &self.attributes {
            push_bytes(&mut head, name.as_bytes());
            push_bytes(&mut head, value.as_bytes());
        }
        self.out.write_all(&head)
    }

    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        self.begin()?;
        self.order.check(entry).map_err(|reason| refuse(entry, reason))?;
        if let Node::File(content) = &entry.node {
            self.size_bytes += content.size_bytes;
        }
        self.n_entries += 1;
        self.buffer.clear();
        push_entry(&mut self.buffer, entry);
        self.out.write_all(&self.buffer)
    }
}

fn refuse(entry: &Entry, reason: &'static str) -> Error {
    Error::Entry { path: entry.path.to_string(), reason }
}

fn push_entry(out: &mut Vec<u8>, entry: &Entry) {
    out.push(match entry.node {
        Node::File(_) => number::FILE,
        Node::Directory => number::DIRECTORY,
        Node::Symlink(_) => number::SYMLINK,
        Node::Fifo => number::FIFO,
        Node::CharacterDevice(_) => number::CHARACTER_DEVICE,
        Node::BlockDevice(_) => number::BLOCK_DEVICE,
        Node::HardLink(_) => number::HARD_LINK,
        Node::Unreadable => number::UNREADABLE,
    });
    push_bytes(out, entry.path.as_bytes());
    match &entry.node {
        Node::File(content) => {
            push_number(out, content.size_bytes);
            out.extend_from_slice(&content.digest.0);
        }
        Node::Symlink(target) => push_bytes(out, target),
        Node::CharacterDevice(device) | Node::BlockDevice(device) => push_device(out, device),
        Node::HardLink(target) => push_bytes(out, target.as_bytes()),
        Node::Directory | Node::Fifo | Node::Unreadable => {}
    }
    if let Some(metadata) = &entry.metadata {
        push_metadata(out, metadata);
    }
}

fn push_device(out: &mut Vec<u8>, device: &Device) {
    push_number(out, device.major.into());
    push_number(out, device.minor.into());
}

fn push_metadata(out: &mut Vec<u8>, metadata: &Metadata) {
    push_number(out, metadata.mode.into());
    push_owner(out, &metadata.owner);
    push_owner(out, &metadata.group);
    let seconds = metadata.modified.seconds;
    push_number(out, (seconds << 1 ^ seconds >> 63) as u64);
    push_number(out, metadata.modified.nanoseconds.into());
    push_number(out, metadata.xattrs.len() as u64);
    for (name, value) in &metadata.xattrs {
        push_bytes(out, name);
        push_bytes(out, value);
    }
    push_acl(out, metadata.access_acl.as_ref());
    push_acl(out, metadata.default_acl.as_ref());
}

fn push_owner(out: &mut Vec<u8>, owner: &Owner) {
    match owner {
        Owner::Id(id) => {
            out.push(0);
            push_number(out, (*id).into());
        }
        Owner::Name(name) => {
            out.push(1);
            push_bytes(out, name.as_bytes());
        }
    }
}

fn push_acl(out: &mut Vec<u8>, acl: Option<&Acl>) {
    let entries = acl.map_or(&[][..], |acl| &acl.0);
    push_number(out, entries.len() as u64);
    for entry in entries {
        match &entry.tag {
            AclTag::UserObject => out.push(1),
            AclTag::User(owner) => {
                out.push(2);
                push_owner(out, owner);
            }
            AclTag::GroupObject => out.push(3),
            AclTag::Group(owner) => {
                out.push(4);
                push_owner(out, owner);
            }
            AclTag::Mask => out.push(5),
            AclTag::Other => out.push(6),
        }
        out.push(entry.permissions);
    }
}

fn push_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    push_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Unsigned LEB128 (DWARF 5, section 7.6), in the shortest form.
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
