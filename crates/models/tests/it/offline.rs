//! The models that need no provider.

use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::{Clock, Time};
use loomwork_models::{
    Chunk, Data, EmbedRequest, EmbeddingModel as _, ErrorKind, Estimator, FinishReason, Format,
    ImageModel as _, ImageRequest, LanguageModel as _, Message, ObjectOptions, OfflineEmbedder,
    OfflineImages, OfflineModel, Part, ReasoningEffort, Reply, Request, Role, Settings, TokenCounter as _,
    ToolChoice, ToolOutput, ToolResult, ToolSpec, generate_object,
};
use loomwork_testkit::soon;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

async fn ask(request: Request) -> Reply {
    OfflineModel::default().generate(request).await.expect("an answer")
}

async fn say(messages: impl IntoIterator<Item = Message>) -> String {
    ask(Request::new(messages)).await.text()
}

fn document(name: &str, text: &'static str) -> Part {
    let Part::File(file) = Part::file(text.as_bytes(), "text/plain") else { unreachable!("it is a file") };
    Part::File(loomwork_models::File { filename: Some(name.to_owned()), ..file })
}

fn tool(name: &str, description: &str, properties: Value, required: &[&str]) -> ToolSpec {
    ToolSpec::function(
        name,
        description,
        json!({ "type": "object", "properties": properties, "required": required }),
    )
}

fn weather() -> ToolSpec {
    let properties = json!({
        "city": { "type": "string" },
        "unit": { "type": "string", "enum": ["celsius", "fahrenheit"] },
        "days": { "type": "integer", "minimum": 1, "maximum": 14 },
    });
    tool("get_weather", "Tells the weather of a city.", properties, &["city"])
}

async fn call(prompt: &str, tools: impl IntoIterator<Item = ToolSpec>) -> Vec<(String, Value)> {
    let reply = ask(Request::new([Message::user(prompt)]).with_tools(tools)).await;
    reply.tool_calls().map(|call| (call.name.clone(), call.input.clone())).collect()
}

#[tokio::test]
async fn every_answer_says_what_gave_it() {
    for prompt in ["Hello!", "Who are you?", "What is the meaning of life?", "Thanks!", "Tell me a story", ""]
    {
        let text = say([Message::user(prompt)]).await;
        assert!(text.contains("offline model, which follows rules"), "{prompt}: {text}");
    }
}

#[tokio::test]
async fn it_greets_and_names_the_tools_at_hand() {
    let reply = ask(Request::new([Message::user("Hallo!")]).with_tools([weather()])).await;
    assert!(reply.text().starts_with("Hallo! I am the offline model"), "{}", reply.text());
    assert!(reply.text().contains("The tools at hand: `get_weather`."));
    assert_eq!(reply.tool_calls().count(), 0);
}

#[tokio::test]
async fn it_quotes_documents_messages_instructions_and_tool_results() {
    let report = document("loom.txt", "The loom was patented in 1804. It reads cards.\nSheep give wool.");
    let text = say([Message::new(Role::User, [report, Part::text("When was the loom patented?")])]).await;
    assert!(text.contains("> The loom was patented in 1804. (loom.txt)"), "{text}");
    assert!(!text.contains("wool"), "{text}");

    let text = say([
        Message::user("My name is Ada and my cat is called Jacquard."),
        Message::assistant("Noted."),
        Message::user("What is my name?"),
    ])
    .await;
    assert!(text.contains("> My name is Ada and my cat is called Jacquard. (you, earlier)"), "{text}");

    let text = say([
        Message::system("Our shop opens at nine. Returns are free for 30 days."),
        Message::user("How many days are returns free?"),
    ])
    .await;
    assert!(text.contains("> Returns are free for 30 days. (the instructions)"), "{text}");

    let text =
        say([Message::user("Context:\n\nWool shrinks at 60 degrees.\n\nQuestion: When does wool shrink?")])
            .await;
    assert!(text.contains("> Wool shrinks at 60 degrees. (your message)"), "{text}");

    let text = say([Message::user("羊毛在六十度收缩。\n\n羊毛什么时候收缩？")]).await;
    assert!(text.contains("> 羊毛在六十度收缩。"), "{text}");
}

