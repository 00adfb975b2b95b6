//! Cron expressions, as Unix has them.

mod fields;
mod patterns;

use std::{fmt, sync::Arc};

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use super::ScheduleError;
use fields::Fields;
use patterns::Patterns;

/// Enough to list every minute and every second, and a bound on what a stranger can make us read.
const LONGEST: usize = 1000;

/// A cron expression that fires. Clones share what it was compiled to.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Expression {
    text: String,
    patterns: Arc<Patterns>,
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, ScheduleError> {
        if text.len() > LONGEST {
            return Err(ScheduleError::TooLong { found: text.len(), allowed: LONGEST });
        }
        let patterns = Patterns::of(&Fields::parse(text)?);
        if !patterns.ever_match() {
            return Err(ScheduleError::NeverFires { expression: text.to_owned() });
        }
        Ok(Self { text: text.to_owned(), patterns: Arc::new(patterns) })
    }

    pub(super) fn next(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.patterns.next(after)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Expression").field(&self.text).finish()
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl TryFrom<String> for Expression {
    type Error = ScheduleError;

    fn try_from(text: String) -> Result<Self, ScheduleError> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.text
    }
}
