//! Directories: a tree of files with all that POSIX and Linux keep of it.
//!
//! A unit whose path is a symbolic link is the directory that the link leads to: the directory is captured, exchanged
//! and removed, and the link stays as it is.
//!
//! Not part of the state are sockets, which their servers make anew, and access times. Where another file system is
//! mounted below the directory, the snapshot records the mount point, warns, and does not go on into it; a restore is
//! refused, because the mount would move along with the displaced tree. A file that is removed between the listing of
//! its directory and its turn is left out, as if the snapshot had begun a little later; one that changes while it is
//! read is read again, [three times](walk) in all.
//!
//! A restore builds the whole tree as a hidden sibling of the live directory, `.NAME.dysno-TAG`, and exchanges the two
//! by `renameat2(RENAME_EXCHANGE)`. What was displaced then lies under the sibling's name. Processes that have files
//! or the directory itself open keep the displaced ones. Linux 5.6 or newer is needed, for `openat2`.

mod acl;
mod content;
mod copy;
mod descent;
mod metadata;
mod prior;
mod remove;
#[cfg(test)]
mod tests;
mod times;
mod walk;
mod writer;
mod xattr;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::place::{self, Found, Place, foreign};
use crate::tree::Profile;
use crate::{
    Activation, Capture, Consistency, Container, ContainerProbe, Context, Environment, Error,
    Interrupt, Kind, Plugin, Probe, RestoreOptions, Result, SnapshotOptions, Source, Standing,
    Swap, Tag, mounts,
};
use remove::remove_sibling;
use writer::TreeWriter;

const NAME: &str = "directory";

/// The kind `directory`.
pub(crate) const KIND: Kind = Kind {
    name: NAME,
    summary: "a directory with all files below it",
    component: "the path of the directory; with a root, relative to it",
    initial: "a directory, which is copied",
    profile: Profile::Posix1,
    consistency: Consistency::PerFile,
    settings: &[place::ROOT],
    open,
};

/// What a new directory's mode is.
const NEW_MODE: Mode = Mode::from_raw_mode(0o755);

/// The sibling in which activation builds a directory. No tag has its length.
const INITIAL_MARK: &str = "initial";

/// The sibling to which a directory is moved before it is removed. No tag has its length.
const GARBAGE_MARK: &str = "garbage";

/// How long a probe adds up sizes. Every snapshot probes first, and a tree that takes longer has an earlier snapshot to go by,
/// or no estimate.
const PROBE_TIME_MAX: Duration = Duration::from_millis(50);

fn open(settings: &toml::Table, context: &Context) -> Result<Box<dyn Container>> {
    let root = place::read_root(NAME, settings)?;
    Ok(Box::new(Directories { root, interrupt: context.interrupt.clone() }))
}

/// A place where directories lie.
struct Directories {
    root: Option<PathBuf>,
    interrupt: Interrupt,
}

impl Container for Directories {
    fn probe(&self) -> Result<ContainerProbe> {
        let is_unit = |path: &Path| path.is_dir();
        let components =
            self.root.as_deref().map_or(Ok(Vec::new()), |root| place::list(root, is_unit))?;
        Ok(ContainerProbe { version: None, components })
    }

    fn open(&self, component: &str) -> Result<Box<dyn Plugin>> {
        let path = place::resolve(NAME, self.root.as_deref(), component)?;
        Ok(Box::new(Directory { path, interrupt: self.interrupt.clone() }))
    }
}

/// One directory.
struct Directory {
    path: PathBuf,
    interrupt: Interrupt,
}

impl Directory {
    /// Returns where the directory lies or is to lie.
    fn place(&self) -> Result<Place> {
        Place::open(&self.path)
    }

    /// Returns the live directory.
    fn live(&self, place: &Place) -> Result<Option<Found>> {
        match place.live()? {
            Some(found) if found.file_type != FileType::Directory => Err(Error::Refused {
                verb: "use",
                object: place.path().display().to_string(),
                reason: "it is not a directory".to_owned(),
            }),
            found => Ok(found),
        }
    }

    fn missing(&self) -> Error {
        Error::Missing { what: self.path.display().to_string() }
    }

    /// Builds a directory under `name` by `build`; after a failure nothing of that name is left.
    fn build(&self, place: &Place, name: &OsStr, build: impl FnOnce() -> Result<()>) -> Result<()> {
        // Only what this call makes may be removed after a failure.
        if place.look(name)?.is_some() {
            return Err(place.fault("create", name, rustix::io::Errno::EXIST));
        }
        build().inspect_err(|_| {
            // The failure of the build is what the user must know; `release` removes what is left.
            let _ = remove_sibling(place, name);
        })
    }

    fn create(&self, place: &Place, name: &OsStr, initial: Option<&Path>) -> Result<()> {
        if let Some(initial) = initial {
            return copy::copy(initial, place, name, &self.interrupt);
        }
        let fault = |errno| place.fault("create", name, errno);
        let at = place.directory();
        rustix::fs::mkdirat(at, name, NEW_MODE).map_err(fault)?;
        // Whatever the umask says: it was set for the user who happens to run this, not for the service.
        rustix::fs::chmodat(at, name, NEW_MODE, AtFlags::empty()).map_err(fault)
    }
}