#[tokio::test]
async fn it_says_that_it_does_not_know_rather_than_make_something_up() {
    let text = say([Message::user("The sky is blue."), Message::user("Who built the pyramids?")]).await;
    assert!(text.contains("Nothing that I was given has the words of this question"), "{text}");
    assert!(!text.contains('>'), "{text}");
    let text = say([Message::new(
        Role::User,
        [Part::image_url("https://example.com/cat.png"), Part::text("What is this?")],
    )])
    .await;
    assert!(text.starts_with("I cannot see images"), "{text}");
}

#[tokio::test]
async fn it_repeats_and_summarises() {
    assert!(say([Message::user("Say: the loom hums")]).await.starts_with("the loom hums\n"));
    let text = "The loom weaves cloth from thread. Cloth from a loom is sold at the market. My aunt is tall. Thread for the loom is spun.";
    let report = document("report.txt", text);
    let summary = say([Message::new(Role::User, [report, Part::text("Summarise this.")])]).await;
    assert!(summary.contains("> The loom weaves cloth from thread. (report.txt)"), "{summary}");
    assert!(!summary.contains("aunt"), "{summary}");
}

#[tokio::test]
async fn the_same_request_gives_the_same_answer() {
    let request = || {
        Request::new([Message::user("The weather in Paris and the weather in Rome")]).with_tools([weather()])
    };
    assert_eq!(ask(request()).await, ask(request()).await);
}

#[tokio::test]
async fn it_calls_a_tool_that_is_hinted_at_or_named_with_what_the_prompt_says() {
    let cases = [
        ("What is the weather in Paris?", json!({ "city": "Paris" })),
        (
            "How will the weather be in New York for 3 days, in fahrenheit?",
            json!({ "city": "New York", "unit": "fahrenheit", "days": 3 }),
        ),
        ("weather for berlin please", json!({ "city": "berlin please" })),
        ("Please call get_weather with city: Buenos Aires", json!({ "city": "Buenos Aires" })),
        ("get weather, city = \"São Paulo\", 2 days", json!({ "city": "São Paulo", "days": 2 })),
    ];
    for (prompt, input) in cases {
        assert_eq!(call(prompt, [weather()]).await, [("get_weather".to_owned(), input)], "{prompt}");
    }
}

#[tokio::test]
async fn arguments_of_all_kinds_are_read() {
    let send = tool(
        "send_email",
        "Sends an email.",
        json!({ "to": { "type": "string", "format": "email" }, "subject": { "type": "string" }, "urgent": { "type": "boolean" } }),
        &["to", "subject"],
    );
    let prompt = "Send an email to ada@example.com about the new loom, it is not urgent.";
    assert_eq!(
        call(prompt, [send]).await,
        [(
            "send_email".to_owned(),
            json!({ "to": "ada@example.com", "subject": "new loom", "urgent": false })
        )]
    );

    let book = tool(
        "book_table",
        "Books a table.",
        json!({ "date": { "type": "string", "format": "date" }, "guests": { "type": "integer" } }),
        &["date", "guests"],
    );
    let prompt = "Book a table for 4 guests on 17 May 2026";
    assert_eq!(
        call(prompt, [book]).await,
        [("book_table".to_owned(), json!({ "date": "2026-05-17", "guests": 4 }))]
    );

    let sum = tool(
        "add_numbers",
        "Adds numbers.",
        json!({ "numbers": { "type": "array", "items": { "type": "number" } } }),
        &["numbers"],
    );
    assert_eq!(
        call("Add the numbers 2, 3.5 and seven", [sum]).await,
        [("add_numbers".to_owned(), json!({ "numbers": [2, 3.5, 7] }))]
    );

    let calculate =
        tool("calculator", "Calculates.", json!({ "expression": { "type": "string" } }), &["expression"]);
    assert_eq!(
        call("calculator: what is (17 + 4) * 2?", [calculate]).await,
        [("calculator".to_owned(), json!({ "expression": "(17 + 4) * 2" }))]
    );

    let search = tool(
        "search_notes",
        "Searches the notes of the user.",
        json!({ "query": { "type": "string" }, "limit": { "type": "integer", "default": 5 } }),
        &["query"],
    );
    assert_eq!(
        call("Search my notes for \"merino\"", [search]).await,
        [("search_notes".to_owned(), json!({ "query": "merino" }))]
    );
}

#[tokio::test]
async fn two_tools_are_called_at_once_each_with_its_own_arguments() {
    let time =
        tool("get_time", "Tells the time in a city.", json!({ "city": { "type": "string" } }), &["city"]);
    let calls = call("What is the weather in Paris and the time in Tokyo?", [time, weather()]).await;
    assert_eq!(
        calls,
        [
            ("get_weather".to_owned(), json!({ "city": "Paris" })),
            ("get_time".to_owned(), json!({ "city": "Tokyo" }))
        ]
    );
}

