use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
#[index(by_thread(thread))]
#[index(by_thread(thread, step))]
#[index(by_step(step, thread, step))]
#[index(all(step))]
#[index(by_nothing())]
struct Message {
    thread: u64,
    step: u32,
}

fn main() {}
