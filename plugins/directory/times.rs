//! Whether the times of files tell of every change.

use rustix::fd::OwnedFd;

/// Makes times tell of every change, and returns whether they do on this file system. A store to a mapped page changes the
/// file's time only where the page is clean; a sync cleans all pages, so that the next store to each changes it again. On
/// tmpfs no page is ever clean.
pub(super) fn tell(root: &OwnedFd) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let is_in_memory = match rustix::fs::fstatfs(root) {
        Ok(found) => [TMPFS, RAMFS].contains(&found.f_type),
        Err(_) => true,
    };
    !is_in_memory && rustix::fs::syncfs(root).is_ok()
}
