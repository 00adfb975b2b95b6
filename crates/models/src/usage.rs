//! What a call used, in kinds that don't overlap.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most that one count of a provider's report may be. What is greater is no count, so that sums of
/// counts never overflow.
pub const MAX_COUNT: u64 = 1 << 48;

/// What a call used. The kinds are disjoint: each token is counted once, whatever a provider's own
/// report counts twice, so a bill is the sum of each kind times its price.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Usage {
    /// Text tokens of the input that no cache held.
    pub input_fresh: u64,
    /// Input tokens read from the provider's cache.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_cache_read: u64,
    /// Input tokens written to the provider's cache for its usual time.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_cache_write: u64,
    /// Input tokens written to the provider's cache for an hour.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_cache_write_hour: u64,
    /// Audio tokens of the input.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_audio: u64,
    /// Image tokens of the input, where a provider counts them apart.
    #[serde(skip_serializing_if = "is_zero")]
    pub input_image: u64,
    /// Text tokens of the output, tool calls included.
    pub output_text: u64,
    /// Tokens of the model's thoughts.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_reasoning: u64,
    /// Audio tokens of the output.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_audio: u64,
    /// Image tokens of the output, where a provider counts them.
    #[serde(skip_serializing_if = "is_zero")]
    pub output_image: u64,
    /// Tokens that were embedded.
    #[serde(skip_serializing_if = "is_zero")]
    pub embedding: u64,
    /// Images that were made.
    #[serde(skip_serializing_if = "is_zero")]
    pub images: u64,
    /// Calls of tools that the provider runs and charges, such as `web_search`, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub provider_tools: BTreeMap<String, u64>,
    /// The cost as the provider states it, in its currency, as it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// Whether the numbers are our estimate, because the provider's were cut off or never came.
    #[serde(skip_serializing_if = "is_false")]
    pub estimated: bool,
    /// Whether the provider's numbers contradict each other; the kinds are then as near as they get.
    #[serde(skip_serializing_if = "is_false")]
    pub inconsistent: bool,
    /// The provider's own report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Value>,
}

impl Usage {
    /// Returns the tokens of the input, of all kinds.
    pub fn input(&self) -> u64 {
        let cached = [self.input_cache_read, self.input_cache_write, self.input_cache_write_hour];
        sum(cached.into_iter().chain([self.input_fresh, self.input_audio, self.input_image]))
    }

    /// Returns the tokens of the output, of all kinds.
    pub fn output(&self) -> u64 {
        sum([self.output_text, self.output_reasoning, self.output_audio, self.output_image])
    }

    /// Returns all tokens.
    pub fn total(&self) -> u64 {
        sum([self.input(), self.output(), self.embedding])
    }

    /// Adds what other calls used. Where one side is nothing, the other stays whole, its report and its
    /// cost included.
    pub(crate) fn join(&mut self, more: &Self) {
        if self.is_empty() {
            self.clone_from(more);
        } else if !more.is_empty() {
            *self += more;
        }
    }

    /// Returns whether nothing was counted or said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Adds up calls: the kinds are summed, and a sum that is too large for its type stays at the greatest there is.
/// A sum has neither raw report nor cost.
impl AddAssign<&Self> for Usage {
    fn add_assign(&mut self, other: &Self) {
        add(&mut self.input_fresh, other.input_fresh);
        add(&mut self.input_cache_read, other.input_cache_read);
        add(&mut self.input_cache_write, other.input_cache_write);
        add(&mut self.input_cache_write_hour, other.input_cache_write_hour);
        add(&mut self.input_audio, other.input_audio);
        add(&mut self.input_image, other.input_image);
        add(&mut self.output_text, other.output_text);
        add(&mut self.output_reasoning, other.output_reasoning);
        add(&mut self.output_audio, other.output_audio);
        add(&mut self.output_image, other.output_image);
        add(&mut self.embedding, other.embedding);
        add(&mut self.images, other.images);
        for (tool, calls) in &other.provider_tools {
            add(self.provider_tools.entry(tool.clone()).or_default(), *calls);
        }
        // Costs are decimal texts, and no float may touch money: whoever bills adds them exactly.
        self.cost = None;
        self.raw = None;
        self.estimated |= other.estimated;
        self.inconsistent |= other.inconsistent;
    }
}

fn sum(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}
