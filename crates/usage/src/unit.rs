//! What is counted: kinds that don't overlap, and how much of each.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use loomwork_core::Fault;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::UsageError;
use crate::event::fits;

/// The most that an event may have of one kind. Sums of tens of thousands of the largest still fit.
pub const MAX_QUANTITY: u64 = 1 << 48;

/// The most bytes of the name of a provider's tool, or of a kind of your own.
pub const MAX_UNIT_BYTES: usize = 60;

const TOOL: &str = "tool:";
const OWN: &str = "own:";

/// What a unit is one of. Each thing is counted under one kind only, so a bill is the sum of each kind
/// times its price.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Unit {
    /// Text tokens of the input that no cache held.
    InputFresh,
    /// Input tokens read from the provider's cache.
    InputCacheRead,
    /// Input tokens written to the provider's cache for its usual time.
    InputCacheWrite,
    /// Input tokens written to the provider's cache for an hour.
    InputCacheWriteHour,
    /// Audio tokens of the input.
    InputAudio,
    /// Image tokens of the input.
    InputImage,
    /// Text tokens of the output.
    OutputText,
    /// Tokens of the model's thoughts.
    OutputReasoning,
    /// Audio tokens of the output.
    OutputAudio,
    /// Image tokens of the output.
    OutputImage,
    /// Tokens that were embedded.
    Embedding,
    /// Searches that were ranked again.
    Rerank,
    /// Images that were made.
    Images,
    /// Seconds of audio.
    AudioSeconds,
    /// Requests.
    Requests,
    /// Bytes stored for an hour.
    StorageByteHours,
    /// Rows of vectors.
    VectorRows,
    /// Steps of workflows.
    WorkflowSteps,
    /// Calls of a tool that the provider runs and charges, such as `web_search`.
    Tool(String),
    /// Whatever else is counted.
    Own(String),
}

const NAMED: [(Unit, &str); 18] = [
    (Unit::InputFresh, "inputFresh"),
    (Unit::InputCacheRead, "inputCacheRead"),
    (Unit::InputCacheWrite, "inputCacheWrite"),
    (Unit::InputCacheWriteHour, "inputCacheWriteHour"),
    (Unit::InputAudio, "inputAudio"),
    (Unit::InputImage, "inputImage"),
    (Unit::OutputText, "outputText"),
    (Unit::OutputReasoning, "outputReasoning"),
    (Unit::OutputAudio, "outputAudio"),
    (Unit::OutputImage, "outputImage"),
    (Unit::Embedding, "embedding"),
    (Unit::Rerank, "rerank"),
    (Unit::Images, "images"),
    (Unit::AudioSeconds, "audioSeconds"),
    (Unit::Requests, "requests"),
    (Unit::StorageByteHours, "storageByteHours"),
    (Unit::VectorRows, "vectorRows"),
    (Unit::WorkflowSteps, "workflowSteps"),
];

impl Unit {
    /// Returns whether it counts tokens of an input.
    pub fn is_input(&self) -> bool {
        (Self::InputFresh..=Self::InputImage).contains(self)
    }

    /// Returns whether it counts tokens: of input, output or embeddings.
    pub fn is_tokens(&self) -> bool {
        (Self::InputFresh..=Self::Embedding).contains(self)
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool(name) => write!(f, "{TOOL}{name}"),
            Self::Own(name) => write!(f, "{OWN}{name}"),
            named => {
                let name = NAMED.iter().find(|(kind, _)| kind == named).map_or("", |(_, name)| *name);
                f.write_str(name)
            }
        }
    }
}

impl Unit {
    /// A name that could be written and not be read again would damage every row that it is in.
    pub(crate) fn check(&self) -> Result<(), UsageError> {
        match self {
            Self::Tool(name) | Self::Own(name) => fits("name of a unit", name, 1, MAX_UNIT_BYTES),
            _ => Ok(()),
        }
    }
}

/// A name that is no kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no kind of unit; use one such as \"inputFresh\", \"tool:NAME\" or \"own:NAME\" with a name of 1 to {MAX_UNIT_BYTES} bytes"
)]
pub struct UnitError {
    text: String,
}

