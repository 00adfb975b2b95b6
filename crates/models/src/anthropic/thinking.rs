//! Whether a model thinks, and how that is said.

use serde_json::{Value, json};

use super::ThinkingForm;
use crate::{ReasoningEffort, Warning};

/// The least budget that the protocol takes.
const LEAST_BUDGET: u64 = 1024;

/// The tokens to think with, by effort.
const BUDGETS: [(ReasoningEffort, u64); 6] = [
    (ReasoningEffort::Minimal, LEAST_BUDGET),
    (ReasoningEffort::Low, 2048),
    (ReasoningEffort::Medium, 8192),
    (ReasoningEffort::High, 16_384),
    (ReasoningEffort::XHigh, 32_768),
    (ReasoningEffort::Max, 65_536),
];

/// What a request says of thinking.
#[derive(Debug, Default)]
pub(super) struct Thinking {
    /// The field `thinking`.
    pub(super) field: Option<Value>,
    /// The effort, for `output_config`.
    pub(super) effort: Option<&'static str>,
}

impl Thinking {
    /// Returns what the effort that is asked for means to a model, or what the caller said itself.
    pub(super) fn new(
        effort: Option<ReasoningEffort>,
        said: Option<&Value>,
        form: ThinkingForm,
        max_tokens: u64,
        warnings: &mut Vec<Warning>,
    ) -> Self {
        let adaptive_effort = effort.and_then(word).filter(|_| form == ThinkingForm::Adaptive);
        if let Some(said) = said {
            return Self { field: Some(said.clone()), effort: adaptive_effort };
        }
        match (effort, form) {
            (None, _) => Self::default(),
            (Some(ReasoningEffort::None), ThinkingForm::Adaptive) => Self::off(),
            (Some(ReasoningEffort::None), _) => Self::default(),
            (Some(_), ThinkingForm::Adaptive) => {
                Self { field: Some(json!({ "type": "adaptive" })), effort: adaptive_effort }
            }
            (Some(_), ThinkingForm::None) => {
                warnings.push(warning("the model cannot think; it answers at once"));
                Self::default()
            }
            (Some(effort), ThinkingForm::Budget) => {
                let budget = budget(effort, max_tokens);
                let field = budget.map(|budget| json!({ "type": "enabled", "budget_tokens": budget }));
                if field.is_none() {
                    let why = format!(
                        "thinking takes at least {LEAST_BUDGET} tokens and the whole answer may have \
                         {max_tokens}; the model answers at once"
                    );
                    warnings.push(warning(why));
                }
                Self { field, effort: None }
            }
        }
    }

    fn off() -> Self {
        Self { field: Some(json!({ "type": "disabled" })), effort: None }
    }

    /// Returns whether the model thinks.
    pub(super) fn is_on(&self) -> bool {
        self.field.as_ref().is_some_and(|field| field["type"] != "disabled")
    }

    /// Leaves thinking out where the last turn called tools without it: the provider wants the thoughts that
    /// led to a call, and another model's, or none, did.
    pub(super) fn fit_to(self, messages: &[Value], warnings: &mut Vec<Warning>) -> Self {
        if !self.is_on() || !has_thoughtless_call(messages) {
            return self;
        }
        let why = "the tools of this turn were called without this model's thoughts; it thinks again in the next turn";
        warnings.push(warning(why));
        Self::off()
    }
}

/// Returns whether the turn that is not over yet has calls, and no thoughts that led to them.
fn has_thoughtless_call(messages: &[Value]) -> bool {
    let is = |message: &Value, kinds: &[&str]| {
        let blocks = message["content"].as_array().into_iter().flatten();
        blocks.filter_map(|block| block["type"].as_str()).any(|kind| kinds.contains(&kind))
    };
    let turn = messages
        .iter()
        .rev()
        .take_while(|message| message["role"] != "user" || is(message, &["tool_result"]));
    let mut calls = turn.filter(|message| message["role"] == "assistant" && is(message, &["tool_use"]));
    calls.any(|message| !is(message, &["thinking", "redacted_thinking"]))
}

/// Returns a budget that leaves room for the answer; `None` if there is none.
fn budget(effort: ReasoningEffort, max_tokens: u64) -> Option<u64> {
    let wanted =
        BUDGETS.iter().find(|(known, _)| *known == effort).map_or(LEAST_BUDGET, |(_, budget)| *budget);
    let most = (max_tokens / 4 * 3).max(LEAST_BUDGET);
    let budget = wanted.min(most);
    (budget < max_tokens).then_some(budget)
}

/// Returns the protocol's word for an effort.
fn word(effort: ReasoningEffort) -> Option<&'static str> {
    Some(match effort {
        ReasoningEffort::None => return None,
        ReasoningEffort::Minimal | ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
        ReasoningEffort::XHigh => "xhigh",
        ReasoningEffort::Max => "max",
    })
}

fn warning(why: impl Into<String>) -> Warning {
    Warning { what: "reasoning effort".to_owned(), why: why.into() }
}
