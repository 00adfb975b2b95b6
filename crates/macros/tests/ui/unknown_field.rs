use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
#[index(by_thread(thred, step))]
#[index(by_author(writer))]
struct Message {
    thread: u64,
    step: u32,
    r#type: String,
}

fn main() {}
