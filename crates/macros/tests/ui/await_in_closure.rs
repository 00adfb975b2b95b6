use loomwork_store::{Id, Result, Store, Table};
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize, Table)]
#[table(name = "messages", id = "message")]
struct Message {
    text: String,
}

async fn fetch() -> String {
    String::new()
}

async fn wait_inside(store: Store, id: Id<Message>) -> Result<()> {
    store.mutate(move |tx| tx.update(id, |message| message.text = fetch().await)).await?;
    Ok(())
}

async fn answer_with_a_future(store: Store, id: Id<Message>) -> Result<()> {
    store
        .mutate(move |tx| async move {
            let text = fetch().await;
            tx.update(id, |message| message.text = text)
        })
        .await?;
    Ok(())
}

fn main() {}
