//! Which tools a prompt asks for, and with which arguments.

use std::ops::Range;

use serde_json::{Map, Value};

use super::facts::Facts;
use super::fill::{Mode, fill};
use super::given::Given;
use super::retrieve::terms;
use super::spaced;
use super::words::{stem, words};
use crate::{Request, ToolCall, ToolChoice, ToolSpec};

/// How many tools are called at once.
const MAX_CALLS: usize = 4;

/// How many words a tool's description shares with a prompt that does not name the tool.
const LEAST_SHARED: usize = 2;

/// Verbs that so many tools have in their names that they say little.
const VERBS: &[&str] = &[
    "add", "call", "check", "compute", "create", "do", "execute", "fetch", "find", "get", "list", "look",
    "lookup", "make", "query", "read", "retrieve", "run", "search", "set", "show", "tool", "update", "use",
];

/// A tool that the prompt asks for.
#[derive(Debug)]
pub(super) struct Wanted<'request> {
    pub(super) name: &'request str,
    schema: &'request Value,
    /// Whether the prompt has the tool's name.
    is_named: bool,
    /// Where the prompt speaks of it, in words.
    place: usize,
    score: usize,
}

/// What to do about tools.
#[derive(Debug)]
pub(super) enum Choice<'request> {
    /// Call these.
    Call(Vec<ToolCall>),
    /// The prompt names this one, and does not say all that it has to be called with.
    Ask { tool: &'request str, missing: Vec<&'request str> },
    /// None is asked for.
    Nothing,
}

/// Chooses tools for a prompt; an error says that the choice that the request forces is none.
pub(super) fn choose<'request>(
    request: &'request Request,
    given: &Given<'_>,
) -> Result<Choice<'request>, String> {
    let functions = functions(request);
    match &request.tool_choice {
        ToolChoice::None => Ok(Choice::Nothing),
        ToolChoice::Tool { name } => match functions.iter().find(|(known, ..)| known == name) {
            Some((name, _, schema)) => Ok(Choice::Call(vec![forced(name, schema, request, given)])),
            None => Err(format!("the tool choice names `{name}`, and there is no such tool")),
        },
        ToolChoice::Required => {
            let wanted = wanted(&functions, given);
            let best =
                wanted.iter().max_by_key(|wanted| wanted.score).map(|wanted| (wanted.name, wanted.schema));
            let (name, schema) = best
                .or_else(|| functions.first().map(|(name, _, schema)| (*name, *schema)))
                .ok_or("a tool has to be called, and there is none that the program runs")?;
            Ok(Choice::Call(vec![forced(name, schema, request, given)]))
        }
        ToolChoice::Auto => Ok(free(wanted(&functions, given), request, given)),
    }
}

/// Names, descriptions and schemas of the tools that the program runs.
fn functions(request: &Request) -> Vec<(&str, &str, &Value)> {
    let function = |tool| match tool {
        &ToolSpec::Function { ref name, ref description, ref input_schema, .. } => {
            Some((name.as_str(), description.as_str(), input_schema))
        }
        ToolSpec::Provider { .. } => None,
    };
    request.tools.iter().filter_map(function).collect()
}

/// Chooses among the tools that the prompt asks for, and that were not called for it yet.
fn free<'request>(wanted: Vec<Wanted<'request>>, request: &Request, given: &Given<'_>) -> Choice<'request> {
    let called = |name: &str| given.results.iter().any(|result| result.name == name);
    // A tool that is only hinted at is called once; after that the results are the answer.
    let left = wanted
        .into_iter()
        .filter(|wanted| !called(wanted.name) && (wanted.is_named || given.results.is_empty()));
    let left: Vec<Wanted<'request>> = left.collect();
    let mut calls = Vec::new();
    let mut unclear = None;
    for (index, tool) in left.iter().take(MAX_CALLS).enumerate() {
        let from = if index == 0 { 0 } else { tool.place };
        let until = left.get(index + 1).map_or(usize::MAX, |next| next.place);
        match arguments(tool, from..until, given) {
            Some(input) => calls.push(call(tool.name, input, request)),
            None if tool.is_named => unclear = unclear.or(Some(tool)),
            None => {}
        }
    }
    match unclear {
        _ if !calls.is_empty() => Choice::Call(calls),
        Some(tool) => Choice::Ask { tool: tool.name, missing: missing(tool.schema, given) },
        None => Choice::Nothing,
    }
}

