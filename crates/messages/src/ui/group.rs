//! Rows as the messages that a page shows.

use std::collections::HashMap;

use loomwork_models::{
    ApprovalRequest, ApprovalResponse, Data, Extras, File, Image, Part, Role, Source, SourceKind, ToolCall,
    ToolResult, guess_media_type,
};
use loomwork_store::Row;
use serde_json::{Map, Value};

use super::message::{key, text};
use super::tool::{Outcome, ToolName};
use super::{
    ToolState, UiApproval, UiCustom, UiFile, UiMessage, UiPart, UiSourceDocument, UiSourceUrl, UiText, UiTool,
};
use crate::chunk::{DATA_PREFIX, DataChunk};
use crate::{MessageId, MessageRow};

/// The field of a stored call which says that the tool is known at run time only.
pub(crate) const DYNAMIC: &str = "dynamic";

impl UiMessage {
    /// Returns what a page shows of rows, in the order of their positions.
    ///
    /// A row of a user or the system is a message of its own. The rows of an answer are one message up to
    /// where another turn, another run or another author begins, or where an answer without a tool call has
    /// ended that no run goes on with.
    pub fn group(rows: &[Row<MessageRow>]) -> Vec<Self> {
        let mut rows: Vec<_> = rows.iter().collect();
        rows.sort_by_key(|row| row.position());
        let mut messages = Vec::new();
        let mut group: Option<Group> = None;
        for row in rows {
            if matches!(row.role(), Role::User | Role::System) {
                messages.extend(group.take().map(Group::finish));
                messages.push(single(row.id, row));
                continue;
            }
            match group.as_mut().filter(|group| !group.ends_before(row)) {
                Some(group) => group.add(row),
                None => {
                    let next = Group::new(row.id, row);
                    messages.extend(group.replace(next).map(Group::finish));
                }
            }
        }
        messages.extend(group.map(Group::finish));
        messages
    }

    /// Returns whether a message begins at a row, whatever came before the row in front of it; `None` is
    /// there at the beginning of a thread.
    ///
    /// A page that begins at such a row cuts no message apart. A new turn always is one.
    pub fn begins_at(before: Option<&MessageRow>, row: &MessageRow) -> bool {
        let Some(before) = before else { return true };
        let is_single = |row: &MessageRow| matches!(row.role(), Role::User | Role::System);
        if before.order != row.order || is_single(before) || is_single(row) {
            return true;
        }
        let goes_on = before.run.is_some() && before.run == row.run;
        let has_closed = !before.tool && !goes_on;
        match (before.role(), row.role()) {
            (Role::Assistant, Role::Assistant) => has_closed || !same_speaker(before, row),
            (Role::Assistant, _) => has_closed,
            // Whoever spoke before the results may be another one, which this pair does not tell.
            (_, Role::Assistant) => other_run(before, row),
            _ => false,
        }
    }
}

fn same_speaker(one: &MessageRow, other: &MessageRow) -> bool {
    one.agent == other.agent && one.user == other.user && !other_run(one, other)
}

fn other_run(one: &MessageRow, other: &MessageRow) -> bool {
    one.run.is_some() && other.run.is_some() && one.run != other.run
}

/// Returns the message of a row of a user or the system.
fn single(id: MessageId, row: &MessageRow) -> UiMessage {
    let mut message = empty(id, row);
    message.parts = if row.role() == Role::System {
        vec![UiPart::Text(UiText { text: row.message.text(), ..UiText::default() })]
    } else {
        row.message.parts.iter().filter_map(said_by_user).collect()
    };
    message.text = text(&message.parts);
    message
}

/// Returns what is shown of a user's part: calls and results are none of theirs.
fn said_by_user(part: &Part) -> Option<UiPart> {
    match part {
        Part::Text(text) => Some(UiPart::Text(UiText {
            text: text.text.clone(),
            state: None,
            provider_metadata: text.extras.provider_metadata.clone(),
        })),
        Part::Image(_) | Part::File(_) | Part::Unknown(_) => shown(part),
        _ => None,
    }
}

/// Returns the message of a row without its parts.
fn empty(id: MessageId, row: &MessageRow) -> UiMessage {
    UiMessage {
        id: id.to_string(),
        key: key(row.thread, row.order, row.step),
        thread: row.thread,
        role: if row.role() == Role::Tool { Role::Assistant } else { row.role() },
        parts: Vec::new(),
        metadata: row.metadata.clone(),
        order: row.order,
        step: row.step,
        status: row.status.into(),
        agent: row.agent.clone(),
        user: row.user.clone(),
        run: row.run,
        text: String::new(),
        created: row.created,
        model: row.model.clone(),
        provider: row.provider.clone(),
        usage: row.usage.clone(),
        finish_reason: row.finish_reason,
        error: row.error.clone(),
    }
}

