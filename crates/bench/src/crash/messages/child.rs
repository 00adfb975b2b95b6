//! The process that is killed: it answers in threads, and goes on with what others have left.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::{Random, Tasks};
use loomwork_messages::runs::{self, Hold, Host, NewRun, Step, Then, step};
use loomwork_messages::streams::{self, Live, NewStream};
use loomwork_messages::threads::{self, NewThread, create};
use loomwork_messages::{NewMessage, UiChunk, deletion};
use loomwork_models::Message;
use loomwork_store::Store;
use tokio::task::JoinSet;

use super::answer::{STEPS, text, words};
use super::open;
use crate::crash::deck::{OPENING, READY};
use crate::crash::random;

const ANSWERERS: u64 = 4;

pub(super) fn run(words: &[String]) -> Result<()> {
    let [path, seed, round] = words else { bail!("expected PATH SEED ROUND, found {words:?}") };
    let (seed, round): (u64, u64) = (seed.parse()?, round.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        say(OPENING)?;
        let store = open(Path::new(path)).await?;
        let tasks = Tasks::new();
        let host = Host::start(&store, &tasks).await?;
        let live = Live::start(&store, &tasks);
        store.start_upkeep(&tasks, streams::upkeep());
        store.start_upkeep(&tasks, deletion::upkeep());
        say(READY)?;
        let mut answerers = JoinSet::new();
        for number in 0..ANSWERERS {
            let process = Process {
                store: store.clone(),
                host: host.clone(),
                live: live.clone(),
                random: random(seed, &[round, number]),
            };
            answerers.spawn(async move {
                if number == 0 { process.go_on().await } else { process.answer().await }
            });
        }
        while let Some(ended) = answerers.join_next().await {
            ended??;
        }
        bail!("every answerer has ended")
    })
}

struct Process {
    store: Store,
    host: Host,
    live: Live,
    random: Random,
}

impl Process {
    /// Takes up the durable runs that dead processes have left.
    async fn go_on(self) -> Result<()> {
        let mut queued = self.store.watch(|tx| {
            let runs = runs::queued(tx, 100)?;
            Ok(runs.into_iter().filter(|run| run.fence > 0).map(|run| run.id).collect::<Vec<_>>())
        });
        while let Some(runs) = queued.next().await {
            for run in runs? {
                if let Some(hold) = self.host.take(run).await? {
                    self.drive(hold).await?;
                }
            }
        }
        Ok(())
    }

    /// Begins one run after the other, in threads of a few turns each.
    async fn answer(self) -> Result<()> {
        loop {
            let thread = self.store.mutate(|tx| create(tx, NewThread::for_user("ada"))).await?.id;
            for _ in 0..1 + self.random.below(5) {
                let durable = self.random.below(2) == 0;
                let new = NewRun { durable, ..NewRun::answering("go on") };
                let run = self.store.mutate(move |tx| runs::begin(tx, thread, new)).await?.run.id;
                say(&format!("began {thread} {run}"))?;
                if let Some(hold) = self.host.take(run).await? {
                    self.drive(hold).await?;
                }
            }
            if self.random.below(3) == 0 {
                say(&format!("deleting {thread}"))?;
                self.store.mutate(move |tx| threads::delete(tx, thread)).await?;
                say(&format!("deleted {thread}"))?;
            }
        }
    }

    /// Makes the steps of a run that are still to be made.
    async fn drive(&self, hold: Hold) -> Result<()> {
        let run = self.store.query(move |tx| tx.require(hold.run)).await?;
        let pending = run.pending.context("a run that was taken has a pending message")?;
        let writer = self.live.write(NewStream { hold: Some(hold), ..NewStream::of(pending) });
        for number in run.steps..STEPS {
            writer.push(UiChunk::StartStep).await?;
            writer.push(UiChunk::TextStart { id: "1".into(), provider_metadata: None }).await?;
            for word in words(hold.run, number) {
                writer
                    .push(UiChunk::TextDelta { id: "1".into(), delta: word, provider_metadata: None })
                    .await?;
                if self.random.below(10) == 0 {
                    writer.flush().await?;
                    self.stored(&writer).await?;
                    self.store.clock().sleep(Duration::from_millis(self.random.below(3))).await;
                }
            }
            writer.flush().await?;
            let then = if number + 1 == STEPS { Then::End } else { Then::GoOn };
            let messages = vec![NewMessage::new(Message::assistant(text(hold.run, number)))];
            let done = self.store.mutate(move |tx| step(tx, hold, Step { messages, then })).await?;
            say(&format!("stepped {} {} {}", run.thread, hold.run, done.run.steps))?;
        }
        Ok(())
    }

    async fn stored(&self, writer: &streams::StreamWriter) -> Result<()> {
        let id = writer.id().await?;
        let rows = self.store.query(move |tx| tx.require(id)).await?;
        let thread = rows.thread;
        let end = self
            .store
            .query(move |tx| {
                let mut end = 0;
                while let Some(last) = streams::deltas(tx, thread, id, end)?.last() {
                    end = last.end;
                }
                Ok(end)
            })
            .await?;
        say(&format!("stored {thread} {id} {end}"))
    }
}

/// Tells the parent something. Once the parent has read it, it is a promise.
fn say(line: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}").and_then(|()| output.flush()).context("nobody listens any more")
}
