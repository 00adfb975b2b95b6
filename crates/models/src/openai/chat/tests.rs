//! The reader against any cut of its bytes, and over a long answer.

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::http::read_at_hand;
use crate::{Chunk, Reply, collect};

/// An event stream with everything that a cut may hurt: characters of several bytes, comments, lines
/// that are no data, data over several lines, and each end of a line.
fn stream(line_end: &str) -> Vec<u8> {
    let event = |delta: Value, reason: Option<&str>| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": reason});
        format!("data: {}\n\n", json!({"id": "c1", "model": "m", "choices": [choice]}))
    };
    let call = |index: usize, id: Option<&str>, name: Option<&str>, arguments: &str| {
        let call = json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}});
        event(json!({"tool_calls": [call]}), None)
    };
    let text = [
        "\u{feff}: comment\n\n".to_owned(),
        event(json!({"role": "assistant", "content": "", "reasoning": "Hm, Größe?"}), None),
        "event: ping\nid: 1\ndata: {}\n\n".to_owned(),
        event(json!({"content": "Grüße, 日本 🧵 \\ \"quoted\" \r\n"}), None),
        "data: {\"choices\":[{\"delta\":\ndata: {\"content\":\"two lines\"}}]}\n\n".to_owned(),
        call(0, Some("call_a"), Some("weather"), "{\"city\":"),
        call(1, Some("call_b"), Some("time"), ""),
        call(0, None, None, "\"Zürich\"}"),
        event(json!({}), Some("tool_calls")),
        "data:{\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n".to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ];
    text.concat().replace('\n', line_end).into_bytes()
}

fn read(pieces: Vec<Bytes>) -> Reply {
    let reply = collect(read_at_hand(pieces, super::lone_reader()));
    reply.now_or_never().expect("what is at hand needs no waiting").expect("the answer is complete")
}

proptest! {
    #[test]
    fn any_cut_of_the_bytes_gives_the_same_parts(
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        line_end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        let whole = Bytes::from(stream(line_end));
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(whole.len())).collect();
        at.extend([0, whole.len()]);
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| whole.slice(pair[0]..pair[1])).collect();
        prop_assert_eq!(read(pieces), read(vec![Bytes::from(stream("\n"))]));
    }
}

#[test]
fn each_byte_may_come_alone() {
    for line_end in ["\n", "\r\n", "\r"] {
        let whole = Bytes::from(stream(line_end));
        let reply = read((0..whole.len()).map(|at| whole.slice(at..=at)).collect());
        assert_eq!(reply.text(), "Grüße, 日本 🧵 \\ \"quoted\" \r\ntwo lines");
        assert_eq!(reply.tool_calls().count(), 2);
        assert_eq!((reply.usage().input(), reply.usage().output()), (3, 2));
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
    let event = json!({"choices": [{"index": 0, "delta": {"content": "x".repeat(1000)}}]});
    // Clones share their bytes, so the stream itself takes no room.
    let piece = Bytes::from(format!("data: {event}\n\n").repeat(10));
    let mut body = vec![piece; 1000];
    body.push(Bytes::from("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"));
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
