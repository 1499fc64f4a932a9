//! What must hold when more goes wrong than a crash: lost and damaged files, hostile bundles, sessions in each other's way.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dysno::host::{Config, Host, Keep};
use dysno::ops::{self, CollectRequest, Depth, RestoreRequest, Safety};
use dysno::store::{
    Access, Error as StoreError, IntoStore, Kind, ObjectKey, Placement, Root, Session, WriteTo,
    encode_bundle_head,
};
use jiff::SignedDuration;
use plugins::tree::{Content, Digest, Profile};
use plugins::{Cut, RestoreOptions, UnitAddress};

use crate::support::faulty::{Fault, FaultyDisk};
use crate::support::host::{self, Recorder};
use crate::support::store::{Bench, noise};

struct Scene {
    directory: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { directory: tempfile::tempdir_in("/var/tmp").unwrap() };
        fs::create_dir(scene.path("live")).unwrap();
        scene
    }
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
    fn unit(&self) -> UnitAddress {
        host::directory(&self.path("live"))
    }
    fn host(&self) -> Host {
        host::open(&self.path("state"))
    }
    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path("live").join(name), bytes).unwrap();
    }
    fn lose_index(&self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(self.path("state").join(format!("index.sqlite{suffix}")));
        }
    }
    fn lose_hints(&self) {
        for entry in fs::read_dir(self.path("state/cache")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
    fn packs(&self) -> Vec<PathBuf> {
        let host = self.host();
        host.store.pack_names().unwrap().iter().map(|name| host.store.pack_path(name)).collect()
    }
}

fn restore(host: &Host, unit: &UnitAddress, number: u64) -> ops::Result<()> {
    let request = RestoreRequest {
        unit: unit.clone(),
        selected: ops::select_all(host, &[format!("{unit}@{number}")], &Recorder::default())?
            .remove(0),
        safety: Safety::Skip,
        options: RestoreOptions::default(),
    };
    ops::restore(host, &request, &Recorder::default()).map(|_| ())
}

fn damage(path: &Path, at: u64, xor: u8) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o600);
    fs::set_permissions(path, permissions).unwrap();
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ xor], at).unwrap();
}

/// Hints: an unchanged file is taken from the last snapshot although its chunks are no longer in the store.
#[test]
fn a_snapshot_that_is_acknowledged_has_all_its_objects_even_where_a_pack_was_lost() {
    let scene = Scene::new();
    scene.write("old", noise(1, 700_000));
    let host = scene.host();
    let unit = scene.unit();
    host::snapshot(&host, &unit).unwrap();
    let first = scene.packs();
    std::thread::sleep(Duration::from_millis(3300));
    scene.write("new", "1");
    host::snapshot(&host, &unit).unwrap();
    fs::remove_file(&first[0]).unwrap();
    // The live file is whole: this snapshot could store it again.
    scene.write("new", "2");
    let taken = host::snapshot(&host, &unit).unwrap();
    let recorder = Recorder::default();
    let selected = ops::select(&host, &format!("{unit}@{}", taken.generation)).unwrap();
    let problems = ops::verify(&host, &[selected], Depth::Structure, &recorder).unwrap().problems;
    assert_eq!(problems, [], "generation {} was acknowledged", taken.generation);
}

/// The manifest of the last snapshot is in the pack that was lost.
#[test]
fn a_new_snapshot_is_possible_where_the_last_ones_manifest_is_lost() {
    let scene = Scene::new();
    scene.write("a", "one");
    let host = scene.host();
    host::snapshot(&host, &scene.unit()).unwrap();
    fs::remove_file(&scene.packs()[0]).unwrap();
    host::snapshot(&host, &scene.unit()).unwrap();
}

