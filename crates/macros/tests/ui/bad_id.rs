use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "Messages", id = "chat_message")]
struct Message {
    text: String,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = threads, id = 'b', version = 0, codec = jsn)]
struct Thread {
    title: String,
}

fn main() {}
