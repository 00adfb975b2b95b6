//! How a context is built: what each level says, and what comes of it.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use loomwork_search::MAX_LIMIT;
use serde::{Deserialize, Serialize};

use super::{ContextError, Setting};

/// The most recent messages that can be asked for.
pub const MAX_RECENT: usize = 10_000;

/// The most turns before and behind a hit.
pub const MAX_RANGE: u64 = 100;

/// The most edits, and the most targets of them.
pub const MAX_EDITS: usize = 200;

/// How a context is built, as one level says it: an agent, a thread or a call. What it does not say is left
/// to the level above; [`resolve`](Self::resolve) gives the rest its defaults.
///
/// ```
/// use loomwork_agent::context::{ContextOptions, EditsRule, SearchOptions, Setting};
///
/// let agent = ContextOptions {
///     recent: 20.into(),
///     search: SearchOptions { text: true.into(), limit: 5.into(), ..SearchOptions::default() },
///     ..ContextOptions::default()
/// };
/// let call: ContextOptions = serde_json::from_str(r#"{"recent":null,"search":{"limit":3},"edits":{"last":2}}"#)?;
/// let values = agent.merged(call).resolve()?;
/// assert_eq!(values.recent, 100); // taken back
/// assert_eq!(values.search.map(|search| (search.text, search.limit)), Some((true, 3)));
/// assert_eq!(values.edits, EditsRule::Last(2));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ContextOptions {
    /// How many recent messages; turns are whole, so there may be some more. 0: none but the prompt's turn.
    /// Default: 100.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub recent: Setting<usize>,
    /// Whether a [summary](loomwork_messages::summaries) stands in the place of the oldest turns, where there is
    /// one: the recent ones are then those behind it. With no recent messages there is none. Default: yes.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub summary: Setting<bool>,
    /// From how many messages on a turn is cut in its middle: its first message and its newest stay.
    /// Default: 1,000.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub max_turn: Setting<usize>,
    /// Whether tool calls and their results are left out of all turns but the prompt's. Default: no.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub exclude_tools: Setting<bool>,
    /// Whether what the user said in other threads is searched too. Default: no.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub other_threads: Setting<bool>,
    /// What is searched for.
    pub search: SearchOptions,
    /// Which edits the model is told of. Default: the last 5.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub edits: Setting<EditsRule>,
    /// The most tokens of all messages; tools and schemas of a request are not among them. Default: any.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub max_tokens: Setting<u64>,
    /// What is dropped where there are more, the first first; what is not named stays. Default: other
    /// threads, hits, turns, edits.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub drop_first: Setting<Vec<Layer>>,
}

/// What is searched for, as one level says it. There is a search where texts or vectors are asked for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SearchOptions {
    /// How many messages are found; 0: no search. Default: 10.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub limit: Setting<usize>,
    /// Whether they are found by their words. Default: no.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub text: Setting<bool>,
    /// Whether they are found by their vectors. Default: no.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub vector: Setting<bool>,
    /// The least cosine of what is found by its vector. Default: 0.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub threshold: Setting<f32>,
    /// How many turns before a hit come with it. Default: 2.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub before: Setting<u64>,
    /// How many turns behind a hit come with it. Default: 1.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub after: Setting<u64>,
    /// Whether newer messages are found first. Default: no.
    #[serde(skip_serializing_if = "Setting::is_inherited")]
    pub recency: Setting<RecencyRule>,
}

/// How newer messages are found first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecencyRule {
    /// The age at which half of the weighted part of a score is gone.
    pub half_life: Duration,
    /// Which part of a score ages, from 0 to 1.
    pub weight: f64,
}

/// Which edits of a thread the model is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EditsRule {
    /// None.
    Off,
    /// The last ones.
    Last(usize),
    /// The last one of each of these targets.
    Targets(Vec<String>),
    /// As many as are found by what is asked; the last ones where nothing is asked in words.
    Relevant(usize),
}

/// What may be dropped where a context has too many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Layer {
    /// What was found in other threads, turn by turn, the worst first.
    OtherThreads,
    /// What was found in this thread, turn by turn, the worst first.
    Search,
    /// Recent turns, the oldest first; never the prompt's.
    Turns,
    /// Edits, the oldest first.
    Edits,
}

/// How a context is built.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextValues {
    /// How many recent messages.
    pub recent: usize,
    /// Whether a summary stands in the place of the oldest turns.
    pub summary: bool,
    /// From how many messages on a turn is cut.
    pub max_turn: usize,
    /// Whether tool calls and their results are left out.
    pub exclude_tools: bool,
    /// Whether other threads are searched.
    pub other_threads: bool,
    /// What is searched for, if anything.
    pub search: Option<SearchValues>,
    /// Which edits.
    pub edits: EditsRule,
    /// The most tokens.
    pub max_tokens: Option<u64>,
    /// What is dropped first.
    pub drop_first: Vec<Layer>,
}

