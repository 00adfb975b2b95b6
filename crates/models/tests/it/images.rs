//! OpenAI Images, over real HTTP against a fake provider.

use std::sync::Arc;

use loomwork_models::{
    Data, ErrorKind, HttpOptions, ImageModel, ImageRequest, OpenAi, OpenAiOptions, Proxy, Settings,
};
use loomwork_testkit::provider::{Endpoint, Failure, FakeProvider, Reply, Usage};
use loomwork_testkit::soon;
use serde_json::{Map, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0 and so on";

fn model(fake: &FakeProvider, provider: &str, name: &str) -> Arc<dyn ImageModel> {
    let options = OpenAiOptions {
        provider: provider.to_owned(),
        http: HttpOptions { proxy: Proxy::None, ..HttpOptions::default() },
        ..OpenAiOptions::compatible(format!("{}/v1", fake.url()), "sk-test")
    };
    OpenAi::with(options).images(name)
}

fn loom() -> ImageRequest {
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    ImageRequest { prompt: "A loom".to_owned(), settings, ..ImageRequest::default() }
}

#[tokio::test]
async fn images_come_as_bytes_with_their_type_and_cost() {
    let fake = FakeProvider::start().await;
    let cost = Usage { input: 10, output: 300, ..Usage::default() };
    fake.reply(Reply::new().image(PNG).image(JPEG).usage(cost));
    let mut request = ImageRequest { count: 2, size: Some((1024, 1536)), ..loom() };
    request.provider_options = Map::from_iter([("openai".to_owned(), json!({ "quality": "high" }))]);
    let made = soon(model(&fake, "openai", "gpt-image-1").generate(request)).await.unwrap();
    assert_eq!(fake.refused(), Vec::<String>::new());
    assert_eq!(fake.last_request().path, "/v1/images/generations");
    assert_eq!(
        fake.last_request().body,
        json!({ "model": "gpt-image-1", "prompt": "A loom", "n": 2, "size": "1024x1536", "quality": "high" })
    );
    assert_eq!(made.images[0].data, Data::from(PNG));
    let types: Vec<_> = made.images.iter().map(|image| image.media_type.as_deref()).collect();
    assert_eq!(types, [Some("image/png"), Some("image/jpeg")]);
    let usage = &made.usage;
    assert_eq!((usage.input_fresh, usage.output_image, usage.output_text, usage.images), (10, 300, 0, 2));
    assert!(!usage.inconsistent && usage.raw.is_some());
}

#[tokio::test]
async fn images_come_as_addresses_from_models_that_give_those() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().edit(|body| body["data"][0]["revised_prompt"] = json!("A wooden loom")));
    let made = soon(model(&fake, "openai", "dall-e-3").generate(loom())).await.unwrap();
    let image = &made.images[0];
    assert!(matches!(&image.data, Data::Url(url) if url.starts_with(fake.url())), "{image:?}");
    assert_eq!(image.media_type, None);
    assert_eq!(image.revised_prompt.as_deref(), Some("A wooden loom"));
    assert_eq!(made.usage.images, 1);
}

#[tokio::test]
async fn the_format_that_a_server_names_is_the_type() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().edit(|body| body["output_format"] = json!("webp")));
    let made = soon(model(&fake, "openai", "gpt-image-1").generate(loom())).await.unwrap();
    assert_eq!(made.images[0].media_type.as_deref(), Some("image/webp"));
}

#[tokio::test]
async fn a_seed_goes_to_servers_that_may_take_it() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new()).reply(Reply::new());
    let request = || ImageRequest { seed: Some(7), ..loom() };
    let made = soon(model(&fake, "openai", "gpt-image-1").generate(request())).await.unwrap();
    assert_eq!(fake.last_request().body.get("seed"), None);
    assert_eq!(made.warnings[0].what, "seed");
    let made = soon(model(&fake, "localai", "flux").generate(request())).await.unwrap();
    assert_eq!(fake.last_request().body["seed"], 7);
    assert_eq!(made.warnings, []);
}

#[tokio::test]
async fn an_edit_is_a_form_that_a_retry_sends_again() {
    let fake = FakeProvider::start().await;
    fake.reply_to(Endpoint::ImageEdits, Failure::status(500).header("retry-after-ms", "1"));
    fake.reply_to(Endpoint::ImageEdits, Reply::new().image(PNG));
    let mut request = ImageRequest {
        images: vec![Data::from(PNG), Data::Url("data:image/jpeg;base64,/9j/4AAA".to_owned())],
        mask: Some(Data::from(PNG)),
        size: Some((512, 512)),
        settings: Settings::default(),
        ..loom()
    };
    request.provider_options = Map::from_iter([(
        "openai".to_owned(),
        json!({ "input_fidelity": "high", "output_compression": 50 }),
    )]);
    let made = soon(model(&fake, "openai", "gpt-image-1").generate(request)).await.unwrap();
    assert_eq!(fake.refused(), Vec::<String>::new());
    assert_eq!(made.images[0].data, Data::from(PNG));
    let sent = fake.requests();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0].form, sent[1].form);
    let text = |name: &str| sent[1].form_part(name).map(|part| part.text().to_owned()).unwrap_or_default();
    let fields = ["model", "prompt", "n", "size", "input_fidelity", "output_compression"].map(text);
    assert_eq!(fields, ["gpt-image-1", "A loom", "1", "512x512", "high", "50"]);
    let files: Vec<_> = sent[1].form.iter().filter(|part| part.file_name.is_some()).collect();
    let files: Vec<_> = files
        .iter()
        .map(|file| {
            (file.name.as_str(), file.file_name.as_deref().unwrap(), file.content_type.as_deref().unwrap())
        })
        .collect();
    assert_eq!(
        files,
        [
            ("image[]", "0.png", "image/png"),
            ("image[]", "1.jpeg", "image/jpeg"),
            ("mask", "mask.png", "image/png")
        ]
    );
    assert_eq!(sent[1].form_part("image[]").unwrap().bytes, PNG);
}

