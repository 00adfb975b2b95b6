//! The models for tests.

use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, Random, Time};
use loomwork_models::{
    Chunk, Data, EmbedRequest, EmbeddingModel as _, Error, ErrorKind, FinishReason, Gate, ImageModel as _,
    ImageRequest, LanguageModel as _, Message, MockEmbeddings, MockImages, MockModel, MockReply, Part,
    Request, Settings, Usage,
};
use loomwork_testkit::soon;
use serde_json::json;

fn request(text: &str) -> Request {
    Request::new([Message::user(text)])
}

fn overloaded() -> Error {
    Error::new(ErrorKind::Overloaded, "mock", "mock", "too many weavers")
}

#[tokio::test]
async fn each_call_gets_its_reply_and_one_more_is_an_error() {
    let model = MockModel::new(["one", "two"]);
    model.push("three");
    for text in ["one", "two", "three"] {
        assert_eq!(model.generate(request(text)).await.expect("a reply").text(), text);
    }
    let error = model.generate(request("four")).await.expect_err("no more");
    assert_eq!(error.message(), "the script is for 3 calls, and this is one more");
    let asked: Vec<String> = model.requests().iter().map(|request| request.messages[0].text()).collect();
    assert_eq!(asked, ["one", "two", "three", "four"]);
}

