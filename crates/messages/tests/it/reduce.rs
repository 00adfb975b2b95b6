#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

use loomwork_messages::{ChunkProblem, ChunksEnd, ReduceError, Reducer, ToolState, UiChunk, UiPart, UiTool};
use serde_json::{Value, json};

use crate::ui::{chunks, parts_json, reduced};

fn tool(reducer: &Reducer, index: usize) -> &UiTool {
    reducer.parts()[index].as_tool().unwrap()
}

/// Pushes the chunks and returns what the last one comes to.
fn error_of(list: Value) -> ReduceError {
    let mut chunks = chunks(list);
    let last = chunks.pop().unwrap();
    let mut reducer = Reducer::strict();
    reducer.extend(chunks).unwrap();
    let before = reducer.parts().to_vec();
    let error = reducer.push(last.clone()).unwrap_err();
    assert_eq!(reducer.parts(), before, "a chunk that is an error changes nothing");
    let mut tolerant = Reducer::tolerant();
    tolerant.push(last).unwrap();
    assert!(tolerant.parts().is_empty(), "who only looks leaves it out");
    error
}

#[test]
fn every_chunk_is_read_and_written_as_it_is() {
    let list = json!([
        { "type": "start", "messageId": "m", "messageMetadata": { "a": 1 } },
        { "type": "finish", "messageMetadata": { "a": 1 } },
        { "type": "message-metadata", "messageMetadata": { "a": 1 } },
        { "type": "start-step" },
        { "type": "finish-step" },
        { "type": "abort", "reason": "tired" },
        { "type": "error", "errorText": "broken" },
        { "type": "text-start", "id": "t", "providerMetadata": { "p": { "a": 1 } } },
        { "type": "text-delta", "id": "t", "delta": "x" },
        { "type": "text-end", "id": "t" },
        { "type": "reasoning-start", "id": "r" },
        { "type": "reasoning-delta", "id": "r", "delta": "x" },
        { "type": "reasoning-end", "id": "r" },
        { "type": "reasoning-file", "url": "https://a/b", "mediaType": "image/png" },
        { "type": "custom", "kind": "p.k" },
        { "type": "file", "url": "https://a/b", "mediaType": "image/png", "filename": "b" },
        { "type": "source-url", "sourceId": "s", "url": "https://a/b", "title": "B" },
        { "type": "source-document", "sourceId": "s", "mediaType": "text/plain", "title": "B" },
        { "type": "tool-input-start", "toolCallId": "c", "toolName": "n", "dynamic": true },
        { "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{" },
        { "type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": {} },
        { "type": "tool-input-error", "toolCallId": "c", "toolName": "n", "input": "{", "errorText": "no" },
        { "type": "tool-output-available", "toolCallId": "c", "output": null, "preliminary": true },
        { "type": "tool-output-error", "toolCallId": "c", "errorText": "no" },
        { "type": "tool-output-denied", "toolCallId": "c" },
        { "type": "tool-approval-request", "approvalId": "a", "toolCallId": "c", "isAutomatic": true },
        { "type": "tool-approval-response", "approvalId": "a", "approved": true, "reason": "fine" },
        { "type": "data-weather", "id": "d", "data": { "sun": true }, "transient": true },
        { "type": "of-another-time", "what": ["ever"] },
        { "type": "text-delta", "id": 7 }
    ]);
    let chunks = chunks(list.clone());
    assert_eq!(serde_json::to_value(&chunks).unwrap(), list);
    for (chunk, json) in chunks.iter().zip(list.as_array().unwrap()) {
        assert_eq!(chunk.kind(), json["type"]);
        assert_eq!(matches!(chunk, UiChunk::Unread(_)), json["what"].is_array() || json["id"] == 7, "{json}");
    }
    assert!(serde_json::from_value::<UiChunk>(json!({ "id": "t" })).is_err(), "it has no type");
}

