//! Asking people about calls: who is asked is stored before anybody hears of it.

use loomwork_messages::runs;

use super::{Generation, Record};
use crate::approvals::{self, NewApproval};
use crate::error::AgentError;
use crate::tool::{Awaits, CallEnd, Outcome, Tools};
use crate::waiting::CallSite;

impl<S: Send + Sync + 'static> Generation<S> {
    /// Stores whom a call waits for, if that is somebody here. Outside of threads nobody is asked.
    pub(super) async fn ask_people(
        &self,
        end: &mut CallEnd,
        tools: &Tools<S>,
        record: &Record,
        number: usize,
    ) -> Result<(), AgentError> {
        let (Some(kept), Some(tool)) = (record.kept(), tools.get(&end.call.name)) else { return Ok(()) };
        let Some(message) = kept.run.pending.filter(|_| end.outcome == Outcome::NeedsApproval) else {
            return Ok(());
        };
        let site = CallSite {
            run: kept.run.id,
            step: super::step_number(number),
            call: end.call.id.clone(),
            tool: end.call.name.clone(),
            thread: kept.run.thread,
            order: kept.run.order,
            message,
            agent: self.agent.name().to_owned(),
            user: kept.run.user.clone(),
        };
        let new = NewApproval {
            site,
            input: end.call.input.clone(),
            title: tool.info().title.clone(),
            schema: tool.info().input_schema.clone(),
            within: tool.policy().approval_within,
        };
        let hold = kept.hold;
        let asked = self.runtime.store.mutate(move |tx| {
            runs::held(tx, hold)?;
            approvals::ask(tx, new)
        });
        end.awaits = Some(Awaits::Approval(asked.await?));
        Ok(())
    }
}
