//! What a database unit does, on real files.

mod activate;
mod capture;
mod restore;
mod subject;

use std::fs;

use super::*;
use crate::conformance::{self, Recorder, Tape};
use subject::{Journal, Unit};

#[test]
fn every_law_holds_with_a_rollback_journal() {
    conformance::check(|| Unit::new(Journal::Rollback)).map_err(|error| panic!("{error}")).unwrap();
}

#[test]
fn every_law_holds_with_a_write_ahead_log() {
    conformance::check(|| Unit::new(Journal::Wal)).map_err(|error| panic!("{error}")).unwrap();
}

fn snapshot(unit: &Unit) -> Tape {
    let recorder = Recorder::new(Profile::Files1);
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
