//! One reply of a script.

use std::time::Duration;

use serde_json::Value;

use super::Gate;
use crate::playback::{Step, pieces};
use crate::{Chunk, Error, Finish, FinishReason, Part, PartKind, PartNumber, ProviderData, Usage};

/// What a mock says in one call, in the order in which it is written down.
///
/// A text falls into one delta for each word. Parts are numbered from 0.
#[derive(Clone, Debug)]
pub struct MockReply {
    steps: Vec<Step>,
    parts: PartNumber,
    pace: Option<Duration>,
    reason: Option<FinishReason>,
    usage: Usage,
    failure: Option<(PartNumber, usize, Error)>,
}

impl MockReply {
    /// What a reply used, unless it says otherwise: 3 tokens of input and 10 of output.
    pub fn default_usage() -> Usage {
        Usage { input_fresh: 3, output_text: 10, ..Usage::default() }
    }

    /// Adds a text.
    pub fn text(self, text: impl AsRef<str>) -> Self {
        self.growing(PartKind::Text, text.as_ref())
    }

    /// Adds thoughts.
    pub fn reasoning(self, text: impl AsRef<str>) -> Self {
        self.growing(PartKind::Reasoning, text.as_ref())
    }

    /// Adds a tool call.
    pub fn tool_call(self, id: impl Into<String>, name: impl Into<String>, input: Value) -> Self {
        self.raw_tool_call(id, name, input.to_string())
    }

    /// Adds a tool call whose arguments are this text, JSON or not.
    pub fn raw_tool_call(
        self,
        id: impl Into<String>,
        name: impl Into<String>,
        arguments: impl AsRef<str>,
    ) -> Self {
        let (tool_call_id, tool_name) = (id.into(), name.into());
        let kind = PartKind::ToolCall { tool_call_id, tool_name, provider_executed: false };
        self.growing(kind, arguments.as_ref())
    }

    /// Adds a part that comes whole.
    pub fn part(self, part: Part) -> Self {
        self.step(Step::Chunk(Chunk::Part { part }))
    }

    /// Adds any chunk, for answers that providers should not give and do.
    pub fn chunk(self, chunk: Chunk) -> Self {
        self.step(Step::Chunk(chunk))
    }

    /// Waits on the model's clock.
    pub fn wait(self, wait: Duration) -> Self {
        self.step(Step::Wait(wait))
    }

    /// Waits before a gate.
    pub fn gate(self, gate: &Gate) -> Self {
        self.step(Step::Gate(gate.clone()))
    }

    /// Waits for ever.
    pub fn hang(self) -> Self {
        self.step(Step::Gate(Gate::new()))
    }

    /// Fails here; what would follow is never said. A reply that begins with it fails before its first chunk.
    pub fn fail(self, error: Error) -> Self {
        self.step(Step::Fail(error))
    }

    /// Fails within a part, after so many of its deltas.
    pub fn fail_in(self, part: PartNumber, after: usize, error: Error) -> Self {
        Self { failure: Some((part, after, error)), ..self }
    }

    /// Waits before each delta.
    pub fn with_pace(self, pace: Duration) -> Self {
        Self { pace: Some(pace), ..self }
    }

    /// Sets how it ends; `tool_calls` where it calls a tool and `stop` elsewhere, unless this is set.
    pub fn with_finish(self, reason: FinishReason) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Sets what it used.
    pub fn with_usage(self, usage: Usage) -> Self {
        Self { usage, ..self }
    }

    fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    fn growing(mut self, kind: PartKind, text: &str) -> Self {
        let part = self.parts;
        self.parts += 1;
        let provider_metadata = ProviderData::new();
        self.steps.push(Step::Chunk(Chunk::PartStart { part, kind, provider_metadata }));
        self.steps
            .extend(pieces(text).map(|delta| Step::Chunk(Chunk::PartDelta { part, delta: delta.into() })));
        self.step(Step::Chunk(Chunk::PartEnd { part, provider_metadata: ProviderData::new() }))
    }

    /// Returns the steps, with the end that the reply has; an error says what its script lacks.
    pub(super) fn into_steps(self) -> Result<Vec<Step>, String> {
        let Self { mut steps, pace, reason, usage, failure, .. } = self;
        let calls = steps.iter().any(|step| {
            matches!(step, Step::Chunk(Chunk::PartStart { kind: PartKind::ToolCall { .. }, .. }))
        });
        if let Some((part, after, error)) = failure {
            let cut = place_in(&steps, part, after).ok_or_else(|| {
                format!("the script shall fail in part {part}, and has none of that number")
            })?;
            steps.truncate(cut);
            steps.push(Step::Fail(error));
        } else {
            let natural = if calls { FinishReason::ToolCalls } else { FinishReason::Stop };
            let reason = reason.unwrap_or(natural);
            steps.push(Step::Chunk(Chunk::Finish(Finish { reason, usage, ..Finish::default() })));
        }
        let Some(pace) = pace else { return Ok(steps) };
        let paced = steps.into_iter().flat_map(|step| {
            let wait = matches!(step, Step::Chunk(Chunk::PartDelta { .. })).then_some(Step::Wait(pace));
            wait.into_iter().chain([step])
        });
        Ok(paced.collect())
    }
}

/// Returns the place behind so many deltas of a part, or before its end if it has fewer.
fn place_in(steps: &[Step], number: PartNumber, after: usize) -> Option<usize> {
    let of_part = |step: &Step| match step {
        Step::Chunk(Chunk::PartDelta { part, .. } | Chunk::PartEnd { part, .. }) => *part == number,
        _ => false,
    };
    let places: Vec<usize> = (0..steps.len()).filter(|index| of_part(&steps[*index])).collect();
    places.get(after).or(places.last()).copied()
}

impl Default for MockReply {
    fn default() -> Self {
        let usage = Self::default_usage();
        Self { steps: Vec::new(), parts: 0, pace: None, reason: None, usage, failure: None }
    }
}

impl From<&str> for MockReply {
    fn from(text: &str) -> Self {
        Self::default().text(text)
    }
}

impl From<String> for MockReply {
    fn from(text: String) -> Self {
        Self::default().text(text)
    }
}

impl From<Error> for MockReply {
    fn from(error: Error) -> Self {
        Self::default().fail(error)
    }
}
