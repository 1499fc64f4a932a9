//! SQLite databases: the pages of one file, consistent however busy it is.
//!
//! A snapshot copies the database inside one read transaction by SQLite's own backup into a scratch directory, checks
//! the copy and keeps its pages, so that neither the write-ahead log nor a journal is ever needed beside them. Three
//! fields of the file header that are not state are set to fixed values: the change counter, its copy, and the version
//! of the library that wrote last. The schema cookie is set by the backup itself. A database that has no page yet is
//! an empty file, before and after. Mode, owner and group are attributes of the snapshot: the service must be able to
//! open what is restored.
//!
//! While a snapshot copies, a database in WAL mode can be read and written; one with a rollback journal can be read,
//! and its writers wait.
//!
//! A restore needs the database for itself for a moment, and waits for others up to [`LOCK_WAIT_MAX`]. In WAL mode it
//! is refused while any process has the database open. With a rollback journal a process may have it open and idle:
//! it goes on reading the displaced database until it opens the file anew, and SQLite refuses it to write
//! (`SQLITE_READONLY_DBMOVED`).
//!
//! In large databases (above 1 GiB) only the pages are checked, not the indexes against their tables. A database whose
//! schema uses functions, collations or modules of its application cannot be checked at all; a snapshot of it warns.

mod connection;
mod copy;
mod header;
mod hold;
mod initial;
mod ownership;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::place::{self, Found, Place, foreign};
use crate::tree::{Content, Entry, Node, Profile, TreePath};
use crate::{
    Activation, Capture, Consistency, Container, ContainerProbe, Context, Cut, Environment, Error,
    Interrupt, Kind, Plugin, Probe, RestoreOptions, Result, SnapshotOptions, Source, Standing,
    Swap, Tag, mounts,
};
#[cfg(doc)]
use connection::LOCK_WAIT_MAX;
use connection::{Soundness, check};
use copy::DatabaseCopy;
use header::Header;
use hold::Hold;
use ownership::Ownership;

const NAME: &str = "sqlite";

/// The kind `sqlite`.
pub(crate) const KIND: Kind = Kind {
    name: NAME,
    summary: "a SQLite database",
    component: "the path of the database file; with a root, relative to it",
    initial: "a .sql file, a directory of .sql files that run in the order of their names, or a database file",
    profile: Profile::Files1,
    consistency: Consistency::Dump,
    settings: &[place::ROOT],
    open,
};

/// The one file of a snapshot.
const ENTRY: &str = "database";

/// The page size that is told for a database that has none yet: SQLite's default.
const PAGE_BYTES: u32 = 4096;

/// Bytes that are copied at once; a multiple of every page size.
const BUFFER_BYTES: usize = 256 << 10;

/// Where copies are made when the caller names no place: for large temporary files by the Filesystem Hierarchy
/// Standard, and unlike `/tmp` seldom held in memory.
const SCRATCH: &str = "/var/tmp";

/// The mode of a new database, less what the umask takes: that of `sqlite3`.
const NEW_MODE: u32 = 0o644;

/// The sibling in which activation builds a database. No tag has its length.
const INITIAL_MARK: &str = "initial";

/// The sibling to which a database is moved before it is removed. No tag has its length.
const GARBAGE_MARK: &str = "garbage";

fn open(settings: &toml::Table, context: &Context) -> Result<Box<dyn Container>> {
    let root = place::read_root(NAME, settings)?;
    Ok(Box::new(Databases { root, context: context.clone() }))
}

/// A place where databases lie.
struct Databases {
    root: Option<PathBuf>,
    context: Context,
}

impl Container for Databases {
    fn probe(&self) -> Result<ContainerProbe> {
        let is_unit = |path: &Path| read_header(path).is_some();
        let root = self.root.as_deref();
        let components = root.map_or(Ok(Vec::new()), |root| place::list(root, is_unit))?;
        Ok(ContainerProbe { version: Some(rusqlite::version().to_owned()), components })
    }

    fn open(&self, component: &str) -> Result<Box<dyn Plugin>> {
        let path = place::resolve(NAME, self.root.as_deref(), component)?;
        let scratch = self.context.scratch_dir.clone().unwrap_or_else(|| SCRATCH.into());
        Ok(Box::new(Database { path, scratch, interrupt: self.context.interrupt.clone() }))
    }
}

