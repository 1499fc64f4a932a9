//! Where a unit's state lies: a name in a directory, and the hidden siblings that are built and kept beside it.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, StatxFlags};
use rustix::io::Errno;
use serde::Deserialize;

use crate::{Error, Result, Setting, Standing, Swap, Tag};

/// Symbolic links that are followed to the live state: as many as the kernel follows in one path.
const LINKS_MAX: usize = 40;

/// Bytes of the longest file name on Linux.
const NAME_BYTES_MAX: usize = 255;

/// The longest text that SQLite appends to a database's name.
const LONGEST_SUFFIX: &str = "-journal";

/// What stands between the name of the live state and the mark in the name of a sibling.
const INFIX: &str = ".dysno-";

/// A name in a directory that exists.
pub(crate) struct Place {
    parent: PathBuf,
    name: OsString,
    directory: OwnedFd,
}

/// What lies under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What tells it from everything else that ever lay in the same file system: its inode and time of birth. Not its
    /// device, whose number another start of the host may change.
    pub(crate) identity: String,
    pub(crate) file_type: FileType,
    pub(crate) size_bytes: u64,
}

impl Place {
    /// Finds the place that `path` names after its symbolic links; none where the containing directory does not exist.
    pub(crate) fn find(path: &Path) -> Result<Option<Self>> {
        match Self::open(path) {
            Ok(place) => Ok(Some(place)),
            Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the place that `path` names after its symbolic links. The containing directory must exist.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut path = path.to_owned();
        for _ in 0..LINKS_MAX {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err(Error::file("use", &path)(Errno::INVAL.into()));
            };
            let parent = fs::canonicalize(parent).map_err(Error::file("open", parent))?;
            match fs::read_link(parent.join(name)) {
                Ok(target) => path = parent.join(target),
                // It is no link, or not there.
                Err(_) => {
                    let directory =
                        open_directory(&parent).map_err(Error::file("open", &parent))?;
                    return Ok(Self { name: name.to_owned(), parent, directory });
                }
            }
        }
        Err(Error::file("open", path)(Errno::LOOP.into()))
    }

    /// Returns the path of the live state, free of symbolic links.
    pub(crate) fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// Returns the path of a name in the same directory.
    pub(crate) fn path_of(&self, name: &OsStr) -> PathBuf {
        self.parent.join(name)
    }

    /// Returns the containing directory.
    pub(crate) fn parent(&self) -> &Path {
        &self.parent
    }

    /// Returns a handle of the containing directory.
    pub(crate) fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Returns the name of the live state.
    pub(crate) fn name(&self) -> &OsStr {
        &self.name
    }

    /// Returns the name of the hidden sibling with that mark.
    pub(crate) fn sibling(&self, mark: &str) -> OsString {
        let mut stem = self.name.as_bytes().to_vec();
        if 1 + stem.len() + INFIX.len() + mark.len() + LONGEST_SUFFIX.len() > NAME_BYTES_MAX {
            stem = blake3::hash(&stem).to_hex().as_bytes().to_vec();
        }
        let name = [b".", stem.as_slice(), INFIX.as_bytes(), mark.as_bytes()].concat();
        OsString::from_vec(name)
    }

    /// Returns the name of the sibling that carries `tag`.
    pub(crate) fn tagged(&self, tag: &Tag) -> OsString {
        self.sibling(&tag.to_string())
    }

    /// Returns what lies under `name`, without following a link.
    pub(crate) fn look(&self, name: &OsStr) -> Result<Option<Found>> {
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        match rustix::fs::statx(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW, wanted) {
            Ok(found) => Ok(Some(Found {
                identity: format!(
                    "{}:{}.{:09}",
                    found.stx_ino, found.stx_btime.tv_sec, found.stx_btime.tv_nsec
                ),
                file_type: FileType::from_raw_mode(found.stx_mode.into()),
                size_bytes: found.stx_size,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.fault("read the metadata of", name, errno)),
        }
    }

    /// Returns what lies under the live name.
    pub(crate) fn live(&self) -> Result<Option<Found>> {
        self.look(&self.name)
    }

    /// Returns which side of `swap` is live.
    pub(crate) fn standing(&self, swap: &Swap) -> Result<Standing> {
        let live = self.live()?.map(|found| found.identity);
        Ok(if live.as_deref() == Some(swap.staged.as_str()) {
            Standing::After
        } else if live == swap.displaced {
            Standing::Before
        } else {
            Standing::Foreign
        })
    }

    /// Makes sure that what lies under the tagged name is `expected`.
    pub(crate) fn expect(&self, swap: &Swap, expected: &str) -> Result<()> {
        let name = self.tagged(&swap.tag);
        match self.look(&name)? {
            Some(found) if found.identity == expected => Ok(()),
            Some(_) => Err(Error::Refused {
                verb: "use",
                object: self.path_of(&name).display().to_string(),
                reason: "somebody put something else in its place".to_owned(),
            }),
            None => Err(Error::Missing { what: self.path_of(&name).display().to_string() }),
        }
    }

    /// Exchanges the live state with what lies under `name`, durably.
    pub(crate) fn exchange(&self, name: &OsStr) -> Result<()> {
        let at = &self.directory;
        rustix::fs::renameat_with(at, name, at, &self.name, RenameFlags::EXCHANGE)
            .map_err(|errno| self.fault("exchange", &self.name, errno))?;
        self.sync()
    }

    /// Moves `from` to `to`, where nothing may be, durably.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> Result<()> {
        let at = &self.directory;
        rustix::fs::renameat_with(at, from, at, to, RenameFlags::NOREPLACE)
            .map_err(|errno| self.fault("rename", from, errno))?;
        self.sync()
    }

    /// Makes the names in the containing directory durable.
    pub(crate) fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.directory)
            .map_err(|errno| Error::file("sync", &self.parent)(errno.into()))
    }

    /// Makes the error of an operation on a name in the containing directory.
    pub(crate) fn fault(&self, verb: &'static str, name: &OsStr, errno: Errno) -> Error {
        Error::file(verb, self.path_of(name))(errno.into())
    }
}

