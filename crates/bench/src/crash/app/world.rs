//! What is served: an app with one agent, whose model is a provider that outlives each server.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork::http::Options;
use loomwork::{Agent, App};
use loomwork_core::{Random, Secret};
use loomwork_models::{HttpOptions, OpenAi, OpenAiOptions, Proxy};
use loomwork_testkit::provider::{Recorded, Reply};
use tokio::net::TcpListener;

pub(super) const KEY: &str = "a key that these rounds have";

/// Ports that the system gives nobody by itself: a client that comes while nobody listens meets nobody.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// How many words an answer has, and how long the provider waits between two.
const WORDS: u64 = 30;
const PACE: Duration = Duration::from_millis(30);

pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

/// Where a place is served, and where its model is; it stays the same over all processes.
#[derive(Clone, Debug)]
pub(super) struct Address {
    port: u16,
    provider: String,
}

impl Address {
    /// Chooses a port that is free, and writes it down in the place.
    pub(super) fn choose(place: &Path, provider: &str, random: &Random) -> Result<Self> {
        let drawn = || PORTS.start + random.below(PORTS.len() as u64) as u16;
        let is_free = |port: &u16| StdListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        let port = std::iter::repeat_with(drawn).take(100).find(is_free).context("no port is free")?;
        std::fs::write(place.join("address"), format!("{port} {provider}"))?;
        Ok(Self { port, provider: provider.to_owned() })
    }

    pub(super) fn read(place: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(place.join("address"))?;
        let (port, provider) = text.split_once(' ').context("the place has no address")?;
        Ok(Self { port: port.parse()?, provider: provider.to_owned() })
    }

    pub(super) async fn listen(&self) -> Result<TcpListener> {
        Ok(TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))).await?)
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

pub(super) async fn open(place: &Path, address: &Address) -> Result<App> {
    let http = HttpOptions { proxy: Proxy::None, ..HttpOptions::default() };
    let options = OpenAiOptions { http, ..OpenAiOptions::compatible(&address.provider, "sk-rounds") };
    let agent = Agent::new("speaker", OpenAi::with(options).chat("loom-1"));
    let http = Options { requests: None, ..Options::default() };
    let app = App::open(place.join("app.db")).await?.key(Secret::from(KEY)).agent(agent).http(http);
    Ok(app.build().await?)
}

/// What the provider answers: a text that follows from the prompt, so that any process gets the same.
pub(super) fn answer(asked: &Recorded) -> Reply {
    let messages = asked.body["messages"].as_array().cloned().unwrap_or_default();
    let prompt = messages.iter().rev().find(|message| message["role"] == "user");
    let prompt = prompt.map(|message| message["content"].to_string()).unwrap_or_default();
    let digits: String = prompt.chars().filter(char::is_ascii_digit).collect();
    Reply::new().text(says(digits.parse().unwrap_or_default())).pace(PACE)
}

/// What is answered to a number.
pub(super) fn says(number: u64) -> String {
    (0..WORDS).map(|word| format!("word {word} of {number} ")).collect()
}
