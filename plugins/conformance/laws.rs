//! The laws one by one.

use super::{Fault, Law, Outcome, Recorder, Subject, Tape};
use crate::{
    Activation, Context, Error, Interrupt, Plugin, RestoreOptions, SnapshotOptions, Standing, Swap,
    Tag,
};

/// Every law.
pub const LAWS: &[Law] = &[
    Law { name: "a unit without state says so, and asking changes nothing", hold: probing },
    Law { name: "activating twice is activating once", hold: activating_twice },
    Law { name: "initial state is used only where there is no state", hold: initial_once },
    Law { name: "a failed activation leaves nothing behind", hold: broken_initial },
    Law { name: "deactivating keeps the state", hold: deactivating },
    Law { name: "a snapshot of no state is an error", hold: snapshot_of_nothing },
    Law { name: "unchanged state gives the identical snapshot", hold: unchanged },
    Law { name: "taking a snapshot changes nothing", hold: snapshot_is_quiet },
    Law { name: "changed state gives another snapshot", hold: changed },
    Law { name: "a restore undoes later changes", hold: restore_undoes },
    Law { name: "a restore puts the state where there is none", hold: restore_into_nothing },
    Law { name: "a restore replaces a wrecked state", hold: restore_over_wreck },
    Law { name: "the snapshot of a restored state is the one it was restored from", hold: same_id },
    Law { name: "staging leaves the live state alone", hold: staging_is_quiet },
    Law {
        name: "a stream that fails leaves the live state alone and nothing behind",
        hold: failing_reader,
    },
    Law {
        name: "a snapshot that cannot be written is an error and changes nothing",
        hold: failing_writer,
    },
    Law { name: "whoever interrupts a snapshot is heeded", hold: interrupted_snapshot },
    Law {
        name: "whoever interrupts a restore finds the live state alone and nothing behind",
        hold: interrupted_stage,
    },
    Law { name: "the displaced state can be put back", hold: unswapping },
    Law { name: "swapping, swapping back and releasing twice is doing so once", hold: idempotent },
    Law {
        name: "releasing what was never swapped in leaves the live state alone",
        hold: release_staged,
    },
    Law { name: "where nothing was displaced nothing is put back", hold: nothing_displaced },
    Law { name: "destroying and activating gives an empty state", hold: garbage },
];

fn plugin(subject: &dyn Subject) -> Box<dyn Plugin> {
    subject.plugin(&Context::default())
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("the laws' tags are tags")
}

/// Activates and fills.
fn filled(subject: &dyn Subject) -> Outcome<Box<dyn Plugin>> {
    let plugin = plugin(subject);
    plugin.activate(None)?;
    subject.fill()?;
    Ok(plugin)
}

fn snapshot(subject: &dyn Subject) -> Outcome<Tape> {
    let recorder = Recorder::new(subject.profile());
    plugin(subject).snapshot(&recorder, &SnapshotOptions::default())?;
    Ok(recorder.finish())
}

fn stage(subject: &dyn Subject, tape: &Tape, tag: &Tag) -> Outcome<Swap> {
    Ok(plugin(subject).stage(&tape.play(), tag, &RestoreOptions::default())?)
}

fn restore(subject: &dyn Subject, tape: &Tape) -> Outcome {
    let tag = tag("restore001");
    let swap = stage(subject, tape, &tag)?;
    plugin(subject).swap(&swap)?;
    Ok(plugin(subject).release(&tag)?)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, seen: &T, expected: &T) -> Outcome {
    if seen == expected {
        return Ok(());
    }
    Err(format!("{what}: seen {seen:#?}, expected {expected:#?}").into())
}

fn is_clean(subject: &dyn Subject) -> Outcome {
    equal("what is left behind", &subject.debris()?, &Vec::new())
}

fn expect_error<T>(what: &str, result: crate::Result<T>) -> Outcome<Error> {
    match result {
        Ok(_) => Err(format!("{what} succeeded").into()),
        Err(error) => Ok(error),
    }
}

