//! Durable runs: answers that are begun in a transaction, outlive their processes, and stream into the same message
//! whoever makes them.
//!
//! [`start`] saves the prompt, begins a run and enqueues its wake-up, all in the caller's transaction. A process
//! that has a [`Registry`] with the agent takes the run up, step by step, and whoever takes it up after a crash goes
//! on at the step where it stopped. The wake-up is a job of `loomwork-workpool`; it decides nothing, since only the
//! hold of the run lets anybody write.
//!
//! What a run needs is stored with it as names and values: there is no place for a closure in [`StartOptions`].
//!
//! ```
//! use std::sync::Arc;
//!
//! use loomwork_agent::durable::{Registry, StartOptions};
//! use loomwork_agent::{Agent, Runtime};
//! use loomwork_messages::runs;
//! use loomwork_messages::threads::{NewThread, create};
//! use loomwork_models::OfflineModel;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::memory().await?;
//! let support = Agent::new("support", Arc::new(OfflineModel::default())).instructions("Be helpful.");
//! let pool = Registry::new().agent(support.clone())?.start(&runtime).await?;
//!
//! // In any mutation, next to whatever else belongs to it.
//! let started = runtime.store().mutate(move |tx| {
//!     let thread = create(tx, NewThread::for_user("alice"))?.id;
//!     support.start(tx, thread, "Where is my parcel?", StartOptions::default())
//! });
//! let run = started.await?.run().expect("an agent answers in this thread");
//!
//! let mut status = runtime.store().watch(move |tx| Ok(tx.require(run)?.status));
//! while !status.next().await.expect("the store is open")?.has_ended() {}
//! # let steps = runtime.store().query(move |tx| Ok(tx.require(run)?.steps)).await?;
//! # assert_eq!(steps, 1);
//! # pool.shutdown(std::time::Duration::from_secs(5)).await?;
//! # runtime.shutdown(std::time::Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The options of a call in this process do not fit, since they may hold closures:
//!
//! ```compile_fail,E0277
//! use loomwork_agent::durable::StartOptions;
//! use loomwork_agent::{Agent, Options, step_count};
//! use loomwork_messages::ThreadId;
//! use loomwork_store::{Result, Tx};
//!
//! fn ask(tx: &mut Tx, agent: &Agent, thread: ThreadId) -> Result<()> {
//!     let options: Options = Options { stop_when: Some(step_count(3)), ..Options::default() };
//!     agent.start(tx, thread, "Hello!", options).map(drop)
//! }
//! ```

mod drive;
mod error;
mod jobs;
mod registry;
mod start;

pub use error::{RegistryError, StartError};
pub use jobs::{AgentJob, ObjectAnswer, TextAnswer};
pub use registry::{AGENT_POOL, AGENT_POOL_PARALLEL, Registry, started_with};
pub(crate) use start::STARTED;
pub use start::{Busy, StartOptions, Started, start, wake};
