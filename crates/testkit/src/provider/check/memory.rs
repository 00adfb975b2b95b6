//! What was answered and has to come back unchanged.

use std::collections::HashMap;

use serde_json::Value;

/// The reasoning that led to each call, by the call's id.
#[derive(Debug, Default)]
pub(in crate::provider) struct Memory {
    reasoning: HashMap<String, Vec<Value>>,
}

impl Memory {
    pub(in crate::provider) fn keep(&mut self, call: &Value, reasoning: &[Value]) {
        if let (Some(call), false) = (call.as_str(), reasoning.is_empty()) {
            self.reasoning.insert(call.to_owned(), reasoning.to_vec());
        }
    }

    /// Returns what led to a call; nothing for a call that is not ours.
    pub(super) fn reasoning_of(&self, call: &str) -> &[Value] {
        self.reasoning.get(call).map_or(&[], Vec::as_slice)
    }
}
