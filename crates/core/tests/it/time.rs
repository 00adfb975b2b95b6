use std::time::Duration;

use loomwork_core::Time;
use proptest::prelude::*;

fn check_text(millis: i64, text: &str) {
    assert_eq!(Time::from_millis(millis).to_string(), text);
}

#[test]
fn times_print_as_rfc_3339() {
    check_text(0, "1970-01-01T00:00:00.000Z");
    check_text(1_700_000_000_123, "2023-11-14T22:13:20.123Z");
    check_text(-1, "1969-12-31T23:59:59.999Z");
    check_text(-62_135_596_800_000, "0001-01-01T00:00:00.000Z");
    check_text(-62_167_219_200_000, "0000-01-01T00:00:00.000Z");
    check_text(253_402_300_799_999, "9999-12-31T23:59:59.999Z");
}

#[test]
fn leap_days_come_every_four_years_but_not_every_century() {
    check_text(1_709_164_800_000, "2024-02-29T00:00:00.000Z");
    check_text(951_782_400_000, "2000-02-29T00:00:00.000Z");
    check_text(-2_203_891_200_001, "1900-02-28T23:59:59.999Z");
    check_text(-2_203_891_200_000, "1900-03-01T00:00:00.000Z");
    check_text(4_107_542_400_000, "2100-03-01T00:00:00.000Z");
}

#[test]
fn years_beyond_rfc_3339_have_a_sign_as_in_javascript() {
    check_text(-62_167_219_200_001, "-000001-12-31T23:59:59.999Z");
    check_text(253_402_300_800_000, "+010000-01-01T00:00:00.000Z");
    check_text(8_640_000_000_000_000, "+275760-09-13T00:00:00.000Z");
    check_text(-8_640_000_000_000_000, "-271821-04-20T00:00:00.000Z");
    check_text(i64::MAX, "+292278994-08-17T07:12:55.807Z");
    check_text(i64::MIN, "-292275055-05-16T16:47:04.192Z");
}

#[test]
fn debug_shows_the_number_and_the_date() {
    assert_eq!(format!("{:?}", Time::EPOCH), "Time(0, 1970-01-01T00:00:00.000Z)");
}

#[test]
fn json_is_the_plain_number() {
    let time = Time::from_millis(-1500);
    assert_eq!(serde_json::to_string(&time).unwrap(), "-1500");
    assert_eq!(serde_json::from_str::<Time>("-1500").unwrap(), time);
}

#[test]
fn arithmetic_stops_at_the_ends() {
    assert_eq!(Time::MAX + Duration::from_millis(1), Time::MAX);
    assert_eq!(Time::MIN - Duration::from_millis(1), Time::MIN);
    assert_eq!(Time::EPOCH + Duration::MAX, Time::MAX);
    assert_eq!(Time::EPOCH - Duration::MAX, Time::MIN);
    assert_eq!(Time::MIN + Duration::from_millis(u64::MAX), Time::MAX);
}

#[test]
fn a_part_of_a_millisecond_is_dropped() {
    assert_eq!(Time::EPOCH + Duration::from_micros(1999), Time::from_millis(1));
    assert_eq!(Time::EPOCH - Duration::from_micros(1999), Time::from_millis(-1));
}

#[test]
fn since_is_zero_for_what_comes_later() {
    assert_eq!(Time::MAX.since(Time::MIN), Duration::from_millis(u64::MAX));
    assert_eq!(Time::MIN.since(Time::MAX), Duration::ZERO);
}

/// The day after, by the rules that children learn.
fn day_after((year, month, day): (i64, u32, u32)) -> (i64, u32, u32) {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    match (month, day) {
        (12, 31) => (year + 1, 1, 1),
        (_, day) if day == last => (year, month + 1, 1),
        _ => (year, month, day + 1),
    }
}

fn date(time: Time) -> (i64, u32, u32) {
    let text = time.to_string();
    let (date, _) = text.split_once('T').expect("a time has a T");
    let mut parts = date.rsplitn(3, '-');
    let mut part = || parts.next().expect("a date has three parts");
    let (day, month, year) = (part(), part(), part());
    let number = |text: &str| text.parse::<i64>().expect("a part is a number");
    (number(year), number(month) as u32, number(day) as u32)
}

proptest! {
    #[test]
    fn each_day_follows_the_one_before(millis in i64::MIN..i64::MAX - 86_400_000) {
        let time = Time::from_millis(millis);
        let tomorrow = time + Duration::from_secs(24 * 60 * 60);
        prop_assert_eq!(date(tomorrow), day_after(date(time)));
    }

    #[test]
    fn order_of_the_text_is_order_of_time(
        a in -62_167_219_200_000..253_402_300_800_000_i64,
        b in -62_167_219_200_000..253_402_300_800_000_i64,
    ) {
        let (a, b) = (Time::from_millis(a), Time::from_millis(b));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn since_undoes_adding(millis: i64, added: u32) {
        let time = Time::from_millis(millis.min(i64::MAX - i64::from(added)));
        let added = Duration::from_millis(added.into());
        prop_assert_eq!((time + added).since(time), added);
        prop_assert_eq!(time + added - added, time);
    }
}
