//! Chat, a tool, a typed value, an embedding and an image, without a key and without a network.

use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_models::{
    Chunk, EmbedRequest, EmbeddingModel as _, ImageModel as _, ImageRequest, LanguageModel, Message,
    ObjectOptions, OfflineEmbedder, OfflineImages, OfflineModel, Part, Reply, Request, Role, ToolResult,
    ToolSpec, stream_object,
};
use serde_json::json;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result {
    // An application holds an `Arc<dyn LanguageModel>`, and any other model could stand here.
    let model = OfflineModel::default().with_pace(Duration::from_millis(10));
    chat(&model).await?;
    tool(&model).await?;
    object(&model).await?;
    nearness().await?;
    image().await
}

/// Asks about a document, and prints the answer as it comes.
async fn chat(model: &dyn LanguageModel) -> Result {
    heading("Chat");
    let mut report = Part::file(
        b"The Jacquard loom was patented in 1804. It reads its pattern from a chain of punched cards. \
          A skilled weaver made two inches of brocade a day; with the loom it became two feet."
            .as_slice(),
        "text/markdown",
    );
    if let Part::File(file) = &mut report {
        file.filename = Some("loom.md".to_owned());
    }
    let messages = [
        Message::user("Hello there!"),
        Message::new(Role::User, [report, Part::text("When was the loom patented?")]),
    ];
    for message in messages {
        println!("> {}", message.text());
        print_stream(model, Request::new([message])).await?;
    }
    Ok(())
}

/// Lets the model call a tool, runs it, and lets the model tell what came of it.
async fn tool(model: &dyn LanguageModel) -> Result {
    heading("Tool");
    let weather = ToolSpec::function(
        "get_weather",
        "Tells the current weather of a city.",
        json!({
            "type": "object",
            "properties": {
                "city": { "type": "string" },
                "unit": { "type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius" },
            },
            "required": ["city"],
        }),
    );
    let question = "What is the weather like in Buenos Aires, in fahrenheit?";
    println!("> {question}");
    let mut request = Request::new([Message::user(question)]).with_tools([weather]);
    let reply = model.generate(request.clone()).await?;
    let results: Vec<ToolResult> = reply
        .tool_calls()
        .map(|call| {
            println!("[the model calls {} with {}]", call.name, call.input);
            ToolResult::new(call, json!({ "sky": "clear", "degrees": 72 }))
        })
        .collect();
    request.messages.push(Message::new(Role::Assistant, reply.parts));
    request.messages.push(Message::tool(results));
    print_stream(model, request).await
}

/// An order in a shop.
#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Order {
    customer: String,
    city: String,
    quantity: u32,
    delivery_date: String,
    express: bool,
}

/// Reads a typed value out of a text, and shows it while it grows.
async fn object(model: &dyn LanguageModel) -> Result {
    heading("Typed value");
    let text =
        "Please send 12 balls of yarn to Ada Lovelace in London before 17 May 2026. No express, thank you.";
    println!("> {text}");
    let request = Request::new([Message::user(text)]);
    let mut stream = stream_object::<Order>(model, request, &ObjectOptions::default()).await?;
    while let Some(partial) = stream.next().await? {
        println!("  {partial}");
    }
    let order = stream.finish().await?;
    let Order { customer, city, quantity, delivery_date, express } = order.value;
    println!("{quantity} for {customer} in {city}, by {delivery_date}, express: {express}");
    println!("[{} call, {} tokens]\n", order.calls, order.usage.total());
    Ok(())
}

/// Compares texts by their vectors.
async fn nearness() -> Result {
    heading("Nearness");
    let texts = ["weaving a carpet", "How do I weave carpets?", "the price of tea in China"];
    let vectors = OfflineEmbedder::default().embed(EmbedRequest::new(texts)).await?.vectors;
    for (text, vector) in texts.iter().zip(&vectors).skip(1) {
        let nearness: f32 = vectors[0].iter().zip(vector).map(|(a, b)| a * b).sum();
        println!("{nearness:.2}  {:?} and {text:?}", texts[0]);
    }
    Ok(())
}

/// Draws a labelled image.
async fn image() -> Result {
    heading("Image");
    let prompt = "A bird that nobody had drawn".to_owned();
    let images =
        OfflineImages::default().generate(ImageRequest { prompt, ..ImageRequest::default() }).await?;
    let bytes = images.images[0].data.bytes().ok_or("the offline model gives bytes")?;
    std::fs::write("bird.png", &bytes)?;
    println!("bird.png: {} bytes", bytes.len());
    Ok(())
}

async fn print_stream(model: &dyn LanguageModel, request: Request) -> Result {
    let mut stream = model.stream(request).await?;
    let mut reply = loomwork_models::Assembly::default();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk?;
        if let Chunk::PartDelta { delta, .. } = &chunk {
            print!("{delta}");
            std::io::stdout().flush()?;
        }
        reply.push(chunk)?;
    }
    let reply: Reply = reply.finish()?;
    println!("\n[{:?}, {} tokens]\n", reply.finish.reason, reply.usage().total());
    Ok(())
}

fn heading(text: &str) {
    println!("== {text}");
}