/// Reads the header of a database; none where there is none.
fn read_header(path: &Path) -> Option<Header> {
    // Not what could block, such as a pipe.
    path.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut bytes = [0; header::BYTES];
    File::open(path).ok()?.read_exact(&mut bytes).ok()?;
    Header::parse(&bytes)
}

/// One database.
struct Database {
    path: PathBuf,
    scratch: PathBuf,
    interrupt: Interrupt,
}

impl Database {
    fn place(&self) -> Result<Place> {
        Place::open(&self.path)
    }

    /// Returns the live database file.
    fn live(&self, place: &Place) -> Result<Option<Found>> {
        match place.live()? {
            Some(found) if found.file_type != FileType::RegularFile => Err(Error::Refused {
                verb: "use",
                object: place.path().display().to_string(),
                reason: "it is not a file".to_owned(),
            }),
            found => Ok(found),
        }
    }

    fn missing(&self) -> Error {
        Error::Missing { what: self.path.display().to_string() }
    }

    /// Returns the place of a database that exists.
    fn existing(&self) -> Result<Place> {
        let place = Place::find(&self.path)?.ok_or_else(|| self.missing())?;
        self.live(&place)?.ok_or_else(|| self.missing())?;
        Ok(place)
    }

    /// Writes the pages of a copy, with what is not state made uniform.
    fn write_pages(&self, copy: &DatabaseCopy, capture: &dyn Capture) -> Result<Content> {
        let fault = || Error::file("read", copy.path());
        let mut file = copy.open()?;
        let mut head = [0; header::BYTES];
        let mut normal: &[u8] = &[];
        let mut size_bytes = PAGE_BYTES;
        let header;
        if copy.size_bytes() > 0 {
            file.read_exact(&mut head).map_err(fault())?;
            let parsed = Header::parse(&head).ok_or_else(|| Error::Verification {
                reason: "the copy of the database has no header".to_owned(),
            })?;
            size_bytes = parsed.page_size_bytes();
            header = parsed.normal();
            normal = &header;
        }
        let mut writer = capture.content(Cut::Pages { size_bytes }).map_err(Error::write)?;
        writer.write_all(normal).map_err(Error::write)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.interrupt.stop_if_raised()?;
            match file.read(&mut buffer).map_err(fault())? {
                0 => return writer.finish().map_err(Error::write),
                n => writer.write_all(&buffer[..n]).map_err(Error::write)?,
            }
        }
    }

    /// Writes the database of a snapshot to `name` and checks it.
    fn write_staged(&self, place: &Place, name: &OsStr, source: &dyn Source) -> Result<()> {
        let path = place.path_of(name);
        let ownership = Ownership::read(source)?;
        let content = find_content(source)?;
        let mut reader = source.open(&content).map_err(Error::read)?;
        let mut file = create_new(&path, 0o600)?;
        let fault = || Error::file("write", &path);
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            self.interrupt.stop_if_raised()?;
            match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(n) => file.write_all(&buffer[..n]).map_err(fault())?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::read(error)),
            }
        }
        let size = file.stream_position().map_err(fault())?;
        self.verify(&path, size, &content)?;
        ownership.set(&file, &path)?;
        file.sync_all().map_err(Error::file("sync", &path))
    }

    fn verify(&self, path: &Path, size: u64, content: &Content) -> Result<()> {
        let doubt = |reason: String| Err(Error::Verification { reason });
        if size != content.size_bytes {
            return doubt(format!("it has {size} bytes, not {}", content.size_bytes));
        }
        if size == 0 {
            return Ok(());
        }
        match read_header(path) {
            Some(header) if size.is_multiple_of(header.page_size_bytes().into()) => {}
            _ => return doubt("it is no SQLite database".to_owned()),
        }
        check(path, size, &self.interrupt).map(drop)
    }

    /// Builds a database under `name` by `build`; after a failure nothing of that name is left.
    fn build(&self, place: &Place, name: &OsStr, build: impl FnOnce() -> Result<()>) -> Result<()> {
        // Only what this call makes may be removed after a failure.
        if place.look(name)?.is_some() {
            return Err(place.fault("create", name, rustix::io::Errno::EXIST));
        }
        build().inspect_err(|_| {
            // The failure of the build is what the user must know; `release` removes what is left.
            let _ = remove_all(place, name);
        })
    }

    fn create(&self, place: &Place, name: &OsStr, initial: Option<&Path>) -> Result<()> {
        let path = place.path_of(name);
        let file = create_new(&path, NEW_MODE)?;
        if let Some(initial) = initial {
            initial::build(initial, &path, &self.interrupt)?;
            if let Some(left) =
                hold::SUFFIXES.iter().find(|s| place.path_of(&hold::beside(name, s)).exists())
            {
                let reason = format!("SQLite left a {left} file beside the new database");
                return Err(Error::Initial { path: initial.to_owned(), reason });
            }
        }
        file.sync_all().map_err(Error::file("sync", &path))
    }

    /// Exchanges the live database with the one under the tagged name. The order is the safety: at each point the live
    /// name has a complete database and nothing beside it that belongs to another.
    fn exchange(
        &self,
        verb: &'static str,
        place: &Place,
        name: &OsStr,
        parked: Option<&OsStr>,
    ) -> Result<()> {
        mounts::refuse(verb, &place.path())?;
        let hold = Hold::take(verb, &place.path(), &self.interrupt)?;
        match (&hold, parked) {
            // The file is complete without them, and the lock keeps everybody from making new ones.
            (Hold::Locked { .. }, _) | (Hold::Unreadable, None) => {
                hold::remove_beside(place, place.name())?;
            }
            // What cannot be read may be of use to somebody who tries to rescue it.
            (Hold::Unreadable, Some(to)) => hold::move_beside(place, place.name(), to)?,
        }
        place.exchange(name)?;
        // Not earlier: the lock keeps others from opening the old file and making a log beside the new one.
        drop(hold);
        Ok(())
    }

    /// Puts the staged database where there is none.
    fn move_in(&self, place: &Place, name: &OsStr) -> Result<()> {
        // What is left of a database that is gone would destroy the new one.
        hold::move_beside(place, place.name(), name)?;
        place.rename(name, place.name())
    }
}

