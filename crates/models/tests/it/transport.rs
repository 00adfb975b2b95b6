//! What all providers share: proxies, TLS, and connections that never come about.

use std::time::Duration;

use loomwork_models::{
    ErrorKind, HttpOptions, LanguageModel, Message, OpenAi, OpenAiOptions, Proxy, Request, Settings,
};
use loomwork_testkit::soon;
use serde_json::json;

use crate::wire::{FullPort, Server};

fn model(base_url: &str, http: HttpOptions) -> std::sync::Arc<dyn LanguageModel> {
    OpenAi::with(OpenAiOptions { http, ..OpenAiOptions::compatible(base_url, "sk-test") }).chat("m")
}

fn once() -> Request {
    let settings = Settings { max_retries: Some(0), ..Settings::default() };
    Request::new([Message::user("Hello")]).with_settings(settings)
}

fn hello(_: &str) -> String {
    let body =
        json!({ "choices": [{ "message": { "content": "Hello" }, "finish_reason": "stop" }] }).to_string();
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[tokio::test]
async fn a_proxy_leads_to_the_provider() {
    let proxy = Server::start(hello).await;
    let address = format!("http://user:pass@{}", proxy.address());
    let http = HttpOptions { proxy: Proxy::Url(address), ..HttpOptions::default() };
    // No such host is anywhere: only the proxy can answer.
    let model = model("http://provider.invalid/v1", http);
    assert_eq!(soon(model.generate(once())).await.unwrap().text(), "Hello");
    let head = proxy.heads().remove(0);
    assert!(head.starts_with("POST http://provider.invalid/v1/chat/completions HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("\r\nproxy-authorization: basic dxnlcjpwyxnz"), "{head}");
}

#[tokio::test]
async fn a_proxy_is_asked_for_a_tunnel_where_the_provider_is_encrypted() {
    let refuses = |_: &str| "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n".to_owned();
    let proxy = Server::start(refuses).await;
    let address = format!("http://{}", proxy.address());
    let http = HttpOptions { proxy: Proxy::Url(address), ..HttpOptions::default() };
    let error = soon(model("https://provider.invalid/v1", http).generate(once())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Network, true));
    let head = proxy.heads().remove(0);
    // Neither the path nor the key is for the proxy to see.
    assert!(head.starts_with("CONNECT provider.invalid:443 HTTP/1.1\r\n"), "{head}");
    assert!(!head.contains("sk-test"), "{head}");
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up_in_time() {
    let port = FullPort::take().await;
    let http = HttpOptions {
        proxy: Proxy::None,
        connect_timeout: Duration::from_millis(50),
        ..HttpOptions::default()
    };
    let error = soon(model(port.url(), http).generate(once())).await.unwrap_err();
    assert_eq!((error.kind(), error.is_retryable()), (&ErrorKind::Network, true));
    assert!(error.message().contains("/chat/completions cannot be reached: "), "{error}");
}

#[tokio::test]
async fn an_encrypted_address_is_not_asked_in_the_clear() {
    let server = Server::start(hello).await;
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let address = format!("https://{}/v1", server.address());
    let error = soon(model(&address, http).generate(once())).await.unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Network);
    // The words are those of rustls, whose handshake gets an answer that is none.
    assert!(error.message().contains("corrupt message"), "{error}");
    assert!(!server.heads().iter().any(|head| head.contains("POST")));
}
