//! The rules that a request has to keep.

use std::collections::HashMap;

use serde_json::Value;

use super::Failure;
use super::recorded::Recorded;

/// What was answered and has to come back unchanged: the reasoning that led to a call, by the call's id.
#[derive(Debug, Default)]
pub(super) struct Memory {
    reasoning: HashMap<String, Vec<Value>>,
}

impl Memory {
    pub(super) fn keep(&mut self, call: &Value, reasoning: &[Value]) {
        if let (Some(call), false) = (call.as_str(), reasoning.is_empty()) {
            self.reasoning.insert(call.to_owned(), reasoning.to_vec());
        }
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    /// The field that is wrong.
    pub(super) param: Option<String>,
    pub(super) message: String,
}

impl From<Refusal> for Failure {
    fn from(Refusal { status, code, param, message }: Refusal) -> Self {
        let failure = Self::status(status).message(message);
        let failure = param.into_iter().fold(failure, Self::param);
        code.into_iter().fold(failure, Self::code)
    }
}

/// Says what is wrong with a request, as its provider would.
pub(super) fn check(_request: &Recorded, _memory: &Memory) -> Result<(), Refusal> {
    Ok(())
}

/// Estimates the tokens of an input: those of a list are counted, a text has one in four bytes.
pub(super) fn tokens(input: &Value) -> usize {
    const BYTES_OF_A_TOKEN: usize = 4;
    match input {
        Value::Array(tokens) => tokens.len(),
        Value::String(text) => text.len().div_ceil(BYTES_OF_A_TOKEN),
        _ => 0,
    }
}
