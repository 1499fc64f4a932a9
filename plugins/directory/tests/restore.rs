//! What survives a capture and a restore.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};

use super::*;
use crate::tree::{Acl, AclEntry, AclTag, Metadata, Node, Owner};

fn metadata(tape: &Tape, path: &str) -> Metadata {
    tape.entry(path).unwrap().metadata.clone().unwrap()
}

fn set(path: impl AsRef<Path>, name: &str, value: &[u8]) {
    rustix::fs::lsetxattr(path.as_ref(), name, value, XattrFlags::empty()).unwrap();
}

#[test]
fn modes_owners_and_times_survive() {
    let unit = Unit::created();
    for mode in [0o4755, 0o2711, 0o1600, 0o000, 0o7777] {
        let path = unit.file(&format!("{mode:o}"));
        write(&path, b"x");
        chown(&path, Some(1), Some(4_000_000)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_007, 123_456_789);
        File::open(&path).unwrap().set_modified(time).unwrap();
    }
    fs::create_dir_all(unit.file("d/e")).unwrap();
    fs::set_permissions(unit.file("d"), fs::Permissions::from_mode(0o1555)).unwrap();
    let old = SystemTime::UNIX_EPOCH - Duration::new(5, 500_000_000);
    File::open(unit.file("d")).unwrap().set_modified(old).unwrap();
    let tape = round_trip(&unit);
    assert_eq!(metadata(&tape, "4755").owner, Owner::Name("daemon".to_owned()));
    assert_eq!(metadata(&tape, "4755").group, Owner::Id(4_000_000));
    assert_eq!(metadata(&tape, "d").modified.seconds, -6);
    assert_eq!(metadata(&tape, "d").modified.nanoseconds, 500_000_000);
}

