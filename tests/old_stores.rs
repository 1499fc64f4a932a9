//! Stores of every format that ever was can be opened, are whole, and give back what went into them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dysno::disk::RealDisk;
use dysno::host::{Config, Host};
use dysno::ops::{self, Depth, RestoreRequest, Safety};
use plugins::tree::{Digest, TreePath};
use plugins::{RestoreOptions, UnitAddress};

use crate::support::host::{self, Recorder};

/// A store among the fixtures.
struct Old {
    directory: &'static str,
    /// Unit, number and snapshot of each generation.
    generations: &'static [(&'static str, u64, &'static str)],
    /// Each pin, and the generation whose snapshot it keeps.
    pins: &'static [(&'static str, &'static str)],
}

const STORES: &[Old] = &[Old {
    directory: "v1",
    generations: &[
        ("web:www", 1, "1f79315d7c9e925f1287d627ebe2291b33a52e0584bf84f609c286f7cc8567a2"),
        ("web:www", 2, "8dc9fe3db6e9212f13a151ec477410492179ecccd357d3bf0ef5aba08ee311bd"),
        ("app:notes.db", 1, "3bf75dd99e7727039cc787be8f5415ea379d0fc01039ebda203d3e5816f2cd73"),
        ("app:notes.db", 2, "7f98cdcfc1c8c0eac0459ae232c5b35aa3e8be270ab443f49c49efd0791e9378"),
    ],
    pins: &[("before-the-change", "web:www@1")],
}];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/stores")
}

/// A copy of a store in a directory of its own, and what its units held.
struct Scene {
    directory: tempfile::TempDir,
    host: Host,
}

impl Scene {
    fn unpack(old: &Old) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let archive = File::open(fixtures().join(old.directory).join("store.tar.zst")).unwrap();
        let mut archive = tar::Archive::new(zstd::Decoder::new(archive).unwrap());
        archive.set_preserve_permissions(true);
        archive.unpack(directory.path()).unwrap();
        fs::create_dir(directory.path().join("units")).unwrap();
        let root = directory.path().join("units").display().to_string();
        let text = format!(
            "[container.web]\nplugin = 'directory'\nroot = '{root}'\n\
             [container.app]\nplugin = 'sqlite'\nroot = '{root}'\n"
        );
        let config = Config::parse(Path::new("/test.toml"), &text).unwrap();
        let store = directory.path().join("store");
        let host = host::open_with(config, &store, Arc::new(RealDisk)).unwrap();
        Self { directory, host }
    }

    /// Returns what a unit held when it was captured.
    fn expected(&self, unit: &UnitAddress, number: u64) -> BTreeMap<PathBuf, String> {
        let path = self.directory.path().join(format!("expected/{}@{number}", unit.container()));
        if path.is_dir() { tree(&path) } else { rows_of(fs::read_to_string(path).unwrap()) }
    }

    /// Returns what a unit holds.
    fn live(&self, unit: &UnitAddress) -> BTreeMap<PathBuf, String> {
        let path = self.directory.path().join("units").join(unit.component());
        if path.is_dir() { tree(&path) } else { rows_of(rows(&path)) }
    }
}

/// Describes each file of a tree: type, mode, time and content.
fn tree(top: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let mut text = format!("{:o} {}", metadata.mode(), metadata.mtime());
        if metadata.is_dir() {
            // Unpacking the fixture changes its time; the snapshot's id tells whether it came back.
            text = format!("{:o}", metadata.mode());
            waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if metadata.is_symlink() {
            // Its own time is not what the archive of the fixture keeps.
            text = format!("link to {}", fs::read_link(&path).unwrap().display());
        } else {
            let digest = Digest::of(&fs::read(&path).unwrap());
            write!(text, ", {} names, {digest}", metadata.nlink()).unwrap();
        }
        found.insert(path.strip_prefix(top).unwrap().to_owned(), text);
    }
    found
}

