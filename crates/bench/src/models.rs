//! The group `models`: event streams to parts, without a network.

use std::hint::black_box;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::StreamExt as _;
use loomwork_core::Stopwatch;
use loomwork_models::{Chunk, ReplyStream, bench};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};

use crate::Options;
use crate::measure::{Row, Target};

/// How many events a stream has.
const EVENTS: usize = 100_000;
/// How the bytes come: as reads from a fast connection, and as packets.
const READ: usize = 64 << 10;
const PACKET: usize = 1400;

pub(crate) fn measure(_: &Options) -> Result<Vec<Row>> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let chat = chat(EVENTS, " loom");
    let anthropic = anthropic(EVENTS, " loom");
    let target = Target::ValueAtLeast(200.0);
    let speed = |name, stream: &Stream, piece: usize| {
        Row::measured(name, "MB/s", target, || stream.speed(&runtime, piece), || Ok(stream.splitting(piece)))
    };
    let words =
        speed("OpenAI chat, a word an event, reads of 64 KiB; against splitting the bytes", &chat, READ)?;
    let per_event = EVENTS as f64 / chat.megabytes();
    let tokens = Row {
        name: "the same, a word counted as a token",
        unit: "tokens/s",
        ours: words.ours.iter().map(|speed| speed * per_event).collect(),
        baseline: Vec::new(),
        target: Target::None,
    };
    let packets = speed("the same in packets of 1,400 bytes", &chat, PACKET)?;
    let long = self::chat(EVENTS / 50, &"x".repeat(10_000));
    let long = speed("OpenAI chat, 10 KB of text an event; against splitting the bytes", &long, READ)?;
    let messages = speed("Anthropic, a word an event; against splitting the bytes", &anthropic, READ)?;
    let (small, large) = (self::chat(1, &"x".repeat(1 << 20)), self::chat(1, &"x".repeat(16 << 20)));
    let linear = Row::measured(
        "one event of 16 MiB in packets; against one of 1 MiB",
        "MB/s",
        // Fresh pages of memory cost the large one; a quadratic reader would be at 0.06.
        Target::RatioAtLeast(0.5),
        || large.speed(&runtime, PACKET),
        || small.speed(&runtime, PACKET),
    )?;
    Ok(vec![words, tokens, packets, long, messages, linear])
}

/// An event stream, and how it is read.
struct Stream {
    body: Bytes,
    /// The length of all its texts.
    text: usize,
    read: fn(Vec<Bytes>) -> ReplyStream,
}

impl Stream {
    fn megabytes(&self) -> f64 {
        self.body.len() as f64 / 1e6
    }

    fn pieces(&self, size: usize) -> Vec<Bytes> {
        let starts = (0..self.body.len()).step_by(size);
        starts.map(|start| self.body.slice(start..self.body.len().min(start + size))).collect()
    }

    /// Reads the stream to parts, and returns the megabytes a second.
    fn speed(&self, runtime: &Runtime, piece: usize) -> Result<f64> {
        let pieces = self.pieces(piece);
        let stopwatch = Stopwatch::start();
        let text = runtime.block_on(async {
            let mut stream = (self.read)(pieces);
            let mut text = 0;
            while let Some(chunk) = stream.next().await {
                if let Chunk::PartDelta { delta, .. } = chunk? {
                    text += delta.len();
                }
            }
            anyhow::Ok(text)
        })?;
        let seconds = stopwatch.elapsed().as_secs_f64();
        ensure!(text == self.text, "the stream has {} bytes of text, {text} were read", self.text);
        Ok(self.megabytes() / seconds)
    }

    /// Reads the bytes, splits them into the data of events, and copies each: the least that a reader does.
    fn splitting(&self, piece: usize) -> f64 {
        let pieces = self.pieces(piece);
        let stopwatch = Stopwatch::start();
        let mut line = Vec::new();
        for piece in pieces {
            for part in piece.split_inclusive(|byte| *byte == b'\n') {
                line.extend_from_slice(part);
                if line.last() == Some(&b'\n') {
                    if line.starts_with(b"data:") {
                        black_box(line.clone());
                    }
                    line.clear();
                }
            }
        }
        self.megabytes() / stopwatch.elapsed().as_secs_f64()
    }
}

/// A stream as OpenAI sends it, with these words.
fn chat(events: usize, word: &str) -> Stream {
    let event = |delta, reason: Option<&str>| {
        let event = json!({
            "id": "chatcmpl-C1a2b3c4d5e6f7g8h9", "object": "chat.completion.chunk", "created": 1_763_000_000,
            "model": "gpt-4o-mini-2024-07-18", "service_tier": "default", "system_fingerprint": "fp_560af6e559",
            "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}], "usage": null,
        });
        format!("data: {event}\n\n")
    };
    let mut body = event(json!({"role": "assistant", "content": "", "refusal": null}), None);
    body.push_str(&event(json!({ "content": word }), None).repeat(events));
    body.push_str(&event(json!({}), Some("stop")));
    body.push_str("data: [DONE]\n\n");
    Stream { body: body.into(), text: events * word.len(), read: bench::openai_chat }
}

/// A stream as Anthropic sends it, with these words.
fn anthropic(events: usize, word: &str) -> Stream {
    let event = |event: serde_json::Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default())
    };
    let message = json!({
        "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": [],
        "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 1},
    });
    let delta = json!({"type": "text_delta", "text": word});
    let end = json!({"stop_reason": "end_turn", "stop_sequence": null});
    let mut body = event(json!({"type": "message_start", "message": message}));
    let block = json!({"type": "text", "text": ""});
    body.push_str(&event(json!({"type": "content_block_start", "index": 0, "content_block": block})));
    body.push_str(&event(json!({"type": "content_block_delta", "index": 0, "delta": delta})).repeat(events));
    body.push_str(&event(json!({"type": "content_block_stop", "index": 0})));
    body.push_str(&event(json!({"type": "message_delta", "delta": end, "usage": {"output_tokens": 9}})));
    body.push_str(&event(json!({"type": "message_stop"})));
    Stream { body: body.into(), text: events * word.len(), read: bench::anthropic }
}
