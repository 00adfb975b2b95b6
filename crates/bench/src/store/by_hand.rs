//! The same work in hand-written rusqlite: integer keys, typed columns, prepared statements.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, TransactionBehavior, params};

use super::tables::Message;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY, thread INTEGER NOT NULL, position INTEGER NOT NULL,
        user TEXT NOT NULL, status TEXT NOT NULL, record TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS by_thread ON messages (thread, position);
    CREATE INDEX IF NOT EXISTS by_user ON messages (user, position);
    CREATE INDEX IF NOT EXISTS by_status ON messages (status, position);
    CREATE TABLE IF NOT EXISTS threads (
        id INTEGER PRIMARY KEY, number INTEGER NOT NULL UNIQUE, record TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, due INTEGER NOT NULL, record TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due);
";

pub(crate) fn open(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(60))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 10_000)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

pub(crate) fn insert(connection: &Connection, message: &Message) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO messages (thread, position, user, status, record) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            message.thread as i64,
            message.position as i64,
            message.user,
            message.status,
            serde_json::to_string(message)?,
        ])?;
    Ok(())
}

/// One transaction a row.
pub(crate) fn insert_alone(connection: &mut Connection, message: &Message) -> Result<()> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    insert(&tx, message)?;
    Ok(tx.commit()?)
}

/// A writer that commits whatever waits, and answers after the commit.
pub(crate) struct Actor {
    pub(crate) messages: mpsc::SyncSender<(Message, tokio::sync::oneshot::Sender<()>)>,
    thread: Option<std::thread::JoinHandle<Result<()>>>,
}

impl Actor {
    pub(crate) fn start(path: &Path) -> Result<Self> {
        let mut connection = open(path)?;
        let (messages, waiting) = mpsc::sync_channel::<(Message, tokio::sync::oneshot::Sender<()>)>(1024);
        let thread = std::thread::spawn(move || {
            while let Ok(first) = waiting.recv() {
                let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let mut answers = Vec::new();
                let batch = std::iter::once(first).chain(waiting.try_iter().take(511));
                for (message, answer) in batch {
                    insert(&tx, &message)?;
                    answers.push(answer);
                }
                tx.commit()?;
                answers.into_iter().for_each(|answer| {
                    let _ = answer.send(());
                });
            }
            Ok(())
        });
        Ok(Self { messages, thread: Some(thread) })
    }

    pub(crate) fn stop(mut self) -> Result<()> {
        let thread = self.thread.take();
        drop(self.messages);
        thread.map_or(Ok(()), |thread| thread.join().unwrap_or_else(|_| anyhow::bail!("the actor panicked")))
    }
}
