//! Values instead of text: whole, as they grow, chosen, and an image; offline:
//! `cargo run -p loomwork-agent --example objects`

#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::{Agent, ObjectSpec, Options, Runtime};
use loomwork_files::{Blobs, Files};
use loomwork_messages::threads::NewThread;
use loomwork_models::{OfflineImages, OfflineModel};
use schemars::JsonSchema;
use serde::Deserialize;

/// A person, as the model is told.
#[derive(Debug, Deserialize, JsonSchema)]
struct Person {
    /// The full name.
    name: String,
    age: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let runtime = Runtime::memory().await?;
    let files = Files::new(runtime.store(), Blobs::memory(), loomwork_files::Options::default());
    let runtime = runtime.with_files(files);
    let model = Arc::new(OfflineModel::default().with_pace(Duration::from_millis(5)));
    let clerk = Agent::new("clerk", model).images(Arc::new(OfflineImages::default()));
    let thread = clerk.create_thread(&runtime, NewThread::for_user("alice")).await?;

    let person: Person = thread.generate_object("Ada Lovelace was 36 years old.").await?.object;
    println!("whole: {} is {}", person.name, person.age);

    let mut growing = thread.stream_object::<Person>("Grace Hopper was 85 years old.").await?;
    while let Some(partial) = growing.next().await {
        println!("so far: {partial}");
    }
    let reply = growing.finish().await?;
    println!("checked: {:?}, for {} tokens", reply.object, reply.usage.total());

    let mood = ObjectSpec::choice(["happy", "sad"]);
    let mood = thread.generate_object_with("What a sad day.", mood, Options::default()).await?;
    println!("chosen: {}", mood.object);

    let image = thread.generate_image("a bird on a carpet").await?;
    println!("drawn: {} file of type {}", image.files.len(), image.images[0].media_type);
    Ok(runtime.shutdown(Duration::from_secs(5)).await?)
}
