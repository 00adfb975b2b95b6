//! What is written when a step ends, however it ends: what it used, who is told, and what was kept back for it.

use std::sync::Arc;

use loomwork_messages::runs::{self, Hold};
use loomwork_messages::{Failure, HostRow, MessageStatus};
use loomwork_models::{Reply, Usage};
use loomwork_store::{Id, Result, Store, Tx};

use super::report::Reporter;
use crate::admission::Holds;
use crate::handled::forgive;
use crate::journal::{self, Closing};
use crate::tables::StepId;

/// The end of a step.
#[derive(Clone, Debug)]
pub(crate) struct Ending {
    pub(crate) reporter: Arc<Reporter>,
    /// Its row, and the process that made it.
    pub(crate) row: Option<(StepId, Id<HostRow>)>,
    pub(crate) step: u32,
    pub(crate) attempt: u32,
    pub(crate) closing: Closing,
    /// What came, and why it broke off.
    pub(crate) exchange: Option<(Reply, Option<Failure>)>,
    pub(crate) call_holds: Holds,
    pub(crate) run_holds: Holds,
    /// What the whole run has used, if it ends with the step.
    pub(crate) total: Option<Usage>,
}

impl Ending {
    /// Writes it in the transaction that ends the step.
    pub(crate) fn apply(self, tx: &mut Tx) -> Result<()> {
        if let Some((row, host)) = self.row
            && !journal::close(tx, row, host, &self.closing)?
        {
            return Ok(());
        }
        self.call_holds.settle(tx, used(&self.closing.usage))?;
        if let Some(total) = &self.total {
            self.run_holds.settle(tx, used(total))?;
        }
        self.reporter.used(tx, self.step, self.attempt, &self.closing)?;
        match self.exchange {
            Some(exchange) => self.reporter.exchanged(tx, self.step, self.attempt, exchange),
            None => Ok(()),
        }
    }

    /// Writes it in a transaction of its own, with the failure of the run if that is still to be written. If that
    /// cannot be, such as because somebody has ended the run meanwhile, that is the error, and the rest is written
    /// all the same.
    pub(crate) async fn write(
        self,
        store: &Store,
        fails: Option<(Hold, MessageStatus, Failure)>,
    ) -> Result<()> {
        if self.row.is_none() && self.is_silent() {
            return Ok(());
        }
        let failed = store.mutate(move |tx| {
            let mut failed = None;
            if let Some((hold, status, failure)) = fails
                && let Err(error) = tx.nested(|tx| runs::fail(tx, hold, status, failure))
            {
                forgive(error, |error| failed = Some(error))?;
            }
            if let Some((row, host)) = self.row {
                journal::drop_begun(tx, self.reporter.run, row, host)?;
            }
            self.apply(tx)?;
            Ok(failed)
        });
        failed.await?.map_or(Ok(()), Err)
    }

    /// Whether nobody has to hear of it.
    fn is_silent(&self) -> bool {
        let Reporter { on_usage, on_exchange, .. } = &*self.reporter;
        on_usage.is_none() && on_exchange.is_none() && self.call_holds.is_empty() && self.run_holds.is_empty()
    }
}

/// What was used; nothing at all if nothing was counted, so that what was kept back for it is released.
fn used(usage: &Usage) -> Option<&Usage> {
    (!usage.is_empty()).then_some(usage)
}
