//! A model provider on loopback that speaks the real wire formats and does what it is told.
//!
//! A test starts a [`FakeProvider`], gives it a script of [`Reply`]s, lets a real client talk to it over
//! real HTTP, and then looks at what was asked for.
//!
//! ```
//! use loomwork_testkit::provider::{FakeProvider, Failure, Reply, Usage};
//! use serde_json::json;
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let fake = FakeProvider::start().await;
//! fake.reply(Failure::status(429).retry_after("0"))
//!     .reply("Hello there")
//!     .reply(
//!         Reply::new()
//!             .reasoning("Oslo is a city.")
//!             .text("Let me look.")
//!             .tool_call("weather", json!({"city": "Oslo"}))
//!             .usage(Usage { input: 30, cache_read: 20, ..Usage::default() }),
//!     );
//!
//! // In place of a client that is given `fake.url()`:
//! let address = fake.url().trim_start_matches("http://");
//! let mut client = tokio::net::TcpStream::connect(address).await?;
//! client.write_all(b"GET /v1/models HTTP/1.1\r\nhost: fake\r\nconnection: close\r\n\r\n").await?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer).await?;
//! assert!(answer.starts_with("HTTP/1.1 200 OK"));
//!
//! assert_eq!(fake.last_request().path, "/v1/models");
//! assert_eq!(fake.left_over(), 3);
//! # Ok(())
//! # }
//! ```
//!
//! # What it speaks
//!
//! OpenAI Chat Completions, Responses, Embeddings and Images, Anthropic Messages in both of its live API
//! versions, lists of models in either form, and Ollama's list: see [`Endpoint`]. One reply serves them
//! all: it is rendered in the form of whichever endpoint is called, as a stream or whole, with the ids,
//! the order of events and the headers that the real one has. What is rendered depends on the script and
//! on the requests alone, so it can be compared as text.
//!
//! Requests that break a rule of their protocol are refused as the real provider refuses them, and do
//! not use up a reply; [`FakeProvider::refused`] tells which, and [`FakeProvider::lenient`] ends it. A
//! request that the script has no reply for gets an error that names it; see
//! [`FakeProvider::unexpected`].
//!
//! # Servers that deviate
//!
//! [`Reply::edit`] changes what is rendered, [`Reply::insert_after`] puts bytes between events, and
//! [`Reply::sse`], [`Reply::json`] and [`Reply::raw`] send exactly what they are given.
//!
//! # Bytes that travel badly
//!
//! | on the way | with |
//! |---|---|
//! | cuts at every byte, at given sizes, inside characters | [`Reply::split`] |
//! | huge lines | [`Reply::deltas`] with [`Deltas::Whole`], [`Reply::sse`] |
//! | slow bytes, late answers | [`Reply::pace`], [`Reply::delay`], [`Reply::pause_after`] |
//! | one event at a time, as a test lets them go | [`Reply::gated`] |
//! | no answer, or none beyond some event | [`Reply::hangs`], [`Reply::hangs_after`] |
//! | a closed connection | [`Reply::hangs_up`], [`Reply::cut_after`], [`ClosedPort`] |
//! | a stream without its end | [`Reply::ends_after`] |
//!
//! Each write is flushed and is a chunk of its own in HTTP's encoding, so a client gets the pieces as
//! they were cut, whatever the network does. Delays are real time; prefer a [`Gate`], which no machine
//! is too slow for.
//!
//! [`FakeProvider::dropped`] waits until a client has closed its connection before the end of an answer,
//! which proves a cancellation; [`FakeProvider::connections`] counts, which proves that they are reused.

mod answer;
mod check;
mod content;
mod delivery;
mod endpoint;
mod failure;
mod fake;
mod frame;
mod gate;
mod line;
mod playback;
mod recorded;
mod render;
mod reply;
mod shared;

pub use content::{Deltas, Finish, ReasoningForm, Usage};
pub use delivery::Split;
pub use endpoint::Endpoint;
pub use failure::Failure;
pub use fake::{ClosedPort, FakeProvider};
pub use frame::LineEnd;
pub use gate::Gate;
pub use recorded::{FormPart, Recorded};
pub use reply::Reply;
