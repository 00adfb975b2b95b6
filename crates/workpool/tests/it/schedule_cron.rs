use std::time::Duration;

use loomwork_core::Time;

use crate::moments::{check_cron, cron, runs, time};

const AFTER: &str = "2026-01-31 12:00";

/// Checks that two expressions run alike for a while.
fn check_same(left: &str, right: &str) {
    let first_runs = |expression| {
        let schedule = cron(expression);
        runs(&schedule, time(AFTER)).take(100).collect::<Vec<_>>()
    };
    assert_eq!(first_runs(left), first_runs(right), "{left} and {right}");
}

#[test]
fn weekdays_count_from_sunday() {
    // 2 February 2026 is a Monday.
    check_cron("0 0 * * 1", AFTER, &["2026-02-02 00:00", "2026-02-09 00:00"]);
    check_cron("0 0 * * 0", AFTER, &["2026-02-01 00:00", "2026-02-08 00:00"]);
    check_cron("0 0 * * 7", AFTER, &["2026-02-01 00:00", "2026-02-08 00:00"]);
    check_cron("0 0 * * 6", AFTER, &["2026-02-07 00:00", "2026-02-14 00:00"]);
    check_cron("0 0 * * 5-7", AFTER, &["2026-02-01 00:00", "2026-02-06 00:00", "2026-02-07 00:00"]);
    check_same("0 0 * * 0-6", "0 0 * * *");
    check_same("0 0 * * 0-7", "0 0 * * *");
    check_same("0 0 * * 1-7", "0 0 * * *");
}

#[test]
fn one_of_two_restricted_day_fields_is_enough() {
    check_cron(
        "0 0 13 * 5",
        "2026-02-01 00:00",
        &["2026-02-06 00:00", "2026-02-13 00:00", "2026-02-20 00:00", "2026-02-27 00:00", "2026-03-06 00:00"],
    );
    // 13 April 2026 is a Monday.
    check_cron("0 0 13 * 5", "2026-04-10 00:00", &["2026-04-13 00:00", "2026-04-17 00:00"]);
    check_cron("0 0 31 2 1", "2026-02-01 00:00", &["2026-02-02 00:00", "2026-02-09 00:00"]);
}

#[test]
fn with_a_star_both_day_fields_must_match() {
    // Odd days that are Mondays.
    check_cron("0 0 */2 * 1", "2026-02-01 00:00", &["2026-02-09 00:00", "2026-02-23 00:00"]);
    check_cron("0 0 1-7 * */7", "2026-02-01 12:00", &["2026-03-01 00:00", "2026-04-05 00:00"]);
    check_same("0 0 1-31 * 1", "0 0 * * *");
}

#[test]
fn the_last_day_of_a_month() {
    check_cron(
        "0 0 L * *",
        AFTER,
        &["2026-02-28 00:00", "2026-03-31 00:00", "2026-04-30 00:00", "2026-05-31 00:00"],
    );
    check_cron("0 0 L 2 *", AFTER, &["2026-02-28 00:00", "2027-02-28 00:00", "2028-02-29 00:00"]);
    check_cron("0 0 l 2 *", "2028-02-28 00:00", &["2028-02-29 00:00", "2029-02-28 00:00"]);
    check_cron("0 0 15,L * *", AFTER, &["2026-02-15 00:00", "2026-02-28 00:00", "2026-03-15 00:00"]);
    check_cron(
        "0 0 L * 1",
        "2026-02-20 00:00",
        &["2026-02-23 00:00", "2026-02-28 00:00", "2026-03-02 00:00"],
    );
    // Where the weekday has a star, the last day must be one of its days: 31 May 2026 is a Sunday.
    check_cron("0 0 L * */7", AFTER, &["2026-05-31 00:00", "2027-01-31 00:00", "2027-02-28 00:00"]);
}

#[test]
fn seconds_come_first_if_there_are_six_fields() {
    let schedule = cron("15,45 * * * * *");
    let after = time(AFTER);
    let seconds: Vec<u64> = runs(&schedule, after).take(4).map(|run| run.since(after).as_secs()).collect();
    assert_eq!(seconds, [15, 45, 75, 105]);
    check_same("0 30 4 * * *", "30 4 * * *");
    let every = cron("* * * * * *");
    let half = after + Duration::from_millis(500);
    assert_eq!(every.next_after(half, half), Some(after + Duration::from_secs(1)));
    assert_eq!(every.next_after(after, after), Some(after + Duration::from_secs(1)));
}

#[test]
fn months_and_weekdays_have_names() {
    check_same("0 0 1 JAN,mar,Dec *", "0 0 1 1,3,12 *");
    check_same("0 0 1 apr-jun *", "0 0 1 4-6 *");
    check_same("0 0 * * MON-FRI", "0 0 * * 1-5");
    check_same("0 0 * * sun,Sat", "0 0 * * 0,6");
    check_same("0 0 * * FRI-7", "0 0 * * 0,5,6");
    check_same("0 0 1 JAN-DEC/3 *", "0 0 1 1,4,7,10 *");
}

#[test]
fn steps_begin_where_their_range_does() {
    check_same("*/15 * * * *", "0,15,30,45 * * * *");
    check_same("5-20/5 * * * *", "5,10,15,20 * * * *");
    check_same("50/4 * * * *", "50,54,58 * * * *");
    check_same("0 0 */10 * *", "0 0 1,11,21,31 * *");
    check_same("0 0 1 */5 *", "0 0 1 1,6,11 *");
    check_same("0 0 * * 1/2", "0 0 * * 1,3,5");
    check_same("0 0 * * */2", "0 0 * * 0,2,4,6");
    check_same("0 */7 * * *", "0 0,7,14,21 * * *");
    check_same("0 0 * * 7/2", "0 0 * * 0");
    check_same("*/59 * * * *", "0,59 * * * *");
}

#[test]
fn shortcuts_stand_for_expressions() {
    check_same("@hourly", "0 * * * *");
    check_same("@daily", "0 0 * * *");
    check_same("@midnight", "0 0 * * *");
    check_same("@weekly", "0 0 * * 0");
    check_same("@monthly", "0 0 1 * *");
    check_same("@yearly", "0 0 1 1 *");
    check_same(" @Annually ", "0 0 1 1 *");
}

#[test]
fn space_and_zeros_do_not_matter() {
    check_same("  0\t 0  *  *  1 ", "0 0 * * 1");
    check_same("00 08 01 01 *", "0 8 1 1 *");
    check_same("5,5,1-7,3 * * * *", "1-7 * * * *");
}

#[test]
fn a_list_of_all_minutes_and_seconds_is_not_too_long() {
    let all = (0..60).map(|value| value.to_string()).collect::<Vec<_>>().join(",");
    let days = (1..=31).map(|value| value.to_string()).collect::<Vec<_>>().join(",");
    check_same(&format!("{all} {all} * {days} * *"), "* * * * * *");
}

#[test]
fn thirty_days_of_every_minute_are_quick_to_go_through() {
    let schedule = cron("* * * * *");
    let month = runs(&schedule, time("2026-06-01 00:00")).take(30 * 24 * 60);
    assert_eq!(month.last().map(|run| run.to_string()), Some("2026-07-01T00:00:00.000Z".to_owned()));
}

#[test]
fn the_anchor_does_not_matter() {
    let schedule = cron("0 0 * * *");
    let after = time(AFTER);
    assert_eq!(schedule.next_after(after, Time::MIN), schedule.next_after(after, Time::MAX));
}
