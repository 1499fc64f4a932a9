//! The store by itself: bytes come back, once, and only as they were.

use std::fs;

use plugins::Cut;
use plugins::tree::Digest;

use crate::support::store::{Bench, noise};

const CUTS: [Cut; 4] =
    [Cut::Tree, Cut::Rows, Cut::Pages { size_bytes: 4096 }, Cut::Pages { size_bytes: 512 }];

/// Lengths around every border of every way to cut.
fn lengths() -> Vec<usize> {
    let borders = [512, 4096, 16 << 10, 32 << 10, 128 << 10, 512 << 10, 1 << 20];
    let mut lengths = vec![0, 1, 3_000_000];
    lengths.extend(borders.iter().flat_map(|&border| [border - 1, border, border + 1]));
    lengths
}

#[test]
fn contents_of_every_length_come_back_however_they_are_cut() {
    for cut in CUTS {
        let directory = tempfile::tempdir().unwrap();
        let bench = Bench::open(directory.path());
        let contents: Vec<_> = (1..).zip(lengths()).map(|(seed, n)| noise(seed, n)).collect();
        let slices: Vec<_> = contents.iter().map(Vec::as_slice).collect();
        let (names, _) = bench.write(&slices, cut).unwrap();
        for (bytes, name) in contents.iter().zip(&names) {
            assert_eq!(name.size_bytes, bytes.len() as u64);
            assert_eq!(name.digest, Digest::of(bytes), "{cut:?}, {} bytes", bytes.len());
            assert!(bench.read(name).unwrap() == *bytes, "{cut:?}, {} bytes", bytes.len());
        }
    }
}

#[test]
fn what_is_there_is_not_stored_again() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    let (a, b) = (noise(1, 5 << 20), noise(2, 100));
    let (_, first) = bench.write(&[&a, &b, &a], Cut::Tree).unwrap();
    assert!(first.stored_bytes < 6 << 20, "{first:?}");
    let (_, again) = bench.write(&[&b, &a], Cut::Tree).unwrap();
    assert_eq!(again.stored_bytes, 0);
}

#[test]
fn a_small_edit_of_a_large_content_costs_little() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    let mut bytes = noise(1, 32 << 20);
    bench.write(&[&bytes], Cut::Tree).unwrap();
    bytes[20_000_000] ^= 1;
    let (_, inserted) = bench.write(&[&bytes], Cut::Tree).unwrap();
    assert!(inserted.stored_bytes < 600 << 10, "{inserted:?}");
    bytes.insert(10_000_000, 7);
    let (names, inserted) = bench.write(&[&bytes], Cut::Tree).unwrap();
    assert!(inserted.stored_bytes < 1100 << 10, "{inserted:?}");
    assert!(bench.read(&names[0]).unwrap() == bytes);
}

#[test]
fn the_same_content_is_found_however_it_was_cut_before() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    let bytes = noise(1, 200_000);
    for cut in CUTS {
        let (names, _) = bench.write(&[&bytes], cut).unwrap();
        assert!(bench.read(&names[0]).unwrap() == bytes);
    }
}

#[test]
fn a_lost_index_is_rebuilt_from_the_packs() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 3 << 20);
    let names = Bench::open(directory.path()).write(&[&bytes], Cut::Rows).unwrap().0;
    for damage in [&b""[..], b"rubbish", &[0; 5000]] {
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(directory.path().join(format!("index.sqlite{suffix}")));
        }
        if !damage.is_empty() {
            fs::write(directory.path().join("index.sqlite"), damage).unwrap();
        }
        let bench = Bench::open(directory.path());
        assert_eq!(bench.differences.added, 1);
        assert_eq!(bench.differences.problems, [""; 0]);
        assert!(bench.read(&names[0]).unwrap() == bytes);
    }
}

#[test]
fn every_flipped_bit_of_a_pack_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 2000);
    let bench = Bench::open(directory.path());
    let (names, _) = bench.write(&[&bytes, b"some text, some text, some text"], Cut::Tree).unwrap();
    let pack = bench.store.pack_names().unwrap()[0];
    let path = bench.store.pack_path(&pack);
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::remove_file(&path).unwrap();
        fs::write(&path, &bad).unwrap();
        let (_, problems) = bench.store.check_pack(&pack, |_| Ok(())).unwrap();
        assert!(!problems.is_empty(), "byte {at} of {}", good.len());
        // Reading finds it too, or does not need that byte.
        for (name, expected) in names.iter().zip([&bytes[..], b"some text, some text, some text"]) {
            if let Ok(read) = bench.read(name) {
                assert!(read == expected, "byte {at}");
            }
        }
    }
}

#[test]
fn a_pack_with_a_damaged_footer_still_gives_its_objects() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(1, 2 << 20);
    let bench = Bench::open(directory.path());
    let names = bench.write(&[&bytes], Cut::Tree).unwrap().0;
    let path = bench.store.pack_path(&bench.store.pack_names().unwrap()[0]);
    drop(bench);
    let mut cut = fs::read(&path).unwrap();
    cut.truncate(cut.len() - 20);
    fs::remove_file(&path).unwrap();
    fs::write(&path, cut).unwrap();
    fs::remove_file(directory.path().join("index.sqlite")).unwrap();
    let bench = Bench::open(directory.path());
    assert_eq!(bench.differences.problems.len(), 1, "{:?}", bench.differences);
    assert!(bench.read(&names[0]).unwrap() == bytes);
}

#[test]
fn a_directory_that_holds_something_else_does_not_become_a_store() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("precious"), "x").unwrap();
    let error = dysno::store::Store::open_or_create(
        directory.path(),
        &"0".repeat(32),
        std::sync::Arc::new(dysno::disk::RealDisk),
    );
    assert!(error.is_err());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    drop(Bench::open(directory.path()));
    let format = directory.path().join("format");
    let newer = fs::read_to_string(&format).unwrap().replace("dysno-store 1", "dysno-store 2");
    fs::remove_file(&format).unwrap();
    fs::write(&format, &newer).unwrap();
    let opened = dysno::store::Store::open_or_create(
        directory.path(),
        &"0".repeat(32),
        std::sync::Arc::new(dysno::disk::RealDisk),
    );
    let message = opened.err().unwrap().to_string();
    assert!(
        message.ends_with("it has format 2, and this dysno knows formats up to 1"),
        "{message}"
    );
    assert_eq!(fs::read_to_string(&format).unwrap(), newer);
}

#[test]
fn what_a_dead_session_left_is_removed_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    // A lease without a lock is what a killed process leaves.
    fs::write(directory.path().join("run/1-0.lease"), "process 1 (snapshot)").unwrap();
    fs::create_dir(directory.path().join("tmp/1-0")).unwrap();
    fs::write(directory.path().join("tmp/1-0/0.pack"), "half").unwrap();
    let living = bench.session();
    let next = bench.session();
    assert!(!directory.path().join("tmp/1-0").exists());
    assert!(!directory.path().join("run/1-0.lease").exists());
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 2);
    drop((living, next));
    assert_eq!(fs::read_dir(directory.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn an_exclusive_session_is_refused_beside_a_shared_one_and_names_it() {
    use dysno::store::{Access, Session};
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    let shared = bench.session();
    let error = Session::open(&bench.store, Access::Exclusive, "gc", |_| ()).err().unwrap();
    assert!(error.to_string().contains("cannot lock"), "{error}");
    drop(shared);
    Session::open(&bench.store, Access::Exclusive, "gc", |_| ()).unwrap();
}