#[tokio::test]
async fn a_tool_that_is_not_asked_for_is_not_called() {
    assert!(call("How do I knit a sock?", [weather()]).await.is_empty());
    assert!(call("I like the weather", [weather()]).await.is_empty());
}

#[tokio::test]
async fn a_named_tool_whose_arguments_are_unsaid_is_asked_about() {
    let reply = ask(Request::new([Message::user("please run get_weather")]).with_tools([weather()])).await;
    assert!(
        reply.text().starts_with("I would call `get_weather`, but the prompt does not say `city`."),
        "{}",
        reply.text()
    );
}

#[tokio::test]
async fn the_result_of_a_tool_is_the_answer() {
    let mut request = Request::new([Message::user("What is the weather in Paris?")]).with_tools([weather()]);
    let reply = ask(request.clone()).await;
    assert_eq!(reply.finish.reason, FinishReason::ToolCalls);
    let called = reply.tool_calls().next().expect("a call").clone();
    request.messages.push(Message::new(Role::Assistant, reply.parts));
    let outputs = [
        (
            ToolOutput::Json(json!({ "sky": "clear", "degrees": 21 })),
            "It says:\n- sky: clear\n- degrees: 21\n",
        ),
        (ToolOutput::Text("sunny".into()), "I called `get_weather` with city: Paris. It says: sunny\n"),
        (
            ToolOutput::error("no such city"),
            "I called `get_weather` with city: Paris, and it failed: no such city",
        ),
        (
            ToolOutput::Denied { reason: Some("not today".into()) },
            "I was not allowed to call `get_weather` with city: Paris: not today.",
        ),
    ];
    for (output, said) in outputs {
        let mut request = request.clone();
        request.messages.push(Message::tool([ToolResult::new(&called, output)]));
        let answer = ask(request).await;
        assert_eq!((answer.finish.reason, answer.tool_calls().count()), (FinishReason::Stop, 0));
        assert!(answer.text().contains(said), "{}", answer.text());
    }
    // Results stay at hand for later questions.
    request.messages.push(Message::tool([ToolResult::new(&called, json!({ "sky": "clear" }))]));
    request.messages.push(Message::user("How was the sky?"));
    let answer = ask(Request { tools: Vec::new(), ..request }).await;
    assert!(answer.text().contains("> sky: clear (the tool `get_weather`)"), "{}", answer.text());
}

