//! Durable functions: an async function whose steps are recorded as they are done, so that it goes on where it
//! was after a crash, a deployment or three days of sleep. For programs that have a Loomwork store, and work that
//! takes longer than a process lives.
//!
//! The crate owns runs, their journals and what wakes them. It leaves storage to `loomwork-store`, jobs to
//! `loomwork-workpool`, and what a step does to you.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use loomwork_store::{Result, Store};
//! use loomwork_workflow::{Event, Flow, Outcome, Workflow, Workflows, outcome, send, start, with_steps};
//! use loomwork_workpool::{Job, Workpool};
//!
//! // Names with types are constants: whoever starts one needs no engine at hand.
//! const ONBOARDING: Workflow<String, String> = Workflow::new("onboarding");
//! const APPROVAL: Event<bool> = Event::new("approval");
//! const GREET: Job<String, String> = Job::new("greet");
//!
//! async fn onboarding(wf: Flow, name: String) -> Result<String> {
//!     let greeting = wf.run(&GREET, name).await?;                             // a job: retried, limited
//!     let key = wf.effect("key", || async { Ok(7_u64) }).await?;              // right here, recorded once
//!     wf.mutation("enter", move |_tx| Ok(())).await?;                         // exactly once
//!     wf.sleep(Duration::from_millis(10)).await;                              // rows, not memory
//!     let welcome = wf.event(APPROVAL).timeout(Duration::from_secs(60)).await?;
//!     Ok(format!("{greeting} {key} {welcome}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let tables = Store::memory().tables(loomwork_workpool::tables()).tables(loomwork_workflow::tables());
//! let store = tables.open().await?;
//! let greet = |_, name: String| async move { Ok(format!("Hello {name}")) };
//! let pool = with_steps(Workpool::builder(&store)).on(GREET, greet).start().await?;
//! let workflows = Workflows::builder(&store).on(ONBOARDING, onboarding).start().await?;
//!
//! let id = store.mutate(|tx| start(tx, &ONBOARDING, "Ada".into(), "user 7")).await?;
//! store.mutate(move |tx| send(tx, id, APPROVAL, &true)).await?; // kept until it is waited for
//!
//! let mut live = store.watch(move |tx| outcome(tx, &ONBOARDING, id));
//! let ended = loop {
//!     if let Some(ended) = live.next().await.expect("the store is open")? {
//!         break ended;
//!     }
//! };
//! assert_eq!(ended, Outcome::Success("Hello Ada 7 true".to_owned()));
//! workflows.shutdown(Duration::from_secs(5)).await?;
//! pool.shutdown(Duration::from_secs(5)).await
//! # }
//! ```
//!
//! # Tour
//!
//! - A [`Workflow`] is a name with types; [`start`] is a plain function over a `&mut Tx`, and [`Options`] say when,
//!   under which key, and whom to tell.
//! - [`Workflows`] runs them in this process: [`on`](Builder::on) binds a name to its code.
//! - The code gets a [`Flow`]. Its steps are [`mutation`](Flow::mutation), [`effect`](Flow::effect),
//!   [`run`](Flow::run) (a job), [`sleep`](Flow::sleep), [`event`](Flow::event), [`child`](Flow::child) and
//!   [`start`](Flow::start); several at once are [`join`](Flow::join), [`join_all`](Flow::join_all),
//!   [`for_each`](Flow::for_each) and [`select`](Flow::select). [`saga`](Flow::saga) undoes in reverse.
//! - [`now`](Flow::now), [`random`](Flow::random) and [`new_id`](Flow::new_id) are the same in a replay;
//!   [`patched`](Flow::patched) is for code that changes, [`continue_with`](Flow::continue_with) for work without
//!   an end.
//! - [`send`] gives a workflow an event, [`cancel`] ends it with its children, [`restart`] begins it again from its
//!   start or from a step, [`clean_up`] forgets it.
//! - [`status`], [`steps`], [`outcome`], [`list`] and [`history`] look at workflows; under `watch` they are live.
//! - [`with_steps`] has a workpool tell workflows when their jobs have ended.
//!
//! # Guarantees
//!
//! - **Started** exactly if the caller's transaction commits.
//! - A **mutation** step takes effect exactly once, with its record. An **effect** and a **job** run at least once,
//!   or [at most once](Action::once), and are recorded once. What is on record never runs again, unless a
//!   [`restart`] asks for that.
//! - An **event** is taken once, and never lost: not by a wait that was given up, not by a run that goes on anew or
//!   is restarted.
//! - A **completion** takes effect exactly once. Its error loses neither the end nor itself.
//! - **Outcomes** reach the code one at a time, in the order in which they were recorded, and only behind their
//!   commit. So whatever the code does with several steps at once, a replay does again.
//! - A run is **one process's** at a time: every record is fenced, and a process that comes back late records
//!   nothing. Runs of a dead process are taken over: at once when the store it owned is opened again, when its
//!   [`LEASE`] ends where others share it.
//! - A run **stays in memory** between its steps and goes on without a replay. What waits longer than
//!   [`idle`](Builder::idle) is put away and costs rows alone.
//! - Code that **does not fit** its journal blocks the run, and never fails it: see [`Status::blocked`].
//!
//! # Limits
//!
//! An input takes [`MAX_INPUT_BYTES`] as JSON, a result [`MAX_RESULT_BYTES`], an event [`MAX_EVENT_BYTES`]; a
//! journal has [`MAX_STEPS`] steps and [`MAX_JOURNAL_BYTES`]; [`MAX_MAIL`] events wait for a run, and workflows are
//! nested [`MAX_DEPTH`] deep. A journal that is full fails the step that has no room; [`SPARE_STEPS`] are left then
//! to put things in order.
//!
//! # Where this differs from the first plan
//!
//! - A race needs no record of its own: the order of all outcomes is the record, so `tokio::join!` and biased
//!   selects work too.
//! - A step that the code drops is called off, as a dropped future is in Rust: the loser of a race, and what is left
//!   of a join that failed. An event that it has got goes back to its place among those that nobody has taken.
//! - What an action fails with is text and a kind when it comes back; an error with a type of its own is a value:
//!   let the action return it inside `Ok`.
//! - There are no versions that are pinned to a run: [`patched`](Flow::patched) is how code changes.

