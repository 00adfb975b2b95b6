//! Periods follow each other without gap or overlap, whatever the clocks of a place do.

use loomwork_core::Time;
use loomwork_usage::{Calendar, CalendarError, Cycle, Period, Zone};
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

fn at(text: &str) -> Time {
    let moment = chrono::DateTime::parse_from_rfc3339(text).expect("the text is a moment");
    Time::from_millis(moment.timestamp_millis())
}

fn period(cycle: Cycle, zone: &str, moment: &str) -> Period {
    let calendar = Calendar { cycle, zone: zone.parse().expect("a zone") };
    calendar.period_of(at(moment)).expect("there is a period")
}

fn ends(period: &Period) -> [String; 2] {
    [period.start.to_string(), period.end.to_string()]
}

#[test]
fn months_begin_at_midnight_of_their_zone() {
    for (zone, start, end) in [
        ("UTC", "2026-08-01T00:00:00.000Z", "2026-09-01T00:00:00.000Z"),
        ("Europe/Berlin", "2026-07-31T22:00:00.000Z", "2026-08-31T22:00:00.000Z"),
        ("America/New_York", "2026-08-01T04:00:00.000Z", "2026-09-01T04:00:00.000Z"),
        ("Asia/Kolkata", "2026-07-31T18:30:00.000Z", "2026-08-31T18:30:00.000Z"),
        ("Australia/Lord_Howe", "2026-07-31T13:30:00.000Z", "2026-08-31T13:30:00.000Z"),
    ] {
        let found = period(Cycle::Month, zone, "2026-08-15T12:00:00Z");
        assert_eq!(
            (ends(&found), found.label.as_str()),
            ([start.to_owned(), end.to_owned()], "2026-08"),
            "{zone}"
        );
    }
}

#[test]
fn a_moment_at_a_boundary_is_in_the_new_period() {
    assert_eq!(period(Cycle::Month, "UTC", "2026-08-01T00:00:00Z").label, "2026-08");
    assert_eq!(period(Cycle::Month, "UTC", "2026-07-31T23:59:59.999Z").label, "2026-07");
    assert_eq!(period(Cycle::Month, "Europe/Berlin", "2026-07-31T22:00:00Z").label, "2026-08");
    assert_eq!(period(Cycle::Month, "Europe/Berlin", "2026-07-31T21:59:59.999Z").label, "2026-07");
}

#[test]
fn days_on_which_clocks_change_are_longer_or_shorter() {
    let hours = |zone, moment| {
        let day = period(Cycle::Day, zone, moment);
        day.end.since(day.start).as_secs_f64() / 3600.0
    };
    assert_eq!(hours("Europe/Berlin", "2026-03-29T12:00:00Z"), 23.0);
    assert_eq!(hours("Europe/Berlin", "2026-10-25T12:00:00Z"), 25.0);
    assert_eq!(hours("Australia/Lord_Howe", "2026-04-04T20:00:00Z"), 24.5);
    assert_eq!(hours("UTC", "2026-03-29T12:00:00Z"), 24.0);
    // The clocks of Beirut skip midnight, so its day begins at one o'clock.
    let beirut = period(Cycle::Day, "Asia/Beirut", "2026-03-29T12:00:00Z");
    assert_eq!(ends(&beirut), ["2026-03-28T22:00:00.000Z", "2026-03-29T21:00:00.000Z"]);
    // Those of Apia skipped the thirtieth of December 2011.
    let apia = period(Cycle::Day, "Pacific/Apia", "2011-12-30T10:00:00Z");
    assert_eq!((apia.label.as_str(), apia.start), ("2011-12-31", at("2011-12-30T10:00:00Z")));
}

#[test]
fn an_anniversary_is_clamped_to_the_end_of_the_month() {
    let found = |day, moment| period(Cycle::MonthFrom(day), "UTC", moment);
    assert_eq!(found(31, "2026-02-28T00:00:00Z").label, "2026-02-28");
    assert_eq!(found(31, "2026-02-27T23:59:59Z").label, "2026-01-31");
    assert_eq!(
        ends(&found(31, "2026-04-29T00:00:00Z")),
        ["2026-03-31T00:00:00.000Z", "2026-04-30T00:00:00.000Z"]
    );
    assert_eq!(found(29, "2028-02-29T12:00:00Z").label, "2028-02-29");
    assert_eq!(found(15, "2026-01-14T12:00:00Z").label, "2025-12-15");
    assert_eq!(found(1, "2026-08-31T23:00:00Z").label, "2026-08-01");
}

#[test]
fn weeks_begin_on_monday_and_fixed_spans_in_1970() {
    assert_eq!(period(Cycle::Week, "UTC", "2026-08-16T23:00:00Z").label, "2026-08-10");
    let hour = period(Cycle::Millis(3_600_000), "Asia/Kolkata", "2026-08-10T12:34:56Z");
    assert_eq!(ends(&hour), ["2026-08-10T12:00:00.000Z", "2026-08-10T13:00:00.000Z"]);
}

#[test]
fn a_calendar_that_cannot_be_is_refused() {
    let unknown = "Europe/Berlinn".parse::<Zone>().expect_err("there is none");
    assert!(unknown.to_string().contains("Europe/Berlinn"), "{unknown}");
    for cycle in [Cycle::MonthFrom(0), Cycle::MonthFrom(32), Cycle::Millis(0), Cycle::Millis(u64::MAX)] {
        let calendar = Calendar { cycle, zone: Zone::UTC };
        assert!(matches!(calendar.period_of(Time::EPOCH), Err(CalendarError::BadCycle { .. })), "{cycle:?}");
    }
    for moment in [Time::MIN, Time::MAX] {
        assert!(matches!(Calendar::MONTHS.period_of(moment), Err(CalendarError::Beyond { .. })));
    }
}

fn calendars() -> impl Strategy<Value = Calendar> {
    let cycles = prop_oneof![
        Just(Cycle::Month),
        (1_u32..=31).prop_map(Cycle::MonthFrom),
        Just(Cycle::Week),
        Just(Cycle::Day),
        (1_u64..30_000_000_000).prop_map(Cycle::Millis),
    ];
    let zones = prop_oneof![
        Just("UTC"),
        Just("Europe/Berlin"),
        Just("America/New_York"),
        Just("America/St_Johns"),
        Just("Asia/Kolkata"),
        Just("Asia/Beirut"),
        Just("Australia/Lord_Howe"),
        Just("Pacific/Apia"),
        Just("Africa/Casablanca"),
    ];
    (cycles, zones).prop_map(|(cycle, zone)| Calendar { cycle, zone: zone.parse().expect("a zone") })
}

proptest! {
    #[test]
    fn every_moment_is_in_one_period(calendar in calendars(), seconds in 0_i64..4_000_000_000, millis in any::<u16>()) {
        let moment = Time::from_millis(seconds * 1000 + i64::from(millis % 1000));
        let found = calendar.period_of(moment).expect("there is a period");
        prop_assert!(found.start <= moment && moment < found.end);
        prop_assert_eq!(&calendar.period_of(found.start).expect("there is one"), &found);
        let last = Time::from_millis(found.end.millis() - 1);
        prop_assert_eq!(&calendar.period_of(last).expect("there is one"), &found);
        let next = calendar.period_of(found.end).expect("there is one");
        prop_assert_eq!(next.start, found.end);
        prop_assert!(next.label > found.label || matches!(calendar.cycle, Cycle::Millis(_)));
    }
}
