use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "events", id = "event")]
enum Event {
    Opened,
    Closed,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "pairs", id = "pair")]
struct Pair(u32, u32);

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "holders", id = "holder")]
struct Holder<T> {
    held: T,
}

fn main() {}
