//! Today's spelling, what is kept of the unknown, and errors that name the field.

use loomwork_models::{Data, Message, OutputItem, Part, Role, ToolOutput, ToolResult};
use serde_json::{Value, json};

use super::{check_part, message, part, refusal};

#[test]
fn a_message_of_one_plain_text_is_a_string() {
    for role in ["system", "user", "assistant"] {
        let json = json!({ "role": role, "content": "Hello" });
        assert_eq!(serde_json::to_value(message(&json)).unwrap(), json);
    }
    let list = json!({ "role": "user", "content": [{ "type": "text", "text": "Hello" }] });
    assert_eq!(message(&list), Message::user("Hello"));
    let odd = json!({ "role": "user", "content": [{ "type": "text", "text": "Hello", "later": 1 }] });
    assert_eq!(serde_json::to_value(message(&odd)).unwrap(), odd);
}

#[test]
fn every_part_is_read_and_written_as_it_is() {
    check_part(json!({ "type": "text", "text": "Hello" }));
    check_part(json!({ "type": "image", "image": "iVBORw0KGgo=", "mediaType": "image/png" }));
    check_part(json!({ "type": "image", "image": "https://example.com/a.png" }));
    check_part(
        json!({ "type": "file", "data": "AAAA", "mediaType": "application/pdf", "filename": "a.pdf" }),
    );
    let reference =
        json!({ "type": "reference", "reference": { "openai": "file-1", "anthropic": "file_2" } });
    check_part(json!({ "type": "file", "data": reference, "mediaType": "application/pdf" }));
    check_part(json!({ "type": "reasoning", "text": "Hm." }));
    check_part(json!({ "type": "reasoning-file", "data": "AAAA", "mediaType": "image/png" }));
    check_part(json!({ "type": "redacted-reasoning", "data": "xyz" }));
    check_part(json!({ "type": "custom", "kind": "openai.compaction" }));
    check_part(
        json!({ "type": "source", "id": "s", "sourceType": "url", "url": "https://a.b", "title": "A" }),
    );
    check_part(json!({
        "type": "source", "id": "s", "sourceType": "document", "mediaType": "text/plain", "filename": "a.txt",
    }));
    check_part(json!({
        "type": "tool-call", "toolCallId": "1", "toolName": "t", "input": { "a": [1, null] }, "invalid": "no",
        "providerExecuted": true, "title": "T", "toolMetadata": { "b": 2 },
    }));
    check_part(json!({
        "type": "tool-result", "toolCallId": "1", "toolName": "t", "output": { "type": "json", "value": null },
        "providerExecuted": true,
    }));
    check_part(json!({
        "type": "tool-approval-request", "approvalId": "a", "toolCallId": "1", "isAutomatic": true,
        "signature": "s",
    }));
    check_part(json!({
        "type": "tool-approval-response", "approvalId": "a", "approved": false, "reason": "no",
        "providerExecuted": true,
    }));
}

#[test]
fn every_output_is_read_and_written_as_it_is() {
    let data =
        |data: Value| json!({ "type": "file", "data": data, "mediaType": "image/png", "filename": "a" });
    for output in [
        json!({ "type": "text", "value": "a" }),
        json!({ "type": "json", "value": { "type": "text" } }),
        json!({ "type": "error-text", "value": "a" }),
        json!({ "type": "error-json", "value": [1] }),
        json!({ "type": "execution-denied" }),
        json!({ "type": "execution-denied", "reason": "no" }),
        json!({ "type": "content", "value": [
            { "type": "text", "text": "a", "providerOptions": { "p": { "k": 1 } } },
            data(json!({ "type": "data", "data": "AAAA" })),
            data(json!({ "type": "url", "url": "https://a.b/c" })),
            data(json!({ "type": "reference", "reference": { "p": "1" } })),
            { "type": "custom", "providerOptions": { "p": { "k": 1 } }, "later": true },
        ] }),
    ] {
        let read: ToolOutput = serde_json::from_value(output.clone()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), output);
    }
}