mod blocked;
mod cancel;
mod claim;
mod clean;
mod combine;
mod completion;
mod cutting;
mod desk;
mod dice;
mod difference;
mod driver;
mod end;
mod engine;
mod error;
mod event;
mod flow;
mod forgetting;
#[cfg(test)]
mod hands;
mod history;
mod host;
mod journal;
mod limits;
mod machine;
mod mail;
mod options;
mod order;
mod outbox;
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

pub use blocked::{BLOCKED_CEILING, BLOCKED_PAUSE};
pub use cancel::cancel;
pub use claim::{CLAIM_STEP, CLAIMED_BYTES, CLAIMED_STEPS, MAX_STUMBLES};
pub use clean::{CLEAN_UP_STEP, clean_up};
pub use combine::First;
pub use completion::{COMPLETION_ATTEMPTS, Untold, dead_completions, retry_completion};
pub use cutting::CUT_OFF_STEP;
pub use dice::Dice;
pub use engine::{BuildError, Builder, IDLE, RESIDENT, Workflows};
pub use error::{Failure, StepError};
pub use event::{SendError, send, send_failure};
pub use flow::Flow;
pub use history::{History, history};
pub use host::{HEARTBEAT, LEASE, RECOVERY_STEP};
pub use limits::{
    KEEP, MAX_AHEAD, MAX_DEPTH, MAX_EVENT_BYTES, MAX_INPUT_BYTES, MAX_JOURNAL_BYTES, MAX_MAIL,
    MAX_RESULT_BYTES, MAX_STEPS, MAX_TEXT_BYTES, SPARE_STEPS,
};
pub use options::{Callback, Options, Taken};
pub use outcome::{Done, Outcome, OutcomeKind, outcome};
pub use restart::{RestartError, RestartFrom, restart};
pub use saga::{Saga, SagaError};
pub use serve::with_steps;
pub use start::{StartError, start};
pub use status::{Listed, Status, StepState, StepStatus, find, list, status, steps, unread};
pub use step::Step;
pub use steps::{Action, Child, Detached, Mutation, RunJob, Sleep, Wait};
pub use tables::{HostRow, State, StepId, StepKind, StepRow, WorkflowId, WorkflowRow, tables};
pub use timers::TIMER_STEP;
pub use workflow::{Completion, Event, Workflow};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/workflow.md")]
struct Guide;
