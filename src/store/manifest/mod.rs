//! Manifests: the canonical list of a snapshot's entries, whose digest is the snapshot's id.

mod decode;
mod encode;

pub use decode::ManifestReader;
pub use encode::{ManifestSummary, ManifestWriter};
use plugins::tree::{Node, Profile, TreePath};

pub(crate) const MAGIC: &[u8; 8] = b"dysnomf1";
/// Entries of a `files/1` snapshot, which a writer holds in memory to sort them.
pub(crate) const FILES_MAX: usize = 1_000_000;
/// Texts and bytes above this are not ours; refuse before allocating.
pub(crate) const TEXT_BYTES_MAX: u64 = 1 << 20;

/// The numbers of the entries' types.
mod number {
    pub(super) const END: u8 = 0;
    pub(super) const FILE: u8 = 1;
    pub(super) const DIRECTORY: u8 = 2;
    pub(super) const SYMLINK: u8 = 3;
    pub(super) const FIFO: u8 = 4;
    pub(super) const CHARACTER_DEVICE: u8 = 5;
    pub(super) const BLOCK_DEVICE: u8 = 6;
    pub(super) const HARD_LINK: u8 = 7;
    pub(super) const UNREADABLE: u8 = 8;
}

/// Checks each entry against those before it, the same way for writers and readers.
struct Order {
    profile: Profile,
    last: Option<TreePath>,
    /// The directories that contain the last entry, the root first.
    directories: Vec<TreePath>,
}

impl Order {
    fn new(profile: Profile) -> Self {
        Self { profile, last: None, directories: Vec::new() }
    }

    /// Checks one entry; says what is wrong with it at this place.
    fn check(&mut self, entry: &plugins::tree::Entry) -> Result<(), &'static str> {
        if self.last.as_ref().is_some_and(|last| *last >= entry.path) {
            return Err("entries do not come in ascending order");
        }
        let has_metadata = entry.metadata.is_some();
        match self.profile {
            Profile::Files1 => {
                if !matches!(entry.node, Node::File(_)) || has_metadata || entry.path.is_root() {
                    return Err("this profile holds files without metadata only");
                }
                if self.last.as_ref().is_some_and(|last| is_below(&entry.path, last)) {
                    return Err("it lies below a file");
                }
            }
            Profile::Posix1 => {
                self.check_parent(&entry.path)?;
                if has_metadata == matches!(entry.node, Node::HardLink(_)) {
                    return Err("every entry but a hard link has metadata");
                }
                if matches!(&entry.node, Node::HardLink(target) if *target >= entry.path) {
                    return Err("it is a hard link to a later entry");
                }
                if matches!(entry.node, Node::Directory) {
                    self.directories.push(entry.path.clone());
                }
            }
        }
        self.last = Some(entry.path.clone());
        Ok(())
    }

    fn check_parent(&mut self, path: &TreePath) -> Result<(), &'static str> {
        let Some(parent) = path.parent() else {
            return Ok(());
        };
        while self.directories.last().is_some_and(|directory| *directory != parent) {
            self.directories.pop();
        }
        if self.directories.is_empty() {
            Err("its parent is not a directory before it")
        } else {
            Ok(())
        }
    }
}

fn is_below(path: &TreePath, file: &TreePath) -> bool {
    let (path, file) = (path.as_bytes(), file.as_bytes());
    path.len() > file.len() && path.starts_with(file) && path[file.len()] == b'/'
}

#[cfg(test)]
mod tests;
