//! The crate's records.

use loomwork_core::{Kind, Time};
use loomwork_store::lease::Lease;
use loomwork_store::{Id, Key, Table, TableDef};
use loomwork_workpool::JobId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Where a workflow stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It waits for the time of its start.
    Scheduled,
    /// It waits for a process to take it.
    Ready,
    /// A process has it in memory.
    Running,
    /// It waits for something, and nobody has it in memory.
    Parked,
    /// Its code does not fit its journal; see [`Status::blocked`](crate::Status::blocked).
    Blocked,
    /// It ended; the row stays for its retention.
    Ended,
}

/// The id of a workflow's run.
pub type WorkflowId = Id<WorkflowRow>;

/// A run of a workflow, from its start until its retention is over. No step writes it: it changes when the
/// run is taken, parked, woken and ended. [`status`](crate::status()) tells what is in it.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "workflows", id = "workflow")]
#[index(unique by_key(name, key), when = WorkflowRow::has_key)]
#[index(ready(name, woken), when = WorkflowRow::is_ready)]
#[index(scheduled(woken), when = WorkflowRow::is_scheduled)]
#[index(by_host(host), when = WorkflowRow::is_running)]
#[index(by_name(name))]
#[index(children(parent), when = WorkflowRow::has_parent)]
#[index(forgetting(woken), when = WorkflowRow::is_forgetting)]
#[index(open(name), when = WorkflowRow::is_open)]
#[index(blocked(name, woken), when = WorkflowRow::is_blocked)]
#[index(untold(completion: Option<String> = WorkflowRow::completion, due: Option<Time> = WorkflowRow::tell_at), when = WorkflowRow::is_untold)]
#[index(dead(due: Option<Time> = WorkflowRow::tell_at), when = WorkflowRow::is_dead)]
#[index(retained(retained), when = WorkflowRow::is_retained)]
pub struct WorkflowRow {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    pub(crate) state: State,
    /// Grows whenever the run is taken, cancelled or restarted: who holds an older one holds nothing.
    pub(crate) fence: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<Id<HostRow>>,
    /// Which journal counts: going on anew, and restarting from the start, begin another one.
    pub(crate) chapter: u32,
    pub(crate) restarts: u32,
    /// When it was last made ready, or is to be.
    pub(crate) woken: Time,
    pub(crate) input: Held,
    /// The workflow that waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<WorkflowId>,
    /// The step of the parent that its end settles; none if it is detached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent_step: Option<StepId>,
    #[serde(default)]
    pub(crate) depth: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) on_done: Option<StoredCallback>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) telling: Option<Telling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) blocked: Option<Blocked>,
    #[serde(default)]
    pub(crate) stumbles: Stumbles,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) forgets: Option<Forgets>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended: Option<Ended>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keep_ms: Option<u64>,
    pub(crate) created: Time,
    /// When its present journal was begun; the time that its code sees first.
    pub(crate) begun: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retained: Option<Time>,
}

impl WorkflowRow {
    fn has_key(&self) -> bool {
        self.key.is_some()
    }

    fn has_parent(&self) -> bool {
        self.parent.is_some()
    }

    fn is_ready(&self) -> bool {
        self.state == State::Ready && !self.is_forgetting()
    }

    /// What a restart has forgotten is not all gone.
    pub(crate) fn is_forgetting(&self) -> bool {
        self.forgets.is_some()
    }

    fn is_scheduled(&self) -> bool {
        self.state == State::Scheduled
    }

    fn is_running(&self) -> bool {
        self.state == State::Running
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// It waits for its retention alone: an end that is not told yet stays, also one that is dead, which a person
    /// has to see.
    fn is_retained(&self) -> bool {
        self.has_ended() && self.telling.is_none() && self.retained.is_some()
    }

    fn is_open(&self) -> bool {
        !self.has_ended()
    }

    fn is_blocked(&self) -> bool {
        self.state == State::Blocked
    }

    /// Its end is still to be told.
    pub(crate) fn is_untold(&self) -> bool {
        self.telling.as_ref().is_some_and(|telling| !telling.dead)
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.telling.as_ref().is_some_and(|telling| telling.dead)
    }

    /// Whether its code is to hear what comes for its steps of a chapter.
    pub(crate) fn hears(&self, chapter: u32) -> Hears {
        if self.has_ended() || self.chapter != chapter {
            Hears::Never
        } else if self.state == State::Blocked || self.is_forgetting() {
            Hears::Later
        } else {
            Hears::Now
        }
    }

    fn completion(&self) -> Option<String> {
        self.on_done.as_ref().map(|callback| callback.name.clone())
    }

    fn tell_at(&self) -> Option<Time> {
        self.telling.as_ref().map(|telling| telling.due)
    }
}

/// Whether the code of a run is to hear what comes for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hears {
    Now,
    /// Nobody knows yet which code it is, or which of its steps stay.
    Later,
    Never,
}

