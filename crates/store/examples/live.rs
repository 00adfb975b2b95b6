//! A live query in one small program: a board of tasks, one of which is done while we watch.
//!
//! Run it with `cargo run -p loomwork-store --example live`.

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use loomwork_store::{Key, Result, Row, Store, Table, Tx};
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, Key)]
enum State {
    Open,
    Done,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "tasks", id = "task")]
#[index(by_state(state, priority))]
struct Task {
    title: String,
    state: State,
    priority: u32,
}

/// The open tasks, the most urgent first.
fn open_tasks(tx: &Tx) -> Result<Vec<Row<Task>>> {
    tx.scan(Task::by_state.eq(State::Open).desc())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let store = Store::memory().tables([Task::table()]).open().await?;
    let mut board = store.watch(open_tasks);

    store
        .mutate(|tx| {
            for (title, priority) in [("write the docs", 1), ("feed the cat", 9), ("fix the bug", 5)] {
                tx.insert(Task { title: title.into(), state: State::Open, priority })?;
            }
            Ok(())
        })
        .await?;

    while let Some(tasks) = board.next().await {
        let tasks = tasks?;
        println!("open: {:?}", tasks.iter().map(|task| task.title.as_str()).collect::<Vec<_>>());
        let Some(urgent) = tasks.first().map(|task| task.id) else { break };
        store.mutate(move |tx| tx.update(urgent, |task| task.state = State::Done)).await?;
    }
    println!("all done");
    Ok(())
}
