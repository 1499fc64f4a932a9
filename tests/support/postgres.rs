//! A PostgreSQL server of its own, on a socket in a temporary directory.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::sandbox::{Sandbox, run};

/// A server, stopped and removed when dropped. It refuses to run as root, so it runs as its Debian user.
pub(crate) struct Server {
    directory: tempfile::TempDir,
}

/// Returns the directory of the newest installed server.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").unwrap();
    let mut found: Vec<_> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
    found.retain(|directory| directory.join("initdb").is_file());
    found.sort();
    found.pop().expect("PostgreSQL's server (Debian: apt install postgresql)")
}

/// Runs a program as the server's user and returns what it printed.
fn as_postgres<A: AsRef<OsStr>>(program: &str, arguments: &[A], input: &str) -> String {
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(binaries().join(program)).args(arguments);
    let ran = run(command.current_dir("/"), input.as_bytes());
    assert_eq!(ran.code, Some(0), "{program}: {}", ran.stderr);
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

impl Server {
    /// Starts one without any database of a user.
    pub(crate) fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("dysno-pg-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let owned = run(Command::new("chown").arg("postgres:").arg(directory.path()), &[]);
        assert_eq!(owned.code, Some(0), "{}", owned.stderr);
        let server = Self { directory };
        let data = server.data();
        let options =
            ["--no-sync", "--auth=peer", "--username=postgres", "--locale=C.UTF-8", "-D", &data];
        as_postgres("initdb", &options, "");
        let settings = "listen_addresses = ''\nfsync = off\nshared_buffers = '16MB'\n";
        fs::write(Path::new(&data).join("postgresql.auto.conf"), settings).unwrap();
        server.control(&["start", "-w"]);
        server
    }

    /// Returns the directory of the data.
    pub(crate) fn data(&self) -> String {
        self.directory.path().join("data").to_str().unwrap().to_owned()
    }

    /// Runs `pg_ctl`.
    pub(crate) fn control(&self, arguments: &[&str]) {
        let socket = format!("-k {}", self.directory.path().display());
        let log = self.directory.path().join("log").to_str().unwrap().to_owned();
        let data = self.data();
        let place = ["-s", "-D", &data, "-l", &log, "-o", &socket];
        as_postgres("pg_ctl", &[arguments, &place].concat(), "");
    }

    /// Runs SQL and returns the rows, unaligned.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let host = self.directory.path().to_str().unwrap();
        let options = [
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            host,
            "-d",
            database,
            "-f",
            "-",
        ];
        as_postgres("psql", &options, sql)
    }

    /// Returns the databases that are not the server's own.
    pub(crate) fn databases(&self) -> String {
        self.sql(
            "template1",
            "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database \
             WHERE datname NOT IN ('postgres', 'template0', 'template1')",
        )
    }

    /// Writes a configuration with the server as the container of its kind, and settings on top.
    pub(crate) fn configure(&self, sandbox: &Sandbox, more: &str) {
        let host = self.directory.path().display();
        let text = format!("[container.postgres]\nplugin = 'postgres'\nhost = '{host}'\n{more}");
        sandbox.write("dysno.toml", text);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be stopped already; a panic here would hide the test's own.
        let stop = ["-s", "-m", "immediate", "-D", &self.data(), "stop"];
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(binaries().join("pg_ctl")).args(stop);
        run(command.current_dir("/"), &[]);
    }
}
