//! The script, the record, and how bytes travel.

use std::time::Duration;

use loomwork_testkit::provider::{
    ClosedPort, Deltas, Endpoint, Failure, FakeProvider, Gate, LineEnd, Reply, Split,
};
use loomwork_testkit::soon;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::client::{Answer, Client, get, post};

const PATH: &str = "/v1/chat/completions";

fn request() -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hi"}], "stream": true})
}

async fn ask(fake: &FakeProvider) -> Answer {
    post(fake.url(), PATH, &request()).await
}

#[tokio::test]
async fn requests_are_recorded_as_they_arrive() {
    let fake = FakeProvider::start().await;
    fake.reply("Hi");
    let mut client = Client::connect(fake.url()).await;
    client.send_json(&format!("{PATH}?api-version=1"), &[("X-Test", "yes")], &request()).await;
    client.answer().await.unwrap();
    let recorded = fake.last_request();
    assert_eq!((recorded.number, recorded.connection), (1, 1));
    assert_eq!((recorded.method.as_str(), recorded.path.as_str()), ("POST", PATH));
    assert_eq!((recorded.query.as_str(), recorded.header("x-test")), ("api-version=1", Some("yes")));
    assert_eq!(recorded.endpoint, Some(Endpoint::Chat));
    assert_eq!(recorded.body, request());
    assert_eq!(recorded.bytes, request().to_string());
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let fake = FakeProvider::start().await;
    fake.reply("1").reply("2");
    let mut client = Client::connect(fake.url()).await;
    for _ in 0..2 {
        client.send_json(PATH, &[], &request()).await;
        assert!(client.answer().await.unwrap().is_whole);
    }
    assert_eq!(fake.connections(), 1);
    fake.reply("3");
    ask(&fake).await;
    assert_eq!(fake.connections(), 2);
}

#[tokio::test]
async fn a_request_that_the_script_does_not_expect_is_named() {
    let fake = FakeProvider::start().await;
    let answer = ask(&fake).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    let text = "request 1 (POST /v1/chat/completions) has no reply in the fake provider's script";
    assert_eq!(answer.json()["error"]["message"], text);
    assert_eq!(fake.unexpected(), [text]);
    assert_eq!(post(fake.url(), "/v2/chat", &request()).await.status, 404);
    assert_eq!(fake.unexpected().len(), 2);
}

#[tokio::test]
async fn an_endpoints_own_replies_come_first() {
    let fake = FakeProvider::start().await;
    fake.reply("any").reply_to(Endpoint::Chat, "own").reply_to(Endpoint::Models, Failure::status(503));
    assert!(ask(&fake).await.text().contains("own"));
    assert!(ask(&fake).await.text().contains("any"));
    assert_eq!(fake.left_over(), 1);
    assert_eq!(get(fake.url(), "/v1/models", &[]).await.status, 503);
    assert_eq!(get(fake.url(), "/v1/models", &[]).await.status, 200);
}

#[tokio::test]
async fn what_the_script_leaves_can_be_answered_by_what_is_asked() {
    let fake = FakeProvider::start().await;
    fake.otherwise(|request| Reply::new().text(format!("number {}", request.number)).deltas(Deltas::Whole));
    assert!(ask(&fake).await.text().contains("number 1"));
    assert!(ask(&fake).await.text().contains("number 2"));
    assert!(fake.unexpected().is_empty());
}

#[tokio::test]
async fn raw_replies_are_exactly_as_given() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::raw(502, "text/html", "<h1>Bad gateway</h1>").header("server", "proxy"));
    fake.reply(Reply::sse(["data: {\"a\":1}\r\n\r\n", ": hm\n\n", "data: broken"]));
    let answer = ask(&fake).await;
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html")));
    assert_eq!((answer.header("server"), answer.header("x-request-id")), (Some("proxy"), None));
    assert_eq!(answer.text(), "<h1>Bad gateway</h1>");
    let answer = ask(&fake).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let chunks: Vec<&[u8]> = answer.chunks.iter().map(Vec::as_slice).collect();
    assert_eq!(chunks, [&b"data: {\"a\":1}\r\n\r\n"[..], b": hm\n\n", b"data: broken"]);
}

#[tokio::test]
async fn a_body_can_be_split_anywhere() {
    let fake = FakeProvider::start().await;
    let raw = || Reply::sse(["data: a\n\n", "data: ä€\n\n"]);
    let sizes = |answer: Answer| -> Vec<usize> { answer.chunks.iter().map(Vec::len).collect() };
    for (split, expected) in [
        (Split::Events, vec![9, 13]),
        (Split::Every(1), vec![1; 22]),
        (Split::Every(10), vec![10, 10, 2]),
        (Split::Sizes(vec![2, 11]), vec![2, 11, 9]),
        (Split::InsideCharacters, vec![16, 2, 4]),
    ] {
        fake.reply(raw().split(split.clone()));
        let answer = ask(&fake).await;
        assert_eq!(answer.text(), "data: a\n\ndata: ä€\n\n", "{split:?}");
        assert_eq!(sizes(answer), expected, "{split:?}");
    }
}

