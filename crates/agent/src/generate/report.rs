//! Telling handlers what a run's calls used and exchanged.

use std::sync::Arc;

use loomwork_core::Time;
use loomwork_messages::{Failure, RunId, ThreadId};
use loomwork_models::{ModelName, Reply, Usage};
use loomwork_store::{Result, Tx};

use crate::agent_tool::Delegated;
use crate::exchange::{Exchange, OnExchange};
use crate::handled::forgive;
use crate::journal::Closing;
use crate::outbox::{self, Handler, Told};
use crate::tables::{StepEnd, StepRow};
use crate::usage::{OnUsage, UsageEvent, UsageHandler, UsageKind};
use crate::values::Values;

/// Whose calls are told of, and who is told.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    pub(crate) run: RunId,
    pub(crate) root: RunId,
    pub(crate) thread: Option<ThreadId>,
    pub(crate) user: Option<String>,
    pub(crate) agent: Arc<str>,
    pub(crate) values: Values,
    pub(crate) on_usage: Option<OnUsage>,
    pub(crate) on_exchange: Option<OnExchange>,
    /// The runs above, which are told too.
    pub(crate) delegated: Delegated,
}

impl Reporter {
    /// Tells what a call of the model used.
    pub(crate) fn used(&self, tx: &mut Tx, step: u32, attempt: u32, closing: &Closing) -> Result<()> {
        let Some(on_usage) = &self.on_usage else { return Ok(()) };
        let name = ModelName::new(&closing.provider, &closing.model);
        let event = UsageEvent {
            step,
            attempt,
            usage: closing.usage.clone(),
            provider_metadata: closing.provider_metadata.clone(),
            end: closing.end,
            ..self.event(closing.kind, key(self.run, step, attempt), &name, tx.now())
        };
        tell(tx, on_usage, event)
    }

    /// Tells what embedding used that a search needed, for an attempt at a step.
    pub(crate) fn embedded(
        &self,
        tx: &mut Tx,
        (step, attempt): (u32, u32),
        embedded: &[(ModelName, Usage)],
    ) -> Result<()> {
        let Some(on_usage) = &self.on_usage else { return Ok(()) };
        for (model, usage) in embedded {
            // A context may be built more than once for an attempt.
            let key = format!("{}:embedding:{}", self.run, tx.new_id::<StepRow>());
            let usage = usage.clone();
            let event = self.event(UsageKind::Embedding, key, model, tx.now());
            tell(tx, on_usage, UsageEvent { step, attempt, usage, ..event })?;
        }
        Ok(())
    }

    /// Writes an exchange for its handler.
    pub(crate) fn exchanged(
        &self,
        tx: &mut Tx,
        step: u32,
        attempt: u32,
        (mut reply, failure): (Reply, Option<Failure>),
    ) -> Result<()> {
        let Some(on_exchange) = &self.on_exchange else { return Ok(()) };
        let request = reply.info.request_body.take();
        let (run, thread, user, agent) = (self.run, self.thread, self.user.clone(), self.agent.to_string());
        let (key, is_cut, at) = (key(run, step, attempt), false, tx.now());
        let values = self.values.clone();
        let exchange = Exchange {
            key,
            run,
            step,
            attempt,
            thread,
            user,
            agent,
            values,
            request,
            reply,
            failure,
            is_cut,
            at,
        };
        let (handler, told) =
            (Handler::from(on_exchange.clone()).name(), Told::Exchange(Box::new(exchange.fitting())));
        let put = tx.nested(|tx| outbox::put(tx, handler, told, None));
        put.or_else(|error| forgive(error, |error| tracing::error!(%error, "an exchange was not kept")))
    }

    fn event(&self, kind: UsageKind, key: String, model: &ModelName, at: Time) -> UsageEvent {
        UsageEvent {
            key,
            kind,
            run: self.run,
            root: self.root,
            step: 0,
            attempt: 1,
            thread: self.thread,
            user: self.user.clone(),
            agent: self.agent.to_string(),
            values: self.values.clone(),
            provider: model.provider.clone(),
            model: model.model.clone(),
            usage: Usage::default(),
            provider_metadata: loomwork_models::ProviderData::new(),
            end: StepEnd::Success,
            at,
        }
    }
}

pub(crate) fn key(run: RunId, step: u32, attempt: u32) -> String {
    format!("{run}:{step}:{attempt}")
}

/// Tells a handler in this transaction, or puts it in the outbox: for a later time, or because it has failed.
fn tell(tx: &mut Tx, on_usage: &OnUsage, event: UsageEvent) -> Result<()> {
    let mut said = None;
    if let UsageHandler::InCommit(handler) = on_usage.handler() {
        let Err(error) = tx.nested(|tx| handler(tx, &event)) else { return Ok(()) };
        forgive(error, |error| {
            tracing::warn!(handler = on_usage.name(), key = event.key, %error, "a usage handler failed");
            said = Some(error.to_string());
        })?;
    }
    outbox::put(tx, Handler::from(on_usage.clone()).name(), Told::Usage(Box::new(event)), said)
}
