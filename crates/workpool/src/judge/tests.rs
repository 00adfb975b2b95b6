use std::time::Duration;

use loomwork_core::{Random, RetryPolicy, Time};
use serde_json::value::RawValue;

use super::{Verdict, judge};
use crate::failure::{Again, AttemptEnd};
use crate::tables::{Held, JobRow, State};

const NOW: Time = Time::from_millis(1_000_000);

fn job(retry: Option<RetryPolicy>, failures: u32, cancelled: bool) -> JobRow {
    JobRow {
        pool: "default".into(),
        name: "job".into(),
        state: State::Running,
        rank: 2,
        scheduled: NOW,
        due: NOW,
        key: None,
        unique: None,
        attempt: failures,
        failures,
        args: Held::Aside,
        retry,
        timeout_ms: None,
        on_done: None,
        keep_ms: None,
        deadline: None,
        expires: None,
        external: false,
        cancelled,
        confirmed: false,
        worker: None,
        last_error: None,
        ended: None,
        enqueued: NOW,
        started: Some(NOW),
        finished: None,
        retained: None,
    }
}

/// Judges, and gives the verdict's name and its wait.
fn check(job: &JobRow, end: AttemptEnd, expected: &str) {
    let verdict = match judge(job, end.clone(), NOW, &Random::seeded(1)) {
        Verdict::Success(_) => "success".to_owned(),
        Verdict::Failed(_) => "failed".to_owned(),
        Verdict::Cancelled => "cancelled".to_owned(),
        Verdict::Interrupted => "interrupted".to_owned(),
        Verdict::Retry { due, .. } => format!("retry in {:?}", due.since(NOW)),
        Verdict::HandOver => "hand over".to_owned(),
    };
    assert_eq!(verdict, expected, "{end:?} of {job:?}");
}

fn success() -> AttemptEnd {
    AttemptEnd::Success(RawValue::from_string("1".into()).expect("it is JSON"))
}

fn failure(again: Again) -> AttemptEnd {
    AttemptEnd::failed("it failed", again)
}

#[test]
fn every_end_meets_every_policy() {
    let policy = Some(RetryPolicy::default().with_jitter(false));
    let hour = Duration::from_secs(3600);
    let rows = [
        // end, once, first attempt, last attempt
        (success(), "success", "success", "success"),
        (failure(Again::Soon), "failed", "retry in 250ms", "failed"),
        (failure(Again::After(hour)), "failed", "retry in 3600s", "failed"),
        (failure(Again::After(Duration::ZERO)), "failed", "retry in 250ms", "failed"),
        (failure(Again::Never), "failed", "failed", "failed"),
        (AttemptEnd::Lost, "interrupted", "retry in 250ms", "failed"),
        (AttemptEnd::Aborted, "cancelled", "cancelled", "cancelled"),
    ];
    for (end, once, first, last) in rows {
        for cancelled in [false, true] {
            // A cancellation wins over a retry, and only over that.
            let first = if cancelled && first.starts_with("retry") { "cancelled" } else { first };
            check(&job(None, 0, cancelled), end.clone(), once);
            check(&job(policy, 0, cancelled), end.clone(), first);
            check(&job(policy, 4, cancelled), end.clone(), last);
        }
    }
}

#[test]
fn what_is_left_to_a_call_from_outside_goes_on_unless_it_was_cancelled() {
    check(&job(None, 0, false), AttemptEnd::External, "hand over");
    check(&job(None, 0, true), AttemptEnd::External, "cancelled");
}

#[test]
fn no_attempt_follows_that_would_begin_at_the_deadline() {
    let policy = Some(RetryPolicy::default().with_jitter(false));
    let ending =
        |millis| JobRow { deadline: Some(NOW + Duration::from_millis(millis)), ..job(policy, 0, false) };
    check(&ending(251), failure(Again::Soon), "retry in 250ms");
    check(&ending(250), failure(Again::Soon), "failed");
    check(&JobRow { cancelled: true, ..ending(250) }, failure(Again::Soon), "failed");
}

#[test]
fn waits_grow_with_the_failures_and_are_spread() {
    let policy = RetryPolicy::default();
    for (failures, nominal) in [(0, 250), (1, 500), (2, 1000), (3, 2000)] {
        let random = Random::seeded(failures.into());
        for _ in 0..100 {
            let verdict = judge(&job(Some(policy), failures, false), failure(Again::Soon), NOW, &random);
            let Verdict::Retry { due, .. } = verdict else { panic!("{verdict:?} is no retry") };
            let wait = due.since(NOW).as_millis();
            assert!((nominal / 2..nominal * 3 / 2).contains(&wait), "{wait} ms after {failures} failures");
        }
    }
}
