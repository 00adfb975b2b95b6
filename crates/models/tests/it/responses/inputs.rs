//! What users and tools say, as input items.

use loomwork_models::{
    Data, ErrorKind, File, Image, Message, OutputItem, Part, Role, ToolOutput, ToolResult,
};
use loomwork_testkit::provider::FakeProvider;
use loomwork_testkit::soon;
use serde_json::{Map, Value, json};

use super::{input, once, openai};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Returns the parts that a user's part becomes.
async fn user_part(part: Part) -> Value {
    input([Message::new(Role::User, [part])]).await[0]["content"][0].clone()
}

fn id_at(provider: &str, id: &str) -> Data {
    Data::Reference(Map::from_iter([(provider.to_owned(), json!(id))]))
}

fn file(data: Data, media_type: &str, filename: Option<&str>) -> Part {
    let mut part = Part::file(data, media_type);
    if let Part::File(File { filename: name, .. }) = &mut part {
        *name = filename.map(str::to_owned);
    }
    part
}

#[tokio::test]
async fn images_are_addresses_data_or_ids() {
    assert_eq!(
        user_part(Part::image_url("https://example.com/a.png")).await,
        json!({ "type": "input_image", "image_url": "https://example.com/a.png" })
    );
    assert_eq!(
        user_part(Part::image(PNG)).await,
        json!({ "type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=" })
    );
    let image = Image { data: id_at("openai", "file_1"), media_type: None, extras: Default::default() };
    assert_eq!(user_part(Part::Image(image)).await, json!({ "type": "input_image", "file_id": "file_1" }));
    let mut detailed = Part::image_url("https://example.com/a.png");
    let options = &mut detailed.extras_mut().unwrap().provider_options;
    options.insert("openai".to_owned(), json!({ "detail": "low" }));
    assert_eq!(user_part(detailed).await["detail"], "low");
}

#[tokio::test]
async fn files_are_addresses_data_or_ids_and_sounds_are_audio() {
    let pdf = || Data::from(b"%PDF-1.7".as_slice());
    assert_eq!(
        user_part(file(pdf(), "application/pdf", Some("loom.pdf"))).await,
        json!({ "type": "input_file", "filename": "loom.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjc=" })
    );
    assert_eq!(user_part(file(pdf(), "application/pdf", None)).await["filename"], "file.pdf");
    assert_eq!(
        user_part(file(Data::Url("https://example.com/a.pdf".to_owned()), "application/pdf", None)).await,
        json!({ "type": "input_file", "file_url": "https://example.com/a.pdf" })
    );
    assert_eq!(
        user_part(file(id_at("openai", "file_1"), "application/pdf", None)).await,
        json!({ "type": "input_file", "file_id": "file_1" })
    );
    let sound = Data::from(b"ID3\x03".as_slice());
    assert_eq!(
        user_part(file(sound, "audio/mpeg", None)).await,
        json!({ "type": "input_audio", "input_audio": { "data": "SUQzAw==", "format": "mp3" } })
    );
}

#[tokio::test]
async fn a_file_of_another_provider_is_refused_before_the_call() {
    let fake = FakeProvider::start().await;
    let message = Message::new(Role::User, [file(id_at("anthropic", "file_1"), "application/pdf", None)]);
    let error = soon(openai(&fake, "gpt-5").generate(once([message]))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.message().contains("anthropic"), "{error}");
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn outputs_of_tools_are_text_or_parts() {
    let call = Part::tool_call("call_1", "look", json!({}));
    let Part::ToolCall(called) = &call else { unreachable!() };
    let image = json!({ "type": "content", "value": [{ "type": "text", "text": "Here:" }, { "type": "image-url", "url": "https://example.com/a.png" }] });
    let cases = [
        (ToolOutput::Text("seen".to_owned()), json!("seen")),
        (ToolOutput::Json(json!({ "a": 1 })), json!("{\"a\":1}")),
        (ToolOutput::error("no eyes"), json!("no eyes")),
        (ToolOutput::Denied { reason: Some("private".to_owned()) }, json!("The call was denied: private")),
        (
            ToolOutput::from_value(image),
            json!([
                { "type": "input_text", "text": "Here:" },
                { "type": "input_image", "image_url": "https://example.com/a.png" },
            ]),
        ),
        (
            ToolOutput::Content(vec![OutputItem::text("only text")]),
            json!([{ "type": "input_text", "text": "only text" }]),
        ),
    ];
    for (output, expected) in cases {
        let messages = [
            Message::user("Hello"),
            Message::new(Role::Assistant, [call.clone()]),
            Message::tool([ToolResult::new(called, output)]),
        ];
        let items = input(messages).await;
        assert_eq!(
            items[2],
            json!({ "type": "function_call_output", "call_id": "call_1", "output": expected })
        );
    }
}

#[tokio::test]
async fn a_call_without_a_result_gets_one_that_says_so() {
    let messages = [
        Message::user("Hello"),
        Message::new(Role::Assistant, [Part::tool_call("call_1", "look", json!({ "at": "me" }))]),
        Message::user("Never mind."),
    ];
    let items = input(messages).await;
    assert_eq!(
        items[1],
        json!({ "type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{\"at\":\"me\"}" })
    );
    assert_eq!(items[2]["type"], "function_call_output");
    assert_eq!(items[3]["role"], "user");
}