impl Plugin for Database {
    fn probe(&self) -> Result<Probe> {
        let Some(place) = Place::find(&self.path)? else {
            return Ok(Probe::default());
        };
        let Some(found) = self.live(&place)? else {
            return Ok(Probe::default());
        };
        let version = read_header(&place.path()).map(|header| header.library_version());
        Ok(Probe { exists: true, version, size_bytes: Some(found.size_bytes) })
    }

    fn activate(&self, initial: Option<&Path>) -> Result<Activation> {
        let place = self.place()?;
        if self.live(&place)?.is_some() {
            return Ok(Activation::Existing);
        }
        finish_garbage(&place)?;
        if let Some(stale) = hold::find_stale(&place)? {
            let reason = format!(
                "{} is left of a database that is gone and would destroy the new one; move it away",
                place.path_of(&stale).display()
            );
            let object = place.path().display().to_string();
            return Err(Error::Refused { verb: "create", object, reason });
        }
        let name = place.sibling(INITIAL_MARK);
        // A crash may have left one half-built.
        remove_all(&place, &name)?;
        self.build(&place, &name, || {
            self.create(&place, &name, initial)?;
            place.rename(&name, place.name())
        })?;
        Ok(Activation::Created)
    }

    fn snapshot(&self, capture: &dyn Capture, _: &SnapshotOptions) -> Result<()> {
        let place = self.existing()?;
        self.interrupt.stop_if_raised()?;
        let copy = DatabaseCopy::take(&place.path(), &self.scratch, &self.interrupt)?;
        if copy.size_bytes() > 0 {
            match check(&copy.path(), copy.size_bytes(), &self.interrupt)? {
                Soundness::Sound => {}
                Soundness::Unknown(reason) => {
                    capture.warn(&format!("{} cannot be checked: {reason}", place.path().display()))
                }
            }
        }
        Ownership::of(&place.path())?.write(capture)?;
        let content = self.write_pages(&copy, capture)?;
        let entry = Entry { path: entry_path(), node: Node::File(content), metadata: None };
        capture.entry(entry).map_err(Error::write)
    }

    fn stage(&self, source: &dyn Source, tag: &Tag, _: &RestoreOptions) -> Result<Swap> {
        let place = self.place()?;
        let displaced = self.live(&place)?.map(|found| found.identity);
        // Before anything is written: the exchange could not be done.
        mounts::refuse("restore", &place.path())?;
        let name = place.tagged(tag);
        self.build(&place, &name, || {
            self.write_staged(&place, &name, source)?;
            place.sync()
        })?;
        let staged = place.look(&name)?.ok_or_else(|| self.missing())?.identity;
        let kept_at = place.path_of(&name).display().to_string();
        Ok(Swap { tag: tag.clone(), staged, displaced, kept_at })
    }

