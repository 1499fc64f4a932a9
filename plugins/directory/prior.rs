//! The last snapshot as the walk sees it: what did not change since need not be read again.

use std::io::Read;

use rustix::fs::Stat;

use super::metadata::{changed, modified};
use crate::Previous;
use crate::owners::Owners;
use crate::tree::{Entry, Owner, Timestamp, TreePath};

/// A file that changed less than this many seconds before the snapshot is read again by the next one: a change in
/// the same tick of the file system's clock would not show. Git's rule; the coarsest clock of a file system that
/// Linux knows ticks every two seconds.
const RACY_SECONDS: i64 = 3;

/// What a file looked like when it was captured: a digest of its inode and times, and of the names of its owners,
/// which change without it. All zero is never equal to anything.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key([u8; Key::BYTES]);

impl Key {
    /// Bytes of a key in the hints.
    pub(super) const BYTES: usize = 16;

    /// The key that no file has.
    pub(super) const NEVER: Self = Self([0; Self::BYTES]);

    /// Returns the key of a file.
    pub(super) fn of(stat: &Stat, owners: &mut Owners) -> Self {
        let mut hasher = blake3::Hasher::new();
        for time in [modified(stat), changed(stat)] {
            hasher.update(&time.seconds.to_le_bytes());
            hasher.update(&time.nanoseconds.to_le_bytes());
        }
        for number in [stat.st_dev, stat.st_ino, stat.st_size.cast_unsigned()] {
            hasher.update(&number.to_le_bytes());
        }
        for owner in [owners.user(stat.st_uid).clone(), owners.group(stat.st_gid).clone()] {
            match owner {
                Owner::Name(name) => hasher.update(name.as_bytes()).update(&[0]),
                Owner::Id(id) => hasher.update(&[0, 1]).update(&id.to_le_bytes()),
            };
        }
        let digest = hasher.finalize();
        let (key, _) =
            digest.as_bytes().split_first_chunk().expect("a digest is longer than a key");
        Self(*key)
    }

    /// Returns this key, or [`Key::NEVER`] where the file is too young at the `start` of the snapshot.
    pub(super) fn unless_young(self, stat: &Stat, start: Timestamp) -> Self {
        let limit = Timestamp { seconds: start.seconds - RACY_SECONDS, ..start };
        if modified(stat) > limit || changed(stat) > limit { Self::NEVER } else { self }
    }

    /// Returns the bytes that go into the hints.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Walks through the last snapshot in step with the live tree.
pub(super) struct Prior<'a> {
    previous: Option<Previous<'a>>,
    waiting: Option<(Entry, Key)>,
}

impl<'a> Prior<'a> {
    pub(super) fn new(previous: Option<Previous<'a>>) -> Self {
        Self { previous, waiting: None }
    }

    /// Returns the entry of that path, if there is one whose key can be trusted. Paths must be asked for in ascending
    /// order. A last snapshot that cannot be read is told to `warn` and not used any more.
    pub(super) fn take(
        &mut self,
        path: &TreePath,
        warn: impl FnOnce(&str),
    ) -> Option<(Entry, Key)> {
        loop {
            if let Some((entry, _)) = &self.waiting {
                match entry.path.cmp(path) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => {
                        return self.waiting.take().filter(|(_, key)| *key != Key::NEVER);
                    }
                    std::cmp::Ordering::Greater => return None,
                }
            }
            let previous = self.previous.as_mut()?;
            let Some(entry) = previous.entries.next() else {
                self.waiting = None;
                self.previous = None;
                return None;
            };
            match entry {
                Ok(entry) => self.waiting = Some((entry, next_key(&mut *previous.hints))),
                Err(error) => {
                    self.waiting = None;
                    self.previous = None;
                    warn(&format!(
                        "everything is read afresh, because the last snapshot cannot be read: {error}"
                    ));
                    return None;
                }
            }
        }
    }
}

/// Reads the next key. Hints that end early are no loss: the files behind are read again.
fn next_key(hints: &mut dyn Read) -> Key {
    let mut key = Key::NEVER;
    if hints.read_exact(&mut key.0).is_err() { Key::NEVER } else { key }
}