/// The same bytes make the same pack, whose name a damaged file has.
#[test]
fn a_damaged_pack_is_not_taken_for_the_new_one_of_its_name() {
    let scene = Scene::new();
    scene.write("a", "one");
    let unit = scene.unit();
    host::snapshot(&scene.host(), &unit).unwrap();
    damage(&scene.packs()[0], 120, 1);
    scene.lose_index();
    scene.lose_hints();
    let taken = host::snapshot(&scene.host(), &unit).unwrap();
    restore(&scene.host(), &unit, taken.generation).unwrap();
}

fn tar(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Makes the packs that hold some objects, as members of a bundle.
fn packs_of(objects: &[(ObjectKey, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    let session = bench.session();
    let destination =
        IntoStore { store: &bench.store, catalog: bench.catalog(), placement: Placement::New };
    let write_to = WriteTo {
        destination: &destination,
        session: &session,
        compression: 3,
        interrupt: &bench.interrupt,
    };
    write_to
        .run(|writer| {
            for (key, bytes) in objects {
                writer.put(*key, bytes)?;
            }
            Ok::<(), StoreError>(())
        })
        .unwrap();
    let member = |name: &Digest| {
        (format!("packs/{name}.pack"), fs::read(bench.store.pack_path(name)).unwrap())
    };
    bench.store.pack_names().unwrap().iter().map(member).collect()
}

fn list(level: u8, pairs: &[(Digest, u64)]) -> Vec<u8> {
    let mut bytes = vec![level];
    for (id, size) in pairs {
        bytes.extend_from_slice(&id.0);
        bytes.extend_from_slice(&size.to_le_bytes());
    }
    bytes
}

/// A file object is named by the content that it claims to list, and nobody checks that it does.
#[test]
fn an_imported_bundle_cannot_spoil_a_later_snapshot() {
    let scene = Scene::new();
    let bytes = noise(5, 700_000);
    scene.write("a", &bytes);
    let key = |kind, id| ObjectKey { kind, id };
    let wrong = b"something else".to_vec();
    let lie = list(0, &[(Digest::of(&wrong), wrong.len() as u64)]);
    let mut members = vec![("dysno-bundle".to_owned(), encode_bundle_head(0).into_bytes())];
    members.extend(packs_of(&[
        (key(Kind::File, Digest::of(&bytes)), lie),
        (key(Kind::Chunk, Digest::of(&wrong)), wrong),
    ]));
    let host = scene.host();
    // Whether it is refused or not.
    let imported = ops::import(&host, &mut &tar(&members)[..], &Recorder::default());
    println!("{imported:?}");
    let taken = host::snapshot(&host, &scene.unit()).unwrap();
    let problems = ops::verify(&host, &[], Depth::Data, &Recorder::default()).unwrap().problems;
    println!("verify --read-data finds {problems:?}");
    restore(&host, &scene.unit(), taken.generation).unwrap();
}

/// A root file with a number that the index cannot hold becomes durable before its row is refused.
#[test]
fn a_bundle_with_an_absurd_number_does_not_stop_all_commands() {
    let scene = Scene::new();
    scene.write("a", "one");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = host::open(elsewhere.path());
    let taken = host::snapshot(&other, &scene.unit()).unwrap();
    let root = ops::select(&other, &taken.snapshot.to_string()).unwrap().root;
    let root = Root { stored_bytes: u64::MAX, ..root };
    let mut members = vec![("dysno-bundle".to_owned(), encode_bundle_head(1).into_bytes())];
    for name in other.store.pack_names().unwrap() {
        let bytes = fs::read(other.store.pack_path(&name)).unwrap();
        members.push((format!("packs/{name}.pack"), bytes));
    }
    members.push((format!("store/{}", root.file_name()), root.encode().into_bytes()));
    let host = scene.host();
    let imported = ops::import(&host, &mut &tar(&members)[..], &Recorder::default());
    println!("{imported:?}");
    host::snapshot(&host, &scene.unit()).unwrap();
}

/// All lists below a list are decoded at once.
#[test]
fn a_small_bundle_cannot_take_all_memory() {
    let high_water = || -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let chunk = b"x".to_vec();
    let inner = list(0, &vec![(Digest::of(&chunk), 1); 100_000]);
    let outer = list(1, &vec![(Digest::of(&inner), 100_000); 200]);
    let id = Digest::of(b"a bomb");
    let members = packs_of(&[
        (ObjectKey { kind: Kind::Chunk, id: Digest::of(&chunk) }, chunk),
        (ObjectKey { kind: Kind::List, id: Digest::of(&inner) }, inner),
        (ObjectKey { kind: Kind::File, id }, outer),
    ]);
    let root = Root {
        snapshot: id,
        unit: "directory:/x".to_owned(),
        profile: Profile::Posix1,
        manifest_bytes: 20_000_000,
        entries: 1,
        size_bytes: 1,
        stored_bytes: 1,
    };
    let mut all = vec![("dysno-bundle".to_owned(), encode_bundle_head(1).into_bytes())];
    all.extend(members);
    all.push((format!("store/{}", root.file_name()), root.encode().into_bytes()));
    let bundle = tar(&all);
    let scene = Scene::new();
    let before = high_water();
    ops::import(&scene.host(), &mut &bundle[..], &Recorder::default()).unwrap_err();
    let grown = (high_water() - before) >> 10;
    assert!(grown < 200, "{grown} MiB for a bundle of {} KiB", bundle.len() >> 10);
}

/// A file whose bytes are another snapshot's manifest makes that snapshot count as marked.
#[test]
fn gc_keeps_a_snapshot_whose_manifest_is_also_a_file_somewhere() {
    let scene = Scene::new();
    scene.write("v", noise(3, 50_000));
    let host = scene.host();
    let victim = host::snapshot(&host, &scene.unit()).unwrap();
    let root = ops::select(&host, &victim.snapshot.to_string()).unwrap().root;
    let bench = Bench::open(&scene.path("state"));
    let content = Content { size_bytes: root.manifest_bytes, digest: root.snapshot };
    let manifest = bench.read(&content).unwrap();
    drop(bench);
    fs::create_dir(scene.path("attacker")).unwrap();
    fs::write(scene.path("attacker/m"), &manifest).unwrap();
    for nonce in 0.. {
        fs::write(scene.path("attacker/n"), format!("{nonce}")).unwrap();
        let taken = host::snapshot(&host, &host::directory(&scene.path("attacker"))).unwrap();
        if taken.snapshot < victim.snapshot {
            break;
        }
    }
    ops::gc(&host, &CollectRequest::default(), &Recorder::default()).unwrap();
    restore(&host, &scene.unit(), victim.generation).unwrap();
}

/// A generation whose root file is missing is damage that can be mended, until gc frees what it needs.
#[test]
fn gc_frees_nothing_where_a_generation_lacks_its_root_file() {
    let scene = Scene::new();
    scene.write("a", noise(1, 100_000));
    let host = scene.host();
    let taken = host::snapshot(&host, &scene.unit()).unwrap();
    let root = ops::select(&host, &taken.snapshot.to_string()).unwrap().root;
    fs::remove_file(scene.path("state/store").join(root.file_name())).unwrap();
    let collected = ops::gc(&host, &CollectRequest::default(), &Recorder::default());
    assert_eq!(scene.packs().len(), 1, "{collected:?}");
}

/// store-format.md, 4.2 and 9: blocks are found by the footer as well, and a damaged block damages only its own objects.
#[test]
fn one_damaged_block_header_leaves_the_other_blocks_to_a_rebuilt_index() {
    let directory = tempfile::tempdir().unwrap();
    let (a, b) = (noise(1, 6 << 20), noise(2, 1 << 20));
    let (names, pack) = {
        let bench = Bench::open(directory.path());
        let (names, _) = bench.write(&[&a, &b], Cut::Tree).unwrap();
        let pack = bench.store.pack_path(&bench.store.pack_names().unwrap()[0]);
        (names, pack)
    };
    damage(&pack, 8, 1);
    {
        let bench = Bench::open(directory.path());
        assert!(bench.read(&names[1]).unwrap() == b, "with the index it can be read");
    }
    fs::remove_file(directory.path().join("index.sqlite")).unwrap();
    let bench = Bench::open(directory.path());
    println!("{:?}", bench.differences);
    assert!(bench.read(&names[1]).unwrap() == b);
}

/// What a disk with a bad sector gives: an error of the read. A directory in the pack's place gives one too.
#[test]
fn one_unreadable_pack_leaves_other_snapshots_and_new_ones_possible() {
    let scene = Scene::new();
    scene.write("a", "one");
    let unit = scene.unit();
    host::snapshot(&scene.host(), &unit).unwrap();
    let pack = scene.packs().remove(0);
    fs::remove_file(&pack).unwrap();
    fs::create_dir(&pack).unwrap();
    let checked = ops::verify(&scene.host(), &[], Depth::Data, &Recorder::default());
    println!("verify with the index: {:?}", checked.map(|verified| verified.problems));
    scene.lose_index();
    fs::create_dir(scene.path("other")).unwrap();
    host::snapshot(&scene.host(), &host::directory(&scene.path("other"))).unwrap();
}

/// store-format.md, 5: an index that SQLite calls damaged is thrown away and built anew.
#[test]
fn an_index_with_damaged_pages_is_built_anew() {
    let scene = Scene::new();
    scene.write("a", "one");
    host::snapshot(&scene.host(), &scene.unit()).unwrap();
    let index = scene.path("state/index.sqlite");
    let length = fs::metadata(&index).unwrap().len();
    let file = fs::File::options().write(true).open(&index).unwrap();
    file.write_all_at(&vec![0xaa; (length - 4096) as usize], 4096).unwrap();
    drop(file);
    restore(&scene.host(), &scene.unit(), 1).unwrap();
}

/// Two containers that share a state directory: in each of them dysno may be process 1.
#[test]
fn a_session_leaves_a_live_one_of_the_same_process_number_alone() {
    let scene = Scene::new();
    let host = scene.host();
    let state = scene.path("state");
    let mut leases = Vec::new();
    let pid = std::process::id();
    let first = {
        let _session = Session::open(&host.store, Access::Shared, "test", |_| ()).unwrap();
        let names = fs::read_dir(state.join("run")).unwrap().map(|e| e.unwrap().file_name());
        let lease = names.map(|n| n.into_string().unwrap()).find(|n| n.ends_with(".lease"));
        let lease = lease.unwrap();
        let number = lease.split_once('-').unwrap().1.strip_suffix(".lease").unwrap().to_owned();
        number.parse::<u64>().unwrap() + 1
    };
    for number in first..first + 3000 {
        let lease = fs::File::create(state.join(format!("run/{pid}-{number}.lease"))).unwrap();
        if number % 3 == 0 || leases.len() < 900 {
            lease.lock().unwrap();
            leases.push((number, lease));
            if leases.len() == 900 {
                break;
            }
        }
    }
    for (number, _) in &leases {
        fs::create_dir(state.join(format!("tmp/{pid}-{number}"))).unwrap();
        fs::write(state.join(format!("tmp/{pid}-{number}/0.pack")), "being written").unwrap();
    }
    let opened = Session::open(&host.store, Access::Shared, "test", |_| ());
    drop(opened);
    for (number, _) in &leases {
        assert!(state.join(format!("tmp/{pid}-{number}/0.pack")).exists(), "session {number}");
    }
}

/// Cleaning up after a session that just ends, or that somebody else cleans up after, is not a failure.
#[test]
fn sessions_that_begin_and_end_at_once_do_not_fail() {
    let scene = Scene::new();
    let host = scene.host();
    let failed = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    if let Err(error) = Session::open(&host.store, Access::Shared, "test", |_| ()) {
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        failed.lock().unwrap().push(format!("{error}: {source:?}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} failed, such as {}", failed.len(), failed[0]);
}

/// A bundle that lacks what its snapshots need is no bundle.
#[test]
fn an_export_of_a_snapshot_that_lacks_objects_fails() {
    let scene = Scene::new();
    scene.write("old", noise(1, 700_000));
    let host = scene.host();
    let taken = host::snapshot(&host, &scene.unit()).unwrap();
    // Forget where one chunk is, as `reconcile` does where a pack is missing.
    let index = rusqlite::Connection::open(scene.path("state/index.sqlite")).unwrap();
    let one = "SELECT id FROM objects WHERE kind = 1 ORDER BY size_bytes DESC LIMIT 1";
    let delete = format!("DELETE FROM objects WHERE id = ({one})");
    assert_eq!(index.execute(&delete, []).unwrap(), 1);
    let selected = ops::select(&host, &taken.snapshot.to_string()).unwrap();
    let mut bundle = Vec::new();
    let exported = ops::export(&host, &[selected], &mut bundle, &Recorder::default());
    let elsewhere = tempfile::tempdir().unwrap();
    let imported =
        ops::import(&host::open(elsewhere.path()), &mut &bundle[..], &Recorder::default());
    assert!(exported.is_err(), "exported, and the import says {imported:?}");
}

/// cli.md: 1 means that the live state is what it was.
#[test]
fn a_restore_or_undo_that_changed_the_live_state_does_not_end_as_if_it_had_not() {
    let mut wrong = Vec::new();
    for fault in [Fault::Io, Fault::Full] {
        for undo in [false, true] {
            for step in 0..200 {
                let scene = Scene::new();
                let unit = scene.unit();
                scene.write("a", "one");
                host::snapshot(&scene.host(), &unit).unwrap();
                scene.write("a", "two");
                if undo {
                    restore(&scene.host(), &unit, 1).unwrap();
                }
                let before = fs::read(scene.path("live/a")).unwrap();
                let disk = Arc::new(FaultyDisk::new(fault, step));
                let opened = host::open_on(&scene.path("state"), disk.clone());
                let result = opened.map_err(ops::Error::from).and_then(|host| {
                    if undo {
                        ops::undo(&host, &unit, Safety::Skip, &Recorder::default()).map(|_| ())
                    } else {
                        restore(&host, &unit, 1)
                    }
                });
                let after = fs::read(scene.path("live/a")).unwrap();
                match result {
                    Err(error)
                        if after != before && !matches!(error, ops::Error::HalfWay { .. }) =>
                    {
                        let failed = disk.failed().unwrap();
                        wrong.push(format!("{fault:?}, undo {undo}: {failed}: {error}"));
                    }
                    _ => {}
                }
                if disk.failed().is_none() {
                    break;
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// store-format.md, 8: a root file, manifest or list that cannot be read stops it. Not a chunk.
#[test]
fn gc_frees_dead_packs_although_a_sparse_one_is_damaged() {
    let scene = Scene::new();
    let host = scene.host();
    let unit = scene.unit();
    scene.write("z", noise(9, 200_000));
    host::snapshot(&host, &unit).unwrap();
    let dead = scene.packs().remove(0);
    fs::remove_file(scene.path("live/z")).unwrap();
    scene.write("gone", noise(1, 200_000));
    scene.write("keep", noise(2, 50_000));
    host::snapshot(&host, &unit).unwrap();
    let sparse = scene.packs().into_iter().find(|path| *path != dead).unwrap();
    fs::remove_file(scene.path("live/gone")).unwrap();
    host::snapshot(&host, &unit).unwrap();
    damage(&sparse, 20_000, 1);
    let keep = Some(Keep { last: 1, ..Keep::default() });
    let request = CollectRequest { keep, ..CollectRequest::default() };
    let collected = ops::gc(&host, &request, &Recorder::default());
    assert!(!dead.exists(), "{:?}", collected.map(|c| c.freed_bytes));
}

/// `UNIT@latest` is what users took; a safety snapshot must not be all that is left of a unit.
#[test]
fn gc_never_forgets_the_newest_generation_that_is_no_safety_snapshot() {
    let scene = Scene::new();
    scene.write("a", "one");
    let host = scene.host();
    let unit = scene.unit();
    let taken = host::snapshot(&host, &unit).unwrap();
    scene.write("a", "two");
    let request = RestoreRequest {
        unit: unit.clone(),
        selected: ops::select(&host, &format!("{unit}@1")).unwrap(),
        safety: Safety::Snapshot,
        options: RestoreOptions::default(),
    };
    ops::restore(&host, &request, &Recorder::default()).unwrap();
    let request =
        CollectRequest { older_than: Some(SignedDuration::ZERO), ..CollectRequest::default() };
    let collected = ops::gc(&host, &request, &Recorder::default()).unwrap();
    let forgotten: Vec<_> = collected.forgotten.iter().map(|g| (g.number, g.kind)).collect();
    assert!(!forgotten.iter().any(|(n, _)| *n == taken.generation), "{forgotten:?}");
}

#[test]
fn verify_does_not_panic_at_a_stray_file() {
    let scene = Scene::new();
    let host = scene.host();
    fs::write(scene.path("state/store").join(format!("{}é", "a".repeat(63))), "").unwrap();
    ops::verify(&host, &[], Depth::Structure, &Recorder::default()).unwrap();
}

/// A container's name and a component that are both allowed.
#[test]
fn a_unit_with_long_names_can_be_captured() {
    let scene = Scene::new();
    let mut host = scene.host();
    let root = scene.path("live");
    let text = format!(
        "[container.customer-uploads-production-eu-west-1]\nplugin = \"directory\"\nroot = {:?}\n",
        root.display().to_string()
    );
    host.config = Config::parse(Path::new("/test.toml"), &text).unwrap();
    let name = "n".repeat(150);
    fs::create_dir(root.join(&name)).unwrap();
    let unit = format!("customer-uploads-production-eu-west-1:{name}").parse().unwrap();
    host::snapshot(&host, &unit).unwrap();
}

#[test]
fn a_damaged_generation_record_does_not_stop_new_generations() {
    let scene = Scene::new();
    scene.write("a", "one");
    let host = scene.host();
    let unit = scene.unit();
    host::snapshot(&host, &unit).unwrap();
    let path = host.store.generation_path(&unit.to_string(), 1);
    drop(host);
    damage(&path, 40, 1);
    scene.lose_index();
    scene.write("a", "two");
    host::snapshot(&scene.host(), &unit).unwrap();
}

#[test]
fn a_snapshot_mends_the_damaged_root_file_that_it_is_acknowledged_by() {
    let scene = Scene::new();
    scene.write("a", "one");
    let unit = scene.unit();
    let host = scene.host();
    let taken = host::snapshot(&host, &unit).unwrap();
    let root = ops::select(&host, &taken.snapshot.to_string()).unwrap().root;
    drop(host);
    damage(&scene.path("state/store").join(root.file_name()), 60, 1);
    scene.lose_index();
    let taken = host::snapshot(&scene.host(), &unit).unwrap();
    println!("acknowledged as generation {}", taken.generation);
    scene.lose_index();
    restore(&scene.host(), &unit, taken.generation).unwrap();
}

/// store-format.md: what the next session does with a session that died.
#[test]
fn what_a_dead_session_left_is_removed_even_where_its_lease_was_not_durable() {
    let scene = Scene::new();
    let host = scene.host();
    fs::create_dir(scene.path("state/tmp/77-0")).unwrap();
    fs::write(scene.path("state/tmp/77-0/0.pack"), "half").unwrap();
    drop(Session::open(&host.store, Access::Shared, "test", |_| ()).unwrap());
    assert!(!scene.path("state/tmp/77-0").exists());
}

/// cli.md: deletes the state of deactivated units. One that was never in service here is none.
#[test]
fn purge_leaves_a_unit_alone_that_was_never_deactivated() {
    let scene = Scene::new();
    scene.write("a", "one");
    let purged = ops::purge(&scene.host(), &scene.unit(), Safety::Skip, &Recorder::default());
    assert!(scene.path("live/a").exists(), "{purged:?}");
}

/// A restore died before its swap, and then somebody, or the service, made the state anew. Nothing ends that.
#[test]
fn a_unit_whose_state_was_made_anew_after_an_interrupted_restore_can_be_captured() {
    let scene = Scene::new();
    scene.write("a", "one");
    let host = scene.host();
    let tag = host.new_tag();
    let kept_at = scene.path("kept").display().to_string();
    let (staged, displaced) = ("1:1.000000000".to_owned(), None);
    let swap = plugins::Swap { tag: tag.clone(), staged, displaced, kept_at };
    let restore = dysno::journal::Restore {
        unit: scene.unit().to_string(),
        tag,
        phase: dysno::journal::Phase::Swapping,
        swap: Some(swap),
        time: host.now_text(),
    };
    host.journal().record(&restore).unwrap();
    host::snapshot(&host, &scene.unit()).unwrap();
}

/// A clock that was set back must not make `undo` take an older restore for the last one.
#[test]
fn the_last_restore_is_the_one_that_was_recorded_last() {
    let scene = Scene::new();
    let host = scene.host();
    let tags = [host.new_tag(), host.new_tag()];
    for (tag, time) in tags.iter().zip(["2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"]) {
        let restore = dysno::journal::Restore {
            unit: "directory:/x".to_owned(),
            tag: tag.clone(),
            phase: dysno::journal::Phase::Staging,
            swap: None,
            time: time.to_owned(),
        };
        host.journal().record(&restore).unwrap();
    }
    assert_eq!(host.journal().restores().unwrap().pop().unwrap().tag, tags[1]);
}

/// A snapshot and an import of one unit take the same number.
#[test]
fn an_import_waits_for_whoever_captures_the_unit() {
    let scene = Scene::new();
    scene.write("a", "one");
    let elsewhere = tempfile::tempdir().unwrap();
    let other = host::open(elsewhere.path());
    let taken = host::snapshot(&other, &scene.unit()).unwrap();
    let selected = ops::select(&other, &taken.snapshot.to_string()).unwrap();
    let mut bundle = Vec::new();
    ops::export(&other, &[selected], &mut bundle, &Recorder::default()).unwrap();
    let host = scene.host();
    let _lock = host.lock_unit(&scene.unit(), "snapshot of").unwrap();
    ops::import(&host, &mut &bundle[..], &Recorder::default()).unwrap_err();
}

/// What holds the store is named, not what held it last.
#[test]
fn a_refused_collection_does_not_name_an_earlier_one_as_the_holder() {
    let scene = Scene::new();
    let host = scene.host();
    drop(Session::open(&host.store, Access::Exclusive, "gc", |_| ()).unwrap());
    let _reader = Session::open(&host.store, Access::Shared, "snapshot", |_| ()).unwrap();
    let Err(error) = Session::open(&host.store, Access::Exclusive, "gc", |_| ()) else { panic!() };
    assert!(!error.to_string().contains("(gc)"), "{error}");
}

/// A session was killed between the rename of a root file or record and the sync of its directory. The next one says
/// that nothing changed, and exits with 0, on the strength of names that a power cut can take away.
#[test]
fn what_a_killed_session_renamed_is_durable_before_it_is_acknowledged() {
    let mut missing = Vec::new();
    for directory in ["/state/store", "/state/generations/directory/"] {
        for step in 0..500 {
            let scene = Scene::new();
            scene.write("a", "one");
            drop(scene.host());
            let disk = Arc::new(FaultyDisk::new(Fault::Death, step));
            let died = host::open_on(&scene.path("state"), disk.clone())
                .map(|host| host::snapshot(&host, &scene.unit()).is_err());
            let Some(failed) = disk.failed() else { break };
            let is_it = failed.starts_with("sync directory") && failed.contains(directory);
            if died.is_err() || !is_it {
                continue;
            }
            let disk = Arc::new(FaultyDisk::new(Fault::Death, usize::MAX));
            let host = host::open_on(&scene.path("state"), disk.clone()).unwrap();
            host::snapshot(&host, &scene.unit()).unwrap();
            if !disk.operations().contains(&failed) {
                missing.push(failed);
            }
        }
    }
    assert!(missing.is_empty(), "never done: {missing:#?}");
}

/// Deletions become durable in the order of the references: generations, roots, packs.
#[test]
fn gc_syncs_the_directories_of_what_it_forgot_before_it_removes_packs() {
    let scene = Scene::new();
    scene.write("a", noise(1, 100_000));
    host::snapshot(&scene.host(), &scene.unit()).unwrap();
    scene.write("a", noise(2, 100_000));
    host::snapshot(&scene.host(), &scene.unit()).unwrap();
    let disk = Arc::new(FaultyDisk::new(Fault::Death, usize::MAX));
    let host = host::open_on(&scene.path("state"), disk.clone()).unwrap();
    let keep = Some(Keep { last: 1, ..Keep::default() });
    let request = CollectRequest { keep, ..CollectRequest::default() };
    ops::gc(&host, &request, &Recorder::default()).unwrap();
    let operations = disk.operations();
    let at =
        |what: &str| operations.iter().position(|o| o.starts_with("remove ") && o.contains(what));
    let (record, root, pack) =
        (at(".gen").unwrap(), at("/state/store/").unwrap(), at(".pack").unwrap());
    let synced = |from: usize, to: usize, name: &str| {
        operations[from..to].iter().any(|o| o.starts_with("sync directory") && o.contains(name))
    };
    assert!(synced(record, root, "/state/generations/"), "{operations:#?}");
    assert!(synced(root, pack, "/state/store"), "{operations:#?}");
}

/// What the hint after damage says: import the snapshots from a bundle.
#[test]
fn importing_a_good_bundle_mends_a_snapshot_whose_pack_is_damaged() {
    let scene = Scene::new();
    scene.write("a", noise(1, 300_000));
    let host = scene.host();
    let unit = scene.unit();
    let taken = host::snapshot(&host, &unit).unwrap();
    let selected = ops::select(&host, &taken.snapshot.to_string()).unwrap();
    let mut bundle = Vec::new();
    ops::export(&host, &[selected], &mut bundle, &Recorder::default()).unwrap();
    damage(&scene.packs()[0], 10_000, 1);
    println!("{:?}", ops::import(&host, &mut &bundle[..], &Recorder::default()));
    restore(&host, &unit, taken.generation).unwrap();
}

/// What was captured for safety counts as taken only once somebody asks for it.
#[test]
fn a_state_that_was_captured_for_safety_can_be_captured_by_name() {
    let scene = Scene::new();
    let (host, unit) = (scene.host(), scene.unit());
    scene.write("a", "one");
    host::snapshot(&host, &unit).unwrap();
    scene.write("a", "two");
    let request = RestoreRequest {
        unit: unit.clone(),
        selected: ops::select(&host, &format!("{unit}@1")).unwrap(),
        safety: Safety::Snapshot,
        options: RestoreOptions::default(),
    };
    ops::restore(&host, &request, &Recorder::default()).unwrap();
    ops::undo(&host, &unit, Safety::Skip, &Recorder::default()).unwrap();
    // The newest generation has this state already, but only for safety.
    let taken = host::snapshot(&host, &unit).unwrap();
    assert!(taken.created);
    let latest = ops::select(&host, &unit.to_string()).unwrap();
    assert_eq!(latest.root.snapshot, taken.snapshot);
}
