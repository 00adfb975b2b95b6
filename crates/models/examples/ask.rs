//! Asks the model that is at hand, and prints its answer as it comes:
//! `cargo run -p loomwork-models --example ask -- When was the loom invented?`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::io::Write as _;

use futures_util::StreamExt as _;
use loomwork_models::{Chunk, Message, PartKind, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let question = if words.is_empty() { "Hello! Who are you?".to_owned() } else { words.join(" ") };

    // A provider whose key is set, or a local Ollama, or the offline model; LOOMWORK_MODEL decides otherwise.
    let detected = loomwork_models::detect().await?;
    println!("[{detected}]\n> {question}");

    let mut answer = detected.model.stream(Request::new([Message::user(question)])).await?;
    let mut text = None;
    while let Some(chunk) = answer.next().await {
        match chunk? {
            // Other parts are the model's thoughts, which are not printed here.
            Chunk::PartStart { part, kind: PartKind::Text, .. } => text = Some(part),
            Chunk::PartDelta { part, delta } if text == Some(part) => {
                print!("{delta}");
                std::io::stdout().flush()?;
            }
            Chunk::Finish(finish) => println!("\n[{:?}, {} tokens]", finish.reason, finish.usage.total()),
            _ => {}
        }
    }
    Ok(())
}
