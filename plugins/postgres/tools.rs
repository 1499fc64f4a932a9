//! The programs of a PostgreSQL installation, chosen by the server's version.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{Command, CommandError, Input};
use crate::postgres::connect::Session;
use crate::postgres::settings::{Address, Server, versioned_directories};
use crate::{Error, Interrupt, Result};

/// Where distributions put the versions of PostgreSQL: a directory each, with `bin` in it.
const VERSIONED: [&str; 3] =
    ["/usr/lib/postgresql", "/usr/local/lib/postgresql", "/usr/libexec/postgresql"];

/// `pg_dump --version` that takes longer hangs.
const VERSION_WAIT: Duration = Duration::from_secs(10);

/// What a program says of its version fits easily.
const VERSION_BYTES_MAX: usize = 4 << 10;

/// A directory for files that only the tools' user may see. Removed when dropped.
pub(crate) struct Workshop {
    directory: tempfile::TempDir,
    /// Programs of one version.
    binaries: PathBuf,
    environment: Vec<(String, OsString)>,
    identity: Option<crate::command::Identity>,
}

impl Workshop {
    /// Finds programs that can serve the session's server and prepares what they need to reach `database` there.
    pub(crate) fn open(server: &Server, session: &Session, database: &str) -> Result<Self> {
        let binaries = find(server, session.major)?;
        let directory = tempfile::Builder::new()
            .prefix("dysno-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(Error::file("create a directory in", std::env::temp_dir()))?;
        let identity = server.identity()?;
        if let Some(identity) = identity {
            chown(directory.path(), Some(identity.uid), Some(identity.gid))
                .map_err(Error::file("give away", directory.path()))?;
        }
        let mut workshop = Self { directory, binaries, environment: Vec::new(), identity };
        let host = match server.address() {
            Address::Socket(directory) => directory.into_os_string(),
            Address::Host(host) => host.into(),
        };
        workshop.set("PGHOST", host);
        workshop.set("PGPORT", server.port().to_string());
        workshop.set("PGUSER", server.user());
        workshop.set("PGDATABASE", database);
        workshop.set("PGOPTIONS", session.tool_options());
        workshop.set("PGAPPNAME", "dysno");
        if let Some(password) = server.password()? {
            let escaped = password.reveal().replace('\\', "\\\\").replace(':', "\\:");
            let path = workshop.write("password", format!("*:*:*:*:{escaped}\n").as_bytes())?;
            workshop.set("PGPASSFILE", path);
        }
        Ok(workshop)
    }

    fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.push((name.to_owned(), value.into()));
    }

    /// Returns the path of a file in the workshop.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file that only the tools' user may read.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| {
                file.write_all(bytes)?;
                match self.identity {
                    Some(identity) => chown(&path, Some(identity.uid), Some(identity.gid)),
                    None => Ok(()),
                }
            })
            .map_err(Error::file("write", &path))?;
        Ok(path)
    }

    /// Returns a program of this installation, ready to run.
    pub(crate) fn command(
        &self,
        program: &str,
        arguments: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>,
    ) -> Command {
        let mut command = Command::new(self.binaries.join(program), arguments);
        command.environment.clone_from(&self.environment);
        command.identity = self.identity;
        command
    }
}

/// Makes an interrupted child an interrupted verb.
pub(crate) fn child_failed(error: CommandError) -> Error {
    match error {
        CommandError::Interrupted => Error::Interrupted,
        CommandError::Run { .. }
        | CommandError::Failed { .. }
        | CommandError::TooLong { .. }
        | CommandError::Stream { .. } => Error::Command(error),
    }
}

/// Returns the directory of the programs to use: those of the server's own version, else the next newer.
fn find(server: &Server, major: u32) -> Result<PathBuf> {
    let candidates = match server.bin_dir() {
        Some(directory) => vec![directory.to_owned()],
        None => {
            let versioned =
                VERSIONED.iter().flat_map(|parent| versioned_directories(Path::new(parent)));
            server.context.tool_path.iter().cloned().chain(versioned).collect()
        }
    };
    let mut found = Vec::new();
    for directory in &candidates {
        let program = directory.join("pg_dump");
        if program.is_file()
            && let Some(version) = version(&program, &server.context.interrupt)?
        {
            found.push((version, directory));
        }
    }
    found.sort_by_key(|(version, _)| *version);
    if let Some((_, directory)) = found.iter().find(|(version, _)| *version >= major) {
        return Ok((*directory).clone());
    }
    let listed: Vec<_> =
        found.iter().map(|(version, d)| format!("version {version} in {}", d.display())).collect();
    let places: Vec<_> = candidates.iter().map(|d| d.display().to_string()).collect();
    let reason = if listed.is_empty() {
        format!(
            "there is none in {}",
            if places.is_empty() { "the usual places".to_owned() } else { places.join(", ") }
        )
    } else {
        format!("found only {}", listed.join(", "))
    };
    Err(Error::Tool {
        tool: format!("pg_dump of version {major} or newer, as the server is of version {major}"),
        reason: format!(
            "{reason}; install it (Debian: postgresql-client-{major}) or name its directory with `bin-dir`"
        ),
    })
}

/// Returns the major version that a program says it has; none where it does not run or says something else.
fn version(program: &Path, interrupt: &Interrupt) -> Result<Option<u32>> {
    let mut command = Command::new(program, ["--version"]);
    command.limit = Some(VERSION_WAIT);
    match command.read(Input::None, VERSION_BYTES_MAX, interrupt) {
        Ok(text) => Ok(parse_version(&String::from_utf8_lossy(&text))),
        Err(CommandError::Interrupted) => Err(Error::Interrupted),
        Err(_) => Ok(None),
    }
}

/// Reads `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0)`, `… 18beta1`.
fn parse_version(text: &str) -> Option<u32> {
    let (_, version) = text.split_once("(PostgreSQL) ")?;
    let end = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_tools_print_them() {
        assert_eq!(
            parse_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some(15)
        );
        assert_eq!(parse_version("pg_dump (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_version("something else"), None);
    }
}
