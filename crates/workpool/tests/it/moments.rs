//! Moments as text, which is how the tests below write and compare them.

use chrono::DateTime;
use loomwork_core::Time;
use loomwork_workpool::Schedule;

/// Reads `2026-01-31 12:00`, in UTC unless an offset follows, as in `2026-01-31 12:00 +01:00`.
pub(crate) fn time(text: &str) -> Time {
    let with_offset = if text.len() > 16 { text.to_owned() } else { format!("{text} +00:00") };
    let moment =
        DateTime::parse_from_str(&with_offset, "%Y-%m-%d %H:%M %:z").expect("a moment is written so");
    Time::from_millis(moment.timestamp_millis())
}

/// Returns the schedule of an expression that is right.
pub(crate) fn cron(expression: &str) -> Schedule {
    Schedule::cron(expression).expect("the expression is right")
}

/// Returns the schedule on the clocks of a zone that exists.
pub(crate) fn in_zone(schedule: Schedule, zone: &str) -> Schedule {
    schedule.in_zone(zone).expect("the zone exists")
}

/// Returns the runs after a moment, which is the anchor as well.
pub(crate) fn runs(schedule: &Schedule, after: Time) -> impl Iterator<Item = Time> {
    let mut last = after;
    std::iter::from_fn(move || {
        let next = schedule.next_after(last, after)?;
        assert!(next > last, "{schedule:?} went from {last} to {next}");
        last = next;
        Some(next)
    })
}

/// Checks the runs after a moment, as many as are given.
pub(crate) fn check(schedule: &Schedule, after: &str, expected: &[&str]) {
    let found: Vec<Time> = runs(schedule, time(after)).take(expected.len()).collect();
    let expected: Vec<Time> = expected.iter().map(|text| time(text)).collect();
    assert_eq!(found, expected, "{schedule:?} after {after}");
}

/// Checks the runs of an expression after a moment in UTC.
pub(crate) fn check_cron(expression: &str, after: &str, expected: &[&str]) {
    check(&cron(expression), after, expected);
}
