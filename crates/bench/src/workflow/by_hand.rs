//! A journal without an engine: rows that are appended by hand, and committed together as they wait.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_core::Stopwatch;
use rusqlite::{Connection, TransactionBehavior, params};

use super::RESULT_BYTES;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS steps (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, position INTEGER NOT NULL, kind TEXT NOT NULL,
        name TEXT NOT NULL, outcome TEXT NOT NULL, at INTEGER NOT NULL);
    CREATE UNIQUE INDEX IF NOT EXISTS by_run ON steps (run, position);
";

/// The most rows that share a commit.
const BATCH: usize = 512;

type Append = (u64, u64, tokio::sync::oneshot::Sender<()>);

/// How many rows a second `runs` callers append that each wait for their last row.
pub(super) async fn append(path: &Path, runs: u64, steps: u64) -> Result<f64> {
    let connection = open(path)?;
    let (rows, waiting) = mpsc::sync_channel::<Append>(1024);
    let writer = std::thread::spawn(move || write(connection, &waiting));
    let watch = Stopwatch::start();
    let mut callers = tokio::task::JoinSet::new();
    for run in 0..runs {
        let rows = rows.clone();
        callers.spawn(async move {
            for position in 0..steps {
                let (answer, answered) = tokio::sync::oneshot::channel();
                rows.send((run, position, answer)).ok().context("the writer runs")?;
                answered.await?;
            }
            anyhow::Ok(())
        });
    }
    callers.join_all().await.into_iter().collect::<Result<Vec<_>>>()?;
    let rate = (runs * steps) as f64 / watch.elapsed().as_secs_f64();
    drop(rows);
    writer.join().ok().context("the writer panicked")??;
    Ok(rate)
}

fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 10_000)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.execute_batch(SCHEMA)?;
    connection.execute("DELETE FROM steps", [])?;
    Ok(connection)
}

fn write(mut connection: Connection, waiting: &mpsc::Receiver<Append>) -> Result<()> {
    let outcome = serde_json::to_string(&"x".repeat(RESULT_BYTES))?;
    while let Ok(first) = waiting.recv() {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut answers = Vec::new();
        {
            let mut insert = tx.prepare_cached(
                "INSERT INTO steps (run, position, kind, name, outcome, at)
                 VALUES (?1, ?2, 'mutation', 'step', ?3, 1700000000000)",
            )?;
            for (run, position, answer) in std::iter::once(first).chain(waiting.try_iter().take(BATCH - 1)) {
                insert.execute(params![run as i64, position as i64, outcome])?;
                answers.push(answer);
            }
        }
        tx.commit()?;
        answers.into_iter().for_each(|answer| {
            let _ = answer.send(());
        });
    }
    Ok(())
}
