//! Metering: what agents use becomes usage that is counted, priced and billed.

use loomwork_agent::{OnUsage, UsageEvent};
use loomwork_store::{Result, Tx};
use loomwork_usage::{Event, Level, Quantities, record_or_set_aside};

/// The name under which the outbox knows the handler.
const NAME: &str = "loomwork usage";

/// The source of the events.
pub(crate) const SOURCE: &str = "agent";

/// Returns the handler that records what an agent uses, in the commit of the step: for its user, who pays, its agent,
/// its thread, and the run to which it belongs in the end.
///
/// ```
/// use std::sync::Arc;
///
/// use loomwork::{Agent, App, OfflineModel, Options, metered};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = Options { on_usage: Some(metered()), ..Options::default() };
/// let support = Agent::new("support", Arc::new(OfflineModel::default())).with(options);
/// let app = App::memory().agent(support).build().await?;
/// # app.shutdown(std::time::Duration::from_secs(5)).await?;
/// # Ok(())
/// # }
/// ```
pub fn metered() -> OnUsage {
    OnUsage::new(NAME, record)
}

fn record(tx: &mut Tx, used: &UsageEvent) -> Result<()> {
    let report = serde_json::to_value(&used.usage).unwrap_or_default();
    let mut event = Event::new(SOURCE, used.key.clone(), used.at)
        .model(used.provider.clone(), used.model.clone())
        .used_by(Level::Agent, used.agent.clone())
        .used_by(Level::Run, used.root.to_string());
    if let Some(user) = &used.user {
        event = event.used_by(Level::User, user.clone()).paid_by(user.clone());
    }
    if let Some(thread) = used.thread {
        event = event.used_by(Level::Thread, thread.to_string());
    }
    event.quantities = Quantities::of_report(&report);
    event.estimated = used.usage.estimated;
    event.inconsistent = used.usage.inconsistent;
    // What was used was used: an event that cannot be counted is set aside, and harms no answer.
    record_or_set_aside(tx, event).map(drop)
}