/// What is searched for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SearchValues {
    /// How many messages.
    pub limit: usize,
    /// Whether by their words.
    pub text: bool,
    /// Whether by their vectors.
    pub vector: bool,
    /// The least cosine.
    pub threshold: f32,
    /// How many turns before a hit.
    pub before: u64,
    /// How many turns behind a hit.
    pub after: u64,
    /// Whether newer ones come first.
    pub recency: Option<RecencyRule>,
}

impl Default for ContextValues {
    fn default() -> Self {
        Self {
            recent: 100,
            summary: true,
            max_turn: 1_000,
            exclude_tools: false,
            other_threads: false,
            search: None,
            edits: EditsRule::Last(5),
            max_tokens: None,
            drop_first: vec![Layer::OtherThreads, Layer::Search, Layer::Turns, Layer::Edits],
        }
    }
}

impl Default for SearchValues {
    fn default() -> Self {
        Self { limit: 10, text: false, vector: false, threshold: 0.0, before: 2, after: 1, recency: None }
    }
}

impl ContextValues {
    /// Returns whether a search is part of it.
    pub fn needs_search(&self) -> bool {
        self.search.is_some() || matches!(self.edits, EditsRule::Relevant(_))
    }
}

impl ContextOptions {
    /// Returns these options with those of a nearer level over them.
    pub fn merged(self, nearer: Self) -> Self {
        Self {
            recent: nearer.recent.over(self.recent),
            summary: nearer.summary.over(self.summary),
            max_turn: nearer.max_turn.over(self.max_turn),
            exclude_tools: nearer.exclude_tools.over(self.exclude_tools),
            other_threads: nearer.other_threads.over(self.other_threads),
            search: self.search.merged(nearer.search),
            edits: nearer.edits.over(self.edits),
            max_tokens: nearer.max_tokens.over(self.max_tokens),
            drop_first: nearer.drop_first.over(self.drop_first),
        }
    }

    /// Returns the values, with defaults for what nobody said.
    ///
    /// # Errors
    /// [`ContextError::BadOption`] names an option that makes no sense.
    pub fn resolve(self) -> Result<ContextValues, ContextError> {
        let default = ContextValues::default();
        let values = ContextValues {
            recent: self.recent.or(default.recent),
            summary: self.summary.or(default.summary),
            max_turn: self.max_turn.or(default.max_turn),
            exclude_tools: self.exclude_tools.or(default.exclude_tools),
            other_threads: self.other_threads.or(default.other_threads),
            search: self.search.resolve()?,
            edits: self.edits.or(default.edits),
            max_tokens: self.max_tokens.value(),
            drop_first: self.drop_first.or(default.drop_first),
        };
        within("recent", values.recent, 0..=MAX_RECENT)?;
        within("maxTurn", values.max_turn, 2..=MAX_RECENT)?;
        let edits = match &values.edits {
            EditsRule::Off => 1,
            EditsRule::Last(count) | EditsRule::Relevant(count) => *count,
            EditsRule::Targets(targets) => targets.len(),
        };
        within("edits", edits, 1..=MAX_EDITS)?;
        Ok(values)
    }
}

impl SearchOptions {
    /// Returns these options with those of a nearer level over them.
    pub fn merged(self, nearer: Self) -> Self {
        Self {
            limit: nearer.limit.over(self.limit),
            text: nearer.text.over(self.text),
            vector: nearer.vector.over(self.vector),
            threshold: nearer.threshold.over(self.threshold),
            before: nearer.before.over(self.before),
            after: nearer.after.over(self.after),
            recency: nearer.recency.over(self.recency),
        }
    }

    fn resolve(self) -> Result<Option<SearchValues>, ContextError> {
        let default = SearchValues::default();
        let values = SearchValues {
            limit: self.limit.or(default.limit),
            text: self.text.or(default.text),
            vector: self.vector.or(default.vector),
            threshold: self.threshold.or(default.threshold),
            before: self.before.or(default.before),
            after: self.after.or(default.after),
            recency: self.recency.value(),
        };
        within("search.limit", values.limit, 0..=MAX_LIMIT)?;
        within("search.threshold", values.threshold, -1.0..=1.0)?;
        within("search.before", values.before, 0..=MAX_RANGE)?;
        within("search.after", values.after, 0..=MAX_RANGE)?;
        if let Some(recency) = &values.recency {
            within("search.recency.weight", recency.weight, 0.0..=1.0)?;
            if recency.half_life.is_zero() {
                let (found, right) = ("0".to_owned(), "longer than nothing".to_owned());
                return Err(ContextError::BadOption { option: "search.recency.halfLife", found, right });
            }
        }
        let is_on = values.limit > 0 && (values.text || values.vector);
        Ok(is_on.then_some(values))
    }
}

fn within<T: PartialOrd + Display>(
    option: &'static str,
    found: T,
    range: RangeInclusive<T>,
) -> Result<(), ContextError> {
    if range.contains(&found) {
        return Ok(());
    }
    let right = format!("from {} to {}", range.start(), range.end());
    Err(ContextError::BadOption { option, found: found.to_string(), right })
}
