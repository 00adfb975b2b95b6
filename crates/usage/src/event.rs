//! Usage events: who used what, when, and under which key it counts once.

use std::collections::BTreeMap;
use std::time::Duration;

use loomwork_core::Time;
use loomwork_store::Key;
use serde::{Deserialize, Serialize};

use crate::calendar::{CalendarError, FIRST, LAST};
use crate::error::UsageError;
use crate::unit::{MAX_QUANTITY, Quantities};

/// The most bytes of a source, a name, or the value of a dimension.
pub const MAX_NAME_BYTES: usize = 200;

/// The most bytes of an event's key.
pub const MAX_KEY_BYTES: usize = 400;

/// The most tags of an event.
pub const MAX_TAGS: usize = 20;

/// The tag that names what of a model's report was left out.
pub const LEFT_OUT: &str = "leftOut";

/// The most units that an event counts.
pub const MAX_UNITS: usize = 50;

/// How old an event may be when it is recorded, and how far ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How long ago it may have occurred.
    pub back: Duration,
    /// How far ahead of the store's clock its own may be.
    pub ahead: Duration,
}

impl Default for Window {
    /// 35 days back, 5 minutes ahead.
    fn default() -> Self {
        Self { back: Duration::from_secs(35 * 24 * 60 * 60), ahead: Duration::from_secs(5 * 60) }
    }
}

/// A level of those who use something, from the widest to the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// An organisation.
    Org,
    /// A team.
    Team,
    /// A project.
    Project,
    /// A user.
    User,
    /// An API key.
    Key,
    /// An agent.
    Agent,
    /// A thread.
    Thread,
    /// A request of a user, with all that was done for it: sub-agents, tools, embeddings.
    Run,
}

impl Level {
    /// Returns its name, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Org => "org",
            Self::Team => "team",
            Self::Project => "project",
            Self::User => "user",
            Self::Key => "key",
            Self::Agent => "agent",
            Self::Thread => "thread",
            Self::Run => "run",
        }
    }
}

/// Who used something: a name on each level that applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(BTreeMap<Level, String>);

impl Scope {
    /// Returns it with a name on a level.
    #[must_use]
    pub fn with(mut self, level: Level, name: impl Into<String>) -> Self {
        self.0.insert(level, name.into());
        self
    }

    /// Returns the name on a level.
    pub fn on(&self, level: Level) -> Option<&str> {
        self.0.get(&level).map(String::as_str)
    }

    /// Returns all names, from the widest level to the narrowest.
    pub fn iter(&self) -> impl Iterator<Item = (Level, &str)> {
        self.0.iter().map(|(level, name)| (*level, name.as_str()))
    }
}

/// Which service of a provider was used: they have prices of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// The usual one.
    #[default]
    Standard,
    /// Answered some time later.
    Batch,
    /// Cheaper, and slower under load.
    Flex,
    /// Dearer, and faster.
    Priority,
}

impl Tier {
    /// Returns its name, as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Batch => "batch",
            Self::Flex => "flex",
            Self::Priority => "priority",
        }
    }
}

/// Whether an event costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Billing {
    /// It does.
    #[default]
    Billed,
    /// Answered from a cache of our own: counted, and free.
    Cached,
    /// A test: recorded, in no total and on no bill.
    Test,
}

/// Something was used. Fill in what is known. New fields may come, so end a literal with `..Event::new(..)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// What recorded it, such as `agent`.
    pub source: String,
    /// Under which it counts once for ever, among those of its source. Make it of what stays the same when
    /// the work is tried again: thread, message, step, attempt.
    pub key: String,
    /// When it occurred, which decides its price and its period.
    pub at: Time,
    /// Who pays; absent where nobody is known to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// Who used it.
    #[serde(default)]
    pub scope: Scope,
    /// The provider.
    #[serde(default)]
    pub provider: String,
    /// The model that really answered, or what else has a price.
    #[serde(default)]
    pub model: String,
    /// Where the provider ran it, if that has a price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The provider's service.
    #[serde(default)]
    pub tier: Tier,
    /// The message that it was used for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The step of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// The tool that used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Whatever else is worth knowing, [`MAX_TAGS`] at most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// How much was used.
    pub quantities: Quantities,
    /// Whether it costs.
    #[serde(default)]
    pub billing: Billing,
    /// Whether the numbers are an estimate, because the provider's never came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
    /// Whether the provider's numbers contradict each other.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inconsistent: bool,
}

impl Event {
    /// Something that occurred at a time, and counts once under a key.
    pub fn new(source: impl Into<String>, key: impl Into<String>, at: Time) -> Self {
        Self {
            source: source.into(),
            key: key.into(),
            at,
            payer: None,
            scope: Scope::default(),
            provider: String::new(),
            model: String::new(),
            region: None,
            tier: Tier::Standard,
            message: None,
            step: None,
            tool: None,
            tags: BTreeMap::new(),
            quantities: Quantities::default(),
            billing: Billing::Billed,
            estimated: false,
            inconsistent: false,
        }
    }

