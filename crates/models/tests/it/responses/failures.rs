//! What goes wrong between a client and a server of Responses.

use futures_util::StreamExt as _;
use loomwork_models::{Error, ErrorKind, Message, Part, ToolChoice, ToolSpec};
use loomwork_testkit::provider::{Failure, FakeProvider, Gate, Reply, Split};
use loomwork_testkit::soon;
use serde_json::json;

use super::{events, hello, once, openai, streamed, whole};

async fn refused(failure: Failure) -> Error {
    let error = streamed(failure).await.expect_err("the provider refuses");
    assert_eq!((error.provider(), error.model()), ("openai", "gpt-5"));
    error
}

#[tokio::test]
async fn refusals_of_a_server_become_typed_errors() {
    let error = refused(Failure::status(401)).await;
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Auth, false));
    let error = refused(Failure::status(404)).await;
    assert_eq!((error.kind(), error.code()), (&ErrorKind::NotFound, Some("model_not_found")));
    let error = refused(Failure::context_too_long()).await;
    assert_eq!(error.kind(), &ErrorKind::ContextTooLong);
    let error = refused(Failure::status(429).code("insufficient_quota")).await;
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Quota, false));
    let error = refused(Failure::status(503)).await;
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Overloaded, true));
}

#[tokio::test]
async fn an_image_type_that_the_server_refuses_is_a_bad_request() {
    let fake = FakeProvider::start().await;
    let image = Part::image_url("https://example.com/picture.tiff");
    let message = Message::new(loomwork_models::Role::User, [Part::text("What is this?"), image]);
    fake.reply(Failure::status(400).code("invalid_image_format").message("unsupported image: image/tiff"));
    let error = soon(openai(&fake, "gpt-5").generate(once([message]))).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (&ErrorKind::BadRequest, Some("invalid_image_format")));
    assert!(error.to_string().contains("image/tiff"), "{error}");
}

#[tokio::test]
async fn an_image_type_that_the_protocol_does_not_know_is_refused_before_the_call() {
    let fake = FakeProvider::start().await;
    let tiff = Part::image(b"II*\0 and so on".to_vec());
    let message = Message::new(loomwork_models::Role::User, [tiff]);
    let error = soon(openai(&fake, "gpt-5").generate(once([message]))).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.to_string().contains("image/tiff"), "{error}");
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn what_is_no_response_is_a_protocol_error() {
    for body in [json!({ "hello": "world" }), json!([1, 2]), json!("text")] {
        let error = whole(Reply::json(&body)).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Protocol, "{body}: {error}");
    }
    let error = whole(Reply::raw(200, "text/html", "<html><title>Welcome</title></html>")).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Protocol);
    assert!(error.message().contains("Welcome"), "{error}");
    let page = Reply::raw(502, "text/html", "<html><title>Bad gateway</title></html>");
    let error = streamed(page).await.unwrap_err();
    assert_eq!((error.kind(), error.status()), (&ErrorKind::Overloaded, Some(502)));
}

#[tokio::test]
async fn an_error_object_with_status_200_is_that_error() {
    let body = json!({ "error": { "message": "no credit", "type": "insufficient_quota", "code": "insufficient_quota", "param": null } });
    let error = whole(Reply::json(&body)).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (&ErrorKind::Quota, "no credit"));
    let error = streamed(Reply::sse([format!("data: {body}\n\n")])).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (&ErrorKind::Quota, "no credit"));
}

#[tokio::test]
async fn malformed_events_are_protocol_errors() {
    let no_json = Reply::new().text("Hello").insert_after(3, "data: {\"type\": \n\n");
    let error = streamed(no_json).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Protocol, "{error}");
    let call = json!({ "type": "response.output_item.added", "output_index": 0, "item": { "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather" } });
    let text = json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "Hi" });
    let error = streamed(events([call, text])).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Protocol, "{error}");
    assert!(error.message().contains("function_call"), "{error}");
    let without_item = json!({ "type": "response.output_item.added", "output_index": 0 });
    assert_eq!(streamed(events([without_item])).await.unwrap_err().kind(), &ErrorKind::Protocol);
}

#[tokio::test]
async fn a_stream_that_ends_early_is_interrupted_and_keeps_what_came() {
    let reply = || Reply::new().text("One two three four");
    for cut in [reply().ends_after(6), reply().cut_after(6)] {
        let error = streamed(cut).await.unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::Interrupted, "{error}");
        assert_eq!(error.partial().unwrap().text(), "One two ");
    }
}

