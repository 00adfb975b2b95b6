//! The tools that OpenAI's requests offer.

use super::schema::{self, Strictness};
use super::{Check, Field};

/// The longest name of a tool or a schema.
pub(super) const LONGEST_NAME: usize = 64;

/// Where the definition of a function stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Under `function` or `custom`, as Chat Completions has it.
    Nested,
    /// In the tool itself, as Responses has it.
    Flat,
}

pub(super) fn check(body: &Field<'_>, shape: Shape) -> Check {
    let tools = body.get("tools").items()?;
    let mut names = Vec::new();
    for tool in &tools {
        let name = check_tool(tool, shape)?;
        if name.is_some_and(|name| names.contains(&name)) {
            return Err(
                tool.refusal(format!("a tool of the name `{}` is there already", name.unwrap_or_default()))
            );
        }
        names.extend(name);
    }
    check_choice(&body.get("tool_choice"), &names, tools.is_empty(), shape)?;
    let parallel = body.get("parallel_tool_calls");
    parallel.boolean()?;
    if shape == Shape::Nested && tools.is_empty() && parallel.is_given() {
        return Err(parallel.refusal("it is only allowed when 'tools' are specified"));
    }
    Ok(())
}

/// Returns the name that the tool is called by, if it is one of the client's own.
fn check_tool<'a>(tool: &Field<'a>, shape: Shape) -> Check<Option<&'a str>> {
    let kind = tool.get("type").required_text()?;
    let is_own = matches!(kind, "function" | "custom");
    if !is_own && shape == Shape::Flat {
        // A tool that the provider runs.
        return Ok(None);
    }
    tool.get("type").one_of(&["function", "custom"])?;
    let definition = match shape {
        Shape::Nested => tool.get(kind),
        Shape::Flat => tool.clone(),
    };
    definition.required_object()?;
    let name = definition.get("name").name(LONGEST_NAME)?;
    let (parameters, strict) = (definition.get("parameters"), definition.get("strict"));
    strict.boolean()?;
    if parameters.is_given() {
        parameters.required_object()?;
        if parameters.get("type").as_str() != Some("object") {
            return Err(parameters.refusal("a function's schema has `type` \"object\""));
        }
    }
    if *strict.value == true {
        schema::check(&parameters, Strictness::OpenAi)?;
    }
    Ok(Some(name))
}

fn check_choice(choice: &Field<'_>, names: &[&str], has_no_tools: bool, shape: Shape) -> Check {
    if !choice.is_given() {
        return Ok(());
    }
    if choice.as_str().is_some() {
        choice.one_of(&["none", "auto", "required"])?;
        let needs_tools = shape == Shape::Nested || choice.as_str() == Some("required");
        return if has_no_tools && needs_tools {
            Err(choice.refusal("it is only allowed when 'tools' are specified"))
        } else {
            Ok(())
        };
    }
    choice.required_object()?;
    let kind = choice.get("type").required_text()?;
    match kind {
        "function" | "custom" => {
            let place = if shape == Shape::Nested { choice.get(kind) } else { choice.clone() };
            let name = place.get("name").required_text()?;
            if !names.contains(&name) {
                return Err(choice.refusal(format!("no tool has the name `{name}`")));
            }
        }
        "allowed_tools" => {
            let place = if shape == Shape::Nested { choice.get(kind) } else { choice.clone() };
            place.get("mode").one_of(&["auto", "required"])?;
            place.get("tools").required_items()?;
        }
        _ if shape == Shape::Nested => {
            return Err(choice.get("type").refusal("expected function, custom or allowed_tools"));
        }
        _ => {}
    }
    Ok(())
}

/// Checks a format of the answer: `schema` is where its name, its schema and its strictness stand.
pub(super) fn check_format(format: &Field<'_>, schema: &Field<'_>) -> Check {
    if !format.is_given() {
        return Ok(());
    }
    format.get("type").required_text()?;
    format.get("type").one_of(&["text", "json_object", "json_schema"])?;
    if format.get("type").as_str() != Some("json_schema") {
        return Ok(());
    }
    schema.required_object()?;
    schema.get("name").name(LONGEST_NAME)?;
    schema.get("schema").required_object()?;
    schema.get("strict").boolean()?;
    if *schema.get("strict").value == true {
        schema::check(&schema.get("schema"), Strictness::OpenAi)?;
    }
    Ok(())
}
