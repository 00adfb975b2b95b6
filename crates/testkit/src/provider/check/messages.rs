//! Messages.

mod caching;
mod history;
mod thinking;

use super::schema::{self, Strictness};
use super::{Check, Field, Memory, Recorded, Refusal, images};

/// The version that most clients ask for.
const FIRST: &str = "2023-06-01";
/// The version that has no sampling.
const SECOND: &str = "2026-10-21";

/// The longest name of a tool.
const LONGEST_NAME: usize = 128;

/// What only the first version takes.
const SAMPLING: [&str; 3] = ["temperature", "top_p", "top_k"];

const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];

pub(super) fn check(request: &Recorded, body: &Field<'_>, memory: &Memory) -> Check {
    let is_second = match request.header("anthropic-version") {
        Some(FIRST) => false,
        Some(SECOND) => true,
        Some(other) => {
            let text =
                format!("anthropic-version: `{other}` is not a valid version; {FIRST} and {SECOND} are");
            return Err(Refusal::of_request(text));
        }
        None => return Err(Refusal::of_request("anthropic-version: header is required")),
    };
    body.get("model").required_text()?;
    if !body.get("max_tokens").is_given() {
        return Err(body.get("max_tokens").missing());
    }
    body.get("max_tokens").at_least(1)?;
    if is_second {
        check_no_sampling(body)?;
    }
    body.get("temperature").within(0.0, 1.0)?;
    body.get("top_p").within(0.0, 1.0)?;
    body.get("top_k").at_least(0)?;
    check_system(&body.get("system"))?;
    let messages = body.get("messages").required_items()?;
    for message in &messages {
        check_message(message, is_second)?;
    }
    history::check(&messages)?;
    check_tools(body)?;
    thinking::check(body, &messages, memory)?;
    caching::check(body)?;
    body.get("service_tier").one_of(&["auto", "standard_only"])?;
    body.get("speed").one_of(&["standard", "fast"])?;
    check_output(&body.get("output_config"))
}

fn check_no_sampling(body: &Field<'_>) -> Check {
    for name in SAMPLING {
        let field = body.get(name);
        if field.is_given() {
            return Err(field.refusal(format!("`{name}` is not supported in API version {SECOND}")));
        }
    }
    Ok(())
}

fn check_output(output: &Field<'_>) -> Check {
    output.get("effort").one_of(&EFFORTS)?;
    let format = output.get("format");
    if !format.is_given() {
        return Ok(());
    }
    format.get("type").required_text()?;
    format.get("type").one_of(&["json_schema"])?;
    schema::check(&format.get("schema"), Strictness::Anthropic)
}

fn check_system(system: &Field<'_>) -> Check {
    if !system.is_given() || system.as_str().is_some() {
        return Ok(());
    }
    system.items()?.iter().try_for_each(|block| check_block(block, &["text"]))
}

fn check_message(message: &Field<'_>, is_second: bool) -> Check {
    let role = message.get("role").required_text()?;
    message.get("role").one_of(&["user", "assistant", "system"])?;
    let content = message.get("content");
    if content.as_str().is_some() {
        return content.required_text().map(drop);
    }
    for block in content.required_items()? {
        match role {
            "system" => check_block(&block, &["text"])?,
            "user" => check_user_block(&block, is_second)?,
            _ => check_assistant_block(&block, is_second)?,
        }
    }
    Ok(())
}

fn check_user_block(block: &Field<'_>, is_second: bool) -> Check {
    const KINDS: [&str; 6] =
        ["text", "image", "document", "tool_result", "search_result", "container_upload"];
    check_block(block, &KINDS)?;
    let citations = block.get("citations");
    let is_text = block.get("type").as_str() == Some("text");
    if is_second && is_text && citations.value.as_array().is_some_and(|citations| !citations.is_empty()) {
        return Err(citations.refusal("a text block of a user message has no citations"));
    }
    Ok(())
}