#[test]
fn texts_grow_over_batches_and_several_may_be_open() {
    let mut reducer = Reducer::strict();
    let batches = [
        json!([{ "type": "text-start", "id": "a" }, { "type": "text-delta", "id": "a", "delta": "one" }]),
        json!([{ "type": "reasoning-start", "id": "a" }, { "type": "text-start", "id": "b" }]),
        json!([{ "type": "text-delta", "id": "b", "delta": "two" }, { "type": "text-delta", "id": "a", "delta": "!" }]),
        json!([{ "type": "reasoning-delta", "id": "a", "delta": "hm" }, { "type": "text-end", "id": "a" }]),
    ];
    for batch in batches {
        reducer.extend(chunks(batch)).unwrap();
    }
    assert_eq!(
        parts_json(reducer.parts()),
        json!([
            { "type": "text", "text": "one!", "state": "done" },
            { "type": "reasoning", "text": "hm", "state": "streaming" },
            { "type": "text", "text": "two", "state": "streaming" }
        ])
    );
}

#[test]
fn the_end_of_a_step_forgets_open_texts_without_marking_them_done() {
    let start = json!([{ "type": "text-start", "id": "a" }, { "type": "finish-step" }]);
    let reducer = reduced(start);
    assert_eq!(parts_json(reducer.parts())[0]["state"], "streaming");
    let error = error_of(json!([{ "type": "text-start", "id": "a" }, { "type": "finish-step" },
        { "type": "text-delta", "id": "a", "delta": "late" }]));
    assert_eq!(error.problem, ChunkProblem::NotOpen { id: "a".to_owned() });
}

#[test]
fn a_chunk_that_does_not_fit_is_named() {
    let cases = [
        (json!([{ "type": "text-delta", "id": "t", "delta": "x" }]), "no text or reasoning \"t\" has begun"),
        (json!([{ "type": "reasoning-end", "id": "t" }]), "no text or reasoning \"t\" has begun"),
        (
            json!([{ "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{" }]),
            "no call \"c\" are growing",
        ),
        (
            json!([{ "type": "tool-approval-request", "approvalId": "a", "toolCallId": "c" }]),
            "there is no call \"c\"",
        ),
        (
            json!([{ "type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": {} },
            { "type": "tool-output-denied", "toolCallId": "c" }]),
            "nobody was asked",
        ),
        (
            json!([{ "type": "tool-approval-response", "approvalId": "a", "approved": "yes" }]),
            "missing or of the wrong type",
        ),
        (json!([{ "type": "text-end" }]), "missing or of the wrong type"),
        (json!([{ "type": "data-x" }]), "missing or of the wrong type"),
        (json!([{ "type": "of-another-time" }]), "type is unknown"),
        (json!([{ "type": "message-metadata", "messageMetadata": "x" }]), "is an object"),
    ];
    for (list, text) in cases {
        let last = list.as_array().unwrap().last().unwrap().clone();
        let error = error_of(list.clone());
        assert_eq!(error.kind, last["type"]);
        assert_eq!(error.number, list.as_array().unwrap().len() as u64 - 1);
        assert!(error.to_string().contains(text), "{error}");
        assert!(error.to_string().contains(&format!("`{}`", error.kind)), "{error}");
    }
}

#[test]
fn the_chunks_of_another_message_do_not_fit() {
    let start =
        |id: &str| chunks(json!([{ "type": "start", "messageId": id, "messageMetadata": { "a": 1 } }]));
    let mut reducer = Reducer::strict().for_message("mine");
    reducer.extend(start("mine")).unwrap();
    let error = reducer.extend(start("yours")).unwrap_err();
    let (found, expected) = ("yours".to_owned(), "mine".to_owned());
    assert_eq!(error.problem, ChunkProblem::OtherMessage { found, expected });
}

#[test]
fn who_only_looks_leaves_out_what_does_not_fit_and_goes_on() {
    let mut reducer = Reducer::tolerant();
    let list = json!([
        { "type": "text-delta", "id": "t", "delta": "lost" },
        { "type": "of-another-time" },
        { "type": "tool-output-available", "toolCallId": "elsewhere", "output": 1 },
        { "type": "tool-approval-response", "approvalId": "a", "approved": 1 },
        { "type": "text-start", "id": "t" },
        { "type": "text-delta", "id": "t", "delta": "kept" }
    ]);
    reducer.extend(chunks(list)).unwrap();
    assert_eq!(
        parts_json(reducer.parts()),
        json!([{ "type": "text", "text": "kept", "state": "streaming" }])
    );
    assert!(!reducer.is_cut());
}

