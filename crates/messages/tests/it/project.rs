#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

use loomwork_messages::{StepMessages, UiPart, file_urls};
use loomwork_models::{FinishReason, Message};
use serde_json::{Value, json};

use crate::ui::reduced;

fn steps(chunks: Value) -> Vec<StepMessages> {
    StepMessages::from_parts(reduced(chunks).into_parts())
}

fn messages(chunks: Value) -> Value {
    let messages: Vec<Message> = steps(chunks).into_iter().flat_map(StepMessages::into_messages).collect();
    serde_json::to_value(messages).unwrap()
}

fn call(id: &str) -> Value {
    json!({ "type": "tool-input-available", "toolCallId": id, "toolName": "n", "input": { "id": id } })
}

fn stored_call(id: &str) -> Value {
    json!({ "type": "tool-call", "toolCallId": id, "toolName": "n", "input": { "id": id } })
}

#[test]
fn each_step_is_a_message_of_the_model_and_one_of_results_if_there_are_any() {
    let chunks = json!([
        { "type": "start-step" },
        { "type": "reasoning-start", "id": "r", "providerMetadata": { "p": { "signature": "s" } } },
        { "type": "reasoning-delta", "id": "r", "delta": "hm" },
        { "type": "text-start", "id": "t" }, { "type": "text-delta", "id": "t", "delta": "I look." },
        call("c"),
        { "type": "finish-step" },
        { "type": "tool-output-available", "toolCallId": "c", "output": "found" },
        { "type": "start-step" },
        { "type": "source-url", "sourceId": "s", "url": "https://a/b", "title": "B" },
        { "type": "text-start", "id": "t" }, { "type": "text-delta", "id": "t", "delta": "There." },
        { "type": "start-step" }
    ]);
    assert_eq!(
        messages(chunks.clone()),
        json!([
            { "role": "assistant", "content": [
                { "type": "reasoning", "text": "hm", "providerMetadata": { "p": { "signature": "s" } } },
                { "type": "text", "text": "I look." },
                stored_call("c")
            ] },
            { "role": "tool", "content": [
                { "type": "tool-result", "toolCallId": "c", "toolName": "n", "output": { "type": "text", "value": "found" } }
            ] },
            { "role": "assistant", "content": [
                { "type": "source", "id": "s", "sourceType": "url", "url": "https://a/b", "title": "B" },
                { "type": "text", "text": "There." }
            ] }
        ])
    );
    let steps = steps(chunks);
    assert_eq!(steps.len(), 3, "a step that has said nothing counts too");
    let reasons: Vec<_> = steps.iter().map(StepMessages::finish_reason).collect();
    assert_eq!(reasons, [FinishReason::ToolCalls, FinishReason::Stop, FinishReason::Stop]);
}

#[test]
fn parts_in_front_of_the_first_step_are_a_step() {
    assert_eq!(steps(json!([{ "type": "custom", "kind": "p.k" }])).len(), 1);
    assert_eq!(steps(json!([])).len(), 0);
}

#[test]
fn what_a_provider_ran_stays_with_its_call() {
    let messages = messages(json!([
        { "type": "tool-input-available", "toolCallId": "c", "toolName": "n", "input": {}, "providerExecuted": true },
        { "type": "tool-output-available", "toolCallId": "c", "output": [1], "providerExecuted": true },
        { "type": "tool-input-available", "toolCallId": "d", "toolName": "n", "input": {}, "providerExecuted": true },
        { "type": "tool-output-error", "toolCallId": "d", "errorText": "no", "providerExecuted": true }
    ]));
    assert_eq!(messages.as_array().unwrap().len(), 1);
    let kinds: Vec<_> = messages[0]["content"].as_array().unwrap().iter().map(|part| &part["type"]).collect();
    assert_eq!(kinds, ["tool-call", "tool-result", "tool-call", "tool-result"]);
    assert_eq!(messages[0]["content"][3]["output"], json!({ "type": "error-text", "value": "no" }));
}

#[test]
fn answers_come_first_and_failures_and_refusals_are_results() {
    let messages = messages(json!([
        call("ok"), call("no"), call("bad"), call("open"),
        { "type": "tool-approval-request", "approvalId": "a", "toolCallId": "ok", "signature": "s" },
        { "type": "tool-approval-request", "approvalId": "b", "toolCallId": "no", "isAutomatic": true },
        { "type": "tool-approval-request", "approvalId": "d", "toolCallId": "open" },
        { "type": "tool-approval-response", "approvalId": "a", "approved": true },
        { "type": "tool-approval-response", "approvalId": "b", "approved": false, "reason": "too late" },
        { "type": "tool-output-available", "toolCallId": "ok", "output": { "n": 1 } },
        { "type": "tool-output-error", "toolCallId": "bad", "errorText": "broken" },
        { "type": "tool-output-denied", "toolCallId": "no" }
    ]));
    assert_eq!(
        messages,
        json!([
            { "role": "assistant", "content": [
                stored_call("ok"),
                { "type": "tool-approval-request", "approvalId": "a", "toolCallId": "ok", "signature": "s" },
                stored_call("no"),
                { "type": "tool-approval-request", "approvalId": "b", "toolCallId": "no", "isAutomatic": true },
                stored_call("bad"),
                stored_call("open"),
                { "type": "tool-approval-request", "approvalId": "d", "toolCallId": "open" }
            ] },
            { "role": "tool", "content": [
                { "type": "tool-approval-response", "approvalId": "a", "approved": true },
                { "type": "tool-approval-response", "approvalId": "b", "approved": false, "reason": "too late" },
                { "type": "tool-result", "toolCallId": "ok", "toolName": "n", "output": { "type": "json", "value": { "n": 1 } } },
                { "type": "tool-result", "toolCallId": "no", "toolName": "n", "output": { "type": "execution-denied", "reason": "too late" } },
                { "type": "tool-result", "toolCallId": "bad", "toolName": "n", "output": { "type": "error-text", "value": "broken" } }
            ] }
        ])
    );
}

