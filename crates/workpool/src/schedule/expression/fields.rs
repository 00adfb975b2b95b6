//! What an expression says, field by field.

use std::collections::BTreeSet;

use super::ScheduleError;

/// The shortcuts, and what each stands for.
const SHORTCUTS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];
const SHORTCUT_NAMES: [&str; SHORTCUTS.len()] = {
    let mut names = [""; SHORTCUTS.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = SHORTCUTS[index].0;
        index += 1;
    }
    names
};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const SECOND: Unit = Unit { name: "second", first: 0, last: 59, highest: 59, names: &[] };
const MINUTE: Unit = Unit { name: "minute", first: 0, last: 59, highest: 59, names: &[] };
const HOUR: Unit = Unit { name: "hour", first: 0, last: 23, highest: 23, names: &[] };
const DAY: Unit = Unit { name: "day of month", first: 1, last: 31, highest: 31, names: &[] };
const MONTH: Unit = Unit { name: "month", first: 1, last: 12, highest: 12, names: &MONTHS };
/// Sunday is 0, and 7 as well, so that a range can end with it.
const WEEKDAY: Unit = Unit { name: "day of week", first: 0, last: 6, highest: 7, names: &WEEKDAYS };

/// What the fields name.
pub(super) struct Fields {
    pub(super) seconds: Values,
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) days: Days,
    pub(super) months: Values,
    /// From 0, which is Sunday, to 6.
    pub(super) weekdays: Days,
}

pub(super) type Values = BTreeSet<u8>;

/// The days that a field names.
#[derive(Default)]
pub(super) struct Days {
    pub(super) values: Values,
    /// `L`: the last day of the month, whichever that is.
    pub(super) has_last: bool,
    /// Whether there is a `*` in the field: it then leaves days out, and adds none of its own.
    pub(super) has_star: bool,
}

impl Fields {
    pub(super) fn parse(expression: &str) -> Result<Self, ScheduleError> {
        let plain = without_shortcut(expression)?;
        let texts: Vec<&str> = plain.split_ascii_whitespace().collect();
        let (second, rest) = match *texts.as_slice() {
            [second, ref rest @ ..] if rest.len() == 5 => (second, rest),
            ref rest => ("0", rest),
        };
        let &[minute, hour, day, month, weekday] = rest else {
            return Err(ScheduleError::FieldCount { expression: expression.to_owned(), found: texts.len() });
        };
        let parse = |unit: &Unit, text: &str| {
            unit.parse(text).map_err(|Wrong { found, right }| ScheduleError::Field {
                expression: expression.to_owned(),
                field: unit.name,
                found,
                right,
            })
        };
        let mut weekdays = parse(&WEEKDAY, weekday)?;
        if weekdays.values.remove(&WEEKDAY.highest) {
            weekdays.values.insert(WEEKDAY.first);
        }
        Ok(Self {
            seconds: parse(&SECOND, second)?.values,
            minutes: parse(&MINUTE, minute)?.values,
            hours: parse(&HOUR, hour)?.values,
            days: parse(&DAY, day)?,
            months: parse(&MONTH, month)?.values,
            weekdays,
        })
    }
}

fn without_shortcut(expression: &str) -> Result<&str, ScheduleError> {
    let text = expression.trim();
    if !text.starts_with('@') {
        return Ok(text);
    }
    let known = SHORTCUTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
    let unknown = || ScheduleError::Shortcut { found: text.to_owned(), right: &SHORTCUT_NAMES };
    known.map(|(_, plain)| *plain).ok_or_else(unknown)
}

/// What a field counts.
struct Unit {
    name: &'static str,
    first: u8,
    /// The last value that `*` stands for.
    last: u8,
    /// The last value that may be written.
    highest: u8,
    /// The names of the values, from the first on.
    names: &'static [&'static str],
}

/// A part of a field that means nothing, and what would.
struct Wrong {
    found: String,
    right: String,
}

impl Wrong {
    fn new(found: &str, right: String) -> Self {
        Self { found: found.to_owned(), right }
    }
}

impl Unit {
    /// Reads a list such as `1,10-20/5`.
    fn parse(&self, text: &str) -> Result<Days, Wrong> {
        let mut days = Days::default();
        for item in text.split(',') {
            if self.name == DAY.name && item.eq_ignore_ascii_case("L") {
                days.has_last = true;
                continue;
            }
            days.has_star |= item.starts_with('*');
            let (start, end, step) = self.parse_item(item)?;
            days.values.extend((start..=end).step_by(step));
        }
        Ok(days)
    }

    /// Reads `*`, a value or a range, each perhaps with a step, as first value, last value and step.
    fn parse_item(&self, item: &str) -> Result<(u8, u8, usize), Wrong> {
        let (base, step) = match item.split_once('/') {
            Some((base, step)) => (base, Some(self.parse_step(item, step)?)),
            None => (item, None),
        };
        let (start, end) = match base.split_once('-') {
            _ if base == "*" => (self.first, self.last),
            Some((start, end)) => self.parse_range(base, start, end)?,
            // With a step, a value is where it begins.
            None if step.is_some() => {
                let start = self.parse_value(base)?;
                (start, self.last.max(start))
            }
            None => {
                let value = self.parse_value(base)?;
                (value, value)
            }
        };
        Ok((start, end, step.unwrap_or(1)))
    }

    fn parse_range(&self, range: &str, start_text: &str, end_text: &str) -> Result<(u8, u8), Wrong> {
        let (start, end) = (self.parse_value(start_text)?, self.parse_value(end_text)?);
        if start > end {
            let (first, highest) = (self.first, self.highest);
            let right = format!("a range that goes up: `{start_text}-{highest},{first}-{end_text}`");
            return Err(Wrong::new(range, right));
        }
        Ok((start, end))
    }

    fn parse_step(&self, item: &str, step: &str) -> Result<usize, Wrong> {
        let wrong = || Wrong::new(item, format!("a step from 1 to {}", self.highest));
        let step = parse_number(step).ok_or_else(wrong)?;
        if (1..=self.highest).contains(&step) { Ok(step.into()) } else { Err(wrong()) }
    }

    fn parse_value(&self, text: &str) -> Result<u8, Wrong> {
        let named = (self.first..).zip(self.names).find(|(_, name)| name.eq_ignore_ascii_case(text));
        let value = named.map(|(value, _)| value).or_else(|| parse_number(text));
        let value = value.filter(|value| (self.first..=self.highest).contains(value));
        value.ok_or_else(|| Wrong::new(text, self.right_values()))
    }

    fn right_values(&self) -> String {
        let numbers = format!("from {} to {}, or `*` for any", self.first, self.highest);
        match *self.names {
            [first, .., last] => format!("{numbers}, or from {first} to {last}"),
            _ if self.name == DAY.name => format!("{numbers}, or `L` for the last"),
            _ => numbers,
        }
    }
}

fn parse_number(text: &str) -> Option<u8> {
    // `u8::from_str` takes a sign, too.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