/// Makes the error for live state that is neither side of a swap.
pub(crate) fn foreign(verb: &'static str, place: &Place) -> Error {
    Error::Refused {
        verb,
        object: place.path().display().to_string(),
        reason: "it is neither the state from before nor the restored one; somebody replaced or removed it"
            .to_owned(),
    }
}

/// Returns whether `name` is that of a sibling which dysno made.
pub(crate) fn is_sibling(name: &[u8]) -> bool {
    name.starts_with(b".") && name.windows(INFIX.len()).any(|part| part == INFIX.as_bytes())
}

/// The settings of a container of files or directories.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    root: Option<PathBuf>,
}

/// What the setting `root` means.
pub(crate) const ROOT: Setting = Setting {
    name: "root",
    meaning: "the absolute path of the directory in which units lie; without it, components are absolute paths",
};

/// Reads the setting `root` of a container.
pub(crate) fn read_root(kind: &'static str, settings: &toml::Table) -> Result<Option<PathBuf>> {
    let refuse = |source| Error::Settings { kind, source };
    let settings = Settings::deserialize(settings.clone()).map_err(refuse)?;
    if settings.root.as_ref().is_some_and(|root| !root.is_absolute()) {
        let error = serde::de::Error::custom("root is not an absolute path");
        return Err(refuse(error));
    }
    Ok(settings.root)
}

/// Returns the names in `root` of what `is_unit` accepts, in ascending order.
pub(crate) fn list(root: &Path, is_unit: impl Fn(&Path) -> bool) -> Result<Vec<String>> {
    let fault = || Error::file("list", root);
    let mut names = Vec::new();
    for entry in fs::read_dir(root).map_err(fault())? {
        let entry = entry.map_err(fault())?;
        // What no component can name is no unit.
        let name = entry.file_name().into_string();
        let name = name.ok().filter(|name| !name.chars().any(char::is_control));
        if let Some(name) =
            name.filter(|name| !is_sibling(name.as_bytes()) && is_unit(&entry.path()))
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Resolves a component to a path: a name below `root`, or an absolute path where there is no root.
pub(crate) fn resolve(kind: &'static str, root: Option<&Path>, component: &str) -> Result<PathBuf> {
    let refuse = |reason| Err(Error::Component { kind, component: component.to_owned(), reason });
    let path = Path::new(component);
    let mut parts = path.components();
    if root.is_none() && parts.next() != Some(Component::RootDir) {
        return refuse("expected an absolute path, because the container has no root");
    }
    let names = parts.clone().count();
    if names == 0 || !parts.all(|part| matches!(part, Component::Normal(_))) {
        return refuse(match root {
            Some(_) => "expected a path relative to the container's root, without ..",
            None => "expected an absolute path without .., not the root of the file system",
        });
    }
    if path.file_name().is_some_and(|name| is_sibling(name.as_bytes())) {
        return refuse("names of this form are for state that is being restored");
    }
    Ok(root.map_or_else(|| path.to_owned(), |root| root.join(path)))
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(root: Option<&str>, component: &str, expected: Option<&str>) {
        let path = resolve("directory", root.map(Path::new), component);
        assert_eq!(path.ok(), expected.map(PathBuf::from), "{component}");
    }

    #[test]
    fn a_component_stays_below_its_root() {
        check(Some("/srv"), "web", Some("/srv/web"));
        check(Some("/srv"), "a/b", Some("/srv/a/b"));
        for bad in ["..", "a/../b", "/etc", "", ".", ".web.dysno-abcdefghij"] {
            check(Some("/srv"), bad, None);
        }
    }

    #[test]
    fn without_a_root_a_component_is_an_absolute_path() {
        check(None, "/srv/web", Some("/srv/web"));
        for bad in ["web", "/", "/srv/../etc", ""] {
            check(None, bad, None);
        }
    }

    #[test]
    fn a_place_is_found_behind_symbolic_links_even_where_they_lead_to_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(dir.path()).unwrap();
        std::os::unix::fs::symlink("b", base.join("a")).unwrap();
        std::os::unix::fs::symlink(base.join("c"), base.join("b")).unwrap();
        assert_eq!(Place::open(&base.join("a")).unwrap().path(), base.join("c"));
        std::os::unix::fs::symlink("d", base.join("c")).unwrap();
        std::os::unix::fs::symlink("a", base.join("d")).unwrap();
        assert!(Place::open(&base.join("a")).is_err());
        assert!(Place::find(&base.join("x/y")).unwrap().is_none());
    }

    #[test]
    fn a_sibling_of_the_longest_name_is_not_too_long() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::open(&dir.path().join("n".repeat(NAME_BYTES_MAX))).unwrap();
        assert!(place.sibling("abcdefghij").len() <= NAME_BYTES_MAX - LONGEST_SUFFIX.len());
    }
}