#[tokio::test]
async fn unknown_events_comments_and_any_cut_of_the_bytes_change_nothing() {
    let plain = streamed(Reply::new().text("Grüezi, 世界")).await.unwrap();
    let odd = Reply::new()
        .text("Grüezi, 世界")
        .insert_after(1, ": keep-alive\n\n")
        .insert_after(
            2,
            "event: response.new.kind\ndata: {\"type\":\"response.new.kind\",\"delta\":{\"x\":1}}\n\n",
        )
        .split(Split::Every(1));
    let odd = streamed(odd).await.unwrap();
    assert_eq!((odd.parts, odd.finish), (plain.parts, plain.finish));
}

#[tokio::test]
async fn arguments_that_are_no_json_are_kept_and_reported() {
    let reply = streamed(Reply::new().raw_tool_call("call_1", "weather", "{\"city\": ")).await.unwrap();
    let call = reply.tool_calls().next().unwrap();
    assert_eq!(call.input, "{\"city\": ");
    assert!(call.invalid.is_some());
    let items = super::input([
        Message::user("Hello"),
        Message::new(loomwork_models::Role::Assistant, reply.parts.clone()),
    ]);
    assert_eq!(items.await[1]["arguments"], "{\"city\": ");
}

#[tokio::test]
async fn a_choice_without_its_tool_is_refused_before_the_call() {
    let fake = FakeProvider::start().await;
    let tool = ToolSpec::function("weather", "", json!({ "type": "object" }));
    let choose = |name: &str| ToolChoice::Tool { name: name.to_owned() };
    let request = hello().with_tools([tool.clone()]).with_tool_choice(choose("time"));
    let error = soon(openai(&fake, "gpt-5").generate(request)).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::BadRequest);
    assert!(error.message().contains("`time`") && error.message().contains("weather"), "{error}");
    let error = soon(openai(&fake, "gpt-5").generate(hello().with_tool_choice(ToolChoice::Required))).await;
    assert_eq!(error.unwrap_err().kind(), &ErrorKind::BadRequest);
    let open = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let ToolSpec::Function { name, description, provider_options, .. } = tool else { unreachable!() };
    let open =
        ToolSpec::Function { name, description, provider_options, input_schema: open, strict: Some(true) };
    let error = soon(openai(&fake, "gpt-5").generate(hello().with_tools([open]))).await.unwrap_err();
    assert!(
        error.message().contains("`weather`") && error.message().contains("additionalProperties"),
        "{error}"
    );
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn dropping_the_stream_closes_the_connection() {
    let fake = FakeProvider::start().await;
    let gate = Gate::new();
    fake.reply(Reply::new().text("One two three").gated(&gate));
    for _ in 0..6 {
        gate.step();
    }
    let mut stream = soon(openai(&fake, "gpt-5").stream(hello())).await.unwrap();
    assert!(soon(stream.next()).await.unwrap().is_ok());
    drop(stream);
    assert_eq!(soon(fake.dropped()).await.body["model"], "gpt-5");
}

#[tokio::test]
async fn the_requests_token_ends_the_stream() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().text("One two three").hangs_after(6));
    let request = hello();
    let cancel = request.cancel.clone();
    let mut stream = soon(openai(&fake, "gpt-5").stream(request)).await.unwrap();
    assert!(soon(stream.next()).await.unwrap().is_ok());
    cancel.cancel();
    let error = soon(async {
        loop {
            if let Err(error) = stream.next().await.unwrap() {
                break error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), &ErrorKind::Cancelled);
    soon(fake.dropped()).await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_says_what_it_used_as_an_estimate() {
    let answer = || Reply::new().text("One two three four");
    for reply in [answer().cut_after(7), answer().ends_after(7)] {
        let error = streamed(reply).await.unwrap_err();
        let usage = error.usage().unwrap();
        assert!(usage.estimated && usage.input() > 0 && usage.output() >= 2, "{usage:?}");
        assert_eq!(error.partial().unwrap().usage(), usage);
    }
    for reply in [Failure::status(503).into(), Reply::json(&json!({ "hello": "world" }))] {
        assert_eq!(streamed(reply).await.unwrap_err().usage(), None);
    }
}
