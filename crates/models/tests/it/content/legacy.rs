//! Older spellings.

use loomwork_models::{Data, Extras, OutputItem, Part, ToolOutput};
use serde_json::{Value, json};

use super::{check_older, part};

#[test]
fn arguments_of_calls() {
    let today =
        |input: Value| json!({ "type": "tool-call", "toolCallId": "1", "toolName": "t", "input": input });
    let older =
        |args: Value| json!({ "type": "tool-call", "toolCallId": "1", "toolName": "t", "args": args });
    check_older(older(json!({ "a": 1 })), today(json!({ "a": 1 })));
    check_older(json!({ "type": "tool-call", "toolCallId": "1", "toolName": "t" }), today(json!({})));
    let mut mirrored = older(json!({ "a": 2 }));
    mirrored["input"] = json!({ "a": 1 });
    check_older(mirrored, today(json!({ "a": 1 })));
}

#[test]
fn results_of_tools() {
    let with = |fields: Value| {
        let mut part = json!({ "type": "tool-result", "toolCallId": "1", "toolName": "t" });
        part.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
        part
    };
    for (older, output) in [
        (json!({ "result": "sunny" }), json!({ "type": "text", "value": "sunny" })),
        (
            json!({ "result": { "type": "weather" } }),
            json!({ "type": "json", "value": { "type": "weather" } }),
        ),
        (json!({ "result": "no", "isError": true }), json!({ "type": "error-text", "value": "no" })),
        (json!({ "result": [1], "isError": true }), json!({ "type": "error-json", "value": [1] })),
        (
            json!({ "result": "sunny", "isError": false, "args": {} }),
            json!({ "type": "text", "value": "sunny" }),
        ),
        (json!({}), json!({ "type": "json", "value": null })),
        (json!({ "output": "sunny" }), json!({ "type": "json", "value": "sunny" })),
        (
            json!({ "output": { "type": "text", "value": 7 } }),
            json!({ "type": "json", "value": { "type": "text", "value": 7 } }),
        ),
        (
            json!({ "result": "x", "experimental_content": [{ "type": "text", "text": "a" }] }),
            json!({ "type": "content", "value": [{ "type": "text", "text": "a" }] }),
        ),
        // An unusable list does not hide the result.
        (json!({ "result": "x", "experimental_content": 1 }), json!({ "type": "text", "value": "x" })),
    ] {
        check_older(with(older), with(json!({ "output": output })));
    }
}

#[test]
fn media_types() {
    check_older(
        json!({ "type": "file", "data": "AAAA", "mimeType": "a/b" }),
        json!({ "type": "file", "data": "AAAA", "mediaType": "a/b" }),
    );
    check_older(
        json!({ "type": "image", "image": "https://a.b", "mimeType": "image/png" }),
        json!({ "type": "image", "image": "https://a.b", "mediaType": "image/png" }),
    );
}

#[test]
fn a_signature_of_reasoning_stays_with_it() {
    let older = json!({ "type": "reasoning", "text": "Hm.", "signature": "s" });
    assert_eq!(serde_json::to_value(part(&older)).unwrap(), older);
}

#[test]
fn data_in_other_forms() {
    let read = |data: Value| match part(&json!({ "type": "file", "data": data, "mediaType": "a/b" })) {
        Part::File(file) => file.data,
        other => panic!("{other:?}"),
    };
    assert_eq!(read(json!({ "type": "data", "data": "AAEC" })), Data::from(vec![0, 1, 2]));
    assert_eq!(read(json!({ "type": "text", "text": "Grüezi" })), Data::from("Grüezi".as_bytes().to_vec()));
    assert_eq!(read(json!({ "type": "url", "url": "https://a.b" })), Data::Url("https://a.b".to_owned()));
    assert_eq!(read(json!([0, 255])), Data::from(vec![0, 255]));
    // Bytes as a runtime writes a buffer of its own.
    assert_eq!(read(json!({ "type": "Buffer", "data": [0, 255] })), Data::from(vec![0, 255]));
}

#[test]
fn items_of_outputs() {
    let file = |data: Data, media_type: &str| OutputItem::File {
        data,
        media_type: media_type.to_owned(),
        filename: None,
        extras: Extras::default(),
    };
    let id = |provider: &str, id: &str| {
        Data::Reference([(provider.to_owned(), Value::from(id))].into_iter().collect())
    };
    let url = || Data::Url("https://a.b".to_owned());
    let png = || Data::from(b"\x89PNG\r\n\x1a\n".to_vec());
    for (older, item) in [
        (json!({ "type": "media", "data": "AAAA", "mediaType": "a/b" }), file(vec![0; 3].into(), "a/b")),
        (json!({ "type": "file-data", "data": "AAAA", "mimeType": "a/b" }), file(vec![0; 3].into(), "a/b")),
        (json!({ "type": "image-data", "data": "iVBORw0KGgo=" }), file(png(), "image/png")),
        (json!({ "type": "file-url", "url": "https://a.b" }), file(url(), "application/octet-stream")),
        (json!({ "type": "image-url", "url": "https://a.b" }), file(url(), "image/*")),
        (json!({ "type": "file-id", "fileId": "f" }), file(id("openai", "f"), "application/octet-stream")),
        (json!({ "type": "image-file-id", "fileId": { "p": "f" } }), file(id("p", "f"), "image/*")),
        (
            json!({ "type": "file-reference", "reference": { "p": "f" }, "mediaType": "a/b" }),
            file(id("p", "f"), "a/b"),
        ),
        (json!({ "type": "image-file-reference", "reference": { "p": "f" } }), file(id("p", "f"), "image/*")),
        (
            json!({ "type": "file-reference", "providerReference": { "p": "f" }, "mediaType": "a/b" }),
            file(id("p", "f"), "a/b"),
        ),
    ] {
        let output = json!({ "type": "content", "value": [older] });
        assert_eq!(ToolOutput::from_value(output), ToolOutput::Content(vec![item]));
    }
}
