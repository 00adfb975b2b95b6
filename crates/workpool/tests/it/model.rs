//! Schedules as a person with much time would work them out: minute by minute, without sets, patterns
//! or searches. It shares nothing with the crate but the time zone database.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;
use loomwork_core::Time;

/// Returns the runs in the days that follow a moment: a run is where the clocks first reach or pass a
/// minute that matches.
pub(crate) fn runs(zone: Tz, after: Time, days: i64, matches: impl Fn(NaiveDateTime) -> bool) -> Vec<Time> {
    // Begin early enough for clocks that were just set back.
    let mut reached = shown(zone, minutes(after) - 48 * 60);
    let all = minutes(after) - 48 * 60..=minutes(after) + days * 24 * 60;
    let is_run = |minute: &i64| {
        let now = shown(zone, *minute);
        let mut is_run = false;
        while reached < now {
            reached += TimeDelta::minutes(1);
            is_run |= matches(reached);
        }
        is_run
    };
    let runs: Vec<i64> = all.filter(is_run).collect();
    runs.into_iter().map(|minute| Time::from_millis(minute * 60_000)).filter(|run| *run > after).collect()
}

/// Returns every minute that matches in the days that follow a moment, as often as clocks show it.
pub(crate) fn real_runs(
    zone: Tz,
    after: Time,
    days: i64,
    matches: impl Fn(NaiveDateTime) -> bool,
) -> Vec<Time> {
    let all = minutes(after) + 1..=minutes(after) + days * 24 * 60;
    let matching = all.filter(|minute| matches(shown(zone, *minute)));
    matching.map(|minute| Time::from_millis(minute * 60_000)).collect()
}

fn minutes(time: Time) -> i64 {
    time.millis().div_euclid(60_000)
}

fn shown(zone: Tz, minute: i64) -> NaiveDateTime {
    let utc = DateTime::from_timestamp(minute * 60, 0).expect("the calendar has it").naive_utc();
    zone.from_utc_datetime(&utc).naive_local()
}

/// A part of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    Star,
    StarStep(u32),
    Value(u32),
    ValueStep(u32, u32),
    Range(u32, u32),
    RangeStep(u32, u32, u32),
    Last,
}

impl Part {
    fn text(self) -> String {
        match self {
            Self::Star => "*".to_owned(),
            Self::StarStep(step) => format!("*/{step}"),
            Self::Value(value) => value.to_string(),
            Self::ValueStep(start, step) => format!("{start}/{step}"),
            Self::Range(start, end) => format!("{start}-{end}"),
            Self::RangeStep(start, end, step) => format!("{start}-{end}/{step}"),
            Self::Last => "L".to_owned(),
        }
    }

    fn has_star(self) -> bool {
        matches!(self, Self::Star | Self::StarStep(_))
    }

    fn matches(self, value: u32, first: u32) -> bool {
        match self {
            Self::Star => true,
            Self::StarStep(step) => (value - first).is_multiple_of(step),
            Self::Value(wanted) => value == wanted,
            Self::ValueStep(start, step) => value >= start && (value - start).is_multiple_of(step),
            Self::Range(start, end) => (start..=end).contains(&value),
            Self::RangeStep(start, end, step) => {
                (start..=end).contains(&value) && (value - start).is_multiple_of(step)
            }
            Self::Last => false,
        }
    }
}

/// A cron expression by its parts.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    pub(crate) minute: Vec<Part>,
    pub(crate) hour: Vec<Part>,
    pub(crate) day: Vec<Part>,
    pub(crate) month: Vec<Part>,
    pub(crate) weekday: Vec<Part>,
}

impl Expression {
    pub(crate) fn text(&self) -> String {
        let fields = [&self.minute, &self.hour, &self.day, &self.month, &self.weekday];
        fields.map(|parts| parts.iter().map(|part| part.text()).collect::<Vec<_>>().join(",")).join(" ")
    }

    pub(crate) fn matches(&self, shown: NaiveDateTime) -> bool {
        let any = |parts: &[Part], value, first| parts.iter().any(|part| part.matches(value, first));
        any(&self.minute, shown.minute(), 0)
            && any(&self.hour, shown.hour(), 0)
            && any(&self.month, shown.month(), 1)
            && self.matches_day(shown)
    }

    fn matches_day(&self, shown: NaiveDateTime) -> bool {
        let is_last = (shown + TimeDelta::days(1)).month() != shown.month();
        let day = self.day.iter().any(|part| match part {
            Part::Last => is_last,
            _ => part.matches(shown.day(), 1),
        });
        let number = shown.weekday().num_days_from_sunday();
        let weekday = self.weekday.iter().any(|part| match part {
            // 7 is written for Sunday in ranges and alone; a step from a value ends on Saturday.
            Part::Value(7) => number == 0,
            Part::Range(_, 7) | Part::RangeStep(_, 7, _) if number == 0 => {
                part.matches(7, 0) || part.matches(0, 0)
            }
            _ => part.matches(number, 0),
        });
        if self.day.iter().chain(&self.weekday).any(|part| part.has_star()) {
            day && weekday
        } else {
            day || weekday
        }
    }
}
