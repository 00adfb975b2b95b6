use loomwork_messages::{UiMessage, UiPart};
use serde_json::{Value, json};

use super::{assistant, call, message_id, run, thread};

fn part(json: Value) -> Result<UiPart, serde_json::Error> {
    serde_json::from_value(json)
}

#[test]
fn parts_are_read_and_written_as_clients_spell_them() {
    let parts = json!([
        { "type": "text", "text": "hi", "state": "done", "providerMetadata": { "p": { "a": 1 } } },
        { "type": "text", "text": "hi" },
        { "type": "reasoning", "text": "hm", "state": "streaming" },
        { "type": "tool-search", "toolCallId": "c", "state": "input-streaming" },
        { "type": "tool-search", "toolCallId": "c", "state": "output-available", "title": "T", "toolMetadata": { "m": 1 },
            "providerExecuted": true, "input": null, "output": null, "preliminary": true,
            "approval": { "id": "a", "approved": true, "reason": "so", "isAutomatic": true, "signature": "s" },
            "callProviderMetadata": { "p": { "a": 1 } }, "resultProviderMetadata": { "p": { "b": 1 } } },
        { "type": "tool-search", "toolCallId": "c", "state": "output-error", "rawInput": "{", "errorText": "no" },
        { "type": "dynamic-tool", "toolName": "search", "toolCallId": "c", "state": "output-denied", "input": {},
            "approval": { "id": "a", "approved": false } },
        { "type": "source-url", "sourceId": "s", "url": "https://a/b", "title": "B" },
        { "type": "source-document", "sourceId": "s", "mediaType": "text/plain", "title": "D", "filename": "d.txt" },
        { "type": "file", "url": "https://a/b", "mediaType": "text/plain", "filename": "b.txt" },
        { "type": "file", "url": "", "mediaType": "text/plain", "providerReference": { "p": "f1" } },
        { "type": "reasoning-file", "url": "https://a/b", "mediaType": "image/png" },
        { "type": "custom", "kind": "p.k" },
        { "type": "step-start" },
        { "type": "data-weather", "id": "d", "data": { "sun": true } },
        { "type": "of-another-time", "what": ["ever"] }
    ]);
    let read: Vec<UiPart> = serde_json::from_value(parts.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), parts);
    let unknown = read.iter().filter(|part| matches!(part, UiPart::Unknown(_))).count();
    assert_eq!(unknown, 1);
    assert_eq!(read[4].as_tool().unwrap().output, Some(Value::Null), "null is an output");
}

#[test]
fn a_part_that_cannot_be_read_is_named() {
    for (json, text) in [
        (json!({ "text": "hi" }), "a part is an object whose `type` is a string"),
        (json!({ "type": "text" }), "a part of type `text`: missing field `text`"),
        (json!({ "type": "file", "url": "https://a/b" }), "a part of type `file`: missing field `mediaType`"),
        (json!({ "type": "tool-search", "state": "input-streaming" }), "missing field `toolCallId`"),
        (json!({ "type": "tool-search", "toolCallId": "c", "state": "odd" }), "unknown variant `odd`"),
        (
            json!({ "type": "dynamic-tool", "toolCallId": "c", "state": "input-streaming" }),
            "it lacks its `toolName`",
        ),
        (json!({ "type": "data-weather" }), "missing field `data`"),
    ] {
        let error = part(json).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

#[test]
fn a_message_has_the_fields_that_clients_read() {
    let mut row = assistant(1, 2, json!([call("c")]));
    row.run = Some(run(9));
    (row.model, row.provider) = (Some("m".to_owned()), Some("p".to_owned()));
    row.usage = Some(serde_json::from_value(json!({ "inputFresh": 1, "outputText": 2 })).unwrap());
    row.finish_reason = Some(loomwork_models::FinishReason::ToolCalls);
    row.error = Some(loomwork_messages::Failure::new("timeout", "too late"));
    row.status = loomwork_messages::MessageStatus::Failed;
    row.metadata.insert("a".to_owned(), json!(1));
    let message = UiMessage::group(&[row]).remove(0);
    let json = serde_json::to_value(&message).unwrap();
    assert_eq!(
        json,
        json!({
            "id": message_id(1, 2), "key": format!("{}-1-2", thread()), "threadId": thread(), "role": "assistant",
            "parts": [{ "type": "step-start" },
                { "type": "tool-search", "toolCallId": "c", "state": "input-available", "input": { "q": "c" } }],
            "metadata": { "a": 1 }, "order": 1, "stepOrder": 2, "status": "failed", "agentName": "bot",
            "userId": "ann", "runId": run(9), "text": "", "creationTime": 1002, "model": "m", "provider": "p",
            "usage": { "inputFresh": 1, "outputText": 2 }, "finishReason": "tool_calls",
            "error": { "code": "timeout", "message": "too late" }
        })
    );
    assert_eq!(serde_json::from_value::<UiMessage>(json).unwrap(), message);
}
