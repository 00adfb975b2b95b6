//! Chunks of tool calls.

use loomwork_models::ProviderData;
use serde_json::Value;

use super::input::GrowingInput;
use super::{Applied, ChunkProblem, Reducer, Refusal, replace};
use crate::chunk::UiChunk;
use crate::ui::{Outcome, ToolName, ToolState, UiApproval, UiPart, UiTool};

/// A call among the parts.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Where its part stands.
    pub(super) index: usize,
    /// Its arguments, while they grow.
    input: Option<GrowingInput>,
}

/// What the chunks of a call say of it besides its arguments.
struct Facts {
    name: ToolName,
    call: String,
    provider_executed: bool,
    title: Option<String>,
    tool_metadata: Option<Value>,
    provider_metadata: Option<ProviderData>,
}

impl Reducer {
    pub(super) fn apply_tool(&mut self, chunk: UiChunk) -> Applied {
        match chunk {
            UiChunk::ToolInputStart {
                tool_call_id: call,
                tool_name,
                dynamic,
                provider_executed,
                title,
                tool_metadata,
                provider_metadata,
            } => {
                let name = ToolName::new(tool_name, dynamic);
                let (tool, input) = self.call(Facts {
                    name,
                    call,
                    provider_executed,
                    title,
                    tool_metadata,
                    provider_metadata,
                });
                tool.begin(None);
                *input = Some(GrowingInput::default());
            }
            UiChunk::ToolInputDelta { tool_call_id: call, input_text_delta } => {
                self.grow_input(call, &input_text_delta)?;
            }
            UiChunk::ToolInputAvailable {
                tool_call_id: call,
                tool_name,
                input: value,
                dynamic,
                provider_executed,
                title,
                tool_metadata,
                provider_metadata,
            } => {
                let name = ToolName::new(tool_name, dynamic);
                let (tool, input) = self.call(Facts {
                    name,
                    call,
                    provider_executed,
                    title,
                    tool_metadata,
                    provider_metadata,
                });
                tool.begin(Some(value));
                *input = None;
            }
            UiChunk::ToolInputError {
                tool_call_id: call,
                tool_name,
                input: value,
                error_text,
                dynamic,
                provider_executed,
                title,
                tool_metadata,
                provider_metadata,
            } => {
                let name = ToolName::new(tool_name, dynamic);
                let (tool, input) = self.call(Facts {
                    name,
                    call,
                    provider_executed,
                    title,
                    tool_metadata,
                    provider_metadata,
                });
                tool.reject_input(value);
                tool.settle(Outcome::Failed(error_text));
                *input = None;
            }
            UiChunk::ToolOutputAvailable {
                tool_call_id,
                output,
                preliminary,
                dynamic: _,
                provider_executed,
                provider_metadata,
            } => {
                let tool = self.settle(&tool_call_id, Outcome::Returned(output))?;
                tool.preliminary = preliminary;
                tool.provider_executed |= provider_executed;
                replace(&mut tool.result_provider_metadata, provider_metadata);
            }
            UiChunk::ToolOutputError {
                tool_call_id,
                error_text,
                dynamic: _,
                provider_executed,
                provider_metadata,
            } => {
                let tool = self.settle(&tool_call_id, Outcome::Failed(error_text))?;
                tool.provider_executed |= provider_executed;
                replace(&mut tool.result_provider_metadata, provider_metadata);
            }
            UiChunk::ToolOutputDenied { tool_call_id: call } => {
                if self.tool(&call)?.approval.is_none() {
                    return Err(ChunkProblem::NoRequest { call }.into());
                }
                self.settle(&call, Outcome::Denied(None))?;
            }
            UiChunk::ToolApprovalRequest {
                approval_id,
                tool_call_id: call,
                is_automatic,
                signature,
                provider_metadata,
            } => {
                let provider_metadata = provider_metadata.unwrap_or_default();
                let id = approval_id.clone();
                let Some(found) = self.calls.get(&call) else {
                    return Err(ChunkProblem::NoCall { call }.into());
                };
                self.approvals.insert(approval_id, found.index);
                let tool = self.tool(&call)?;
                let (approved, reason) = (None, None);
                tool.approval =
                    Some(UiApproval { id, approved, reason, is_automatic, signature, provider_metadata });
                tool.state = ToolState::ApprovalRequested;
            }
            UiChunk::ToolApprovalResponse {
                approval_id,
                approved,
                reason,
                provider_executed,
                provider_metadata,
            } => self.answer(&approval_id, approved, reason, provider_executed, provider_metadata)?,
            // All others are no chunks of tools.
            _ => {}
        }
        Ok(())
    }

    /// Returns the part of a call, which is added if it is new, and its growing arguments.
    fn call(&mut self, facts: Facts) -> (&mut UiTool, &mut Option<GrowingInput>) {
        let Facts { name, call, provider_executed, title, tool_metadata, provider_metadata } = facts;
        let parts = &mut self.parts;
        let known = self.calls.entry(call.clone()).or_insert_with(|| {
            parts.push(UiPart::Tool(Box::new(UiTool::new(name, call))));
            Call { index: parts.len() - 1, input: None }
        });
        let Some(tool) = parts[known.index].as_tool_mut() else {
            unreachable!("a call's index is that of its part")
        };
        tool.provider_executed |= provider_executed;
        tool.title = title.or(tool.title.take());
        tool.tool_metadata = tool_metadata.or(tool.tool_metadata.take());
        replace(&mut tool.call_provider_metadata, provider_metadata);
        (tool, &mut known.input)
    }

    /// Returns the part of a call that is among these chunks.
    fn tool(&mut self, call: &str) -> Result<&mut UiTool, Refusal> {
        let known = self.calls.get(call).and_then(|call| self.parts.get_mut(call.index));
        known.and_then(UiPart::as_tool_mut).ok_or(Refusal::Elsewhere)
    }

    fn grow_input(&mut self, id: String, delta: &str) -> Applied {
        let call = self.calls.get_mut(&id);
        let Some(Call { index, input: Some(input) }) = call else {
            return Err(ChunkProblem::NoInput { call: id }.into());
        };
        if let Some(value) = input.push(delta)
            && let Some(tool) = self.parts.get_mut(*index).and_then(UiPart::as_tool_mut)
        {
            tool.input = Some(value);
        }
        Ok(())
    }

    /// Shows what became of a call. Arguments that were still growing are kept as the text that they are.
    fn settle(&mut self, id: &str, outcome: Outcome) -> Result<&mut UiTool, Refusal> {
        let growing = self.calls.get_mut(id).and_then(|call| call.input.take());
        let tool = self.tool(id)?;
        let unread = growing.map(GrowingInput::into_text).filter(|text| !text.is_empty());
        if let Some(unread) = unread
            && tool.input.is_none()
        {
            tool.reject_input(Value::String(unread));
        }
        tool.settle(outcome);
        Ok(tool)
    }

    fn answer(
        &mut self,
        approval: &str,
        approved: bool,
        reason: Option<String>,
        provider_executed: bool,
        provider_metadata: Option<ProviderData>,
    ) -> Applied {
        let part = self.approvals.get(approval).and_then(|index| self.parts.get_mut(*index));
        let tool = part.and_then(UiPart::as_tool_mut).ok_or(Refusal::Elsewhere)?;
        let question = tool.approval.get_or_insert_default();
        question.approved = Some(approved);
        question.reason = reason;
        replace(&mut question.provider_metadata, provider_metadata);
        tool.provider_executed |= provider_executed;
        if !tool.has_ended() {
            tool.state = ToolState::ApprovalResponded;
        }
        Ok(())
    }
}