#[test]
fn a_call_counts_with_its_whole_arguments_and_a_result_when_no_other_follows() {
    let messages = messages(json!([
        { "type": "tool-input-start", "toolCallId": "cut", "toolName": "n" },
        { "type": "tool-input-delta", "toolCallId": "cut", "inputTextDelta": "{\"a\":" },
        call("c"),
        { "type": "tool-output-available", "toolCallId": "c", "output": "so far", "preliminary": true }
    ]));
    assert_eq!(messages, json!([{ "role": "assistant", "content": [stored_call("c")] }]));
}

#[test]
fn bad_arguments_are_kept_raw_and_answered_with_an_error() {
    let messages = messages(json!([
        { "type": "tool-input-error", "toolCallId": "c", "toolName": "n", "input": "{\"a\":", "errorText": "no JSON" }
    ]));
    assert_eq!(
        messages,
        json!([
            { "role": "assistant", "content": [
                { "type": "tool-call", "toolCallId": "c", "toolName": "n", "input": "{\"a\":", "invalid": "no JSON" }
            ] },
            { "role": "tool", "content": [
                { "type": "tool-result", "toolCallId": "c", "toolName": "n", "output": { "type": "error-text", "value": "no JSON" } }
            ] }
        ])
    );
}

#[test]
fn files_are_found_by_their_addresses_in_outputs_too() {
    let file = |url: &str| json!({ "type": "file", "url": url, "mediaType": "image/png", "filename": "f" });
    let output = json!({ "type": "content", "value": [
        { "type": "text", "text": "two" },
        { "type": "file", "data": { "type": "url", "url": "https://a/out" }, "mediaType": "image/png" }
    ] });
    let steps = steps(json!([
        file("https://a/1"), file("data:image/png;base64,AAAA"),
        { "type": "reasoning-file", "url": "https://a/2", "mediaType": "image/png" },
        call("c"),
        { "type": "tool-output-available", "toolCallId": "c", "output": output }
    ]));
    let tool = steps[0].tool.clone().unwrap();
    assert_eq!(file_urls(&steps[0].assistant), ["https://a/1", "https://a/2"]);
    assert_eq!(file_urls(&tool), ["https://a/out"]);
    assert_eq!(serde_json::to_value(&tool).unwrap()["content"][0]["output"], output, "it is kept as such");
}

#[test]
fn parts_of_all_kinds_and_an_applications_own_are_kept() {
    let parts: Vec<UiPart> = serde_json::from_value(json!([
        { "type": "text", "text": "hello", "state": "done" },
        { "type": "text", "text": "", "state": "streaming" },
        { "type": "reasoning", "text": "", "providerMetadata": { "p": { "sealed": "x" } } },
        { "type": "file", "url": "", "mediaType": "image/png", "providerReference": { "p": "file_1" } },
        { "type": "custom", "kind": "p.k", "providerMetadata": { "p": { "a": 1 } } },
        { "type": "source-document", "sourceId": "s", "mediaType": "text/plain", "title": "T", "filename": "t.txt" },
        { "type": "data-weather", "id": "d", "data": "sun" },
        { "type": "of-another-time", "what": "ever" },
        { "type": "redacted-reasoning", "data": "sealed" },
        { "type": "dynamic-tool", "toolName": "n", "toolCallId": "c", "state": "input-available", "input": {} }
    ]))
    .unwrap();
    let steps = StepMessages::from_parts(parts);
    assert_eq!(
        serde_json::to_value(&steps[0].assistant).unwrap()["content"],
        json!([
            { "type": "text", "text": "hello" },
            { "type": "reasoning", "text": "", "providerMetadata": { "p": { "sealed": "x" } } },
            { "type": "file", "data": { "type": "reference", "reference": { "p": "file_1" } }, "mediaType": "image/png" },
            { "type": "custom", "kind": "p.k", "providerMetadata": { "p": { "a": 1 } } },
            { "type": "source", "id": "s", "sourceType": "document", "mediaType": "text/plain", "filename": "t.txt", "title": "T" },
            { "type": "data-weather", "id": "d", "data": "sun" },
            { "type": "of-another-time", "what": "ever" },
            { "type": "redacted-reasoning", "data": "sealed" },
            { "type": "tool-call", "toolCallId": "c", "toolName": "n", "input": {}, "dynamic": true }
        ])
    );
}
