//! Turns of a chat over HTTP: each client begins a run and follows its thread until the answer is there.

use anyhow::Result;
use loomwork_core::Stopwatch;
use serde_json::json;
use tokio::task::JoinSet;

use super::clients::{Client, thread};
use super::served::Server;
use super::{folder, runtime};
use crate::agent::Crowd;
use crate::measure::{Row, Target};

const CLIENTS: usize = 64;
const TURNS_EACH: usize = 10;

pub(super) fn measure() -> Result<Row> {
    let (folder, runtime) = (folder()?, runtime()?);
    let server = Server::start("app", folder.path())?;
    let mut talks = runtime.block_on(async {
        let mut talks = Vec::new();
        for number in 0..CLIENTS {
            talks.push(Talk::begin(&server.address, number).await?);
        }
        anyhow::Ok(talks)
    })?;
    let crowd = runtime.block_on(Crowd::gather(CLIENTS))?;
    Row::measured(
        "chat turns over HTTP, 64 connections; the same turns without HTTP",
        "turns/s",
        Target::RatioAtLeast(0.6),
        || {
            let (done, figure) = runtime.block_on(at_once(std::mem::take(&mut talks)))?;
            talks = done;
            Ok(figure)
        },
        || runtime.block_on(crowd.turns(TURNS_EACH)),
    )
}

/// One client with its thread, which it follows.
struct Talk {
    asking: Client,
    following: Client,
    runs: String,
}

impl Talk {
    async fn begin(address: &str, number: usize) -> Result<Self> {
        let (mut asking, mut following) = (Client::connect(address).await?, Client::connect(address).await?);
        let thread = thread(&mut asking, &format!("user {number}")).await?;
        following.follow(&format!("/api/threads/{thread}/live?limit=2")).await?;
        following.until("event: view").await?;
        Ok(Self { asking, following, runs: format!("/api/threads/{thread}/runs") })
    }

    async fn turn(&mut self) -> Result<()> {
        let run = self.asking.post(&self.runs, &json!({ "prompt": "How long is a carpet?" })).await?;
        // The view of the answer that has ended names the prompt that it answers.
        let prompt = run["promptId"].as_str().unwrap_or_default();
        loop {
            let view = self.following.until("\n\n").await?;
            if view.contains("event: view") && view.contains(prompt) && is_whole(&view) {
                return Ok(());
            }
        }
    }
}

/// Whether a view shows an answer, and nothing that still grows.
fn is_whole(view: &str) -> bool {
    view.contains("\"role\":\"assistant\"")
        && view.contains("\"streams\":[]")
        && !view.contains("\"pending\"")
}

async fn at_once(talks: Vec<Talk>) -> Result<(Vec<Talk>, f64)> {
    let (watch, count) = (Stopwatch::start(), talks.len());
    let mut clients = JoinSet::new();
    for mut talk in talks {
        clients.spawn(async move {
            for _ in 0..TURNS_EACH {
                talk.turn().await?;
            }
            anyhow::Ok(talk)
        });
    }
    let mut done = Vec::with_capacity(count);
    while let Some(talk) = clients.join_next().await {
        done.push(talk??);
    }
    Ok((done, (count * TURNS_EACH) as f64 / watch.elapsed().as_secs_f64()))
}
