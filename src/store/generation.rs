//! Generation records: what a unit's state was, and when.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use plugins::tree::Digest;

use super::error::{Error, Result};
use super::session::Session;
use super::{Store, directory_names, file_names, names, publish, read_record, record};

const KIND: &str = "dysno-generation";
const KEYS: [&str; 7] = ["unit", "generation", "snapshot", "time", "host", "kind", "reason"];

/// Why a generation was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GenerationKind {
    /// Somebody asked for it.
    Manual,
    /// A timer asked for it.
    Scheduled,
    /// What was there before a restore or purge.
    Safety,
    /// Before an activation of the system.
    Pre,
    /// After an activation of the system.
    Post,
    /// For a move to another host.
    Migrate,
}

impl GenerationKind {
    const ALL: [Self; 6] =
        [Self::Manual, Self::Scheduled, Self::Safety, Self::Pre, Self::Post, Self::Migrate];

    /// Returns the word that stands in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Scheduled => "scheduled",
            Self::Safety => "safety",
            Self::Pre => "pre",
            Self::Post => "post",
            Self::Migrate => "migrate",
        }
    }

    /// Returns the kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl fmt::Display for GenerationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A numbered point in a unit's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// The unit's address.
    pub unit: String,
    /// Counted from 1; never used again.
    pub number: u64,
    /// The state.
    pub snapshot: Digest,
    /// RFC 3339, in UTC.
    pub time: String,
    /// Where it was taken.
    pub host: String,
    /// Why.
    pub kind: GenerationKind,
    /// The user's words, or none.
    pub reason: String,
}

impl Generation {
    /// Returns the record.
    pub fn encode(&self) -> String {
        let values = [
            self.unit.clone(),
            self.number.to_string(),
            self.snapshot.to_string(),
            self.time.clone(),
            self.host.clone(),
            self.kind.name().to_owned(),
            self.reason.clone(),
        ];
        let fields: Vec<_> = KEYS.into_iter().zip(values).collect();
        record::encode(KIND, &fields)
    }

    /// Parses a record that comes from elsewhere.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        Self::decode(Path::new("a generation record"), bytes)
    }

    fn decode(path: &Path, bytes: &[u8]) -> Result<Self> {
        let [unit, number, snapshot, time, host, kind, reason] =
            record::decode(path, bytes, KIND, KEYS)?;
        let invalid = |what: &str| Error::damaged(path.display(), format!("its {what} is invalid"));
        let in_range = |&n: &u64| n > 0 && n <= i64::MAX as u64;
        let number = number.parse().ok().filter(in_range).ok_or_else(|| invalid("generation"))?;
        Ok(Self {
            number,
            snapshot: Digest::parse(&snapshot).ok_or_else(|| invalid("snapshot"))?,
            kind: GenerationKind::parse(&kind).ok_or_else(|| invalid("kind"))?,
            unit,
            time,
            host,
            reason,
        })
    }
}

impl Store {
    /// Returns the paths of all generation records, below the directory of generations.
    pub fn generation_paths(&self) -> Result<Vec<PathBuf>> {
        let top = self.path().join("generations");
        let mut found = Vec::new();
        for container in directory_names(&top)? {
            for component in directory_names(&top.join(&container))? {
                let directory = top.join(&container).join(&component);
                let names =
                    file_names(&directory)?.into_iter().filter(|name| name.ends_with(".gen"));
                found.extend(names.map(|name| directory.join(name)));
            }
        }
        Ok(found)
    }

    /// Reads a generation record.
    pub fn read_generation(&self, path: &Path) -> Result<Generation> {
        let generation = Generation::decode(path, &read_record(path)?)?;
        if self.generation_path(&generation.unit, generation.number) != path {
            return Err(Error::damaged(path.display(), "its name does not fit its content"));
        }
        Ok(generation)
    }

    /// Makes a generation durable. Its root must be durable before; its number must be free.
    pub fn write_generation(
        &self,
        session: &Session<'_>,
        generation: &Generation,
        root: &str,
    ) -> Result<()> {
        let path = self.generation_path(&generation.unit, generation.number);
        publish(
            self.disk(),
            &session.new_file("generation"),
            &path,
            generation.encode().as_bytes(),
            0o444,
        )?;
        self.link_generation(session, generation, root)
    }

    /// Makes the links that are there for people. They are no part of the record.
    fn link_generation(
        &self,
        session: &Session<'_>,
        generation: &Generation,
        root: &str,
    ) -> Result<()> {
        let path = self.generation_path(&generation.unit, generation.number).with_extension("");
        let target = Path::new("../../../store").join(root);
        self.replace_link(session, &target, &path)?;
        let current = path.with_file_name("current");
        self.replace_link(session, Path::new(&generation.number.to_string()), &current)
    }

    fn replace_link(&self, session: &Session<'_>, target: &Path, path: &Path) -> Result<()> {
        let temporary = session.new_file("link");
        let disk = self.disk();
        disk.symlink(target, &temporary).map_err(Error::file("create", &temporary))?;
        disk.rename_over(&temporary, path).map_err(Error::file("replace", path))
    }

    /// Removes a generation record whose row is gone, and its link.
    pub fn remove_generation(&self, unit: &str, number: u64) -> Result<()> {
        let path = self.generation_path(unit, number);
        for path in [path.with_extension(""), path] {
            match self.disk().remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes what a unit's records are called durable, or that they are gone.
    pub fn sync_generations(&self, unit: &str) -> Result<()> {
        let path = self.generation_path(unit, 1);
        let directory = path.parent().expect("a record lies in a directory");
        self.disk().sync_dir(directory).map_err(Error::file("sync", directory))
    }

    /// Makes a record that somebody else may have left half-way durable.
    pub fn adopt_generation(&self, path: &Path) -> Result<()> {
        self.make_durable(path)
    }

    /// Returns a number above those of all the unit's records, also of those that cannot be read.
    pub fn free_generation(&self, unit: &str) -> Result<u64> {
        let path = self.generation_path(unit, 1);
        let names = file_names(path.parent().expect("a record lies in a directory"))?;
        let numbers = names.iter().filter_map(|name| name.strip_suffix(".gen")?.parse().ok());
        Ok(numbers.max().unwrap_or(0) + 1)
    }

    /// Returns where a generation's record lies, or would lie.
    pub fn generation_path(&self, unit: &str, number: u64) -> PathBuf {
        let (container, component) = unit.split_once(':').unwrap_or(("", unit));
        let directory = self.path().join("generations").join(names::encode(container));
        directory.join(names::encode(component)).join(format!("{number}.gen"))
    }
}
