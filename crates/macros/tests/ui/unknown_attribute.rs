use loomwork_store::{Key, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(nam = "messages", name = "messages", id = "message", feed = true)]
#[index(by_thread(thread), were = Message::is_new, version = 2)]
#[index(by_step(step), uniq)]
#[index(by_both(thread, step), unique, when = Message::is_old)]
struct Message {
    thread: u64,
    step: u32,
}

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "threads", id = "thread", name = "threads")]
struct Thread {
    title: String,
}

#[derive(Key)]
#[key(rename = "status")]
enum Status {
    #[key(pending)]
    Pending,
}

fn main() {}
