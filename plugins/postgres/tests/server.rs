//! A throw-away server on a socket.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, Weak};

use crate::command::{Command, Identity, Input};
use crate::postgres::settings::Server;
use crate::postgres::tests::memory::Memory;
use crate::{Container, Context, Interrupt, Plugin, SnapshotOptions, find_kind};

const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// A data directory that each server starts from: `initdb` takes longer than a copy. The last server to stop removes
/// it, because nothing is dropped at the end of a process.
static TEMPLATE: Mutex<Weak<tempfile::TempDir>> = Mutex::new(Weak::new());

/// A server, stopped and removed when dropped.
pub(super) struct TestServer {
    _template: Arc<tempfile::TempDir>,
    pub(super) directory: tempfile::TempDir,
}

/// As whom servers run; they refuse to run as root.
pub(super) fn identity() -> Option<Identity> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let user = uzers::get_user_by_name("postgres").expect("a system user postgres");
    Some(Identity { uid: user.uid(), gid: user.primary_group_id() })
}

/// Returns the directory of the newest installed server; a test without one fails.
pub(super) fn binaries() -> PathBuf {
    let mut found =
        crate::postgres::settings::versioned_directories(Path::new("/usr/lib/postgresql"));
    found.retain(|directory| directory.join("initdb").is_file());
    found
        .pop()
        .expect("PostgreSQL's server in /usr/lib/postgresql (Debian: apt install postgresql)")
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::Builder::new()
        .prefix("dysno-pg-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap();
    if let Some(identity) = identity() {
        chown(directory.path(), Some(identity.uid), Some(identity.gid)).unwrap();
    }
    directory
}

/// Runs a program of the server's user and returns what it printed.
pub(super) fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: impl IntoIterator<Item = A>,
    environment: &[(&str, &Path)],
) -> String {
    let program =
        if program.starts_with('/') { PathBuf::from(program) } else { binaries().join(program) };
    let mut command = Command::new(program, arguments);
    command.identity = identity();
    command.environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let output = command.read(Input::None, OUTPUT_BYTES_MAX, &Interrupt::default());
    String::from_utf8_lossy(&output.unwrap_or_else(|error| panic!("{error}"))).into_owned()
}

fn template() -> Arc<tempfile::TempDir> {
    // A failed `initdb` is told by each test that needs it.
    let mut shared = TEMPLATE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(template) = shared.upgrade() {
        return template;
    }
    let template = directory();
    let data = template.path().join("data");
    run(
        "initdb",
        [
            "--no-sync",
            "--auth=peer",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "-D",
        ]
        .map(OsStr::new)
        .into_iter()
        .chain([data.as_os_str()]),
        &[],
    );
    let settings = "listen_addresses = ''\nfsync = off\nmax_prepared_transactions = 5\n\
        shared_buffers = '16MB'\nwal_level = logical\nmax_connections = 40\n";
    let path = data.join("postgresql.auto.conf");
    fs::write(path, settings).unwrap();
    let template = Arc::new(template);
    *shared = Arc::downgrade(&template);
    template
}

impl TestServer {
    pub(super) fn start() -> Self {
        let template = template();
        let server = Self { directory: directory(), _template: Arc::clone(&template) };
        run(
            "/bin/cp",
            ["-a".as_ref(), template.path().join("data").as_os_str(), server.data().as_os_str()],
            &[],
        );
        server.control(&["start", "-w"]);
        server
    }

    pub(super) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Runs `pg_ctl`.
    pub(super) fn control(&self, arguments: &[&str]) {
        let (data, log) = (self.data(), self.directory.path().join("log"));
        let socket = format!("-k {}", self.directory.path().display());
        let mut all: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
        all.extend([OsStr::new("-D"), data.as_os_str(), "-l".as_ref(), log.as_os_str()]);
        all.extend([OsStr::new("-o"), socket.as_ref()]);
        run("pg_ctl", all, &[]);
    }

    /// Runs SQL by psql and returns the unaligned rows.
    pub(super) fn sql(&self, database: &str, sql: &str) -> String {
        let mut command = Command::new(
            binaries().join("psql"),
            ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
        );
        command.identity = identity();
        command.environment = vec![
            ("PGHOST".to_owned(), self.directory.path().into()),
            ("PGDATABASE".to_owned(), database.into()),
            ("PGUSER".to_owned(), "postgres".into()),
            ("PGCLIENTENCODING".to_owned(), "UTF8".into()),
        ];
        let output =
            command.read(Input::Bytes(sql.as_bytes()), OUTPUT_BYTES_MAX, &Interrupt::default());
        let output = output.unwrap_or_else(|error| panic!("{error}"));
        String::from_utf8_lossy(&output).trim().to_owned()
    }

    /// Returns what `pg_dump` says of the schema and the database itself.
    pub(super) fn schema(&self, database: &str) -> String {
        run(
            "pg_dump",
            ["-s", "-C", "--restrict-key=dysno", database],
            &[("PGHOST", self.directory.path())],
        )
    }

    pub(super) fn container(&self, more: &str) -> Box<dyn Container> {
        self.container_in(more, &Context::default())
    }

    pub(super) fn container_in(&self, more: &str, context: &Context) -> Box<dyn Container> {
        let settings = format!("host = '{}'\n{more}", self.directory.path().display());
        (find_kind("postgres").unwrap().open)(&settings.parse().unwrap(), context).unwrap()
    }

    /// Returns the server as the kind's own code knows it.
    pub(super) fn inner(&self) -> Server {
        let settings = format!("host = '{}'", self.directory.path().display());
        Server::parse(&settings.parse().unwrap(), &Context::default()).unwrap()
    }

    pub(super) fn unit(&self, database: &str) -> Box<dyn Plugin> {
        self.container("").open(database).unwrap()
    }

    pub(super) fn snapshot(&self, database: &str) -> Memory {
        let memory = Memory::default();
        self.unit(database)
            .snapshot(&memory, &SnapshotOptions::default())
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        memory
    }

    /// Returns the names of all databases.
    pub(super) fn databases(&self) -> String {
        self.sql("template1", "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database")
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(binaries().join("pg_ctl"));
        command.args(["stop", "-w", "-m", "immediate", "-D"]).arg(self.data());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        if let Some(identity) = identity() {
            use std::os::unix::process::CommandExt;
            command.uid(identity.uid).gid(identity.gid);
        }
        // It may be stopped already; a panic here would hide the test's own.
        if let Ok(mut child) = command.spawn() {
            let _ = child.wait();
        }
    }
}

/// Returns an error with all its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
