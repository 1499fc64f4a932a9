//! A failure at any step loses nothing that was acknowledged, and leaves nothing in the way of the next command.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dysno::host::{Host, Keep};
use dysno::ops::{self, CollectRequest, Depth, RestoreRequest, Safety};
use plugins::{RestoreOptions, UnitAddress};

use crate::support::faulty::{Fault, FaultyDisk};
use crate::support::host::{self, Recorder};
use crate::support::store::noise;

const FAULTS: [Fault; 3] = [Fault::Death, Fault::Io, Fault::Full];

/// More steps than any operation here has: a run that never succeeds must end.
const STEPS_MAX: usize = 2000;

/// The files of a flat directory.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        files.insert(entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    }
    files
}

struct Scene {
    directory: tempfile::TempDir,
    unit: UnitAddress,
    /// The state of each generation that was acknowledged, the oldest first.
    acknowledged: Vec<BTreeMap<String, Vec<u8>>>,
}

impl Scene {
    /// Two generations of a directory, and a change after them.
    fn new() -> Self {
        // In memory: these tests are about steps that fail, not about what a disk keeps.
        let directory = tempfile::tempdir_in("/dev/shm").unwrap();
        let live = directory.path().join("live");
        fs::create_dir(&live).unwrap();
        let mut scene = Self { unit: host::directory(&live), directory, acknowledged: Vec::new() };
        fs::write(live.join("large"), noise(1, 700_000)).unwrap();
        fs::write(live.join("gone"), noise(2, 900_000)).unwrap();
        fs::write(live.join("small"), "one").unwrap();
        let host = scene.host();
        for text in ["two", "three"] {
            scene.acknowledge(&host);
            fs::write(live.join("small"), text).unwrap();
            let _ = fs::remove_file(live.join("gone"));
            fs::write(live.join(text), noise(7, 90_000)).unwrap();
        }
        scene
    }

    fn live(&self) -> PathBuf {
        self.directory.path().join("live")
    }

    fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    fn host(&self) -> Host {
        host::open(&self.state())
    }

    fn acknowledge(&mut self, host: &Host) {
        host::snapshot(host, &self.unit).unwrap();
        self.acknowledged.push(files(&self.live()));
    }

    fn restore(&self, host: &Host, number: usize, safety: Safety) -> ops::Result<()> {
        let request = RestoreRequest {
            unit: self.unit.clone(),
            selected: ops::select(host, &format!("{}@{number}", self.unit))?,
            safety,
            options: RestoreOptions::default(),
        };
        ops::restore(host, &request, &Recorder::default()).map(|_| ())
    }

    /// Every acknowledged generation from number `first` on is there, those before it are whole where they are there,
    /// and the store is clean and works.
    fn check(&self, first: usize, what: &str) {
        let host = self.host();
        let recorder = Recorder::default();
        let verified = ops::verify(&host, &[], Depth::Data, &recorder).unwrap();
        assert_eq!(verified.problems, [], "{what}");
        assert_eq!(*recorder.warnings.lock().unwrap(), [""; 0], "{what}");
        for (number, expected) in (1..).zip(&self.acknowledged) {
            let restored = self.restore(&host, number, Safety::Skip);
            if number < first && matches!(restored, Err(ops::Error::UnknownGeneration { .. })) {
                continue;
            }
            restored.unwrap();
            assert!(files(&self.live()) == *expected, "{what}: generation {number}");
        }
        host::snapshot(&host, &self.unit).unwrap();
        ops::gc(&host, &CollectRequest::default(), &recorder).unwrap();
        let left = |name: &str| fs::read_dir(self.state().join(name)).unwrap().count();
        assert_eq!(left("tmp"), 0, "{what}");
        let siblings = fs::read_dir(self.directory.path()).unwrap().count();
        assert_eq!(siblings, 2, "{what}: nothing is left beside the live directory");
        let problems = ops::verify(&host, &[], Depth::Data, &recorder).unwrap().problems;
        assert_eq!(problems, [], "{what}, after gc");
    }
}

/// Fails step 0, 1, 2 … of an operation until it succeeds, and checks the host after each. The operation may remove
/// generations before number `first`.
fn fail_at_every_step(first: usize, operation: impl Fn(&Scene, &Host) -> ops::Result<()>) {
    for fault in FAULTS {
        let mut n_failed = 0;
        for step in 0..STEPS_MAX {
            let scene = Scene::new();
            let disk = Arc::new(FaultyDisk::new(fault, step));
            let host = host::open_on(&scene.state(), disk.clone());
            let result = host.map_err(ops::Error::from).and_then(|host| operation(&scene, &host));
            let Some(failed) = disk.failed() else {
                result.unwrap();
                break;
            };
            n_failed += usize::from(result.is_err());
            scene.check(first, &format!("{fault:?} at step {step}, {failed}: {result:?}"));
        }
        assert!(n_failed > 3, "{fault:?} made only {n_failed} steps fail");
    }
}

