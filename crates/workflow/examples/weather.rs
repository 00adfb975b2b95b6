//! Two calls of a model in a row: first the weather, then what to wear in it. Each answer is recorded, so a
//! crash between the two costs no second call of the first.
//!
//! Run it with `cargo run -p loomwork-workflow --example weather`.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

mod common;

use common::{ASK, open, wait};
use loomwork_core::RetryPolicy;
use loomwork_store::Result;
use loomwork_workflow::{Flow, Workflow, Workflows, history, start};

const FASHION: Workflow<String, String> = Workflow::new("fashion");

async fn fashion(wf: Flow, city: String) -> Result<String> {
    // The data comes from outside: recorded, so that a replay sees the same sky.
    let forecast = wf.effect("forecast", move || {
        let city = city.clone();
        async move { Ok(format!("In {city} it is 8 degrees, with rain in the afternoon.")) }
    });
    let forecast = forecast.await?;
    let patient = RetryPolicy::default().with_attempts(3);
    let weather = wf
        .run(&ASK, format!("{forecast}\nHow many degrees is it, and does rain come?"))
        .name("weather")
        .retry(patient)
        .await?;
    let wardrobe = match weather.contains("rain") {
        true => "In the rain people wear a coat.",
        false => "In the sun people wear a hat.",
    };
    let advice = format!("{wardrobe}\nWhat do people wear?");
    wf.run(&ASK, advice).name("fashion").retry(patient).await
}

#[tokio::main]
async fn main() -> Result<()> {
    let (store, _pool) = open([]).await?;
    let _workflows = Workflows::builder(&store).on(FASHION, fashion).start().await?;
    let id = store.mutate(|tx| start(tx, &FASHION, "Lisbon".into(), "lisbon today")).await?;
    println!("{:?}\n", wait(&store, FASHION, id).await?);
    if let Some(history) = store.query(move |tx| history(tx, id)).await? {
        println!("{history}\n{}", history.mermaid());
    }
    Ok(())
}
