//! A mutation as an agent makes it: two range reads, five writes over three tables.

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_store::{Store, Tx};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::tables::{Job, Message, Thread};
use super::{Bed, by_hand, folder, one_thread};
use crate::measure::{Row, Target};

const TURNS: u64 = 1_000;
const THREADS: u64 = 50;
const PAGE: usize = 10;

pub(super) fn measure() -> Result<Vec<Row>> {
    let runtime = one_thread()?;
    let bed = Bed::Sqlite(folder()?);
    let store = runtime.block_on(bed.open())?;
    let folder = folder()?;
    let mut connection = by_hand::open(&folder.path().join("hand.db"))?;
    let row = Row::measured(
        "mutation of 5 writes over 3 tables with 2 range reads, durable",
        "µs",
        Target::RatioAtMost(1.5),
        || runtime.block_on(turns(&store)),
        || turns_by_hand(&mut connection),
    )?;
    Ok(vec![row])
}

async fn turns(store: &Store) -> Result<f64> {
    let watch = Stopwatch::start();
    for turn in 0..TURNS {
        store.mutate(move |tx| run_turn(tx, turn % THREADS)).await?;
    }
    Ok(watch.elapsed().as_secs_f64() * 1e6 / TURNS as f64)
}

fn run_turn(tx: &mut Tx, number: u64) -> loomwork_store::Result<()> {
    let history = tx.scan(Message::by_thread.eq(number).desc().take(PAGE))?;
    let last = history.first().map_or(0, |message| message.position);
    let thread = match tx.first(Thread::by_number.eq(number))? {
        Some(thread) => thread,
        None => tx.insert(Thread { number, messages: 0 })?,
    };
    tx.insert(Message::new(number, last + 1))?;
    tx.insert(Message::new(number, last + 2))?;
    tx.update(thread.id, |thread| thread.messages += 2)?;
    tx.insert(Job { due: last, thread: number })?;
    tx.insert(Job { due: last + 1, thread: number })?;
    Ok(())
}

fn turns_by_hand(connection: &mut Connection) -> Result<f64> {
    let watch = Stopwatch::start();
    for turn in 0..TURNS {
        let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        run_turn_by_hand(&tx, turn % THREADS)?;
        tx.commit()?;
    }
    Ok(watch.elapsed().as_secs_f64() * 1e6 / TURNS as f64)
}

fn run_turn_by_hand(tx: &Connection, number: u64) -> Result<()> {
    let mut history = tx.prepare_cached(
        "SELECT record FROM messages WHERE thread = ?1 ORDER BY thread DESC, position DESC LIMIT 10",
    )?;
    let history = history.query_map([number as i64], |row| row.get::<_, String>(0))?;
    let history: Vec<Message> =
        history.map(|record| Ok(serde_json::from_str(&record?)?)).collect::<Result<_>>()?;
    let last = history.first().map_or(0, |message| message.position);
    let held = tx
        .prepare_cached("SELECT id, record FROM threads WHERE number = ?1")?
        .query_row([number as i64], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))
        .optional()?;
    by_hand::insert(tx, &Message::new(number, last + 1))?;
    by_hand::insert(tx, &Message::new(number, last + 2))?;
    match held {
        Some((id, record)) => {
            let mut thread: Thread = serde_json::from_str(&record)?;
            thread.messages += 2;
            tx.prepare_cached("UPDATE threads SET record = ?2 WHERE id = ?1")?
                .execute(params![id, serde_json::to_string(&thread)?])?;
        }
        None => {
            let record = serde_json::to_string(&Thread { number, messages: 2 })?;
            tx.prepare_cached("INSERT INTO threads (number, record) VALUES (?1, ?2)")?
                .execute(params![number as i64, record])?;
        }
    }
    for due in [last, last + 1] {
        let record = serde_json::to_string(&Job { due, thread: number })?;
        tx.prepare_cached("INSERT INTO jobs (due, record) VALUES (?1, ?2)")?
            .execute(params![due as i64, record])?;
    }
    Ok(())
}