#[test]
fn a_snapshot_can_fail_at_every_step() {
    fail_at_every_step(1, |scene, host| host::snapshot(host, &scene.unit).map(|_| ()));
}

#[test]
fn a_restore_can_fail_at_every_step() {
    fail_at_every_step(1, |scene, host| {
        let before = files(&scene.live());
        let result = scene.restore(host, 1, Safety::Snapshot);
        let live = files(&scene.live());
        assert!(live == before || live == scene.acknowledged[0], "neither old nor new state");
        result
    });
}

#[test]
fn what_gets_a_name_was_synced_before_and_the_name_after() {
    let scene = Scene::new();
    let disk = Arc::new(FaultyDisk::new(Fault::Death, usize::MAX));
    let host = host::open_on(&scene.state(), disk.clone()).unwrap();
    host::snapshot(&host, &scene.unit).unwrap();
    let operations = disk.operations();
    let mut n_named = 0;
    for (at, operation) in operations.iter().enumerate() {
        let Some(path) = operation.strip_prefix("rename to new ") else { continue };
        if path.ends_with(".lease") {
            continue;
        }
        n_named += 1;
        let last = |what: &str| operations[..at].iter().rposition(|o| o.starts_with(what));
        assert!(last("sync ") > last("write "), "{path} was not synced: {operations:#?}");
        let directory = Path::new(path).parent().unwrap().display();
        let sync = format!("sync directory {directory}");
        let after = operations[at..].iter().position(|o| *o == sync);
        let row = operations[at..].iter().position(|o| o.starts_with("commit "));
        assert!(after.is_some() && after < row, "{path} was not durable before its row");
    }
    assert_eq!(n_named, 3, "a pack, a root file and a generation record");
}

/// The live state was never captured, so that what the restore displaces is the only copy.
#[test]
fn a_restore_that_dies_at_any_step_leaves_what_it_displaced_to_undo() {
    let mut n_undone = 0;
    for step in 0..STEPS_MAX {
        let scene = Scene::new();
        let before = files(&scene.live());
        let disk = Arc::new(FaultyDisk::new(Fault::Death, step));
        let host = host::open_on(&scene.state(), disk.clone());
        let result =
            host.map_err(ops::Error::from).and_then(|host| scene.restore(&host, 1, Safety::Skip));
        let failed = disk.failed();
        if files(&scene.live()) != before {
            n_undone += 1;
            ops::undo(&scene.host(), &scene.unit, Safety::Skip, &Recorder::default()).unwrap();
            assert!(files(&scene.live()) == before, "step {step}, {failed:?}: {result:?}");
        }
        if failed.is_none() {
            break;
        }
    }
    // Once the restore has succeeded, and at least once it died between its swap and its end.
    assert!(n_undone > 1, "only {n_undone} restores came as far as their swap");
}

#[test]
fn a_collection_that_rewrites_a_pack_can_fail_at_every_step() {
    fail_at_every_step(2, |_, host| {
        let packs = || host.store.pack_names().unwrap().into_iter().collect::<BTreeSet<_>>();
        let before = packs();
        let keep = Some(Keep { last: 1, ..Keep::default() });
        let request = CollectRequest { keep, ..CollectRequest::default() };
        let collected = ops::gc(host, &request, &Recorder::default())?;
        assert_eq!(collected.forgotten.len(), 1);
        // The first generation's pack held one large file that is still needed, and a larger one that is not.
        assert_eq!((before.len(), packs().len()), (2, 2));
        assert_eq!(before.intersection(&packs()).count(), 1);
        Ok(())
    });
}

#[test]
fn an_import_can_fail_at_every_step() {
    let bundle = {
        let scene = Scene::new();
        fs::write(scene.live().join("small"), "elsewhere").unwrap();
        let host = scene.host();
        let taken = host::snapshot(&host, &scene.unit).unwrap();
        let selected = ops::select(&host, &taken.snapshot.to_string()).unwrap();
        let mut bundle = Vec::new();
        ops::export(&host, &[selected], &mut bundle, &Recorder::default()).unwrap();
        bundle
    };
    fail_at_every_step(1, |_, host| {
        ops::import(host, &mut &bundle[..], &Recorder::default()).map(|_| ())
    });
}