/// Reads a tool's arguments: from the words of the prompt that speak of it, else from all of it.
fn arguments(tool: &Wanted<'_>, words: Range<usize>, given: &Given<'_>) -> Option<Value> {
    let is_all = words == (0..usize::MAX);
    let own = given.prompt.split_whitespace().skip(words.start).take(words.end.saturating_sub(words.start));
    let own = own.collect::<Vec<_>>().join(" ");
    let read = |text: &str, question: &str| fill(tool.schema, text, question, Mode::Read);
    let from_own = if is_all { None } else { read(&own, &own) };
    from_own.or_else(|| read(&given.prompt, &given.question))
}

fn forced(name: &str, schema: &Value, request: &Request, given: &Given<'_>) -> ToolCall {
    let input = fill(schema, &given.whole_text(), &given.question, Mode::Invent);
    call(name, input.unwrap_or_else(|| Value::Object(Map::new())), request)
}

/// The id follows from the call and its place in the conversation, so that it is the same in every run.
fn call(name: &str, input: Value, request: &Request) -> ToolCall {
    let place = request.messages.len().to_le_bytes();
    let hash = super::words::hash(&[name.as_bytes(), input.to_string().as_bytes(), &place]);
    ToolCall { id: format!("call_{hash:016x}"), name: name.to_owned(), input, ..ToolCall::default() }
}

/// Returns the required arguments that the prompt does not say.
fn missing<'request>(schema: &'request Value, given: &Given<'_>) -> Vec<&'request str> {
    let required =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let unsaid = |name: &&str| {
        let property =
            schema.get("properties").and_then(|properties| properties.get(*name)).unwrap_or(&Value::Null);
        fill(property, &given.prompt, &given.question, Mode::Read).is_none()
    };
    required.filter(unsaid).collect()
}

/// Returns the tools that the prompt asks for, in the order in which it does.
fn wanted<'request>(
    functions: &[(&'request str, &'request str, &'request Value)],
    given: &Given<'_>,
) -> Vec<Wanted<'request>> {
    let facts = Facts::new(&given.prompt);
    let prompt = terms(&given.prompt);
    let mut wanted: Vec<Wanted<'request>> = functions
        .iter()
        .filter_map(|(name, description, schema)| wants(name, description, schema, &facts, &prompt))
        .collect();
    wanted.sort_by_key(|tool| tool.place);
    let best = wanted.iter().map(|tool| tool.score).max().unwrap_or(0);
    // Beside a tool that is named, one that is only hinted at is none.
    let any_named = wanted.iter().any(|tool| tool.is_named);
    wanted.retain(|tool| tool.is_named || !any_named && (tool.score == best || tool.score >= NAME_WORD));
    wanted
}

/// What a tool's full name, and a telling word of its name, count in the prompt.
const FULL_NAME: usize = 100;
const NAME_WORD: usize = 10;

fn wants<'request>(
    name: &'request str,
    description: &str,
    schema: &'request Value,
    facts: &Facts,
    prompt: &[String],
) -> Option<Wanted<'request>> {
    let name_words = words(&spaced(name));
    let raw = facts.text.split_whitespace().position(|word| {
        word.trim_matches(|mark: char| !mark.is_alphanumeric() && mark != '_').eq_ignore_ascii_case(name)
    });
    // The name of a tool such as `weather` is a word like any other, so it is named only by more than that.
    let said = raw
        .filter(|_| name_words.len() > 1 || has_order(facts, name))
        .or_else(|| facts.says(name).filter(|_| name_words.len() > 1));
    let telling =
        name_words.iter().filter(|word| !VERBS.contains(&word.as_str())).map(|word| stem(word).to_owned());
    let telling: Vec<String> = telling.filter(|stem| prompt.contains(stem)).collect();
    let shared = terms(description).iter().filter(|term| prompt.contains(term)).count();
    let place = said.or_else(|| telling.iter().find_map(|stem| facts.says(stem))).unwrap_or(0);
    let score = if said.is_some() { FULL_NAME } else { telling.len() * NAME_WORD + shared };
    let is_wanted = said.is_some() || !telling.is_empty() || shared >= LEAST_SHARED;
    is_wanted.then_some(Wanted { name, schema, is_named: said.is_some(), place, score })
}

/// Returns whether the prompt says to use this tool: `use weather`, `the weather tool`, `weather(…)`.
fn has_order(facts: &Facts, name: &str) -> bool {
    let text = facts.text.to_lowercase();
    let name = name.to_lowercase();
    let orders = [
        format!("{name} tool"),
        format!("tool {name}"),
        format!("use {name}"),
        format!("call {name}"),
        format!("{name}("),
        format!("`{name}`"),
    ];
    orders.iter().any(|order| text.contains(order.as_str()))
}
