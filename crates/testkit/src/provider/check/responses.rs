//! Responses.

use std::collections::HashSet;

use serde_json::Value;

use super::tools::{self, LONGEST_NAME, Shape};
use super::{Check, Field, Memory, Refusal, images, sampling};

pub(super) fn check(body: &Field<'_>, memory: &Memory) -> Check {
    body.get("model").required_text()?;
    for (chat, ours) in
        [("messages", "input"), ("max_tokens", "max_output_tokens"), ("response_format", "text.format")]
    {
        body.get(chat).absent(&format!("has moved to '{ours}' in the Responses API."))?;
    }
    check_input(body, memory)?;
    body.get("max_output_tokens").at_least(1)?;
    body.get("max_tool_calls").at_least(1)?;
    sampling::check(body)?;
    sampling::check_effort(&body.get("reasoning").get("effort"))?;
    body.get("reasoning").get("summary").one_of(&["auto", "concise", "detailed"])?;
    body.get("text").get("verbosity").one_of(&["low", "medium", "high"])?;
    body.get("truncation").one_of(&["auto", "disabled"])?;
    tools::check(body, Shape::Flat)?;
    let format = body.get("text").get("format");
    tools::check_format(&format, &format)
}

fn check_input(body: &Field<'_>, memory: &Memory) -> Check {
    let input = body.get("input");
    let goes_on = body.get("previous_response_id").is_given() || body.get("conversation").is_given();
    if !input.is_given() {
        return if goes_on { Ok(()) } else { Err(input.missing()) };
    }
    if input.as_str().is_some() {
        return Ok(());
    }
    let items = input.required_items()?;
    items.iter().try_for_each(check_item)?;
    check_pairs(&items, goes_on)?;
    if goes_on { Ok(()) } else { check_reasoning(&items, *body.get("store").value == false, memory) }
}

fn kind<'a>(item: &Field<'a>) -> &'a str {
    item.get("type").as_str().unwrap_or("message")
}

fn check_item(item: &Field<'_>) -> Check {
    item.required_object()?;
    match kind(item) {
        "message" => check_message(item),
        "function_call" => {
            item.get("call_id").required_text()?;
            item.get("name").name(LONGEST_NAME)?;
            item.get("arguments").text().map(drop)
        }
        "custom_tool_call" => {
            item.get("call_id").required_text()?;
            item.get("name").name(LONGEST_NAME)?;
            item.get("input").text().map(drop)
        }
        "function_call_output" | "custom_tool_call_output" => {
            item.get("call_id").required_text()?;
            let output = item.get("output");
            if output.as_str().is_some() { Ok(()) } else { check_parts(&output, &INPUT_PARTS) }
        }
        "reasoning" => item.get("summary").items().map(drop),
        "item_reference" => item.get("id").required_text().map(drop),
        // Items that only the provider's own tools make.
        _ => Ok(()),
    }
}

const INPUT_PARTS: [&str; 4] = ["input_text", "input_image", "input_file", "input_audio"];

fn check_message(item: &Field<'_>) -> Check {
    let role = item.get("role").required_text()?;
    item.get("role").one_of(&["user", "assistant", "system", "developer"])?;
    let content = item.get("content");
    if content.as_str().is_some() {
        return Ok(());
    }
    check_parts(&content, if role == "assistant" { &["output_text", "refusal"] } else { &INPUT_PARTS })
}