fn probing(subject: &dyn Subject) -> Outcome {
    equal("existence before", &plugin(subject).probe()?.exists, &false)?;
    equal("state after probing", &subject.describe()?, &None)?;
    let plugin = filled(subject)?;
    let before = subject.describe()?;
    equal("existence after", &plugin.probe()?.exists, &true)?;
    equal("state after probing", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn activating_twice(subject: &dyn Subject) -> Outcome {
    equal("first", &plugin(subject).activate(None)?, &Activation::Created)?;
    subject.fill()?;
    let before = subject.describe()?;
    equal("second", &plugin(subject).activate(None)?, &Activation::Existing)?;
    equal("state", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn initial_once(subject: &dyn Subject) -> Outcome {
    let initial = subject.initial()?;
    equal("first", &plugin(subject).activate(Some(&initial))?, &Activation::Created)?;
    let from_initial = subject.describe()?;
    plugin(subject).collect_garbage()?;
    plugin(subject).activate(None)?;
    let empty = subject.describe()?;
    if from_initial == empty {
        return Err("initial state made no difference".into());
    }
    equal("second", &plugin(subject).activate(Some(&initial))?, &Activation::Existing)?;
    equal("state", &subject.describe()?, &empty)?;
    is_clean(subject)
}

fn broken_initial(subject: &dyn Subject) -> Outcome {
    let missing = subject.initial()?.with_extension("is-not-there");
    expect_error("a missing initial state", plugin(subject).activate(Some(&missing)))?;
    equal("state", &subject.describe()?, &None)?;
    if let Some(broken) = subject.broken_initial()? {
        expect_error("a broken initial state", plugin(subject).activate(Some(&broken)))?;
        equal("state", &subject.describe()?, &None)?;
    }
    is_clean(subject)
}

fn deactivating(subject: &dyn Subject) -> Outcome {
    let plugin = filled(subject)?;
    let before = subject.describe()?;
    plugin.deactivate()?;
    plugin.deactivate()?;
    plugin.activate(None)?;
    equal("state", &subject.describe()?, &before)
}

fn snapshot_of_nothing(subject: &dyn Subject) -> Outcome {
    let recorder = Recorder::new(subject.profile());
    let result = plugin(subject).snapshot(&recorder, &SnapshotOptions::default());
    expect_error("a snapshot of nothing", result)?;
    equal("state", &subject.describe()?, &None)?;
    is_clean(subject)
}

fn unchanged(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let first = snapshot(subject)?;
    let second = snapshot(subject)?;
    equal("second snapshot", &second.identity(), &first.identity())?;
    let recorder = Recorder::after(&second);
    plugin(subject).snapshot(&recorder, &SnapshotOptions::default())?;
    equal("snapshot after another", &recorder.finish().identity(), &first.identity())
}

fn snapshot_is_quiet(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let before = subject.describe()?;
    let tape = snapshot(subject)?;
    equal("warnings", &tape.warnings().to_vec(), &Vec::new())?;
    equal("state", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn changed(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let before = snapshot(subject)?;
    subject.change()?;
    let recorder = Recorder::after(&before);
    plugin(subject).snapshot(&recorder, &SnapshotOptions::default())?;
    let after = recorder.finish();
    if after.identity() == before.identity() {
        return Err("the change does not show".into());
    }
    equal("a snapshot that knows no other", &snapshot(subject)?.identity(), &after.identity())
}

fn restore_undoes(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let before = subject.describe()?;
    let tape = snapshot(subject)?;
    subject.change()?;
    if subject.describe()? == before {
        return Err("the subject's change does not show".into());
    }
    restore(subject, &tape)?;
    equal("state", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn restore_into_nothing(subject: &dyn Subject) -> Outcome {
    let plugin = filled(subject)?;
    let before = subject.describe()?;
    let tape = snapshot(subject)?;
    plugin.collect_garbage()?;
    restore(subject, &tape)?;
    equal("state", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn restore_over_wreck(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let before = subject.describe()?;
    let tape = snapshot(subject)?;
    subject.wreck()?;
    restore(subject, &tape)?;
    equal("state", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn same_id(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    subject.change()?;
    restore(subject, &tape)?;
    equal("snapshot", &snapshot(subject)?.identity(), &tape.identity())
}

fn staging_is_quiet(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    subject.change()?;
    let before = subject.describe()?;
    let swap = stage(subject, &tape, &tag("staging001"))?;
    equal("state", &subject.describe()?, &before)?;
    equal("standing", &plugin(subject).standing(&swap)?, &Standing::Before)?;
    if subject.debris()?.is_empty() {
        return Err("nothing was staged, or the subject does not see it".into());
    }
    Ok(())
}

/// Byte counts at which something goes wrong: at once, in the middle, and just before the end.
fn points(tape: &Tape) -> [u64; 3] {
    let all = tape.content_bytes();
    [0, all / 2, all.saturating_sub(1)]
}

fn failing_reader(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    subject.change()?;
    let before = subject.describe()?;
    for point in points(&tape) {
        let player = tape.play_with(Fault::Failure, point);
        let options = RestoreOptions::default();
        let result = plugin(subject).stage(&player, &tag("broken0001"), &options);
        expect_error(&format!("a restore from a stream that fails after {point} bytes"), result)?;
        equal("state", &subject.describe()?, &before)?;
        is_clean(subject)?;
    }
    Ok(())
}

fn failing_writer(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let before = subject.describe()?;
    let tape = snapshot(subject)?;
    for point in points(&tape) {
        let recorder = Recorder::new(subject.profile()).with(Fault::Failure, point);
        let result = plugin(subject).snapshot(&recorder, &SnapshotOptions::default());
        expect_error(&format!("a snapshot whose writer fails after {point} bytes"), result)?;
        equal("state", &subject.describe()?, &before)?;
        is_clean(subject)?;
    }
    equal("snapshot", &snapshot(subject)?.identity(), &tape.identity())
}

fn interrupted_snapshot(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let before = subject.describe()?;
    let context = Context { interrupt: Interrupt::default(), ..Context::default() };
    context.interrupt.raise();
    let recorder = Recorder::new(subject.profile());
    let result = subject.plugin(&context).snapshot(&recorder, &SnapshotOptions::default());
    expect_error("an interrupted snapshot", result)?;
    equal("state", &subject.describe()?, &before)?;
    is_clean(subject)
}

fn interrupted_stage(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    subject.change()?;
    let before = subject.describe()?;
    for point in points(&tape) {
        let context = Context { interrupt: Interrupt::default(), ..Context::default() };
        let player = tape.play_with(Fault::Interrupt(context.interrupt.clone()), point);
        let tag = tag("stopped001");
        let result = subject.plugin(&context).stage(&player, &tag, &RestoreOptions::default());
        // The last bytes may be in before anybody looks; then the stage is whole and its release removes it.
        if result.is_ok() {
            plugin(subject).release(&tag)?;
        }
        equal("state", &subject.describe()?, &before)?;
        is_clean(subject)?;
    }
    Ok(())
}

fn unswapping(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    let then = subject.describe()?;
    subject.change()?;
    let now = subject.describe()?;
    let tag = tag("unswap0001");
    let swap = stage(subject, &tape, &tag)?;
    plugin(subject).swap(&swap)?;
    equal("state after the swap", &subject.describe()?, &then)?;
    plugin(subject).unswap(&swap)?;
    equal("state after it was undone", &subject.describe()?, &now)?;
    plugin(subject).swap(&swap)?;
    equal("state after another swap", &subject.describe()?, &then)?;
    plugin(subject).unswap(&swap)?;
    plugin(subject).release(&tag)?;
    equal("state after the release", &subject.describe()?, &now)?;
    is_clean(subject)
}

fn idempotent(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    let then = subject.describe()?;
    subject.change()?;
    let now = subject.describe()?;
    let tag = tag("twice00001");
    let swap = stage(subject, &tape, &tag)?;
    let standing = || plugin(subject).standing(&swap);
    for _ in 0..2 {
        plugin(subject).unswap(&swap)?;
        equal("standing before", &standing()?, &Standing::Before)?;
        equal("state before", &subject.describe()?, &now)?;
    }
    for _ in 0..2 {
        plugin(subject).swap(&swap)?;
        equal("standing after", &standing()?, &Standing::After)?;
        equal("state after", &subject.describe()?, &then)?;
    }
    for _ in 0..2 {
        plugin(subject).unswap(&swap)?;
        equal("standing undone", &standing()?, &Standing::Before)?;
        equal("state undone", &subject.describe()?, &now)?;
    }
    plugin(subject).swap(&swap)?;
    for _ in 0..2 {
        plugin(subject).release(&tag)?;
        equal("standing released", &standing()?, &Standing::After)?;
        equal("state released", &subject.describe()?, &then)?;
        is_clean(subject)?;
    }
    expect_error("putting back what was released", plugin(subject).unswap(&swap))?;
    equal("state", &subject.describe()?, &then)
}

fn release_staged(subject: &dyn Subject) -> Outcome {
    filled(subject)?;
    let tape = snapshot(subject)?;
    subject.change()?;
    let now = subject.describe()?;
    let (mine, other) = (tag("mine000001"), tag("other00001"));
    let kept = stage(subject, &tape, &other)?;
    let swap = stage(subject, &tape, &mine)?;
    plugin(subject).release(&mine)?;
    equal("state", &subject.describe()?, &now)?;
    equal("standing", &plugin(subject).standing(&swap)?, &Standing::Before)?;
    expect_error("swapping in what was released", plugin(subject).swap(&swap))?;
    equal("state", &subject.describe()?, &now)?;
    // What carries another tag is not touched.
    plugin(subject).swap(&kept)?;
    plugin(subject).release(&other)?;
    is_clean(subject)
}

fn nothing_displaced(subject: &dyn Subject) -> Outcome {
    let plugin = filled(subject)?;
    let tape = snapshot(subject)?;
    plugin.collect_garbage()?;
    let tag = tag("nothing001");
    let swap = stage(subject, &tape, &tag)?;
    equal("state", &subject.describe()?, &None)?;
    equal("displaced", &swap.displaced, &None)?;
    plugin.swap(&swap)?;
    plugin.swap(&swap)?;
    let after = subject.describe()?;
    match expect_error("putting back nothing", plugin.unswap(&swap))? {
        Error::NothingDisplaced => {}
        error => return Err(error.into()),
    }
    equal("state", &subject.describe()?, &after)?;
    plugin.release(&tag)?;
    equal("state", &subject.describe()?, &after)?;
    is_clean(subject)
}

fn garbage(subject: &dyn Subject) -> Outcome {
    plugin(subject).collect_garbage()?;
    plugin(subject).activate(None)?;
    let empty = subject.describe()?;
    subject.fill()?;
    for _ in 0..2 {
        plugin(subject).collect_garbage()?;
        equal("state", &subject.describe()?, &None)?;
        equal("existence", &plugin(subject).probe()?.exists, &false)?;
    }
    plugin(subject).activate(None)?;
    equal("state", &subject.describe()?, &empty)?;
    is_clean(subject)
}
