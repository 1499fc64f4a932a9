//! Mode, owner and group of a database file, as attributes of its snapshot.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Gid, Mode, Uid};

use crate::owners::Owners;
use crate::tree::Owner;
use crate::{Capture, Error, Result, Source};

/// The permission bits, in octal.
const MODE: &str = "mode";

/// By name where there is one, by number where there is none. Two attributes, because a name may look like a number.
struct Names {
    by_name: &'static str,
    by_id: &'static str,
}

const OWNER: Names = Names { by_name: "owner", by_id: "owner-id" };
const GROUP: Names = Names { by_name: "group", by_id: "group-id" };

/// Who may open a database.
pub(super) struct Ownership {
    mode: u32,
    owner: Owner,
    group: Owner,
}

impl Ownership {
    /// Returns the ownership of a file.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let metadata = path.metadata().map_err(Error::file("read the metadata of", path))?;
        let mut owners = Owners::default();
        Ok(Self {
            mode: metadata.mode() & 0o7777,
            owner: owners.user(metadata.uid()).clone(),
            group: owners.group(metadata.gid()).clone(),
        })
    }

    /// Reads the ownership from a snapshot.
    pub(super) fn read(source: &dyn Source) -> Result<Self> {
        let mode = source.attribute(MODE).and_then(|text| u32::from_str_radix(text, 8).ok());
        Ok(Self {
            mode: mode.filter(|mode| *mode <= 0o7777).ok_or_else(|| lacks(MODE))?,
            owner: read_owner(source, &OWNER)?,
            group: read_owner(source, &GROUP)?,
        })
    }

    /// Writes the ownership to a snapshot.
    pub(super) fn write(&self, capture: &dyn Capture) -> Result<()> {
        capture.attribute(MODE, &format!("{:04o}", self.mode)).map_err(Error::write)?;
        for (owner, names) in [(&self.owner, OWNER), (&self.group, GROUP)] {
            let (name, value) = match owner {
                Owner::Name(name) => (names.by_name, name.clone()),
                Owner::Id(id) => (names.by_id, id.to_string()),
            };
            capture.attribute(name, &value).map_err(Error::write)?;
        }
        Ok(())
    }

    /// Gives a file, which is at `path`, this ownership.
    pub(super) fn set(&self, file: &File, path: &Path) -> Result<()> {
        let mut owners = Owners::default();
        let user = Uid::from_raw(owners.user_id(&self.owner)?);
        let group = Gid::from_raw(owners.group_id(&self.group)?);
        rustix::fs::fchown(file, Some(user), Some(group))
            .map_err(|errno| Error::file("change the owner of", path)(errno.into()))?;
        // After the owner, whose change takes bits away.
        rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode))
            .map_err(|errno| Error::file("change the mode of", path)(errno.into()))
    }
}

fn read_owner(source: &dyn Source, names: &Names) -> Result<Owner> {
    if let Some(name) = source.attribute(names.by_name) {
        return Ok(Owner::Name(name.to_owned()));
    }
    let id = source.attribute(names.by_id).and_then(|text| text.parse().ok());
    id.map(Owner::Id).ok_or_else(|| lacks(names.by_name))
}

fn lacks(name: &str) -> Error {
    Error::Foreign { reason: format!("it lacks the attribute {name}") }
}
