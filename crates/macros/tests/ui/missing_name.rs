use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
struct Thread {
    title: String,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(id = "message")]
struct Message {
    text: String,
}

fn main() {}
