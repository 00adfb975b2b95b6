//! When something is to run.

mod calendar;
mod error;
mod expression;
mod zone;

use std::time::Duration;

use loomwork_core::Time;
use serde::{Deserialize, Serialize};

pub use calendar::Weekday;
use calendar::{MissingDay, MonthDay, TimeOfDay};
pub use error::ScheduleError;
use expression::Expression;
use zone::Zone;

/// Cron's own grain: what must run more often is a loop, not a schedule.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// A hundred years; what is longer is a slip in the unit.
const LONGEST_INTERVAL: Duration = Duration::from_secs(36_500 * 24 * 60 * 60);

/// When something is to run: once, at an interval, or at times of the calendar in a time zone.
///
/// The zone is UTC unless [`in_zone`](Self::in_zone) says another. An interval and a single moment have
/// no use for it.
///
/// # Where clocks are changed
///
/// A time that the clocks skip runs at the first one that exists after the gap, which is a whole minute
/// in all zones of today: a daily run at 02:30 is at 03:00 on the day on which 02:00 becomes 03:00. A
/// time that they show twice runs the first time only. This holds for every kind but
/// [`hourly`](Self::hourly), and for an expression such as `*/5 * * * *` too: while an hour repeats
/// itself, it rests. What must go on is an interval or hourly.
///
/// # As JSON
///
/// An object with a `kind` and what belongs to it, and the `zone` unless that is UTC:
/// `{"kind":"monthly","day":2,"hour":0,"minute":0,"missingDay":"skip","zone":"Europe/Berlin"}`. The other
/// kinds are `{"kind":"interval","everyMs":60000}`, `{"kind":"once","at":0}`,
/// `{"kind":"hourly","minute":30}`, `{"kind":"daily","hour":2,"minute":30}`,
/// `{"kind":"weekly","weekday":"monday","hour":2,"minute":30}` and
/// `{"kind":"cron","expression":"0 0 * * 1"}`. What is not valid is not read.
///
/// # Example
///
/// ```
/// use loomwork_core::Time;
/// use loomwork_workpool::{Schedule, ScheduleError, Weekday};
///
/// # fn main() -> Result<(), ScheduleError> {
/// let invoices = Schedule::monthly(2, 0, 0);
/// let report = Schedule::weekly(Weekday::Monday, 9, 0).in_zone("Europe/Berlin")?;
/// let vacuum = Schedule::cron("*/10 * * * SAT,SUN")?;
///
/// let registered = Time::from_millis(1_769_860_800_000);
/// assert_eq!(registered.to_string(), "2026-01-31T12:00:00.000Z");
/// let next = |schedule: &Schedule| {
///     schedule.next_after(registered, registered).map(|time| time.to_string())
/// };
/// assert_eq!(next(&invoices).as_deref(), Some("2026-02-02T00:00:00.000Z"));
/// assert_eq!(next(&report).as_deref(), Some("2026-02-02T08:00:00.000Z"));
/// assert_eq!(next(&vacuum).as_deref(), Some("2026-01-31T12:10:00.000Z"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Schedule {
    #[serde(flatten)]
    rule: Rule,
    #[serde(skip_serializing_if = "Zone::is_utc")]
    zone: Zone,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Rule {
    Interval {
        every_ms: u64,
    },
    Once {
        at: Time,
    },
    Hourly {
        minute: u8,
    },
    Daily(TimeOfDay),
    Weekly {
        weekday: Weekday,
        #[serde(flatten)]
        time: TimeOfDay,
    },
    Monthly {
        #[serde(flatten)]
        day: MonthDay,
        #[serde(flatten)]
        time: TimeOfDay,
    },
    Cron {
        expression: Expression,
    },
}

impl Schedule {
    /// Returns the schedule of a run at each multiple of an interval, counted from its anchor.
    ///
    /// Valid are intervals from one second to a hundred years; a rest below a millisecond is dropped.
    pub const fn every(interval: Duration) -> Self {
        let millis = interval.as_millis();
        let every_ms = if millis > u64::MAX as u128 { u64::MAX } else { millis as u64 };
        Self::of(Rule::Interval { every_ms })
    }

    /// Returns the schedule of a single run.
    pub const fn at(time: Time) -> Self {
        Self::of(Rule::Once { at: time })
    }

    /// Returns the schedule of a run at this minute of every hour, from 0 to 59.
    ///
    /// Real hours count: where the clocks are changed by whole hours, runs stay 60 minutes apart. Where
    /// they are changed by half an hour, one run is 30 or 90 minutes after the one before.
    pub const fn hourly(minute: u8) -> Self {
        Self::of(Rule::Hourly { minute })
    }

    /// Returns the schedule of a run every day at a time, from 0:00 to 23:59.
    pub const fn daily(hour: u8, minute: u8) -> Self {
        Self::of(Rule::Daily(TimeOfDay { hour, minute }))
    }

    /// Returns the schedule of a run on a day of every week, at a time from 0:00 to 23:59.
    pub const fn weekly(weekday: Weekday, hour: u8, minute: u8) -> Self {
        Self::of(Rule::Weekly { weekday, time: TimeOfDay { hour, minute } })
    }

    /// Returns the schedule of a run on a day of every month, from 1 to 31, at a time from 0:00 to 23:59.
    ///
    /// A month without that day has no run: on the 31st, seven months of a year have one.
    /// [`monthly_clamped`](Self::monthly_clamped) takes such a month's last day.
    pub const fn monthly(day: u8, hour: u8, minute: u8) -> Self {
        Self::of_month(day, MissingDay::Skip, TimeOfDay { hour, minute })
    }