    fn swap(&self, swap: &Swap) -> Result<()> {
        let place = self.place()?;
        let name = place.tagged(&swap.tag);
        match place.standing(swap)? {
            // A crash may have come between the exchange and its becoming durable.
            Standing::After => place.sync(),
            Standing::Foreign => Err(foreign("restore", &place)),
            Standing::Before => {
                place.expect(swap, &swap.staged)?;
                match swap.displaced {
                    Some(_) => self.exchange("restore", &place, &name, Some(&name)),
                    None => self.move_in(&place, &name),
                }
            }
        }
    }

    fn unswap(&self, swap: &Swap) -> Result<()> {
        let displaced = swap.displaced.as_deref().ok_or(Error::NothingDisplaced)?;
        let place = self.place()?;
        let name = place.tagged(&swap.tag);
        match place.standing(swap)? {
            // A crash may have come before the last step, or between the steps of a swap: what lies beside the staged
            // database, which never has anything of its own, is the live one's.
            Standing::Before => hold::move_beside(&place, &name, place.name()),
            Standing::Foreign => Err(foreign("put back", &place)),
            Standing::After => {
                place.expect(swap, displaced)?;
                // Nothing is parked: a restored database that became unreadable is still in its snapshot.
                self.exchange("put back", &place, &name, None)?;
                // What lay beside a database that could not be read goes back to it.
                hold::move_beside(&place, &name, place.name())
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
            Some(place) => remove_all(&place, &place.tagged(tag)),
            None => Ok(()),
        }
    }

    fn collect_garbage(&self) -> Result<()> {
        let Some(place) = Place::find(&self.path)? else {
            return Ok(());
        };
        if self.live(&place)?.is_some() {
            mounts::refuse("remove", &place.path())?;
            let hold = Hold::take("remove", &place.path(), &self.interrupt)?;
            let garbage = place.sibling(GARBAGE_MARK);
            remove_all(&place, &garbage)?;
            // The database goes first: a crash must not leave it without its log, which would be an older state. Under
            // this name it tells that what lies beside the live name is garbage too.
            place.rename(place.name(), &garbage)?;
            drop(hold);
        }
        hold::remove_beside(&place, place.name())?;
        finish_garbage(&place)
    }

    fn shell(&self) -> Result<Environment> {
        self.existing()?;
        let path = self.path.display().to_string();
        Ok(Environment {
            variables: vec![("DYSNO_DATABASE".to_owned(), path)],
            directory: self.path.parent().map(Path::to_owned),
        })
    }
}

/// Finishes what a crash of [`Plugin::collect_garbage`] left.
fn finish_garbage(place: &Place) -> Result<()> {
    let garbage = place.sibling(GARBAGE_MARK);
    if place.look(&garbage)?.is_some() {
        // In this order: as long as the garbage is there, so may be what lies beside the live name.
        hold::remove_beside(place, place.name())?;
    }
    remove_all(place, &garbage)
}

/// Removes a database and what lies beside it.
fn remove_all(place: &Place, name: &OsStr) -> Result<()> {
    hold::remove(place, name)?;
    hold::remove_beside(place, name)
}

fn create_new(path: &Path, mode: u32) -> Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true).mode(mode);
    options.open(path).map_err(Error::file("create", path))
}

fn entry_path() -> TreePath {
    TreePath::parse(ENTRY).expect("the name of the entry is a path")
}

fn find_content(source: &dyn Source) -> Result<Content> {
    let foreign = |reason: &str| Err(Error::Foreign { reason: reason.to_owned() });
    if source.profile() != Profile::Files1 {
        return foreign("it is not of a database");
    }
    let mut entries = source.entries().map_err(Error::read)?;
    let (first, second) = (entries.next().transpose(), entries.next().transpose());
    match (first.map_err(Error::read)?, second.map_err(Error::read)?) {
        (Some(Entry { path, node: Node::File(content), .. }), None) if path == entry_path() => {
            Ok(content)
        }
        _ => foreign("it does not consist of one file named database"),
    }
}
