//! Dates and durations, as people read and write them.

use std::time::Duration;

use chrono::{DateTime, Local, Months, NaiveDate, NaiveDateTime, TimeZone, Utc};
use loomwork_core::Kind;

use crate::error::{Error, Result};

/// In which time dates are shown and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// That of the machine.
    Local,
    Utc,
}

/// Units of durations, with how many milliseconds they have.
const UNITS: [(&str, u64); 6] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// What is a number of milliseconds since 1970, and no year: anything behind March 1973.
const FIRST_MILLIS: i64 = 100_000_000_000;

impl Zone {
    /// Shows a time: `2026-11-22 14:03:05`, with a `Z` where that is UTC.
    pub(crate) fn show(self, millis: i64) -> String {
        let Some(time) = DateTime::<Utc>::from_timestamp_millis(millis) else { return millis.to_string() };
        match self {
            Self::Utc => time.format("%Y-%m-%d %H:%M:%SZ").to_string(),
            Self::Local => time.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S").to_string(),
        }
    }

    /// Reads a time: a month, a day, a moment, or milliseconds since 1970.
    pub(crate) fn read(self, text: &str) -> Result<i64> {
        if let Ok(millis) = text.parse::<i64>()
            && millis.abs() >= FIRST_MILLIS
        {
            return Ok(millis);
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(time.timestamp_millis());
        }
        let day = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
        let start = day(text).or_else(|| day(&format!("{text}-01"))).and_then(|day| day.and_hms_opt(0, 0, 0));
        let moment = ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"]
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
        let time = moment.or(start).and_then(|time| self.millis(time));
        time.ok_or_else(|| {
            let message = format!(
                "{text:?} is no time; write `2026-11`, `2026-11-22`, `2026-11-22T14:03` or milliseconds since 1970"
            );
            Error::new(Kind::Invalid, message)
        })
    }

    fn millis(self, time: NaiveDateTime) -> Option<i64> {
        match self {
            Self::Utc => Some(Utc.from_utc_datetime(&time).timestamp_millis()),
            // An hour that the clocks pass over is read as the one behind it.
            Self::Local => {
                let found = Local.from_local_datetime(&time).earliest();
                let later = || Local.from_local_datetime(&(time + chrono::TimeDelta::hours(1))).earliest();
                found.or_else(later).map(|time| time.timestamp_millis())
            }
        }
    }
}

/// Reads a duration, in milliseconds: `30d`, `12h`, `90s`, or a number of milliseconds.
pub(crate) fn duration(text: &str) -> Result<u64> {
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = if unit.is_empty() { "ms" } else { unit.trim() };
    let millis = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, millis)| *millis);
    let read = number.parse::<u64>().ok().zip(millis).and_then(|(number, millis)| number.checked_mul(millis));
    read.ok_or_else(|| {
        let message = format!("{text:?} is no duration; write `30d`, `12h`, `15m`, `90s` or milliseconds");
        Error::new(Kind::Invalid, message)
    })
}

/// Shows how long something took: `850 ms`, `3.2 s`, `4 min`.
pub(crate) fn took(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} min", duration.as_secs() / 60),
    }
}

/// Whether a moment lies before what this program was made of, by a year: a clock that was never set.
pub(crate) fn is_before_us(millis: i64) -> bool {
    /// When this crate was begun, to the month.
    const BEGUN: (i32, u32) = (2026, 11);
    let begun =
        NaiveDate::from_ymd_opt(BEGUN.0, BEGUN.1, 1).and_then(|day| day.checked_sub_months(Months::new(12)));
    begun
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .is_some_and(|day| millis < day.and_utc().timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::{Zone, duration};

    #[test]
    fn times_are_read_as_they_are_shown() {
        let shown = Zone::Utc.show(1_795_356_185_000);
        assert_eq!(shown, "2026-11-22 14:03:05Z");
        assert_eq!(Zone::Utc.read("2026-11-22 14:03:05").unwrap(), 1_795_356_185_000);
        assert_eq!(Zone::Utc.read("2026-11-22T15:03:05+01:00").unwrap(), 1_795_356_185_000);
        assert_eq!(Zone::Utc.read("1795356185000").unwrap(), 1_795_356_185_000);
        assert_eq!(Zone::Utc.show(Zone::Utc.read("2026-11").unwrap()), "2026-11-01 00:00:00Z");
        let local = Zone::Local.read("2026-11-22T14:03").unwrap();
        assert_eq!(Zone::Local.show(local), "2026-11-22 14:03:00");
        for wrong in ["", "yesterday", "2026-13", "2026"] {
            let error = Zone::Utc.read(wrong).unwrap_err();
            assert!(error.to_string().contains("is no time"), "{error}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("30d").unwrap(), 30 * 86_400_000);
        assert_eq!(duration("90s").unwrap(), 90_000);
        assert_eq!(duration("250").unwrap(), 250);
        for wrong in ["", "d", "-1s", "3 years", "99999999999999999999d", "9999999999999999w"] {
            assert!(duration(wrong).unwrap_err().to_string().contains("is no duration"));
        }
    }
}