#[test]
fn bags_and_unknown_fields_are_kept_on_every_part() {
    for fields in [
        json!({ "type": "text", "text": "a" }),
        json!({ "type": "image", "image": "https://a.b/c" }),
        json!({ "type": "reasoning", "text": "a" }),
        json!({ "type": "tool-call", "toolCallId": "1", "toolName": "t", "input": {} }),
        json!({ "type": "tool-result", "toolCallId": "1", "toolName": "t", "output": { "type": "text", "value": "" } }),
        json!({ "type": "tool-approval-request", "approvalId": "a", "toolCallId": "1" }),
        json!({ "type": "tool-approval-response", "approvalId": "a", "approved": true }),
        json!({ "type": "source", "id": "s", "sourceType": "url", "url": "u" }),
        json!({ "type": "custom", "kind": "a.b" }),
    ] {
        let mut fields = fields;
        fields["providerOptions"] = json!({ "openai": { "detail": "low" } });
        fields["providerMetadata"] = json!({ "anthropic": { "signature": "s" } });
        fields["later"] = json!({ "deep": [1, 2.5, "x"] });
        check_part(fields);
    }
    let whole = json!({ "role": "user", "content": "a", "providerOptions": { "p": {} }, "later": [1] });
    assert_eq!(serde_json::to_value(message(&whole)).unwrap(), whole);
}

#[test]
fn parts_of_unknown_types_are_kept_whole() {
    let later = json!({ "type": "hologram", "beam": { "angle": 0.1 }, "providerOptions": { "p": 1 } });
    assert!(matches!(part(&later), Part::Unknown(_)));
    assert_eq!((part(&later).type_name(), serde_json::to_value(part(&later)).unwrap()), ("hologram", later));
}

#[test]
fn a_value_of_a_type_that_a_field_cannot_have_is_kept() {
    let odd = json!({ "type": "text", "text": "a", "providerOptions": [1] });
    assert_eq!(serde_json::to_value(part(&odd)).unwrap(), odd);
    let odd = json!({ "type": "tool-call", "toolCallId": "1", "toolName": "t", "input": {}, "title": 7 });
    assert_eq!(serde_json::to_value(part(&odd)).unwrap(), odd);
    let odd = json!({
        "type": "tool-call", "toolCallId": "1", "toolName": "t", "input": {}, "providerExecuted": "yes",
    });
    assert_eq!(serde_json::to_value(part(&odd)).unwrap(), odd);
}

#[test]
fn any_value_is_an_output() {
    for (value, output) in [
        (json!("sunny"), ToolOutput::Text("sunny".to_owned())),
        (json!(null), ToolOutput::Json(json!(null))),
        (json!([1]), ToolOutput::Json(json!([1]))),
        (
            json!({ "type": "weather", "value": 1 }),
            ToolOutput::Json(json!({ "type": "weather", "value": 1 })),
        ),
        (json!({ "type": "text", "value": 1 }), ToolOutput::Json(json!({ "type": "text", "value": 1 }))),
        (json!({ "type": "text", "value": "a" }), ToolOutput::Text("a".to_owned())),
        (json!({ "type": "execution-denied", "reason": null }), ToolOutput::Denied { reason: None }),
        (json!({ "type": "content", "value": [] }), ToolOutput::Content(Vec::new())),
        (
            json!({ "type": "content", "value": [{ "type": "later" }] }),
            ToolOutput::Json(json!({ "type": "content", "value": [{ "type": "later" }] })),
        ),
    ] {
        assert_eq!(ToolOutput::from_value(value), output);
    }
}

#[test]
fn an_output_that_says_too_much_is_a_value() {
    // A weather report may well have a `type` and a `value`, and more.
    let report = json!({ "type": "text", "value": "sunny", "degrees": 20 });
    assert_eq!(ToolOutput::from_value(report.clone()), ToolOutput::Json(report));
}

