//! Random runs: what is streamed, what is saved, and what is shown of both.

use loomwork_messages::{MessageRow, Reducer, StepMessages, UiChunk, UiMessage, UiPart};
use loomwork_models::{ToolOutput, ToolResult};
use loomwork_store::Row;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{chunks, row, run};

#[derive(Clone, Debug)]
enum Item {
    Text(Vec<String>),
    Reasoning(Vec<String>, bool),
    Whole(Value),
    Tool { input: Value, end: End, dynamic: bool },
}

#[derive(Clone, Debug)]
enum End {
    Open,
    Returned { output: Value, by_provider: bool },
    Failed(String),
    BadInput(String),
    Asked,
    Approved(Value),
    Refused(Option<String>),
}

impl End {
    fn is_answered(&self) -> bool {
        matches!(self, Self::Approved(_) | Self::Refused(_))
    }
}

#[derive(Clone, Debug)]
struct Script {
    /// What a dead attempt at the step has written.
    dead: Vec<Item>,
    items: Vec<Item>,
}

fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[a-zé\"{}\\\\ ]{1,6}", 1..5)
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(|number| json!(number)),
        "[a-z{}\"]{0,5}".prop_map(|text| json!(text)),
        ("[a-z]{0,3}", any::<bool>()).prop_map(|(name, flag)| json!({ name: [flag, { "deep": "}" }] })),
    ]
}

/// Outputs, those that are shown bare but look like others among them.
fn output() -> impl Strategy<Value = Value> {
    const KINDS: [&str; 5] = ["text", "json", "error-text", "execution-denied", "weather"];
    prop_oneof![
        value(),
        value().prop_map(|value| json!({ "type": "json", "value": value })),
        (prop::sample::select(&KINDS[..]), value())
            .prop_map(|(kind, value)| json!({ "type": "json", "value": { "type": kind, "value": value } })),
        Just(json!({ "type": "content", "value": [{ "type": "text", "text": "x" }] })),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Open),
        (output(), any::<bool>()).prop_map(|(output, by_provider)| End::Returned { output, by_provider }),
        "[a-z]{1,5}".prop_map(End::Failed),
        "[a-z{]{1,5}".prop_map(End::BadInput),
        Just(End::Asked),
        output().prop_map(End::Approved),
        prop::option::of("[a-z]{1,5}").prop_map(End::Refused),
    ]
}

fn whole() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({ "type": "file", "url": "https://a/b", "mediaType": "text/plain", "filename": "b.txt" }),
        json!({ "type": "reasoning-file", "url": "data:image/png;base64,AAAA", "mediaType": "image/png" }),
        json!({ "type": "custom", "kind": "p.k", "providerMetadata": { "p": { "a": 1 } } }),
        json!({ "type": "source-url", "sourceId": "s", "url": "https://a/b" }),
        json!({ "type": "source-document", "sourceId": "s", "mediaType": "text/plain", "title": "D" }),
        json!({ "type": "data-weather", "data": { "sun": true } }),
    ])
}

fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        words().prop_map(Item::Text),
        (words(), any::<bool>()).prop_map(|(words, is_signed)| Item::Reasoning(words, is_signed)),
        whole().prop_map(Item::Whole),
        (value(), end(), any::<bool>()).prop_map(|(input, end, dynamic)| Item::Tool { input, end, dynamic }),
    ]
}

fn scripts() -> impl Strategy<Value = Vec<Script>> {
    let dead = prop_oneof![3 => Just(vec![]), 1 => prop::collection::vec(item(), 1..4)];
    let step = (dead, prop::collection::vec(item(), 1..6)).prop_map(|(dead, items)| Script { dead, items });
    prop::collection::vec(step, 1..4)
}

/// Returns the chunks of a run.
fn write(scripts: &[Script]) -> Vec<UiChunk> {
    let mut writer = Writer { list: vec![], results: vec![], next: 0 };
    writer.list.push(json!({ "type": "start", "messageMetadata": { "a": 1 } }));
    for script in scripts {
        writer.list.push(json!({ "type": "start-step" }));
        if !script.dead.is_empty() {
            script.dead.iter().for_each(|item| writer.item(item));
            writer.results.clear();
            writer.list.push(serde_json::to_value(UiChunk::restart_step(2)).unwrap());
        }
        script.items.iter().for_each(|item| writer.item(item));
        let results = std::mem::take(&mut writer.results);
        writer.list.extend(results);
        writer.list.push(json!({ "type": "finish-step" }));
    }
    writer.list.push(json!({ "type": "finish" }));
    chunks(Value::Array(writer.list))
}

struct Writer {
    list: Vec<Value>,
    /// What is known when the step's tools have run.
    results: Vec<Value>,
    next: usize,
}

