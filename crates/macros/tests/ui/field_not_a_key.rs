use std::collections::HashMap;

use loomwork_store::{Key, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
#[index(by_thread(thread, headers))]
#[index(by_headers(headers))]
#[index(by_weight(weight: Weight = Message::weight))]
struct Message {
    thread: u64,
    headers: HashMap<String, String>,
}

impl Message {
    fn weight(&self) -> Weight {
        Weight
    }
}

struct Weight;

#[derive(Key)]
struct Wrapped(Vec<Weight>);

fn main() {}
