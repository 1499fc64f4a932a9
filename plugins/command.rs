//! The one runner of child processes.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::Interrupt;

/// What is kept of a child's messages: enough for the reason, which tools print last.
const STDERR_BYTES_MAX: usize = 4 << 10;

/// How often a running child is held against the interrupt and its limit.
const WATCH_INTERVAL: Duration = Duration::from_millis(50);

/// How much is read from a child or for it at once.
const COPY_BYTES: usize = 64 << 10;

/// A child process to run: a program and its arguments, never a shell.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program's path.
    pub program: PathBuf,
    /// Its arguments. They can be read by every user of the system: no secret belongs here.
    pub arguments: Vec<OsString>,
    /// All of its environment but `PATH` and `LC_ALL`, which are fixed.
    pub environment: Vec<(String, OsString)>,
    /// As whom it runs, where not as ourselves.
    pub identity: Option<Identity>,
    /// How long it may take; `None` only where the amount of work has no bound, and the interrupt ends it.
    pub limit: Option<Duration>,
}

/// A user and group of the system, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What a child reads.
pub enum Input<'a> {
    /// Nothing.
    None,
    /// These bytes.
    Bytes(&'a [u8]),
    /// A stream to its end.
    Stream(&'a mut (dyn Read + Send)),
}

/// A child process failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The program cannot be started.
    #[error("cannot run {}", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The program ended with a failure.
    #[error("{} ended with {status}{}", program.display(), said(messages))]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        messages: String,
    },
    /// The program ran past its limit and was killed.
    #[error("{} took longer than {} s", program.display(), limit.as_secs())]
    TooLong {
        /// The program.
        program: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// Its input or its output broke on our side, and it was killed.
    #[error("cannot {verb} {}", program.display())]
    Stream {
        /// `feed` or `read`.
        verb: &'static str,
        /// The program.
        program: PathBuf,
        /// What broke.
        source: io::Error,
    },
    /// The user asked to stop, and the program was killed.
    #[error("interrupted")]
    Interrupted,
}

fn said(messages: &str) -> String {
    if messages.is_empty() { String::new() } else { format!(": {messages}") }
}