#[test]
fn outputs_are_shown_as_text() {
    let file = OutputItem::File {
        data: vec![0].into(),
        media_type: "image/png".to_owned(),
        filename: Some("a.png".to_owned()),
        extras: loomwork_models::Extras::default(),
    };
    for (output, text) in [
        (ToolOutput::from("a"), "a"),
        (ToolOutput::Json(json!({ "a": 1 })), r#"{"a":1}"#),
        (ToolOutput::Denied { reason: None }, "The call was denied."),
        (ToolOutput::Denied { reason: Some("dear".to_owned()) }, "The call was denied: dear"),
        (ToolOutput::Content(vec![OutputItem::text("a"), file]), "a\n[a.png, image/png]"),
    ] {
        assert_eq!(output.to_text(), text);
    }
}

#[test]
fn errors_name_the_field_and_its_place() {
    for (json, error) in [
        (json!({ "content": "a" }), "a message lacks its `role`"),
        (
            json!({ "role": "robot", "content": "a" }),
            "`role` is system, user, assistant or tool, not `robot`",
        ),
        (json!({ "role": "user" }), "a user message lacks its `content`"),
        (json!({ "role": "user", "content": 1 }), "the `content` of a user message is a string or a list"),
        (json!({ "role": "user", "content": [1] }), "part 0 of a user message is no object"),
        (json!({ "role": "user", "content": [{}] }), "part 0: a part lacks its `type`"),
        (
            json!({ "role": "user", "content": [{ "type": "text" }] }),
            "part 0: a part of type `text` lacks its `text`",
        ),
        (
            json!({ "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": 1 }] }),
            "part 1: the `text` of a part of type `text` is a string",
        ),
        (
            json!({ "role": "user", "content": [{ "type": "file", "data": "AAAA" }] }),
            "part 0: a part of type `file` lacks its `mediaType`",
        ),
        (
            json!({ "role": "user", "content": [{ "type": "image", "image": "not base64!" }] }),
            "part 0: the `image` of a part of type `image` is an address, base64 or a reference",
        ),
        (
            json!({ "role": "assistant", "content": [{ "type": "source", "id": "s", "sourceType": "film" }] }),
            "a source's `sourceType` is url or document, not `film`",
        ),
        (
            json!({ "role": "tool", "content": [{ "type": "tool-approval-response", "approvalId": "a" }] }),
            "a part of type `tool-approval-response` lacks its `approved`",
        ),
    ] {
        let refusal = refusal(json);
        assert!(refusal.contains(error), "{refusal:?} should say {error:?}");
    }
}

#[test]
fn invalid_base64_is_refused_and_every_alphabet_is_read() {
    for (text, is_read) in [
        ("AAECAw==", true),
        ("AAECAw", true),
        ("-_-_", true),
        ("+/+/", true),
        (" AAECAw== \n", true),
        ("AAECAw=", false),
        ("A", false),
        ("AA*A", false),
        ("ÄÄÄÄ", false),
    ] {
        let json = json!({ "type": "image", "image": text });
        assert_eq!(serde_json::from_value::<Part>(json).is_ok(), is_read, "{text}");
    }
}

#[test]
fn helpers_build_what_is_read() {
    let call = part(&json!({ "type": "tool-call", "toolCallId": "1", "toolName": "t", "input": { "a": 1 } }));
    assert_eq!(call, Part::tool_call("1", "t", json!({ "a": 1 })));
    let Part::ToolCall(call) = call else { unreachable!() };
    let result = ToolResult::new(&call, "sunny");
    let message = Message::tool([result.clone()]);
    assert_eq!((message.role, message.tool_results().collect::<Vec<_>>()), (Role::Tool, vec![&result]));
}

#[test]
fn any_address_is_read_back_as_the_address_that_it_is() {
    for url in ["https://example.com/a", "data:image/png;base64,AAEC", "urn:isbn:1", "AAEC", ""] {
        let part = Part::file(Data::Url(url.to_owned()), "text/plain");
        let json = serde_json::to_value(&part).unwrap();
        assert_eq!(serde_json::from_value::<Part>(json).unwrap(), part, "{url:?}");
    }
}
