//! What a model says, apart from any provider's form.

use bytes::Bytes;

use super::Failure;

/// What a reply says; each endpoint renders it in its own form.
#[derive(Clone, Debug, Default)]
pub(super) struct Content {
    pub(super) parts: Vec<Part>,
    pub(super) finish: Option<Finish>,
    pub(super) usage: Option<Usage>,
    pub(super) has_no_usage: bool,
    /// What goes wrong behind the parts.
    pub(super) failure: Option<Failure>,
    pub(super) deltas: Deltas,
    pub(super) reasoning: ReasoningForm,
    pub(super) are_calls_interleaved: bool,
    /// Given vectors; without them each input gets one of its own.
    pub(super) vectors: Option<Vec<Vec<f32>>>,
    /// Given pictures; without them there is a small one.
    pub(super) images: Vec<Bytes>,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Reasoning(String),
    Redacted(String),
    Refusal(String),
    Call(ToolCall),
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub(super) struct ToolCall {
    /// Without one, it gets one that is the only one of its kind in this fake.
    pub(super) id: Option<String>,
    pub(super) name: String,
    /// JSON, unless a test wants it otherwise.
    pub(super) arguments: String,
}

impl Content {
    pub(super) fn has_calls(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Call(_)))
    }

    pub(super) fn refusal(&self) -> Option<&str> {
        self.parts.iter().find_map(|part| match part {
            Part::Refusal(text) => Some(text.as_str()),
            _ => None,
        })
    }

    pub(super) fn finish(&self) -> Finish {
        self.finish.clone().unwrap_or(if self.has_calls() { Finish::ToolCalls } else { Finish::Stop })
    }

    pub(super) fn usage(&self) -> Option<Usage> {
        (!self.has_no_usage).then(|| self.usage.unwrap_or_default())
    }
}

/// Why a reply ends. Each endpoint has its own word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// It is done.
    Stop,
    /// The cap on its length is reached.
    Length,
    /// It waits for the results of tools.
    ToolCalls,
    /// A filter stopped it.
    ContentFilter,
    /// It came to this stop sequence, which Anthropic's form names.
    StopSequence(String),
    /// Another reason, in the provider's own word. In the Responses form it is the reason of an
    /// incomplete response.
    Other(String),
}

/// What a reply cost. Totals include what they are broken down into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// All tokens of the prompt.
    pub input: u64,
    /// Those of them that were read from the cache.
    pub cache_read: u64,
    /// Those of them that were written to the cache.
    pub cache_write: u64,
    /// All tokens of the answer.
    pub output: u64,
    /// Those of them that were spent on reasoning.
    pub reasoning: u64,
}

/// 12 tokens in and 7 out.
impl Default for Usage {
    fn default() -> Self {
        Self { input: 12, cache_read: 0, cache_write: 0, output: 7, reasoning: 0 }
    }
}

/// How texts and arguments are cut into the deltas of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deltas {
    /// Behind each space.
    #[default]
    Words,
    /// Each so many characters.
    Characters(usize),
    /// Not at all.
    Whole,
}

impl Deltas {
    pub(super) fn cut(self, text: &str) -> Vec<&str> {
        match self {
            Self::Words => text.split_inclusive(' ').collect(),
            Self::Whole => Some(text).filter(|text| !text.is_empty()).into_iter().collect(),
            Self::Characters(count) => {
                let starts: Vec<usize> =
                    text.char_indices().map(|(at, _)| at).step_by(count.max(1)).collect();
                let ends = starts.iter().skip(1).copied().chain([text.len()]);
                starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
            }
        }
    }
}

/// Where an answer carries its reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReasoningForm {
    /// Chat: `reasoning_content`. Responses: a summary.
    #[default]
    Usual,
    /// Chat: `reasoning`. Responses: the content of the reasoning item, as open models send it.
    Open,
}