#[tokio::test]
async fn one_image_to_edit_is_named_as_older_models_want_it() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new());
    let request = ImageRequest { images: vec![Data::from(PNG)], ..loom() };
    soon(model(&fake, "openai", "dall-e-2").generate(request)).await.unwrap();
    assert!(fake.last_request().form_part("image").is_some());
}

#[tokio::test]
async fn requests_that_cannot_work_are_refused_before_the_call() {
    let fake = FakeProvider::start().await;
    let cases = [
        (ImageRequest { prompt: " ".to_owned(), ..loom() }, "the prompt is empty"),
        (ImageRequest { mask: Some(Data::from(PNG)), ..loom() }, "there is no image"),
        (
            ImageRequest {
                images: vec![Data::from(PNG), Data::Url("https://example.com/a.png".to_owned())],
                ..loom()
            },
            "image 1 is not at hand",
        ),
    ];
    for (request, words) in cases {
        let error = soon(model(&fake, "openai", "gpt-image-1").generate(request)).await.unwrap_err();
        assert_eq!((error.kind(), error.model()), (&ErrorKind::BadRequest, "gpt-image-1"));
        assert!(error.message().contains(words), "{error}");
    }
    assert_eq!(fake.requests().len(), 0);
}

#[tokio::test]
async fn an_image_type_that_the_server_refuses_is_a_bad_request() {
    let fake = FakeProvider::start().await;
    let request = ImageRequest { images: vec![Data::from(b"GIF89a and so on".to_vec())], ..loom() };
    let error = soon(model(&fake, "openai", "gpt-image-1").generate(request)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (&ErrorKind::BadRequest, Some("unsupported_file_mimetype")));
    assert!(error.message().contains("image/gif"), "{error}");
}

#[tokio::test]
async fn failures_and_answers_without_images_are_typed_errors() {
    let fake = FakeProvider::start().await;
    let read = async |reply: Reply| {
        fake.reply(reply);
        soon(model(&fake, "openai", "gpt-image-1").generate(loom())).await.unwrap_err()
    };
    let policy = Failure::status(400).code("moderation_blocked").message("not allowed");
    assert_eq!(read(policy.into()).await.kind(), &ErrorKind::ContentPolicy);
    for body in
        [json!({ "data": [] }), json!({ "data": [{}] }), json!({ "data": [{ "b64_json": "!" }] }), json!({})]
    {
        let error = read(Reply::json(&body)).await;
        assert_eq!(error.kind(), &ErrorKind::Protocol, "{body}: {error}");
    }
}

#[tokio::test]
async fn images_whose_server_does_not_say_what_they_cost_are_estimated() {
    let fake = FakeProvider::start().await;
    fake.reply(Reply::new().image(PNG).no_usage());
    let made = soon(model(&fake, "openai", "gpt-image-1").generate(loom())).await.unwrap();
    assert!(made.usage.estimated && made.usage.input() > 0, "{:?}", made.usage);
    assert_eq!(made.usage.images, 1);
}

/// Requests with all that this protocol has a place for, as they are sent.
#[tokio::test]
async fn requests_of_all_features() {
    let fake = FakeProvider::start().await;
    fake.lenient().reply(Reply::new().image(PNG)).reply(Reply::new().image(PNG));
    let mut request = ImageRequest { count: 2, size: Some((1024, 1536)), seed: Some(7), ..loom() };
    request.provider_options = Map::from_iter([("studio".to_owned(), json!({ "quality": "high" }))]);
    let model = model(&fake, "studio", "loom-1");
    soon(model.generate(request.clone())).await.unwrap();
    insta::assert_json_snapshot!("made", fake.last_request().body);

    let edit = ImageRequest { images: vec![PNG.into(), JPEG.into()], mask: Some(PNG.into()), ..request };
    soon(model.generate(edit)).await.unwrap();
    let form: Vec<_> = fake.last_request().form.into_iter().map(|part| {
        let content = if part.file_name.is_some() { format!("{} bytes", part.bytes.len()) } else { part.text().to_owned() };
        json!({ "name": part.name, "file": part.file_name, "type": part.content_type, "content": content })
    }).collect();
    insta::assert_json_snapshot!("edited", form);
}
