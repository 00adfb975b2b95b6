use loomwork_store::{Id, Result, Row, Table, Tx};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
#[index(by_thread(thread, step))]
struct Message {
    thread: Id<Thread>,
    step: u32,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "threads", id = "thread")]
#[index(by_title(title))]
struct Thread {
    title: String,
}

fn another_type(tx: &Tx) -> Result<Vec<Row<Thread>>> {
    tx.scan(Thread::by_title.eq(7))
}

fn an_id_of_another_table(tx: &Tx, id: Id<Message>) -> Result<Vec<Row<Message>>> {
    tx.scan(Message::by_thread.eq(id))
}

fn parts_in_another_order(tx: &Tx, thread: Id<Thread>) -> Result<Vec<Row<Message>>> {
    tx.scan(Message::by_thread.eq(7_u32).eq(thread))
}

fn more_values_than_parts(tx: &Tx, thread: Id<Thread>) -> Result<Vec<Row<Message>>> {
    tx.scan(Message::by_thread.eq(thread).eq(7_u32).eq(true))
}

fn a_part_behind_a_bound(tx: &Tx, thread: Id<Thread>) -> Result<Vec<Row<Message>>> {
    tx.scan(Message::by_thread.ge(thread).eq(7_u32))
}

fn main() {}
