//! The reader against any cut of its bytes, any order of its events, and over a long answer.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::http::read_at_hand;
use crate::{Chunk, Reply, Result, collect};

fn event(body: &Value) -> String {
    format!("event: {}\ndata: {body}\n\n", body["type"].as_str().unwrap_or_default())
}

/// An answer with a block of each kind, and with characters that a cut may hurt.
fn events() -> Vec<Value> {
    let block = |index: usize, block: Value, deltas: Vec<Value>| {
        let delta = move |delta| json!({ "type": "content_block_delta", "index": index, "delta": delta });
        let start = json!({ "type": "content_block_start", "index": index, "content_block": block });
        let stop = json!({ "type": "content_block_stop", "index": index });
        [start].into_iter().chain(deltas.into_iter().map(delta)).chain([stop])
    };
    let start = json!({ "type": "message_start",
        "message": { "id": "m", "model": "claude", "usage": { "input_tokens": 3 } } });
    let thinking = vec![json!({ "thinking": "Hm, Größe?" }), json!({ "signature": "s" })];
    let text = vec![
        json!({ "text": "Grüße, 日本 🧵 \\ \"quoted\" \r\n" }),
        json!({ "citation": { "url": "https://a.b", "title": "A" } }),
    ];
    let input = vec![json!({ "partial_json": "{\"city\":" }), json!({ "partial_json": "\"Zürich\"}" })];
    let call = json!({ "type": "tool_use", "id": "t", "name": "weather", "input": {} });
    let found = json!({ "type": "web_search_tool_result", "tool_use_id": "w", "content": [] });
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 2 } });
    std::iter::once(start)
        .chain(block(0, json!({ "type": "thinking", "thinking": "" }), thinking))
        .chain([json!({ "type": "ping" })])
        .chain(block(1, json!({ "type": "text", "text": "" }), text))
        .chain(block(2, call, input))
        .chain(block(3, found, Vec::new()))
        .chain(block(4, json!({ "type": "compaction" }), vec![json!({ "content": "all" })]))
        .chain([end, json!({ "type": "message_stop" })])
        .collect()
}

fn read(pieces: Vec<Bytes>) -> Result<Reply> {
    let reply = collect(read_at_hand(pieces, super::lone_reader()));
    reply.now_or_never().expect("what is at hand needs no waiting")
}

fn whole(events: &[Value]) -> Vec<Bytes> {
    vec![events.iter().map(event).collect::<String>().into()]
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_parts(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let text: String = events().iter().map(event).collect();
        let bytes = Bytes::from(text.replace('\n', line_end));
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        let reply = read(pieces).unwrap();
        prop_assert_eq!(reply.parts.len(), 6);
        prop_assert_eq!(reply, read(whole(&events())).unwrap());
    }

    #[test]
    fn events_in_any_order_are_an_answer_or_an_error(
        events in prop::collection::vec(prop::sample::select(events()), 0..30),
    ) {
        match read(whole(&events)) {
            Ok(reply) => prop_assert!(reply.finish.raw_reason.is_some()),
            Err(error) => prop_assert!(matches!(error.kind().as_str(), "protocol" | "interrupted"), "{}", error),
        }
    }
}

/// Returns the most memory that this process has held so far, in kilobytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_over_an_answer_of_ten_megabytes() {
    let delta = json!({ "type": "content_block_delta", "index": 0, "delta": { "text": "x".repeat(1000) } });
    // Clones share their bytes, so the stream itself takes no room.
    let piece = Bytes::from(event(&delta).repeat(10));
    let start = json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text" } });
    let mut body = vec![Bytes::from(event(&start))];
    body.extend(vec![piece; 1000]);
    let end = json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" } });
    body.push((event(&end) + &event(&json!({ "type": "message_stop" }))).into());
    let mut stream = read_at_hand(body, super::lone_reader());
    let before = peak();
    let mut length = 0;
    while let Some(chunk) = stream.next().now_or_never().expect("what is at hand needs no waiting") {
        if let Chunk::PartDelta { delta, .. } = chunk.unwrap() {
            length += delta.len();
        }
    }
    assert_eq!(length, 10_000_000);
    assert!(peak() - before < 2048, "{} kB more than the {before} kB before", peak() - before);
}
