//! A conversation whose answers are followed live, are rows when they are complete, and survive a stop:
//! `cargo run -p loomwork-messages --example chat`
//!
//! The agent crate does what `answer` does here by hand, with tools and much besides.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::collections::HashMap;
use std::io::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Kind, Tasks};
use loomwork_messages::runs::{self, Hold, Host, NewRun, Step, Then};
use loomwork_messages::streams::{Live, NewStream};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    Failure, List, MessageId, NewMessage, ThreadId, Translator, UiChunk, ViewEvent, list, view,
};
use loomwork_models::{Assembly, LanguageModel as _, Message, OfflineModel, Request, Role};
use loomwork_store::{Error, Result, Store};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // In memory for a first try; `loomwork_store_sqlite::Sqlite` keeps the rows in a file.
    let tables = loomwork_messages::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::memory().tables(tables).open().await?;
    let tasks = Tasks::new();
    let host = Host::start(&store, &tasks).await?;
    let live = Live::start(&store, &tasks);

    let thread = store.mutate(|tx| threads::create(tx, NewThread::for_user("alice"))).await?.id;
    for question in ["Hello! Who are you?", "What is a loom?"] {
        println!("> {question}");
        // The question and the pending answer are saved together; any process could take the run.
        let new = NewRun::answering(question);
        let run = store.mutate(move |tx| runs::begin(tx, thread, new)).await?.run;
        let Some(hold) = host.take(run.id).await? else { continue };
        let (answered, ()) =
            tokio::join!(answer(&store, &live, thread, hold, run.first), follow(&live, thread));
        answered?;
    }

    // One that is stopped half way keeps what came.
    println!("> And when was it invented?");
    let new = NewRun::answering("And when was it invented?");
    let run = store.mutate(move |tx| runs::begin(tx, thread, new)).await?.run;
    if let Some(hold) = host.take(run.id).await? {
        let stop = async {
            store.clock().sleep(Duration::from_millis(60)).await;
            let stopped = Failure::new("stopped", "the user pressed stop");
            store.mutate(move |tx| runs::abort(tx, hold.run, stopped)).await
        };
        let (ended, stopped) = tokio::join!(answer(&store, &live, thread, hold, run.first), stop);
        println!("stopped: {}, and the answer says: {}", stopped?, ended.expect_err("it was stopped"));
    }

    println!("\nWhat is stored:");
    let seen = store.query(move |tx| view(tx, thread, &List::newest(20))).await?;
    for message in seen.messages {
        println!("{:9} {:8} {}", message.role.as_str(), format!("{:?}", message.status), message.text);
    }
    tasks.shutdown(Duration::from_secs(5)).await.map_err(Error::from)
}

/// Makes one answer: streams what the model says, and commits it as the run's only step.
async fn answer(store: &Store, live: &Live, thread: ThreadId, hold: Hold, reply: MessageId) -> Result<()> {
    let asked = store.query(move |tx| list(tx, thread, &List::oldest(100))).await?;
    let said = asked.messages.into_iter().filter(|row| row.id != reply).map(|row| row.record.message);
    let model = OfflineModel::default().with_pace(Duration::from_millis(15));
    let failed = |error: loomwork_models::Error| Error::message(Kind::Unavailable, error.to_string());

    let writer = live.write(NewStream { hold: Some(hold), ..NewStream::of(reply) });
    writer.push(UiChunk::StartStep).await?;
    let (mut translator, mut whole) = (Translator::default(), Assembly::default());
    let mut chunks = model.stream(Request::new(said)).await.map_err(failed)?;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(failed)?;
        whole.push(chunk.clone()).map_err(failed)?;
        for chunk in translator.push(chunk) {
            // This is where a stop is heard of; `runs::lost` tells it in the middle of a tool too.
            writer.push(chunk).await?;
        }
    }
    writer.flush().await?;
    let reply = whole.finish().map_err(failed)?;
    let message = NewMessage {
        usage: Some(reply.usage().clone()),
        model: Some(reply.info.model.clone()),
        ..NewMessage::new(Message::new(Role::Assistant, reply.parts))
    };
    let step = Step { messages: vec![message], then: Then::End };
    store.mutate(move |tx| runs::step(tx, hold, step)).await.map(drop)
}

/// Prints a thread as a page would show it, until its newest answer is complete.
async fn follow(live: &Live, thread: ThreadId) {
    let mut events = live.follow(thread, List::newest(20), HashMap::new());
    while let Some(Ok(event)) = events.next().await {
        match event {
            ViewEvent::View(view)
                if view.messages.last().is_some_and(|message| !message.status.is_open()) =>
            {
                break;
            }
            ViewEvent::View(_) => {}
            ViewEvent::Slice { slice, .. } => {
                for chunk in slice.chunks().unwrap_or_default() {
                    if let UiChunk::TextDelta { delta, .. } = chunk {
                        print!("{delta}");
                        let _ = std::io::stdout().flush();
                    }
                }
            }
        }
    }
    println!();
}