impl Fault for UnitError {
    fn kind(&self) -> loomwork_core::Kind {
        loomwork_core::Kind::Invalid
    }
}

impl FromStr for Unit {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let with_name = |prefix: &str| {
            let name = text.strip_prefix(prefix)?;
            (1..=MAX_UNIT_BYTES).contains(&name.len()).then(|| name.to_owned())
        };
        if let Some((kind, _)) = NAMED.iter().find(|(_, name)| *name == text) {
            return Ok(kind.clone());
        }
        let unit = with_name(TOOL).map(Self::Tool).or_else(|| with_name(OWN).map(Self::Own));
        unit.ok_or_else(|| UnitError { text: text.chars().take(MAX_UNIT_BYTES).collect() })
    }
}

impl TryFrom<String> for Unit {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, UnitError> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(kind: Unit) -> Self {
        kind.to_string()
    }
}

/// How much of each kind; what is zero is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantities(BTreeMap<Unit, u64>);

impl Quantities {
    /// Returns them with so much of a kind, in place of what was said of it before.
    #[must_use]
    pub fn with(mut self, kind: Unit, quantity: u64) -> Self {
        if quantity == 0 {
            self.0.remove(&kind);
        } else {
            self.0.insert(kind, quantity);
        }
        self
    }

    /// Reads the JSON of a report that names kinds as they are named here, as `loomwork_models::Usage` does:
    /// its `providerTools` are calls of tools. What has another name, or is no whole number, is left out;
    /// [`Event::reported`](crate::Event::reported) says so on the event.
    ///
    /// The kinds are disjoint on both sides, so nothing is subtracted.
    pub fn of_report(report: &Value) -> Self {
        Self::read(report).0
    }

    /// Reads a report, and names what of it counts something and is left out.
    pub(crate) fn read(report: &Value) -> (Self, Vec<String>) {
        let mut quantities = Self::default();
        let mut left_out = Vec::new();
        let mut take = |kind: Result<Unit, UnitError>, name: &str, value: &Value| match (kind, value.as_u64())
        {
            (Ok(kind), Some(quantity)) => {
                let own = std::mem::take(&mut quantities);
                quantities = own.with(kind, quantity);
            }
            (Ok(_), None) => left_out.push(name.to_owned()),
            (Err(_), _) if value.is_number() => left_out.push(name.to_owned()),
            (Err(_), _) => {}
        };
        for (name, value) in report.as_object().into_iter().flatten() {
            if name == "providerTools" {
                for (tool, calls) in value.as_object().into_iter().flatten() {
                    let kind = Unit::Tool(tool.clone());
                    take(kind.to_string().parse(), &kind.to_string(), calls);
                }
            } else {
                take(name.parse(), name, value);
            }
        }
        (quantities, left_out)
    }

    /// Returns how much there is of a kind.
    pub fn of(&self, kind: &Unit) -> u64 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Returns each kind that there is something of.
    pub fn iter(&self) -> impl Iterator<Item = (&Unit, u64)> {
        self.0.iter().map(|(kind, quantity)| (kind, *quantity)).filter(|(_, quantity)| *quantity > 0)
    }

    /// Returns the tokens of the input, which long-context prices look at.
    pub fn input(&self) -> u64 {
        self.sum(Unit::is_input)
    }

    /// Returns all tokens.
    pub fn tokens(&self) -> u64 {
        self.sum(Unit::is_tokens)
    }

    /// Returns whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    fn sum(&self, counts: impl Fn(&Unit) -> bool) -> u64 {
        let quantities = self.iter().filter(|(kind, _)| counts(kind)).map(|(_, quantity)| quantity);
        quantities.fold(0, u64::saturating_add)
    }
}

impl FromIterator<(Unit, u64)> for Quantities {
    fn from_iter<I: IntoIterator<Item = (Unit, u64)>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::default(), |all, (kind, quantity)| all.with(kind, quantity))
    }
}
