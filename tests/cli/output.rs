//! Where output goes, and what happens when it cannot go there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::support::sandbox::{Sandbox, run};

#[test]
fn a_reader_that_has_gone_ends_a_command_quietly() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.write("www/large", vec![b'x'; 1 << 20]);
    sandbox.succeed(&["snapshot", &unit]);
    let commands: [&[&str]; 8] = [
        &["units"],
        &["ls", &unit],
        &["ls", &unit, "--json"],
        &["cat", &unit, "large"],
        &["export", &unit, "-o", "-"],
        &["completions", "bash"],
        &["diff", &unit, &unit],
        &["--help"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut child =
            sandbox.command(arguments).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let status = child.wait().unwrap();
        assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn work_goes_on_when_nobody_listens_any_more() {
    let sandbox = Sandbox::new();
    let units: Vec<_> =
        (0..100).map(|n| format!("directory:{}", sandbox.text(&format!("unit-{n}")))).collect();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut arguments = vec!["activate".to_owned()];
    arguments.extend(units);
    let status = sandbox.command(&arguments).stdout(writer).spawn().unwrap().wait().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!((0..100).all(|n| sandbox.path(&format!("unit-{n}")).is_dir()));
}

#[test]
fn a_failure_is_told_though_nobody_reads_the_output() {
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = sandbox.command(&["show", "directory:/none", "--json"]);
    let child = command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.starts_with(b"dysno: cannot find a generation"));
}

#[test]
fn a_full_disk_is_a_failure() {
    let sandbox = Sandbox::new();
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut command = sandbox.command(&["plugins"]);
    let child = command.stdout(full).stderr(Stdio::piped()).spawn().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("dysno: cannot write to the standard output\n"), "{stderr}");
}

#[test]
fn quiet_says_nothing_of_what_went_well() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    assert_eq!(sandbox.succeed(&["-q", "snapshot", &unit]), "");
    assert_ne!(sandbox.succeed(&["-q", "generations"]), "");
    let mut command = sandbox.command(&["snapshot", &unit]);
    assert_eq!(run(command.env("DYSNO_LOG", "quiet"), &[]).stdout, b"");
}

#[test]
fn verbose_tells_of_each_step() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    let ran = sandbox.run(&["snapshot", &unit, "-v"]);
    assert!(ran.stderr.starts_with(&format!("capturing {unit}\n")), "{}", ran.stderr);
    let ran = sandbox.run(&["snapshot", &unit, "-vv"]);
    assert!(ran.stderr.contains("debug: the state directory is "), "{}", ran.stderr);
    let ran = sandbox.run(&["snapshot", &unit, "--progress", "always"]);
    assert!(ran.stderr.contains(&format!("capturing {unit}\n")), "{}", ran.stderr);
}

#[test]
fn what_would_command_a_terminal_is_escaped() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.write("www/\u{1b}[2J", "");
    sandbox.succeed(&["snapshot", &unit, "--reason", "\u{1b}[31m"]);
    for command in [&["generations"][..], &["ls", &unit], &["show", &unit]] {
        let text = sandbox.succeed(command);
        assert!(!text.contains('\u{1b}'), "{text:?}");
        assert!(text.contains("\\u{1b}["), "{text:?}");
    }
}

/// Starts a restore on a terminal and waits until it asks; returns it and the user's side of the terminal.
fn restore_on_a_terminal(sandbox: &Sandbox, unit: &str) -> (Child, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave = File::options().read(true).write(true).open(name.to_str().unwrap()).unwrap();
    let mut terminal = File::from(master);
    let child = sandbox
        .command(&["restore", &format!("{unit}@1")])
        .stdin(slave.try_clone().unwrap())
        .stderr(slave)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut shown = String::new();
    while !shown.contains("? [y/N] ") {
        let mut buffer = [0; 1024];
        let n = terminal.read(&mut buffer).unwrap();
        shown.push_str(str::from_utf8(&buffer[..n]).unwrap());
    }
    assert!(shown.starts_with("replace the state of directory:"), "{shown}");
    (child, terminal)
}

#[test]
fn on_a_terminal_only_a_yes_is_a_yes() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/index.html", "live\n");
    let answer = |answer: &str| {
        let (mut child, mut terminal) = restore_on_a_terminal(&sandbox, &unit);
        terminal.write_all(answer.as_bytes()).unwrap();
        child.wait().unwrap().code()
    };
    for no in ["\n", "n\n", "yess\n"] {
        assert_eq!(answer(no), Some(2), "{no:?}");
        assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"live\n");
    }
    assert_eq!(answer("y\n"), Some(0));
    assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"hello\n");
}

#[test]
fn ctrl_c_at_the_question_ends_the_program() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/index.html", "live\n");
    let (mut child, _terminal) = restore_on_a_terminal(&sandbox, &unit);
    // The terminal is not the child's controlling one, so the signal comes by hand.
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (None, Some(Signal::INT.as_raw())));
    assert_eq!(fs::read(sandbox.path("www/index.html")).unwrap(), b"live\n");
}
