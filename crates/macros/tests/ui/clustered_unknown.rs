use loomwork_store::Table;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message", clustered = by_thred)]
#[index(by_thread(thread))]
#[index(by_step(step))]
struct Message {
    thread: u64,
    step: u32,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "threads", id = "thread", clustered = by_title)]
struct Thread {
    title: String,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "steps", id = "step", clustered = open)]
#[index(open(number), when = Step::is_open)]
struct Step {
    number: u32,
    done: bool,
}

impl Step {
    fn is_open(&self) -> bool {
        !self.done
    }
}

fn main() {}
