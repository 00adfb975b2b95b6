//! A thousand followers of answers that grow, against bare server-sent events.

use anyhow::Result;
use serde_json::json;
use tokio::task::JoinSet;

use super::clients::{Client, thread};
use super::served::{SOURCES, Server};
use super::{folder, runtime};
use crate::measure::{Row, Target};

const FOLLOWERS: usize = 1_000;

pub(super) fn measure() -> Result<Row> {
    let (folder, runtime) = (folder()?, runtime()?);
    let (ours, bare) = (Server::start("paced", folder.path())?, Server::start("bare", folder.path())?);
    Row::measured(
        "CPU of 1,000 followers of 20 answers of 50 words, stored; bare axum, not stored",
        "s",
        Target::RatioAtMost(2.0),
        || runtime.block_on(followed(&ours)),
        || runtime.block_on(by_hand(&bare)),
    )
}

async fn followed(server: &Server) -> Result<f64> {
    let mut asking = Client::connect(&server.address).await?;
    let mut threads = Vec::new();
    for number in 0..SOURCES {
        threads.push(thread(&mut asking, &format!("user {number}")).await?);
    }
    let paths = threads.iter().map(|thread| format!("/api/threads/{thread}/live?limit=2")).collect();
    let followers = gather(server, paths).await?;
    let before = server.cpu()?;
    for thread in &threads {
        asking.post(&format!("/api/threads/{thread}/runs"), &json!({ "prompt": "Go on." })).await?;
    }
    ended(followers).await?;
    Ok(server.cpu()? - before)
}

async fn by_hand(server: &Server) -> Result<f64> {
    let paths = (0..SOURCES).map(|source| format!("/sources/{source}")).collect();
    let followers = gather(server, paths).await?;
    let before = server.cpu()?;
    Client::connect(&server.address).await?.post("/begin", &json!({})).await?;
    ended(followers).await?;
    Ok(server.cpu()? - before)
}

/// Has all follow, spread over the paths.
async fn gather(server: &Server, paths: Vec<String>) -> Result<Vec<Client>> {
    let mut followers = Vec::with_capacity(FOLLOWERS);
    for path in paths.iter().cycle().take(FOLLOWERS) {
        let mut client = Client::connect(&server.address).await?;
        client.follow(path).await?;
        client.until("event: view").await?;
        followers.push(client);
    }
    Ok(followers)
}

/// Waits until everybody has heard the end.
async fn ended(followers: Vec<Client>) -> Result<()> {
    let mut waiting = JoinSet::new();
    for mut client in followers {
        waiting.spawn(async move {
            // The prompt is there from the beginning, and has succeeded.
            loop {
                let event = client.until("\n\n").await?;
                let is_answered =
                    event.contains("\"role\":\"assistant\"") && event.contains("\"streams\":[]");
                if is_answered && !event.contains("\"pending\"") || event.contains("{\"status\":\"success\"}")
                {
                    return anyhow::Ok(());
                }
            }
        });
    }
    while let Some(ended) = waiting.join_next().await {
        ended??;
    }
    Ok(())
}
