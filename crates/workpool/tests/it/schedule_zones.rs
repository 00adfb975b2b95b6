use std::time::Duration;

use loomwork_workpool::{Schedule, Weekday};

use crate::moments::{check, cron, in_zone, runs, time};

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";
const LORD_HOWE: &str = "Australia/Lord_Howe";

/// Checks that a daily schedule and the expressions that say the same have these runs.
fn check_daily(zone: &str, hour: u8, minute: u8, after: &str, expected: &[&str]) {
    let expression = cron(&format!("{minute} {hour} * * *"));
    let of_days = cron(&format!("0 {minute} {hour} 1-31 * 0"));
    for schedule in [Schedule::daily(hour, minute), expression, of_days] {
        check(&in_zone(schedule, zone), after, expected);
    }
}

#[test]
fn a_zone_has_its_own_clocks() {
    check_daily(BERLIN, 9, 0, "2026-01-31 12:00", &["2026-02-01 09:00 +01:00"]);
    check_daily(BERLIN, 9, 0, "2026-07-31 12:00", &["2026-08-01 09:00 +02:00"]);
    let weekly = in_zone(Schedule::weekly(Weekday::Monday, 0, 0), "Asia/Kolkata");
    check(&weekly, "2026-01-31 12:00", &["2026-02-02 00:00 +05:30", "2026-02-09 00:00 +05:30"]);
    let invoices = in_zone(Schedule::monthly(2, 0, 0), NEW_YORK);
    check(&invoices, "2026-03-02 04:59", &["2026-03-02 00:00 -05:00", "2026-04-02 00:00 -04:00"]);
}

#[test]
fn the_zone_is_utc_unless_another_is_given() {
    assert_eq!(Schedule::daily(0, 0).zone(), "UTC");
    assert_eq!(Schedule::daily(0, 0).in_zone(BERLIN).unwrap().zone(), BERLIN);
    assert_eq!(Schedule::daily(0, 0).in_zone("UTC").unwrap(), Schedule::daily(0, 0));
}

#[test]
fn a_skipped_time_runs_after_the_gap() {
    // 29 March: 02:00 becomes 03:00.
    let spring = ["2026-03-28 02:30 +01:00", "2026-03-29 03:00 +02:00", "2026-03-30 02:30 +02:00"];
    check_daily(BERLIN, 2, 30, "2026-03-27 12:00", &spring);
    check_daily(BERLIN, 2, 0, "2026-03-28 12:00", &["2026-03-29 03:00 +02:00", "2026-03-30 02:00 +02:00"]);
    check_daily(BERLIN, 3, 0, "2026-03-28 12:00", &["2026-03-29 03:00 +02:00", "2026-03-30 03:00 +02:00"]);
    check_daily(BERLIN, 1, 59, "2026-03-28 12:00", &["2026-03-29 01:59 +01:00", "2026-03-30 01:59 +02:00"]);
    // 8 March.
    let spring = ["2026-03-07 02:30 -05:00", "2026-03-08 03:00 -04:00", "2026-03-09 02:30 -04:00"];
    check_daily(NEW_YORK, 2, 30, "2026-03-06 12:00", &spring);
    // 4 October: 02:00 becomes 02:30.
    let spring = ["2026-10-03 02:15 +10:30", "2026-10-04 02:30 +11:00", "2026-10-05 02:15 +11:00"];
    check_daily(LORD_HOWE, 2, 15, "2026-10-02 12:00", &spring);
    check_daily(LORD_HOWE, 2, 30, "2026-10-03 12:00", &["2026-10-04 02:30 +11:00"]);
}

#[test]
fn a_doubled_time_runs_the_first_time() {
    // 25 October: 03:00 becomes 02:00.
    let autumn = ["2026-10-24 02:30 +02:00", "2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"];
    check_daily(BERLIN, 2, 30, "2026-10-23 12:00", &autumn);
    check_daily(BERLIN, 2, 0, "2026-10-24 12:00", &["2026-10-25 02:00 +02:00", "2026-10-26 02:00 +01:00"]);
    check_daily(BERLIN, 3, 0, "2026-10-24 12:00", &["2026-10-25 03:00 +01:00", "2026-10-26 03:00 +01:00"]);
    // 1 November.
    let autumn = ["2026-10-31 01:30 -04:00", "2026-11-01 01:30 -04:00", "2026-11-02 01:30 -05:00"];
    check_daily(NEW_YORK, 1, 30, "2026-10-30 12:00", &autumn);
    // 5 April: 02:00 becomes 01:30.
    let autumn = ["2026-04-04 01:45 +11:00", "2026-04-05 01:45 +11:00", "2026-04-06 01:45 +10:30"];
    check_daily(LORD_HOWE, 1, 45, "2026-04-03 00:00", &autumn);
}

