//! Against a model that goes through time minute by minute.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDateTime, Timelike};
use chrono_tz::Tz;
use loomwork_core::Time;
use loomwork_workpool::{Schedule, ScheduleError, Weekday};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    model::{self, Expression, Part},
    moments::{self, in_zone},
};

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;
const DAYS: i64 = 21;

/// Zones, each with a day near which its clocks were changed.
const CHANGES: [(&str, &str); 14] = [
    ("Europe/Berlin", "2026-03-29"),
    ("Europe/Berlin", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("America/Santiago", "2026-09-06"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
    ("Antarctica/Troll", "2026-03-29"),
    ("Antarctica/Troll", "2026-10-25"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Caracas", "2016-05-01"),
    ("UTC", "2028-02-29"),
];

/// A moment up to three weeks before a change, or shortly after it.
fn place() -> impl Strategy<Value = (Tz, Time)> {
    let before = -20 * MILLIS_PER_DAY..2 * MILLIS_PER_DAY;
    let minutes = before.clone().prop_map(|millis| millis - millis % 60_000);
    (select(&CHANGES[..]), prop_oneof![before, minutes]).prop_map(|((zone, day), offset)| {
        let change = moments::time(&format!("{day} 00:00")).millis();
        (zone.parse().expect("the zone exists"), Time::from_millis(change + offset))
    })
}

fn part(values: RangeInclusive<u32>, last: u32) -> impl Strategy<Value = Part> {
    let range = (values.clone(), values.clone()).prop_map(|(left, right)| (left.min(right), left.max(right)));
    prop_oneof![
        2 => Just(Part::Star),
        1 => (1..=last).prop_map(Part::StarStep),
        3 => values.clone().prop_map(Part::Value),
        1 => (values, 1..=last).prop_map(|(start, step)| Part::ValueStep(start, step)),
        1 => range.clone().prop_map(|(start, end)| Part::Range(start, end)),
        1 => (range, 1..=last).prop_map(|((start, end), step)| Part::RangeStep(start, end, step)),
    ]
}

fn field(values: RangeInclusive<u32>, last: u32) -> impl Strategy<Value = Vec<Part>> {
    vec(part(values, last), 1..=3)
}

fn day() -> impl Strategy<Value = Vec<Part>> {
    let part = prop_oneof![4 => part(1..=31, 31), 1 => Just(Part::Last)];
    vec(part, 1..=3)
}

/// A step from 7 on is Sunday alone, which the model has no word for.
fn weekday() -> impl Strategy<Value = Vec<Part>> {
    let part = part(0..=7, 6).prop_map(|part| match part {
        Part::ValueStep(7, step) => Part::ValueStep(6, step),
        other => other,
    });
    vec(part, 1..=2)
}

fn expression() -> impl Strategy<Value = Expression> {
    let times = (field(0..=59, 59), field(0..=23, 23));
    (times, day(), field(1..=12, 12), weekday())
        .prop_map(|((minute, hour), day, month, weekday)| Expression { minute, hour, day, month, weekday })
}

/// Checks the runs of some days against those of the model.
fn check(schedule: &Schedule, after: Time, days: i64, expected: &[Time]) {
    let end = Time::from_millis((after.millis().div_euclid(60_000) + days * 24 * 60) * 60_000);
    let found: Vec<Time> = moments::runs(schedule, after).take_while(|run| *run <= end).collect();
    assert_eq!(found, expected, "{schedule:?} after {after}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn expressions_run_whenever_they_match((zone, after) in place(), expression in expression()) {
        let expected = model::runs(zone, after, DAYS, |shown| expression.matches(shown));
        match Schedule::cron(&expression.text()) {
            Ok(schedule) => check(&in_zone(schedule, zone.name()), after, DAYS, &expected),
            Err(ScheduleError::NeverFires { .. }) => assert_eq!(expected, []),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn days_run_at_their_time((zone, after) in place(), hour in 0u8..24, minute in 0u8..60) {
        let at = |shown: NaiveDateTime| (shown.hour(), shown.minute()) == (hour.into(), minute.into());
        let expected = model::runs(zone, after, DAYS, at);
        check(&in_zone(Schedule::daily(hour, minute), zone.name()), after, DAYS, &expected);

        let weekly = in_zone(Schedule::weekly(Weekday::Sunday, hour, minute), zone.name());
        let expected =
            model::runs(zone, after, DAYS, |shown| at(shown) && shown.weekday() == chrono::Weekday::Sun);
        check(&weekly, after, DAYS, &expected);
    }

    #[test]
    fn hours_run_at_their_minute((zone, after) in place(), minute in 0u8..60) {
        let expected = model::real_runs(zone, after, DAYS, |shown| shown.minute() == u32::from(minute));
        check(&in_zone(Schedule::hourly(minute), zone.name()), after, DAYS, &expected);
    }

    #[test]
    fn any_year_has_its_days(
        day in day(), month in field(1..=12, 12), weekday in weekday(), start in -62_000_000_000_i64..250_000_000_000,
    ) {
        let midnight = vec![Part::Value(0)];
        let expression = Expression { minute: midnight.clone(), hour: midnight, day, month, weekday };
        let after = Time::from_millis(start * 1000);
        if let Ok(schedule) = Schedule::cron(&expression.text()) {
            let found = moments::runs(&schedule, after).take(20).collect::<Vec<_>>();
            check_days(&expression, after, &found);
        }
    }

    #[test]
    fn an_interval_is_on_its_grid(anchor: i64, after: i64, seconds in 1u64..100_000_000) {
        let interval = std::time::Duration::from_secs(seconds);
        let (anchor, after) = (Time::from_millis(anchor), Time::from_millis(after));
        let Some(next) = Schedule::every(interval).next_after(after, anchor) else {
            let last = Time::MAX - interval;
            prop_assert!(after > last);
            return Ok(());
        };
        prop_assert!(next > after && next >= anchor);
        let past = i128::from(next.millis()) - i128::from(anchor.millis());
        prop_assert_eq!(past % interval.as_millis() as i128, 0);
        prop_assert!(next == anchor || next.since(after) <= interval);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-0-9*/,?@L# A-Za-z]{0,40}", after: i64) {
        if let Ok(schedule) = Schedule::cron(&text) {
            let after = Time::from_millis(after);
            prop_assert!(schedule.next_after(after, after).is_none_or(|next| next > after));
        }
    }
}

/// Checks that of the days up to the last run, exactly those with a run match.
fn check_days(expression: &Expression, after: Time, found: &[Time]) {
    let Some(last) = found.last() else { panic!("{expression:?} after {after} has no run") };
    let first = after.millis().div_euclid(MILLIS_PER_DAY) + 1;
    // A leap day on one day of the week takes a thousand years for its runs.
    let days = (first..=last.millis().div_euclid(MILLIS_PER_DAY)).take(36_525 * 10);
    for day in days {
        let midnight = Time::from_millis(day * MILLIS_PER_DAY);
        let shown = chrono::DateTime::from_timestamp_millis(midnight.millis())
            .expect("the calendar has it")
            .naive_utc();
        let is_run = found.binary_search(&midnight).is_ok();
        assert_eq!(is_run, expression.matches(shown), "{} on {midnight}", expression.text());
    }
}