/// Why a child was killed.
enum Cause {
    Interrupted,
    TooLong,
    Stream(&'static str, io::Error),
}

impl Command {
    /// Starts from a program and its arguments.
    pub fn new<A: AsRef<OsStr>>(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Self {
        Self {
            program: program.into(),
            arguments: arguments.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            environment: Vec::new(),
            identity: None,
            limit: None,
        }
    }

    /// Runs the program to its end and hands its output on. Returns the end of its messages when it ended well.
    pub fn run(
        &self,
        input: Input<'_>,
        output: &mut dyn Write,
        interrupt: &Interrupt,
    ) -> Result<String, CommandError> {
        let mut child = self.spawn(&input)?;
        let group = Pid::from_child(&child);
        // The child is not waited for before all threads below have ended, so its number cannot be another's.
        let kill = || {
            // It may have ended by itself: there is nobody to kill then, and that is fine.
            let _ = kill_process_group(group, Signal::KILL);
        };
        let cause: Mutex<Option<Cause>> = Mutex::new(None);
        let fail = |why: Cause| {
            cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
            kill();
        };
        let started = Instant::now();
        let stdin = child.stdin.take();
        let mut stdout = child.stdout.take().expect("standard output is piped");
        let stderr = child.stderr.take().expect("standard error is piped");
        let messages = thread::scope(|scope| {
            let (done, watch) = channel::<()>();
            scope.spawn(|| self.watch(watch, started, interrupt, &fail));
            let messages = scope.spawn(move || tail(stderr));
            scope.spawn(|| {
                if let Some(mut stdin) = stdin
                    && let Err(source) = feed(input, &mut stdin)
                {
                    // Killed before its input is closed: a tool takes a cut-off stream for a short one.
                    fail(Cause::Stream("feed", source));
                }
            });
            if let Err(source) = pass_on(&mut stdout, output) {
                fail(Cause::Stream("read", source));
            }
            let messages = messages.join().unwrap_or_default();
            drop(done);
            messages
        });
        let status = self.reap(&mut child, started, interrupt, &fail)?;
        match cause.into_inner().unwrap_or_else(PoisonError::into_inner) {
            None if status.success() => Ok(messages),
            None => Err(CommandError::Failed { program: self.program.clone(), status, messages }),
            Some(cause) => Err(self.error(cause)),
        }
    }

    /// Runs the program and returns what it wrote; more than `bytes_max` is an error.
    pub fn read(
        &self,
        input: Input<'_>,
        bytes_max: usize,
        interrupt: &Interrupt,
    ) -> Result<Vec<u8>, CommandError> {
        let mut output = Bounded { bytes: Vec::new(), bytes_max };
        self.run(input, &mut output, interrupt)?;
        Ok(output.bytes)
    }

    fn spawn(&self, input: &Input<'_>) -> Result<Child, CommandError> {
        let mut command = std::process::Command::new(&self.program);
        command
            .args(&self.arguments)
            // Variables such as PGOPTIONS or PGSERVICE of whoever runs us must not steer a tool.
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(if matches!(input, Input::None) { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A terminal's Ctrl-C goes to us alone; we decide when the child ends.
            .process_group(0);
        if let Some(identity) = self.identity {
            command.gid(identity.gid).uid(identity.uid);
        }
        command
            .spawn()
            .map_err(|source| CommandError::Run { program: self.program.clone(), source })
    }

    /// Ends the child when the user asks for it or its time is over, until `done` is hung up.
    fn watch(
        &self,
        done: Receiver<()>,
        started: Instant,
        interrupt: &Interrupt,
        fail: &dyn Fn(Cause),
    ) {
        while done.recv_timeout(WATCH_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            if let Some(cause) = self.overdue(started, interrupt) {
                fail(cause);
            }
        }
    }

    fn overdue(&self, started: Instant, interrupt: &Interrupt) -> Option<Cause> {
        if interrupt.is_raised() {
            return Some(Cause::Interrupted);
        }
        self.limit.is_some_and(|limit| started.elapsed() > limit).then_some(Cause::TooLong)
    }

    /// Waits for a child that has closed its output, which does not mean that it has ended.
    fn reap(
        &self,
        child: &mut Child,
        started: Instant,
        interrupt: &Interrupt,
        fail: &dyn Fn(Cause),
    ) -> Result<ExitStatus, CommandError> {
        loop {
            let ended = child
                .try_wait()
                .map_err(|source| CommandError::Run { program: self.program.clone(), source })?;
            if let Some(status) = ended {
                return Ok(status);
            }
            if let Some(cause) = self.overdue(started, interrupt) {
                fail(cause);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn error(&self, cause: Cause) -> CommandError {
        let program = self.program.clone();
        match cause {
            Cause::Interrupted => CommandError::Interrupted,
            Cause::TooLong => {
                CommandError::TooLong { program, limit: self.limit.unwrap_or_default() }
            }
            Cause::Stream(verb, source) => CommandError::Stream { verb, program, source },
        }
    }
}

/// Keeps what it is given up to a bound, and fails beyond.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(io::Error::other(format!("more than {} bytes", self.bytes_max)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn feed(input: Input<'_>, stdin: &mut dyn Write) -> io::Result<()> {
    match input {
        Input::None => Ok(()),
        Input::Bytes(bytes) => survive_closed(stdin.write_all(bytes)),
        Input::Stream(stream) => {
            let mut buffer = vec![0; COPY_BYTES];
            loop {
                let n_bytes = stream.read(&mut buffer)?;
                if n_bytes == 0 {
                    return Ok(());
                }
                let written = stdin.write_all(&buffer[..n_bytes]);
                if written.is_err() {
                    return survive_closed(written);
                }
            }
        }
    }
}

/// A child that ends without reading everything says why by its exit status, which is checked.
fn survive_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn pass_on(stdout: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match stdout.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n_bytes) => output.write_all(&buffer[..n_bytes])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads all and keeps the last of it.
fn tail(mut stderr: impl Read) -> String {
    let mut kept = VecDeque::new();
    let mut buffer = [0; 1024];
    while let Ok(n_bytes) = stderr.read(&mut buffer) {
        if n_bytes == 0 {
            break;
        }
        kept.extend(&buffer[..n_bytes]);
        let n_excess = kept.len().saturating_sub(STDERR_BYTES_MAX);
        kept.drain(..n_excess);
    }
    String::from_utf8_lossy(kept.make_contiguous()).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        Command::new("/bin/sh", ["-c", script])
    }

    #[test]
    fn what_a_child_writes_arrives() {
        let output = shell("cat; echo done").read(Input::Bytes(b"x"), 100, &Interrupt::default());
        assert_eq!(output.unwrap(), b"xdone\n");
    }

    #[test]
    fn a_failing_child_is_an_error_with_its_last_words() {
        let error = shell("echo partial; echo no disk >&2; exit 7")
            .read(Input::None, 100, &Interrupt::default())
            .unwrap_err();
        assert_eq!(error.to_string(), "/bin/sh ended with exit status: 7: no disk");
    }

    #[test]
    fn a_program_that_does_not_exist_is_named() {
        let error = Command::new("/nonexistent/tool", [""; 0])
            .read(Input::None, 1, &Interrupt::default())
            .unwrap_err();
        assert_eq!(error.to_string(), "cannot run /nonexistent/tool");
    }

    #[test]
    fn a_child_whose_input_breaks_never_sees_its_end() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("damaged"));
                }
                buffer[0] = b'x';
                Ok(1)
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let mark = directory.path().join("took-it-for-whole");
        let script = format!("cat > /dev/null; touch {}", mark.display());
        let error = shell(&script)
            .read(Input::Stream(&mut Broken(false)), 1, &Interrupt::default())
            .unwrap_err();
        assert!(matches!(error, CommandError::Stream { verb: "feed", .. }), "{error}");
        assert!(!mark.exists());
    }

    #[test]
    fn a_child_that_outlives_its_limit_is_killed_with_its_children() {
        let mut command = shell("sleep 60 & sleep 60");
        command.limit = Some(Duration::from_millis(100));
        let started = Instant::now();
        let error = command.read(Input::None, 1, &Interrupt::default()).unwrap_err();
        assert!(matches!(error, CommandError::TooLong { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn an_interrupt_ends_a_child() {
        let interrupt = Interrupt::default();
        interrupt.raise();
        let error = shell("sleep 60").read(Input::None, 1, &interrupt).unwrap_err();
        assert!(matches!(error, CommandError::Interrupted), "{error}");
    }

    #[test]
    fn a_reader_that_fails_ends_the_child() {
        let error = shell("yes").read(Input::None, 1000, &Interrupt::default()).unwrap_err();
        assert!(matches!(error, CommandError::Stream { verb: "read", .. }), "{error}");
    }
}
