use std::time::Duration;

use loomwork_core::Time;
use loomwork_workpool::{Schedule, Weekday};

use crate::moments::{check, check_cron, cron, in_zone, runs, time};

fn calendar_schedules() -> Vec<Schedule> {
    let crons = ["* * * * *", "* * * * * *", "0 0 29 2 *", "0 0 29 2 */7", "0 0 L 2 *", "@yearly"];
    let kinds = [
        Schedule::hourly(30),
        Schedule::daily(2, 30),
        Schedule::weekly(Weekday::Friday, 2, 30),
        Schedule::monthly(31, 2, 30),
        Schedule::monthly_clamped(31, 2, 30),
    ];
    let all = crons.map(cron).into_iter().chain(kinds);
    let zones = ["UTC", "Europe/Berlin", "Pacific/Apia", "America/New_York"];
    all.flat_map(|schedule| zones.map(|zone| in_zone(schedule.clone(), zone))).collect()
}

#[test]
fn a_leap_day_is_found_across_a_century() {
    check_cron("0 0 29 2 *", "2096-03-01 00:00", &["2104-02-29 00:00", "2108-02-29 00:00"]);
    check_cron("0 0 29 2 *", "1896-03-01 00:00", &["1904-02-29 00:00"]);
    check_cron("0 0 29 2 *", "1996-03-01 00:00", &["2000-02-29 00:00"]);
    check_cron("0 0 29 2 *", "2396-03-01 00:00", &["2400-02-29 00:00"]);
}

#[test]
fn a_leap_day_on_a_sunday_is_found_across_a_century() {
    check_cron("0 0 29 2 */7", "2026-01-01 00:00", &["2032-02-29 00:00", "2060-02-29 00:00"]);
    check_cron("0 0 29 2 */7", "2088-03-01 00:00", &["2128-02-29 00:00"]);
}

#[test]
fn years_far_ahead_have_the_right_days() {
    // 1 March 2101 is a Tuesday, 1 January 3000 a Wednesday.
    check_cron("0 0 * * 2", "2101-02-24 00:00", &["2101-03-01 00:00"]);
    check_cron("0 0 * * WED", "2999-12-27 00:00", &["3000-01-01 00:00"]);
    check_cron("0 0 L 2 *", "2099-03-01 00:00", &["2100-02-28 00:00", "2101-02-28 00:00"]);
    check(&Schedule::monthly(29, 0, 0), "2100-02-01 00:00", &["2100-03-29 00:00"]);
    check(&Schedule::daily(0, 0), "9998-12-31 00:00", &["9999-01-01 00:00"]);
}

#[test]
fn the_turn_of_a_year_is_no_hurdle() {
    check_cron("* * * * *", "2026-12-31 23:59", &["2027-01-01 00:00", "2027-01-01 00:01"]);
    check_cron("59 23 31 12 *", "2026-12-31 23:58", &["2026-12-31 23:59", "2027-12-31 23:59"]);
    check_cron("0 0 1 1 *", "2099-12-31 23:59", &["2100-01-01 00:00", "2101-01-01 00:00"]);
}

#[test]
fn years_before_1970_are_years_too() {
    check_cron("0 0 1 * 1", "1969-12-30 00:00", &["1970-01-01 00:00", "1970-01-05 00:00"]);
    check_cron("30 4 * * *", "1812-06-24 12:00", &["1812-06-25 04:30"]);
}

#[test]
fn the_ends_of_time_neither_panic_nor_loop() {
    let day = Duration::from_secs(24 * 60 * 60);
    for schedule in calendar_schedules() {
        assert_eq!(schedule.next_after(Time::MAX, Time::MIN), None, "{schedule:?}");
        assert_eq!(schedule.next_after(Time::MAX - day, Time::MAX), None, "{schedule:?}");
        let first = schedule.next_after(Time::MIN, Time::MAX);
        assert!(first.is_some_and(|first| first > time("0000-01-01 00:00") - day), "{schedule:?}: {first:?}");
        assert_eq!(schedule.next_after(Time::MIN + day, Time::MIN), first, "{schedule:?}");
    }
}

#[test]
fn calendars_end_with_the_year_9999() {
    let end = time("9999-12-31 23:59") + Duration::from_secs(60);
    for schedule in calendar_schedules() {
        assert_eq!(schedule.next_after(end, end), None, "{schedule:?}");
        assert!(runs(&schedule, end - Duration::from_secs(60)).count() <= 60, "{schedule:?}");
    }
}

#[test]
fn clocks_after_2100_stay_as_they_are_then() {
    let schedule = in_zone(Schedule::daily(9, 0), "Europe/Berlin");
    check(&schedule, "2099-07-01 00:00", &["2099-07-01 09:00 +02:00"]);
    check(&schedule, "2101-07-01 00:00", &["2101-07-01 09:00 +01:00"]);
}