#[tokio::test]
async fn the_tool_choice_is_obeyed() {
    let request = || Request::new([Message::user("What is the weather in Paris?")]).with_tools([weather()]);
    let none = ask(request().with_tool_choice(ToolChoice::None)).await;
    assert_eq!(none.tool_calls().count(), 0);

    let idle = Request::new([Message::user("Good evening.")]).with_tools([weather()]);
    let required = ask(idle.clone().with_tool_choice(ToolChoice::Required)).await;
    let input = required.tool_calls().next().expect("a call").input.clone();
    assert!(input["city"].is_string(), "{input}");

    let named = ask(idle.clone().with_tool_choice(ToolChoice::Tool { name: "get_weather".into() })).await;
    assert_eq!(named.tool_calls().count(), 1);

    let model = OfflineModel::default();
    let wrong = idle.with_tool_choice(ToolChoice::Tool { name: "get_tea".into() });
    let error = model.generate(wrong).await.expect_err("no such tool");
    assert_eq!(
        error.to_string(),
        "offline/offline: bad_request: the tool choice names `get_tea`, and there is no such tool"
    );
    let none = Request::new([Message::user("hi")]).with_tool_choice(ToolChoice::Required);
    assert_eq!(model.generate(none).await.expect_err("no tools").kind(), &ErrorKind::BadRequest);
    assert_eq!(
        model.generate(Request::default()).await.expect_err("no messages").kind(),
        &ErrorKind::BadRequest
    );
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Feeling {
    Positive,
    Neutral,
    Negative,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Item {
    name: String,
    price: f64,
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
struct Letter {
    sender: String,
    email: Option<String>,
    phone: Option<String>,
    written_on: String,
    feeling: Feeling,
    tags: Vec<String>,
    items: Vec<Item>,
    urgent: bool,
}

async fn object<T: JsonSchema + serde::de::DeserializeOwned>(text: &str) -> T {
    let request = Request::new([Message::user(text)]);
    let object = generate_object::<T>(&OfflineModel::default(), request, &ObjectOptions::default()).await;
    object.expect("a value").value
}

#[tokio::test]
async fn a_schema_is_filled_with_what_the_prompt_says() {
    let letter: Letter = object(
        "Sender: Grace Hopper, grace@example.com\nWritten on: 2026-03-01\nTags: yarn, delivery and thanks\n\
         I love the loom, it is urgent!\n- Merino 12.5 euros\n- Shuttle 3 euros",
    )
    .await;
    assert_eq!(letter.sender, "Grace Hopper");
    assert_eq!(letter.email.as_deref(), Some("grace@example.com"));
    assert_eq!((letter.phone, letter.written_on.as_str()), (None, "2026-03-01"));
    assert_eq!(letter.feeling, Feeling::Positive);
    assert_eq!(letter.tags, ["yarn", "delivery", "thanks"]);
    assert!(letter.items.contains(&Item { name: "Merino".into(), price: 12.5 }), "{:?}", letter.items);
    assert!(letter.items.contains(&Item { name: "Shuttle".into(), price: 3.0 }), "{:?}", letter.items);
    assert!(letter.urgent);
}

#[derive(Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(tag = "shape", rename_all = "lowercase")]
enum Shape {
    Square { side: f64 },
    Circle { radius: f64 },
}

#[tokio::test]
async fn variants_bounds_and_references_are_followed() {
    assert_eq!(object::<Shape>("Draw a circle with a radius of 2.5").await, Shape::Circle { radius: 2.5 });
    assert_eq!(object::<Shape>("A square whose side is 4").await, Shape::Square { side: 4.0 });
    let shapes: Vec<Feeling> = object("first negative, then positive").await;
    assert!(shapes.contains(&Feeling::Negative) && shapes.contains(&Feeling::Positive));

    let schema = json!({
        "type": "object",
        "properties": {
            "count": { "type": "integer", "minimum": 3, "maximum": 5 },
            "code": { "type": "string", "maxLength": 4 },
            "names": { "type": "array", "items": { "type": "string" }, "minItems": 2, "maxItems": 3 },
            "next": { "$ref": "#" },
        },
        "required": ["count", "code", "names"],
    });
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for prompt in ["", "7", "count 4 for Ada, Grace, Joan and Mary", "{}"] {
        let output = loomwork_models::OutputSchema {
            name: "x".into(),
            description: None,
            schema: schema.clone(),
            strict: true,
        };
        let reply = ask(Request::new([Message::user(prompt)]).with_format(Format::Schema(output))).await;
        let value: Value = serde_json::from_str(&reply.text()).expect("JSON");
        assert!(validator.is_valid(&value), "{prompt}: {value}");
    }
}

#[tokio::test]
async fn json_without_a_schema_is_json() {
    let reply = ask(Request::new([Message::user("City: Paris\nDays: 3")]).with_format(Format::Json)).await;
    let value: Value = serde_json::from_str(&reply.text()).expect("JSON");
    assert_eq!(value, json!({ "city": "Paris", "days": "3" }));
}

#[tokio::test]
async fn it_streams_word_by_word_at_its_pace() {
    let manual = Clock::manual(Time::EPOCH);
    let model = OfflineModel::default().with_clock(manual.clock()).with_pace(Duration::from_millis(40));
    let mut stream =
        model.stream(Request::new([Message::user("Say: one two three")])).await.expect("a stream");
    let mut words = 0;
    loop {
        let next = stream.next();
        tokio::pin!(next);
        // Either a chunk is there, or the model waits for its next word.
        let item = soon(async {
            tokio::select! {
                biased;
                item = &mut next => item,
                () = async {
                    manual.timers_waiting(1).await;
                    manual.advance_to_next_timer();
                    std::future::pending().await
                } => unreachable!("it is pending"),
            }
        })
        .await;
        match item.expect("a chunk").expect("no error") {
            Chunk::PartDelta { delta, .. } => {
                words += 1;
                assert_eq!(manual.clock().now(), Time::from_millis(40 * words), "{delta}");
            }
            Chunk::Finish(finish) => break assert_eq!(finish.reason, FinishReason::Stop),
            _ => {}
        }
    }
    assert!(words > 10, "{words} words");
}

#[tokio::test]
async fn limits_stop_sequences_and_cancellation_are_obeyed() {
    let request = |settings| Request::new([Message::user("Tell me a story")]).with_settings(settings);
    let whole = ask(request(Settings::default())).await;

    let cut = ask(request(Settings { max_output_tokens: Some(12), ..Settings::default() })).await;
    assert_eq!(cut.finish.reason, FinishReason::Length);
    assert!(cut.usage().output() <= 12 && whole.text().starts_with(&cut.text()) && !cut.text().is_empty());

    let stop = vec!["never".to_owned(), "loom".to_owned()];
    let stopped = ask(request(Settings { stop_sequences: stop, ..Settings::default() })).await;
    assert_eq!(stopped.finish.reason, FinishReason::Stop);
    assert_eq!(Some(stopped.text().as_str()), whole.text().split("loom").next());

    let asked = request(Settings::default());
    asked.cancel.cancel();
    let error = OfflineModel::default().generate(asked).await.expect_err("cancelled");
    assert_eq!(error.kind(), &ErrorKind::Cancelled);
}

#[tokio::test]
async fn usage_is_what_the_counter_counts() {
    let request = Request::new([Message::user("Hello!")]);
    let reply = ask(request.clone()).await;
    assert_eq!(reply.usage().input_fresh, Estimator.count_request(&request));
    let near = Estimator.count(&reply.text());
    assert!(reply.usage().output_text.abs_diff(near) <= near / 5, "{} for {near}", reply.usage().output_text);

    #[derive(Debug)]
    struct Letters;
    impl loomwork_models::TokenCounter for Letters {
        fn count(&self, text: &str) -> u64 {
            text.chars().count() as u64
        }
    }
    let reply = OfflineModel::default().with_counter(Letters).generate(request).await.expect("an answer");
    assert_eq!(reply.usage().output_text, reply.text().chars().count() as u64);
}

#[tokio::test]
async fn it_says_which_rule_it_followed_when_it_is_asked_to_think() {
    let effort = Settings { reasoning_effort: Some(ReasoningEffort::Low), ..Settings::default() };
    let request =
        Request::new([Message::user("weather in Paris")]).with_tools([weather()]).with_settings(effort);
    let reply = ask(request).await;
    assert!(reply.reasoning().contains("`get_weather` with {\"city\":\"Paris\"}"), "{}", reply.reasoning());
    assert!(reply.usage().output_reasoning > 0);
}

#[tokio::test]
async fn a_tool_of_a_provider_is_left_out_with_a_warning() {
    let search = ToolSpec::Provider { id: "openai.web_search".into(), args: json!({}) };
    let reply = ask(Request::new([Message::user("Hello!")]).with_tools([search])).await;
    assert_eq!(reply.info.warnings[0].what, "tool openai.web_search");
}

async fn embed(texts: &[&str]) -> Vec<Vec<f32>> {
    OfflineEmbedder::default().embed(EmbedRequest::new(texts.iter().copied())).await.expect("vectors").vectors
}

fn nearness(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

#[tokio::test]
async fn vectors_have_the_length_1_and_any_dimension() {
    let model = OfflineEmbedder::default();
    for dimensions in [1, 2, 384, 1536, OfflineEmbedder::MAX_DIMENSIONS] {
        let texts = ["The loom", "!!!", " ", "羊毛", "a"];
        let request = EmbedRequest { dimensions: Some(dimensions), ..EmbedRequest::new(texts) };
        for vector in model.embed(request).await.expect("vectors").vectors {
            assert_eq!(vector.len(), dimensions);
            assert!((nearness(&vector, &vector) - 1.0).abs() < 1e-4);
        }
    }
    assert_eq!((model.dimensions(), embed(&["x"]).await[0].len()), (Some(384), 384));
    for (dimensions, text) in [(Some(0), "x"), (Some(70_000), "x"), (None, "")] {
        let request = EmbedRequest { dimensions, ..EmbedRequest::new([text]) };
        assert_eq!(model.embed(request).await.expect_err("bad input").kind(), &ErrorKind::BadRequest);
    }
}

#[tokio::test]
async fn texts_that_share_words_are_near_in_any_language() {
    let groups = [
        ["How do I weave a carpet?", "weaving carpets", "the price of tea"],
        ["Wie wird das Wetter morgen?", "Das Wetter von morgen", "Der Preis von Tee"],
        ["明天天气怎么样", "明天的天气", "茶叶的价格"],
        ["Какая погода завтра?", "Погода на завтра", "Цена чая"],
        ["misspelled programing langauge", "programming language", "a bowl of soup"],
        ["कल मौसम कैसा रहेगा", "कल का मौसम", "चाय की कीमत"],
        ["พรุ่งนี้อากาศเป็นอย่างไร", "อากาศพรุ่งนี้", "ราคาชา"],
    ];
    for [text, near, far] in groups {
        let vectors = embed(&[text, near, far]).await;
        let (near_by, far_off) = (nearness(&vectors[0], &vectors[1]), nearness(&vectors[0], &vectors[2]));
        assert!(near_by > far_off + 0.1, "{text}: {near_by} and {far_off}");
    }
}

/// Vectors are stored: another version has to make the same ones.
#[tokio::test]
async fn the_vector_of_a_text_never_changes() {
    let request = EmbedRequest { dimensions: Some(4), ..EmbedRequest::new(["The loom reads cards."]) };
    let vector = OfflineEmbedder::default().embed(request).await.expect("a vector").vectors.remove(0);
    let rounded: Vec<i32> = vector.iter().map(|value| (value * 1_000.0).round() as i32).collect();
    assert_eq!(rounded, [-690, 328, -610, 210]);
}

fn decoded(data: &Data) -> (u32, u32, Vec<u8>) {
    let bytes = data.bytes().expect("bytes").to_vec();
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG file");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
    let info = reader.next_frame(&mut pixels).expect("an image");
    (info.width, info.height, pixels)
}

#[tokio::test]
async fn an_image_is_a_png_of_the_size_and_follows_from_prompt_and_seed() {
    let model = OfflineImages::default();
    let request = |prompt: &str, seed| ImageRequest {
        prompt: prompt.to_owned(),
        size: Some((320, 200)),
        count: 2,
        seed,
        ..ImageRequest::default()
    };
    let images = model.generate(request("A bird, drawn by nobody ✓", Some(7))).await.expect("images");
    assert_eq!((images.images.len(), images.usage.images), (2, 2));
    let (width, height, pixels) = decoded(&images.images[0].data);
    assert_eq!((width, height, pixels.len()), (320, 200, 320 * 200 * 3));
    // The label has ink, and the pattern has colours.
    assert!(pixels.chunks(3).filter(|pixel| *pixel == [35, 31, 32]).count() > 500);
    assert!(pixels.chunks(3).collect::<std::collections::HashSet<_>>().len() > 8);

    let again = model.generate(request("A bird, drawn by nobody ✓", Some(7))).await.expect("images");
    assert_eq!(images, again);
    let other_seed = model.generate(request("A bird, drawn by nobody ✓", Some(8))).await.expect("images");
    assert_eq!(images.images[1].data, other_seed.images[0].data);
    assert_ne!(images.images[0].data, other_seed.images[0].data);
    let other_prompt = model.generate(request("A fish", Some(7))).await.expect("images");
    assert_ne!(images.images[0].data, other_prompt.images[0].data);
}

#[tokio::test]
async fn images_of_any_prompt_and_of_odd_sizes_are_whole() {
    let model = OfflineImages::default();
    for size in [(16, 16), (17, 1_024), (1_024, 16), (333, 77)] {
        for prompt in ["", "x", "a very long prompt that goes on and on ".repeat(30).as_str(), "長い名前"]
        {
            let request =
                ImageRequest { prompt: prompt.to_owned(), size: Some(size), ..ImageRequest::default() };
            let images = model.generate(request).await.expect("an image");
            let (width, height, _) = decoded(&images.images[0].data);
            assert_eq!((width, height), size);
        }
    }
}

#[tokio::test]
async fn images_that_cannot_be_made_are_refused_and_edits_are_warned_of() {
    let model = OfflineImages::default();
    for (size, count) in [((0, 100), 1), ((5_000, 100), 1), ((100, 100), 11)] {
        let request = ImageRequest { size: Some(size), count, ..ImageRequest::default() };
        let error = model.generate(request).await.expect_err("bad input");
        assert_eq!((error.kind(), error.provider()), (&ErrorKind::BadRequest, "offline"));
    }
    let edit =
        ImageRequest { prompt: "x".into(), images: vec![Data::from(vec![0])], ..ImageRequest::default() };
    let images = model.generate(edit).await.expect("an image");
    assert_eq!(images.warnings[0].what, "images");
}