fn check_assistant_block(block: &Field<'_>, is_second: bool) -> Check {
    let kind = block.get("type").required_text()?;
    if matches!(kind, "image" | "tool_result" | "search_result" | "container_upload") {
        return Err(block.get("type").refusal(format!("`{kind}` blocks are not for assistant messages")));
    }
    if is_second && kind == "document" {
        return Err(block.get("type").refusal("`document` blocks are not for assistant messages"));
    }
    check_content(block, kind)
}

fn check_block(block: &Field<'_>, kinds: &[&str]) -> Check {
    let kind = block.get("type").required_text()?;
    block.get("type").one_of(kinds)?;
    check_content(block, kind)
}

/// Checks what belongs to a kind of block. Kinds that only the provider makes are its own affair.
fn check_content(block: &Field<'_>, kind: &str) -> Check {
    match kind {
        "text" => block.get("text").required_text().map(drop),
        "image" => check_source(&block.get("source"), &images::TYPES),
        "document" => check_source(&block.get("source"), &["application/pdf", "text/plain"]),
        "tool_use" => {
            block.get("id").required_text()?;
            block.get("name").name(LONGEST_NAME)?;
            block.get("input").required_object()
        }
        "tool_result" => {
            block.get("tool_use_id").required_text()?;
            block.get("is_error").boolean()?;
            let content = block.get("content");
            if !content.is_given() || content.as_str().is_some() {
                return Ok(());
            }
            let kinds = ["text", "image", "document", "search_result", "tool_reference"];
            content.items()?.iter().try_for_each(|inner| check_block(inner, &kinds))
        }
        "thinking" => {
            block.get("thinking").text()?;
            block.get("signature").required_text().map(drop)
        }
        "redacted_thinking" => block.get("data").required_text().map(drop),
        _ => Ok(()),
    }
}

fn check_source(source: &Field<'_>, types: &[&str]) -> Check {
    source.required_object()?;
    match source.get("type").required_text()? {
        "base64" => {
            source.get("media_type").required_text()?;
            source.get("media_type").one_of(types)?;
            let data = source.get("data");
            images::check_base64(data.required_text()?).map_err(|message| data.refusal(message))
        }
        "url" => source.get("url").required_text().map(drop),
        "file" => source.get("file_id").required_text().map(drop),
        "text" => source.get("data").required_text().map(drop),
        "content" => Ok(()),
        other => Err(source.get("type").refusal(format!("there is no source of the type `{other}`"))),
    }
}

fn check_tools(body: &Field<'_>) -> Check {
    let tools = body.get("tools").items()?;
    let mut names = Vec::new();
    for tool in &tools {
        let name = tool.get("name").name(LONGEST_NAME)?;
        if names.contains(&name) {
            return Err(Refusal {
                param: Some("tools".to_owned()),
                ..Refusal::of_request("Tool names must be unique.")
            });
        }
        names.push(name);
        check_tool(tool)?;
    }
    check_choice(&body.get("tool_choice"), &names)
}

fn check_tool(tool: &Field<'_>) -> Check {
    // Tools with another type are run by the provider.
    if tool.get("type").as_str().is_some_and(|kind| kind != "custom") {
        return Ok(());
    }
    let schema = tool.get("input_schema");
    schema.required_object()?;
    if schema.get("type").as_str() != Some("object") {
        return Err(schema.get("type").refusal("Input should be 'object'"));
    }
    tool.get("strict").boolean()?;
    if *tool.get("strict").value == true { schema::check(&schema, Strictness::Anthropic) } else { Ok(()) }
}

fn check_choice(choice: &Field<'_>, names: &[&str]) -> Check {
    if !choice.is_given() {
        return Ok(());
    }
    choice.required_object()?;
    let kind = choice.get("type").required_text()?;
    choice.get("type").one_of(&["auto", "any", "tool", "none"])?;
    choice.get("disable_parallel_tool_use").boolean()?;
    if names.is_empty() && kind != "none" {
        return Err(choice.refusal("tool_choice may only be specified while providing tools"));
    }
    if kind == "tool" {
        let name = choice.get("name").required_text()?;
        if !names.contains(&name) {
            return Err(choice.get("name").refusal(format!("Tool '{name}' not found in provided tools")));
        }
    }
    Ok(())
}
