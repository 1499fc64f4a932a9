//! Snapshots that no plug-in wrote.

use std::fs;

use super::*;
use crate::tree::{Entry, Metadata, Node, Owner, Timestamp, TreePath};

fn metadata() -> Metadata {
    Metadata {
        mode: 0o755,
        owner: Owner::Id(0),
        group: Owner::Id(0),
        modified: Timestamp { seconds: 1, nanoseconds: 0 },
        xattrs: Vec::new(),
        access_acl: None,
        default_acl: None,
    }
}

fn entry(path: &str, node: Node) -> Entry {
    let metadata = if matches!(node, Node::HardLink(_)) { None } else { Some(metadata()) };
    Entry { path: TreePath::parse(path).unwrap(), node, metadata }
}

/// Stages entries that must be refused, and checks that nothing is left and nothing outside was touched.
fn check(entries: impl FnOnce(&Unit, &mut Tape) -> Vec<Entry>) -> Error {
    let unit = Unit::created();
    write(unit.file("live"), b"live");
    fs::create_dir(unit.outside("x")).unwrap();
    write(unit.outside("x/secret"), b"secret");
    let before = (unit.show(), fs::read_dir(unit.outside("x")).unwrap().count());
    let mut tape = Tape::new(Profile::Posix1);
    for entry in entries(&unit, &mut tape) {
        tape.insert(entry);
    }
    let error = stage(&unit, &tape).unwrap_err();
    assert_eq!((unit.show(), fs::read_dir(unit.outside("x")).unwrap().count()), before);
    assert_eq!(fs::read(unit.outside("x/secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(unit.root()).unwrap().count(), 1, "something is left behind");
    error
}

fn link_to(path: &Path) -> Node {
    Node::Symlink(path.as_os_str().as_encoded_bytes().to_vec())
}

#[test]
fn nothing_is_written_through_a_link() {
    let error = check(|unit, tape| {
        let content = tape.insert_content(b"evil");
        vec![
            entry("", Node::Directory),
            entry("a", link_to(&unit.outside("x"))),
            entry("a/b", Node::File(content)),
        ]
    });
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
}

#[test]
fn nothing_is_linked_through_a_link() {
    check(|unit, _| {
        vec![
            entry("", Node::Directory),
            entry("a", link_to(&unit.outside("x"))),
            entry("b", Node::HardLink(TreePath::parse("a/secret").unwrap())),
        ]
    });
}

#[test]
fn a_hard_link_to_what_is_not_there_is_refused() {
    for target in ["zzz", "a", ""] {
        check(|_, _| {
            let target = TreePath::parse(target).unwrap();
            vec![entry("", Node::Directory), entry("b", Node::HardLink(target))]
        });
    }
}

#[test]
fn a_snapshot_without_a_root_is_refused() {
    check(|_, _| vec![]);
    check(|_, _| vec![entry("a", Node::Directory)]);
    check(|unit, _| vec![entry("", link_to(&unit.outside("x")))]);
}

#[test]
fn an_entry_without_its_directory_is_refused() {
    let error = check(|_, _| vec![entry("", Node::Directory), entry("a/b/c", Node::Directory)]);
    assert!(error.to_string().contains("does not lie in a directory"), "{error}");
}

#[test]
fn an_entry_without_metadata_is_refused() {
    check(|_, _| {
        let bare = Entry { metadata: None, ..entry("a", Node::Directory) };
        vec![entry("", Node::Directory), bare]
    });
}

#[test]
fn an_unknown_owner_is_named_and_nothing_is_left() {
    for (what, user, group) in [("user", "nobody knows", "root"), ("group", "root", "no\0body")] {
        let error = check(|_, _| {
            let owner = Owner::Name(user.to_owned());
            let group = Owner::Name(group.to_owned());
            let metadata = Some(Metadata { owner, group, ..metadata() });
            let stranger = Entry { metadata, ..entry("a", Node::Fifo) };
            vec![entry("", Node::Directory), stranger]
        });
        assert!(matches!(&error, Error::UnknownOwner { what: w, .. } if *w == what), "{error}");
    }
}

#[test]
fn a_snapshot_of_another_kind_is_refused() {
    let unit = Unit::created();
    let error = stage(&unit, &Tape::new(Profile::Files1)).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error}");
}

#[test]
fn a_staged_tree_of_the_same_tag_is_not_touched_by_a_failure() {
    let unit = Unit::created();
    let tape = snapshot(&unit);
    let swap = stage(&unit, &tape).unwrap();
    assert!(stage(&unit, &tape).is_err());
    unit.open().swap(&swap).unwrap();
}
