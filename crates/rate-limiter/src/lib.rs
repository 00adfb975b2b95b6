//! Exact rate limits, decided in the transaction of what they limit: for programs that have a Loomwork
//! store and pay for what their users set in motion.
//!
//! The crate owns limits, the balances of their keys, and holds. It knows nothing of agents, models or money:
//! tokens are whole numbers of whatever is counted.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use loomwork_rate_limiter::{hold, limit, settle, status, Limit, RateLimited, MINUTE};
//! use loomwork_store::{Result, Store};
//!
//! // Limits are constants: any module can take from them.
//! const SEND_MESSAGE: Limit = Limit::fixed_window("send-message", 1, Duration::from_secs(5)).capacity(2);
//! const TOKENS: Limit = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let store = Store::memory().tables(loomwork_rate_limiter::tables()).open().await?;
//!
//! // Taken together with all else that the mutation does, or not at all.
//! let send = |tx: &mut loomwork_store::Tx| limit(tx, &SEND_MESSAGE, "ada", 1);
//! assert_eq!(store.mutate(send).await?.remaining, 1);
//! store.mutate(send).await?;
//! let error = store.mutate(send).await.expect_err("two are all there is");
//! let wait = RateLimited::of(&error).and_then(RateLimited::retry_after).expect("it is refilled");
//! assert!(wait <= Duration::from_secs(5));
//!
//! // A model is called with what it may use on hold, and what it used is put in its place.
//! let term = Duration::from_secs(600);
//! let held = store.mutate(move |tx| hold(tx, &[TOKENS.ask("ada", 4_000)], term)).await?;
//! store.mutate(move |tx| settle(tx, held.id, &[1_234])).await?;
//! let now = store.query(|tx| status(tx, &TOKENS, "ada", 1)).await?;
//! assert!(now.ok && now.value >= 10_000 - 1_234);
//! # Ok(())
//! # }
//! ```
//!
//! # Tour
//!
//! - A [`Limit`] is a [token bucket](Limit::token_bucket) or a [fixed window](Limit::fixed_window) with a name. Its
//!   keys are [texts, ids, numbers, or none](LimitKey).
//! - [`limit()`] takes or refuses, [`check`] only looks, [`reserve()`] takes what is not there yet and says how
//!   long to wait, [`credit`] gives back. [`limit_all`] and [`check_all`] decide about several at once.
//! - [`hold()`] keeps an estimate until [`settle`] books what was used or [`release`] gives it back; a hold
//!   whose owner died ends with its term, if the [`upkeep`] runs. [`hold_accounts`] does so with what others
//!   count, such as budgets.
//! - [`RateLimited`] is a refusal, with the exact time to wait; [`LimitError`] is a call that makes no sense.
//! - [`status`] is for clients, live under `watch`; [`Snapshot::predict`] goes on from there without a store,
//!   and [`ClockOffset`] allows for their clocks.
//! - [`reset`], [`reset_all`], [`clear_all`] and [`list`] are for operators.
//! - [`weighted`] and [`estimated_tokens`] say what a call of a model costs, [`http`] how a limit is written in
//!   header fields.
//! - A [`Guard`] is a limit of one process in memory, in front of all this.
//!
//! # Guarantees
//!
//! - **Exact.** All arithmetic is in whole numbers: no drift, nothing granted beyond capacity and rate, nothing
//!   refused that was there. Who waits for [`retry_after`](RateLimited::retry_after) is granted the same
//!   request if nobody else took from the limit; a millisecond earlier it is refused.
//! - **Atomic.** What a mutation took is back if it fails. A refusal has written nothing.
//! - **Durable** like all else in the transaction, debts and holds too.
//! - **Monotone.** A wall clock that is set back neither takes tokens nor gives any: the balance waits until the
//!   clock has caught up.
//! - **Small.** A key that has all of its share needs no row; the upkeep forgets those of
//!   [a day ago](KEEP_FULL).
//! - **Closed.** Where the store does not answer, nothing is granted.
//!
//! # Limits
//!
//! Amounts reach [`MAX_AMOUNT`], periods [`MAX_PERIOD`] and whole milliseconds, names and keys
//! [`MAX_TEXT_BYTES`], the term of a hold [`MAX_TERM`]. A browser reads integers exactly up to 2^53.

mod ask;
mod cost;
mod error;
mod guard;
mod hold;
pub mod http;
mod limit;
mod operate;
mod predict;
mod rules;
mod status;
mod tables;
mod take;
mod upkeep;

pub use ask::Ask;
pub use cost::{Weight, estimated_tokens, weighted};
pub use error::{LimitError, RateLimited, Refusal};
pub use guard::Guard;
pub use hold::{Held, MAX_TERM, Settlement, extend, held, hold, hold_accounts, release, settle};
pub use limit::{DAY, HOUR, Limit, LimitKey, MAX_TEXT_BYTES, MINUTE, SECOND, WEEK};
pub use operate::{RESET_STEP, clear_all, list, reset, reset_all};
pub use predict::{ClockOffset, Prediction, Snapshot};
pub use rules::{Algorithm, Level, MAX_AMOUNT, MAX_PERIOD, Rules, RulesError};
pub use status::{Status, status, value};
pub use tables::{BalanceRow, HoldId, HoldLine, HoldRow, HoldState, KEEP_ENDED, KEEP_FULL, tables};
pub use take::{Granted, check, check_all, credit, limit, limit_all, reserve};
pub use upkeep::{UPKEEP_STEP, upkeep};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/rate-limiter.md")]
struct Guide;
