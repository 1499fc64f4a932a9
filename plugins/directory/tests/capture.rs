//! What a snapshot holds, and what it does not read again.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use super::*;
use crate::conformance::Fault;
use crate::tree::{Entry, Node};
use crate::{Capture, Changing, ContentWriter, Cut, Previous, Unreadable};

/// Takes a snapshot whose keys are all trusted, which takes until the tree is older than the racy limit.
fn with_trusted_hints(unit: &Unit) -> Tape {
    // The one wait of these tests: nobody but the kernel sets a time of change.
    let deadline = SystemTime::now() + Duration::from_secs(8);
    loop {
        let tape = snapshot(unit);
        let keys: Vec<&[u8]> = tape.hints().chunks(16).collect();
        assert_eq!(keys.len(), tape.entries().count());
        let link = |entry: &Entry| matches!(entry.node, Node::HardLink(_));
        let trusted = |(key, entry): (&&[u8], &Entry)| link(entry) || key.iter().any(|&b| b != 0);
        if keys.iter().zip(tape.entries()).all(trusted) {
            return tape;
        }
        assert!(SystemTime::now() < deadline, "keys are never trusted");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn entries_come_in_the_order_of_tree_paths() {
    let unit = Unit::created();
    for name in ["a", "a-b", "a.b", "a b", "b"] {
        fs::create_dir(unit.file(name)).unwrap();
        write(unit.file(name).join("b"), b"x");
    }
    // The recorder refuses what does not come in order.
    let tape = snapshot(&unit);
    let paths: Vec<String> = tape.entries().map(|entry| entry.path.to_string()).collect();
    let expected = ["", "a", "a/b", "a b", "a b/b", "a-b", "a-b/b", "a.b", "a.b/b", "b", "b/b"];
    assert_eq!(paths, expected);
}

#[test]
fn unchanged_files_are_not_read_again() {
    let unit = Unit::created();
    fs::create_dir(unit.file("d")).unwrap();
    for name in ["d/a", "b", "c", "e"] {
        write(unit.file(name), name.as_bytes());
    }
    fs::hard_link(unit.file("b"), unit.file("z")).unwrap();
    symlink("b", unit.file("link")).unwrap();
    let first = with_trusted_hints(&unit);
    assert_eq!(first.n_contents_written(), 4);

    let second = snapshot_after(&unit, &first);
    assert_eq!(second.n_contents_written(), 0);
    assert_eq!(second.identity(), first.identity());

    write(unit.file("c"), b"C");
    fs::set_permissions(unit.file("e"), fs::Permissions::from_mode(0o600)).unwrap();
    write(unit.file("d/new"), b"new");
    fs::remove_file(unit.file("b")).unwrap();
    let third = snapshot_after(&unit, &second);
    // c and the new file; e, whose mode changed, and z, which lost a name, may be read again.
    assert_eq!(third.n_contents_written(), 4);
    assert_eq!(third.identity(), snapshot(&unit).identity());
}

#[test]
fn a_young_file_is_read_again_even_where_nothing_shows() {
    let unit = Unit::created();
    write(unit.file("a"), b"a");
    let first = snapshot(&unit);
    assert!(first.hints().iter().all(|&byte| byte == 0), "young files have no key");
    assert_eq!(snapshot_after(&unit, &first).n_contents_written(), 1);
}

#[test]
fn a_file_from_the_future_is_never_trusted() {
    let unit = Unit::created();
    let file = File::create(unit.file("a")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(1000)).unwrap();
    let first = snapshot(&unit);
    assert!(first.hints()[16..].iter().all(|&byte| byte == 0));
}

#[test]
fn a_name_that_became_another_kind_of_thing_is_seen() {
    let unit = Unit::created();
    write(unit.file("a"), b"a");
    fs::create_dir(unit.file("b")).unwrap();
    let first = with_trusted_hints(&unit);
    fs::remove_file(unit.file("a")).unwrap();
    fs::create_dir(unit.file("a")).unwrap();
    fs::remove_dir(unit.file("b")).unwrap();
    symlink("a", unit.file("b")).unwrap();
    assert_eq!(snapshot_after(&unit, &first).identity(), snapshot(&unit).identity());
}

#[test]
fn sockets_are_left_out() {
    let unit = Unit::created();
    let _listener = UnixListener::bind(unit.file("socket")).unwrap();
    write(unit.file("file"), b"x");
    let tape = snapshot(&unit);
    assert_eq!(tape.entries().count(), 2);
    assert!(tape.warnings().is_empty());
}

#[test]
fn a_mount_point_is_recorded_and_warned_of() {
    let unit = Unit::created();
    fs::create_dir(unit.file("mnt")).unwrap();
    fs::create_dir(unit.outside("other")).unwrap();
    write(unit.outside("other").join("inside"), b"x");
    let mount = Bind::new(&unit.outside("other"), &unit.file("mnt"));
    let tape = snapshot(&unit);
    let refused = stage(&unit, &tape).unwrap_err();
    let garbage = unit.open().collect_garbage().unwrap_err();
    drop(mount);
    assert_eq!(tape.entries().count(), 2);
    assert!(tape.warnings()[0].contains("mnt is a mount point"), "{:?}", tape.warnings());
    assert!(matches!(refused, Error::Refused { .. }), "{refused}");
    assert!(matches!(garbage, Error::Refused { .. }), "{garbage}");
    assert!(unit.outside("other/inside").exists());
}

/// A bind mount for one test.
struct Bind(PathBuf);

impl Bind {
    fn new(from: &Path, to: &Path) -> Self {
        run("mount", &["--bind".as_ref(), from.as_os_str(), to.as_os_str()]);
        Self(to.to_owned())
    }
}

impl Drop for Bind {
    fn drop(&mut self) {
        run("umount", &[self.0.as_os_str()]);
    }
}

fn run(tool: &str, arguments: &[&OsStr]) {
    let mut child = std::process::Command::new(tool).args(arguments).spawn().unwrap();
    assert!(child.wait().unwrap().success(), "{tool} {arguments:?}");
}

/// Changes a file each time some of it was written down.
struct Tearing<'a> {
    inner: Recorder<'a>,
    file: PathBuf,
    tears: AtomicBool,
    once: bool,
}

impl Capture for Tearing<'_> {
    fn content(&self, cut: Cut) -> std::io::Result<Box<dyn ContentWriter + '_>> {
        if self.tears.load(Ordering::Relaxed) {
            let file = File::options().append(true).open(&self.file)?;
            let length = file.metadata()?.len();
            file.write_all_at(b"+", length)?;
            self.tears.store(!self.once, Ordering::Relaxed);
        }
        self.inner.content(cut)
    }
    fn entry(&self, entry: Entry) -> std::io::Result<()> {
        self.inner.entry(entry)
    }
    fn attribute(&self, name: &str, value: &str) -> std::io::Result<()> {
        self.inner.attribute(name, value)
    }
    fn warn(&self, warning: &str) {
        self.inner.warn(warning);
    }
    fn previous(&self) -> std::io::Result<Option<Previous<'_>>> {
        self.inner.previous()
    }
    fn hint(&self, bytes: &[u8]) -> std::io::Result<()> {
        self.inner.hint(bytes)
    }
}

