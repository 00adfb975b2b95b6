//! The reader against any cut of its bytes, any events, and over a long answer.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::http::read_at_hand;
use crate::{Chunk, Reply, Result, collect};

fn stream(events: &[Value]) -> String {
    let event =
        |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"));
    events.iter().map(event).collect()
}

/// A response of each kind of growing part, with characters of several bytes.
fn events() -> Vec<Value> {
    let text = "Grüße, 日本 🧵 \\ \"quoted\"\r\n";
    let delta = |kind: &str, index: u64, delta: &str| json!({ "type": format!("response.{kind}.delta"), "output_index": index, "delta": delta });
    let added = |index: u64, item: Value| json!({ "type": "response.output_item.added", "output_index": index, "item": item });
    let done = |index: u64, item: Value| json!({ "type": "response.output_item.done", "output_index": index, "item": item });
    let call = json!({ "type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "weather", "arguments": "" });
    vec![
        json!({ "type": "response.created", "response": { "id": "resp_1", "model": "gpt-5" } }),
        delta("reasoning_summary_text", 0, "Größe?"),
        done(
            0,
            json!({ "type": "reasoning", "id": "rs_1", "summary": [{ "type": "summary_text", "text": "Größe?" }] }),
        ),
        delta("output_text", 1, text),
        added(2, call.clone()),
        delta("function_call_arguments", 2, "{\"city\":"),
        done(
            1,
            json!({ "type": "message", "id": "msg_1", "content": [{ "type": "output_text", "text": text }] }),
        ),
        delta("function_call_arguments", 2, "\"Zürich\"}"),
        done(2, call),
        json!({ "type": "response.completed", "response": { "status": "completed", "usage": { "input_tokens": 3, "output_tokens": 2 } } }),
    ]
}

fn try_read(pieces: Vec<Bytes>) -> Result<Reply> {
    let reply = collect(read_at_hand(pieces, super::lone_reader()));
    reply.now_or_never().expect("what is at hand needs no waiting")
}

fn read(pieces: Vec<Bytes>) -> Reply {
    try_read(pieces).expect("the answer is complete")
}

#[test]
fn each_byte_may_come_alone() {
    let whole = Bytes::from(stream(&events()));
    let reply = read((0..whole.len()).map(|at| whole.slice(at..=at)).collect());
    assert_eq!(reply.text(), "Grüße, 日本 🧵 \\ \"quoted\"\r\n");
    assert_eq!(reply.tool_calls().next().unwrap().input, json!({ "city": "Zürich" }));
    assert_eq!((reply.usage().input(), reply.usage().output()), (3, 2));
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_parts(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let whole = Bytes::from(stream(&events()));
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| whole.slice(pair[0]..pair[1])).collect();
        prop_assert_eq!(read(pieces), read(vec![whole]));
    }

    /// Events in any order, with places and types that don't fit, end in an answer or an error.
    #[test]
    fn any_events_are_an_answer_or_an_error(
        picks in prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(0..4_u64)), 0..30),
    ) {
        let known = events();
        let picked = picks.iter().map(|(pick, index)| {
            let mut event = pick.get(&known).clone();
            match index {
                Some(index) => event["output_index"] = json!(index),
                None => drop(event.as_object_mut().and_then(|event| event.remove("output_index"))),
            }
            event
        });
        let picked: Vec<Value> = picked.collect();
        if let Err(error) = try_read(vec![stream(&picked).into()]) {
            prop_assert_eq!((error.provider(), error.model()), ("openai", "gpt-5"));
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat_over_an_answer_of_ten_megabytes() {
    use crate::openai::chat::tests::peak;

    let event = json!({ "type": "response.output_text.delta", "output_index": 0, "delta": "x".repeat(1000) });
    // Clones share their bytes, so the stream itself takes no room.
    let piece = Bytes::from(stream(&vec![event; 10]));
    let mut body = vec![piece; 1000];
    body.push(
        stream(&[json!({ "type": "response.completed", "response": { "status": "completed" } })]).into(),
    );
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