/// The rows of one answer.
struct Group<'a> {
    message: UiMessage,
    last: &'a MessageRow,
    /// The last row that is an author's; results are the program's.
    spoken: Option<&'a MessageRow>,
    /// Where the calls stand among the parts.
    calls: HashMap<&'a str, usize>,
    requests: Vec<&'a ApprovalRequest>,
    responses: Vec<&'a ApprovalResponse>,
}

impl<'a> Group<'a> {
    fn new(id: MessageId, row: &'a MessageRow) -> Self {
        let mut group = Self {
            message: empty(id, row),
            last: row,
            spoken: None,
            calls: HashMap::new(),
            requests: Vec::new(),
            responses: Vec::new(),
        };
        group.add_parts(row);
        group
    }

    fn ends_before(&self, row: &MessageRow) -> bool {
        let speaks = row.role() == Role::Assistant;
        let is_other = self.spoken.is_some_and(|spoken| speaks && !same_speaker(spoken, row));
        is_other || UiMessage::begins_at(Some(self.last), row)
    }

    fn add(&mut self, row: &'a MessageRow) {
        let message = &mut self.message;
        message.status = row.status.into();
        message.metadata.extend(row.metadata.clone());
        message.error = row.error.clone().or(message.error.take());
        message.finish_reason = row.finish_reason.or(message.finish_reason);
        message.model = row.model.clone().or(message.model.take());
        message.provider = row.provider.clone().or(message.provider.take());
        if let Some(usage) = &row.usage {
            *message.usage.get_or_insert_default() += usage;
        }
        self.last = row;
        self.add_parts(row);
    }

    fn add_parts(&mut self, row: &'a MessageRow) {
        let begin = self.message.parts.len();
        let speaks = row.role() == Role::Assistant;
        if speaks {
            if self.spoken.is_none() {
                (self.message.agent, self.message.user) = (row.agent.clone(), row.user.clone());
                self.message.run = row.run;
            }
            self.spoken = Some(row);
            self.message.parts.push(UiPart::StepStart);
        }
        for part in &row.message.parts {
            match part {
                Part::ToolCall(call) => self.add_call(call),
                Part::ToolResult(result) => self.add_result(result),
                Part::ApprovalRequest(request) => self.requests.push(request),
                Part::ApprovalResponse(response) => self.responses.push(response),
                part => self.message.parts.extend(shown(part)),
            }
        }
        // A row that says nothing, such as one that is being made, shows no step.
        if speaks && self.message.parts.len() == begin + 1 {
            self.message.parts.truncate(begin);
        }
    }

    fn add_call(&mut self, call: &'a ToolCall) {
        let says = |metadata: Option<&Value>| {
            metadata.and_then(|value| value.get(DYNAMIC)) == Some(&Value::Bool(true))
        };
        let is_dynamic = is_dynamic(&call.extras) || says(call.tool_metadata.as_ref());
        let mut tool = UiTool::new(ToolName::new(&call.name, is_dynamic), &call.id);
        tool.state = ToolState::InputAvailable;
        tool.title = call.title.clone();
        tool.tool_metadata = call.tool_metadata.clone();
        tool.provider_executed = call.provider_executed;
        tool.call_provider_metadata = call.extras.provider_metadata.clone();
        match &call.invalid {
            Some(why) => {
                tool.reject_input(call.input.clone());
                tool.settle(Outcome::Failed(why.clone()));
            }
            None => tool.input = Some(call.input.clone()),
        }
        match self.calls.get(call.id.as_str()).and_then(|index| self.message.parts.get_mut(*index)) {
            Some(UiPart::Tool(known)) => known.absorb(tool),
            _ => self.add_tool(&call.id, tool),
        }
    }

    fn add_result(&mut self, result: &'a ToolResult) {
        let outcome = Outcome::of(&result.output);
        let index = match self.calls.get(result.call.as_str()) {
            Some(index) => *index,
            // The call is on another page.
            None => {
                let name = ToolName::new(&result.name, is_dynamic(&result.extras));
                self.add_tool(&result.call, UiTool::new(name, &result.call));
                self.message.parts.len() - 1
            }
        };
        if let Some(tool) = self.message.parts.get_mut(index).and_then(UiPart::as_tool_mut) {
            tool.settle(outcome);
            tool.provider_executed |= result.provider_executed;
            tool.result_provider_metadata = result.extras.provider_metadata.clone();
        }
    }

    fn add_tool(&mut self, call: &'a str, tool: UiTool) {
        self.calls.insert(call, self.message.parts.len());
        self.message.parts.push(UiPart::Tool(Box::new(tool)));
    }

    /// Questions and answers come last, so that the order of the rows does not matter. They never take back
    /// what became of a call.
    fn finish(mut self) -> UiMessage {
        let mut asked = HashMap::new();
        for request in self.requests {
            let Some(index) = self.calls.get(request.call.as_str()) else { continue };
            let Some(tool) = self.message.parts.get_mut(*index).and_then(UiPart::as_tool_mut) else {
                continue;
            };
            asked.insert(request.id.as_str(), *index);
            ask(tool, request);
        }
        for response in self.responses {
            let index = asked.get(response.id.as_str());
            let part = index.and_then(|index| self.message.parts.get_mut(*index));
            if let Some(tool) = part.and_then(UiPart::as_tool_mut) {
                answer(tool, response);
            }
        }
        self.message.text = text(&self.message.parts);
        self.message
    }
}