/// Why a run cannot go on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Blocked {
    pub(crate) why: String,
    pub(crate) since: Time,
}

/// How often a run could not go on at one place of its journal.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stumbles {
    /// The end of its journal, at which it was.
    pub(crate) place: u64,
    /// How often it was blocked there.
    pub(crate) blocks: u32,
    /// Which process blocked it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<Id<HostRow>>,
    /// How often the store refused what it did there.
    pub(crate) refusals: u32,
}

/// What a restart forgets of a journal: some steps at a time, and the run is taken when nothing of it is left.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Forgets {
    pub(crate) chapter: u32,
    /// All steps from this number on,
    pub(crate) first: u32,
    /// and what the code did when it had been given more outcomes than so many: the first that is forgotten is
    /// behind them.
    pub(crate) behind: u64,
    /// The code has not heard of events from this position on: they go back.
    pub(crate) heard: u64,
    /// Pending steps before this number are dealt with,
    pub(crate) number: u32,
    /// and settled ones before this position.
    pub(crate) position: u64,
}

/// JSON in a row, or beside it in a [`PayloadRow`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Held {
    Here(Box<RawValue>),
    Aside,
}

/// What is too large for a workflow's row, under the workflow's id.
#[derive(Clone, Debug, Default, Serialize, Deserialize, Table)]
#[table(name = "workflow_payloads", id = "workflowpayload")]
pub(crate) struct PayloadRow {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) result: Option<Box<RawValue>>,
}

/// Whom to call when a workflow has ended, and with what.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredCallback {
    pub(crate) name: String,
    pub(crate) context: Box<RawValue>,
}

/// A completion that is still to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Telling {
    pub(crate) due: Time,
    pub(crate) tries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
    pub(crate) dead: bool,
}

/// How a workflow ended, encoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ended {
    Success(Held),
    Failed(StoredFailure),
    Cancelled,
}

/// An error as a row holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredFailure {
    pub(crate) kind: String,
    pub(crate) message: String,
}

impl StoredFailure {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind: kind.as_str().to_owned(), message: message.into() }
    }

    /// The kind as far as a row keeps it: a limit's wait is over when it is read.
    pub(crate) fn kind(&self) -> Kind {
        match self.kind.as_str() {
            "invalid" => Kind::Invalid,
            "denied" => Kind::Denied,
            "not_found" => Kind::NotFound,
            "conflict" => Kind::Conflict,
            "limited" => Kind::Limited { wait: std::time::Duration::ZERO },
            "unavailable" => Kind::Unavailable,
            "cancelled" => Kind::Cancelled,
            "corrupt" => Kind::Corrupt,
            _ => Kind::Internal,
        }
    }
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A mutation within the workflow.
    Mutation,
    /// An action within the workflow.
    Effect,
    /// A job of the workpool.
    Job,
    /// A sleep.
    Sleep,
    /// A wait for an event.
    Event,
    /// Another workflow, waited for.
    Child,
    /// Another workflow, started and left alone.
    Start,
    /// A mark of [`patched`](crate::Flow::patched).
    Patch,
}

impl StepKind {
    /// Returns the kind in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mutation => "mutation",
            Self::Effect => "effect",
            Self::Job => "job",
            Self::Sleep => "sleep",
            Self::Event => "event",
            Self::Child => "child",
            Self::Start => "start",
            Self::Patch => "patch",
        }
    }
}

/// The id of a step.
pub type StepId = Id<StepRow>;