#[tokio::test]
async fn a_reply_comes_word_by_word_with_all_its_parts_and_its_usage() {
    let reply = MockReply::default()
        .reasoning("a greeting")
        .text("Hello there, weaver")
        .tool_call("call_1", "weave", json!({ "threads": 12 }))
        .part(Part::text("whole"));
    let model = MockModel::always(reply.clone()).with_name("lyon", "loom-1");
    let chunks: Vec<Chunk> = model
        .stream(request("hi"))
        .await
        .expect("a stream")
        .map(|chunk| chunk.expect("no error"))
        .collect()
        .await;
    let deltas: Vec<&str> = chunks
        .iter()
        .filter_map(|chunk| match chunk {
            Chunk::PartDelta { part: 1, delta } => Some(delta.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(deltas, ["Hello ", "there, ", "weaver"]);

    let whole = model.generate(request("hi")).await.expect("a reply");
    assert_eq!((whole.info.provider.as_str(), whole.info.model.as_str()), ("lyon", "loom-1"));
    assert_eq!(whole.finish.reason, FinishReason::ToolCalls);
    assert_eq!(whole.usage(), &Usage { input_fresh: 3, output_text: 10, ..Usage::default() });
    assert_eq!(whole.tool_calls().next().map(|call| call.input.clone()), Some(json!({ "threads": 12 })));

    let refused = MockModel::always(reply.with_finish(FinishReason::Refusal).with_usage(Usage::default()));
    let refused = refused.generate(request("hi")).await.expect("a reply");
    assert_eq!(refused.finish.reason, FinishReason::Refusal);
    assert!(refused.usage().is_empty());
}

#[tokio::test]
async fn it_fails_where_the_script_says() {
    let at_once = MockModel::always(overloaded());
    let error = at_once.generate(request("hi")).await.expect_err("too many");
    assert!(error.kind() == &ErrorKind::Overloaded && error.partial().is_none());

    let between = MockModel::always(MockReply::from("said").fail(overloaded()));
    let error = between.generate(request("hi")).await.expect_err("too many");
    assert_eq!(error.partial().map(|reply| reply.text()).as_deref(), Some("said"));

    let within = MockReply::default().reasoning("hm").text("one two three").fail_in(1, 2, overloaded());
    let error = MockModel::always(within).generate(request("hi")).await.expect_err("too many");
    assert_eq!(error.partial().map(|reply| reply.text()).as_deref(), Some("one two "));

    let nowhere = MockModel::always(MockReply::from("one").fail_in(7, 0, overloaded()));
    let error = nowhere.generate(request("hi")).await.expect_err("no part 7");
    assert_eq!(error.message(), "the script shall fail in part 7, and has none of that number");
}

#[tokio::test]
async fn a_share_of_the_calls_fails_by_chance_and_takes_nothing_from_the_script() {
    let model = MockModel::new(["only"]).with_failures(1.0, Random::seeded(1), overloaded());
    assert!(model.generate(request("hi")).await.is_err());

    let model = MockModel::always("hi").with_failures(0.5, Random::seeded(1), overloaded());
    let mut failed = 0;
    for _ in 0..200 {
        failed += usize::from(model.generate(request("hi")).await.is_err());
    }
    assert!((60..140).contains(&failed), "{failed} of 200 calls failed");
}

#[tokio::test]
async fn it_waits_on_its_clock() {
    let manual = Clock::manual(Time::EPOCH);
    let reply = MockReply::default()
        .wait(Duration::from_secs(1))
        .text("one two")
        .with_pace(Duration::from_millis(50));
    let model = MockModel::always(reply).with_clock(manual.clock());
    let turn = async {
        for _ in 0..3 {
            manual.timers_waiting(1).await;
            manual.advance_to_next_timer();
        }
    };
    let (reply, ()) = soon(async { tokio::join!(model.generate(request("hi")), turn) }).await;
    assert_eq!(reply.expect("a reply").text(), "one two");
    assert_eq!(manual.clock().now(), Time::from_millis(1_100));
}

#[tokio::test]
async fn a_gate_stops_an_answer_until_it_is_opened() {
    let gate = Gate::new();
    let model = MockModel::always(MockReply::from("before ").gate(&gate).text("after"));
    let test = async {
        gate.reached().await;
        gate.open();
    };
    let (reply, ()) = soon(async { tokio::join!(model.generate(request("hi")), test) }).await;
    assert_eq!(reply.expect("a reply").text(), "before after");
}

#[tokio::test]
async fn a_hanging_answer_is_ended_by_its_token_and_by_its_time_out() {
    let model = MockModel::always(MockReply::from("so far").hang());
    let asked = request("hi");
    let cancel = asked.cancel.clone();
    let mut stream = model.stream(asked).await.expect("a stream");
    while !matches!(stream.next().await, Some(Ok(Chunk::PartEnd { .. }))) {}
    cancel.cancel();
    let error = soon(stream.next()).await.expect("an item").expect_err("cancelled");
    assert_eq!(error.kind(), &ErrorKind::Cancelled);
    assert!(stream.next().await.is_none());

    let manual = Clock::manual(Time::EPOCH);
    let model = model.with_clock(manual.clock());
    let timeout = Some(Duration::from_secs(5));
    let asked = request("hi").with_settings(Settings { timeout, ..Settings::default() });
    let turn = async {
        manual.timers_waiting(1).await;
        manual.advance_to_next_timer();
    };
    let (reply, ()) = soon(async { tokio::join!(model.generate(asked), turn) }).await;
    assert_eq!(reply.expect_err("too long").kind(), &ErrorKind::Timeout);
    assert_eq!(manual.clock().now(), Time::from_millis(5_000));
}

#[tokio::test]
async fn answers_that_are_dropped_are_counted() {
    let model = MockModel::always("one two");
    let mut stream = model.stream(request("hi")).await.expect("a stream");
    assert!(stream.next().await.is_some());
    drop(stream);
    assert_eq!(model.dropped(), 1);
    model.generate(request("hi")).await.expect("a reply");
    assert_eq!(model.dropped(), 1);
}

#[tokio::test]
async fn the_embedding_mock_gives_named_vectors_fails_and_remembers() {
    let model = MockEmbeddings::new(3).with_name("lyon", "map-1").with_vector("north", [0.0, 1.0, 0.0]);
    assert_eq!((model.name().to_string().as_str(), model.dimensions()), ("lyon/map-1", Some(3)));
    model.succeed_next();
    model.fail_next(overloaded());
    let first = model.embed(EmbedRequest::new(["north", "by east"])).await.expect("vectors");
    assert_eq!(first.vectors[0], [0.0, 1.0, 0.0]);
    assert_eq!((first.vectors[1].len(), first.usage.embedding), (3, 3));
    assert!(model.embed(EmbedRequest::new(["north"])).await.is_err());
    assert!(model.embed(EmbedRequest::new(["north"])).await.is_ok());
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn the_embedding_mock_waits_where_it_is_told_to() {
    let (gate, manual) = (Gate::new(), Clock::manual(Time::EPOCH));
    let model = MockEmbeddings::new(3).with_gate(&gate).with_wait(manual.clock(), Duration::from_secs(2));
    let test = async {
        gate.reached().await;
        gate.open();
        manual.timers_waiting(1).await;
        manual.advance_to_next_timer();
    };
    let (vectors, ()) = soon(async { tokio::join!(model.embed(EmbedRequest::new(["north"])), test) }).await;
    assert!(vectors.is_ok());
    assert_eq!(manual.clock().now(), Time::from_millis(2_000));
}

#[tokio::test]
async fn the_image_mock_gives_its_image_fails_and_remembers() {
    let model = MockImages::new(Data::from(b"\x89PNG\r\n\x1a\n".as_slice()));
    let asked = ImageRequest { prompt: "a bird".into(), count: 2, ..ImageRequest::default() };
    let images = model.generate(asked.clone()).await.expect("images");
    assert_eq!((images.images.len(), images.usage.images), (2, 2));
    assert_eq!(images.images[0].media_type.as_deref(), Some("image/png"));
    model.fail_next(overloaded());
    assert!(model.generate(asked).await.is_err());
    assert_eq!(model.requests().len(), 2);
}