#[test]
fn nobody_who_asks_in_the_second_pass_gets_a_doubled_time_again() {
    let asked = ["2026-10-25 02:10 +01:00", "2026-10-25 02:30 +01:00", "2026-10-25 02:59 +01:00"];
    for after in asked {
        check_daily(BERLIN, 2, 30, after, &["2026-10-26 02:30 +01:00"]);
    }
    check_daily(BERLIN, 2, 30, "2026-10-25 02:30 +02:00", &["2026-10-26 02:30 +01:00"]);
    check_daily(BERLIN, 3, 0, "2026-10-25 02:10 +01:00", &["2026-10-25 03:00 +01:00"]);
}

#[test]
fn an_expression_rests_while_an_hour_repeats_itself() {
    let schedule = in_zone(cron("*/20 * * * *"), BERLIN);
    check(
        &schedule,
        "2026-10-25 02:10 +02:00",
        &["2026-10-25 02:20 +02:00", "2026-10-25 02:40 +02:00", "2026-10-25 03:00 +01:00"],
    );
    let expected = ["2026-03-29 01:40 +01:00", "2026-03-29 03:00 +02:00", "2026-03-29 03:20 +02:00"];
    check(&schedule, "2026-03-29 01:30 +01:00", &expected);
    let seconds = in_zone(cron("* * * * * *"), BERLIN);
    check(&seconds, "2026-10-25 02:10 +01:00", &["2026-10-25 03:00 +01:00"]);
}

#[test]
fn hourly_runs_in_every_real_hour() {
    for (zone, after) in [
        (BERLIN, "2026-03-28 12:00"),
        (BERLIN, "2026-10-24 12:00"),
        (NEW_YORK, "2026-03-07 12:00"),
        (NEW_YORK, "2026-10-31 12:00"),
    ] {
        let schedule = in_zone(Schedule::hourly(30), zone);
        let after = time(after);
        for (index, run) in runs(&schedule, after).take(48).enumerate() {
            let expected = after + Duration::from_secs(1800 + 3600 * index as u64);
            assert_eq!(run, expected, "{zone} after {after}");
        }
    }
    let schedule = in_zone(Schedule::hourly(30), BERLIN);
    check(
        &schedule,
        "2026-10-25 02:00 +02:00",
        &["2026-10-25 02:30 +02:00", "2026-10-25 02:30 +01:00", "2026-10-25 03:30 +01:00"],
    );
    check(&schedule, "2026-03-29 01:00 +01:00", &["2026-03-29 01:30 +01:00", "2026-03-29 03:30 +02:00"]);
}

#[test]
fn hourly_follows_the_clocks_where_they_move_by_half_an_hour() {
    let at_15 = in_zone(Schedule::hourly(15), LORD_HOWE);
    let at_45 = in_zone(Schedule::hourly(45), LORD_HOWE);
    check(&at_15, "2026-10-04 01:00 +10:30", &["2026-10-04 01:15 +10:30", "2026-10-04 03:15 +11:00"]);
    check(&at_45, "2026-10-04 01:00 +10:30", &["2026-10-04 01:45 +10:30", "2026-10-04 02:45 +11:00"]);
    check(&at_15, "2026-04-05 01:00 +11:00", &["2026-04-05 01:15 +11:00", "2026-04-05 02:15 +10:30"]);
    check(&at_45, "2026-04-05 01:00 +11:00", &["2026-04-05 01:45 +11:00", "2026-04-05 01:45 +10:30"]);
}

#[test]
fn hourly_is_at_the_minute_that_the_clocks_show() {
    let schedule = in_zone(Schedule::hourly(0), "Asia/Kathmandu");
    check(&schedule, "2026-01-31 12:00", &["2026-01-31 12:15", "2026-01-31 13:15"]);
}

#[test]
fn midnight_may_be_skipped_or_doubled() {
    // 6 September 2026: 00:00 becomes 01:00. 5 April: 24:00 becomes 23:00.
    let zone = "America/Santiago";
    check_daily(zone, 0, 0, "2026-09-05 12:00", &["2026-09-06 01:00 -03:00", "2026-09-07 00:00 -03:00"]);
    check_daily(zone, 23, 30, "2026-04-04 12:00", &["2026-04-04 23:30 -03:00", "2026-04-05 23:30 -04:00"]);
    check_daily(zone, 0, 0, "2026-04-04 12:00", &["2026-04-05 00:00 -04:00", "2026-04-06 00:00 -04:00"]);
}

#[test]
fn a_skipped_day_runs_at_the_start_of_the_next_one() {
    // Samoa had no 30 December 2011.
    check_daily(
        "Pacific/Apia",
        12,
        0,
        "2011-12-29 00:00 -10:00",
        &["2011-12-29 12:00 -10:00", "2011-12-31 00:00 +14:00", "2011-12-31 12:00 +14:00"],
    );
}

#[test]
fn intervals_and_single_runs_have_no_use_for_a_zone() {
    let interval = Schedule::every(Duration::from_secs(3600));
    let after = time("2026-03-28 12:00");
    let in_berlin = in_zone(interval.clone(), BERLIN);
    assert!(runs(&interval, after).take(48).eq(runs(&in_berlin, after).take(48)));
    let single = in_zone(Schedule::at(time("2026-03-29 01:30")), BERLIN);
    check(&single, "2026-03-28 12:00", &["2026-03-29 01:30"]);
}
