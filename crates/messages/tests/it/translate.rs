//! What a model says, streamed, is what it says as a whole.

use loomwork_messages::{Reducer, StepMessages, Translator, UiChunk};
use loomwork_models::{
    Assembly, Chunk, Extras, File, Message, Part, PartKind, ProviderData, Role, Source, SourceKind, ToolCall,
    ToolOutput, ToolResult,
};
use serde_json::json;

fn start(part: u32, kind: PartKind) -> Chunk {
    Chunk::PartStart { part, kind, provider_metadata: ProviderData::new() }
}

fn delta(part: u32, delta: &str) -> Chunk {
    Chunk::PartDelta { part, delta: delta.into() }
}

fn end(part: u32) -> Chunk {
    Chunk::PartEnd { part, provider_metadata: ProviderData::new() }
}

fn call(id: &str) -> PartKind {
    PartKind::ToolCall { tool_call_id: id.into(), tool_name: "look".into(), provider_executed: false }
}

/// Reduces what the translator makes of chunks.
fn streamed(chunks: Vec<Chunk>) -> Vec<Message> {
    let mut translator = Translator::default();
    let mut reducer = Reducer::strict();
    reducer.push(UiChunk::StartStep).expect("a step begins");
    for chunk in chunks {
        reducer.extend(translator.push(chunk)).expect("the chunks fit together");
    }
    let steps = StepMessages::from_parts(reducer.into_parts());
    steps.into_iter().flat_map(StepMessages::into_messages).collect()
}

#[test]
fn texts_thoughts_and_calls_are_streamed_as_the_model_makes_them() {
    let chunks = vec![
        start(0, PartKind::Reasoning),
        delta(0, "hm"),
        end(0),
        start(1, PartKind::Text),
        start(2, call("a")),
        delta(1, "Let me "),
        delta(2, "{\"x\":"),
        delta(1, "look."),
        delta(2, "1}"),
        end(1),
        end(2),
        start(3, call("b")),
        end(3),
    ];
    let mut assembly = Assembly::default();
    chunks.iter().cloned().for_each(|chunk| assembly.push(chunk).expect("the model's chunks fit together"));
    let whole = assembly.into_reply().parts;
    assert_eq!(streamed(chunks), [Message::new(Role::Assistant, whole)]);
}

#[test]
fn arguments_that_are_no_json_are_a_failed_call_with_their_text() {
    let messages = streamed(vec![start(0, call("a")), delta(0, "{\"x\": oops"), end(0)]);
    let made = messages[0].tool_calls().next().expect("the call is there");
    assert_eq!(made.input, json!("{\"x\": oops"));
    let result = messages[1].tool_results().next().expect("it was answered");
    assert!(matches!(&result.output, ToolOutput::ErrorText(text) if text.contains("no JSON")), "{result:?}");
}

#[test]
fn parts_that_come_whole_are_streamed_whole() {
    let file = File {
        data: b"PNG".to_vec().into(),
        media_type: "image/png".into(),
        filename: Some("a.png".into()),
        extras: Extras::default(),
    };
    let page = Source {
        id: "1".into(),
        kind: SourceKind::Url { url: "https://example.com".into() },
        title: Some("Example".into()),
        extras: Extras::default(),
    };
    let made = ToolCall {
        id: "s".into(),
        name: "search".into(),
        input: json!({}),
        provider_executed: true,
        ..ToolCall::default()
    };
    let found =
        ToolResult { provider_executed: true, ..ToolResult::new(&made, ToolOutput::Json(json!([1]))) };
    let parts = [
        Part::text("whole"),
        Part::reasoning("thought"),
        Part::ToolCall(made),
        Part::ToolResult(found),
        Part::Source(page),
        Part::File(file),
    ];
    let messages = streamed(parts.iter().cloned().map(|part| Chunk::Part { part }).collect());
    let kinds: Vec<_> = messages[0].parts.iter().map(|part| part.type_name().to_owned()).collect();
    assert_eq!(kinds, ["text", "reasoning", "tool-call", "tool-result", "source", "file"]);
    assert_eq!(messages[0].text(), "whole");
}
