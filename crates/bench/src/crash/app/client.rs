//! A client that begins turns and follows their answers, through as many servers as it takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use loomwork_core::Clock;
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use super::world::{Address, KEY};

/// How long a client waits before it comes again.
const AGAIN: Duration = Duration::from_millis(50);

/// The numbers of one client: more than it can use.
const NUMBERS: u64 = 1_000_000;

/// What a client has seen of a turn.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) number: u64,
    /// The messages in the end: role, status, text.
    pub(super) said: Vec<(String, String, String)>,
    /// Gaps and repeats in what was followed.
    pub(super) faults: Vec<String>,
    pub(super) slices: u64,
    pub(super) reconnections: u64,
}

pub(super) struct Client {
    http: reqwest::Client,
    address: Address,
    number: u64,
    clock: Clock,
    stop: Arc<AtomicBool>,
}

impl Client {
    pub(super) fn new(address: &Address, number: u64, stop: Arc<AtomicBool>) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { http, address: address.clone(), number, clock: Clock::system(), stop })
    }

    /// Makes one turn after the other, until it is told to stop; the last one is finished.
    pub(super) async fn run(self) -> Result<Vec<Seen>> {
        let mut turns = Vec::new();
        for number in self.number * NUMBERS.. {
            turns.push(self.turn(number).await.with_context(|| format!("turn {number}"))?);
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(turns)
    }

    async fn turn(&self, number: u64) -> Result<Seen> {
        let thread = self.post("/api/threads", &format!("thread-{number}"), json!({ "user": "ada" })).await?;
        let thread = thread["id"].as_str().context("a thread without an id")?.to_owned();
        let asked = json!({ "prompt": number.to_string() });
        self.post(&format!("/api/threads/{thread}/runs"), &format!("run-{number}"), asked).await?;
        let mut following = Following::default();
        loop {
            match self.follow(&thread, &mut following).await? {
                Some(messages) => return Ok(following.into_seen(number, &messages)),
                None => following.reconnections += 1,
            }
            self.rest().await;
        }
    }

    /// Asks until the server has answered. The key makes it one request, however often it is sent.
    async fn post(&self, path: &str, key: &str, body: Value) -> Result<Value> {
        loop {
            let asked = self.http.post(self.address.url(path)).bearer_auth(KEY);
            if let Ok(answer) = asked.header("idempotency-key", key).json(&body).send().await {
                let status = answer.status();
                match answer.json::<Value>().await {
                    Ok(answer) if status.is_success() => return Ok(answer),
                    // 409: the one that was sent before is still worked on.
                    Ok(answer) if status.is_client_error() && !is_for_later(status) => {
                        bail!("{path} answers {status}: {answer}")
                    }
                    _ => {}
                }
            }
            self.rest().await;
        }
    }

    /// Follows a thread from where it left, until its answer is there as a whole, or the connection breaks.
    async fn follow(&self, thread: &str, following: &mut Following) -> Result<Option<Vec<Value>>> {
        let asked = self.http.get(self.address.url(&format!("/api/threads/{thread}/live"))).bearer_auth(KEY);
        let asked = match &following.last {
            Some(last) => asked.header("last-event-id", last),
            None => asked,
        };
        let Ok(mut answer) = asked.send().await else { return Ok(None) };
        if !answer.status().is_success() {
            if answer.status().is_client_error() && !is_for_later(answer.status()) {
                bail!("the thread cannot be followed: {}", answer.status());
            }
            return Ok(None);
        }
        let mut text = String::new();
        while let Some(event) = next_event(&mut answer, &mut text).await {
            if let Some(messages) = following.hear(&event)? {
                return Ok(Some(messages));
            }
        }
        Ok(None)
    }

    async fn rest(&self) {
        self.clock.sleep(AGAIN).await;
    }
}

fn is_for_later(status: StatusCode) -> bool {
    status == StatusCode::CONFLICT || status == StatusCode::TOO_MANY_REQUESTS
}

/// Returns the next event as its lines; `None` once the connection has broken.
async fn next_event(answer: &mut Response, text: &mut String) -> Option<String> {
    loop {
        if let Some((event, rest)) = text.split_once("\n\n") {
            let event = event.to_owned();
            *text = rest.to_owned();
            return Some(event);
        }
        let piece = answer.chunk().await.ok()??;
        text.push_str(std::str::from_utf8(&piece).ok()?);
    }
}

/// What a client has heard of a thread so far.
#[derive(Debug, Default)]
struct Following {
    last: Option<String>,
    /// Where each stream goes on.
    ends: HashMap<String, u64>,
    faults: Vec<String>,
    slices: u64,
    reconnections: u64,
}

impl Following {
    /// Takes an event in; the messages, once the answer is whole.
    fn hear(&mut self, event: &str) -> Result<Option<Vec<Value>>> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let (Some(name), Some(data)) = (field("event:"), field("data:")) else { return Ok(None) };
        let data: Value = serde_json::from_str(data).with_context(|| format!("an event of {data:?}"))?;
        if let Some(id) = field("id:") {
            self.last = Some(id.to_owned());
        }
        match name {
            "chunks" => self.slice(&data),
            "view" => {
                let messages = data["messages"].as_array().cloned().unwrap_or_default();
                let last = messages.last().map(|message| (&message["role"], &message["status"]));
                if let Some((role, status)) = last
                    && role == "assistant"
                    && matches!(status.as_str(), Some("success" | "failed" | "aborted"))
                {
                    return Ok(Some(messages));
                }
            }
            "error" if data["kind"] != "unavailable" => bail!("the stream ended with {data}"),
            _ => {}
        }
        Ok(None)
    }

    /// Each piece of a stream begins where the one before has ended.
    fn slice(&mut self, data: &Value) {
        let (Some(stream), Some(start), Some(end)) =
            (data["stream"].as_str(), data["start"].as_u64(), data["end"].as_u64())
        else {
            self.faults.push(format!("a slice is {data}"));
            return;
        };
        let known = self.ends.insert(stream.to_owned(), end).unwrap_or_default();
        if start != known {
            self.faults.push(format!("{stream} goes on at {start} behind {known}"));
        }
        self.slices += 1;
    }

    fn into_seen(self, number: u64, messages: &[Value]) -> Seen {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let said = messages.iter();
        let said = said.map(|said| (text(&said["role"]), text(&said["status"]), text(&said["text"])));
        let Self { faults, slices, reconnections, .. } = self;
        Seen { number, said: said.collect(), faults, slices, reconnections }
    }
}
