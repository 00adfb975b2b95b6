//! What is written when a step ends, however it ends: what it used, who is told, and what was kept back for it.

use std::sync::Arc;

use loomwork_core::{Random, RetryPolicy, Shutdown};
use loomwork_messages::runs::{self, Hold, RunError};
use loomwork_messages::{Failure, HostRow, MessageStatus, NewMessage, Place, RunId, Save, save};
use loomwork_models::{Message, Reply, Usage};
use loomwork_store::{Error, Id, Problem, Result, Store, Tx};
use tokio::sync::oneshot;

use super::report::Reporter;
use crate::admission::Holds;
use crate::journal::{self, Closed, Closing};
use crate::tables::StepId;
use crate::tool::CallEnd;
use crate::{approvals, humans};

/// What is still to be written of a run.
#[derive(Clone, Debug)]
pub(crate) struct Leaves {
    pub(crate) hold: Hold,
    pub(crate) how: How,
}

/// How a run is left.
#[derive(Clone, Debug)]
pub(crate) enum How {
    /// It ends.
    Fails(MessageStatus, Failure),
    /// Others go on with it.
    GivenBack,
}

/// Results of calls that somebody had approved, which no message of their thread has: what was done is done, though
/// the run has ended meanwhile.
#[derive(Clone, Debug)]
pub(crate) struct Unsaid {
    pub(crate) hold: Hold,
    /// The step that has the calls.
    pub(crate) step: u32,
    pub(crate) ends: Vec<CallEnd>,
}

/// The end of a step.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) reporter: Arc<Reporter>,
    /// Its row, and the process that made it.
    pub(crate) row: Option<(StepId, Id<HostRow>)>,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
    pub(crate) closing: Closing,
    /// The end of the call that ended last.
    pub(crate) last_call: Option<CallEnd>,
    pub(crate) unsaid: Option<Unsaid>,
    /// What came, and why it broke off.
    pub(crate) exchange: Option<(Reply, Option<Failure>)>,
    pub(crate) call_holds: Holds,
    pub(crate) run_holds: Holds,
    /// What the whole run has used, if it ends with the step.
    pub(crate) total: Option<Usage>,
    /// The row stays open: others go on with what it has.
    pub(crate) stays_open: bool,
}

impl Leaves {
    fn apply(self, tx: &mut Tx) -> Result<()> {
        match self.how {
            How::Fails(status, failure) => runs::fail(tx, self.hold, status, failure),
            How::GivenBack => runs::give_back(tx, self.hold),
        }
        .map(drop)
    }
}

impl Unsaid {
    /// Says them, if the run has ended and nobody has taken it since.
    fn say(self, tx: &mut Tx) -> Result<()> {
        let Self { hold, step, ends } = self;
        let run = tx.get(hold.run)?.filter(|run| run.fence == hold.fence && run.status.has_ended());
        let Some(run) = run else { return Ok(()) };
        let results: Vec<_> = ends.iter().filter_map(|end| end.result.clone()).collect();
        for end in ends {
            call_ended(tx, run.id, step, end)?;
        }
        journal::let_go(tx, run.id, step)?;
        let (agent, user) = (run.agent.clone(), run.user.clone());
        let said = NewMessage { agent, user, ..NewMessage::new(Message::tool(results)) };
        let said = Save { run: Some(run.id), ..Save::all([said]).at(Place::Turn(run.order)) };
        save(tx, run.thread, said).map(drop)
    }
}

impl Ending {
    /// Writes it in the transaction that ends the step. What others tell of the step is not told here, but what
    /// this process has kept back for it nobody else settles.
    pub(crate) fn apply(self, tx: &mut Tx) -> Result<Closed> {
        let closed = match self.row {
            Some(_) if self.stays_open => {
                if let Some(end) = self.last_call {
                    call_ended(tx, self.reporter.run, self.step, end)?;
                }
                Closed::Elsewhere
            }
            Some((row, host)) => {
                let closed = journal::close(tx, row, host, &self.closing)?;
                if let (Closed::Now, Some(end)) = (closed, self.last_call) {
                    // The messages of the step have what it came to.
                    call_ended(tx, self.reporter.run, self.step, CallEnd { result: None, ..end })?;
                }
                closed
            }
            None => Closed::Now,
        };
        if closed == Closed::Before {
            return Ok(closed);
        }
        self.call_holds.settle(tx, used(&self.closing.usage))?;
        if let Some(total) = &self.total {
            self.run_holds.settle(tx, used(total))?;
        }
        if closed == Closed::Elsewhere {
            return Ok(closed);
        }
        self.reporter.used(tx, self.step, self.attempt, &self.closing)?;
        if let Some(exchange) = self.exchange {
            self.reporter.exchanged(tx, self.step, self.attempt, exchange)?;
        }
        Ok(closed)
    }

