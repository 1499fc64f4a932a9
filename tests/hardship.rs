//! Full disks, signals, damage, hostile bundles, little memory: the real program when things go wrong.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::sandbox::{Sandbox, entries, run};
use crate::support::store::noise;

/// How long to wait for a program to get somewhere. It takes a fraction of it on any machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(60);
/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// A small file system of its own, gone with the value.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(path: PathBuf, size: &str) -> Self {
        fs::create_dir_all(&path).unwrap();
        let options = format!("size={size},mode=700");
        let path_text = path.to_str().unwrap().to_owned();
        let mut mount = Command::new("mount");
        let ran = run(mount.args(["-t", "tmpfs", "-o", &options, "tmpfs", &path_text]), &[]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        Self(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily, so that a failed test does not leave it behind.
        run(Command::new("umount").arg("-l").arg(&self.0), &[]);
    }
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < WAIT_MAX, "{what} takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_full_disk_registers_nothing_and_leaves_the_store_whole() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    let _disk = SmallDisk::mount(sandbox.state_dir(), "8m");
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/large", noise(1, 20 << 20));
    let ran = sandbox.run(&["snapshot", &unit]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("No space left on device"), "{}", ran.stderr);
    assert!(ran.stderr.contains("\nhint: "), "{}", ran.stderr);
    assert_eq!(sandbox.succeed(&["generations"]).lines().count(), 2, "a title and one generation");
    let verified = sandbox.succeed(&["verify", "--read-data"]);
    assert!(verified.contains("no problems"), "{verified}");
    fs::remove_file(sandbox.path("www/large")).unwrap();
    sandbox.write("www/small", "fits");
    sandbox.succeed(&["gc"]);
    sandbox.succeed(&["snapshot", &unit]);
}

