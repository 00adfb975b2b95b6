//! Durable functions in plain Rust: an async function whose steps are recorded, so that it goes on where it was
//! after a crash, a deployment, or three days of sleep.
mod cancel;
mod claim;
mod clean;
mod combine;
mod desk;
mod difference;
mod driver;
mod end;
mod engine;
mod error;
mod event;
mod flow;
mod history;
mod host;
mod journal;
mod limits;
mod machine;
mod options;
mod order;
mod outcome;
mod payload;
mod restart;
mod saga;
mod serve;
#[cfg(test)]
mod simulation;
mod start;
mod status;
mod step;
mod steps;
mod tables;
mod timers;
mod workflow;

pub use cancel::cancel;
pub use claim::{CLAIM_STEP, CLAIMED_STEPS};
pub use clean::{CLEAN_UP_STEP, clean_up};
pub use combine::First;
pub use end::COMPLETION_ATTEMPTS;
pub use engine::{BuildError, Builder, IDLE, RESIDENT, Workflows};
pub use error::{Failure, StepError};
pub use event::{SendError, send, send_failure};
pub use flow::Flow;
pub use history::{History, history};
pub use host::{HEARTBEAT, LEASE, RECOVERY_STEP};
pub use limits::{
    KEEP, MAX_AHEAD, MAX_DEPTH, MAX_EVENT_BYTES, MAX_INPUT_BYTES, MAX_JOURNAL_BYTES, MAX_MAIL,
    MAX_RESULT_BYTES, MAX_STEPS, MAX_TEXT_BYTES,
};
pub use options::{Callback, Options, Taken};
pub use outcome::{Done, Outcome, OutcomeKind, outcome};
pub use restart::{From, RestartError, restart};
pub use saga::{Saga, SagaError};
pub use serve::with_steps;
pub use start::{StartError, start};
pub use status::{Listed, Status, StepState, StepStatus, find, list, status, steps, unread};
pub use step::Step;
pub use steps::{Action, Child, Detached, Mutation, RunJob, Sleep, Wait};
pub use tables::{HostRow, State, StepId, StepKind, StepRow, WorkflowId, WorkflowRow, tables};
pub use timers::TIMER_STEP;
pub use workflow::{Completion, Event, Workflow};