fn ask(tool: &mut UiTool, request: &ApprovalRequest) {
    let refusal = tool.approval.take().unwrap_or_default();
    tool.approval = Some(UiApproval {
        id: request.id.clone(),
        is_automatic: request.automatic,
        signature: request.signature.clone(),
        provider_metadata: request.extras.provider_metadata.clone(),
        ..refusal
    });
    if !tool.has_ended() {
        tool.state = ToolState::ApprovalRequested;
    }
}

fn answer(tool: &mut UiTool, response: &ApprovalResponse) {
    let has_ended = tool.has_ended();
    let approval = tool.approval.get_or_insert_default();
    approval.approved = Some(response.approved);
    approval.reason = response.reason.clone().or(approval.reason.take());
    if !response.extras.provider_metadata.is_empty() {
        approval.provider_metadata = response.extras.provider_metadata.clone();
    }
    tool.provider_executed |= response.provider_executed;
    if !has_ended {
        let refused = !response.approved;
        tool.state = if refused { ToolState::OutputDenied } else { ToolState::ApprovalResponded };
    }
}

fn is_dynamic(extras: &Extras) -> bool {
    extras.unknown.get(DYNAMIC) == Some(&Value::Bool(true))
}

/// Returns how a part is shown that is no tool's.
fn shown(part: &Part) -> Option<UiPart> {
    Some(match part {
        Part::Text(part) => UiPart::Text(said(&part.text, &part.extras)?),
        Part::Reasoning(part) => UiPart::Reasoning(said(&part.text, &part.extras)?),
        Part::ReasoningFile(part) => {
            UiPart::ReasoningFile(file(&part.data, part.media_type.clone(), None, &part.extras))
        }
        Part::File(File { data, media_type, filename, extras }) => {
            UiPart::File(file(data, media_type.clone(), filename.clone(), extras))
        }
        Part::Image(image) => UiPart::File(file(&image.data, media_type(image), None, &image.extras)),
        Part::Custom(part) => UiPart::Custom(UiCustom {
            kind: part.kind.clone(),
            provider_metadata: part.extras.provider_metadata.clone(),
        }),
        Part::Source(part) => source(part),
        Part::Unknown(fields) => unknown(fields),
        Part::RedactedReasoning(_) => match serde_json::to_value(part) {
            Ok(Value::Object(fields)) => UiPart::Unknown(fields),
            _ => return None,
        },
        _ => return None,
    })
}

fn said(text: &str, extras: &Extras) -> Option<UiText> {
    Some(UiText::done(text.to_owned(), extras.provider_metadata.clone())).filter(UiText::says_something)
}

fn file(data: &Data, media_type: String, filename: Option<String>, extras: &Extras) -> UiFile {
    let provider_reference = match data {
        Data::Reference(ids) => ids.clone(),
        _ => Map::new(),
    };
    let url = data.to_url(&media_type).unwrap_or_default();
    let provider_metadata = extras.provider_metadata.clone();
    UiFile { url, media_type, filename, provider_reference, provider_metadata }
}

fn media_type(image: &Image) -> String {
    let named = image.media_type.as_deref().or(image.data.media_type());
    match (named, &image.data) {
        (Some(media_type), _) => media_type.to_owned(),
        (None, Data::Bytes(bytes)) => guess_media_type(bytes).to_owned(),
        (None, _) => "image/*".to_owned(),
    }
}

fn source(source: &Source) -> UiPart {
    let Source { id, kind, title, extras } = source;
    let (source_id, title) = (id.clone(), title.clone());
    let provider_metadata = extras.provider_metadata.clone();
    match kind {
        SourceKind::Document { media_type, filename } => UiPart::SourceDocument(UiSourceDocument {
            source_id,
            media_type: media_type.clone(),
            title: title.unwrap_or_default(),
            filename: filename.clone(),
            provider_metadata,
        }),
        SourceKind::Url { url } => {
            UiPart::SourceUrl(UiSourceUrl { source_id, url: url.clone(), title, provider_metadata })
        }
        _ => UiPart::SourceUrl(UiSourceUrl { source_id, title, provider_metadata, ..UiSourceUrl::default() }),
    }
}

fn unknown(fields: &Map<String, Value>) -> UiPart {
    let is_data =
        fields.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with(DATA_PREFIX));
    let data = is_data.then(|| serde_json::from_value::<DataChunk>(Value::Object(fields.clone())));
    match data {
        Some(Ok(data)) => UiPart::Data(data),
        _ => UiPart::Unknown(fields.clone()),
    }
}
