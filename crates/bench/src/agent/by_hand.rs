//! A chat turn in hand-written rusqlite: prompt and pending answer, the newest hundred messages, the answer.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rusqlite::{Connection, TransactionBehavior, params};

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS messages (
        id INTEGER PRIMARY KEY, thread INTEGER NOT NULL, position INTEGER NOT NULL,
        status TEXT NOT NULL, record TEXT NOT NULL);
    CREATE UNIQUE INDEX IF NOT EXISTS by_position ON messages (thread, position);
";

/// How many messages a context has.
const CONTEXT: i64 = 100;

pub(super) struct Chat {
    connection: Connection,
}

impl Chat {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self { connection })
    }

    pub(super) fn fill(&mut self, thread: i64, messages: i64) -> Result<()> {
        let tx = self.connection.transaction()?;
        for position in 0..messages {
            insert(&tx, thread, position, "success", &super::text())?;
        }
        Ok(tx.commit()?)
    }

    /// Makes a turn, and returns how much the model would read.
    pub(super) fn turn(&mut self, thread: i64) -> Result<usize> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let last: i64 = tx
            .prepare_cached("SELECT coalesce(max(position), -1) FROM messages WHERE thread = ?1")?
            .query_row(params![thread], |row| row.get(0))?;
        insert(&tx, thread, last + 1, "success", &super::text())?;
        insert(&tx, thread, last + 2, "pending", "")?;
        tx.commit()?;
        let read = self.context(thread)?;
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        tx.prepare_cached(
            "UPDATE messages SET status = 'success', record = ?3 WHERE thread = ?1 AND position = ?2",
        )?
        .execute(params![thread, last + 2, record(&super::text())?])?;
        tx.commit()?;
        Ok(read)
    }

    fn context(&self, thread: i64) -> Result<usize> {
        let mut select = self.connection.prepare_cached(
            "SELECT record FROM messages WHERE thread = ?1 AND status = 'success'
             ORDER BY position DESC LIMIT ?2",
        )?;
        let records = select.query_map(params![thread, CONTEXT], |row| row.get::<_, String>(0))?;
        let mut read = 0;
        for record in records {
            let message: loomwork_models::Message = serde_json::from_str(&record?)?;
            read += message.text().len();
        }
        Ok(read)
    }
}

fn insert(connection: &Connection, thread: i64, position: i64, status: &str, text: &str) -> Result<()> {
    connection
        .prepare_cached("INSERT INTO messages (thread, position, status, record) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![thread, position, status, record(text)?])?;
    Ok(())
}

fn record(text: &str) -> Result<String> {
    Ok(serde_json::to_string(&loomwork_models::Message::user(text))?)
}