#[test]
fn a_file_that_cannot_be_read_is_named_and_can_be_allowed() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    let secret = sandbox.write("www/secret", "not for everybody");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(sandbox.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(sandbox.state_dir()).unwrap();
    chown(sandbox.state_dir(), Some(NOBODY), Some(NOBODY)).unwrap();
    // The tester's own folder may be closed to others.
    let program = sandbox.path("dysno");
    fs::copy(env!("CARGO_BIN_EXE_dysno"), &program).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let built = sandbox.command(arguments);
        let mut command = Command::new(&program);
        command.args(arguments).env_clear().uid(NOBODY).gid(NOBODY).current_dir("/");
        for (name, value) in built.get_envs() {
            command.env(name, value.unwrap());
        }
        run(&mut command, &[])
    };
    let ran = as_nobody(&["snapshot", &unit]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("www/secret"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--allow-unreadable"), "{}", ran.stderr);
    assert_eq!(as_nobody(&["generations"]).stdout, b"");

    let ran = as_nobody(&["snapshot", &unit, "--allow-unreadable"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stderr.contains("www/secret"), "{}", ran.stderr);
    let listed = String::from_utf8(as_nobody(&["ls", &unit]).stdout).unwrap();
    assert!(listed.contains("secret"), "{listed}");
}

/// Makes two snapshots that share nothing but a small file; returns the unit and the pack of the second one.
fn two_packs(sandbox: &Sandbox) -> (String, PathBuf) {
    let unit = sandbox.www();
    sandbox.write("www/one", noise(1, 300_000));
    sandbox.succeed(&["snapshot", &unit]);
    let first = sandbox.only_pack();
    fs::remove_file(sandbox.path("www/one")).unwrap();
    sandbox.write("www/two", noise(2, 300_000));
    sandbox.succeed(&["snapshot", &unit]);
    let directories = entries(&sandbox.state_dir().join("packs"));
    let packs: Vec<_> = directories.iter().flat_map(|directory| entries(directory)).collect();
    let second = packs.into_iter().find(|pack| *pack != first).unwrap();
    (unit, second)
}

fn check_damage(damage: impl Fn(&Path)) {
    let sandbox = Sandbox::new();
    let (unit, pack) = two_packs(&sandbox);
    let live = fs::read(sandbox.path("www/two")).unwrap();
    damage(&pack);
    let ran = sandbox.run(&["verify", "--read-data"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    let (first, _) = sandbox.json(&["show", &format!("{unit}@1")]);
    let (second, _) = sandbox.json(&["generations", &unit]);
    let second = second[0]["snapshot"].as_str().unwrap();
    let told = format!("{}{}", String::from_utf8(ran.stdout).unwrap(), ran.stderr);
    assert!(told.contains(&second[..12]), "{told}");
    assert!(!told.contains(&first["snapshot"].as_str().unwrap()[..12]), "{told}");

    let ran = sandbox.run(&["restore", &format!("{unit}@2"), "--yes", "--no-safety-snapshot"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains(&second[..12]), "{}", ran.stderr);
    assert_eq!(fs::read(sandbox.path("www/two")).unwrap(), live, "the live state is as it was");

    let ran = sandbox.run(&["restore", &format!("{unit}@1"), "--yes", "--no-safety-snapshot"]);
    assert!(matches!(ran.code, Some(0 | 3)), "{}", ran.stderr);
    assert_eq!(fs::read(sandbox.path("www/one")).unwrap(), noise(1, 300_000));
}

#[test]
fn a_truncated_pack_takes_its_own_snapshot_only() {
    check_damage(|pack| {
        let bytes = fs::read(pack).unwrap();
        fs::remove_file(pack).unwrap();
        fs::write(pack, &bytes[..5000]).unwrap();
    });
}

#[test]
fn a_flipped_bit_takes_its_own_snapshot_only() {
    check_damage(|pack| {
        let mut bytes = fs::read(pack).unwrap();
        bytes[100_000] ^= 4;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bytes).unwrap();
    });
}

#[test]
fn a_missing_pack_takes_its_own_snapshot_only() {
    check_damage(|pack| fs::remove_file(pack).unwrap());
}

#[test]
fn a_hostile_bundle_writes_nothing() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    let good = sandbox.run(&["export", &unit, "-o", "-"]).stdout;
    let victim = sandbox.write("victim", "precious");
    let names: [&[u8]; 4] = [b"../victim", b"packs/../../victim", b"store/../victim", b"victim"];
    for name in names {
        for kind in [tar::EntryType::Regular, tar::EntryType::Symlink, tar::EntryType::Link] {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name);
            header.set_entry_type(kind);
            header.set_mode(0o644);
            header.set_size(0);
            header.set_link_name(&victim).unwrap();
            header.set_cksum();
            // Before its two blocks of zeros, where the good bundle ends.
            let mut bundle = good[..good.len() - 1024].to_vec();
            bundle.write_all(header.as_bytes()).unwrap();
            bundle.extend_from_slice(&[0; 1024]);
            let other = Sandbox::new();
            let ran = run(&mut other.command(&["import", "-"]), &bundle);
            assert_eq!(ran.code, Some(1), "{kind:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("cannot import"), "{kind:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("victim"), "{kind:?}: {}", ran.stderr);
            assert_eq!(other.succeed(&["generations"]), "");
            assert_eq!(fs::read(&victim).unwrap(), b"precious");
        }
    }
}

/// Starts a snapshot of a large file and returns when the program is in the middle of it.
fn in_the_middle_of_a_snapshot(sandbox: &Sandbox) -> (Child, String) {
    let unit = sandbox.www();
    sandbox.succeed(&["snapshot", &unit]);
    sandbox.write("www/large", noise(1, 400 << 20));
    let mut command = sandbox.command(&["snapshot", &unit]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let tmp = sandbox.state_dir().join("tmp");
    let has_written = |session: &PathBuf| {
        let files = fs::read_dir(session).into_iter().flatten().flatten();
        files.map(|file| file.metadata().map_or(0, |m| m.len())).sum::<u64>() > 1 << 20
    };
    wait_until("a snapshot", || entries(&tmp).iter().any(has_written));
    (child, unit)
}

pub(crate) fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn an_interrupt_leaves_only_garbage() {
    let sandbox = Sandbox::new();
    let (child, _) = in_the_middle_of_a_snapshot(&sandbox);
    signal(&child, Signal::INT);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("interrupted"), "{stderr}");
    assert_eq!(entries(&sandbox.state_dir().join("tmp")).len(), 0);
    assert_eq!(sandbox.succeed(&["generations"]).lines().count(), 2, "a title and one generation");
    sandbox.succeed(&["gc"]);
    assert!(sandbox.succeed(&["verify", "--read-data"]).contains("no problems"));
    sandbox.only_pack();
}

#[test]
fn a_kill_leaves_only_garbage() {
    let sandbox = Sandbox::new();
    let (mut child, unit) = in_the_middle_of_a_snapshot(&sandbox);
    signal(&child, Signal::KILL);
    child.wait().unwrap();
    assert_eq!(sandbox.succeed(&["generations"]).lines().count(), 2, "a title and one generation");
    assert_eq!(entries(&sandbox.state_dir().join("tmp")).len(), 0);
    sandbox.succeed(&["gc"]);
    sandbox.only_pack();
    sandbox.succeed(&["snapshot", &unit]);
    assert!(sandbox.succeed(&["verify", "--read-data"]).contains("no problems"));
}

#[test]
fn two_snapshots_of_one_unit_at_once_do_not_meet() {
    let sandbox = Sandbox::new();
    let (child, unit) = in_the_middle_of_a_snapshot(&sandbox);
    let ran = sandbox.run(&["snapshot", &unit]);
    assert_eq!(ran.code, Some(6), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("process {}", child.id())), "{}", ran.stderr);
    assert!(child.wait_with_output().unwrap().status.success());
    assert_eq!(sandbox.succeed(&["generations"]).lines().count(), 3, "a title and two generations");
}

/// Runs the program and returns the most memory that it had.
fn peak_bytes(sandbox: &Sandbox, arguments: &[&str]) -> u64 {
    let mut command = sandbox.command(arguments);
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    wait_until("a command", || {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = kib.unwrap_or(peak_kib).max(peak_kib);
        child.try_wait().unwrap().is_some()
    });
    assert!(child.wait().unwrap().success());
    peak_kib << 10
}

#[test]
fn a_large_state_needs_little_memory() {
    let sandbox = Sandbox::new();
    let unit = sandbox.www();
    // Many chunks, many files, and more bytes than the promised memory.
    sandbox.write("www/large", noise(1, 300 << 20));
    fs::File::create(sandbox.path("www/sparse")).unwrap().set_len(2 << 30).unwrap();
    for directory in 0..20 {
        for file in 0..500 {
            sandbox.write(&format!("www/many/{directory}/{file}"), file.to_string());
        }
    }
    let limit = 200 << 20;
    let snapshot = peak_bytes(&sandbox, &["snapshot", &unit]);
    assert!(snapshot < limit, "snapshot: {snapshot} bytes");
    let restore = peak_bytes(&sandbox, &["restore", &unit, "--yes", "--no-safety-snapshot"]);
    assert!(restore < limit, "restore: {restore} bytes");
}
