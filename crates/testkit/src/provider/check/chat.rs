//! Chat Completions.

use std::collections::HashSet;

use super::tools::{self, LONGEST_NAME, Shape};
use super::{Check, Field, Recorded, Refusal, check_model, images, sampling};

pub(super) fn check(request: &Recorded, body: &Field<'_>) -> Check {
    check_model(request, body)?;
    let messages = body.get("messages").required_items()?;
    messages.iter().try_for_each(check_message)?;
    check_order(&messages)?;
    check_limits(body)?;
    sampling::check(body)?;
    sampling::check_effort(&body.get("reasoning_effort"))?;
    body.get("verbosity").one_of(&["low", "medium", "high"])?;
    tools::check(body, Shape::Nested)?;
    let format = body.get("response_format");
    tools::check_format(&format, &format.get("json_schema"))?;
    let asks_for_json = format.get("type").as_str() == Some("json_object");
    if asks_for_json && !body.get("messages").value.to_string().to_lowercase().contains("json") {
        return Err(format.refusal("'messages' must contain the word 'json' in some form"));
    }
    Ok(())
}

fn check_limits(body: &Field<'_>) -> Check {
    let (current, old) = (body.get("max_completion_tokens"), body.get("max_tokens"));
    current.at_least(1)?;
    old.at_least(1)?;
    if current.is_given() && old.is_given() {
        return Err(old.refusal("'max_tokens' and 'max_completion_tokens' cannot be set both"));
    }
    if sampling::is_reasoning(body.get("model").as_str().unwrap_or_default()) {
        old.absent("is not supported with this model. Use 'max_completion_tokens' instead.")?;
    }
    body.get("n").within(1.0, 128.0)?;
    let stop = body.get("stop");
    if stop.is_given() && stop.as_str().is_none() && stop.items()?.len() > 4 {
        return Err(stop.refusal("expected at most 4 sequences"));
    }
    let options = body.get("stream_options");
    if options.is_given() && *body.get("stream").value != true {
        return Err(options.refusal("it is only allowed when 'stream' is enabled"));
    }
    Ok(())
}

fn check_message(message: &Field<'_>) -> Check {
    let content = message.get("content");
    match message.get("role").required_text()? {
        "system" | "developer" => check_content(&content, &["text"]),
        "user" => check_content(&content, &["text", "image_url", "input_audio", "file"]),
        "tool" => {
            message.get("tool_call_id").required_text()?;
            check_content(&content, &["text"])
        }
        "assistant" => check_assistant(message),
        "function" => message.get("name").required_text().map(drop),
        _ => Err(message
            .get("role")
            .refusal("expected one of system, developer, user, assistant, tool and function")),
    }
}

fn check_assistant(message: &Field<'_>) -> Check {
    let (content, calls) = (message.get("content"), message.get("tool_calls"));
    if content.is_given() {
        check_content(&content, &["text", "refusal"])?;
    } else if !["tool_calls", "refusal", "audio", "function_call"]
        .iter()
        .any(|name| message.get(name).is_given())
    {
        return Err(content.refusal("expected a string or parts, since there are no tool calls"));
    }
    if !calls.is_given() {
        return Ok(());
    }
    for call in calls.required_items()? {
        call.get("id").required_text()?;
        call.get("type").one_of(&["function", "custom"])?;
        let kind = call.get("type").required_text()?;
        call.get(kind).get("name").name(LONGEST_NAME)?;
        call.get(kind).get(if kind == "custom" { "input" } else { "arguments" }).text()?;
    }
    Ok(())
}

fn check_content(content: &Field<'_>, kinds: &[&str]) -> Check {
    if !content.is_given() {
        return Err(content.missing());
    }
    if content.as_str().is_some() {
        return Ok(());
    }
    for part in content.required_items()? {
        let kind = part.get("type").required_text()?;
        part.get("type").one_of(kinds)?;
        match kind {
            "text" | "refusal" => part.get(kind).text().map(drop)?,
            "image_url" => {
                let image = part.get("image_url");
                images::check_address(&image.get("url"))?;
                image.get("detail").one_of(&["auto", "low", "high", "original"])?;
            }
            "input_audio" => {
                part.get(kind).get("data").required_text()?;
                part.get(kind).get("format").required_text()?;
                part.get(kind).get("format").one_of(&["wav", "mp3"])?;
            }
            _ => check_file(&part.get("file"))?,
        }
    }
    Ok(())
}

fn check_file(file: &Field<'_>) -> Check {
    if file.get("file_id").is_given() {
        return file.get("file_id").required_text().map(drop);
    }
    file.get("filename").required_text()?;
    file.get("file_data").required_text().map(drop)
}

/// An assistant's calls are answered by one message each, before anything else.
fn check_order(messages: &[Field<'_>]) -> Check {
    let (mut open, mut known) = (Vec::new(), HashSet::new());
    for message in messages {
        if message.get("role").as_str() == Some("tool") {
            answer(message, &mut open)?;
            continue;
        }
        all_answered(message, &open)?;
        for call in message.get("tool_calls").items()? {
            let id = call.get("id").required_text()?;
            if !known.insert(id) {
                return Err(call.get("id").refusal(format!("a tool call of the id `{id}` is there already")));
            }
            open.push(id);
        }
    }
    messages.last().map_or(Ok(()), |last| all_answered(last, &open))
}

fn answer(message: &Field<'_>, open: &mut Vec<&str>) -> Check {
    let id = message.get("tool_call_id").required_text()?;
    let Some(at) = open.iter().position(|open| *open == id) else {
        let text = format!(
            "messages with role 'tool' must be a response to a preceding message with 'tool_calls', \
             and none of its calls that are not answered yet has the id `{id}`"
        );
        return Err(message.refusal(text));
    };
    open.remove(at);
    Ok(())
}

fn all_answered(message: &Field<'_>, open: &[&str]) -> Check {
    if open.is_empty() {
        return Ok(());
    }
    let text = format!(
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each \
         'tool_call_id'. The following tool_call_ids did not have response messages: {}",
        open.join(", ")
    );
    Err(Refusal { param: Some(message.path.clone()), ..Refusal::of_request(text) })
}
