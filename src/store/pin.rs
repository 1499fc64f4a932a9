//! Pins: roots that people set by hand.

use std::fs;
use std::io;
use std::path::Path;

use super::error::{Error, Result};
use super::session::Session;
use super::{Store, file_names};

/// A name that keeps a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// The name.
    pub name: String,
    /// The root file that it points to.
    pub root: String,
}

impl Pin {
    /// Returns whether a text can name a pin: 1 to 100 ASCII letters, digits, `-`, `_` and `.`, not starting with a dot.
    pub fn is_name(name: &str) -> bool {
        (1..=100).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    }
}

impl Store {
    /// Returns all pins in ascending order of their names.
    pub fn pins(&self) -> Result<Vec<Pin>> {
        let directory = self.path().join("gcroots");
        let mut pins = Vec::new();
        for name in file_names(&directory)? {
            let path = directory.join(&name);
            let target = fs::read_link(&path).map_err(Error::file("read", &path))?;
            let root = target.file_name().and_then(|root| root.to_str());
            let root = root.ok_or_else(|| Error::damaged(path.display(), "it points nowhere"))?;
            pins.push(Pin { name, root: root.to_owned() });
        }
        Ok(pins)
    }

    /// Sets a pin; returns whether the name was free.
    pub fn pin(&self, session: &Session<'_>, pin: &Pin) -> Result<bool> {
        let directory = self.path().join("gcroots");
        let path = directory.join(&pin.name);
        let temporary = session.new_file("pin");
        let target = Path::new("../store").join(&pin.root);
        self.disk().symlink(&target, &temporary).map_err(Error::file("create", &temporary))?;
        match self.disk().rename_new(&temporary, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
            Err(error) => return Err(Error::file("create", path)(error)),
        }
        self.disk().sync_dir(&directory).map_err(Error::file("sync", &directory))?;
        Ok(true)
    }

    /// Removes a pin; returns whether there was one.
    pub fn unpin(&self, name: &str) -> Result<bool> {
        let path = self.path().join("gcroots").join(name);
        match self.disk().remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::file("remove", path)(error)),
        }
    }
}
