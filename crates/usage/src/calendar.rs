//! Billing periods: half-open spans of time by the calendar of a place.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeZone};
use chrono_tz::{GapInfo, Tz};
use loomwork_core::{Fault, Kind, Time};
use serde::{Deserialize, Serialize};

/// The longest period of a fixed length: a year and a day.
pub const MAX_PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A time zone of the IANA database, such as `Europe/Berlin`; UTC by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub struct Zone(Tz);

/// Why there is no such period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalendarError {
    /// A name that the database of time zones does not have.
    #[error("there is no time zone {name:?}; give a name of the IANA database, such as \"Europe/Berlin\"")]
    UnknownZone {
        /// The name.
        name: String,
    },
    /// A cycle that cannot be kept.
    #[error("the cycle {cycle:?} cannot be kept: {why}")]
    BadCycle {
        /// The cycle.
        cycle: Cycle,
        /// What would be right.
        why: &'static str,
    },
    /// A time beyond the calendar.
    #[error("no period can be found for {at}; calendars reach from the year 1 to the year 9999")]
    Beyond {
        /// The time.
        at: Time,
    },
}

/// Calendars have a period for each moment from here on.
pub(crate) const FIRST: Time = Time::from_millis(-62_000_000_000_000);

/// Calendars have a period for each moment up to here.
pub(crate) const LAST: Time = Time::from_millis(253_000_000_000_000);

impl Fault for CalendarError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// Returns its name.
    pub fn name(self) -> &'static str {
        self.0.name()
    }

    /// The first moment of a day there. Where clocks skip midnight, it is the first one after the gap; where
    /// they show it twice, the first counts.
    fn start_of(self, day: NaiveDate) -> Option<Time> {
        let midnight = day.and_time(NaiveTime::MIN);
        let moment = match self.0.from_local_datetime(&midnight).earliest() {
            Some(moment) => moment,
            None => GapInfo::new(&midnight, &self.0)?.end?,
        };
        Some(Time::from_millis(moment.timestamp_millis()))
    }

    fn day_at(self, at: Time) -> Option<NaiveDate> {
        let day = DateTime::from_timestamp_millis(at.millis())?.with_timezone(&self.0).date_naive();
        (1..=9998).contains(&day.year()).then_some(day)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

impl FromStr for Zone {
    type Err = CalendarError;

    fn from_str(name: &str) -> Result<Self, CalendarError> {
        name.parse()
            .map(Self)
            .map_err(|_| CalendarError::UnknownZone { name: name.chars().take(60).collect() })
    }
}

impl TryFrom<String> for Zone {
    type Error = CalendarError;

    fn try_from(name: String) -> Result<Self, CalendarError> {
        name.parse()
    }
}

impl From<Zone> for &'static str {
    fn from(zone: Zone) -> Self {
        zone.name()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long periods are, and where they begin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cycle {
    /// Months of the calendar.
    #[default]
    Month,
    /// Months that begin on a day from 1 to 31, or on the last day of a month that does not have it.
    MonthFrom(u32),
    /// Weeks that begin on Monday.
    Week,
    /// Days, of 23 or 25 hours where clocks are changed.
    Day,
    /// Spans of a fixed number of milliseconds, counted from 1970 in UTC, whatever the zone.
    Millis(u64),
}

/// Periods that follow each other without gap or overlap: a cycle in a time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// How long the periods are.
    pub cycle: Cycle,
    /// Where their days begin.
    #[serde(default)]
    pub zone: Zone,
}

/// A period: from its start up to, and without, its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// Its first millisecond.
    pub start: Time,
    /// The first millisecond of the next one.
    pub end: Time,
    /// How it is called: `2026-08` for a month, else the day on which it begins.
    pub label: String,
}

impl Calendar {
    /// Months of UTC.
    pub const MONTHS: Self = Self { cycle: Cycle::Month, zone: Zone::UTC };

    /// Says whether its cycle can be kept.
    ///
    /// # Errors
    /// [`CalendarError::BadCycle`].
    pub fn validate(&self) -> Result<(), CalendarError> {
        let longest = MAX_PERIOD.as_millis() as u64;
        let why = match self.cycle {
            Cycle::MonthFrom(day) if !(1..=31).contains(&day) => "a month begins on a day from 1 to 31",
            Cycle::Millis(millis) if millis == 0 || millis > longest => {
                "a fixed period takes from 1 millisecond to 366 days"
            }
            _ => return Ok(()),
        };
        Err(CalendarError::BadCycle { cycle: self.cycle, why })
    }

    /// Returns the period that a moment is in. A moment at a boundary is in the new one.
    ///
    /// # Errors
    /// [`CalendarError`].
    pub fn period_of(&self, at: Time) -> Result<Period, CalendarError> {
        self.validate()?;
        let beyond = || CalendarError::Beyond { at };
        if let Cycle::Millis(millis) = self.cycle {
            return fixed(at, millis).ok_or_else(beyond);
        }
        let mut first = self.zone.day_at(at).and_then(|day| self.first_day(day)).ok_or_else(beyond)?;
        // Where clocks are set back over midnight, the date that they show is not yet, or no longer, that
        // of the period: the moments of its two ends decide.
        loop {
            let next = self.next(first).ok_or_else(beyond)?;
            let start = self.zone.start_of(first).ok_or_else(beyond)?;
            let end = self.zone.start_of(next).ok_or_else(beyond)?;
            if at < start {
                first = first.pred_opt().and_then(|day| self.first_day(day)).ok_or_else(beyond)?;
            } else if at >= end {
                first = next;
            } else {
                return Ok(Period { start, end, label: self.label(first) });
            }
        }
    }

    /// The day on which the period begins that a day is in.
    fn first_day(&self, day: NaiveDate) -> Option<NaiveDate> {
        match self.cycle {
            Cycle::Month => day.with_day(1),
            Cycle::MonthFrom(anchor) => {
                let here = anchored(day.year(), day.month(), anchor)?;
                if here <= day {
                    return Some(here);
                }
                let before = day.with_day(1)?.checked_sub_months(Months::new(1))?;
                anchored(before.year(), before.month(), anchor)
            }
            Cycle::Week => day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday()))),
            Cycle::Day | Cycle::Millis(_) => Some(day),
        }
    }

    /// The day on which the next period begins.
    fn next(&self, first: NaiveDate) -> Option<NaiveDate> {
        match self.cycle {
            Cycle::Month => first.checked_add_months(Months::new(1)),
            Cycle::MonthFrom(anchor) => {
                let next = first.with_day(1)?.checked_add_months(Months::new(1))?;
                anchored(next.year(), next.month(), anchor)
            }
            Cycle::Week => first.checked_add_days(Days::new(7)),
            Cycle::Day | Cycle::Millis(_) => first.succ_opt(),
        }
    }

    fn label(&self, first: NaiveDate) -> String {
        match self.cycle {
            Cycle::Month => first.format("%Y-%m").to_string(),
            _ => first.format("%Y-%m-%d").to_string(),
        }
    }
}

/// The anchor's day in a month, or the month's last day.
fn anchored(year: i32, month: u32, anchor: u32) -> Option<NaiveDate> {
    (0..4).find_map(|back| NaiveDate::from_ymd_opt(year, month, anchor.saturating_sub(back)))
}

fn fixed(at: Time, millis: u64) -> Option<Period> {
    let length = i64::try_from(millis).ok()?;
    let start = at.millis().checked_sub(at.millis().rem_euclid(length))?;
    let end = Time::from_millis(start.checked_add(length)?);
    let label = DateTime::from_timestamp_millis(start)?.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
    Some(Period { start: Time::from_millis(start), end, label })
}
