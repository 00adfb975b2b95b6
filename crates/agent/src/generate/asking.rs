//! Asking people about calls: who is asked is stored before anybody hears of it.

use loomwork_messages::runs;

use super::{Generation, Record};
use crate::approvals::{self, NewApproval};
use crate::error::AgentError;
use crate::humans::{self, NewQuestion};
use crate::tool::{Awaits, CallEnd, Outcome, Tools};
use crate::waiting::CallSite;

impl<S: Send + Sync + 'static> Generation<S> {
    /// Stores whom a call waits for, if that is somebody here. Outside of threads nobody is asked.
    pub(super) async fn ask_people(
        &self,
        end: &mut CallEnd,
        tools: &Tools<S>,
        record: &Record,
        step: u32,
    ) -> Result<(), AgentError> {
        let (Some(kept), Some(tool)) = (record.kept(), tools.get(&end.call.name)) else { return Ok(()) };
        let waits = match end.outcome {
            Outcome::NeedsApproval => true,
            Outcome::Unanswered => tool.inquiry().is_some(),
            _ => false,
        };
        let Some(message) = kept.run.pending.filter(|_| waits) else { return Ok(()) };
        let site = CallSite {
            run: kept.run.id,
            step,
            call: end.call.id.clone(),
            tool: end.call.name.clone(),
            thread: kept.run.thread,
            order: kept.run.order,
            message,
            agent: self.agent.name().to_owned(),
            user: kept.run.user.clone(),
        };
        let (title, input, hold) = (tool.info().title.clone(), end.call.input.clone(), kept.hold);
        let store = &self.runtime.store;
        end.awaits = Some(match tool.inquiry().cloned() {
            None => {
                let schema = tool.info().input_schema.clone();
                let new = NewApproval { site, input, title, schema, within: tool.policy().approval_within };
                let asked = store.mutate(move |tx| {
                    runs::held(tx, hold)?;
                    approvals::ask(tx, new)
                });
                Awaits::Approval(asked.await?)
            }
            Some(inquiry) => {
                let schema = tool.info().output_schema.clone();
                let new = NewQuestion { site, inquiry, title, input, schema };
                let asked = store.mutate(move |tx| {
                    runs::held(tx, hold)?;
                    humans::ask(tx, new)
                });
                Awaits::Answer(asked.await?)
            }
        });
        Ok(())
    }
}
