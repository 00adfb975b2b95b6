//! Expressions in the words of the `cron` crate.
//!
//! That crate wants seconds and counts Sunday as 1; it does not know `L`; it joins both kinds of days
//! with "and", where Unix means "or"; and its calendar ends in 2100. So an expression becomes one or
//! more patterns, of which any may match, and each year is searched in a [twin](twin_of) of it.

use std::{collections::BTreeSet, ops::RangeInclusive};

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::fields::{Fields, Values};

/// A whole cycle of leap years and weekdays: it has twins of all years.
const TWINS: RangeInclusive<i32> = 1972..=1999;

/// How far ahead a match is looked for. Nothing is rarer than 29 February on a given day of the week,
/// which comes every 28 years, and after 40 where a century without a leap day lies between.
const YEARS_AHEAD: i32 = 40;

const ALL_YEARS: &str = "1972-1999";
const COMMON_YEARS: &str = "1973-1999/4,1974-1999/4,1975-1999/4";

/// The last days of months: the day, its months and its years. A 29 February is only in leap years.
const LAST_DAYS: [(u8, &[u8], &str); 4] = [
    (31, &[1, 3, 5, 7, 8, 10, 12], ALL_YEARS),
    (30, &[4, 6, 9, 11], ALL_YEARS),
    (29, &[2], ALL_YEARS),
    (28, &[2], COMMON_YEARS),
];

/// Patterns of times, of which any may match.
pub(super) struct Patterns(Vec<cron::Schedule>);

impl Patterns {
    pub(super) fn of(fields: &Fields) -> Self {
        let times = [&fields.seconds, &fields.minutes, &fields.hours].map(list).join(" ");
        Self(days_of(fields).iter().filter_map(|days| days.at(&times)).collect())
    }

    /// Whether there is a match in any year.
    pub(super) fn ever_match(&self) -> bool {
        TWINS.into_iter().any(|year| self.next_in(year, None).is_some())
    }

    pub(super) fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let this_year = after.year();
        self.next_in(this_year, Some(after))
            .or_else(|| (1..=YEARS_AHEAD).find_map(|ahead| self.next_in(this_year + ahead, None)))
    }

    /// Returns the first match in a year that is after a time of that year, or in the whole of it.
    fn next_in(&self, year: i32, after: Option<NaiveDateTime>) -> Option<NaiveDateTime> {
        let twin = twin_of(year)?;
        let after = match after {
            Some(after) => after.with_year(twin)?,
            None => NaiveDate::from_ymd_opt(twin, 1, 1)?.and_time(NaiveTime::MIN) - TimeDelta::seconds(1),
        };
        let nexts = self.0.iter().filter_map(|pattern| pattern.after(&after.and_utc()).next());
        let first = nexts.filter(|next| next.year() == twin).min()?;
        first.naive_utc().with_year(year)
    }
}

/// Returns a year with the same dates on the same days of the week.
fn twin_of(year: i32) -> Option<i32> {
    let shape = |year| {
        let first = NaiveDate::from_ymd_opt(year, 1, 1)?;
        Some((first.leap_year(), first.weekday()))
    };
    let wanted = shape(year)?;
    TWINS.into_iter().find(|twin| shape(*twin) == Some(wanted))
}

/// Days that match if they match in all four ways.
struct Days {
    days: Values,
    months: Values,
    /// From 0, which is Sunday.
    weekdays: Values,
    years: &'static str,
}

/// Splits what an expression says of days into parts, of which any may match.
fn days_of(fields: &Fields) -> Vec<Days> {
    // As cron's manual has it: with a `*` in one of them, a day must match both fields.
    let is_either = !fields.days.has_star && !fields.weekdays.has_star;
    let all_weekdays = || Values::from_iter(0..=6);
    let weekdays = if is_either { all_weekdays() } else { fields.weekdays.values.clone() };
    let of_month =
        |days: Values, months: Values, years| Days { days, months, weekdays: weekdays.clone(), years };

    let mut parts = vec![of_month(fields.days.values.clone(), fields.months.clone(), ALL_YEARS)];
    if fields.days.has_last {
        parts.extend(LAST_DAYS.map(|(day, months, years)| {
            let months = months.iter().copied().filter(|month| fields.months.contains(month));
            of_month(Values::from([day]), months.collect(), years)
        }));
    }
    if is_either {
        let (days, months) = (Values::from_iter(1..=31), fields.months.clone());
        parts.push(Days { days, months, weekdays: fields.weekdays.values.clone(), years: ALL_YEARS });
    }
    parts
}

impl Days {
    /// Returns the pattern of these days at times in the crate's words, if there are such days.
    fn at(&self, times: &str) -> Option<cron::Schedule> {
        if [&self.days, &self.months, &self.weekdays].into_iter().any(BTreeSet::is_empty) {
            return None;
        }
        let weekdays = self.weekdays.iter().map(|day| day + 1).collect();
        let [days, months, weekdays] = [&self.days, &self.months, &weekdays].map(list);
        let text = format!("{times} {days} {months} {weekdays} {}", self.years);
        Some(text.parse().expect("lists of numbers in their ranges are in the crate's grammar"))
    }
}

fn list(values: &Values) -> String {
    values.iter().map(u8::to_string).collect::<Vec<_>>().join(",")
}
