//! The one runner of child processes.

/// A child process failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// placeholder
    #[error("cannot run")]
    Run,
}
