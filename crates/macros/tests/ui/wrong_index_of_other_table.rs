use loomwork_store::{Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
#[index(by_thread(thread))]
struct Message {
    thread: u64,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "threads", id = "thread")]
#[index(by_title(title))]
struct Thread {
    title: String,
}

fn messages(tx: &Tx) -> Result<Vec<Row<Message>>> {
    tx.scan(Thread::by_title.eq("greetings"))
}

fn main() {}