fn check_parts(parts: &Field<'_>, kinds: &[&str]) -> Check {
    for part in parts.required_items()? {
        let kind = part.get("type").required_text()?;
        part.get("type").one_of(kinds)?;
        match kind {
            "input_text" | "output_text" => drop(part.get("text").text()?),
            "refusal" => drop(part.get("refusal").text()?),
            "input_image" => check_image(&part)?,
            "input_file" => check_file(&part)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_image(part: &Field<'_>) -> Check {
    if part.get("file_id").is_given() { Ok(()) } else { images::check_address(&part.get("image_url")) }
}

fn check_file(part: &Field<'_>) -> Check {
    let lies_elsewhere = ["file_id", "file_url"].iter().any(|name| part.get(name).is_given());
    if !lies_elsewhere {
        part.get("filename").required_text()?;
        part.get("file_data").required_text()?;
    }
    Ok(())
}

/// Each output has its call before it, and each call has its output.
fn check_pairs(items: &[Field<'_>], goes_on: bool) -> Check {
    let (mut open, mut known) = (Vec::new(), HashSet::new());
    for item in items {
        let id = item.get("call_id").as_str().unwrap_or_default();
        match kind(item) {
            "function_call" | "custom_tool_call" => {
                if !known.insert(id) {
                    return Err(item.refusal(format!("a call of the call_id `{id}` is there already")));
                }
                open.push(id);
            }
            "function_call_output" | "custom_tool_call_output" => {
                match open.iter().position(|open| *open == id) {
                    Some(at) => drop(open.remove(at)),
                    None if goes_on => {}
                    None => {
                        let text = format!("No tool call found for function call output with call_id {id}.");
                        return Err(of_input(text));
                    }
                }
            }
            _ => {}
        }
    }
    match open.first() {
        Some(id) => Err(of_input(format!("No tool output found for function call {id}."))),
        None => Ok(()),
    }
}

/// Reasoning comes back before the calls that it led to, and with what it led to.
fn check_reasoning(items: &[Field<'_>], is_stateless: bool, memory: &Memory) -> Check {
    for (at, item) in items.iter().enumerate() {
        match kind(item) {
            "reasoning" => check_kept(items, at, is_stateless)?,
            "function_call" | "custom_tool_call" => {
                let call = item.get("call_id").as_str().unwrap_or_default();
                // Without its id a stored call is taken as news, which needs no reasoning.
                let is_ours = is_stateless || item.get("id").is_given();
                for reasoning in memory.reasoning_of(call).iter().filter(|_| is_ours) {
                    check_led_to(&items[..at], item, reasoning)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_kept(items: &[Field<'_>], at: usize, is_stateless: bool) -> Check {
    let item = &items[at];
    let id = item.get("id").as_str().unwrap_or_default();
    if is_stateless && !item.get("encrypted_content").is_given() {
        let text = format!(
            "Item with id '{id}' not found. Items are not persisted when `store` is set to false. \
             Try again with `store` set to true, or remove this item from your input."
        );
        return Err(Refusal { status: 404, ..of_input(text) });
    }
    let next = items[at + 1..].iter().find(|next| kind(next) != "reasoning");
    let is_followed = next.is_some_and(|next| match kind(next) {
        "message" => next.get("role").as_str() == Some("assistant"),
        other => !other.ends_with("_output"),
    });
    if is_followed {
        return Ok(());
    }
    let text = format!("Item '{id}' of type 'reasoning' was provided without its required following item.");
    Err(of_input(text))
}

fn check_led_to(before: &[Field<'_>], call: &Field<'_>, reasoning: &Value) -> Check {
    let is_same = |item: &&Field<'_>| {
        let field = if item.get("id").is_given() { "id" } else { "encrypted_content" };
        kind(item) == "reasoning" && item.value[field] == reasoning[field]
    };
    let Some(item) = before.iter().find(is_same) else {
        let text = format!(
            "Item '{}' of type '{}' was provided without its required 'reasoning' item: '{}'.",
            call.get("id").as_str().unwrap_or_default(),
            kind(call),
            reasoning["id"].as_str().unwrap_or_default()
        );
        return Err(of_input(text));
    };
    let content = item.get("encrypted_content");
    if content.is_given() && *content.value != reasoning["encrypted_content"] {
        let text = format!("The encrypted content of item {} could not be verified.", reasoning["id"]);
        return Err(of_input(text).code("invalid_encrypted_content"));
    }
    Ok(())
}

fn of_input(message: String) -> Refusal {
    Refusal { param: Some("input".to_owned()), ..Refusal::of_request(message) }
}
