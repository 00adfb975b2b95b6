//! The response object: what is known of an answer besides its items.

use loomwork_core::Time;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::output::Output;
use crate::openai::usage;
use crate::{Finish, FinishReason, ReplyInfo, Usage};

/// What is read of a response object; its output is read when it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Answer<'a> {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    created_at: Option<f64>,
    pub(super) status: Option<String>,
    #[serde(borrow)]
    pub(super) output: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    pub(super) error: Option<Value>,
    incomplete_details: Option<Details>,
    service_tier: Option<Value>,
    #[serde(default)]
    pub(super) background: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Details {
    reason: Option<String>,
}

impl Answer<'_> {
    /// Adds what the response says of itself.
    pub(super) fn describe(&self, info: &mut ReplyInfo) {
        info.id = self.id.clone().or(info.id.take());
        info.model = self.model.clone().unwrap_or(std::mem::take(&mut info.model));
        let created = self.created_at.map(|seconds| Time::from_millis((seconds * 1000.0) as i64));
        info.created = created.or(info.created);
    }

    /// Returns what the response used, if it says so.
    pub(super) fn usage(&self) -> Option<Usage> {
        usage::read(self.usage?.get())
    }

    /// Returns how the answer ended; `None` if it failed or has not ended.
    pub(super) fn finish(self, output: &mut Output) -> Option<Finish> {
        let provider_tools = std::mem::take(&mut output.server_tools);
        let usage = Usage { provider_tools, ..output.reckoning.complete(self.usage()) };
        let status = self.status.unwrap_or_else(|| "completed".to_owned());
        let detail = self.incomplete_details.and_then(|details| details.reason);
        let reason = match (status.as_str(), detail.as_deref()) {
            ("completed", _) if output.has_refused => FinishReason::Refusal,
            ("completed", _) if output.has_calls => FinishReason::ToolCalls,
            ("completed", _) => FinishReason::Stop,
            ("incomplete", Some("max_output_tokens")) => FinishReason::Length,
            ("incomplete", Some("content_filter")) => FinishReason::ContentFilter,
            ("incomplete", _) => FinishReason::Other,
            ("cancelled", _) => FinishReason::Cancelled,
            _ => return None,
        };
        let tier = self.service_tier.filter(|tier| !tier.is_null());
        let bag: Map<String, Value> = tier.map(|tier| ("serviceTier".to_owned(), tier)).into_iter().collect();
        let provider_metadata = output.metadata(bag);
        Some(Finish { reason, raw_reason: Some(detail.unwrap_or(status)), usage, provider_metadata })
    }
}
