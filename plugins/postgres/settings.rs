//! The settings of a container of PostgreSQL databases.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::command::Identity;
use crate::{Context, Error, Interrupt, Result, Setting};

/// The settings, for `dysno plugins`.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "host",
        meaning: "directory of the server's socket, or a host name, to which nothing is encrypted; default: the first of /run/postgresql, \
                  /var/run/postgresql and /tmp that holds the socket of the port",
    },
    Setting { name: "port", meaning: "port number, also part of the socket's name; default: 5432" },
    Setting { name: "user", meaning: "database role to log in as; default: postgres" },
    Setting {
        name: "password-file",
        meaning: "file that holds the role's password and is not readable by others; default: no password",
    },
    Setting {
        name: "os-user",
        meaning: "system user as which local connections and tools are made, for peer login; default: when run \
                  as root without a password, the system user of the role's name",
    },
    Setting {
        name: "connections",
        meaning: "connections that copy tables at the same time; default: one a processor, at most 4",
    },
    Setting {
        name: "maintenance-database",
        meaning: "database to connect to for creating and renaming others; default: postgres, else template1",
    },
    Setting {
        name: "bin-dir",
        meaning: "directory of pg_dump, pg_restore and psql; default: the oldest that fit the server",
    },
];

/// Where a socket is looked for when no host is set.
const SOCKET_DIRECTORIES: [&str; 3] = ["/run/postgresql", "/var/run/postgresql", "/tmp"];

/// A password longer than this is another kind of file.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Connections beyond this take more from the server than they give.
const CONNECTIONS_MAX: usize = 64;

/// The settings of one server, as written in the configuration.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Settings {
    host: Option<String>,
    #[serde(default = "default_port")]
    port: u16,
    #[serde(default = "default_user")]
    user: String,
    password_file: Option<PathBuf>,
    os_user: Option<String>,
    connections: Option<usize>,
    #[serde(default = "default_user")]
    maintenance_database: String,
    bin_dir: Option<PathBuf>,
}

fn default_port() -> u16 {
    5432
}

fn default_user() -> String {
    "postgres".to_owned()
}

/// A server as it is configured. Nothing of it is looked up before it is needed.
#[derive(Clone)]
pub(crate) struct Server {
    settings: Settings,
    /// What came from the edge of the program.
    pub(crate) context: Context,
}

/// Where a server listens.
#[derive(Clone)]
pub(crate) enum Address {
    /// A socket's directory.
    Socket(PathBuf),
    /// A host's name or number.
    Host(String),
}

/// A password. It has no text form but the one asked for by name.
pub(crate) struct Secret(String);

impl Secret {
    /// Returns the secret itself.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl Server {
    /// Reads the settings. Touches nothing else.
    pub(crate) fn parse(table: &toml::Table, context: &Context) -> Result<Self> {
        let settings: Settings = table
            .clone()
            .try_into()
            .map_err(|source| Error::Settings { kind: "postgres", source })?;
        Ok(Self { settings, context: context.clone() })
    }

    /// Returns the same server for cleaning up after an interrupt, which must not be interrupted itself.
    pub(crate) fn without_interrupt(&self) -> Self {
        let mut server = self.clone();
        server.context.interrupt = Interrupt::default();
        server
    }

    /// Returns the port.
    pub(crate) fn port(&self) -> u16 {
        self.settings.port
    }

    /// Returns the database role.
    pub(crate) fn user(&self) -> &str {
        &self.settings.user
    }

    /// Returns the directory in which tools must be.
    pub(crate) fn bin_dir(&self) -> Option<&Path> {
        self.settings.bin_dir.as_deref()
    }

    /// Returns how many connections copy tables at once.
    pub(crate) fn n_connections(&self) -> usize {
        let n_default = || std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
        self.settings.connections.unwrap_or_else(n_default).clamp(1, CONNECTIONS_MAX)
    }

    /// Returns the databases from which `database` can be created, renamed and dropped, best first.
    pub(crate) fn maintenance_databases(&self, database: &str) -> Vec<&str> {
        let mut candidates = vec![self.settings.maintenance_database.as_str()];
        for fallback in ["postgres", "template1"] {
            if !candidates.contains(&fallback) {
                candidates.push(fallback);
            }
        }
        // A session cannot rename the database that it is in.
        candidates.retain(|candidate| *candidate != database);
        candidates
    }

