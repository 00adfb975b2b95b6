//! The same life of a job in hand-written rusqlite: typed columns, partial indexes, prepared statements.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use rusqlite::{Connection, TransactionBehavior, params};

const SCHEMA: &str = "
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY, pool TEXT NOT NULL, name TEXT NOT NULL, rank INTEGER NOT NULL,
        due INTEGER NOT NULL, state INTEGER NOT NULL, attempt INTEGER NOT NULL, worker INTEGER,
        args TEXT NOT NULL, result TEXT, enqueued INTEGER NOT NULL, started INTEGER, finished INTEGER);
    CREATE INDEX ready ON jobs (pool, name, rank, due) WHERE state = 0;
    CREATE INDEX running ON jobs (pool) WHERE state = 1;
    CREATE INDEX ended ON jobs (finished) WHERE state = 2;
";

/// A queue over one connection.
pub(super) struct Queue(Connection);

/// How long the commit of a step may be remembered by the operating system alone.
#[derive(Clone, Copy, Debug)]
enum Syncing {
    Full,
    Normal,
}

impl Queue {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 10_000)?;
        connection.pragma_update(None, "cache_size", -16 * 1024)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(connection))
    }

    /// One batch from beginning to end: enqueued, taken and completed, a transaction each. Taking is as
    /// durable as ours: the others are synced.
    pub(super) fn run(&mut self, batch: &[String]) -> Result<()> {
        self.commit(Syncing::Full, |tx| enqueue(tx, batch))?;
        let taken = self.commit(Syncing::Normal, |tx| take(tx, batch.len()))?;
        ensure!(taken.len() == batch.len(), "{} of {} jobs were taken", taken.len(), batch.len());
        self.commit(Syncing::Full, |tx| complete(tx, &taken))
    }

    fn commit<T>(&mut self, syncing: Syncing, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let level = match syncing {
            Syncing::Full => "FULL",
            Syncing::Normal => "NORMAL",
        };
        self.0.pragma_update(None, "synchronous", level)?;
        let tx = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let done = work(&tx)?;
        tx.commit()?;
        Ok(done)
    }
}

fn enqueue(tx: &Connection, batch: &[String]) -> Result<()> {
    let mut insert = tx.prepare_cached(
        "INSERT INTO jobs (pool, name, rank, due, state, attempt, args, enqueued)
         VALUES ('default', 'nothing', 2, ?1, 0, 0, ?2, ?1)",
    )?;
    for args in batch {
        insert.execute(params![1_700_000_000_000_i64, args])?;
    }
    Ok(())
}

fn take(tx: &Connection, count: usize) -> Result<Vec<(i64, String)>> {
    let mut ready = tx.prepare_cached(
        "SELECT id, args FROM jobs WHERE state = 0 AND pool = 'default' AND name = 'nothing'
         ORDER BY rank, due LIMIT ?1",
    )?;
    let jobs = ready.query_map([count as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let jobs: Vec<(i64, String)> = jobs.collect::<rusqlite::Result<_>>()?;
    let mut take = tx.prepare_cached("UPDATE jobs SET state = 1, worker = 1, started = ?2 WHERE id = ?1")?;
    for (id, _) in &jobs {
        take.execute(params![id, 1_700_000_000_000_i64])?;
    }
    Ok(jobs)
}

fn complete(tx: &Connection, jobs: &[(i64, String)]) -> Result<()> {
    let mut complete = tx.prepare_cached(
        "UPDATE jobs SET state = 2, attempt = attempt + 1, worker = NULL, result = 'null', finished = ?2
         WHERE id = ?1 AND worker = 1 AND attempt = 0",
    )?;
    for (id, _) in jobs {
        ensure!(complete.execute(params![id, 1_700_000_000_000_i64])? == 1, "job {id} is another's");
    }
    Ok(())
}