#[test]
fn links_pipes_and_devices_survive() {
    let unit = Unit::created();
    symlink("nowhere/at\nall", unit.file("link")).unwrap();
    rustix::fs::chownat(
        CWD,
        unit.file("link"),
        Some(rustix::fs::Uid::from_raw(1)),
        None,
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
    let time = Timespec { tv_sec: 77, tv_nsec: 88 };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, unit.file("link"), &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
    let device = rustix::fs::makedev(240, 70_000);
    for (name, kind) in [
        ("pipe", FileType::Fifo),
        ("char", FileType::CharacterDevice),
        ("block", FileType::BlockDevice),
    ] {
        let number = if name == "pipe" { 0 } else { device };
        rustix::fs::mknodat(CWD, unit.file(name), kind, Mode::from_raw_mode(0o624), number)
            .unwrap();
        chown(unit.file(name), Some(2), Some(3)).unwrap();
        set(unit.file(name), "trusted.note", name.as_bytes());
    }
    set(unit.file("link"), "trusted.note", b"on a link");
    fs::hard_link(unit.file("pipe"), unit.file("pipe2")).unwrap();
    let tape = round_trip(&unit);
    assert_eq!(metadata(&tape, "link").modified.seconds, 77);
    assert!(
        matches!(&tape.entry("pipe2").unwrap().node, Node::HardLink(first) if first.as_bytes() == b"pipe")
    );
}

#[test]
fn hard_links_survive_across_directories() {
    let unit = Unit::created();
    fs::create_dir_all(unit.file("a/b")).unwrap();
    write(unit.file("a/b/first"), b"shared");
    fs::hard_link(unit.file("a/b/first"), unit.file("a/second")).unwrap();
    fs::hard_link(unit.file("a/b/first"), unit.file("z")).unwrap();
    // Its other name lies outside: for the snapshot it has one.
    write(unit.file("alone"), b"alone");
    fs::hard_link(unit.file("alone"), unit.outside("elsewhere")).unwrap();
    let tape = snapshot(&unit);
    assert_eq!(tape.n_contents_written(), 2);
    unit.open().collect_garbage().unwrap();
    restore(&unit, &tape);
    let inode = |name: &str| unit.file(name).metadata().unwrap().ino();
    assert_eq!(inode("a/b/first"), inode("a/second"));
    assert_eq!(inode("a/b/first"), inode("z"));
    assert_eq!(unit.file("z").metadata().unwrap().nlink(), 3);
    assert_eq!(fs::read(unit.file("alone")).unwrap(), b"alone");
}

#[test]
fn extended_attributes_survive() {
    let unit = Unit::created();
    fs::create_dir(unit.file("d")).unwrap();
    write(unit.file("f"), b"x");
    for path in [unit.live(), unit.file("d"), unit.file("f")] {
        set(&path, "user.empty", b"");
        set(&path, "user.bytes", &[0, 255, 10]);
        set(&path, "trusted.long", &[7; 3000]);
    }
    // cap_net_bind_service+ep, as setcap writes it.
    let capability = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    set(unit.file("f"), "security.capability", &capability);
    let tape = round_trip(&unit);
    assert_eq!(metadata(&tape, "f").xattrs.len(), 4);
}

/// Writes an ACL as `linux/posix_acl_xattr.h` has it.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[test]
fn access_control_lists_survive() {
    let unit = Unit::created();
    fs::create_dir(unit.file("d")).unwrap();
    write(unit.file("f"), b"x");
    let none = u32::MAX;
    let list = acl(&[
        (1, 6, none),
        (2, 4, 1),
        (2, 7, 4_000_000),
        (4, 4, none),
        (8, 2, 2),
        (16, 6, none),
        (32, 0, none),
    ]);
    set(unit.file("d"), "system.posix_acl_default", &list);
    for name in ["d", "f"] {
        set(unit.file(name), "system.posix_acl_access", &list);
    }
    // Made in a directory with a default ACL: it inherits one.
    write(unit.file("d/heir"), b"x");
    let tape = round_trip(&unit);
    let Acl { 0: entries } = metadata(&tape, "f").access_acl.unwrap();
    let user = AclTag::User(Owner::Name("daemon".to_owned()));
    assert!(entries.contains(&AclEntry { tag: user, permissions: 4 }));
    assert!(metadata(&tape, "d").default_acl.is_some());
    assert!(metadata(&tape, "d/heir").access_acl.is_some());
}

#[test]
fn the_restored_tree_inherits_nothing_from_the_directory_around_it() {
    let unit = Unit::created();
    write(unit.file("f"), b"x");
    let before = unit.show();
    let tape = snapshot(&unit);
    let none = u32::MAX;
    let list = acl(&[(1, 7, none), (2, 7, 1), (4, 7, none), (16, 7, none), (32, 7, none)]);
    set(unit.root(), "system.posix_acl_default", &list);
    chown(unit.root(), None, Some(3)).unwrap();
    fs::set_permissions(unit.root(), fs::Permissions::from_mode(0o2775)).unwrap();
    restore(&unit, &tape);
    assert_eq!(unit.show(), before);
}

#[test]
fn names_of_any_bytes_and_of_the_greatest_length_survive() {
    let unit = Unit::created();
    for name in [&b"\xff\xfe not UTF-8"[..], b"new\nline", b"-rf", &[b'n'; 255], b"\x01"] {
        write(unit.live().join(OsStr::from_bytes(name)), name);
    }
    assert_eq!(round_trip(&unit).entries().count(), 6);
}

#[test]
fn a_tree_deeper_than_the_longest_path_survives() {
    let unit = Unit::created();
    let name = "d".repeat(100);
    let mut at =
        rustix::fs::open(unit.live(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..150 {
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())
            .unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    let file = rustix::fs::openat(&at, "file", flags, Mode::RUSR).unwrap();
    rustix::io::write(&file, b"deep").unwrap();
    rustix::fs::linkat(&at, "file", &at, "other", AtFlags::empty()).unwrap();
    drop((at, file));
    let tape = snapshot(&unit);
    assert_eq!(tape.entries().count(), 153);
    unit.open().collect_garbage().unwrap();
    assert!(!unit.live().exists());
    restore(&unit, &tape);
    assert_eq!(snapshot(&unit).identity(), tape.identity());
    let deepest = vec![name; 150].join("/") + "/file";
    assert_eq!(tape.bytes(&deepest).unwrap(), b"deep");
    // The standard library removes no tree of this depth.
    unit.open().collect_garbage().unwrap();
}

#[test]
fn a_large_file_survives_bit_for_bit() {
    let unit = Unit::created();
    let bytes: Vec<u8> = (0..3_000_001u32).flat_map(|n| (n / 5).to_le_bytes()).collect();
    write(unit.file("large"), &bytes);
    let tape = round_trip(&unit);
    assert_eq!(tape.bytes("large").unwrap(), bytes);
}

#[test]
fn an_initial_directory_is_copied_with_its_metadata() {
    let unit = Unit::new();
    let plugin = unit.open();
    let initial = unit.outside("initial");
    fs::create_dir_all(initial.join("d")).unwrap();
    write(initial.join("d/f"), b"content");
    fs::hard_link(initial.join("d/f"), initial.join("g")).unwrap();
    chown(initial.join("d/f"), Some(1), Some(1)).unwrap();
    fs::set_permissions(initial.join("d"), fs::Permissions::from_mode(0o550)).unwrap();
    plugin.activate(Some(&initial)).unwrap();
    let copied = unit.show();
    fs::remove_dir_all(unit.live()).unwrap();
    fs::rename(&initial, unit.live()).unwrap();
    assert_eq!(copied, unit.show());
}

#[test]
fn a_new_directory_has_the_usual_mode() {
    let unit = Unit::created();
    assert_eq!(unit.live().metadata().unwrap().mode() & 0o7777, 0o755);
}

#[test]
fn a_unit_whose_directory_around_it_is_missing_is_not_made_up() {
    let unit = Unit::new();
    let plugin = unit.open();
    fs::remove_dir(unit.root()).unwrap();
    assert!(!plugin.probe().unwrap().exists);
    assert!(plugin.activate(None).is_err());
    plugin.collect_garbage().unwrap();
    plugin.release(&a_tag()).unwrap();
    assert!(!unit.root().exists());
}

#[test]
fn a_mount_point_is_refused_before_anything_is_written() {
    let unit = Unit::created();
    let tape = snapshot(&unit);
    let error = mounts::refuse("restore", Path::new("/proc")).unwrap_err();
    assert!(error.to_string().contains("it is a mount point"), "{error}");
    stage(&unit, &tape).unwrap();
}
