//! Chat routes of one's own: answers as the streams that clients of others read.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use loomwork::core::{Secret, Tasks};
use loomwork::messages::threads::{NewThread, create};
use loomwork::messages::{RunId, ThreadId};
use loomwork::models::{Gate, MockModel, MockReply};
use loomwork::{Agent, App, Caller, RunAsk, RunCursor, http};
use loomwork_testkit::soon;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::KEY;

async fn asked(app: &App, thread: ThreadId, text: String) -> loomwork::Result<RunId> {
    let (starting, ask) = (app.clone(), RunAsk::new(thread, text));
    let caller = Caller::operator();
    let started = app.store().try_mutate(move |tx| starting.start_run(tx, &caller, ask)).await?;
    Ok(started.run().expect("an agent answers"))
}

async fn chat(State(app): State<App>, Path(thread): Path<ThreadId>, text: String) -> Response {
    let run = asked(&app, thread, text).await.expect("it is started");
    http::ui_stream(app.follow_run(run, None).await.expect("it is there")).into_response()
}

async fn text(State(app): State<App>, Path(thread): Path<ThreadId>, text: String) -> Response {
    let run = asked(&app, thread, text).await.expect("it is started");
    http::text_stream(app.follow_run(run, None).await.expect("it is there")).into_response()
}

async fn again(State(app): State<App>, Path((run, from)): Path<(RunId, String)>) -> Response {
    let from: RunCursor = from.parse().expect("a cursor");
    http::ui_stream(app.follow_run(run, Some(from)).await.expect("it is there")).into_response()
}

struct Chats {
    app: App,
    address: String,
    thread: ThreadId,
    client: reqwest::Client,
    _serving: Tasks,
}

impl Chats {
    async fn with(replies: impl IntoIterator<Item = MockReply>) -> Self {
        let agent = Agent::new("scripted", Arc::new(MockModel::new(replies)));
        let app = App::memory().key(Secret::from(KEY)).agent(agent).build().await.expect("it is built");
        let thread =
            app.store().mutate(|tx| create(tx, NewThread::for_user("alice"))).await.expect("a thread").id;
        let own = Router::new()
            .route("/chat/{thread}", post(chat))
            .route("/text/{thread}", post(text))
            .route("/chat/{run}/{from}", get(again))
            .with_state(app.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
        let address = format!("http://{}", listener.local_addr().expect("it has an address"));
        let serving = Tasks::new();
        serving.spawn("server", |ending| async move {
            tokio::select! {
                served = axum::serve(listener, own) => served.expect("it is served"),
                () = ending.requested() => {}
            }
        });
        Self { app, address, thread, client: reqwest::Client::new(), _serving: serving }
    }

    async fn post(&self, path: &str, text: &str) -> reqwest::Response {
        let request =
            self.client.post(format!("{}/{path}/{}", self.address, self.thread)).body(text.to_owned());
        request.send().await.expect("it answers")
    }
}

/// Returns the chunks of a stream, and the ids of its events.
fn chunks(body: &str) -> (Vec<Value>, Vec<String>) {
    let data = body.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|data| *data != "[DONE]");
    let ids = body.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned);
    (data.map(|data| serde_json::from_str(data).expect("JSON")).collect(), ids.collect())
}

fn kinds(chunks: &[Value]) -> Vec<&str> {
    chunks.iter().map(|chunk| chunk["type"].as_str().expect("a type")).collect()
}

#[tokio::test]
async fn an_answer_is_the_stream_that_chat_clients_read() {
    let chats = Chats::with(["Hello Ada.".into()]).await;
    let response = chats.post("chat", "Hello!").await;
    assert_eq!(response.headers()["x-vercel-ai-ui-message-stream"], "v1");
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.text().await.expect("a body");
    assert!(body.ends_with("data: [DONE]\n\n"), "{body}");
    let (chunks, _) = chunks(&body);
    let kinds = kinds(&chunks);
    assert_eq!(
        (kinds[..3].to_vec(), kinds.last()),
        (vec!["start", "start-step", "text-start"], Some(&"finish"))
    );
    assert!(chunks[0]["messageId"].as_str().is_some_and(|id| id.starts_with("message_")), "{chunks:?}");
    let said: String = chunks.iter().filter_map(|chunk| chunk["delta"].as_str()).collect();
    assert_eq!(said, "Hello Ada.");
    chats.app.shutdown(Duration::from_secs(5)).await.expect("it ends");
}

#[tokio::test]
async fn an_answer_is_its_text_alone_where_that_is_wanted() {
    let chats = Chats::with(["Hello Ada.".into()]).await;
    let response = chats.post("text", "Hello!").await;
    assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(response.text().await.expect("a body"), "Hello Ada.");
}

#[tokio::test]
async fn a_reader_that_went_away_goes_on_where_it_was() {
    let gate = Gate::new();
    let chats = Chats::with([MockReply::default().text("Once ").gate(&gate).text("upon a time.")]).await;
    let mut response = chats.post("chat", "Tell me a story.").await;
    let mut seen = String::new();
    let run = loop {
        let piece = soon(response.chunk()).await.expect("it goes on").expect("a piece");
        seen.push_str(std::str::from_utf8(&piece).expect("text"));
        let (chunks, ids) = chunks(&seen);
        if let (Some(last), true) = (ids.last(), kinds(&chunks).contains(&"text-delta")) {
            break last.clone();
        }
    };
    drop(response);
    gate.open();
    let thread = chats.thread;
    let live =
        chats.app.store().query(move |tx| loomwork::messages::runs::live(tx, thread)).await.expect("read");
    let path = match live.first() {
        Some(live) => format!("{}/chat/{}/{run}", chats.address, live.id),
        None => return,
    };
    let rest = chats.client.get(path).send().await.expect("it answers").text().await.expect("a body");
    let said = |body: &str| -> String {
        chunks(body).0.iter().filter_map(|chunk| chunk["delta"].as_str().map(str::to_owned)).collect()
    };
    assert_eq!(said(&seen) + &said(&rest), "Once upon a time.");
}

#[tokio::test]
async fn what_went_wrong_is_told_as_the_protocol_does() {
    let broken = loomwork::models::Error::new(
        loomwork::models::ErrorKind::BadRequest,
        "mock",
        "mock",
        "the model has a cold",
    );
    let chats = Chats::with([MockReply::default().text("Well").fail(broken)]).await;
    let body = chats.post("chat", "Hello!").await.text().await.expect("a body");
    let (chunks, _) = chunks(&body);
    let last = chunks.last().expect("a chunk");
    assert_eq!(last["type"], json!("error"), "{body}");
    assert!(last["errorText"].as_str().is_some_and(|text| text.contains("cold")), "{body}");
}
