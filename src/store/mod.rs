//! The snapshot store: bytes in, ids out. It knows neither units' meaning nor plug-ins; store-format.md is its law.

mod block;
mod chunker;
mod content;
mod error;
mod generation;
mod list;
mod manifest;
mod names;
mod object;
mod pack;
mod pin;
mod reader;
mod record;
mod root;
mod session;
mod writer;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{Error, Result};
pub use generation::{Generation, GenerationKind};
pub use manifest::{ManifestReader, ManifestSummary, ManifestWriter};
pub use names::encode_unit as unit_file_name;
pub use object::{BlockContents, Catalog, Kind, Location, ObjectKey, PackContents, Placement};
pub use pack::FinishedPack;
pub use pin::Pin;
use plugins::tree::Digest;
pub use reader::{ContentReader, Reader};
pub use record::{decode_bundle_head, encode_bundle_head};
pub use root::Root;
pub use session::{Access, Lock, Session};
pub use writer::{Destination, IntoStore, WriteTo, Writer, Written};

use crate::disk::Disk;

/// A store on a local file system.
pub struct Store {
    path: PathBuf,
    id: String,
    disk: Arc<dyn Disk>,
}

const DIRECTORIES: [&str; 8] =
    ["store", "packs", "generations", "gcroots", "quarantine", "cache", "run", "tmp"];
const FORMAT: &str = "dysno-store";
/// A pack is closed at 64 MiB; one block and the footer come on top. More is no pack of ours.
const PACK_BYTES_MAX: u64 = 80 << 20;

impl Store {
    /// Opens the store at `path`, or makes a new one with this id (32 hex digits) where there is none. A directory that
    /// holds something else is refused.
    pub fn open_or_create(path: &Path, new_id: &str, disk: Arc<dyn Disk>) -> Result<Self> {
        // Making a directory durable means syncing the one above, which a relative path may not name.
        let path = &std::path::absolute(path).map_err(Error::file("find", path))?;
        let format = path.join("format");
        if !format.exists() {
            Self::create(path, &format, new_id, disk.as_ref())?;
        }
        let bytes = read_record(&format)?;
        let [id] = record::decode(&format, &bytes, FORMAT, ["id"])?;
        Ok(Self { path: path.to_owned(), id, disk })
    }

    fn create(path: &Path, format: &Path, id: &str, disk: &dyn Disk) -> Result<()> {
        if path.is_dir() && file_names(path)?.iter().any(|name| !is_own_name(name)) {
            let source = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
            return Err(Error::File { verb: "make a store in", path: path.to_owned(), source });
        }
        for name in DIRECTORIES {
            make_dir(disk, &path.join(name))?;
        }
        let text = record::encode(FORMAT, &[("id", id.to_owned())]);
        // The format file comes last: with it the store is there, without it this starts again.
        let temporary = path.join(format!("format.{}", std::process::id()));
        match publish(disk, &temporary, format, text.as_bytes(), 0o444) {
            // Somebody else made the store at the same time.
            Err(Error::File { source, .. })
                if source.kind() == std::io::ErrorKind::AlreadyExists =>
            {
                let removed = disk.remove_file(&temporary);
                removed.map_err(Error::file("remove", &temporary))
            }
            other => other,
        }
    }

    /// Returns where the store is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the store's own id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the disk that all durable operations go through.
    pub fn disk(&self) -> &dyn Disk {
        self.disk.as_ref()
    }

    /// Returns the path of a lock or lease.
    pub fn run_path(&self, name: &str) -> PathBuf {
        self.path.join("run").join(name)
    }

    /// Returns where a pack lies, or would lie.
    pub fn pack_path(&self, name: &Digest) -> PathBuf {
        let name = name.to_string();
        self.path.join("packs").join(&name[..2]).join(format!("{name}.pack"))
    }

