//! What a manifest says comes back, and nothing else does.

use plugins::tree::{
    Acl, AclEntry, AclTag, Content, Device, Digest, Entry, Metadata, Node, Owner, Profile,
    Timestamp, TreePath,
};
use proptest::prelude::*;

use super::{ManifestReader, ManifestWriter};
use crate::store::Error;

fn write(
    profile: Profile,
    attributes: &[(&str, &str)],
    entries: &[Entry],
) -> std::io::Result<Vec<u8>> {
    let mut writer = ManifestWriter::new(Vec::new(), profile);
    for (name, value) in attributes {
        writer.attribute(name, value)?;
    }
    for entry in entries {
        writer.entry(entry.clone())?;
    }
    Ok(writer.finish()?.out)
}

type Parts = (Profile, Vec<(String, String)>, Vec<Entry>);

fn read(bytes: &[u8]) -> Result<Parts, Error> {
    let reader = ManifestReader::open(bytes, Digest::of(bytes))?;
    let profile = reader.profile();
    let attributes = reader.attributes().clone().into_iter().collect();
    let entries = reader.collect::<Result<Vec<_>, _>>()?;
    Ok((profile, attributes, entries))
}

fn path(text: &str) -> TreePath {
    TreePath::parse(text).unwrap()
}

fn metadata() -> Metadata {
    Metadata {
        mode: 0o6755,
        owner: Owner::Name("root".into()),
        group: Owner::Id(4_294_967_295),
        modified: Timestamp { seconds: -1, nanoseconds: 999_999_999 },
        xattrs: vec![(b"security.capability".to_vec(), vec![0; 20]), (b"user.a".to_vec(), vec![])],
        access_acl: Some(Acl(vec![
            AclEntry { tag: AclTag::UserObject, permissions: 7 },
            AclEntry { tag: AclTag::User(Owner::Name("www".into())), permissions: 5 },
            AclEntry { tag: AclTag::GroupObject, permissions: 0 },
            AclEntry { tag: AclTag::Mask, permissions: 5 },
            AclEntry { tag: AclTag::Other, permissions: 0 },
        ])),
        default_acl: None,
    }
}

fn posix(name: &str, node: Node) -> Entry {
    let metadata = (!matches!(node, Node::HardLink(_))).then(metadata);
    Entry { path: path(name), node, metadata }
}

fn file(name: &str) -> Entry {
    let content = Content { size_bytes: 300, digest: Digest::of(name.as_bytes()) };
    Entry { path: path(name), node: Node::File(content), metadata: None }
}

fn one_of_each() -> Vec<Entry> {
    let content = Content { size_bytes: u64::MAX >> 1, digest: Digest::of(b"x") };
    vec![
        posix("", Node::Directory),
        posix("a", Node::Directory),
        posix("a/b", Node::File(content)),
        posix("a-b", Node::HardLink(path("a/b"))),
        posix("c", Node::Symlink(b"../\xff".to_vec())),
        posix("d", Node::Fifo),
        posix("e", Node::CharacterDevice(Device { major: 1, minor: u32::MAX })),
        posix("f", Node::BlockDevice(Device { major: 259, minor: 0 })),
        posix("g", Node::Unreadable),
    ]
}

#[test]
fn one_of_each_comes_back() {
    let bytes = write(Profile::Posix1, &[("encoding", "UTF8"), ("a", "")], &one_of_each()).unwrap();
    let (profile, attributes, entries) = read(&bytes).unwrap();
    assert_eq!(profile, Profile::Posix1);
    assert_eq!(attributes, [("a".into(), "".into()), ("encoding".into(), "UTF8".into())]);
    assert_eq!(entries, one_of_each());
}

#[test]
fn files_come_in_any_order_and_give_the_same_manifest() {
    let forwards = write(Profile::Files1, &[], &[file("a"), file("b/c"), file("b-c")]).unwrap();
    let backwards = write(Profile::Files1, &[], &[file("b-c"), file("b/c"), file("a")]).unwrap();
    assert_eq!(forwards, backwards);
}

#[test]
fn an_entry_in_the_wrong_place_is_refused() {
    let refused: &[(Profile, Vec<Entry>)] = &[
        (Profile::Files1, vec![file("a"), file("a")]),
        (Profile::Files1, vec![file("a"), file("a/b")]),
        (Profile::Files1, vec![posix("a", Node::Fifo)]),
        (Profile::Posix1, vec![posix("a", Node::Fifo)]),
        (Profile::Posix1, vec![posix("", Node::Directory), posix("a/b", Node::Fifo)]),
        (
            Profile::Posix1,
            vec![posix("", Node::Directory), posix("b", Node::Fifo), posix("a", Node::Fifo)],
        ),
        (
            Profile::Posix1,
            vec![posix("", Node::Directory), posix("a", Node::Fifo), posix("a/b", Node::Fifo)],
        ),
        (Profile::Posix1, vec![posix("", Node::Directory), posix("a", Node::HardLink(path("b")))]),
    ];
    for (profile, entries) in refused {
        assert!(write(*profile, &[], entries).is_err(), "{entries:?}");
    }
}

#[test]
fn paths_that_could_leave_the_tree_are_none() {
    for text in ["/", "/a", "a/", "a//b", ".", "..", "a/..", "a/./b", "a\0b"] {
        assert!(TreePath::parse(text).is_none(), "{text:?}");
    }
}

#[test]
fn every_cut_is_noticed() {
    let bytes = write(Profile::Posix1, &[("a", "b")], &one_of_each()).unwrap();
    for end in 0..bytes.len() {
        assert!(read(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert!(read(&longer).is_err());
}

proptest! {
    /// Two different manifests of the same state would be two ids: what is accepted must be what is written.
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(at in 0usize..400, value: u8, also in 0usize..400, other: u8) {
        let mut bytes = write(Profile::Posix1, &[("a", "b")], &one_of_each()).unwrap();
        let length = bytes.len();
        bytes[at % length] = value;
        bytes[also % length] = other;
        if let Ok((profile, attributes, entries)) = read(&bytes) {
            let attributes: Vec<_> =
                attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            prop_assert_eq!(write(profile, &attributes, &entries).unwrap(), bytes);
        }
    }
}
