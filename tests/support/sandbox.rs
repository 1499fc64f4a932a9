//! The real program in temporary directories, with nothing of the tester's environment.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use expect_test::Expect;
use serde_json::Value;

use super::normal::{normal, normal_json};

/// One state directory, and a place for live state.
pub(crate) struct Sandbox {
    directory: tempfile::TempDir,
}

/// What a run of the program gave.
pub(crate) struct Ran {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The exit code; none where a signal ended it.
    pub(crate) code: Option<i32>,
}

impl Sandbox {
    /// Makes one with nothing in it.
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    /// Returns the path of something in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Returns the path as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Returns the state directory.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.path("state")
    }

    /// Writes a file, and the directories above it.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// Makes a directory with a file, a file below, and a link; returns the unit.
    pub(crate) fn www(&self) -> String {
        self.write("www/index.html", "hello\n");
        self.write("www/img/logo", "a logo\n");
        std::os::unix::fs::symlink("index.html", self.path("www/start")).unwrap();
        format!("directory:{}", self.text("www"))
    }

    /// Makes a database with a table of one row; returns the unit.
    pub(crate) fn database(&self) -> String {
        let connection = rusqlite::Connection::open(self.path("app.db")).unwrap();
        let rows = "CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1)";
        connection.execute_batch(rows).unwrap();
        format!("sqlite:{}", self.text("app.db"))
    }

    /// Returns the program with arguments, to be changed before it is run.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dysno"));
        command
            .args(arguments)
            .env_clear()
            .env("DYSNO_STATE_DIR", self.state_dir())
            // One that is there: the tester's own must not be read.
            .env("DYSNO_CONFIG", self.config())
            .env("HOME", self.directory.path())
            .env("PATH", "/usr/bin:/bin")
            .env("TZ", "UTC")
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }

    /// Returns the configuration file; an empty one where the test wrote none.
    fn config(&self) -> PathBuf {
        let path = self.path("dysno.toml");
        if !path.exists() {
            File::create(&path).unwrap();
        }
        path
    }

    /// Runs the program.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Ran {
        run(&mut self.command(arguments), &[])
    }

    /// Runs the program, which must succeed; returns what it wrote.
    pub(crate) fn succeed<S: AsRef<OsStr>>(&self, arguments: &[S]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Runs the program and compares its output, its messages and its exit code.
    pub(crate) fn check<S: AsRef<OsStr>>(&self, arguments: &[S], expected: Expect) {
        let ran = self.run(arguments);
        expected.assert_eq(&self.transcript(&ran));
    }

    /// Returns the output, the messages and the exit code as one text, without what differs between runs.
    pub(crate) fn transcript(&self, ran: &Ran) -> String {
        let out = normal(&String::from_utf8_lossy(&ran.stdout), self.directory.path());
        let err = normal(&ran.stderr, self.directory.path());
        match ran.code {
            Some(0) => format!("{out}{err}"),
            code => format!("{out}{err}[exit {}]\n", code.unwrap()),
        }
    }

    /// Runs the program with `--json`; what it writes must be one document.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, arguments: &[S]) -> (Value, Option<i32>) {
        let mut command = self.command(arguments);
        let ran = run(command.arg("--json"), &[]);
        (serde_json::from_slice(&ran.stdout).unwrap(), ran.code)
    }

    /// Runs the program with `--json` and compares the document, without what differs between runs.
    pub(crate) fn check_json<S: AsRef<OsStr>>(&self, arguments: &[S], expected: Expect) {
        let (mut document, code) = self.json(arguments);
        normal_json(&mut document, self.directory.path());
        let mut text = serde_json::to_string_pretty(&document).unwrap();
        if code != Some(0) {
            text.push_str(&format!("\n[exit {}]", code.unwrap()));
        }
        expected.assert_eq(&text);
    }

    /// Returns the one pack of the store.
    pub(crate) fn only_pack(&self) -> PathBuf {
        let mut packs = Vec::new();
        for directory in entries(&self.state_dir().join("packs")) {
            packs.extend(entries(&directory));
        }
        assert_eq!(packs.len(), 1, "{packs:?}");
        packs.remove(0)
    }

    /// Opens the journal behind the program's back.
    pub(crate) fn journal(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.state_dir().join("journal.sqlite")).unwrap()
    }
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command, input: &[u8]) -> Ran {
    if !input.is_empty() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(input).unwrap()));
        child.wait_with_output().unwrap()
    });
    let stderr = String::from_utf8(output.stderr).unwrap();
    Ran { stdout: output.stdout, stderr, code: output.status.code() }
}

/// Returns what is in a directory, in ascending order.
pub(crate) fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort_unstable();
    found
}