    /// Returns where the server listens.
    pub(crate) fn address(&self) -> Address {
        if let Some(host) = &self.settings.host {
            return if host.starts_with('/') {
                Address::Socket(PathBuf::from(host))
            } else {
                Address::Host(host.clone())
            };
        }
        let holds_socket =
            |directory: &&&str| self.socket_in(Path::new(directory)).try_exists().unwrap_or(false);
        let directory =
            SOCKET_DIRECTORIES.iter().find(holds_socket).unwrap_or(&SOCKET_DIRECTORIES[0]);
        Address::Socket(PathBuf::from(directory))
    }

    /// Returns the path of the socket in that directory.
    pub(crate) fn socket_in(&self, directory: &Path) -> PathBuf {
        directory.join(format!(".s.PGSQL.{}", self.settings.port))
    }

    /// Returns what stands for the server in an error.
    pub(crate) fn describe(&self, database: &str) -> String {
        let place = match self.address() {
            Address::Socket(directory) => self.socket_in(&directory).display().to_string(),
            Address::Host(host) => format!("{host}:{}", self.settings.port),
        };
        format!("database {database:?} of PostgreSQL at {place} as role {:?}", self.settings.user)
    }

    /// Reads the password, where one is configured.
    pub(crate) fn password(&self) -> Result<Option<Secret>> {
        let Some(path) = &self.settings.password_file else { return Ok(None) };
        let file = File::open(path).map_err(Error::file("open the password file", path))?;
        let metadata = file.metadata().map_err(Error::file("inspect the password file", path))?;
        // Readable by the group is how service managers hand credentials to one service, if root owns the file.
        let group_is_fine = metadata.mode() & 0o040 == 0 || metadata.uid() == 0;
        if metadata.mode() & 0o007 != 0 || metadata.mode() & 0o020 != 0 || !group_is_fine {
            return Err(Error::Refused {
                verb: "use the password file",
                object: path.display().to_string(),
                reason: "others may read it; run `chmod 0600` on it".to_owned(),
            });
        }
        let mut text = String::new();
        file.take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(Error::file("read the password file", path))?;
        let password = text.strip_suffix('\n').unwrap_or(&text);
        Ok(Some(Secret(password.strip_suffix('\r').unwrap_or(password).to_owned())))
    }

    /// Returns the system user as which local connections are made, where not as ourselves.
    pub(crate) fn identity(&self) -> Result<Option<Identity>> {
        let local = matches!(self.address(), Address::Socket(_));
        let privileged = rustix::process::geteuid().is_root();
        let name = match &self.settings.os_user {
            Some(name) => name,
            None if local && privileged && self.settings.password_file.is_none() => self.user(),
            None => return Ok(None),
        };
        let Some(user) = uzers::get_user_by_name(name) else {
            if self.settings.os_user.is_none() {
                return Ok(None);
            }
            return Err(Error::Missing { what: format!("the system user {name:?} of `os-user`") });
        };
        let identity = Identity { uid: user.uid(), gid: user.primary_group_id() };
        let is_us = identity.uid == rustix::process::geteuid().as_raw();
        Ok((!is_us).then_some(identity))
    }
}

/// Returns the directories in `parent` that hold a program, such as `/usr/lib/postgresql/15/bin`.
pub(crate) fn versioned_directories(parent: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Server> {
        Server::parse(&text.parse().unwrap(), &Context::default())
    }

    #[test]
    fn no_configuration_means_the_stock_server() {
        let server = parse("").unwrap();
        assert_eq!((server.port(), server.user()), (5432, "postgres"));
        assert_eq!(server.maintenance_databases("app"), ["postgres", "template1"]);
        assert_eq!(server.maintenance_databases("postgres"), ["template1"]);
    }

    #[test]
    fn a_misspelled_setting_is_refused() {
        assert!(matches!(parse("hots = 'x'"), Err(Error::Settings { .. })));
    }

    #[test]
    fn a_password_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "secret\n").unwrap();
        let server = parse(&format!("password-file = '{}'", file.path().display())).unwrap();
        let set =
            |mode| fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        assert!(matches!(server.password(), Err(Error::Refused { .. })));
        set(0o600);
        assert_eq!(server.password().unwrap().unwrap().reveal(), "secret");
    }
}
