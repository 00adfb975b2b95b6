//! Where the prompt's cache breaks.

use serde_json::{Map, Value, json};

use super::{CacheTtl, PromptCache};
use crate::Warning;

/// The most breakpoints of a request.
const MOST: usize = 4;

/// The field that makes a breakpoint.
pub(super) const FIELD: &str = "cache_control";

/// The blocks that cannot be breakpoints.
const UNCACHEABLE: [&str; 2] = ["thinking", "redacted_thinking"];

/// Places breakpoints, and makes those at hand fit the protocol: at most four, the longer-lived first.
pub(super) fn settle(body: &mut Value, cache: PromptCache, warnings: &mut Vec<Warning>) {
    let mut at = breakpoints(body);
    let is_in_messages = |path: &String| path.starts_with("/messages");
    while at.len() > MOST {
        // A later breakpoint of the conversation covers the earlier ones.
        let first = at.iter().position(is_in_messages).unwrap_or(0);
        let path = at.remove(first);
        if let Some(block) = body.pointer_mut(&path).and_then(Value::as_object_mut) {
            block.remove(FIELD);
        }
        let why = format!("a request has at most {MOST} breakpoints; this one is left out");
        warnings.push(Warning { what: format!("cacheControl at {path}"), why });
    }
    if let PromptCache::Automatic(ttl) = cache {
        place(body, ttl, MOST - at.len());
        at = breakpoints(body);
    }
    let is_long =
        |body: &Value, path: &String| body.pointer(path).is_some_and(|block| block[FIELD]["ttl"] == "1h");
    let last_long = at.iter().rposition(|path| is_long(body, path)).unwrap_or(0);
    for path in &at[..last_long] {
        if is_long(body, path) {
            continue;
        }
        if let Some(control) = body.pointer_mut(path).and_then(|block| block.get_mut(FIELD)) {
            *control = json!({ "type": "ephemeral", "ttl": "1h" });
        }
        let why = "a breakpoint behind it lives for an hour, so it does too".to_owned();
        warnings.push(Warning { what: format!("cacheControl at {path}"), why });
    }
}

/// Places up to so many breakpoints: behind the conversation, behind the system messages, behind the
/// tools, and behind the user's turn before, where the last call had its own.
fn place(body: &mut Value, ttl: CacheTtl, room: usize) {
    let control = match ttl {
        CacheTtl::FiveMinutes => json!({ "type": "ephemeral" }),
        CacheTtl::Hour => json!({ "type": "ephemeral", "ttl": "1h" }),
    };
    let messages = body["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_user = |(_, message): &(usize, &Value)| message["role"] == "user";
    let mut turns = messages.iter().enumerate().rev().filter(is_user).map(|(index, _)| index);
    let message = |index: Option<usize>| index.map(|index| format!("/messages/{index}/content"));
    let (last, before) = (message(turns.next()), message(turns.next()));
    let lists = [last, Some("/system".to_owned()), Some("/tools".to_owned()), before];
    let mut room = room;
    for list in lists.into_iter().flatten() {
        let Some(blocks) = body.pointer_mut(&list).and_then(Value::as_array_mut) else { continue };
        let Some(block) = blocks.iter_mut().rev().find_map(cacheable) else { continue };
        if room > 0 && !block.contains_key(FIELD) {
            block.insert(FIELD.to_owned(), control.clone());
            room -= 1;
        }
    }
}

fn cacheable(block: &mut Value) -> Option<&mut Map<String, Value>> {
    let is_cacheable = block["type"].as_str().is_none_or(|kind| !UNCACHEABLE.contains(&kind));
    block.as_object_mut().filter(|_| is_cacheable)
}

/// Returns the paths of the blocks that are breakpoints, in the order of the prompt. The top of the body
/// comes last, since it stands for the end of the conversation.
fn breakpoints(body: &Value) -> Vec<String> {
    let mut paths = Vec::new();
    for list in ["tools", "system", "messages"] {
        gather(&body[list], &format!("/{list}"), &mut paths);
    }
    if body.get(FIELD).is_some_and(|control| !control.is_null()) {
        paths.push(String::new());
    }
    paths
}

fn gather(value: &Value, path: &str, paths: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                gather(item, &format!("{path}/{index}"), paths);
            }
        }
        Value::Object(fields) => {
            // Inputs and schemas may have any field, so only what holds blocks is looked into.
            if let Some(content) = fields.get("content") {
                gather(content, &format!("{path}/content"), paths);
            }
            if fields.get(FIELD).is_some_and(|control| !control.is_null()) {
                paths.push(path.to_owned());
            }
        }
        _ => {}
    }
}
