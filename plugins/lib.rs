//! The kinds of state that dysno knows, behind one trait.
//!
#![doc = include_str!("README.md")]

pub mod command;
pub mod conformance;
pub mod error;
pub mod runtime;
pub mod tree;
pub mod unit;

mod directory;
mod mounts;
mod owners;
mod place;
mod postgres;
mod sqlite;

use std::fmt;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::{Error, Result};
use serde::{Deserialize, Serialize};
use tree::{Content, Entry, Profile};
pub use unit::UnitAddress;

/// Every kind, in the order in which `dysno plugins` lists them. A new kind is one file and one row.
pub const KINDS: &[Kind] = &[directory::KIND, postgres::KIND, sqlite::KIND];

/// One kind of state unit.
pub struct Kind {
    /// The name used in configuration and, with default settings, as a container.
    pub name: &'static str,
    /// One sentence for `dysno plugins`.
    pub summary: &'static str,
    /// What the text after the colon of a unit address means.
    pub component: &'static str,
    /// What `initial` may be.
    pub initial: &'static str,
    /// What counts as the state of such a unit.
    pub profile: Profile,
    /// How consistent a snapshot is while the unit is in use.
    pub consistency: Consistency,
    /// The settings that a container of this kind accepts.
    pub settings: &'static [Setting],
    /// Opens a container; touches nothing, so it works where the server is down.
    pub open: fn(&toml::Table, &Context) -> Result<Box<dyn Container>>,
}

/// One setting of a container.
pub struct Setting {
    /// The key in the configuration file.
    pub name: &'static str,
    /// What it means, its unit and its default, in one sentence.
    pub meaning: &'static str,
}

/// How consistent a snapshot is that is taken while the unit is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// One transaction's view of the whole unit.
    Dump,
    /// One point in time of the whole unit, as after a crash at that point.
    CrashConsistent,
    /// Each file by itself; a change while it is read is noticed, a change between two files is not.
    PerFile,
}

/// What a plug-in gets from the edge of the program.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// Directories in which tools such as `pg_dump` are looked for, in this order.
    pub tool_path: Vec<PathBuf>,
    /// Set when the user wants to stop.
    pub interrupt: Interrupt,
    /// Where a plug-in may put large temporary files while it takes a snapshot; none for the system's place for them,
    /// `/var/tmp`. What a crash leaves there belongs to nobody.
    pub scratch_dir: Option<PathBuf>,
}

/// A wish to stop, raised once and seen everywhere.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Wraps a flag that a signal handler sets.
    pub fn new(flag: Arc<AtomicBool>) -> Self {
        Self(flag)
    }

    /// Asks everything that checks to stop.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Returns whether somebody asked to stop.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails with [`Error::Interrupted`] when somebody asked to stop.
    pub fn stop_if_raised(&self) -> Result<()> {
        if self.is_raised() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Fails with [`Interrupted`] when somebody asked to stop.
    pub fn check(&self) -> io::Result<()> {
        // Not `ErrorKind::Interrupted`: the standard library retries that one.
        if self.is_raised() { Err(io::Error::other(Interrupted)) } else { Ok(()) }
    }
}

/// The user asked to stop.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("interrupted")]
pub struct Interrupted;

/// One configured instance of a kind: a place where units live.
pub trait Container: Send + Sync {
    /// Returns what is there, or why it cannot be reached. Changes nothing and answers within two seconds.
    fn probe(&self) -> Result<ContainerProbe>;

    /// Opens one unit. Checks the component's form only, so it works where the server is down.
    fn open(&self, component: &str) -> Result<Box<dyn Plugin>>;
}

/// What a container said of itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ContainerProbe {
    /// The server's version, where there is a server.
    pub version: Option<String>,
    /// The components found, in ascending order; empty where they cannot be listed.
    pub components: Vec<String>,
}

/// What a kind of state unit can do. Each verb is idempotent.
///
/// Restoring takes two steps, so that the caller can write down what is about to happen: [`Plugin::stage`] builds the
/// new state beside the live one and checks it, [`Plugin::swap`] exchanges the two. All that `stage` makes carries
/// the caller's [`Tag`] in its name, so that what a crash leaves behind can be found and released.
pub trait Plugin: Send + Sync {
    /// Returns whether there is state, and facts about it. Changes nothing and answers within two seconds.
    fn probe(&self) -> Result<Probe>;

    /// Brings the unit into service. Creates the state, from `initial` where given, when there is none; never touches
    /// state that exists. A failure leaves nothing behind.
    fn activate(&self, initial: Option<&Path>) -> Result<Activation>;

    /// Takes the unit out of service. The state stays.
    fn deactivate(&self) -> Result<()> {
        Ok(())
    }

    /// Reaches quiescence, so that several units can be captured at one point.
    fn lock(&self) -> Result<()> {
        Ok(())
    }

    /// Ends quiescence.
    fn unlock(&self) -> Result<()> {
        Ok(())
    }

    /// Captures the state. The same state gives the same entries and bytes.
    fn snapshot(&self, capture: &dyn Capture, options: &SnapshotOptions) -> Result<()>;

    /// Builds the state of `source` beside the live state and verifies it. The live state is not touched; after a
    /// failure nothing is left behind.
    fn stage(&self, source: &dyn Source, tag: &Tag, options: &RestoreOptions) -> Result<Swap>;

    /// Puts the staged state in place of the live one in one step. Does nothing when it is there already.
    fn swap(&self, swap: &Swap) -> Result<()>;

    /// Puts the displaced state back. Does nothing when it is there already. Refused where nothing was displaced.
    fn unswap(&self, swap: &Swap) -> Result<()>;

    /// Returns which side of a swap is live.
    fn standing(&self, swap: &Swap) -> Result<Standing>;

