//! A complete backend for AI agents in one value: agents, durable jobs and workflows, knowledge, files, limits and
//! billing over one store, served over HTTP with live queries. For programs that want all of it, and for those that
//! nest it in a service they have.
//!
//! The crate owns composition, access and the API. It leaves everything else to the crates that it is made of, and
//! re-exports them, so that one dependency is enough.
//!
//! ```
//! use std::sync::Arc;
//!
//! use loomwork::{Agent, App, OfflineModel};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let support = Agent::new("support", Arc::new(OfflineModel::default())).instructions("Be helpful.");
//! let app = App::memory().agent(support).build().await?; // `App::open("support.db").await?` keeps it
//!
//! let router = app.router(); // nest it, or `app.serve("127.0.0.1:3210").await?`
//! # drop(router);
//! # app.shutdown(std::time::Duration::from_secs(5)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//! - [`App::open`] begins a [`Builder`], which takes what the app has; [`Builder::build`] starts it.
//! - [`App::router`] is the API, [`App::openapi`] its description, [`App::serve`] serves it until the process is asked
//!   to end.
//! - [`App::start_run`] begins a durable answer in the caller's transaction, [`App::follow_run`] reads it as it comes.
//! - `cli::run` is a command line over all of that, for a program of yours.
//! - A [`Caller`] is who makes a request, with a [`Scope`]; [`allow`] decides what they may do.
//! - [`Error`] is what a client is told, in one shape whatever failed.
//!
//! # Guarantees
//! - **One place decides** who may see what: [`allow`], on the rows of the transaction that reads or writes.
//! - **Live is the same question.** Every read can be followed, and ends when its caller may not read any more.
//! - **An end gives back.** What a shutdown could not finish is taken up by the next start, at once.

#![cfg_attr(
    not(feature = "http"),
    expect(
        dead_code,
        unused_imports,
        reason = "operations and keys are for who calls over HTTP or a command line"
    )
)]

mod admission;
mod agents;
mod api;
mod app;
mod auth;
mod builder;
#[cfg(feature = "cli")]
pub mod cli;
#[cfg(feature = "cli")]
pub mod demo;
mod error;
mod functions;
#[cfg(feature = "http")]
mod hook;
#[cfg(feature = "http")]
pub mod http;
mod idempotency;
#[cfg(feature = "rag")]
mod knowledge;
#[cfg(feature = "usage")]
mod metering;
#[cfg(feature = "http")]
mod protocols;
mod reached;
mod runs;
mod said;
mod uploads;

#[cfg(feature = "usage")]
pub use admission::within_budgets;
pub use admission::{HOLD_TERM, USUAL_OUTPUT, within_tokens};
pub use app::App;
#[cfg(feature = "http")]
pub use auth::{
    CODE_TERM, JwtKeys, JwtOptions, KEYS_AGAIN, KEYS_FRESH, KEYS_KEPT, MAX_KEY_SET_BYTES, MIN_SHARED_BYTES,
    PAGE_KEY_TERM,
};
pub use auth::{Caller, MIN_KEY_BYTES, Need, Refused, Scope, allow, keys};
pub use builder::{BuildError, Builder};
pub use error::{Error, ErrorBody, Result};
#[cfg(feature = "http")]
pub use hook::{Hooked, TOLERANCE as HOOK_TOLERANCE};
pub use idempotency::KEEP as IDEMPOTENCY_KEEP;
#[cfg(feature = "rag")]
pub use knowledge::{FOUND, Knowledge};
#[cfg(feature = "usage")]
pub use metering::metered;
#[cfg(feature = "http")]
pub use protocols::MAX_CONVERSATION_BYTES;
pub use runs::{RunAsk, RunAsked, RunCursor, RunFollower};
pub use said::MAX_SAID_BYTES;
pub use uploads::UPLOAD_KEEP;

#[doc(inline)]
pub use loomwork_agent::{Agent, Options, step_count, tool};
#[doc(inline)]
pub use loomwork_models::OfflineModel;
#[doc(inline)]
pub use loomwork_store::{Id, Key, Row, Store, Table, Tx};
#[doc(inline)]
pub use loomwork_workpool::{Job, JobContext, Schedule};

#[doc(no_inline)]
pub use loomwork_agent as agent;
#[doc(no_inline)]
pub use loomwork_core as core;
#[doc(no_inline)]
pub use loomwork_files as files;
#[doc(no_inline)]
pub use loomwork_messages as messages;
#[doc(no_inline)]
pub use loomwork_models as models;
#[cfg(feature = "rag")]
#[doc(no_inline)]
pub use loomwork_rag as rag;
#[doc(no_inline)]
pub use loomwork_rate_limiter as rate_limiter;
#[doc(no_inline)]
pub use loomwork_search as search;
#[doc(no_inline)]
pub use loomwork_store as store;
#[cfg(feature = "sqlite")]
#[doc(no_inline)]
pub use loomwork_store_sqlite as store_sqlite;
#[cfg(feature = "usage")]
#[doc(no_inline)]
pub use loomwork_usage as usage;
#[cfg(feature = "workflow")]
#[doc(no_inline)]
pub use loomwork_workflow as workflow;
#[doc(no_inline)]
pub use loomwork_workpool as workpool;

#[doc(no_inline)]
pub use {schemars, serde, tokio};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/app.md")]
struct Guide;

#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../../../docs/cli.md")]
struct CommandLine;
