//! What can be wrong with a schedule.

use std::{ops::RangeInclusive, time::Duration};

use loomwork_core::{Fault, Kind};

use super::{LONGEST_INTERVAL, SHORTEST_INTERVAL};

/// Why a schedule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// An interval is too short, or longer than anybody could mean.
    #[error(
        "interval is {found:?}, it must be from {SHORTEST_INTERVAL:?} to {} days",
        LONGEST_INTERVAL.as_secs() / 86_400
    )]
    Interval {
        /// The interval.
        found: Duration,
    },
    /// A minute, an hour or a day of the month that does not exist.
    #[error("{field} is {found}, it must be from {} to {}", allowed.start(), allowed.end())]
    Range {
        /// Which of them.
        field: &'static str,
        /// Its value.
        found: u8,
        /// The values that exist.
        allowed: RangeInclusive<u8>,
    },
    /// A time zone that does not exist.
    #[error("time zone is `{found}`, it must be a name of the IANA database, such as `{near}`")]
    Zone {
        /// The name.
        found: String,
        /// A name that exists: a similar one if there is one.
        near: &'static str,
    },
    /// A cron expression with too few or too many fields.
    #[error(
        "cron expression `{expression}` has {found} fields, it must have 5 (minute, hour, day of month, \
         month, day of week), or 6 with the second before them"
    )]
    FieldCount {
        /// The expression.
        expression: String,
        /// How many fields it has.
        found: usize,
    },
    /// A field of a cron expression that means nothing.
    #[error("cron expression `{expression}` has `{found}` as {field}, it must be {right}")]
    Field {
        /// The expression.
        expression: String,
        /// Which field.
        field: &'static str,
        /// The part of the field that is wrong.
        found: String,
        /// What would be right.
        right: String,
    },
    /// A cron expression that begins with `@` and is no shortcut.
    #[error("cron expression is `{found}`, it must be one of {}", right.join(", "))]
    Shortcut {
        /// The expression.
        found: String,
        /// The shortcuts that exist.
        right: &'static [&'static str],
    },
    /// A cron expression that no date fits.
    #[error("cron expression `{expression}` never fires, it must name a day that its months have")]
    NeverFires {
        /// The expression.
        expression: String,
    },
    /// A text that is far too long to be a cron expression.
    #[error("cron expression has {found} bytes, it must have at most {allowed}")]
    TooLong {
        /// How many bytes it has.
        found: usize,
        /// How many it may have.
        allowed: usize,
    },
}

impl Fault for ScheduleError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

pub(super) fn check_range(
    field: &'static str,
    found: u8,
    allowed: RangeInclusive<u8>,
) -> Result<(), ScheduleError> {
    if allowed.contains(&found) { Ok(()) } else { Err(ScheduleError::Range { field, found, allowed }) }
}
