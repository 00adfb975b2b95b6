//! Days of the calendar, and times of day, on the clocks of some place.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime};
use serde::{Deserialize, Serialize};

use super::{ScheduleError, error};

/// How many days ahead a day of the month is looked for: the 31sts of two months are at most 61 days
/// apart.
const DAYS_AHEAD: usize = 62;

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    pub(super) fn is_of(self, date: NaiveDate) -> bool {
        let day = match self {
            Self::Monday => chrono::Weekday::Mon,
            Self::Tuesday => chrono::Weekday::Tue,
            Self::Wednesday => chrono::Weekday::Wed,
            Self::Thursday => chrono::Weekday::Thu,
            Self::Friday => chrono::Weekday::Fri,
            Self::Saturday => chrono::Weekday::Sat,
            Self::Sunday => chrono::Weekday::Sun,
        };
        date.weekday() == day
    }
}

/// What a month does that lacks the day of a monthly schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum MissingDay {
    /// It has no run.
    #[default]
    Skip,
    /// It has its run on its last day.
    Clamp,
}

/// A day of the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MonthDay {
    pub(super) day: u8,
    #[serde(default)]
    pub(super) missing_day: MissingDay,
}

impl MonthDay {
    pub(super) fn validate(self) -> Result<(), ScheduleError> {
        error::check_range("day", self.day, 1..=31)
    }

    pub(super) fn is_of(self, date: NaiveDate) -> bool {
        let day = match self.missing_day {
            MissingDay::Skip => self.day,
            MissingDay::Clamp => self.day.min(date.num_days_in_month()),
        };
        date.day() == u32::from(day)
    }
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TimeOfDay {
    pub(super) hour: u8,
    pub(super) minute: u8,
}

impl TimeOfDay {
    pub(super) fn validate(self) -> Result<(), ScheduleError> {
        error::check_range("hour", self.hour, 0..=23)?;
        error::check_range("minute", self.minute, 0..=59)
    }

    /// Returns this time on the first day that is right, if that is after the given moment.
    pub(super) fn next_on(
        self,
        after: NaiveDateTime,
        is_right: impl Fn(NaiveDate) -> bool,
    ) -> Option<NaiveDateTime> {
        let time = NaiveTime::from_hms_opt(self.hour.into(), self.minute.into(), 0)?;
        let first = if after.time() < time { after.date() } else { after.date().succ_opt()? };
        let day = first.iter_days().take(DAYS_AHEAD).find(|day| is_right(*day))?;
        Some(day.and_time(time))
    }
}
