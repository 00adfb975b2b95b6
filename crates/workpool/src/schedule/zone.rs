//! What the clocks of a place show, and when.

mod near;

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use loomwork_core::Time;
use serde::{Deserialize, Serialize};

use super::ScheduleError;

const MILLIS_PER_MINUTE: i64 = 60_000;
const MILLIS_PER_HOUR: i64 = 60 * MILLIS_PER_MINUTE;

/// Calendars reach from the year 0 to the year 9999, as far as RFC 3339 can write: dates do not overflow
/// there, also when a search looks decades ahead.
const FIRST_YEAR: i32 = 0;
const LAST_YEAR: i32 = 9999;

/// A time zone of the IANA database; UTC by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub(super) struct Zone(Tz);

impl Zone {
    pub(super) const UTC: Self = Self(Tz::UTC);

    pub(super) fn parse(name: &str) -> Result<Self, ScheduleError> {
        let unknown = |_| ScheduleError::Zone { found: name.to_owned(), near: near::name_like(name) };
        name.parse().map(Self).map_err(unknown)
    }

    pub(super) fn name(self) -> &'static str {
        self.0.name()
    }

    pub(super) fn is_utc(&self) -> bool {
        *self == Self::UTC
    }

    /// Returns the first moment after the given one at which the clocks show a time that is wanted.
    ///
    /// `next` returns the first wanted time after what the clocks show. A time that they skip counts as
    /// the first one after the gap; of one that they show twice, the first counts. So later times never
    /// come at earlier moments, and no time that is not after what the clocks show now can lie ahead.
    pub(super) fn next(
        self,
        after: Time,
        next: impl Fn(NaiveDateTime) -> Option<NaiveDateTime>,
    ) -> Option<Time> {
        let after = within_calendar(after)?;
        let mut shown = self.shown_at(after)?;
        loop {
            let wanted = next(shown)?;
            let moment = self.first_moment(wanted)?;
            if moment > after {
                return Some(moment);
            }
            // The clocks were set back and show for the second time what they showed at `moment`. All
            // times until the end of the repetition have had their turn.
            shown = self.last_shown_before_change(moment, after).map_or(wanted, |last| last.max(wanted));
        }
    }

    /// Returns the first moment after the given one at which the clocks show this minute of any hour.
    ///
    /// Where they are set back, both passes of an hour count: it is for what runs once in a real hour.
    pub(super) fn next_minute_of_hour(self, after: Time, minute: u8) -> Option<Time> {
        let mut from = within_calendar(after)?.millis() + 1;
        loop {
            let offset = self.offset_at(from)?;
            let into_hour = i64::from(minute) * MILLIS_PER_MINUTE - (from + offset);
            let moment = from + into_hour.rem_euclid(MILLIS_PER_HOUR);
            match self.change_between(from, moment) {
                None => return Some(Time::from_millis(moment)),
                Some(change) => from = change,
            }
        }
    }

    fn shown_at(self, moment: Time) -> Option<NaiveDateTime> {
        Some(DateTime::from_timestamp_millis(moment.millis())?.with_timezone(&self.0).naive_local())
    }

    fn first_moment(self, shown: NaiveDateTime) -> Option<Time> {
        let moment = match self.0.from_local_datetime(&shown).earliest() {
            Some(moment) => moment,
            None => GapInfo::new(&shown, &self.0)?.end?,
        };
        Some(Time::from_millis(moment.timestamp_millis()))
    }

    /// Returns the last that the clocks showed before they were changed between two moments.
    fn last_shown_before_change(self, from: Time, to: Time) -> Option<NaiveDateTime> {
        let change = self.change_between(from.millis(), to.millis())?;
        self.shown_at(Time::from_millis(change - 1))
    }

    /// Returns the first moment of another offset, if the offset is another one at the end.
    fn change_between(self, from: i64, to: i64) -> Option<i64> {
        let offset = self.offset_at(from)?;
        if self.offset_at(to)? == offset {
            return None;
        }
        let (mut before, mut after) = (from, to);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            if self.offset_at(middle)? == offset { before = middle } else { after = middle }
        }
        Some(after)
    }

    /// Returns by how many milliseconds the clocks are ahead of UTC.
    fn offset_at(self, millis: i64) -> Option<i64> {
        let moment = DateTime::from_timestamp_millis(millis)?.naive_utc();
        let offset = self.0.offset_from_utc_datetime(&moment).fix();
        Some(i64::from(offset.local_minus_utc()) * 1000)
    }
}

impl TryFrom<String> for Zone {
    type Error = ScheduleError;

    fn try_from(name: String) -> Result<Self, ScheduleError> {
        Self::parse(&name)
    }
}

impl From<Zone> for &'static str {
    fn from(zone: Zone) -> Self {
        zone.name()
    }
}

/// Returns the moment, or the beginning of calendars if that is later; nothing after their end.
fn within_calendar(moment: Time) -> Option<Time> {
    let start_of = |year| Some(NaiveDate::from_ymd_opt(year, 1, 1)?.and_time(NaiveTime::MIN).and_utc());
    let millis_of = |moment: DateTime<Utc>| Time::from_millis(moment.timestamp_millis());
    let (first, end) = (millis_of(start_of(FIRST_YEAR)?), millis_of(start_of(LAST_YEAR + 1)?));
    (moment < end).then(|| moment.max(first))
}