impl Plugin for Directory {
    fn probe(&self) -> Result<Probe> {
        let Some(place) = Place::find(&self.path)? else {
            return Ok(Probe::default());
        };
        let exists = self.live(&place)?.is_some();
        let size_bytes = if exists { add_up(&place.path()) } else { None };
        Ok(Probe { exists, version: None, size_bytes })
    }

    fn activate(&self, initial: Option<&Path>) -> Result<Activation> {
        let place = self.place()?;
        if self.live(&place)?.is_some() {
            return Ok(Activation::Existing);
        }
        if let Some(path) = initial.filter(|initial| !initial.is_dir()) {
            let reason = "expected a directory".to_owned();
            return Err(Error::Initial { path: path.to_owned(), reason });
        }
        let name = place.sibling(INITIAL_MARK);
        // A crash may have left one half-built.
        remove_sibling(&place, &name)?;
        self.build(&place, &name, || {
            self.create(&place, &name, initial)?;
            place.rename(&name, place.name())
        })?;
        Ok(Activation::Created)
    }

    fn snapshot(&self, capture: &dyn Capture, options: &SnapshotOptions) -> Result<()> {
        let place = Place::find(&self.path)?.ok_or_else(|| self.missing())?;
        self.live(&place)?.ok_or_else(|| self.missing())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::openat(place.directory(), place.name(), flags, Mode::empty())
            .map_err(|errno| place.fault("open", place.name(), errno))?;
        walk::walk(place.path(), root, capture, *options, &self.interrupt)
    }

    fn stage(&self, source: &dyn Source, tag: &Tag, options: &RestoreOptions) -> Result<Swap> {
        let profile = source.profile();
        if profile != Profile::Posix1 {
            let reason =
                format!("it has the profile {}, not {}", profile.name(), Profile::Posix1.name());
            return Err(Error::Foreign { reason });
        }
        let place = self.place()?;
        let displaced = self.live(&place)?.map(|found| found.identity);
        // Before anything is written: the exchange could not be done.
        mounts::refuse("restore", &place.path())?;
        let name = place.tagged(tag);
        self.build(&place, &name, || {
            let mut writer =
                TreeWriter::create(&place, &name, options.unreadable, &self.interrupt)?;
            for entry in source.entries().map_err(Error::read)? {
                writer.entry(&entry.map_err(Error::read)?, &|content| {
                    source.open(content).map_err(Error::read)
                })?;
            }
            writer.finish()?;
            place.sync()
        })?;
        let staged = place.look(&name)?.ok_or_else(|| self.missing())?.identity;
        let kept_at = place.path_of(&name).display().to_string();
        Ok(Swap { tag: tag.clone(), staged, displaced, kept_at })
    }

    fn swap(&self, swap: &Swap) -> Result<()> {
        let place = self.place()?;
        let staged = place.tagged(&swap.tag);
        match place.standing(swap)? {
            // A crash may have come between the exchange and its becoming durable.
            Standing::After => place.sync(),
            Standing::Foreign => Err(foreign("restore", &place)),
            Standing::Before => {
                place.expect(swap, &swap.staged)?;
                mounts::refuse("restore", &place.path())?;
                match swap.displaced {
                    Some(_) => place.exchange(&staged),
                    None => place.rename(&staged, place.name()),
                }
            }
        }
    }

    fn unswap(&self, swap: &Swap) -> Result<()> {
        let displaced = swap.displaced.as_deref().ok_or(Error::NothingDisplaced)?;
        let place = self.place()?;
        match place.standing(swap)? {
            Standing::Before => place.sync(),
            Standing::Foreign => Err(foreign("put back", &place)),
            Standing::After => {
                place.expect(swap, displaced)?;
                mounts::refuse("put back", &place.path())?;
                place.exchange(&place.tagged(&swap.tag))
            }
        }
    }

    fn standing(&self, swap: &Swap) -> Result<Standing> {
        match Place::find(&self.path)? {
            Some(place) => place.standing(swap),
            None => Ok(Standing::Foreign),
        }
    }

    fn release(&self, tag: &Tag) -> Result<()> {
        match Place::find(&self.path)? {
            Some(place) => remove_sibling(&place, &place.tagged(tag)),
            None => Ok(()),
        }
    }

    fn collect_garbage(&self) -> Result<()> {
        let Some(place) = Place::find(&self.path)? else {
            return Ok(());
        };
        let garbage = place.sibling(GARBAGE_MARK);
        // A crash may have left some.
        remove_sibling(&place, &garbage)?;
        if self.live(&place)?.is_none() {
            return Ok(());
        }
        mounts::refuse("remove", &place.path())?;
        // In one step out of the way: a crash must not leave a part of the state in its place.
        place.rename(place.name(), &garbage)?;
        remove_sibling(&place, &garbage)?;
        place.sync()
    }

    fn shell(&self) -> Result<Environment> {
        let place = Place::find(&self.path)?.ok_or_else(|| self.missing())?;
        self.live(&place)?.ok_or_else(|| self.missing())?;
        Ok(Environment { variables: Vec::new(), directory: Some(self.path.clone()) })
    }
}

/// Adds up the sizes of all files; none where that takes too long.
fn add_up(path: &Path) -> Option<u64> {
    let start = Instant::now();
    let mut total = 0;
    let mut waiting = vec![path.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).ok()? {
            if start.elapsed() > PROBE_TIME_MAX {
                return None;
            }
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            if metadata.is_dir() {
                waiting.push(entry.path());
            } else if metadata.is_file() {
                total += metadata.len();
            }
        }
    }
    Some(total)
}
