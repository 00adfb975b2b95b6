//! Brings calls, approvals and results together.

use std::collections::{HashMap, HashSet};

use super::{NameRule, Target, warn};
use crate::{
    ApprovalRequest, ApprovalResponse, Extras, Message, Part, ProviderData, Role, ToolCall, ToolOutput,
    ToolResult, Warning,
};

/// A call, and what belongs to it.
struct Call {
    /// The message that it stands in.
    message: usize,
    id: String,
    name: String,
    /// Why its arguments could not be read.
    invalid: Option<String>,
    is_remote: bool,
    requests: Vec<ApprovalRequest>,
    response: Option<ApprovalResponse>,
    result: Option<Found>,
    /// Whether the call is left out.
    is_dropped: bool,
}

/// A result.
enum Found {
    /// It stands among the parts of the model's answer and stays there.
    InPlace,
    Loose(Box<ToolResult>),
}

/// Puts the results of each message's calls right behind it, and resolves approvals.
pub(super) fn pair(messages: Vec<Message>, target: &Target, warnings: &mut Vec<Warning>) -> Vec<Message> {
    let mut calls = Calls::default();
    let mut messages = messages;
    for (index, message) in messages.iter_mut().enumerate() {
        calls.collect(index, message, warnings);
    }
    let last = messages.iter().rposition(|message| message.role != Role::Tool);
    calls.settle(last, target, warnings);
    calls.rebuild(messages)
}

#[derive(Default)]
struct Calls {
    calls: Vec<Call>,
    /// The calls of an id, in their order.
    by_id: HashMap<String, Vec<usize>>,
    /// The call that an approval request asks for.
    by_request: HashMap<String, usize>,
}

impl Calls {
    /// Takes results and approvals out of a message, to the calls that they belong to. What belongs to no
    /// call before it is left out.
    fn collect(&mut self, index: usize, message: &mut Message, warnings: &mut Vec<Warning>) {
        let mut options = ProviderData::new();
        if message.role == Role::Tool {
            options = std::mem::take(&mut message.provider_options);
        }
        let mut kept = Vec::with_capacity(message.parts.len());
        let mut taken = None;
        for part in std::mem::take(&mut message.parts) {
            match part {
                Part::ToolCall(call) => {
                    self.open(index, &call);
                    kept.push(Part::ToolCall(call));
                }
                Part::ApprovalRequest(request) => self.ask(request, warnings),
                Part::ApprovalResponse(response) => self.answer(response, warnings),
                Part::ToolResult(result) => {
                    let Some(call) = self.waiting_for(&result, warnings) else { continue };
                    if self.calls[call].is_remote && message.role == Role::Assistant {
                        self.calls[call].result = Some(Found::InPlace);
                        kept.push(Part::ToolResult(result));
                    } else {
                        self.calls[call].result = Some(Found::Loose(Box::new(result)));
                        taken = Some(call);
                    }
                }
                part => kept.push(part),
            }
        }
        message.parts = kept;
        // The tool message goes, and what was said of it goes for its last result.
        if let Some(Found::Loose(result)) = taken.and_then(|call| self.calls[call].result.as_mut()) {
            for (provider, value) in options {
                result.extras.provider_options.entry(provider).or_insert(value);
            }
        }
    }

    fn open(&mut self, message: usize, call: &ToolCall) {
        self.by_id.entry(call.id.clone()).or_default().push(self.calls.len());
        self.calls.push(Call {
            message,
            id: call.id.clone(),
            name: call.name.clone(),
            invalid: call.invalid.clone(),
            is_remote: call.provider_executed,
            requests: Vec::new(),
            response: None,
            result: None,
            is_dropped: false,
        });
    }

    fn ask(&mut self, request: ApprovalRequest, warnings: &mut Vec<Warning>) {
        let call = self.by_id.get(&request.call).and_then(|calls| calls.last());
        let Some(&call) = call else {
            let why = format!("there is no call {} before it; it is left out", request.call);
            return warn(warnings, format!("approval request {}", request.id), why);
        };
        if self.by_request.contains_key(&request.id) {
            let why = "there is one of this id before it; it is left out";
            return warn(warnings, format!("approval request {}", request.id), why);
        }
        self.by_request.insert(request.id.clone(), call);
        self.calls[call].requests.push(request);
    }

    /// The first answer counts.
    fn answer(&mut self, response: ApprovalResponse, warnings: &mut Vec<Warning>) {
        match self.by_request.get(&response.id) {
            None => {
                let why = "there is no request before it; it is left out";
                warn(warnings, format!("approval response {}", response.id), why);
            }
            Some(&call) => drop(self.calls[call].response.get_or_insert(response)),
        }
    }

    /// Returns the call that waits for a result: of those with its id in the latest message that has one
    /// waiting, the first.
    fn waiting_for(&self, result: &ToolResult, warnings: &mut Vec<Warning>) -> Option<usize> {
        let same = self.by_id.get(&result.call).map(Vec::as_slice).unwrap_or_default();
        let waiting = || same.iter().copied().filter(|call| self.calls[*call].result.is_none());
        let latest = waiting().next_back().map(|call| self.calls[call].message);
        let call = waiting().find(|call| Some(self.calls[*call].message) == latest);
        if call.is_none() {
            let why = if same.is_empty() {
                "there is no such call before it; it is left out"
            } else {
                "the call has a result already; this one is left out"
            };
            warn(warnings, format!("tool result {}", result.call), why);
        }
        call
    }