    /// Removes all that carries the tag and is not live: staged state that was never swapped in, or displaced state
    /// that is no longer wanted.
    fn release(&self, tag: &Tag) -> Result<()>;

    /// Destroys the state. Destroying what does not exist succeeds.
    fn collect_garbage(&self) -> Result<()>;

    /// Returns what a shell needs to work with the unit.
    fn shell(&self) -> Result<Environment>;
}

/// What a unit said of itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Probe {
    /// Whether there is state.
    pub exists: bool,
    /// The version of the server or of the format.
    pub version: Option<String>,
    /// An estimate of the bytes that a snapshot will read.
    pub size_bytes: Option<u64>,
}

/// What [`Plugin::activate`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// There was no state; it was created.
    Created,
    /// There was state; it was left alone.
    Existing,
}

/// Choices of one snapshot.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotOptions {
    /// What to do with a file that cannot be read.
    pub unreadable: Unreadable,
    /// What to do with a file that keeps changing while it is read.
    pub changing: Changing,
}

/// What to do with a file that cannot be read, and with a snapshot that lacks one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unreadable {
    /// Fail and name it.
    #[default]
    Fail,
    /// Record that it was there, warn, and go on.
    Allow,
}

/// What to do with a file that keeps changing while it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Changing {
    /// Fail and name it.
    #[default]
    Fail,
    /// Keep what was read last, warn, and go on.
    Allow,
}

/// Choices of one restore.
#[derive(Clone, Copy, Debug, Default)]
pub struct RestoreOptions {
    /// What to do when the snapshot lacks the content of a file that could not be read.
    pub unreadable: Unreadable,
}

/// A short name, unique on this host, that everything staged by one restore carries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(String);

impl Tag {
    /// Characters of a tag.
    pub const LENGTH: usize = 10;

    /// Parses a tag: exactly [`Tag::LENGTH`] characters, each a lower-case letter or a digit.
    pub fn parse(text: &str) -> Option<Self> {
        let valid = text.len() == Self::LENGTH
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        valid.then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Tag {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is no tag"))
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

/// A staged state and the live one that it replaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// The name that all of it carries.
    pub tag: Tag,
    /// What tells the staged state from the displaced one wherever they lie: an inode, a database's OID.
    pub staged: String,
    /// The same of the live state at the time of staging; none where there was no state.
    pub displaced: Option<String>,
    /// Where the displaced state will lie after the swap, in words for people: a path, a database's name.
    pub kept_at: String,
}

/// Which side of a [`Swap`] is live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The state from before: not swapped, or swapped back.
    Before,
    /// The staged state.
    After,
    /// Neither: somebody else replaced the live state, or it is gone.
    Foreign,
}

/// What a shell needs to work with a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Variables to set, without secrets.
    pub variables: Vec<(String, String)>,
    /// Where to start, if anywhere special.
    pub directory: Option<PathBuf>,
}

/// How the content of a file is best cut for deduplication. Not part of any identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cut {
    /// A file of unknown content, as in a directory tree.
    Tree,
    /// Rows in key order, as a database writes them.
    Rows,
    /// Units of a fixed size that change in place.
    Pages {
        /// Bytes of one page; a power of two from 512 to 65,536.
        size_bytes: u32,
    },
}

/// Where a snapshot goes. Contents may be written from several threads at once.
///
/// In a [`Profile::Posix1`] snapshot entries come in ascending order of their paths, after all attributes; in a
/// [`Profile::Files1`] snapshot in any order.
pub trait Capture: Sync {
    /// Opens a file's content for writing. A writer that is dropped unfinished was never there.
    fn content(&self, cut: Cut) -> io::Result<Box<dyn ContentWriter + '_>>;

    /// Adds an entry. Its content, if it has one, was returned by [`ContentWriter::finish`] or by [`Previous`].
    fn entry(&self, entry: Entry) -> io::Result<()>;

    /// Sets a named part of the state's identity: an encoding, a locale, an owner.
    fn attribute(&self, name: &str, value: &str) -> io::Result<()>;

    /// Tells the user about something that is missing or doubtful in this snapshot. It makes the command exit with 3.
    fn warn(&self, warning: &str);

    /// Returns the unit's last snapshot, for skipping what did not change since.
    fn previous(&self) -> io::Result<Option<Previous<'_>>>;

    /// Appends to the hints that the next snapshot of this unit on this host finds in [`Previous::hints`].
    fn hint(&self, bytes: &[u8]) -> io::Result<()>;
}

/// Takes the content of one file.
pub trait ContentWriter: Write + Send {
    /// Ends the content and returns its size and digest.
    fn finish(self: Box<Self>) -> io::Result<Content>;
}

/// The unit's last snapshot on this host, as it was captured.
pub struct Previous<'a> {
    /// Its entries, in ascending order of their paths.
    pub entries: Box<dyn Iterator<Item = io::Result<Entry>> + 'a>,
    /// The hints written with it. They belong to exactly these entries, and may be empty.
    pub hints: Box<dyn Read + 'a>,
}

/// Where a restore comes from. Every byte is verified before it is handed out.
pub trait Source: Sync {
    /// Returns the snapshot's profile.
    fn profile(&self) -> Profile;

    /// Returns the attribute of that name.
    fn attribute(&self, name: &str) -> Option<&str>;

    /// Returns the entries in ascending order of their paths.
    fn entries(&self) -> io::Result<Box<dyn Iterator<Item = io::Result<Entry>> + '_>>;

    /// Opens a content. The end of the stream is only reached when all of it was there and had its digest; a content
    /// that is cut short or damaged ends in an error.
    fn open(&self, content: &Content) -> io::Result<Box<dyn Read + Send + '_>>;
}

/// Returns the kind of that name.
pub fn find_kind(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}