/// Returns the rows of a database in the form in which the fixture has them.
fn rows(path: &Path) -> String {
    let connection = rusqlite::Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT id, text FROM notes ORDER BY id").unwrap();
    let row = |row: &rusqlite::Row<'_>| {
        Ok(format!("{}|{}\n", row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

fn rows_of(text: String) -> BTreeMap<PathBuf, String> {
    BTreeMap::from([(PathBuf::new(), text)])
}

fn unit(text: &str) -> UnitAddress {
    text.parse().unwrap()
}

#[test]
fn every_store_among_the_fixtures_is_tried() {
    let found: BTreeSet<_> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, STORES.iter().map(|old| old.directory.to_owned()).collect());
}

#[test]
fn every_byte_of_an_old_store_is_whole() {
    for old in STORES {
        let scene = Scene::unpack(old);
        let recorder = Recorder::default();
        let verified = ops::verify(&scene.host, &[], Depth::Data, &recorder).unwrap();
        assert_eq!(verified.problems, [], "{}", old.directory);
        assert_eq!(verified.snapshots_checked, old.generations.len() as u64);
        assert_eq!(*recorder.warnings.lock().unwrap(), [""; 0], "{}", old.directory);
    }
}

#[test]
fn an_old_store_is_whole_without_its_index() {
    for old in STORES {
        let Scene { directory, host } = Scene::unpack(old);
        drop(host);
        fs::remove_file(directory.path().join("store/index.sqlite")).unwrap();
        let host = host::open(&directory.path().join("store"));
        let verified = ops::verify(&host, &[], Depth::Data, &Recorder::default()).unwrap();
        assert_eq!(verified.problems, [], "{}", old.directory);
        assert_eq!(verified.snapshots_checked, old.generations.len() as u64);
    }
}

#[test]
fn the_history_and_the_pins_of_an_old_store_are_what_they_were() {
    for old in STORES {
        let Scene { host, .. } = &Scene::unpack(old);
        let reports = ops::generations(host, None, &Recorder::default()).unwrap();
        assert_eq!(reports.len(), old.generations.len());
        for report in &reports {
            let generation = &report.generation;
            let snapshot = generation.snapshot.to_string();
            let row = (generation.unit.as_str(), generation.number, snapshot.as_str());
            assert!(old.generations.contains(&row), "{row:?}");
            let selector = format!("{}@{}", generation.unit, generation.number);
            let pins = old.pins.iter().filter(|(_, kept)| *kept == selector);
            assert!(pins.map(|(name, _)| *name).eq(report.pinned_by.iter()), "{selector}");
        }
    }
}

#[test]
fn the_contents_of_an_old_store_can_be_read() {
    for old in STORES {
        let scene = Scene::unpack(old);
        let path = TreePath::parse("numbers").unwrap();
        for number in [1, 2] {
            let selected = ops::select(&scene.host, &format!("web:www@{number}")).unwrap();
            let mut bytes = Vec::new();
            ops::cat(&scene.host, &selected, &path, &Recorder::default(), &mut bytes).unwrap();
            let expected = scene.directory.path().join(format!("expected/web@{number}/numbers"));
            assert!(bytes == fs::read(expected).unwrap(), "{} @{number}", old.directory);
        }
    }
}

#[test]
fn every_generation_of_an_old_store_is_restored_as_it_was() {
    // The fixture's files belong to root, and nobody else may give files to root: then nothing must be left behind.
    let may_restore = rustix::process::geteuid().is_root();
    for old in STORES {
        let scene = Scene::unpack(old);
        for &(name, number, snapshot) in old.generations {
            let request = RestoreRequest {
                unit: unit(name),
                selected: ops::select(&scene.host, &format!("{name}@{number}")).unwrap(),
                safety: Safety::Skip,
                options: RestoreOptions::default(),
            };
            let restored = ops::restore(&scene.host, &request, &Recorder::default());
            if !may_restore {
                assert!(restored.is_err(), "{name}@{number}");
                let units = scene.directory.path().join("units");
                assert_eq!(fs::read_dir(units).unwrap().count(), 0, "{name}@{number}");
                continue;
            }
            restored.unwrap();
            let live = scene.live(&request.unit);
            assert_eq!(live, scene.expected(&request.unit, number), "{name}@{number}");
            // The same state still has the same name.
            let taken = host::snapshot(&scene.host, &request.unit).unwrap();
            assert_eq!(taken.snapshot.to_string(), snapshot, "{name}@{number}");
        }
    }
}
