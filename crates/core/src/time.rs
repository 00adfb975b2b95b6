//! A moment on the wall clock.

use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

use serde::{Deserialize, Serialize};

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// A moment: milliseconds since the first of January 1970, UTC.
///
/// In JSON and in the store it is a plain integer. Arithmetic with a [`Duration`] works in
/// whole milliseconds (a rest below one is dropped) and stops at [`Time::MIN`] and [`Time::MAX`].
///
/// `Display` writes RFC 3339 with milliseconds. Years that RFC 3339 cannot write have a sign and at
/// least six digits, as in JavaScript: `+010000-01-01T00:00:00.000Z`.
///
/// ```
/// use std::time::Duration;
/// use loomwork_core::Time;
///
/// let noon = Time::from_millis(1_709_208_000_000);
/// assert_eq!(noon.to_string(), "2024-02-29T12:00:00.000Z");
/// assert_eq!((noon + Duration::from_secs(60)).since(noon), Duration::from_secs(60));
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Time(i64);

impl Time {
    /// The earliest moment.
    pub const MIN: Self = Self(i64::MIN);
    /// The latest moment; as a deadline it means "never".
    pub const MAX: Self = Self(i64::MAX);
    /// The start of 1970, UTC.
    pub const EPOCH: Self = Self(0);

    /// Returns the moment that is `millis` after 1970 began, or before it if negative.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Returns the milliseconds since 1970 began.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns how long this moment is after `earlier`: zero if it is not.
    pub const fn since(self, earlier: Self) -> Duration {
        if self.0 <= earlier.0 {
            return Duration::ZERO;
        }
        Duration::from_millis(self.0.abs_diff(earlier.0))
    }

    /// A `Duration` holds up to 2^74 milliseconds, so the sum needs more room than an `i64`.
    fn saturating(millis: i128) -> Self {
        Self(millis.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self::saturating(i128::from(self.0) + duration.as_millis() as i128)
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::saturating(i128::from(self.0) - duration.as_millis() as i128)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_date(self.0.div_euclid(MILLIS_PER_DAY));
        let millis = self.0.rem_euclid(MILLIS_PER_DAY);
        let (hour, minute) = (millis / 3_600_000, millis / 60_000 % 60);
        let (second, millis) = (millis / 1000 % 60, millis % 1000);
        match year {
            0..=9999 => write!(formatter, "{year:04}")?,
            _ => write!(formatter, "{year:+07}")?,
        }
        write!(formatter, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Time({}, {self})", self.0)
    }
}

/// Returns year, month and day of a day counted from the start of 1970, in the Gregorian calendar
/// continued in both directions.
///
/// Years are taken to begin in March: the leap day is then the last of its year, and the lengths of
/// the months before it follow one line, 153 days in 5 months. 400 such years, an era, always have
/// 146,097 days; the first era begins on 0000-03-01, which is 719,468 days before 1970.
fn civil_date(days_since_1970: i64) -> (i64, i64, i64) {
    const DAYS_PER_ERA: i64 = 146_097;
    let days = days_since_1970 + 719_468;
    let era = days.div_euclid(DAYS_PER_ERA);
    let day_of_era = days.rem_euclid(DAYS_PER_ERA);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}
