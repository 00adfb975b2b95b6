//! An app with a chat route of its own, and one question to it.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use loomwork::core::Tasks;
use loomwork::messages::threads::{NewThread, create};
use loomwork::{Agent, App, Caller, OfflineModel, Result, RunAsk, http};
use tokio::net::TcpListener;

/// The route: what is sent is asked in a new thread, and the answer goes back as it comes.
async fn chat(State(app): State<App>, question: String) -> Result<Response> {
    let starting = app.clone();
    let started = app.store().try_mutate(move |tx| {
        let thread = create(tx, NewThread::for_user("visitor"))?.id;
        starting.start_run(tx, &Caller::operator(), RunAsk::new(thread, question))
    });
    let Some(run) = started.await?.run() else { return Ok("A person will answer.".into_response()) };
    // `http::ui_stream` is what `useChat` reads.
    Ok(http::text_stream(app.follow_run(run, None).await?).into_response())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let agent = Agent::new("guide", Arc::new(OfflineModel::default())).instructions("Be brief.");
    let app = App::memory().agent(agent).build().await?;
    let own = Router::new().route("/chat", post(chat)).with_state(app.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}/chat", listener.local_addr()?);

    let serving = Tasks::new();
    let service = own.merge(app.router());
    serving.spawn("server", |ending| async move {
        let served =
            axum::serve(listener, service).with_graceful_shutdown(async move { ending.requested().await });
        if let Err(error) = served.await {
            println!("the server failed: {error}");
        }
    });

    let client = reqwest::Client::new();
    let answer = client.post(address).body("Hello! Who are you?").send().await?.text().await?;
    println!("{answer}");
    drop(client);
    serving.shutdown(Duration::from_secs(5)).await?;
    Ok(app.shutdown(Duration::from_secs(5)).await?)
}
