//! POSIX access control lists in the form in which Linux keeps them: `linux/posix_acl_xattr.h`.

use crate::Result;
use crate::owners::Owners;
use crate::tree::{Acl, AclEntry, AclTag};

/// The attribute that holds an access ACL.
pub(super) const ACCESS: &str = "system.posix_acl_access";
/// The attribute that holds a directory's default ACL.
pub(super) const DEFAULT: &str = "system.posix_acl_default";

/// The only version there is, in front of the entries.
const VERSION: u32 = 2;

const USER_OBJECT: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJECT: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// What stands for the number in an entry that names nobody.
const NOBODY: u32 = u32::MAX;

/// Reads the value of an attribute; none where it is no ACL of the known version.
pub(super) fn parse(value: &[u8], owners: &mut Owners) -> Option<Acl> {
    let (version, entries) = value.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() {
        return None;
    }
    let mut acl = Vec::with_capacity(entries.len());
    for &[t0, t1, p0, p1, i0, i1, i2, i3] in entries {
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let tag = match u16::from_le_bytes([t0, t1]) {
            USER_OBJECT => AclTag::UserObject,
            USER => AclTag::User(owners.user(id).clone()),
            GROUP_OBJECT => AclTag::GroupObject,
            GROUP => AclTag::Group(owners.group(id).clone()),
            MASK => AclTag::Mask,
            OTHER => AclTag::Other,
            _ => return None,
        };
        let permissions = u8::try_from(u16::from_le_bytes([p0, p1])).ok().filter(|&p| p <= 7)?;
        acl.push(AclEntry { tag, permissions });
    }
    acl.sort_unstable();
    Some(Acl(acl))
}

/// Writes an ACL as the value of an attribute.
pub(super) fn encode(acl: &Acl, owners: &mut Owners) -> Result<Vec<u8>> {
    let mut value = VERSION.to_le_bytes().to_vec();
    for entry in &acl.0 {
        let (tag, id) = match &entry.tag {
            AclTag::UserObject => (USER_OBJECT, NOBODY),
            AclTag::User(user) => (USER, owners.user_id(user)?),
            AclTag::GroupObject => (GROUP_OBJECT, NOBODY),
            AclTag::Group(group) => (GROUP, owners.group_id(group)?),
            AclTag::Mask => (MASK, NOBODY),
            AclTag::Other => (OTHER, NOBODY),
        };
        value.extend_from_slice(&tag.to_le_bytes());
        value.extend_from_slice(&u16::from(entry.permissions).to_le_bytes());
        value.extend_from_slice(&id.to_le_bytes());
    }
    Ok(value)
}

/// Returns whether an access ACL says nothing that the mode does not say.
pub(super) fn is_minimal(acl: &Acl) -> bool {
    acl.0
        .iter()
        .all(|entry| matches!(entry.tag, AclTag::UserObject | AclTag::GroupObject | AclTag::Other))
}

/// Returns whether an ACL names users or groups, whose names can change without the file's changing.
pub(super) fn names_somebody(acl: Option<&Acl>) -> bool {
    acl.is_some_and(|acl| {
        acl.0.iter().any(|entry| matches!(entry.tag, AclTag::User(_) | AclTag::Group(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Owner;

    #[test]
    fn an_acl_is_read_as_it_was_written() {
        let entry = |tag, permissions| AclEntry { tag, permissions };
        let acl = Acl(vec![
            entry(AclTag::UserObject, 7),
            entry(AclTag::User(Owner::Id(4_000_000)), 5),
            entry(AclTag::GroupObject, 4),
            entry(AclTag::Mask, 5),
            entry(AclTag::Other, 0),
        ]);
        let value = encode(&acl, &mut Owners::default()).unwrap();
        assert_eq!(value.len(), 4 + 5 * 8);
        assert_eq!(parse(&value, &mut Owners::default()), Some(acl));
    }

    #[test]
    fn what_is_no_acl_is_not_read_as_one() {
        let owners = &mut Owners::default();
        for bad in [&b""[..], b"\x02\0\0", b"\x01\0\0\0", b"\x02\0\0\0\x01"] {
            assert_eq!(parse(bad, owners), None);
        }
    }
}
