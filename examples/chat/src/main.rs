//! An app with a chat route of its own, and one question to it.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use loomwork::core::Tasks;
use loomwork::messages::threads::NewThread;
use loomwork::{Agent, App, OfflineModel};
use tokio::net::TcpListener;

/// The route: what is sent is asked in a thread, and the answer goes back.
async fn chat(
    State((app, agent)): State<(App, Agent)>,
    question: String,
) -> Result<String, (StatusCode, String)> {
    let failed = |error: loomwork::Error| {
        let status = StatusCode::from_u16(error.status_code()).unwrap_or_default();
        (status, error.to_string())
    };
    let thread = agent.create_thread(app.runtime(), NewThread::for_user("visitor")).await;
    let thread = thread.map_err(|error| failed(error.into()))?;
    let reply = thread.generate_text(question).await.map_err(|error| failed(error.into()))?;
    Ok(reply.text)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let agent = Agent::new("guide", Arc::new(OfflineModel::default())).instructions("Be brief.");
    let app = App::memory().agent(agent.clone()).build().await?;
    let own = Router::new().route("/chat", post(chat)).with_state((app.clone(), agent));
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
