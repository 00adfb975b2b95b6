//! What holds for each provider alike: bad input, slow and huge answers, and connections that are closed.

use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_models::{
    Anthropic, AnthropicOptions, EmbedRequest, ErrorKind, HttpOptions, ImageRequest, LanguageModel, Message,
    OpenAi, OpenAiOptions, Proxy, Request, Result, Settings,
};
use loomwork_testkit::provider::{ClosedPort, Deltas, Failure, FakeProvider, Reply, Split};
use loomwork_testkit::soon;
use serde_json::json;

use crate::wire::within_a_second;

const MODEL: &str = "loom-1";

/// The protocols by which providers are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Chat,
    Responses,
    Messages,
    Embeddings,
    Images,
}

use Protocol::{Chat, Embeddings, Images, Messages, Responses};

const ALL: [Protocol; 5] = [Chat, Responses, Messages, Embeddings, Images];
const LANGUAGE: [Protocol; 3] = [Chat, Responses, Messages];

impl Protocol {
    fn provider(self) -> &'static str {
        if self == Messages { "anthropic" } else { "openai" }
    }

    fn openai(self, base_url: &str) -> OpenAi {
        let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
        let provider = self.provider().to_owned();
        OpenAi::with(OpenAiOptions { http, provider, ..OpenAiOptions::compatible(base_url, "sk-test") })
    }

    fn language_model(self, base_url: &str) -> std::sync::Arc<dyn LanguageModel> {
        match self {
            Chat => self.openai(base_url).chat(MODEL),
            Responses => self.openai(base_url).responses(MODEL),
            Messages => {
                let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
                let options = AnthropicOptions { http, ..AnthropicOptions::compatible(base_url, "sk-test") };
                Anthropic::with(options).messages(MODEL)
            }
            Embeddings | Images => panic!("{self:?} is no language model"),
        }
    }

    /// Asks once, and returns how much came: letters of a text, numbers of a vector, images.
    async fn ask(self, base_url: &str) -> Result<usize> {
        let settings = Settings { max_retries: Some(0), ..Settings::default() };
        match self {
            Embeddings => {
                let request = EmbedRequest { settings, ..EmbedRequest::new(["weave"]) };
                let embedded = soon(self.openai(base_url).embeddings(MODEL).embed(request)).await?;
                Ok(embedded.vectors[0].len())
            }
            Images => {
                let prompt = "A loom".to_owned();
                let request = ImageRequest { prompt, settings, ..ImageRequest::default() };
                Ok(soon(self.openai(base_url).images(MODEL).generate(request)).await?.images.len())
            }
            _ => Ok(soon(self.language_model(base_url).stream(request()))
                .await
                .map(loomwork_models::collect)?
                .await?
                .text()
                .len()),
        }
    }
}

fn request() -> Request {
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    Request::new([Message::user("Hello")]).with_settings(settings)
}

#[tokio::test]
async fn what_goes_wrong_is_told_alike_by_each_provider() {
    let page = "<!DOCTYPE html><html><head><title>Bad gateway</title></head></html>";
    let elsewhere = Reply::raw(302, "text/html", "").header("location", "https://elsewhere.example/?key=1");
    let cases: [(Reply, &str, bool, &str); 11] = [
        (Failure::status(401).into(), "auth", false, ""),
        (Failure::status(404).into(), "not_found", false, ""),
        (Failure::status(429).retry_after("7").into(), "rate_limited", true, ""),
        (Failure::status(503).into(), "overloaded", true, ""),
        (Failure::context_too_long().into(), "context_too_long", false, ""),
        (
            Failure::status(400).message("unsupported image: image/tiff").into(),
            "bad_request",
            false,
            "image/tiff",
        ),
        (Reply::raw(500, "text/plain", "plain words"), "overloaded", true, "plain words"),
        (Reply::raw(502, "text/html", page), "overloaded", true, "a web page titled \"Bad gateway\""),
        (Reply::raw(200, "text/html", page), "protocol", false, "a web page titled \"Bad gateway\""),
        (Reply::raw(200, "application/json", "{\"dat"), "protocol", false, "not the JSON that was due"),
        (elsewhere, "not_found", false, "leads to https://elsewhere.example:"),
    ];
    for protocol in ALL {
        for (reply, kind, is_retryable, words) in &cases {
            let fake = FakeProvider::start().await;
            fake.lenient().reply(reply.clone());
            let error = protocol.ask(fake.url()).await.unwrap_err();
            assert_eq!(
                (error.kind().as_str(), error.is_retryable()),
                (*kind, *is_retryable),
                "{protocol:?} {error}"
            );
            assert_eq!((error.provider(), error.model()), (protocol.provider(), MODEL), "{protocol:?}");
            assert!(error.message().contains(words), "{protocol:?} {error}");
            assert!(!error.to_string().contains("sk-test"), "{protocol:?} {error}");
        }
    }
}