#[test]
fn the_result_of_a_call_that_is_elsewhere_ends_what_is_kept() {
    for elsewhere in [
        json!({ "type": "tool-output-available", "toolCallId": "elsewhere", "output": 1 }),
        json!({ "type": "tool-output-error", "toolCallId": "elsewhere", "errorText": "no" }),
        json!({ "type": "tool-output-denied", "toolCallId": "elsewhere" }),
        json!({ "type": "tool-approval-response", "approvalId": "elsewhere", "approved": true }),
    ] {
        let reducer = reduced(json!([
            { "type": "text-start", "id": "t" },
            { "type": "text-delta", "id": "t", "delta": "kept" },
            elsewhere,
            { "type": "text-delta", "id": "t", "delta": " and not this" }
        ]));
        assert!(reducer.is_cut());
        assert_eq!(reducer.parts()[0].as_text(), Some("kept"));
    }
}

#[test]
fn later_metadata_of_a_provider_takes_the_place_of_earlier() {
    let reducer = reduced(json!([
        { "type": "text-start", "id": "t", "providerMetadata": { "p": { "a": 1, "b": 2 } } },
        { "type": "text-delta", "id": "t", "delta": "x" },
        { "type": "text-end", "id": "t", "providerMetadata": { "p": { "b": 3 } } }
    ]));
    assert_eq!(parts_json(reducer.parts())[0]["providerMetadata"], json!({ "p": { "b": 3 } }));
}

#[test]
fn metadata_of_the_message_is_merged_and_adds_no_parts() {
    let mut reducer = Reducer::strict();
    for batch in [
        json!([{ "type": "start", "messageMetadata": { "a": 1, "b": { "deep": true } } }]),
        json!([{ "type": "message-metadata", "messageMetadata": { "b": 2 } }, { "type": "start" }]),
        json!([{ "type": "finish", "messageMetadata": { "c": 3 } }]),
    ] {
        reducer.extend(chunks(batch)).unwrap();
    }
    assert_eq!(Value::Object(reducer.metadata().clone()), json!({ "a": 1, "b": 2, "c": 3 }));
    assert_eq!((reducer.parts(), reducer.end()), (&[] as &[UiPart], Some(&ChunksEnd::Finished)));
}

#[test]
fn how_a_message_ended_is_told() {
    let end = |chunk| reduced(json!([chunk])).end().cloned();
    let aborted = ChunksEnd::Aborted { reason: Some("tired".to_owned()) };
    assert_eq!(end(json!({ "type": "abort", "reason": "tired" })), Some(aborted));
    let failed = ChunksEnd::Failed { error_text: "broken".to_owned() };
    assert_eq!(end(json!({ "type": "error", "errorText": "broken" })), Some(failed));
    assert_eq!(end(json!({ "type": "start-step" })), None);
}