    /// Returns it with who pays.
    #[must_use]
    pub fn paid_by(mut self, payer: impl Into<String>) -> Self {
        self.payer = Some(payer.into());
        self
    }

    /// Returns it with a name on a level.
    #[must_use]
    pub fn used_by(mut self, level: Level, name: impl Into<String>) -> Self {
        self.scope = self.scope.with(level, name);
        self
    }

    /// Returns it with the model that answered.
    #[must_use]
    pub fn model(mut self, provider: impl Into<String>, model: impl Into<String>) -> Self {
        self.provider = provider.into();
        self.model = model.into();
        self
    }

    /// Returns it with how much was used.
    #[must_use]
    pub fn used(mut self, quantities: impl IntoIterator<Item = (crate::Unit, u64)>) -> Self {
        self.quantities = quantities.into_iter().collect();
        self
    }

    /// Returns it with what a model's report says, as `loomwork_models::Usage` writes it: how much was used, and
    /// whether that is an estimate or contradicts itself. What the report counts and cannot be taken over, such as
    /// a fraction of a token, is named in the tag [`LEFT_OUT`], and makes the event inconsistent.
    #[must_use]
    pub fn reported(mut self, report: &serde_json::Value) -> Self {
        let says = |flag: &str| report.get(flag).and_then(serde_json::Value::as_bool).unwrap_or(false);
        let (quantities, left_out) = Quantities::read(report);
        self.quantities = quantities;
        self.estimated |= says("estimated");
        self.inconsistent |= says("inconsistent") || !left_out.is_empty();
        if !left_out.is_empty() {
            let mut names = left_out.join(", ");
            names.truncate(names.floor_char_boundary(MAX_NAME_BYTES));
            self.tags.insert(LEFT_OUT.to_owned(), names);
        }
        self
    }

    /// Returns whether a payer is billed for it.
    pub(crate) fn is_billed(&self) -> bool {
        self.payer.is_some() && self.billing == Billing::Billed
    }

    /// Says what is wrong with it, whenever it is recorded.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        let named = [("source", &self.source, 1, MAX_NAME_BYTES), ("key", &self.key, 1, MAX_KEY_BYTES)];
        for (what, text, least, most) in named {
            fits(what, text, least, most)?;
        }
        for (what, text) in [("provider", &self.provider), ("model", &self.model)] {
            fits(what, text, 0, MAX_NAME_BYTES)?;
        }
        let parts = [
            ("payer", &self.payer),
            ("region", &self.region),
            ("message", &self.message),
            ("tool", &self.tool),
        ];
        for (what, text) in parts {
            text.as_ref().map_or(Ok(()), |text| fits(what, text, 1, MAX_NAME_BYTES))?;
        }
        for (level, name) in self.scope.iter() {
            fits(level.as_str(), name, 1, MAX_NAME_BYTES)?;
        }
        if self.tags.len() > MAX_TAGS {
            return Err(UsageError::TooManyTags { tags: self.tags.len() });
        }
        for (name, value) in &self.tags {
            fits("tag name", name, 1, MAX_NAME_BYTES)?;
            fits("tag", value, 0, MAX_NAME_BYTES)?;
        }
        if !(FIRST..=LAST).contains(&self.at) {
            return Err(CalendarError::Beyond { at: self.at }.into());
        }
        let units = self.quantities.iter().count();
        if units > MAX_UNITS {
            return Err(UsageError::TooManyUnits { units });
        }
        self.quantities.iter().try_for_each(|(unit, _)| unit.check())?;
        match self.quantities.iter().find(|(_, quantity)| *quantity > MAX_QUANTITY) {
            Some((unit, quantity)) => Err(UsageError::TooMuch { unit: unit.clone(), quantity }),
            None => Ok(()),
        }
    }

    /// Says whether it is too old or too far ahead.
    pub(crate) fn check_time(&self, now: Time, window: &Window) -> Result<(), UsageError> {
        let too_old = now.since(self.at) > window.back;
        if too_old || self.at.since(now) > window.ahead {
            let (key, at) = (self.key.clone(), self.at);
            return Err(UsageError::OutOfWindow { key, at, now, back: window.back, ahead: window.ahead });
        }
        Ok(())
    }
}

pub(crate) fn fits(what: &'static str, text: &str, least: usize, most: usize) -> Result<(), UsageError> {
    if (least..=most).contains(&text.len()) {
        return Ok(());
    }
    Err(UsageError::BadText { what, bytes: text.len(), least, most })
}