fn torn(once: bool, changing: Changing) -> (Unit, Result<Tape>) {
    let unit = Unit::created();
    write(unit.file("log"), b"line");
    let capture = Tearing {
        inner: Recorder::new(Profile::Posix1),
        file: unit.file("log"),
        tears: AtomicBool::new(true),
        once,
    };
    let options = SnapshotOptions { changing, ..SnapshotOptions::default() };
    let result = unit.open().snapshot(&capture, &options);
    (unit, result.map(|()| capture.inner.finish()))
}

#[test]
fn a_file_that_changes_once_while_it_is_read_is_read_again() {
    let (_unit, tape) = torn(true, Changing::Fail);
    let tape = tape.unwrap();
    assert_eq!(tape.bytes("log").unwrap(), b"line+");
    assert!(tape.warnings().is_empty());
}

#[test]
fn a_file_that_keeps_changing_fails_the_snapshot() {
    let (unit, tape) = torn(false, Changing::Fail);
    let error = tape.unwrap_err();
    assert!(matches!(&error, Error::Changing { path } if *path == unit.file("log")), "{error}");
}

#[test]
fn a_file_that_keeps_changing_is_kept_and_warned_of_where_that_is_allowed() {
    let (_unit, tape) = torn(false, Changing::Allow);
    let tape = tape.unwrap();
    assert!(tape.bytes("log").unwrap().starts_with(b"line+"));
    assert!(tape.warnings()[0].contains("changed while it was read"));
    assert!(tape.hints()[16..].iter().all(|&byte| byte == 0), "such a file is never trusted");
}

