//! Which generations are kept. Pure: no clock, no store.

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::host::Keep;
use crate::store::{Generation, GenerationKind};

/// Why a generation is kept, or that it is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) generation: Generation,
    /// In words for people; none where it is forgotten.
    pub(super) kept_by: Vec<String>,
}

/// What a unit's generations are measured by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    /// Kept by number and calendar. Without it, and without an age, all are kept.
    pub(super) keep: Option<Keep>,
    /// Only generations before this time are forgotten.
    pub(super) before: Option<Timestamp>,
}

/// Decides on all generations of one unit, given the newest first. A generation is forgotten where no rule keeps it.
/// Safety snapshots are counted by themselves, so that a series of restores does not push out what users took.
pub(super) fn plan(
    generations: &[Generation],
    rules: Rules,
    is_pinned: impl Fn(&Generation) -> bool,
    now: Timestamp,
) -> Vec<Decision> {
    let mut decisions: Vec<_> = generations
        .iter()
        .map(|generation| Decision { generation: generation.clone(), kept_by: Vec::new() })
        .collect();
    let newest_wanted = generations.iter().position(|g| g.kind != GenerationKind::Safety);
    for (at, decision) in decisions.iter_mut().enumerate() {
        let time = time_of(&decision.generation);
        let kept = &mut decision.kept_by;
        if at == 0 {
            kept.push("it is the current one".to_owned());
        }
        if at > 0 && Some(at) == newest_wanted {
            kept.push("it is the newest that is no safety snapshot".to_owned());
        }
        if is_pinned(&decision.generation) {
            kept.push("it is pinned".to_owned());
        }
        match time {
            // A clock was wrong, then or now: nothing can be said of its age.
            Some(time) if time > now => kept.push("it is from the future".to_owned()),
            None => kept.push("its time cannot be read".to_owned()),
            Some(time) if rules.before.is_some_and(|before| time >= before) => {
                kept.push("it is not old enough".to_owned());
            }
            Some(_) => {}
        }
        if rules.keep.is_none() && rules.before.is_none() {
            kept.push("no rule forgets it".to_owned());
        }
    }
    if let Some(keep) = rules.keep {
        let is_safety =
            |decision: &&mut Decision| decision.generation.kind == GenerationKind::Safety;
        keep_series(decisions.iter_mut().filter(is_safety).collect(), keep);
        keep_series(decisions.iter_mut().filter(|d| !is_safety(d)).collect(), keep);
    }
    decisions
}

fn time_of(generation: &Generation) -> Option<Timestamp> {
    generation.time.parse().ok()
}

fn keep_series(mut series: Vec<&mut Decision>, keep: Keep) {
    for decision in series.iter_mut().take(keep.last as usize) {
        decision.kept_by.push(format!("last {}", keep.last));
    }
    let calendars: [(&str, u32, &str); 5] = [
        ("hourly", keep.hourly, "%Y-%m-%d %H"),
        ("daily", keep.daily, "%Y-%m-%d"),
        ("weekly", keep.weekly, "%G-%V"),
        ("monthly", keep.monthly, "%Y-%m"),
        ("yearly", keep.yearly, "%Y"),
    ];
    for (name, n, format) in calendars {
        let mut seen = BTreeSet::new();
        for decision in &mut series {
            let Some(time) = time_of(&decision.generation) else { continue };
            let bucket = time.to_zoned(TimeZone::UTC).strftime(format).to_string();
            // The newest of each bucket stands for it.
            if seen.len() < n as usize && seen.insert(bucket.clone()) {
                decision.kept_by.push(format!("{name} {n}, for {bucket}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use plugins::tree::Digest;

    use super::*;

    /// Two years, four a day, ending on 2026-06-15.
    fn history() -> Vec<Generation> {
        let end: Timestamp = "2026-06-15T12:30:00Z".parse().unwrap();
        let n = 4 * 730;
        (0..n)
            .map(|at| Generation {
                unit: "postgres:main".into(),
                number: n - at,
                snapshot: Digest::of(&at.to_le_bytes()),
                time: (end - jiff::SignedDuration::from_hours(6 * at as i64)).to_string(),
                host: "a".into(),
                kind: GenerationKind::Manual,
                reason: String::new(),
            })
            .collect()
    }

    fn kept(generations: &[Generation], rules: Rules) -> Vec<String> {
        let now = "2026-06-15T13:00:00Z".parse().unwrap();
        let decisions = plan(generations, rules, |_| false, now);
        let kept = decisions.iter().filter(|decision| !decision.kept_by.is_empty());
        kept.map(|decision| decision.generation.time.clone()).collect()
    }

    #[test]
    fn without_a_rule_all_are_kept() {
        assert_eq!(kept(&history(), Rules::default()).len(), 2920);
    }

    #[test]
    fn each_calendar_keeps_the_newest_of_its_buckets() {
        let keep = Keep { last: 2, daily: 3, weekly: 2, monthly: 2, yearly: 3, ..Keep::default() };
        let kept = kept(&history(), Rules { keep: Some(keep), before: None });
        assert_eq!(
            kept,
            [
                "2026-06-15T12:30:00Z",
                "2026-06-15T06:30:00Z",
                "2026-06-14T18:30:00Z",
                "2026-06-13T18:30:00Z",
                "2026-05-31T18:30:00Z",
                "2025-12-31T18:30:00Z",
                "2024-12-31T18:30:00Z",
            ]
        );
    }

    #[test]
    fn an_age_alone_keeps_the_younger_ones_and_the_current_one() {
        let before = Some("2026-06-15T00:00:00Z".parse().unwrap());
        let rules = Rules { keep: None, before };
        assert_eq!(kept(&history(), rules).len(), 3);
        assert_eq!(kept(&history()[1000..], rules).len(), 1);
    }

    #[test]
    fn a_generation_from_the_future_is_kept() {
        let mut generations = history();
        generations[3].time = "2031-01-01T00:00:00Z".into();
        let keep = Keep { last: 1, ..Keep::default() };
        let kept = kept(&generations, Rules { keep: Some(keep), before: None });
        assert_eq!(kept, ["2026-06-15T12:30:00Z", "2031-01-01T00:00:00Z"]);
    }

    #[test]
    fn safety_snapshots_do_not_push_out_others() {
        let mut generations = history();
        generations.truncate(6);
        for generation in &mut generations[..3] {
            generation.kind = GenerationKind::Safety;
        }
        let keep = Keep { last: 1, ..Keep::default() };
        let kept = kept(&generations, Rules { keep: Some(keep), before: None });
        assert_eq!(kept, [&*generations[0].time, &*generations[3].time]);
    }
}