    /// Gives every call of ours a result, and every call an id of its own.
    fn settle(&mut self, last: Option<usize>, target: &Target, warnings: &mut Vec<Warning>) {
        let mut ids = Names { rule: target.call_ids, taken: HashSet::new() };
        for call in &mut self.calls {
            if call.is_remote {
                ids.taken.insert(call.id.clone());
            }
        }
        for call in &mut self.calls {
            if call.is_remote {
                call.settle_remote(last, target, warnings);
                continue;
            }
            if call.result.is_none() {
                let (output, why) = call.missing_output();
                warn(warnings, format!("tool call {}", call.id), why);
                let result = ToolResult {
                    call: call.id.clone(),
                    name: call.name.clone(),
                    output,
                    provider_executed: false,
                    extras: Extras::default(),
                };
                call.result = Some(Found::Loose(Box::new(result)));
            }
            call.id = ids.own(&call.id, "call");
            call.name = fit(&call.name, target.tool_names, "unknown");
        }
    }

    /// Puts the messages together again.
    fn rebuild(self, messages: Vec<Message>) -> Vec<Message> {
        let mut calls = self.calls.into_iter();
        let mut rebuilt = Vec::with_capacity(messages.len());
        for mut message in messages {
            let mut parts = Vec::with_capacity(message.parts.len());
            let mut behind = Vec::new();
            for part in message.parts {
                let Part::ToolCall(part) = part else {
                    parts.push(part);
                    continue;
                };
                // Each call part was opened once, in this order.
                if let Some(call) = calls.next() {
                    call.put(part, &mut parts, &mut behind);
                }
            }
            message.parts = parts;
            if message.role != Role::Tool {
                rebuilt.push(message);
            }
            if !behind.is_empty() {
                rebuilt.push(Message::new(Role::Tool, behind));
            }
        }
        rebuilt
    }
}

impl Call {
    /// Says what came of a call of ours that has no result.
    fn missing_output(&self) -> (ToolOutput, &'static str) {
        match &self.response {
            Some(response) if !response.approved => {
                let reason = response.reason.clone();
                (ToolOutput::Denied { reason }, "it was denied; the model reads that as its result")
            }
            Some(_) => (
                ToolOutput::error("The call was approved, but it has no result: it was cut off."),
                "it was approved and has no result; the model reads that it was cut off",
            ),
            None if !self.requests.is_empty() => (
                ToolOutput::Denied { reason: Some("nobody answered the request for approval".to_owned()) },
                "nobody answered its approval request; the model reads that it was denied",
            ),
            None => match &self.invalid {
                Some(invalid) => (
                    ToolOutput::error(format!("The call did not run: {invalid}")),
                    "its arguments could not be read; the model reads why",
                ),
                None => (
                    ToolOutput::error("The call has no result: it was cut off."),
                    "it has no result; the model reads that it was cut off",
                ),
            },
        }
    }

    /// A call that the provider runs waits for its result only at the end of the conversation, or for its
    /// approval.
    fn settle_remote(&mut self, last: Option<usize>, target: &Target, warnings: &mut Vec<Warning>) {
        if let (None, Some(request)) = (&self.response, self.requests.first())
            && self.result.is_none()
        {
            let what = format!("approval request {}", request.id);
            warn(warnings, what, "nobody answered it; it is denied");
            self.response = Some(ApprovalResponse {
                id: request.id.clone(),
                approved: false,
                reason: Some("nobody answered the request for approval".to_owned()),
                provider_executed: true,
                extras: Extras::default(),
            });
        }
        let is_waiting = last == Some(self.message) || !self.requests.is_empty();
        if self.result.is_none() && !is_waiting {
            let why = format!("{} never said what came of it; it is left out", target.model.provider);
            warn(warnings, format!("tool call {}", self.id), why);
            self.is_dropped = true;
        }
    }

    /// Puts the call among the parts of its message, and behind that message what has to follow it.
    fn put(self, part: ToolCall, parts: &mut Vec<Part>, behind: &mut Vec<Part>) {
        if self.is_dropped {
            return;
        }
        parts.push(Part::ToolCall(ToolCall { id: self.id.clone(), name: self.name.clone(), ..part }));
        let result = match self.result {
            Some(Found::Loose(result)) => Some(Part::ToolResult(ToolResult {
                call: self.id,
                name: self.name,
                provider_executed: self.is_remote,
                ..*result
            })),
            Some(Found::InPlace) | None => None,
        };
        if self.is_remote {
            parts.extend(self.requests.into_iter().map(Part::ApprovalRequest));
            parts.extend(result);
            behind.extend(self.response.map(Part::ApprovalResponse));
        } else {
            behind.extend(result);
        }
    }
}

/// Gives out names, each once.
struct Names {
    rule: NameRule,
    taken: HashSet<String>,
}

impl Names {
    /// Returns a name that the rule allows and that nobody has, as near to this one as can be.
    fn own(&mut self, name: &str, fallback: &str) -> String {
        let near = fit(name, self.rule, fallback);
        let mut own = near.clone();
        let mut number = 1;
        while !self.taken.insert(own.clone()) {
            number += 1;
            let suffix = format!("_{number}");
            let room = self.rule.longest().saturating_sub(suffix.len());
            own = near.chars().take(room).collect::<String>() + &suffix;
        }
        own
    }
}

impl NameRule {
    fn longest(self) -> usize {
        match self {
            Self::Any => usize::MAX,
            Self::Short { longest } | Self::Plain { longest } => longest.max(SHORTEST_LIMIT),
        }
    }
}

/// The least that a limit for names may be: room for a number that makes a name unique.
const SHORTEST_LIMIT: usize = 8;

/// Returns a name that a rule allows: other characters become `_`, and what is too long is cut.
fn fit(name: &str, rule: NameRule, fallback: &str) -> String {
    let name = if name.is_empty() { fallback } else { name };
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    let any = !matches!(rule, NameRule::Plain { .. });
    let fit = |character| if any || is_plain(character) { character } else { '_' };
    name.chars().map(fit).take(rule.longest()).collect()
}
