use std::time::Duration;

use loomwork_core::Time;
use loomwork_workpool::{Schedule, Weekday};

use crate::moments::{check, runs, time};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn an_interval_runs_on_the_grid_of_its_anchor() {
    let anchor = Time::from_millis(1_234);
    let schedule = Schedule::every(Duration::from_secs(10));
    let next = |millis| schedule.next_after(Time::from_millis(millis), anchor).map(Time::millis);
    assert_eq!(next(1_234), Some(11_234), "the anchor itself is not after itself");
    assert_eq!(next(11_233), Some(11_234));
    assert_eq!(next(11_234), Some(21_234));
    assert_eq!(next(21_230), Some(21_234), "a late caller does not move the grid");
    assert_eq!(next(1_000_000_000), Some(1_000_001_234));
}

#[test]
fn an_interval_begins_at_an_anchor_that_is_still_to_come() {
    let schedule = Schedule::every(DAY);
    let anchor = time("2026-05-01 08:00");
    assert_eq!(schedule.next_after(time("2026-04-01 00:00"), anchor), Some(anchor));
    assert_eq!(schedule.next_after(Time::MIN, anchor), Some(anchor));
}

#[test]
fn an_interval_ends_where_time_ends() {
    let schedule = Schedule::every(DAY);
    assert_eq!(schedule.next_after(Time::MAX, Time::EPOCH), None);
    assert_eq!(schedule.next_after(Time::MAX, Time::MIN), None);
    let last = Time::MAX - Duration::from_millis(1);
    assert_eq!(schedule.next_after(last, last), None);
    assert_eq!(schedule.next_after(last, Time::MAX), Some(Time::MAX));
    let second = Schedule::every(Duration::from_secs(1));
    assert_eq!(second.next_after(Time::MIN, Time::MIN), Some(Time::MIN + Duration::from_secs(1)));
}

#[test]
fn an_interval_is_cut_to_milliseconds() {
    let schedule = Schedule::every(Duration::from_nanos(1_500_999_999));
    assert_eq!(schedule, Schedule::every(Duration::from_millis(1_500)));
}

#[test]
fn a_single_run_is_once() {
    let schedule = Schedule::at(time("2026-05-01 08:00"));
    check(&schedule, "2026-01-01 00:00", &["2026-05-01 08:00"]);
    assert_eq!(runs(&schedule, time("2026-01-01 00:00")).count(), 1);
    assert_eq!(runs(&schedule, time("2026-05-01 08:00")).count(), 0);
    assert_eq!(Schedule::at(Time::MAX).next_after(Time::MIN, Time::MIN), Some(Time::MAX));
}

#[test]
fn hourly_daily_and_weekly_run_at_their_times() {
    let after = "2026-01-31 12:00";
    check(&Schedule::hourly(0), after, &["2026-01-31 13:00", "2026-01-31 14:00"]);
    check(&Schedule::hourly(5), after, &["2026-01-31 12:05", "2026-01-31 13:05"]);
    check(&Schedule::daily(12, 0), after, &["2026-02-01 12:00", "2026-02-02 12:00"]);
    check(&Schedule::daily(12, 1), after, &["2026-01-31 12:01", "2026-02-01 12:01"]);
    check(&Schedule::weekly(Weekday::Monday, 9, 30), after, &["2026-02-02 09:30", "2026-02-09 09:30"]);
    check(&Schedule::weekly(Weekday::Saturday, 12, 0), after, &["2026-02-07 12:00"]);
    check(&Schedule::weekly(Weekday::Saturday, 12, 30), after, &["2026-01-31 12:30"]);
}

#[test]
fn a_week_begins_with_any_day() {
    let days = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    // 2 March 2026 is a Monday.
    for (index, day) in days.into_iter().enumerate() {
        let expected = format!("2026-03-{:02} 00:00", 2 + index);
        check(&Schedule::weekly(day, 0, 0), "2026-03-01 00:00", &[&expected]);
    }
}

#[test]
fn the_monthly_run_of_invoices() {
    check(&Schedule::monthly(2, 0, 0), "2026-01-31 12:00", &["2026-02-02 00:00", "2026-03-02 00:00"]);
    // Down from 1 to 12 August: the run that was missed has the time of the second.
    check(&Schedule::monthly(2, 0, 0), "2026-08-01 00:00", &["2026-08-02 00:00", "2026-09-02 00:00"]);
}

#[test]
fn a_month_without_the_day_is_skipped() {
    let after = "2026-01-31 00:00";
    check(
        &Schedule::monthly(31, 0, 0),
        after,
        &["2026-03-31 00:00", "2026-05-31 00:00", "2026-07-31 00:00", "2026-08-31 00:00"],
    );
    check(&Schedule::monthly(29, 0, 0), after, &["2026-03-29 00:00"]);
    check(&Schedule::monthly(29, 0, 0), "2028-01-31 00:00", &["2028-02-29 00:00"]);
}

#[test]
fn a_clamped_day_is_the_last_one_of_a_short_month() {
    let after = "2026-01-31 00:00";
    check(
        &Schedule::monthly_clamped(31, 0, 0),
        after,
        &["2026-02-28 00:00", "2026-03-31 00:00", "2026-04-30 00:00", "2026-05-31 00:00"],
    );
    check(&Schedule::monthly_clamped(29, 6, 15), after, &["2026-02-28 06:15", "2026-03-29 06:15"]);
    check(&Schedule::monthly_clamped(30, 0, 0), "2028-01-31 00:00", &["2028-02-29 00:00"]);
    check(&Schedule::monthly_clamped(5, 0, 0), after, &["2026-02-05 00:00", "2026-03-05 00:00"]);
}

#[test]
fn a_run_between_two_milliseconds_is_not_lost() {
    let midnight = time("2026-02-01 00:00");
    let before = midnight - Duration::from_millis(1);
    let schedules = [
        Schedule::daily(0, 0),
        Schedule::hourly(0),
        Schedule::monthly(1, 0, 0),
        Schedule::cron("0 0 * * *").unwrap(),
    ];
    for schedule in schedules {
        assert_eq!(schedule.next_after(before, before), Some(midnight), "{schedule:?}");
    }
}

#[test]
fn schedules_are_constants() {
    const NIGHTLY: Schedule = Schedule::daily(3, 0);
    check(&NIGHTLY, "2026-01-31 12:00", &["2026-02-01 03:00"]);
}

#[test]
fn a_schedule_may_cross_threads() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<Schedule>();
    check::<loomwork_workpool::ScheduleError>();
}