impl Writer {
    fn item(&mut self, item: &Item) {
        self.next += 1;
        let id = self.next.to_string();
        match item {
            Item::Text(words) => self.text("text", &id, words, Value::Null),
            Item::Reasoning(words, is_signed) => {
                let signature = if *is_signed { json!({ "p": { "signature": id } }) } else { Value::Null };
                self.text("reasoning", &id, words, signature);
            }
            Item::Whole(chunk) => self.list.push(chunk.clone()),
            Item::Tool { input, end, dynamic } => self.tool(&id, input, end, *dynamic),
        }
    }

    fn text(&mut self, kind: &str, id: &str, words: &[String], metadata: Value) {
        self.list.push(json!({ "type": format!("{kind}-start"), "id": id }));
        for delta in words {
            self.list.push(json!({ "type": format!("{kind}-delta"), "id": id, "delta": delta }));
        }
        self.list.push(json!({ "type": format!("{kind}-end"), "id": id, "providerMetadata": metadata }));
    }

    fn tool(&mut self, id: &str, input: &Value, end: &End, dynamic: bool) {
        let by_provider = matches!(end, End::Returned { by_provider: true, .. });
        let call = |kind: &str| json!({ "type": kind, "toolCallId": id, "toolName": "search", "dynamic": dynamic, "providerExecuted": by_provider });
        self.list.push(call("tool-input-start"));
        let text = input.to_string();
        for delta in text.chars() {
            self.list.push(json!({ "type": "tool-input-delta", "toolCallId": id, "inputTextDelta": delta }));
        }
        if let End::BadInput(raw) = end {
            let mut chunk = call("tool-input-error");
            (chunk["input"], chunk["errorText"]) = (json!(raw), json!("no JSON"));
            self.list.push(chunk);
            return;
        }
        let mut chunk = call("tool-input-available");
        chunk["input"] = input.clone();
        self.list.push(chunk);
        if matches!(end, End::Asked) || end.is_answered() {
            self.list.push(
                json!({ "type": "tool-approval-request", "approvalId": format!("a{id}"), "toolCallId": id }),
            );
        }
        let answer = |approved: bool, reason: &Option<String>| json!({ "type": "tool-approval-response", "approvalId": format!("a{id}"), "approved": approved, "reason": reason });
        match end {
            End::Returned { output, .. } => self.result(id, output, by_provider),
            End::Failed(text) => self.result(id, &json!({ "type": "error-text", "value": text }), false),
            End::Approved(output) => {
                self.results.push(answer(true, &None));
                self.result(id, output, false);
            }
            End::Refused(reason) => {
                self.results.push(answer(false, reason));
                self.results.push(json!({ "type": "tool-output-denied", "toolCallId": id }));
            }
            End::Open | End::Asked | End::BadInput(_) => {}
        }
    }

    fn result(&mut self, id: &str, output: &Value, provider_executed: bool) {
        let output = ToolOutput::from_value(output.clone());
        let call = loomwork_models::ToolCall { id: id.to_owned(), ..Default::default() };
        let result = ToolResult { provider_executed, ..ToolResult::new(&call, "") };
        let chunk = UiChunk::tool_result(&ToolResult { output, ..result });
        self.results.push(serde_json::to_value(chunk).unwrap());
    }
}

fn parts_of(chunks: Vec<UiChunk>) -> Vec<UiPart> {
    let mut reducer = Reducer::strict();
    reducer.extend(chunks).unwrap();
    reducer.into_parts()
}

/// Returns the rows that a run saves.
fn save(parts: Vec<UiPart>) -> Vec<Row<MessageRow>> {
    let messages = StepMessages::from_parts(parts).into_iter().flat_map(StepMessages::into_messages);
    let save = |(step, message)| {
        let mut row = row(0, step, serde_json::to_value(message).unwrap());
        row.run = Some(run(1));
        row
    };
    (1..).zip(messages).map(save).collect()
}

