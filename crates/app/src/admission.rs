//! Admissions that an app's components make: budgets, and limits on tokens.

use std::time::Duration;

#[cfg(feature = "usage")]
use loomwork_agent::PlannedCall;
use loomwork_agent::{Admission, Hold};
#[cfg(feature = "usage")]
use loomwork_core::Kind;
use loomwork_rate_limiter::{Limit, hold, release, settle};
#[cfg(feature = "usage")]
use loomwork_store::Error;
#[cfg(feature = "usage")]
use loomwork_usage::{BudgetExceeded, Event, Level, Quantities, admit};

/// How long what a call may use is kept back at most: a process that dies never says what it used.
pub const HOLD_TERM: Duration = Duration::from_secs(10 * 60);

/// How many tokens an answer is taken for where its settings set no limit.
pub const USUAL_OUTPUT: u64 = 1_000;

/// Returns the admission that keeps an agent within its user's and everybody's tokens: what a call may use is kept back,
/// and put right in the commit of the step. A call for which there are too few waits.
///
/// ```
/// use std::sync::Arc;
///
/// use loomwork::rate_limiter::{Limit, MINUTE};
/// use loomwork::{Agent, OfflineModel, Options, within_tokens};
///
/// const TOKENS: Limit<'static> = Limit::token_bucket("tokens", 2_000, MINUTE).capacity(10_000);
/// const ALL_TOKENS: Limit<'static> = Limit::token_bucket("all-tokens", 100_000, MINUTE);
///
/// let admissions = Some(vec![within_tokens(TOKENS, ALL_TOKENS)]);
/// let model = Arc::new(OfflineModel::default());
/// let support = Agent::new("support", model).with(Options { admissions, ..Options::default() });
/// # drop(support);
/// ```
pub fn within_tokens(of_user: Limit<'static>, of_all: Limit<'static>) -> Admission {
    Admission::before_call("tokens", move |tx, call| {
        let asked = call.input_tokens.saturating_add(call.max_output_tokens.unwrap_or(USUAL_OUTPUT));
        let mut asks = vec![of_all.ask(&(), asked)];
        // Nobody has a share of their own.
        asks.extend(call.user.as_deref().map(|user| of_user.ask(user, asked)));
        let lines = asks.len();
        let held = hold(tx, &asks, HOLD_TERM)?.id;
        Ok(Hold::new(move |tx, used| match used {
            Some(used) => settle(tx, held, &vec![used.total(); lines]).map(drop),
            None => release(tx, held).map(drop),
        }))
    })
}

/// Returns the admission that keeps an agent within all budgets that its calls count for: what a call may use is kept
/// back until [`metered`](crate::metered) has recorded what it used, in the commit of the step. One that is beyond a
/// budget is refused for good: no answer waits for the month to end.
#[cfg(feature = "usage")]
pub fn within_budgets() -> Admission {
    Admission::before_call("budgets", |tx, call| {
        let refused = |error: Error| match BudgetExceeded::of(&error) {
            Some(exceeded) => Error::message(Kind::Denied, exceeded.to_string()),
            None => error,
        };
        let admitted = admit(tx, &estimate(tx.now(), call), HOLD_TERM).map_err(refused)?;
        Ok(Hold::new(move |tx, _| loomwork_usage::release(tx, admitted).map(drop)))
    })
}

/// Returns what a call will use at most, as [`metered`](crate::metered) will record it.
#[cfg(feature = "usage")]
fn estimate(now: loomwork_core::Time, call: &PlannedCall) -> Event {
    let mut event = Event::new(crate::metering::SOURCE, format!("{}:{}", call.run, call.step), now)
        .model(call.provider.clone(), call.model.clone())
        .used_by(Level::Agent, call.agent.clone())
        .used_by(Level::Run, call.root.to_string());
    if let Some(user) = &call.user {
        event = event.used_by(Level::User, user.clone()).paid_by(user.clone());
    }
    if let Some(thread) = call.thread {
        event = event.used_by(Level::Thread, thread.to_string());
    }
    event.quantities = Quantities::of_report(&serde_json::json!({
        "inputFresh": call.input_tokens,
        "outputText": call.max_output_tokens.unwrap_or(USUAL_OUTPUT),
    }));
    event
}
