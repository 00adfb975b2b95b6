//! An app that listens on loopback, and a client of it.

use std::sync::Arc;
use std::time::Duration;

use loomwork::core::{Secret, Tasks};
use loomwork::{Agent, App, Builder, OfflineModel};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::net::TcpListener;

pub(crate) const KEY: &str = "lw_test";

/// An app that is served until it is dropped.
pub(crate) struct World {
    pub(crate) app: App,
    pub(crate) address: String,
    client: reqwest::Client,
    _serving: Tasks,
}

/// An app in memory with one agent.
pub(crate) fn described() -> Builder {
    let model = Arc::new(OfflineModel::default().with_pace(Duration::ZERO));
    App::memory().key(Secret::from(KEY)).agent(Agent::new("assistant", model))
}

pub(crate) async fn world() -> World {
    serve(described()).await
}

pub(crate) async fn serve(builder: Builder) -> World {
    let app = builder.build().await.expect("the app is built");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
    let address = format!("http://{}", listener.local_addr().expect("it has an address"));
    let served = app.clone();
    let serving = Tasks::new();
    serving.spawn("server", |ending| async move {
        tokio::select! {
            served = served.serve_on(listener) => served.expect("it is served"),
            () = ending.requested() => {}
        }
    });
    World { app, address, client: reqwest::Client::new(), _serving: serving }
}

impl World {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address)).bearer_auth(KEY)
    }

    pub(crate) fn anonymous(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.address))
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("it answers")
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Value) -> Response {
        self.request(method, path).json(&body).send().await.expect("it answers")
    }

    /// Returns the answer's JSON, which must be a success and what the description says.
    pub(crate) async fn read(&self, path: &str) -> Value {
        let answer = success(self.get(path).await).await;
        self.check_described("get", path, &answer);
        answer
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let answer = success(self.send(Method::POST, path, body).await).await;
        self.check_described("post", path, &answer);
        answer
    }

    /// Holds an answer against the description of its route.
    fn check_described(&self, method: &str, path: &str, answer: &Value) {
        let described = self.app.openapi();
        let path = path.split('?').next().unwrap_or_default();
        let fits = |route: &str| {
            let (route, path): (Vec<_>, Vec<_>) = (route.split('/').collect(), path.split('/').collect());
            route.len() == path.len()
                && route.iter().zip(&path).all(|(one, other)| one == other || one.starts_with('{'))
        };
        let routes = described["paths"].as_object().expect("paths");
        let mut fitting = routes.iter().filter(|(route, _)| fits(route)).collect::<Vec<_>>();
        // A route without names is nearer than one with them.
        fitting.sort_by_key(|(route, _)| route.matches('{').count());
        let Some((_, route)) = fitting.first() else { return };
        let mut schema = route[method]["responses"]["200"]["content"]["application/json"]["schema"].clone();
        schema["components"] = described["components"].clone();
        let checker = jsonschema::validator_for(&schema).expect("a schema");
        if let Err(error) = checker.validate(answer) {
            panic!("{method} {path} answers what its description does not: {error} in {answer}");
        }
    }

    pub(crate) async fn end(&self) {
        self.app.shutdown(Duration::from_secs(5)).await.expect("the app ends");
    }
}

pub(crate) async fn success(response: Response) -> Value {
    let status = response.status();
    let text = response.text().await.expect("there is a body");
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).expect("the body is JSON")
}

/// Returns the error that an answer is.
pub(crate) async fn failure(response: Response, status: u16) -> Value {
    let found = response.status().as_u16();
    let text = response.text().await.expect("there is a body");
    assert_eq!(found, status, "{text}");
    let error: Value = serde_json::from_str(&text).expect("an error is JSON");
    for name in ["kind", "message", "requestId"] {
        assert!(error[name].is_string(), "{name} of {error}");
    }
    error
}