#[test]
fn arguments_are_there_as_soon_as_they_are_complete() {
    let mut reducer = reduced(json!([
        { "type": "tool-input-start", "toolCallId": "c", "toolName": "search", "title": "Search" }
    ]));
    for delta in [r#"{"text": "a } \"#, r#"" {", "#, r#""list": [{}, [1"#, "]]"] {
        let delta = json!([{ "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": delta }]);
        reducer.extend(chunks(delta)).unwrap();
        assert_eq!(tool(&reducer, 0).input, None);
    }
    let last = json!([{ "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "} " }]);
    reducer.extend(chunks(last)).unwrap();
    let input = json!({ "text": "a } \" {", "list": [{}, [1]] });
    assert_eq!(tool(&reducer, 0).input.as_ref(), Some(&input));
    assert_eq!(tool(&reducer, 0).state, ToolState::InputStreaming);
    let whole = json!([{ "type": "tool-input-available", "toolCallId": "c", "toolName": "search", "input": { "n": 1 } }]);
    reducer.extend(chunks(whole)).unwrap();
    assert_eq!(
        parts_json(reducer.parts()),
        json!([{ "type": "tool-search", "toolCallId": "c", "state": "input-available", "title": "Search", "input": { "n": 1 } }])
    );
}

#[test]
fn complete_and_broken_arguments_need_no_start() {
    let reducer = reduced(json!([
        { "type": "tool-input-available", "toolCallId": "a", "toolName": "n", "input": 1, "toolMetadata": { "m": 1 } },
        { "type": "tool-input-error", "toolCallId": "b", "toolName": "n", "input": "{", "errorText": "no" },
        { "type": "tool-input-error", "toolCallId": "c", "toolName": "n", "input": "{", "errorText": "no", "dynamic": true }
    ]));
    assert_eq!(
        parts_json(reducer.parts()),
        json!([
            { "type": "tool-n", "toolCallId": "a", "state": "input-available", "input": 1, "toolMetadata": { "m": 1 } },
            { "type": "tool-n", "toolCallId": "b", "state": "output-error", "rawInput": "{", "errorText": "no" },
            { "type": "dynamic-tool", "toolName": "n", "toolCallId": "c", "state": "output-error", "input": "{", "errorText": "no" }
        ])
    );
}

#[test]
fn a_call_that_fails_while_its_arguments_grow_keeps_them_raw() {
    let reducer = reduced(json!([
        { "type": "tool-input-start", "toolCallId": "c", "toolName": "n" },
        { "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{\"a\":" },
        { "type": "tool-output-error", "toolCallId": "c", "errorText": "cut" }
    ]));
    let call = tool(&reducer, 0);
    assert_eq!((call.state, call.raw_input.clone()), (ToolState::OutputError, Some(json!("{\"a\":"))));
}

#[test]
fn a_final_error_clears_the_preliminary_output() {
    let start = json!([
        { "type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": {} },
        { "type": "tool-output-available", "toolCallId": "c", "output": 1, "preliminary": true },
        { "type": "tool-output-available", "toolCallId": "c", "output": 2, "preliminary": true }
    ]);
    let mut reducer = reduced(start.clone());
    let call = tool(&reducer, 0);
    assert_eq!((call.output.clone(), call.preliminary, call.has_ended()), (Some(json!(2)), true, false));
    let error = json!([{ "type": "tool-output-error", "toolCallId": "c", "errorText": "no", "providerMetadata": { "p": 1 } }]);
    reducer.extend(chunks(error)).unwrap();
    assert_eq!(
        parts_json(reducer.parts()),
        json!([{ "type": "tool-n", "toolCallId": "c", "state": "output-error", "input": {}, "errorText": "no",
            "resultProviderMetadata": { "p": 1 } }])
    );
    let mut reducer = reduced(start);
    reducer
        .extend(chunks(json!([{ "type": "tool-output-available", "toolCallId": "c", "output": null }])))
        .unwrap();
    assert_eq!(parts_json(reducer.parts())[0]["output"], Value::Null);
    assert!(tool(&reducer, 0).has_ended());
}

#[test]
fn a_question_and_its_answer_meet_by_their_id() {
    let mut reducer = reduced(json!([
        { "type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": {} },
        { "type": "tool-approval-request", "approvalId": "a", "toolCallId": "c", "isAutomatic": true, "signature": "s" }
    ]));
    assert_eq!(tool(&reducer, 0).state, ToolState::ApprovalRequested);
    let answer =
        json!([{ "type": "tool-approval-response", "approvalId": "a", "approved": false, "reason": "no" }]);
    reducer.extend(chunks(answer)).unwrap();
    assert_eq!(tool(&reducer, 0).state, ToolState::ApprovalResponded);
    reducer.extend(chunks(json!([{ "type": "tool-output-denied", "toolCallId": "c" }]))).unwrap();
    assert_eq!(
        parts_json(reducer.parts())[0],
        json!({ "type": "tool-n", "toolCallId": "c", "state": "output-denied", "input": {},
            "approval": { "id": "a", "approved": false, "reason": "no", "isAutomatic": true, "signature": "s" } })
    );
}

#[test]
fn data_of_the_same_type_and_id_is_replaced_and_transient_data_is_not_kept() {
    let reducer = reduced(json!([
        { "type": "data-weather", "id": "1", "data": "rain" },
        { "type": "data-weather", "data": "fog" },
        { "type": "data-progress", "id": "1", "data": 50, "transient": true },
        { "type": "data-place", "id": "1", "data": "here" },
        { "type": "data-weather", "id": "1", "data": "sun" }
    ]));
    assert_eq!(
        parts_json(reducer.parts()),
        json!([
            { "type": "data-weather", "id": "1", "data": "sun" },
            { "type": "data-weather", "data": "fog" },
            { "type": "data-place", "id": "1", "data": "here" }
        ])
    );
}

#[test]
fn a_file_keeps_its_name() {
    let file =
        json!({ "type": "file", "url": "https://a/b", "mediaType": "text/plain", "filename": "b.txt" });
    assert_eq!(parts_json(reduced(json!([file])).parts()), json!([file]));
}

#[test]
fn a_step_that_is_made_again_starts_anew() {
    let first = json!([
        { "type": "start-step" },
        { "type": "text-start", "id": "0" }, { "type": "text-delta", "id": "0", "delta": "kept" },
        { "type": "tool-input-available", "toolCallId": "old", "toolName": "n", "input": {} },
        { "type": "data-d", "id": "0", "data": 0 },
        { "type": "finish-step" }
    ]);
    let dead = json!([
        { "type": "start-step" },
        { "type": "text-start", "id": "0" }, { "type": "text-delta", "id": "0", "delta": "dead" },
        { "type": "tool-input-start", "toolCallId": "c", "toolName": "n" },
        { "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{\"dead\":" },
        { "type": "tool-input-available", "toolCallId": "q", "toolName": "n", "input": {} },
        { "type": "tool-approval-request", "approvalId": "a", "toolCallId": "q" },
        { "type": "data-d", "id": "1", "data": "dead" }
    ]);
    let again = json!([
        { "type": "text-start", "id": "0" }, { "type": "text-delta", "id": "0", "delta": "alive" },
        { "type": "tool-input-start", "toolCallId": "c", "toolName": "n" },
        { "type": "tool-input-delta", "toolCallId": "c", "inputTextDelta": "{}" },
        { "type": "data-d", "id": "1", "data": "alive" },
        { "type": "tool-output-available", "toolCallId": "old", "output": "late" }
    ]);
    let mut straight = reduced(first.clone());
    straight.extend(chunks(json!([{ "type": "start-step" }]))).unwrap();
    straight.extend(chunks(again.clone())).unwrap();

    let mut cut = reduced(first.clone());
    cut.extend(chunks(dead)).unwrap();
    cut.push(UiChunk::restart_step(2)).unwrap();
    assert_eq!(cut.parts().len(), 5);
    let mut late = cut.clone();
    assert!(late.extend(chunks(json!([{ "type": "text-delta", "id": "0", "delta": "late" }]))).is_err());
    cut.extend(chunks(again)).unwrap();
    assert_eq!(cut.parts(), straight.parts());

    let mut complete = reduced(first);
    let parts = complete.parts().to_vec();
    complete.push(UiChunk::restart_step(2)).unwrap();
    assert_eq!(complete.parts(), parts, "a step that is complete is not made again");
}

#[test]
fn a_long_text_costs_what_it_adds() {
    const DELTAS: usize = 200_000;
    let mut reducer = reduced(json!([
        { "type": "text-start", "id": "first" },
        { "type": "text-delta", "id": "first", "delta": "a text in front of it that nobody touches" },
        { "type": "text-start", "id": "t" }
    ]));
    let text = |reducer: &Reducer, index: usize| match &reducer.parts()[index] {
        UiPart::Text(part) => (part.text.as_ptr(), part.text.len(), part.text.capacity()),
        _ => panic!("it is a text"),
    };
    let untouched = text(&reducer, 0);
    let mut copies = 0;
    for _ in 0..DELTAS {
        let capacity = text(&reducer, 1).2;
        let (id, delta) = ("t".to_owned(), "word ".to_owned());
        reducer.push(UiChunk::TextDelta { id, delta, provider_metadata: None }).unwrap();
        copies += usize::from(text(&reducer, 1).2 != capacity);
    }
    assert_eq!(text(&reducer, 1).1, 5 * DELTAS);
    assert!(copies <= 24, "the text was moved {copies} times");
    assert_eq!(text(&reducer, 0), untouched);
}

#[test]
fn long_arguments_are_read_once() {
    let mut reducer =
        reduced(json!([{ "type": "tool-input-start", "toolCallId": "c", "toolName": "write" }]));
    let mut push = |delta: &str| {
        let (tool_call_id, input_text_delta) = ("c".to_owned(), delta.to_owned());
        reducer.push(UiChunk::ToolInputDelta { tool_call_id, input_text_delta }).unwrap();
    };
    // Read at each closing bracket, two megabytes would be read a hundred thousand times.
    push("[");
    (0..100_000).for_each(|_| push(r#"{"text":"line\n"},"#));
    push("{}]");
    assert_eq!(tool(&reducer, 0).input.as_ref().unwrap().as_array().unwrap().len(), 100_001);
}