    /// Returns the names of all packs.
    pub fn pack_names(&self) -> Result<Vec<Digest>> {
        let packs = self.path.join("packs");
        let mut found = Vec::new();
        for directory in directory_names(&packs)? {
            for name in file_names(&packs.join(directory))? {
                if let Some(digest) = name.strip_suffix(".pack").and_then(Digest::parse) {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }

    /// Verifies a pack that has no rows and makes it durable again, for the session that published it may have died
    /// before it could. Returns the blocks that are intact, and what is wrong with the others.
    pub fn adopt_pack(&self, name: &Digest) -> Result<(PackContents, Vec<String>)> {
        let path = self.pack_path(name);
        let check = pack::check(&path, *name, |_| Ok(()))?;
        let file = File::open(&path).map_err(Error::file("open", &path))?;
        self.disk.sync(&file).map_err(Error::file("sync", &path))?;
        sync_up(self.disk(), path.parent().expect("a pack lies in a directory"))?;
        let size_bytes = file.metadata().map_err(Error::file("read", &path))?.len();
        Ok((PackContents { name: *name, size_bytes, blocks: check.blocks }, check.problems))
    }

    /// Reads all of a pack and returns what is wrong with it, and the objects that are intact.
    pub fn check_pack(
        &self,
        name: &Digest,
        read: impl FnMut(u64) -> Result<()>,
    ) -> Result<(Vec<BlockContents>, Vec<String>)> {
        let check = pack::check(&self.pack_path(name), *name, read)?;
        Ok((check.blocks, check.problems))
    }

    /// Takes a pack from elsewhere: writes it down, verifies all of it, and makes it durable under its name. Nothing of it
    /// counts before. Returns what is wrong with it instead of what is in it where that is not what its name says.
    pub fn import_pack(
        &self,
        session: &Session<'_>,
        name: &Digest,
        from: &mut dyn Read,
    ) -> Result<std::result::Result<PackContents, String>> {
        let (path, mut file) = session.create_file("pack")?;
        let mut buffer = vec![0; 1 << 20];
        let mut size_bytes = 0;
        loop {
            let n = from.read(&mut buffer).map_err(Error::file("read a pack for", &path))?;
            if n == 0 {
                break;
            }
            size_bytes += n as u64;
            if size_bytes > PACK_BYTES_MAX {
                return Ok(Err("it is larger than a pack can be".to_owned()));
            }
            self.disk.write(&mut file, &buffer[..n]).map_err(Error::file("write", &path))?;
        }
        let check = pack::check(&path, *name, |_| Ok(()))?;
        if let Some(problem) = check.problems.into_iter().next() {
            return Ok(Err(problem));
        }
        let contents = PackContents { name: *name, size_bytes, blocks: check.blocks };
        let pack = FinishedPack { path, file, contents };
        self.publish_pack(&pack)?;
        Ok(Ok(pack.contents))
    }

    /// Removes all hints for skipping unchanged files.
    pub fn drop_hints(&self) -> Result<()> {
        let cache = self.path.join("cache");
        for name in file_names(&cache)? {
            let path = cache.join(name);
            self.disk.remove_file(&path).map_err(Error::file("remove", path))?;
        }
        Ok(())
    }

    /// Makes a file of the store durable that may not be: its content, and then its name.
    fn make_durable(&self, path: &Path) -> Result<()> {
        let file = File::open(path).map_err(Error::file("open", path))?;
        self.disk.sync(&file).map_err(Error::file("sync", path))?;
        sync_up(self.disk(), path.parent().expect("a file of the store lies in a directory"))
    }

    /// Moves a damaged file out of the way. What it may still hold is kept for whoever wants to look.
    fn quarantine(&self, path: &Path) -> Result<()> {
        let name = path.file_name().expect("a file of the store has a name");
        let to = self.path.join("quarantine").join(name);
        self.disk.rename_over(path, &to).map_err(Error::file("quarantine", path))
    }

    /// Removes a pack whose rows are gone.
    pub fn remove_pack(&self, name: &Digest) -> Result<()> {
        let path = self.pack_path(name);
        self.disk.remove_file(&path).map_err(Error::file("remove", path))
    }
}

fn is_own_name(name: &str) -> bool {
    DIRECTORIES.contains(&name)
        || name.starts_with("format.")
        || name.starts_with("index.sqlite")
        || name.starts_with("journal.sqlite")
}

/// Returns the names in a directory in ascending order; none where it does not exist. Names that are not UTF-8 are
/// not the store's.
fn file_names(path: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("list", path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("list", path))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Returns the names of the directories in a directory. A stray file among them is not the store's.
fn directory_names(path: &Path) -> Result<Vec<String>> {
    let mut names = file_names(path)?;
    names.retain(|name| path.join(name).is_dir());
    Ok(names)
}

/// Reads a record, refusing files that are too long to be one.
fn read_record(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(Error::file("open", path))?;
    let read = file.take(record::RECORD_BYTES_MAX + 1).read_to_end(&mut bytes);
    if read.map_err(Error::file("read", path))? as u64 > record::RECORD_BYTES_MAX {
        return Err(Error::damaged(path.display(), "it is longer than a record can be"));
    }
    Ok(bytes)
}

/// Creates a directory and its parents and makes their names durable. Costs nothing where it exists.
fn make_dir(disk: &dyn Disk, path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().expect("the root directory exists");
    make_dir(disk, parent)?;
    disk.create_dir(path).map_err(Error::file("create", path))?;
    disk.sync_dir(parent).map_err(Error::file("sync", parent))
}

/// Makes the names in a directory durable, and that of the directory itself: whoever made it may have died before.
fn sync_up(disk: &dyn Disk, directory: &Path) -> Result<()> {
    disk.sync_dir(directory).map_err(Error::file("sync", directory))?;
    let parent = directory.parent().expect("a directory of the store lies in the store");
    disk.sync_dir(parent).map_err(Error::file("sync", parent))
}

/// Writes a file under a temporary name and gives it its own once it is durable. The name must be free.
fn publish(disk: &dyn Disk, temporary: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let directory = path.parent().expect("a file of the store lies in a directory");
    make_dir(disk, directory)?;
    let mut file = disk.create(temporary).map_err(Error::file("create", temporary))?;
    disk.write(&mut file, bytes).map_err(Error::file("write", temporary))?;
    disk.set_mode(&file, mode).map_err(Error::file("set the mode of", temporary))?;
    // The content before the name, the name before anybody is told: a power cut must not leave an empty record.
    disk.sync(&file).map_err(Error::file("sync", temporary))?;
    disk.rename_new(temporary, path).map_err(Error::file("publish", path))?;
    sync_up(disk, directory)
}
