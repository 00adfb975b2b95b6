//! An app with a table of its own and a tool that writes there. Its only dependency is `loomwork`.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::sync::Arc;
use std::time::Duration;

use loomwork::agent::{BoxError, ToolContext};
use loomwork::messages::threads::NewThread;
use loomwork::serde::{Deserialize, Serialize};
use loomwork::{Agent, App, OfflineModel, Row, Table, step_count, tool};

#[derive(Clone, Serialize, Deserialize, Table)]
#[serde(crate = "loomwork::serde")]
#[table(name = "wishes", id = "wish")]
#[index(by_person(person))]
struct Wish {
    person: String,
    text: String,
}

/// Keeps what somebody wishes for.
#[tool]
async fn keep_wish(
    ctx: ToolContext,
    /// Who wishes for it.
    person: String,
    /// What they wish for.
    present: String,
) -> Result<String, BoxError> {
    let new = Wish { person: person.clone(), text: present };
    ctx.store().mutate(move |tx| tx.insert(new)).await?;
    Ok(format!("{person} may get it."))
}

async fn run() -> Result<(), BoxError> {
    let agent = Agent::new("wishes", Arc::new(OfflineModel::default()))
        .instructions("You keep what people wish for.")
        .tool(keep_wish)?
        .stop_when(step_count(3));
    let app = App::memory().tables([Wish::table()]).agent(agent.clone()).build().await?;
    let thread = agent.create_thread(app.runtime(), NewThread::for_user("ada")).await?;
    let reply = thread.generate_text("Use keep_wish with person Ada and present loom.").await?;
    println!("{}", reply.text);
    let kept: Vec<Row<Wish>> = app.store().query(|tx| tx.scan(Wish::by_person.eq("Ada"))).await?;
    for wish in kept {
        println!("{} wishes for {}", wish.person, wish.text);
    }
    app.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}

fn main() -> Result<(), BoxError> {
    loomwork::tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(run())
}
