use std::time::Duration;

use loomwork_core::{Fault, Kind, Time};
use loomwork_workpool::{Schedule, ScheduleError, Weekday};

fn check(found: Result<impl std::fmt::Debug, ScheduleError>, message: &str) {
    let error = found.expect_err("refused");
    assert_eq!(error.to_string(), message);
    assert_eq!(error.kind(), Kind::Invalid);
}

/// Checks that a part of an expression is refused as this field, and what would be right.
fn check_field(expression: &str, part: &str, field: &str, right: &str) {
    let message = format!("cron expression `{expression}` has `{part}` as {field}, it must be {right}");
    check(Schedule::cron(expression), &message);
}

#[test]
fn numbers_out_of_their_range_are_refused() {
    check(Schedule::hourly(60).validate(), "minute is 60, it must be from 0 to 59");
    check(Schedule::daily(24, 0).validate(), "hour is 24, it must be from 0 to 23");
    check(Schedule::daily(0, 60).validate(), "minute is 60, it must be from 0 to 59");
    check(Schedule::weekly(Weekday::Monday, 25, 0).validate(), "hour is 25, it must be from 0 to 23");
    check(Schedule::monthly(0, 0, 0).validate(), "day is 0, it must be from 1 to 31");
    check(Schedule::monthly_clamped(32, 0, 0).validate(), "day is 32, it must be from 1 to 31");
    check(Schedule::monthly(31, 0, 60).validate(), "minute is 60, it must be from 0 to 59");
}

#[test]
fn what_is_valid_passes() {
    let schedules = [
        Schedule::every(Duration::from_secs(1)),
        Schedule::every(Duration::from_secs(36_500 * 24 * 60 * 60)),
        Schedule::at(Time::MIN),
        Schedule::hourly(59),
        Schedule::daily(23, 59),
        Schedule::weekly(Weekday::Sunday, 0, 0),
        Schedule::monthly(31, 23, 59),
        Schedule::monthly_clamped(1, 0, 0),
        Schedule::cron("* * * * *").unwrap(),
    ];
    for schedule in schedules {
        assert_eq!(schedule.validate(), Ok(()), "{schedule:?}");
    }
}

#[test]
fn absurd_intervals_are_refused() {
    let message = |found| format!("interval is {found}, it must be from 1s to 36500 days");
    check(Schedule::every(Duration::ZERO).validate(), &message("0ns"));
    check(Schedule::every(Duration::from_millis(999)).validate(), &message("999ms"));
    check(Schedule::every(Duration::from_secs(36_501 * 86_400)).validate(), &message("3153686400s"));
    check(Schedule::every(Duration::MAX).validate(), &message("18446744073709551.615s"));
}

#[test]
fn what_is_not_valid_never_runs() {
    let schedules = [
        Schedule::every(Duration::ZERO),
        Schedule::hourly(60),
        Schedule::daily(24, 0),
        Schedule::weekly(Weekday::Monday, 0, 99),
        Schedule::monthly(0, 0, 0),
        Schedule::monthly_clamped(255, 0, 0),
    ];
    for schedule in schedules {
        assert_eq!(schedule.next_after(Time::EPOCH, Time::EPOCH), None, "{schedule:?}");
    }
}

#[test]
fn an_unknown_zone_is_refused_with_a_similar_name() {
    let cases = [
        ("europe/berlin", "Europe/Berlin"),
        ("Europe/Berlln", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("America/NewYork", "America/New_York"),
        ("utc", "UTC"),
        ("", "Europe/Berlin"),
        ("the moon, on its far side", "Europe/Berlin"),
    ];
    for (name, near) in cases {
        let found = Schedule::daily(0, 0).in_zone(name);
        let message =
            format!("time zone is `{name}`, it must be a name of the IANA database, such as `{near}`");
        check(found, &message);
    }
    let long = "x".repeat(1_000_000);
    assert!(Schedule::daily(0, 0).in_zone(&long).is_err());
}

#[test]
fn an_expression_that_never_fires_is_refused() {
    for expression in ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30-31 FEB */2", "0 0 0 30 2 *"] {
        let message =
            format!("cron expression `{expression}` never fires, it must name a day that its months have");
        check(Schedule::cron(expression), &message);
    }
    for expression in ["0 0 29 2 *", "0 0 29 2 */7", "0 0 31 2 1", "0 0 L 2 *"] {
        assert!(Schedule::cron(expression).is_ok(), "{expression}");
    }
}

