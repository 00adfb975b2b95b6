use loomwork_store::{Result, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
struct Message {
    text: String,
}

async fn write(store: Store) -> Result<()> {
    store.query(|tx| tx.insert(Message { text: String::new() })).await?;
    Ok(())
}

fn main() {}
