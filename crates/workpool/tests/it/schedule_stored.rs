use std::time::Duration;

use loomwork_core::Time;
use loomwork_workpool::{Schedule, Weekday};

fn check(schedule: &Schedule, json: &str) {
    assert_eq!(serde_json::to_string(schedule).expect("a schedule is JSON"), json);
    assert_eq!(serde_json::from_str::<Schedule>(json).as_ref().ok(), Some(schedule));
    // Rows are read through a value when a table is upgraded.
    let value = serde_json::to_value(schedule).expect("a schedule is JSON");
    assert_eq!(serde_json::from_value::<Schedule>(value).as_ref().ok(), Some(schedule));
}

fn check_refused(json: &str, message: &str) {
    let error = serde_json::from_str::<Schedule>(json).expect_err("refused").to_string();
    assert!(error.starts_with(message), "{json}: {error}");
}

#[test]
fn each_kind_is_stored_in_plain_words() {
    check(&Schedule::every(Duration::from_secs(60)), r#"{"kind":"interval","everyMs":60000}"#);
    check(&Schedule::at(Time::from_millis(5)), r#"{"kind":"once","at":5}"#);
    check(&Schedule::hourly(30), r#"{"kind":"hourly","minute":30}"#);
    check(&Schedule::daily(2, 30), r#"{"kind":"daily","hour":2,"minute":30}"#);
    check(
        &Schedule::weekly(Weekday::Monday, 2, 30),
        r#"{"kind":"weekly","weekday":"monday","hour":2,"minute":30}"#,
    );
    check(
        &Schedule::monthly(2, 0, 0),
        r#"{"kind":"monthly","day":2,"missingDay":"skip","hour":0,"minute":0}"#,
    );
    check(
        &Schedule::monthly_clamped(31, 0, 0).in_zone("Europe/Berlin").unwrap(),
        r#"{"kind":"monthly","day":31,"missingDay":"clamp","hour":0,"minute":0,"zone":"Europe/Berlin"}"#,
    );
    check(&Schedule::cron("0 0 * * MON").unwrap(), r#"{"kind":"cron","expression":"0 0 * * MON"}"#);
}

#[test]
fn a_missing_day_is_skipped_unless_stored_otherwise() {
    let stored = r#"{"kind":"monthly","day":31,"hour":0,"minute":0}"#;
    assert_eq!(serde_json::from_str::<Schedule>(stored).unwrap(), Schedule::monthly(31, 0, 0));
}

#[test]
fn fields_of_a_later_version_are_passed_over() {
    let stored = r#"{"kind":"hourly","minute":5,"jitterMs":100}"#;
    assert_eq!(serde_json::from_str::<Schedule>(stored).unwrap(), Schedule::hourly(5));
}

#[test]
fn what_is_not_valid_is_not_read() {
    check_refused(r#"{"kind":"hourly","minute":60}"#, "minute is 60, it must be from 0 to 59");
    check_refused(r#"{"kind":"interval","everyMs":10}"#, "interval is 10ms, it must be from 1s");
    check_refused(r#"{"kind":"cron","expression":"0 0 31 2 *"}"#, "cron expression `0 0 31 2 *` never fires");
    check_refused(r#"{"kind":"daily","hour":1,"minute":1,"zone":"Mars"}"#, "time zone is `Mars`");
    check_refused(r#"{"kind":"lunar"}"#, "unknown variant `lunar`");
}