/// Puts adjacent deltas of the same text together, as a writer does before it stores them.
fn compressed(chunks: Vec<UiChunk>) -> Vec<UiChunk> {
    let mut list: Vec<UiChunk> = vec![];
    for chunk in chunks {
        match (list.last_mut(), chunk) {
            (
                Some(UiChunk::TextDelta { id, delta, .. }),
                UiChunk::TextDelta { id: next, delta: more, .. },
            )
            | (
                Some(UiChunk::ReasoningDelta { id, delta, .. }),
                UiChunk::ReasoningDelta { id: next, delta: more, .. },
            ) if *id == next => {
                delta.push_str(&more);
            }
            (
                Some(UiChunk::ToolInputDelta { tool_call_id, input_text_delta }),
                UiChunk::ToolInputDelta { tool_call_id: next, input_text_delta: more },
            ) if *tool_call_id == next => input_text_delta.push_str(&more),
            (_, chunk) => list.push(chunk),
        }
    }
    list
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_into_batches_gives_the_same_parts(scripts in scripts(), cuts in prop::collection::vec(0..9usize, 1..9)) {
        let chunks = write(&scripts);
        let whole = parts_of(chunks.clone());
        let mut reducer = Reducer::strict();
        let mut rest = chunks;
        for length in cuts.into_iter().chain(std::iter::once(usize::MAX)) {
            let tail = rest.split_off(length.min(rest.len()));
            let stored = serde_json::to_string(&compressed(std::mem::replace(&mut rest, tail))).unwrap();
            let before = reducer.parts().len();
            reducer.extend(serde_json::from_str::<Vec<UiChunk>>(&stored).unwrap()).unwrap();
            prop_assert!(reducer.parts().len() >= before || stored.contains("data-restart-step"));
        }
        prop_assert_eq!(reducer.parts(), whole.as_slice());
    }

    #[test]
    fn what_is_saved_is_shown_as_it_was_streamed(scripts in scripts()) {
        let streamed = parts_of(write(&scripts));
        let rows = save(streamed.clone());
        let shown = UiMessage::group(&rows);
        prop_assert_eq!(shown.len(), 1);
        prop_assert_eq!(&shown[0].parts, &streamed);
        let json = serde_json::to_string(&shown[0]).unwrap();
        prop_assert_eq!(&serde_json::from_str::<UiMessage>(&json).unwrap(), &shown[0]);
        let back: Vec<_> = shown[0].clone().into_rows().into_iter().map(|(_, row)| row.message).collect();
        let saved: Vec<_> = rows.iter().map(|row| row.message.clone()).collect();
        prop_assert_eq!(back, saved);
    }

    #[test]
    fn a_dead_attempt_leaves_nothing(scripts in scripts()) {
        let alive: Vec<_> = scripts.iter().map(|script| Script { dead: vec![], ..script.clone() }).collect();
        let json = |scripts: &[Script]| {
            // The ids count the items, so those of dead attempts leave gaps.
            let parts = parts_of(write(scripts));
            parts.iter().map(|part| match part {
                UiPart::Tool(tool) => format!("{:?} {:?} {:?}", tool.state, tool.input, tool.output),
                part => part.as_text().unwrap_or_default().to_owned(),
            }).collect::<Vec<_>>()
        };
        prop_assert_eq!(json(&scripts), json(&alive));
    }

    #[test]
    fn pages_cut_anywhere_are_put_together_again(scripts in scripts(), cut in 0..9usize) {
        // Whoever answers names the question alone, so an answer needs the page with its question.
        let plain = |item: &Item| !matches!(item, Item::Tool { end, .. } if end.is_answered());
        let scripts: Vec<_> = scripts.into_iter().map(|mut script| {
            script.items.retain(plain);
            script
        }).collect();
        let rows = save(parts_of(write(&scripts)));
        let (older, newer) = rows.split_at(cut.min(rows.len()));
        let pages = [UiMessage::group(newer), UiMessage::group(older)].concat();
        prop_assert_eq!(UiMessage::merge(pages, vec![]), UiMessage::group(&rows));
    }

    #[test]
    fn a_page_may_begin_where_a_message_does(rows in prop::collection::vec((0..6u8, any::<bool>(), any::<bool>(), 0..3u64), 1..12)) {
        let rows: Vec<_> = (0..).zip(rows).map(|(step, (kind, same_turn, same_agent, run_number))| {
            let content = match kind {
                0 => json!({ "role": "user", "content": "?" }),
                1 | 2 => json!({ "role": "tool", "content": [super::result("c", super::text_output("1"))] }),
                3 | 4 => json!({ "role": "assistant", "content": [super::call("c")] }),
                _ => json!({ "role": "assistant", "content": "!" }),
            };
            let mut row = row(if same_turn { 5 } else { 5 + step / 4 }, step, content);
            row.agent = Some(if same_agent { "bot" } else { "ben" }.to_owned());
            row.run = (run_number > 0).then(|| run(run_number));
            row
        }).collect();
        let mut rows = rows;
        rows.sort_by_key(|row| row.position());
        let whole = UiMessage::group(&rows);
        for border in 1..rows.len() {
            if UiMessage::begins_at(Some(&rows[border - 1]), &rows[border]) {
                let (older, newer) = rows.split_at(border);
                prop_assert_eq!([UiMessage::group(older), UiMessage::group(newer)].concat(), whole.clone());
            }
        }
    }
}