/// A step of a workflow: an entry of its journal. A step within the workflow is inserted when it is settled
/// and never written again; one that waits is inserted as pending and written once more.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "workflow_steps", id = "workflowstep")]
#[index(unique settled(run, chapter, position), when = StepRow::is_settled)]
#[index(pending(run, chapter, number), when = StepRow::is_pending)]
#[index(waiting(run, chapter, awaited: String = StepRow::awaited_name, number), when = StepRow::is_waiting)]
#[index(waits(run, chapter, number), when = StepRow::is_wait)]
#[index(due(due), when = StepRow::is_due_later)]
#[index(held(run, chapter), when = StepRow::is_held)]
#[index(cut_off(run, chapter), when = StepRow::is_cut_off)]
pub struct StepRow {
    pub(crate) run: WorkflowId,
    pub(crate) chapter: u32,
    /// Its place in the code: the order in which steps are made.
    pub(crate) number: u32,
    pub(crate) kind: StepKind,
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<u64>,
    /// The beginning of its arguments, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) args: Option<String>,
    /// How many outcomes the code had been given when it began this.
    #[serde(default)]
    pub(crate) behind: u64,
    /// Its place in the order in which outcomes reach the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) position: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) outcome: Option<StoredOutcome>,
    /// The workflow ended, or went on anew, while it was pending.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cut: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<Time>,
    /// It was due while its run could not hear of it: it ends when the run can.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) job: Option<JobId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) child: Option<WorkflowId>,
    /// The event that it waits for, where that is not its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) awaits: Option<String>,
    /// The event that it has got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<Id<MailRow>>,
    /// The code had dropped it, when it had been given so many outcomes: the event went back to those that nobody
    /// has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) given_back: Option<u64>,
    /// The bytes of all outcomes up to this one.
    #[serde(default)]
    pub(crate) total: u64,
    pub(crate) started: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) finished: Option<Time>,
}

impl StepRow {
    pub(crate) fn is_settled(&self) -> bool {
        self.position.is_some()
    }

    pub(crate) fn is_pending(&self) -> bool {
        self.position.is_none() && !self.cut
    }

    fn is_waiting(&self) -> bool {
        self.is_pending() && self.is_wait()
    }

    fn is_wait(&self) -> bool {
        self.kind == StepKind::Event
    }

    /// Whether something comes of it when the code drops it: it waits, or has an event for others.
    pub(crate) fn is_open(&self) -> bool {
        self.is_pending() || (self.event.is_some() && self.given_back.is_none())
    }

    /// The name of the event that it waits for.
    pub(crate) fn awaited(&self) -> &str {
        self.awaits.as_deref().unwrap_or(&self.name)
    }

    fn awaited_name(&self) -> String {
        self.awaited().to_owned()
    }

    /// The event that it has got and not given back, to be put where it came from.
    pub(crate) fn mail(&self) -> Option<(Id<MailRow>, MailRow)> {
        let (Some(event), Some(value), None) = (self.event, self.outcome.clone(), self.given_back) else {
            return None;
        };
        Some((event, MailRow { run: self.run, name: self.awaited().to_owned(), value }))
    }

    fn is_due_later(&self) -> bool {
        self.is_pending() && self.due.is_some() && !self.held
    }

    fn is_held(&self) -> bool {
        self.is_pending() && self.held
    }

    fn is_cut_off(&self) -> bool {
        self.cut
    }
}

/// How a step ended, encoded.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StoredOutcome {
    Success(Box<RawValue>),
    Failed(StoredFailure),
    Cancelled,
    TimedOut,
    Interrupted,
    /// Its workflow dropped it.
    Withdrawn,
}

impl StoredOutcome {
    /// What it takes of the journal.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Success(json) => json.get().len(),
            Self::Failed(failure) => failure.message.len(),
            Self::Cancelled | Self::TimedOut | Self::Interrupted | Self::Withdrawn => 0,
        }
    }
}

/// An event that nobody has taken yet. Its id is that of its sending, also when a step has given it back: so
/// events of one name are in the order in which they were sent.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "workflow_events", id = "event")]
#[index(by_name(run, name))]
pub(crate) struct MailRow {
    pub(crate) run: WorkflowId,
    pub(crate) name: String,
    pub(crate) value: StoredOutcome,
}

/// What is left of a workflow that is to be dealt with in steps.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "workflow_leftovers", id = "leftover")]
pub(crate) struct LeftoverRow {
    pub(crate) run: WorkflowId,
    pub(crate) left: Left,
}

/// What a workflow has left behind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Left {
    /// All of it: its row is gone.
    Whole,
    /// The chapters before this one.
    Below(u32),
    /// What it still waited for when it came to its end in this chapter.
    Waiting(u32),
    /// Waits of this chapter that are over since it can hear of that.
    Held(u32),
}

/// A process that has workflows in memory. Its lease is the lease of all that it has.
#[derive(Clone, Debug, Serialize, Deserialize, Table)]
#[table(name = "workflow_hosts", id = "workflowhost")]
pub struct HostRow {
    pub(crate) lease: Lease,
    /// Its workflows are being taken over; it must not come back under this id.
    pub(crate) buried: bool,
}

/// The crate's tables, for [`Store::builder`](loomwork_store::Store::builder). Those of the workpool come
/// beside them.
pub fn tables() -> [TableDef; 6] {
    [
        WorkflowRow::table(),
        PayloadRow::table(),
        StepRow::table(),
        MailRow::table(),
        LeftoverRow::table(),
        HostRow::table(),
    ]
}
