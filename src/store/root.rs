//! Root files: each says that a snapshot is complete and durable.

use std::path::{Path, PathBuf};

use plugins::tree::{Digest, Profile};

use super::error::{Error, Result};
use super::session::Session;
use super::{Store, file_names, names, publish, read_record, record};

const KIND: &str = "dysno-snapshot";
const KEYS: [&str; 7] =
    ["snapshot", "unit", "profile", "manifest-bytes", "entries", "size-bytes", "stored-bytes"];

/// A complete snapshot of a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The digest of its manifest.
    pub snapshot: Digest,
    /// The unit's address. The same state of two units has two roots.
    pub unit: String,
    /// What counts as state.
    pub profile: Profile,
    /// Bytes of the manifest.
    pub manifest_bytes: u64,
    /// How many entries.
    pub entries: u64,
    /// The sum of all contents.
    pub size_bytes: u64,
    /// What the snapshot added to the store when it was taken.
    pub stored_bytes: u64,
}

impl Root {
    /// Returns the name of the root file.
    pub fn file_name(&self) -> String {
        let (container, component) = self.unit.split_once(':').unwrap_or(("", &self.unit));
        format!("{}-{}", self.snapshot, names::encode_unit(container, component))
    }

    /// Returns the record.
    pub fn encode(&self) -> String {
        let values = [
            self.snapshot.to_string(),
            self.unit.clone(),
            self.profile.name().to_owned(),
            self.manifest_bytes.to_string(),
            self.entries.to_string(),
            self.size_bytes.to_string(),
            self.stored_bytes.to_string(),
        ];
        let fields: Vec<_> = KEYS.into_iter().zip(values).collect();
        record::encode(KIND, &fields)
    }

    /// Parses a record that comes from elsewhere.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::decode(Path::new("a root file"), bytes)
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let [snapshot, unit, profile, manifest, entries, size, stored] =
            record::decode(path, bytes, KIND, KEYS)?;
        let invalid = |what: &str| Error::damaged(path.display(), format!("its {what} is invalid"));
        // What the index can hold: a record with more would be durable and never have a row.
        let number = |text: &str, what| {
            let number = text.parse().ok().filter(|&number| number <= i64::MAX as u64);
            number.ok_or_else(|| invalid(what))
        };
        Ok(Self {
            snapshot: Digest::parse(&snapshot).ok_or_else(|| invalid("snapshot"))?,
            unit,
            profile: Profile::parse(&profile).ok_or_else(|| invalid("profile"))?,
            manifest_bytes: number(&manifest, "manifest-bytes")?,
            entries: number(&entries, "entries")?,
            size_bytes: number(&size, "size-bytes")?,
            stored_bytes: number(&stored, "stored-bytes")?,
        })
    }
}

impl Store {
    /// Returns the names of all root files.
    pub fn root_names(&self) -> Result<Vec<String>> {
        file_names(&self.root_directory())
    }

    /// Reads a root file.
    pub fn read_root(&self, name: &str) -> Result<Root> {
        let path = self.root_directory().join(name);
        let root = Root::decode(&path, &read_record(&path)?)?;
        if root.file_name() != name {
            return Err(Error::damaged(path.display(), "its name does not fit its content"));
        }
        Ok(root)
    }

    /// Makes a root durable. All that it reaches must be durable before. One that is there already stays as it is.
    pub fn write_root(&self, session: &Session<'_>, root: &Root) -> Result<()> {
        let path = self.root_directory().join(root.file_name());
        if path.exists() {
            if self.read_root(&root.file_name()).is_ok() {
                // Whoever gave it its name may have died before the name was durable.
                return self.make_durable(&path);
            }
            self.quarantine(&path)?;
        }
        publish(self.disk(), &session.new_file("root"), &path, root.encode().as_bytes(), 0o444)
    }

    /// Removes a root file whose row is gone.
    pub fn remove_root(&self, name: &str) -> Result<()> {
        let path = self.root_directory().join(name);
        self.disk().remove_file(&path).map_err(Error::file("remove", path))
    }

    /// Makes the names under which root files lie durable, or that they are gone.
    pub fn sync_roots(&self) -> Result<()> {
        let directory = self.root_directory();
        self.disk().sync_dir(&directory).map_err(Error::file("sync", directory))
    }

    /// Makes a root file that somebody else may have left half-way durable.
    pub fn adopt_root(&self, name: &str) -> Result<()> {
        self.make_durable(&self.root_directory().join(name))
    }

    fn root_directory(&self) -> PathBuf {
        self.path().join("store")
    }
}
