//! The records of what agents did: their steps, the calls of their tools, and what handlers have yet to be told.
//!
//! Their fields are public to be read; they are written by this crate alone.

use loomwork_core::Time;
use loomwork_messages::{HostRow, RunId, ThreadId};
use loomwork_models::{FinishReason, ModelName, Part, Reply, ToolResult, Usage};
use loomwork_store::{Id, Key, Table, TableDef};
use serde::{Deserialize, Serialize};

use crate::approvals::{ApprovalRow, GrantRow};
use crate::compaction::CompactionRow;
use crate::humans::QuestionRow;
use crate::outbox::OutboxRow;
use crate::tool::Outcome;
use crate::usage::UsageKind;

/// The id of a step's row.
pub type StepId = Id<StepRow>;

/// How a call of the model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepEnd {
    /// It is complete.
    Success,
    /// It failed.
    Failed,
    /// It was called off.
    Aborted,
    /// Its process has gone.
    Cut,
}

/// One attempt at a step of a run: what its call of the model used, and when what happened.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_steps", id = "step")]
#[index(unique by_attempt(run, step, attempt))]
#[index(open(host), when = StepRow::is_open)]
#[index(old(asked))]
#[non_exhaustive]
pub struct StepRow {
    /// Its run.
    pub run: RunId,
    /// The number of the step within the run, from 0.
    pub step: u32,
    /// The number of the attempt at it, from 1.
    pub attempt: u32,
    /// The run that called this one's agent as a tool, or that one's, up to the first; else the run itself.
    pub root: RunId,
    /// The thread.
    pub thread: ThreadId,
    /// Whose the run is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The agent.
    pub agent: String,
    /// The process that makes it.
    pub host: Id<HostRow>,
    /// What the call is for.
    #[serde(default)]
    pub kind: UsageKind,
    /// The provider that was asked, and the one that answered as soon as that is known.
    pub provider: String,
    /// Its model.
    pub model: String,
    /// How many tokens were sent, as they are estimated.
    pub sent: u64,
    /// When it began.
    pub asked: Time,
    /// When the model said its first word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Time>,
    /// When the model had said all; what comes then are tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
    /// How it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<StepEnd>,
    /// Why the model stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finish_reason: Option<FinishReason>,
    /// What the call of the model used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// What was embedded to build what the model is told.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub embedded: Vec<Embedded>,
    /// What the model said, while the tools that it called run. Behind that, its message has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reply: Option<Reply>,
    /// The handler that is told of its usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_usage: Option<String>,
}

/// What a text used that was embedded to search for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Embedded {
    /// The provider of the model that embedded it.
    pub provider: String,
    /// The model.
    pub model: String,
    /// What it used.
    pub usage: Usage,
}

impl StepRow {
    /// Says what was embedded for it.
    pub(crate) fn embedding(mut self, embedded: &[(ModelName, Usage)]) -> Self {
        self.embedded.extend(embedded.iter().cloned().map(|(name, usage)| Embedded {
            provider: name.provider,
            model: name.model,
            usage,
        }));
        self
    }

    fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

/// A call of a tool that has ended.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "agent_calls", id = "call")]
#[index(unique by_call(run, step, call))]
#[index(old(ended))]
#[non_exhaustive]
pub struct CallRow {
    /// The run.
    pub run: RunId,
    /// The number of the step within the run, from 0.
    pub step: u32,
    /// The id of the call.
    pub call: String,
    /// The tool.
    pub tool: String,
    /// How it ended.
    pub outcome: Outcome,
    /// How often the tool was tried.
    pub tries: u32,
    /// When it was taken up.
    pub started: Time,
    /// When it was over.
    pub ended: Time,
    /// What the model is given, until the step is complete. Behind that, the step's messages have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Part>,
}

impl CallRow {
    /// Returns what the model is given, until the step is complete. Behind that, the step's messages have it.
    pub fn result(&self) -> Option<&ToolResult> {
        match &self.result {
            Some(Part::ToolResult(result)) => Some(result),
            _ => None,
        }
    }
}

/// The crate's own tables.
pub(crate) fn own() -> [TableDef; 7] {
    [
        StepRow::table(),
        CallRow::table(),
        OutboxRow::table(),
        ApprovalRow::table(),
        GrantRow::table(),
        QuestionRow::table(),
        CompactionRow::table(),
    ]
}
