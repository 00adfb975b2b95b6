//! An answer, as it comes.

use std::collections::HashMap;

use loomwork_messages::{Reducer, ToolState, UiChunk, UiMessage, UiPart, UiStatus, UiTool};
use serde_json::{Value, json};

use super::super::output::{Output, Style};
use super::super::show::line_of_tool;
use super::in_view;

/// A call that waits for somebody to allow it.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) approval: String,
    /// The call, in words.
    pub(super) call: String,
}

/// What was shown of an answer.
pub(super) struct Answer<'a> {
    out: &'a Output,
    run: String,
    prompt: String,
    /// The number of its turn, once it is known: streams of others are passed over.
    order: Option<u64>,
    streams: HashMap<String, Stream>,
    /// What was shown of its texts.
    text: String,
    /// Up to which state each call was shown.
    calls: HashMap<String, ToolState>,
    /// Whether the cursor stands at the beginning of a line.
    is_at_start: bool,
    open: Vec<Question>,
    /// The questions that were handed on.
    asked: Vec<String>,
}

/// A stream of the answer.
struct Stream {
    made: Reducer,
    /// How many bytes of each part were shown.
    shown: Vec<usize>,
}

impl<'a> Answer<'a> {
    pub(super) fn new(out: &'a Output, run: &str, prompt: &str) -> Self {
        Self {
            out,
            run: run.to_owned(),
            prompt: prompt.to_owned(),
            order: None,
            streams: HashMap::new(),
            text: String::new(),
            calls: HashMap::new(),
            is_at_start: true,
            open: Vec::new(),
            asked: Vec::new(),
        }
    }

    /// Shows what a stream has said since.
    pub(super) fn grow(&mut self, grown: &Value) {
        let Some(stream) = grown["stream"].as_str().and_then(|id| self.streams.get_mut(id)) else { return };
        for chunk in grown["chunks"].as_array().into_iter().flatten() {
            if self.out.is_json {
                self.out.json(chunk);
            }
            if let Ok(chunk) = serde_json::from_value::<UiChunk>(chunk.clone()) {
                // A tolerant reducer leaves out what does not fit.
                let _ = stream.made.push(chunk);
            }
        }
        let parts = stream.made.parts().to_vec();
        let mut shown = std::mem::take(&mut stream.shown);
        self.show(&parts, &mut shown);
        if let Some(stream) = grown["stream"].as_str().and_then(|id| self.streams.get_mut(id)) {
            stream.shown = shown;
        }
    }

    /// Looks at the whole thread, and returns how the run has ended, if it has.
    pub(super) fn look_at(&mut self, view: &Value) -> Option<String> {
        let (message, order) = in_view(view, &self.run, &self.prompt);
        self.order = self.order.or(order);
        for stream in view["streams"].as_array().into_iter().flatten() {
            let (Some(id), Some(order)) = (stream["id"].as_str(), stream["order"].as_u64()) else { continue };
            if self.order == Some(order) && !self.streams.contains_key(id) {
                self.streams.insert(id.to_owned(), Stream { made: Reducer::tolerant(), shown: Vec::new() });
            }
        }
        let message = message?;
        self.note_questions(&message);
        let is_growing = matches!(message.status, UiStatus::Streaming | UiStatus::Pending);
        if is_growing {
            // What a step has called and what became of it is not among the chunks of the next one.
            message.parts.iter().filter_map(UiPart::as_tool).for_each(|tool| self.show_call(tool));
            return None;
        }
        self.finish(&message);
        Some(serde_json::to_value(message.status).ok()?.as_str().unwrap_or_default().to_owned())
    }

    /// Returns the calls that wait for somebody, each once.
    pub(super) fn questions(&mut self) -> Vec<Question> {
        let open = std::mem::take(&mut self.open);
        self.asked.extend(open.iter().map(|question| question.approval.clone()));
        open
    }

    fn note_questions(&mut self, message: &UiMessage) {
        self.open.clear();
        for tool in message.parts.iter().filter_map(UiPart::as_tool) {
            let Some(approval) = &tool.approval else { continue };
            let is_open = tool.state == ToolState::ApprovalRequested && approval.approved.is_none();
            if is_open && !self.asked.contains(&approval.id) {
                let input = tool.input.as_ref().map(Value::to_string).unwrap_or_default();
                let call = format!("{} {input}", tool.name.as_str());
                self.open.push(Question { approval: approval.id.clone(), call });
            }
        }
    }

    /// Shows what there is of parts, and notes in `shown` how much of each.
    fn show(&mut self, parts: &[UiPart], shown: &mut Vec<usize>) {
        if shown.len() > parts.len() || parts.iter().zip(&*shown).any(|(part, shown)| length(part) < *shown) {
            // The model was asked again: its text begins anew.
            self.begin_line();
            self.say(&self.out.paint(Style::Warning, "(again, from here)\n"));
            self.text.clear();
            shown.clear();
        }
        shown.resize(parts.len(), 0);
        for (part, shown) in parts.iter().zip(shown.iter_mut()) {
            match part {
                UiPart::Text(text) => {
                    let new = text.text.get(*shown..).unwrap_or_default();
                    self.text.push_str(new);
                    self.say(new);
                }
                UiPart::Reasoning(text) => {
                    let new = text.text.get(*shown..).unwrap_or_default();
                    self.say(&self.out.paint(Style::Dim, new));
                    self.is_at_start |= new.ends_with('\n');
                }
                UiPart::Tool(tool) => self.show_call(tool),
                _ => {}
            }
            *shown = length(part);
        }
    }

    fn show_call(&mut self, tool: &UiTool) {
        let is_told = match self.calls.get(&tool.call) {
            Some(state) => {
                *state == tool.state || !tool.has_ended() && tool.state != ToolState::ApprovalRequested
            }
            None => tool.state == ToolState::InputStreaming,
        };
        if is_told {
            return;
        }
        self.calls.insert(tool.call.clone(), tool.state);
        let Ok(part) = serde_json::to_value(UiPart::Tool(Box::new(tool.clone()))) else { return };
        self.begin_line();
        let line = line_of_tool(self.out, &part);
        self.say(&format!("{line}\n"));
    }

    /// Shows what was not shown yet of an answer that has ended.
    fn finish(&mut self, message: &UiMessage) {
        for tool in message.parts.iter().filter_map(UiPart::as_tool) {
            self.show_call(tool);
        }
        let text: String = message.parts.iter().filter_map(UiPart::as_text).collect();
        match text.strip_prefix(self.text.as_str()) {
            Some(rest) => self.say(rest),
            None => {
                self.begin_line();
                self.say(&text);
            }
        }
        self.begin_line();
        if let Some(error) = &message.error {
            self.say(&format!("{}\n", self.out.paint(Style::Wrong, &format!("({})", error.message))));
        }
        if self.out.is_json {
            self.out.json(&json!({ "type": "message", "message": message }));
        }
    }

    fn begin_line(&mut self) {
        if !self.is_at_start {
            self.say("\n");
        }
    }

    fn say(&mut self, text: &str) {
        if text.is_empty() || self.out.is_json {
            return;
        }
        self.is_at_start = text.ends_with('\n');
        self.out.text(text);
    }
}

/// Returns how long the text of a part is.
fn length(part: &UiPart) -> usize {
    match part {
        UiPart::Text(text) | UiPart::Reasoning(text) => text.text.len(),
        _ => 0,
    }
}
