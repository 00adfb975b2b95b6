//! The rows that a message shows.

use loomwork_models::{FinishReason, Message, Part, ProviderData, Role};

use super::UiMessage;
use crate::{MessageRow, MessageStatus, Metadata, StepMessages};

impl UiMessage {
    /// Returns the rows that [`group`](Self::group) shows as this message, each with the id
    /// `<id>-<number>`.
    ///
    /// What the message tells of all of them together, the last one tells: status and error, and the last
    /// that a model made tells usage and reason to stop. Those before it are complete. Options for providers
    /// are not shown, so they are not there.
    pub fn into_rows(mut self) -> Vec<(String, MessageRow)> {
        let steps = StepMessages::from_parts(std::mem::take(&mut self.parts));
        let mut messages: Vec<_> = match self.role {
            Role::Assistant => steps.into_iter().flat_map(with_reasons).collect(),
            role => {
                let parts = steps.into_iter().flat_map(|step| step.assistant.parts);
                vec![(Message::new(role, parts), None)]
            }
        };
        if messages.is_empty() {
            messages.push((Message::new(self.role, []), None));
        }
        let last = messages.len() - 1;
        let last_made = messages.iter().rposition(|(_, reason)| reason.is_some());
        let mut rows: Vec<_> = (0..).zip(messages).map(|(step, message)| self.row(step, message)).collect();
        (rows[last].status, rows[last].error) = (self.status.into(), self.error);
        if let Some(made) = last_made {
            rows[made].usage = self.usage;
            rows[made].finish_reason = self.finish_reason.or(rows[made].finish_reason);
        }
        rows[0].metadata = self.metadata;
        (0..).zip(rows).map(|(index, row): (usize, _)| (format!("{}-{index}", self.id), row)).collect()
    }

    fn row(&self, step: u64, (message, finish_reason): (Message, Option<FinishReason>)) -> MessageRow {
        let (tool, text) = derived(&message);
        let made = |name: &Option<String>| name.clone().filter(|_| finish_reason.is_some());
        MessageRow {
            thread: self.thread,
            user: self.user.clone(),
            order: self.order,
            step: self.step + step,
            status: MessageStatus::Success,
            error: None,
            message,
            tool,
            text,
            agent: self.agent.clone(),
            model: made(&self.model),
            provider: made(&self.provider),
            provider_metadata: ProviderData::new(),
            usage: None,
            finish_reason,
            warnings: Vec::new(),
            run: self.run,
            prompt: None,
            files: Vec::new(),
            hidden: false,
            metadata: Metadata::new(),
            created: self.created,
            updated: None,
        }
    }
}

/// Returns the messages of a step, those of the model with its reason to stop.
fn with_reasons(step: StepMessages) -> impl Iterator<Item = (Message, Option<FinishReason>)> {
    let reason = step.finish_reason();
    step.into_messages().map(move |message| {
        let reason = (message.role == Role::Assistant).then_some(reason);
        (message, reason)
    })
}

/// Returns whether a message is one of tools, and the text by which it is found.
fn derived(message: &Message) -> (bool, Option<String>) {
    let tool = message.role == Role::Tool
        || message.role == Role::Assistant && message.tool_calls().next().is_some();
    let texts: Vec<_> =
        message.parts.iter().filter_map(Part::as_text).filter(|text| !text.is_empty()).collect();
    let text = match message.role {
        Role::Tool => None,
        Role::Assistant if texts.is_empty() => None,
        _ => Some(texts.join(" ")),
    };
    (tool, text)
}