#[tokio::test]
async fn lines_can_end_in_each_of_three_ways() {
    let fake = FakeProvider::start().await;
    for (line_end, bytes) in [(LineEnd::CrLf, "\r\n\r\n"), (LineEnd::Cr, "\r\r"), (LineEnd::Lf, "\n\n")] {
        fake.reply(Reply::new().text("Hi").line_end(line_end));
        assert!(ask(&fake).await.text().ends_with(&format!("data: [DONE]{bytes}")));
    }
}

#[tokio::test]
async fn a_gate_lets_one_event_go_at_a_time() {
    let fake = FakeProvider::start().await;
    let gate = Gate::new();
    fake.reply(Reply::sse(["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]).gated(&gate));
    let mut client = Client::connect(fake.url()).await;
    client.send_json(PATH, &[], &request()).await;
    assert_eq!(client.head().await.unwrap().status, 200);
    gate.reached().await;
    gate.step();
    assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
    gate.reached().await;
    gate.open();
    assert_eq!(client.chunk().await.unwrap(), b"data: 2\n\n");
    assert_eq!(client.chunk().await.unwrap(), b"data: 3\n\n");
    assert_eq!(client.chunk().await.unwrap(), b"");
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_wherever_the_answer_is() {
    let fake = FakeProvider::start().await;
    let gate = Gate::new();
    fake.reply(Reply::from("Hi").gated(&gate)).reply(Reply::from("Hi").hangs());
    fake.reply(Reply::from("Hi").hangs_after(2)).reply(Reply::from("Hi").delay(Duration::from_secs(3600)));
    for number in 1..=4 {
        let mut client = Client::connect(fake.url()).await;
        client.send_json(PATH, &[], &request()).await;
        fake.arrived(number).await;
        drop(client);
        assert_eq!(fake.dropped().await.number, number);
    }
}

#[tokio::test]
async fn a_hanging_stream_has_sent_what_came_before() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(["data: 1\n\n", "data: 2\n\n"]).hangs_after(1));
    let mut client = Client::connect(fake.url()).await;
    client.send_json(PATH, &[], &request()).await;
    client.head().await.unwrap();
    assert_eq!(client.chunk().await.unwrap(), b"data: 1\n\n");
}

#[tokio::test]
async fn a_cut_stream_lacks_the_end_that_http_wants() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(["data: 1\n\n", "data: 2\n\n"]).insert_after(1, "data: {\"ha").cut_after(1));
    let answer = ask(&fake).await;
    assert_eq!((answer.text().as_str(), answer.is_whole), ("data: 1\n\ndata: {\"ha", false));
    fake.reply(Reply::sse(["data: 1\n\n", "data: 2\n\n"]).ends_after(1));
    let answer = ask(&fake).await;
    assert_eq!((answer.text().as_str(), answer.is_whole), ("data: 1\n\n", true));
}

#[tokio::test]
async fn a_large_answer_is_sent_before_its_cut() {
    let fake = FakeProvider::start().await;
    let event = format!("data: {}\n\n", "x".repeat(1 << 20));
    fake.reply(Reply::sse(vec![event.clone(); 10]).cut_after(10));
    let answer = ask(&fake).await;
    assert_eq!((answer.bytes().len(), answer.is_whole), (10 * event.len(), false));
}

#[tokio::test]
async fn bytes_can_be_put_between_events() {
    let fake = FakeProvider::start().await;
    fake.reply(
        Reply::sse(["data: 1\n\n", "data: 2\n\n"]).insert_after(0, ": a\n\n").insert_after(9, ": z\n\n"),
    );
    assert_eq!(ask(&fake).await.text(), ": a\n\ndata: 1\n\ndata: 2\n\n: z\n\n");
}

#[tokio::test]
async fn pauses_hold_the_rest_back() {
    let fake = FakeProvider::start().await;
    let pause = Duration::from_secs(3600);
    fake.reply(Reply::sse(["data: 1\n\n", "data: 2\n\n"]).pause_after(1, pause));
    fake.reply(Reply::sse(["data: 1\n\n", "data: 2\n\n"]).split(Split::Every(4)).pace(pause));
    for first in [&b"data: 1\n\n"[..], b"data"] {
        let mut client = Client::connect(fake.url()).await;
        client.send_json(PATH, &[], &request()).await;
        client.head().await.unwrap();
        assert_eq!(client.chunk().await.unwrap(), first);
    }
    fake.dropped().await;
    fake.dropped().await;
}

#[tokio::test]
async fn a_connection_can_end_without_an_answer() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::from("Hi").hangs_up());
    let mut client = Client::connect(fake.url()).await;
    client.send_json(PATH, &[], &request()).await;
    assert!(client.answer().await.is_none());
}

#[tokio::test]
async fn a_closed_port_refuses_connections() {
    let port = ClosedPort::take();
    let refused = soon(TcpStream::connect(port.url().strip_prefix("http://").unwrap())).await;
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn its_end_cuts_every_connection() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::sse(["data: 1\n\n"]).hangs_after(1));
    let mut client = Client::connect(fake.url()).await;
    client.send_json(PATH, &[], &request()).await;
    client.head().await.unwrap();
    client.chunk().await.unwrap();
    drop(fake);
    assert!(client.chunk().await.is_none());
}