#[test]
fn a_wrong_number_of_fields_is_refused() {
    for (expression, found) in [("", 0), ("*", 1), ("* * * *", 4), ("0 0 0 1 1 * 2026", 7)] {
        let message = format!(
            "cron expression `{expression}` has {found} fields, it must have 5 (minute, hour, day of month, \
             month, day of week), or 6 with the second before them"
        );
        check(Schedule::cron(expression), &message);
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let minute = "from 0 to 59, or `*` for any";
    check_field("60 * * * *", "60", "minute", minute);
    check_field("-1 * * * *", "", "minute", minute);
    check_field("+1 * * * *", "+1", "minute", minute);
    check_field("1,,2 * * * *", "", "minute", minute);
    check_field("1.5 * * * *", "1.5", "minute", minute);
    check_field("999 * * * *", "999", "minute", minute);
    check_field("x * * * *", "x", "minute", minute);
    check_field("0-60 * * * *", "60", "minute", minute);
    check_field("60 0 * * * *", "60", "second", minute);
    check_field("0 24 * * *", "24", "hour", "from 0 to 23, or `*` for any");
    check_field("0 0 * 13 *", "13", "month", "from 1 to 12, or `*` for any, or from JAN to DEC");
    check_field("0 0 * 0 *", "0", "month", "from 1 to 12, or `*` for any, or from JAN to DEC");
    check_field("0 0 * MON *", "MON", "month", "from 1 to 12, or `*` for any, or from JAN to DEC");
    let weekday = "from 0 to 7, or `*` for any, or from SUN to SAT";
    check_field("0 0 * * 8", "8", "day of week", weekday);
    check_field("0 0 * * L", "L", "day of week", weekday);
    check_field("0 0 * * 5L", "5L", "day of week", weekday);
    check_field("0 0 * * 1#2", "1#2", "day of week", weekday);
    let day = "from 1 to 31, or `*` for any, or `L` for the last";
    check_field("0 0 0 * *", "0", "day of month", day);
    check_field("0 0 32 * *", "32", "day of month", day);
    check_field("0 0 ? * 1", "?", "day of month", day);
    check_field("0 0 15W * *", "15W", "day of month", day);
    check_field("0 0 L-3 * *", "L", "day of month", day);
}

#[test]
fn ranges_that_go_down_are_refused() {
    check_field("0 22-2 * * *", "22-2", "hour", "a range that goes up: `22-23,0-2`");
    check_field("0 0 * * FRI-MON", "FRI-MON", "day of week", "a range that goes up: `FRI-7,0-MON`");
    check_field("0 0 * * FRI-SUN", "FRI-SUN", "day of week", "a range that goes up: `FRI-7,0-SUN`");
    check_field("0 0 * 11-2 *", "11-2", "month", "a range that goes up: `11-12,1-2`");
    for right in ["0 22-23,0-2 * * *", "0 0 * * FRI-7,0-MON", "0 0 * * FRI-7,0-SUN", "0 0 * 11-12,1-2 *"] {
        assert!(Schedule::cron(right).is_ok(), "{right}");
    }
}

#[test]
fn absurd_steps_are_refused() {
    check_field("*/0 * * * *", "*/0", "minute", "a step from 1 to 59");
    check_field("*/60 * * * *", "*/60", "minute", "a step from 1 to 59");
    check_field("*/ * * * *", "*/", "minute", "a step from 1 to 59");
    check_field("*/5/2 * * * *", "*/5/2", "minute", "a step from 1 to 59");
    check_field("0 0 * * */7x", "*/7x", "day of week", "a step from 1 to 7");
    check_field("/5 * * * *", "", "minute", "from 0 to 59, or `*` for any");
}

#[test]
fn unknown_shortcuts_are_refused() {
    for expression in ["@reboot", "@fortnightly", "@", "@daily 5"] {
        let message = format!(
            "cron expression is `{expression}`, it must be one of @hourly, @daily, @midnight, @weekly, \
             @monthly, @yearly, @annually"
        );
        check(Schedule::cron(expression), &message);
    }
}

#[test]
fn an_endless_expression_is_refused_unread() {
    let expression = "*,".repeat(1_000_000);
    check(Schedule::cron(&expression), "cron expression has 2000000 bytes, it must have at most 1000");
}
