//! What ends a statement early, before it is known what it was for.

use std::error::Error as _;
use std::fmt;
use std::io;

use tokio_postgres::error::{DbError, SqlState};

use crate::{Error, Interrupted};

/// A statement did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user asked to stop.
    Interrupted,
    /// The server refused, or went away.
    Server(ServerError),
    /// The snapshot's side of a copy failed.
    Snapshot(&'static str, io::Error),
}

/// What a server said, in words: the driver's own error says "db error" only.
#[derive(Debug)]
pub(crate) struct ServerError {
    text: String,
    code: Option<SqlState>,
}

impl Failure {
    /// Says what was attempted.
    pub(crate) fn during(self, verb: &'static str, object: impl Into<String>) -> Error {
        match self {
            Self::Interrupted => Error::Interrupted,
            Self::Server(source) => {
                Error::Server { verb, object: object.into(), source: Box::new(source) }
            }
            Self::Snapshot(verb, source) => snapshot(verb, source),
        }
    }

    /// Returns the SQLSTATE, where the server itself refused.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code.as_ref(),
            Self::Interrupted | Self::Snapshot(..) => None,
        }
    }

    /// Returns whether a value is too large for the text format, which doubles binary data.
    pub(crate) fn is_too_large_for_text(&self) -> bool {
        match self {
            Self::Server(error) => {
                error.code == Some(SqlState::PROGRAM_LIMIT_EXCEEDED)
                    || error.text.contains("invalid memory alloc request size")
                    || error.text.contains("out of memory")
            }
            Self::Interrupted | Self::Snapshot(..) => false,
        }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Server(ServerError::from(error))
    }
}

/// Makes the error of the snapshot's side, or the interrupt that it carries.
pub(crate) fn snapshot(verb: &'static str, source: io::Error) -> Error {
    if source.get_ref().is_some_and(|inner| inner.is::<Interrupted>()) {
        return Error::Interrupted;
    }
    Error::Snapshot { verb, source }
}

impl ServerError {
    /// A wait on our side came to its end.
    pub(crate) fn timeout(seconds: u64) -> Self {
        Self { text: format!("no answer within {seconds} s"), code: None }
    }

    /// There is no way to the server.
    pub(crate) fn unreachable(error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                "; no server listens there: start it, or set `host` and `port`"
            }
            _ => "",
        };
        Self { text: format!("{error}{advice}"), code: None }
    }

    /// Adds what to do where it was the login that failed.
    pub(crate) fn at_login(mut self) -> Self {
        let advice = match self.code {
            Some(SqlState::INVALID_PASSWORD) => "; correct the file that `password-file` names",
            Some(SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                "; create the role, or set `user`, and `os-user` for peer login"
            }
            None if self.text.ends_with("password missing") => {
                "; name the file that holds it with `password-file`"
            }
            _ => return self,
        };
        self.text.push_str(advice);
        self
    }

    /// Returns the SQLSTATE, where the server itself refused.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        self.code.as_ref()
    }
}

impl From<tokio_postgres::Error> for ServerError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(said) = error.as_db_error() {
            return Self { text: words(said), code: Some(said.code().clone()) };
        }
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        Self { text, code: None }
    }
}

/// Returns the message with its detail and hint. Not the statement, which may hold a secret.
fn words(said: &DbError) -> String {
    let mut text = said.message().to_owned();
    if let Some(detail) = said.detail() {
        text.push_str(&format!(" ({detail})"));
    }
    if let Some(hint) = said.hint() {
        text.push_str(&format!("; the server advises: {hint}"));
    }
    text
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for ServerError {}