#[tokio::test]
async fn answers_that_are_none_are_told_alike_by_each_provider() {
    for protocol in ALL {
        for body in [json!({}), json!({ "data": [], "choices": [] }), json!([1, 2]), json!("text")] {
            let fake = FakeProvider::start().await;
            fake.lenient().reply(Reply::json(&body));
            let error = protocol.ask(fake.url()).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.is_retryable()),
                (&ErrorKind::Protocol, false),
                "{protocol:?} {body}"
            );
            assert_eq!(error.usage(), None, "{protocol:?} {body}");
        }
    }
}

#[tokio::test]
async fn wrong_addresses_are_told_alike_by_each_provider() {
    let closed = ClosedPort::take();
    let cases = [
        (closed.url(), ErrorKind::Network, "Connection refused"),
        ("htp//x", ErrorKind::BadRequest, "is no URL"),
        ("ftp://x/v1", ErrorKind::BadRequest, "is none of a web server"),
    ];
    for protocol in ALL {
        for (address, kind, words) in &cases {
            let error = protocol.ask(address).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{protocol:?} {error}");
            assert!(error.message().contains(words), "{protocol:?} {error}");
        }
    }
}

#[tokio::test]
async fn slow_bytes_are_waited_for() {
    for protocol in ALL {
        let fake = FakeProvider::start().await;
        let reply = match protocol {
            Embeddings => Reply::new().vectors(vec![vec![0.6, 0.8]]),
            Images => Reply::new().image("picture"),
            _ => Reply::from("Grüezi, 世界"),
        };
        fake.reply(reply.split(Split::Every(16)).pace(Duration::from_millis(1)));
        let came = protocol.ask(fake.url()).await.unwrap();
        let expected = match protocol {
            Embeddings => 2,
            Images => 1,
            _ => "Grüezi, 世界".len(),
        };
        assert_eq!(came, expected, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_line_of_ten_megabytes_is_read() {
    const LENGTH: usize = 10 << 20;
    for protocol in LANGUAGE {
        let fake = FakeProvider::start().await;
        let text = "x".repeat(LENGTH);
        fake.reply(Reply::new().text(text).deltas(Deltas::Whole).split(Split::Every(1 << 14)));
        assert_eq!(protocol.ask(fake.url()).await.unwrap(), LENGTH, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_connection_is_closed_within_a_second_when_nobody_listens_any_more() {
    for protocol in LANGUAGE {
        let fake = FakeProvider::start().await;
        fake.reply(Reply::from("one two three").hangs_after(5));
        let mut stream = soon(protocol.language_model(fake.url()).stream(request())).await.unwrap();
        assert!(soon(stream.next()).await.unwrap().is_ok(), "{protocol:?}");
        drop(stream);
        within_a_second(fake.dropped()).await;
    }
    for protocol in ALL {
        let fake = FakeProvider::start().await;
        fake.reply(Reply::new().hangs());
        tokio::select! {
            _ = protocol.ask(fake.url()) => panic!("{protocol:?}: nothing answers"),
            _ = fake.arrived(1) => {}
        }
        within_a_second(fake.dropped()).await;
    }
}