    /// Returns the schedule of a run on a day of every month, or on the last day of a month without it.
    pub const fn monthly_clamped(day: u8, hour: u8, minute: u8) -> Self {
        Self::of_month(day, MissingDay::Clamp, TimeOfDay { hour, minute })
    }

    /// Returns the schedule of a cron expression, as Unix has them.
    ///
    /// Its fields are minute, hour, day of month, month and day of week; a sixth one before them is the
    /// second. Each is `*`, a value, a range `1-5`, a list `1,3,10-12`, and any of these with a step:
    /// `*/15`, `10-20/5`, or `30/10` for 30 and every tenth one from there. Months and days of the week
    /// have names, `JAN` and `mon`; Sunday is 0 and 7. `L` is the last day of the month. Instead of
    /// fields there may be `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, `@midnight` or
    /// `@annually`.
    ///
    /// Where both day fields are restricted, a day need match only one: `0 0 13 * 5` runs on every 13th
    /// and on every Friday. A field with a `*` in it, `*/2` too, is not restricted; then both must match.
    ///
    /// # Errors
    ///
    /// Says which field is wrong, and what would be right. An expression that never fires, such as that
    /// of a 31 February, is refused.
    pub fn cron(expression: &str) -> Result<Self, ScheduleError> {
        Ok(Self::of(Rule::Cron { expression: Expression::parse(expression)? }))
    }

    /// Takes the clocks of a time zone, by its name in the IANA database: `Europe/Berlin`.
    ///
    /// # Errors
    ///
    /// Refuses a name that is not in the database, and says a similar one.
    pub fn in_zone(self, name: &str) -> Result<Self, ScheduleError> {
        Ok(Self { zone: Zone::parse(name)?, ..self })
    }

    /// Returns the name of the time zone.
    pub fn zone(&self) -> &'static str {
        self.zone.name()
    }

    /// Checks the numbers that constructors took as they were.
    ///
    /// # Errors
    ///
    /// Names the number that is wrong, and what would be right.
    pub fn validate(&self) -> Result<(), ScheduleError> {
        match &self.rule {
            Rule::Interval { every_ms } => check_interval(Duration::from_millis(*every_ms)),
            Rule::Hourly { minute } => error::check_range("minute", *minute, 0..=59),
            Rule::Daily(time) | Rule::Weekly { time, .. } => time.validate(),
            Rule::Monthly { day, time } => day.validate().and_then(|()| time.validate()),
            Rule::Once { .. } | Rule::Cron { .. } => Ok(()),
        }
    }

    /// Returns the first run after a moment, if there is any. It is never that moment itself.
    ///
    /// The runs of an interval are at its anchor and at every multiple of the interval after it, so they
    /// never drift; other kinds have no use for the anchor. What is not [valid](Self::validate) never
    /// runs. Calendars reach from the year 0 to 9999: before them counts as their beginning, and after
    /// them there is nothing. The rules of time zones are known until 2100; later clocks stay as they
    /// are then.
    pub fn next_after(&self, after: Time, anchor: Time) -> Option<Time> {
        self.validate().ok()?;
        let zone = self.zone;
        match &self.rule {
            Rule::Interval { every_ms } => next_on_grid(after, anchor, *every_ms),
            Rule::Once { at } => (*at > after).then_some(*at),
            Rule::Hourly { minute } => zone.next_minute_of_hour(after, *minute),
            Rule::Daily(time) => zone.next(after, |shown| time.next_on(shown, |_| true)),
            Rule::Weekly { weekday, time } => {
                zone.next(after, |shown| time.next_on(shown, |date| weekday.is_of(date)))
            }
            Rule::Monthly { day, time } => {
                zone.next(after, |shown| time.next_on(shown, |date| day.is_of(date)))
            }
            Rule::Cron { expression } => zone.next(after, |shown| expression.next(shown)),
        }
    }

    const fn of_month(day: u8, missing_day: MissingDay, time: TimeOfDay) -> Self {
        Self::of(Rule::Monthly { day: MonthDay { day, missing_day }, time })
    }

    const fn of(rule: Rule) -> Self {
        Self { rule, zone: Zone::UTC }
    }
}

fn check_interval(found: Duration) -> Result<(), ScheduleError> {
    let is_right = (SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&found);
    if is_right { Ok(()) } else { Err(ScheduleError::Interval { found }) }
}

fn next_on_grid(after: Time, anchor: Time, every_ms: u64) -> Option<Time> {
    if after < anchor {
        return Some(anchor);
    }
    let (after, anchor, every) =
        (i128::from(after.millis()), i128::from(anchor.millis()), i128::from(every_ms));
    let past = (after - anchor) / every;
    let next = anchor + (past + 1) * every;
    i64::try_from(next).ok().map(Time::from_millis)
}

/// A schedule as it was stored, by whomever.
#[derive(Deserialize)]
struct Unchecked {
    #[serde(flatten)]
    rule: Rule,
    #[serde(default)]
    zone: Zone,
}

impl TryFrom<Unchecked> for Schedule {
    type Error = ScheduleError;

    fn try_from(Unchecked { rule, zone }: Unchecked) -> Result<Self, ScheduleError> {
        let schedule = Self { rule, zone };
        schedule.validate()?;
        Ok(schedule)
    }
}
