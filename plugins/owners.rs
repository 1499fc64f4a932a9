//! Users and groups by name and by number, each looked up once.

use std::collections::HashMap;

use crate::tree::Owner;
use crate::{Error, Result};

/// A cache of this host's user and group databases. It lives as long as one verb, so that changes are seen.
#[derive(Default)]
pub(crate) struct Owners {
    users: HashMap<u32, Owner>,
    groups: HashMap<u32, Owner>,
    user_ids: HashMap<String, u32>,
    group_ids: HashMap<String, u32>,
}

impl Owners {
    /// Returns the user of that number, by name where there is one.
    pub(crate) fn user(&mut self, id: u32) -> &Owner {
        self.users.entry(id).or_insert_with(|| {
            let user = uzers::get_user_by_uid(id);
            by_name(user.as_ref().and_then(|user| user.name().to_str()), id)
        })
    }

    /// Returns the group of that number, by name where there is one.
    pub(crate) fn group(&mut self, id: u32) -> &Owner {
        self.groups.entry(id).or_insert_with(|| {
            let group = uzers::get_group_by_gid(id);
            by_name(group.as_ref().and_then(|group| group.name().to_str()), id)
        })
    }

    /// Returns the number that a user has here.
    pub(crate) fn user_id(&mut self, owner: &Owner) -> Result<u32> {
        let find = |name: &str| uzers::get_user_by_name(name).map(|user| user.uid());
        number(&mut self.user_ids, owner, "user", find)
    }

    /// Returns the number that a group has here.
    pub(crate) fn group_id(&mut self, owner: &Owner) -> Result<u32> {
        let find = |name: &str| uzers::get_group_by_name(name).map(|group| group.gid());
        number(&mut self.group_ids, owner, "group", find)
    }
}

fn by_name(name: Option<&str>, id: u32) -> Owner {
    name.map_or(Owner::Id(id), |name| Owner::Name(name.to_owned()))
}

fn number(
    known: &mut HashMap<String, u32>,
    owner: &Owner,
    what: &'static str,
    find: impl FnOnce(&str) -> Option<u32>,
) -> Result<u32> {
    let name = match owner {
        Owner::Id(id) => return Ok(*id),
        Owner::Name(name) => name,
    };
    if let Some(id) = known.get(name) {
        return Ok(*id);
    }
    // A name with a NUL can be in no database, and the lookup would panic on it.
    let id = Some(name).filter(|name| !name.contains('\0')).and_then(|name| find(name));
    let id =
        id.ok_or_else(|| Error::UnknownOwner { what, name: name.escape_debug().to_string() })?;
    known.insert(name.clone(), id);
    Ok(id)
}
