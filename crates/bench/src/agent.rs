//! The group `agent`: what an answer costs beside its model, over the SQLite engine and without a store.

mod approvals;
mod by_hand;
mod durable;
mod steps;
mod still;
mod streams;
mod turns;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use loomwork_agent::{Agent, AgentThread, Runtime};
use loomwork_messages::threads::{NewThread, create};
use loomwork_messages::{NewMessage, Save, ThreadId, save};
use loomwork_models::{LanguageModel, Message};
use loomwork_store::Store;
use loomwork_store_sqlite::Sqlite;
use tempfile::TempDir;

use self::still::Still;
use crate::Options as CommandLine;
use crate::measure::Row;

pub(crate) use turns::Crowd;

/// How many messages of a history one mutation saves.
const FILL_STEP: usize = 1_000;

pub(crate) fn measure(options: &CommandLine) -> Result<Vec<Row>> {
    match options.engine.as_deref() {
        None | Some("sqlite") => {}
        Some(other) => bail!("the group `agent` has no engine {other:?}; it has `sqlite`"),
    }
    let mut rows = turns::measure()?;
    rows.extend(streams::measure()?);
    rows.extend(steps::measure()?);
    rows.extend(durable::measure()?);
    rows.extend(approvals::measure()?);
    Ok(rows)
}

async fn open(path: &Path) -> Result<Runtime> {
    Ok(Runtime::over(Sqlite::open(path)?).await?)
}

/// An agent whose model answers at once, word by word.
fn clerk(reply: &str) -> Agent {
    Agent::new("clerk", Arc::new(Still::saying(reply)) as Arc<dyn LanguageModel>)
}

/// Makes a thread with so many messages.
async fn filled(store: &Store, messages: usize) -> Result<ThreadId> {
    let thread = store.mutate(|tx| create(tx, NewThread::for_user("ada"))).await?.id;
    for step in (0..messages).step_by(FILL_STEP) {
        let said = (0..(messages - step).min(FILL_STEP)).map(|number| match number % 2 {
            0 => NewMessage::new(Message::user(text())),
            _ => NewMessage::new(Message::assistant(text())),
        });
        let all = Save::all(said);
        store.mutate(move |tx| save(tx, thread, all)).relaxed().await?;
    }
    Ok(thread)
}

fn text() -> String {
    "how long does it take to weave a carpet of this size ".repeat(4)
}

async fn thread(agent: &Agent, runtime: &Runtime, history: usize) -> Result<AgentThread> {
    Ok(agent.in_thread(runtime, filled(runtime.store(), history).await?))
}

/// The runtime of a small server: this machine's two cores.
fn two_threads() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// A folder on the disk that the project is on: the one of temporary files may be in memory.
fn folder() -> Result<TempDir> {
    let root = std::env::current_dir()?.join("target");
    tempfile::Builder::new().prefix("bench-").tempdir_in(root).context("failed to make a folder under target")
}
