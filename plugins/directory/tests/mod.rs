//! What a directory unit does, on real files.

mod capture;
mod hostile;
mod restore;
mod subject;

use std::fs;
use std::path::Path;

use super::*;
use crate::conformance::{self, Recorder, Tape};
use subject::Unit;

#[test]
fn every_law_holds() {
    conformance::check(Unit::new).map_err(|error| panic!("{error}")).unwrap();
}

fn snapshot(unit: &Unit) -> Tape {
    snapshot_with(unit, SnapshotOptions::default()).unwrap()
}

fn snapshot_with(unit: &Unit, options: SnapshotOptions) -> Result<Tape> {
    let recorder = Recorder::new(Profile::Posix1);
    unit.open().snapshot(&recorder, &options)?;
    Ok(recorder.finish())
}

fn snapshot_after(unit: &Unit, previous: &Tape) -> Tape {
    let recorder = Recorder::after(previous);
    unit.open().snapshot(&recorder, &SnapshotOptions::default()).unwrap();
    recorder.finish()
}

fn a_tag() -> Tag {
    Tag::parse("abcdefghij").unwrap()
}

fn stage(unit: &Unit, tape: &Tape) -> Result<Swap> {
    unit.open().stage(&tape.play(), &a_tag(), &RestoreOptions::default())
}

fn restore(unit: &Unit, tape: &Tape) {
    let swap = stage(unit, tape).unwrap();
    unit.open().swap(&swap).unwrap();
    unit.open().release(&a_tag()).unwrap();
}

/// Captures, destroys, restores, and compares what the file system shows before and after.
fn round_trip(unit: &Unit) -> Tape {
    let before = unit.show();
    let tape = snapshot(unit);
    unit.open().collect_garbage().unwrap();
    restore(unit, &tape);
    assert_eq!(unit.show(), before);
    assert_eq!(snapshot(unit).identity(), tape.identity());
    tape
}

fn write(path: impl AsRef<Path>, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}