    /// Writes it in a transaction of its own, with how the run is left if that is still to be written, and
    /// tells the runs above. If somebody has ended the run meanwhile, that is the error, and the rest is written all
    /// the same.
    pub(super) async fn write(mut self, store: &Store, leaves: Option<Leaves>) -> Result<()> {
        let (delegated, usage) = (self.reporter.delegated.clone(), self.closing.usage.clone());
        if self.row.is_none() && self.is_silent() {
            delegated.report(&usage);
            return Ok(());
        }
        let written = store.mutate(move |tx| {
            let mut failed = None;
            if let Some(leaves) = leaves {
                self.stays_open = matches!(leaves.how, How::GivenBack) && self.has_answer(tx)?;
                if let Err(error) = tx.nested(|tx| leaves.apply(tx)) {
                    if may_pass(&error) {
                        return Err(error);
                    }
                    failed = Some(error);
                    // Whoever has the run now makes the call again, and may have done so already.
                    self.last_call = self.last_call.filter(|_| !self.stays_open);
                }
            }
            if let Some(unsaid) = self.unsaid.take()
                && let Err(error) = tx.nested(|tx| unsaid.say(tx))
            {
                if may_pass(&error) {
                    return Err(error);
                }
                tracing::warn!(run = %self.reporter.run, %error, "results are not said in their thread");
            }
            if let Some((row, host)) = self.row {
                journal::drop_begun(tx, self.reporter.run, row, host)?;
            }
            Ok((self.apply(tx)?, failed))
        });
        let (closed, failed) = written.await?;
        if closed == Closed::Now {
            delegated.report(&usage);
        }
        failed.map_or(Ok(()), Err)
    }

    /// Writes it however often that takes, until the process ends; `told` hears of the first try.
    pub(crate) async fn write_at_last(
        self,
        store: Store,
        leaves: Option<Leaves>,
        mut told: Option<oneshot::Sender<Result<()>>>,
        shutdown: Shutdown,
    ) {
        let (policy, random) = (RetryPolicy::default(), Random::system());
        for tries in 1.. {
            let written = self.clone().write(&store, leaves.clone()).await;
            let again = written.as_ref().is_err_and(may_pass);
            if let Err(error) = &written {
                let run = self.reporter.run;
                if again {
                    tracing::warn!(%run, %error, "the end of an answer is not written yet, and is tried again");
                } else {
                    tracing::debug!(%run, %error, "an answer had ended already");
                }
            }
            if let Some(told) = told.take() {
                // Nobody may wait for it.
                let _ = told.send(written);
            }
            if !again {
                return;
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = store.clock().sleep(policy.delay(tries, &random)) => {}
            }
        }
    }

    /// Whether the row has an answer of the model with which others go on.
    fn has_answer(&self, tx: &Tx) -> Result<bool> {
        let Some((row, _)) = self.row else { return Ok(false) };
        Ok(tx.get(row)?.is_some_and(|row| row.end.is_none() && row.reply.is_some()))
    }

    /// Whether nobody has to hear of it.
    fn is_silent(&self) -> bool {
        let Reporter { on_usage, on_exchange, .. } = &*self.reporter;
        on_usage.is_none() && on_exchange.is_none() && self.call_holds.is_empty() && self.run_holds.is_empty()
    }
}

/// Notes the end of a call, and uses up what somebody has said to it.
pub(super) fn call_ended(tx: &mut Tx, run: RunId, step: u32, end: CallEnd) -> Result<()> {
    approvals::consume(tx, run, step, &end.call.id)?;
    humans::consume(tx, run, step, &end.call.id)?;
    journal::ended(tx, run, step, end)
}

/// What was used; nothing at all if nothing was counted, so that what was kept back for it is released.
fn used(usage: &Usage) -> Option<&Usage> {
    (!usage.is_empty()).then_some(usage)
}

/// Whether the store may take later what it does not take now.
pub(super) fn may_pass(error: &Error) -> bool {
    let is_over = matches!(error.downcast_ref(), Some(Problem::Closed));
    error.kind().is_retryable() && error.downcast_ref::<RunError>().is_none() && !is_over
}
