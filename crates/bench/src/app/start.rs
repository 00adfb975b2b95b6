//! From the start of a process to its first answer, over a database that is there.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{NewMessage, Save, save};
use loomwork_models::{Message, MockReply};
use serde_json::json;

use super::clients::{Client, thread};
use super::served::{Server, open};
use super::{database, folder, runtime};
use crate::measure::{ROUNDS, Row, Target};

/// How large the database is, by all that is asked for or by less, which is filled sooner.
const FULL_BYTES: u64 = 1 << 30;
const BYTES: u64 = 128 << 20;

/// How many messages a thread has, and how many bytes each.
const MESSAGES: usize = 64;
const MESSAGE_BYTES: usize = 8 << 10;

const SHUTDOWN: Duration = Duration::from_secs(120);

pub(super) fn measure(is_full: bool) -> Result<Row> {
    let (folder, runtime) = (folder()?, runtime()?);
    runtime.block_on(fill(folder.path(), if is_full { FULL_BYTES } else { BYTES }))?;
    let mut took = Vec::new();
    for _ in 0..ROUNDS {
        let watch = Stopwatch::start();
        let server = Server::start("app", folder.path())?;
        runtime.block_on(answered(&server))?;
        took.push(watch.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Row {
        name: if is_full {
            "start to first answer, database of 1 GiB"
        } else {
            "start to first answer, database of 128 MiB"
        },
        unit: "ms",
        ours: took,
        baseline: Vec::new(),
        target: Target::ValueAtMost(300.0),
    })
}

async fn answered(server: &Server) -> Result<()> {
    let (mut asking, mut following) =
        (Client::connect(&server.address).await?, Client::connect(&server.address).await?);
    let thread = thread(&mut asking, "ada").await?;
    following.follow(&format!("/api/threads/{thread}/live")).await?;
    asking.post(&format!("/api/threads/{thread}/runs"), &json!({ "prompt": "Hello!" })).await?;
    loop {
        let view = following.until("\n\n").await?;
        if view.contains("\"role\":\"assistant\"")
            && view.contains("\"streams\":[]")
            && !view.contains("\"pending\"")
        {
            return Ok(());
        }
    }
}

async fn fill(folder: &Path, bytes: u64) -> Result<()> {
    let app = open(folder, MockReply::default()).await?;
    let mut number = 0;
    while std::fs::metadata(database(folder)).map_or(0, |file| file.len()) < bytes {
        let said: Vec<_> =
            (0..MESSAGES).map(|at| NewMessage::new(Message::user(words(number + at)))).collect();
        number += MESSAGES;
        let written = app.store().mutate(move |tx| {
            let thread = create(tx, NewThread::for_user("ada"))?.id;
            save(tx, thread, Save::all(said)).map(drop)
        });
        written.relaxed().await?;
    }
    app.shutdown(SHUTDOWN).await?;
    Ok(())
}

/// Texts of few words, each told from the others.
fn words(number: usize) -> String {
    let mut text = format!("carpet {number} ");
    while text.len() < MESSAGE_BYTES {
        text.push_str("is woven of wool and silk in many colours ");
    }
    text
}
