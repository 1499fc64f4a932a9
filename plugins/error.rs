//! What can go wrong in a plug-in, named by what was attempted.

use std::io;
use std::path::PathBuf;

/// The result of a plug-in's verb, or of a part of one.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A plug-in's verb failed. The unit is added by the caller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A container's settings do not fit its kind.
    #[error("cannot read the settings of a container of kind {kind}")]
    Settings {
        /// The kind.
        kind: &'static str,
        /// What does not fit.
        source: toml::de::Error,
    },
    /// The text after the colon does not name a unit of this kind.
    #[error("cannot use {component:?} as a unit of kind {kind}: {reason}")]
    Component {
        /// The kind.
        kind: &'static str,
        /// The text.
        component: String,
        /// What is expected instead.
        reason: &'static str,
    },
    /// A verb needs state and there is none.
    #[error("cannot find {what}")]
    Missing {
        /// The thing that is not there.
        what: String,
    },
    /// `initial` cannot be used.
    #[error("cannot use {} as initial state: {reason}", path.display())]
    Initial {
        /// The configured path.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file operation on live or staged state failed.
    #[error("cannot {verb} {}", path.display())]
    File {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// SQLite refused an operation on a database file.
    #[error("cannot {verb} {}", path.display())]
    Database {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// A file changed each time it was read.
    #[error("cannot read {} while it keeps changing", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// A user or group of the snapshot does not exist here.
    #[error("cannot give files to the {what} {name}, which this host does not know")]
    UnknownOwner {
        /// `user` or `group`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The snapshot lacks a file's content.
    #[error("cannot restore {path}: it could not be read when the snapshot was taken")]
    Lacking {
        /// The path in the snapshot.
        path: String,
    },
    /// The snapshot holds something that this kind does not write.
    #[error("cannot restore from this snapshot: {reason}")]
    Foreign {
        /// What does not belong.
        reason: String,
    },
    /// Writing the snapshot or reading from it failed.
    #[error("cannot {verb} the snapshot")]
    Snapshot {
        /// `write` or `read`.
        verb: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing to put back.
    #[error("cannot put back a displaced state: there was none")]
    NothingDisplaced,
    /// A server cannot be reached or does not let us in.
    #[error("cannot connect to {server}")]
    Connect {
        /// The server, without secrets.
        server: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server refused a statement.
    #[error("cannot {verb} {object}")]
    Server {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
        /// What the server said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tool is not installed, or too old.
    #[error("cannot find {tool}: {reason}")]
    Tool {
        /// The program.
        tool: String,
        /// Which one is needed and where was looked.
        reason: String,
    },
    /// A child process failed.
    #[error(transparent)]
    Command(#[from] crate::command::CommandError),
    /// The staged state is not what the snapshot says.
    #[error("cannot trust the staged state: {reason}")]
    Verification {
        /// What differs.
        reason: String,
    },
    /// Something on the server or in the system forbids the verb now.
    #[error("cannot {verb} {object}: {reason}")]
    Refused {
        /// What was attempted.
        verb: &'static str,
        /// On what.
        object: String,
        /// What stands in the way and how to clear it.
        reason: String,
    },
    /// The user asked to stop.
    #[error("cannot go on: interrupted")]
    Interrupted,
}

impl Error {
    /// Makes the closure for `map_err` that says which file operation failed.
    pub fn file(verb: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { verb, path, source }
    }

    /// Makes the closure for `map_err` that says which operation SQLite refused.
    pub fn database(
        verb: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.into();
        move |source| Self::Database { verb, path, source }
    }

    /// Writing the snapshot failed.
    pub fn write(source: io::Error) -> Self {
        Self::Snapshot { verb: "write", source }
    }

    /// Reading the snapshot failed.
    pub fn read(source: io::Error) -> Self {
        Self::Snapshot { verb: "read", source }
    }
}
