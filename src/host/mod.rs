//! This host: its configuration, its store, its index and its journal.

mod config;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use crate::disk::RealDisk;
pub use config::{Config, ConfigError, ContainerConfig, Keep, StoreConfig, UnitConfig};
use jiff::Timestamp;
use plugins::{Context, Kind, Plugin, Tag, UnitAddress};

use crate::disk::Disk;
use crate::index::{self, Index};
use crate::journal::{self, Journal};
use crate::report::Report;
use crate::store::{self, Access, Catalog, Lock, Session, Store};

/// This host cannot be opened, or does not know what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The index failed.
    #[error(transparent)]
    Index(#[from] index::Error),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// A unit's container is neither configured nor a kind.
    #[error("cannot find the container {name}: there are {known}")]
    UnknownContainer {
        /// What was asked for.
        name: String,
        /// All there are.
        known: String,
    },
    /// A container or unit cannot be opened.
    #[error("cannot open {what}")]
    Open {
        /// The container or unit.
        what: String,
        /// Why not.
        source: plugins::Error,
    },
}

/// What the program's edge knows and the library must not ask for.
#[derive(Clone)]
pub struct Surroundings {
    /// The time.
    pub now: fn() -> Timestamp,
    /// Randomness for names.
    pub random: fn() -> u128,
    /// This host's name, for records.
    pub host_name: String,
    /// What plug-ins get.
    pub context: Context,
    /// Where all durable operations go.
    pub disk: Arc<dyn Disk>,
}

/// A host with everything open.
pub struct Host {
    /// The configuration.
    pub config: Config,
    /// The store.
    pub store: Store,
    index: Mutex<Index>,
    journal: Mutex<Journal>,
    surroundings: Surroundings,
}

impl Host {
    /// Opens the host whose state is under `state_dir`, and makes what is missing there.
    pub fn open(
        config: Config,
        state_dir: &Path,
        surroundings: Surroundings,
    ) -> Result<Self, Error> {
        let new_id = format!("{:032x}", (surroundings.random)());
        let disk = Arc::clone(&surroundings.disk);
        let store = Store::open_or_create(state_dir, &new_id, Arc::clone(&disk))?;
        let index = Index::open(&state_dir.join("index.sqlite"), Arc::clone(&disk))?;
        let journal = Journal::open(&state_dir.join("journal.sqlite"), disk)?;
        let (index, journal) = (Mutex::new(index), Mutex::new(journal));
        Ok(Self { config, store, index, journal, surroundings })
    }

    /// Opens a session on the store. Brings the index up to date first: an earlier session may have died.
    pub fn session(
        &self,
        access: Access,
        doing: &str,
        report: &dyn Report,
    ) -> Result<Session<'_>, Error> {
        let waiting = |holder: &str| report.note(&format!("waiting for {holder}"));
        let session = Session::open(&self.store, access, doing, waiting)?;
        let verifying = |left| report.note(&format!("verifying packs without rows, {left} to go"));
        let differences = self.index().reconcile(&self.store, verifying)?;
        for problem in differences.problems {
            report.warn(&format!("the store is damaged: {problem}"));
        }
        Ok(session)
    }

    /// Returns the index.
    pub fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the index as the store sees it.
    pub fn catalog(&self) -> &Mutex<dyn Catalog> {
        &self.index
    }

    /// Returns the journal.
    pub fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the time.
    pub fn now(&self) -> Timestamp {
        (self.surroundings.now)()
    }

    /// Returns the time as records hold it.
    pub fn now_text(&self) -> String {
        format!("{:.6}", self.now())
    }

    /// Returns this host's name.
    pub fn name(&self) -> &str {
        &self.surroundings.host_name
    }

    /// Returns what plug-ins get.
    pub fn context(&self) -> &Context {
        &self.surroundings.context
    }

    /// Returns a new tag.
    pub fn new_tag(&self) -> Tag {
        const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = (self.surroundings.random)();
        let mut text = String::with_capacity(Tag::LENGTH);
        for _ in 0..Tag::LENGTH {
            text.push(char::from(ALPHABET[(random % 36) as usize]));
            random /= 36;
        }
        Tag::parse(&text).expect("the alphabet is a tag's")
    }

    /// Returns a unit's kind.
    pub fn kind_of(&self, unit: &UnitAddress) -> Result<&'static Kind, Error> {
        self.config.kind_of(unit.container()).ok_or_else(|| Error::UnknownContainer {
            name: unit.container().to_owned(),
            known: self.config.container_names().join(", "),
        })
    }

    /// Opens a container.
    pub fn open_container(&self, name: &str) -> Result<Box<dyn plugins::Container>, Error> {
        let kind = self.config.kind_of(name).ok_or_else(|| Error::UnknownContainer {
            name: name.to_owned(),
            known: self.config.container_names().join(", "),
        })?;
        let none = toml::Table::new();
        let settings = self.config.containers.get(name).map_or(&none, |config| &config.settings);
        (kind.open)(settings, self.context())
            .map_err(|source| Error::Open { what: format!("the container {name}"), source })
    }

    /// Opens a unit.
    pub fn open_unit(&self, unit: &UnitAddress) -> Result<Box<dyn Plugin>, Error> {
        self.open_container(unit.container())?
            .open(unit.component())
            .map_err(|source| Error::Open { what: format!("the unit {unit}"), source })
    }

    /// Locks a unit against everybody else who changes or captures it.
    pub fn lock_unit(&self, unit: &UnitAddress, doing: &str) -> Result<Lock, Error> {
        let path = self.unit_file("run", unit, "lock");
        Ok(Lock::exclusive(&path, &format!("{doing} {unit}"))?)
    }

    /// Returns where hints for the next snapshot of a unit lie.
    pub fn hints_path(&self, unit: &UnitAddress) -> PathBuf {
        self.unit_file("cache", unit, "hints")
    }

    fn unit_file(&self, directory: &str, unit: &UnitAddress, ending: &str) -> PathBuf {
        let name = store::unit_file_name(unit.container(), unit.component());
        self.store.path().join(directory).join(format!("{name}.{ending}"))
    }
}
