//! An answer, as it comes.

use std::collections::HashMap;

use loomwork_messages::{RESTART_STEP, Reducer, ToolState, UiChunk, UiMessage, UiPart, UiTool};
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
    shown: Vec<Shown>,
}

/// How much of a part was shown.
#[derive(Clone, Copy, Default)]
struct Shown {
    bytes: usize,
    /// Whether it is of the answer's text, and no thought.
    is_text: bool,
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
        let Some(id) = grown["stream"].as_str() else { return };
        // A stream of another turn is not among them.
        let Some(mut stream) = self.streams.remove(id) else { return };
        for chunk in grown["chunks"].as_array().into_iter().flatten() {
            if self.out.is_json {
                self.out.json(chunk);
            }
            let is_restart = chunk["type"] == RESTART_STEP;
            if let Ok(chunk) = serde_json::from_value::<UiChunk>(chunk.clone()) {
                // A tolerant reducer leaves out what does not fit.
                let _ = stream.made.push(chunk);
            }
            if is_restart {
                self.show(&mut stream);
            }
        }
        self.show(&mut stream);
        self.streams.insert(id.to_owned(), stream);
    }

    /// Looks at the whole thread: which streams are of the answer, and what became of its calls.
    pub(super) fn look_at(&mut self, view: &Value) {
        let (message, order) = in_view(view, &self.run, &self.prompt);
        self.order = self.order.or(order);
        for stream in view["streams"].as_array().into_iter().flatten() {
            let (Some(id), Some(order)) = (stream["id"].as_str(), stream["order"].as_u64()) else { continue };
            if self.order == Some(order) && !self.streams.contains_key(id) {
                self.streams.insert(id.to_owned(), Stream { made: Reducer::tolerant(), shown: Vec::new() });
            }
        }
        let Some(message) = message else { return };
        self.note_questions(&message);
        // What a step has called and what became of it is not among the chunks of the next one.
        message.parts.iter().filter_map(UiPart::as_tool).for_each(|tool| self.show_call(tool));
    }

    /// Shows what was not shown yet of an answer whose run has ended.
    pub(super) fn finish(&mut self, view: &Value) {
        let (Some(message), _) = in_view(view, &self.run, &self.prompt) else { return self.begin_line() };
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

    /// Shows what there is of a stream and was not shown yet.
    fn show(&mut self, stream: &mut Stream) {
        let Stream { made, shown } = stream;
        let parts = made.parts();
        let kept = shown.iter().zip(parts).take_while(|(shown, part)| length(part) >= shown.bytes).count();
        if kept < shown.len() {
            // The model was asked again: the text of its step begins anew.
            let gone: usize =
                shown.drain(kept..).filter(|shown| shown.is_text).map(|shown| shown.bytes).sum();
            self.text.truncate(self.text.len().saturating_sub(gone));
            self.begin_line();
            self.say(&self.out.paint(Style::Warning, "(again, from here)\n"));
        }
        shown.resize(parts.len(), Shown::default());
        for (part, shown) in parts.iter().zip(shown) {
            let from = shown.bytes;
            *shown = Shown { bytes: length(part), is_text: matches!(part, UiPart::Text(_)) };
            match part {
                UiPart::Text(text) => {
                    let new = text.text.get(from..).unwrap_or_default();
                    self.text.push_str(new);
                    self.say(new);
                }
                UiPart::Reasoning(text) => {
                    let new = text.text.get(from..).unwrap_or_default();
                    self.say(&self.out.paint(Style::Dim, new));
                }
                UiPart::Tool(tool) => self.show_call(tool),
                _ => {}
            }
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
        let was_told = self.calls.insert(tool.call.clone(), tool.state).is_some();
        let Ok(part) = serde_json::to_value(UiPart::Tool(Box::new(tool.clone()))) else { return };
        self.begin_line();
        let line = line_of_tool(self.out, &part, was_told);
        self.say(&format!("{line}\n"));
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
