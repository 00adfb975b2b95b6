//! The servers: the app, and the same by hand over bare axum.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use axum::extract::{Path as Named, State};
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use futures_util::stream::unfold;
use loomwork::http::Options;
use loomwork::{Agent, App};
use loomwork_core::{Clock, Secret, Tasks};
use loomwork_models::{LanguageModel, MockModel, MockReply};
use loomwork_testkit::crash::{end_with_parent, this_program};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

pub(super) const KEY: &str = "a key that these figures have";

/// How many answers grow at once, of how many words, and how fast.
pub(super) const SOURCES: usize = 20;
pub(super) const WORDS: usize = 50;
const PACE: Duration = Duration::from_millis(20);

/// A server in a process of its own, until it is dropped.
pub(super) struct Server {
    process: Child,
    pub(super) address: String,
}

impl Server {
    /// Starts one of a kind over a folder, and waits until it listens.
    pub(super) fn start(kind: &str, folder: &Path) -> Result<Self> {
        let mut command = this_program();
        command.args(["app-child", kind]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().context("the server does not start")?;
        let output = process.stdout.take().context("the server has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        let address = address.trim().to_owned();
        let server = Self { process, address };
        if !server.address.starts_with("http://") {
            bail!("the server says {:?} in place of its address", server.address);
        }
        Ok(server)
    }

    /// Returns the seconds of all cores that it has used.
    pub(super) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = stat.rsplit_once(')').map(|(_, fields)| fields.split_whitespace());
        let ticks: u64 = fields
            .context("a process without figures")?
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<u64>().ok())
            .sum();
        // The kernel counts in hundredths for programs, whatever it does inside.
        Ok(ticks as f64 / 100.0)
    }

    /// Returns the bytes that it has in memory.
    pub(super) fn memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no figure of memory")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the process of a server does.
pub(crate) fn child(words: &[String]) -> Result<()> {
    let [kind, folder] = words else { bail!("expected KIND FOLDER, found {words:?}") };
    end_with_parent();
    super::runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        if kind == "bare" {
            println!("{address}");
            return Ok(axum::serve(listener, bare()).await?);
        }
        let reply = match kind.as_str() {
            "paced" => MockReply::default().text(text()).with_pace(PACE),
            _ => MockReply::default().text(text()),
        };
        let app = open(Path::new(folder), reply).await?;
        println!("{address}");
        Ok(app.serve_on(listener).await?)
    })
}

pub(super) async fn open(folder: &Path, reply: MockReply) -> Result<App> {
    let model = Arc::new(MockModel::always(reply)) as Arc<dyn LanguageModel>;
    let http = Options { requests: None, ..Options::default() };
    let app = App::open(super::database(folder)).await?.key(Secret::from(KEY)).http(http);
    Ok(app.agent(Agent::new("clerk", model)).build().await?)
}

pub(super) fn text() -> String {
    "word ".repeat(WORDS)
}

/// Server-sent events by hand: so many sources, each of which is sent to all who follow it.
fn bare() -> Router {
    let sources: Vec<_> = (0..SOURCES).map(|_| broadcast::Sender::<String>::new(2 * WORDS)).collect();
    let state = Arc::new((sources, Tasks::new()));
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/sources/{source}", get(follow))
        .route("/begin", post(begin))
        .with_state(state)
}

type Bare = Arc<(Vec<broadcast::Sender<String>>, Tasks)>;

async fn follow(
    State(bare): State<Bare>,
    Named(source): Named<usize>,
) -> Sse<impl futures_util::Stream<Item = Result<Event, Infallible>>> {
    let heard = bare.0[source % SOURCES].subscribe();
    let first = Some(Event::default().event("view").data("{}"));
    Sse::new(unfold((first, heard), |(first, mut heard)| async move {
        let event = match first {
            Some(first) => first,
            None => Event::default().event("chunks").data(heard.recv().await.ok()?),
        };
        Some((Ok(event), (None, heard)))
    }))
}

async fn begin(State(bare): State<Bare>) -> &'static str {
    for source in bare.0.clone() {
        bare.1.spawn("source", |_| async move {
            for word in 0..WORDS {
                let said = format!(
                    "{{\"start\":{word},\"chunks\":[{{\"type\":\"text-delta\",\"delta\":\"word \"}}]}}"
                );
                // Nobody may follow it.
                let _ = source.send(said);
                Clock::system().sleep(PACE).await;
            }
            let _ = source.send("{\"status\":\"success\"}".to_owned());
        });
    }
    "begun"
}