/// Runs `act` as a user who may nothing, in a thread: the kernel keeps identities by thread.
fn as_nobody<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let nobody = rustix::process::Uid::from_raw(65534);
            let group = rustix::process::Gid::from_raw(65534);
            rustix::thread::set_thread_res_gid(group, group, group).unwrap();
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            act()
        });
        worker.join().unwrap()
    })
}

fn unreadable_unit() -> Unit {
    let unit = Unit::created();
    fs::create_dir(unit.file("closed")).unwrap();
    write(unit.file("closed/inside"), b"x");
    write(unit.file("secret"), b"secret");
    write(unit.file("z"), b"z");
    for name in ["closed", "secret"] {
        fs::set_permissions(unit.file(name), fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::set_permissions(unit.outside(""), fs::Permissions::from_mode(0o755)).unwrap();
    unit
}

#[test]
fn an_unreadable_file_fails_the_snapshot_and_is_named() {
    let unit = unreadable_unit();
    fs::remove_dir_all(unit.file("closed")).unwrap();
    let error = as_nobody(|| snapshot_with(&unit, SnapshotOptions::default())).unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read {}", unit.file("secret").display()));
}

#[test]
fn an_unreadable_file_is_recorded_and_warned_of_where_that_is_allowed() {
    let unit = unreadable_unit();
    let options = SnapshotOptions { unreadable: Unreadable::Allow, ..SnapshotOptions::default() };
    let tape = as_nobody(|| snapshot_with(&unit, options)).unwrap();
    assert_eq!(tape.entry("secret").unwrap().node, Node::Unreadable);
    assert_eq!(tape.entry("closed").unwrap().node, Node::Directory);
    assert!(tape.entry("closed/inside").is_none());
    assert_eq!(tape.bytes("z").unwrap(), b"z");
    assert_eq!(tape.warnings().len(), 2);
    assert!(tape.warnings().iter().any(|warning| warning.contains("secret cannot be read")));

    let error = stage(&unit, &tape).unwrap_err();
    assert!(matches!(error, Error::Lacking { .. }), "{error}");
    let allow = RestoreOptions { unreadable: Unreadable::Allow };
    let swap = unit.open().stage(&tape.play(), &a_tag(), &allow).unwrap();
    unit.open().swap(&swap).unwrap();
    assert!(!unit.file("secret").exists());
    assert!(unit.file("z").exists());
}

#[test]
fn a_user_without_rights_can_capture_and_restore_what_is_his() {
    let unit = Unit::created();
    write(unit.file("a"), b"a");
    fs::create_dir(unit.file("d")).unwrap();
    write(unit.file("d/b"), b"b");
    rustix::fs::lsetxattr(unit.file("a"), "user.x", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    for (name, mode) in [("d/b", 0o400), ("d", 0o500), ("a", 0o400), ("", 0o755)] {
        fs::set_permissions(unit.file(name), fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(unit.file(name), Some(65534), Some(65534)).unwrap();
    }
    std::os::unix::fs::chown(unit.root(), Some(65534), Some(65534)).unwrap();
    fs::set_permissions(unit.outside(""), fs::Permissions::from_mode(0o755)).unwrap();
    let before = unit.show();
    as_nobody(|| {
        let tape = snapshot(&unit);
        unit.open().collect_garbage().unwrap();
        restore(&unit, &tape);
    });
    assert_eq!(unit.show(), before);
}

#[test]
fn a_sparse_file_is_captured_without_reading_its_holes() {
    let unit = Unit::created();
    let file = File::create(unit.file("sparse")).unwrap();
    file.write_all_at(b"middle", 5 << 20).unwrap();
    file.set_len(16 << 20).unwrap();
    drop(file);
    let tape = round_trip(&unit);
    assert_eq!(tape.bytes("sparse").unwrap().len(), 16 << 20);
    let stat = unit.file("sparse").metadata().unwrap();
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
    let mut bytes = Vec::new();
    File::open(unit.file("sparse")).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(&bytes[5 << 20..][..6], b"middle");
}

#[test]
fn reading_leaves_no_access_times() {
    let unit = Unit::created();
    write(unit.file("a"), b"a");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    let times = fs::FileTimes::new().set_accessed(long_ago);
    File::options().write(true).open(unit.file("a")).unwrap().set_times(times).unwrap();
    snapshot(&unit);
    assert_eq!(unit.file("a").metadata().unwrap().accessed().unwrap(), long_ago);
}

#[test]
fn a_linked_directory_is_captured_and_restored_where_the_link_leads() {
    let unit = Unit::new();
    let plugin = unit.open();
    let target = unit.outside("target");
    fs::create_dir(&target).unwrap();
    write(target.join("a"), b"a");
    symlink(&target, unit.live()).unwrap();
    let tape = snapshot(&unit);
    write(target.join("a"), b"changed");
    let swap = stage(&unit, &tape).unwrap();
    plugin.swap(&swap).unwrap();
    assert_eq!(fs::read(target.join("a")).unwrap(), b"a");
    assert!(unit.live().is_symlink());
}

#[test]
fn a_damaged_last_snapshot_costs_time_only() {
    let unit = Unit::created();
    write(unit.file("a"), b"a");
    let first = with_trusted_hints(&unit);
    struct Damaged<'a>(Recorder<'a>);
    impl Capture for Damaged<'_> {
        fn content(&self, cut: Cut) -> std::io::Result<Box<dyn ContentWriter + '_>> {
            self.0.content(cut)
        }
        fn entry(&self, entry: Entry) -> std::io::Result<()> {
            self.0.entry(entry)
        }
        fn attribute(&self, name: &str, value: &str) -> std::io::Result<()> {
            self.0.attribute(name, value)
        }
        fn warn(&self, warning: &str) {
            self.0.warn(warning);
        }
        fn previous(&self) -> std::io::Result<Option<Previous<'_>>> {
            let error = std::iter::once(Err(std::io::Error::other("damaged")));
            Ok(Some(Previous { entries: Box::new(error), hints: Box::new(std::io::empty()) }))
        }
        fn hint(&self, bytes: &[u8]) -> std::io::Result<()> {
            self.0.hint(bytes)
        }
    }
    let capture = Damaged(Recorder::new(Profile::Posix1));
    unit.open().snapshot(&capture, &SnapshotOptions::default()).unwrap();
    let tape = capture.0.finish();
    assert_eq!(tape.identity(), first.identity());
    assert!(tape.warnings()[0].contains("damaged"));
}

#[test]
fn a_full_store_is_not_taken_for_an_unreadable_file() {
    let unit = Unit::created();
    write(unit.file("a"), b"a");
    let recorder = Recorder::new(Profile::Posix1).with(Fault::Failure, 0);
    let options = SnapshotOptions { unreadable: Unreadable::Allow, ..SnapshotOptions::default() };
    let error = unit.open().snapshot(&recorder, &options).unwrap_err();
    assert_eq!(error.to_string(), "cannot write the snapshot");
}
