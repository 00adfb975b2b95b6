//! What the offline model says.

use std::fmt::Write as _;

use super::given::{Given, Passage, inline, lines};
use super::retrieve::{retrieve, summarise};
use super::words::words;
use crate::{Request, ToolCall, ToolOutput, ToolResult, ToolSpec};

/// Ends every answer, so that nobody takes it for that of a language model.
const SIGNATURE: &str = "— Loomwork's offline model, which follows rules and knows nothing by itself";

const GREETINGS: &[&str] = &[
    "hello",
    "hi",
    "hey",
    "hallo",
    "hola",
    "bonjour",
    "salut",
    "ciao",
    "servus",
    "moin",
    "greetings",
    "howdy",
    "olá",
    "ola",
    "hej",
    "ahoj",
    "merhaba",
    "привет",
    "здравствуйте",
    "こんにちは",
    "你好",
    "안녕하세요",
    "नमस्ते",
    "שלום",
    "مرحبا",
];

const THANKS: &[&str] = &["thanks", "thank", "danke", "merci", "gracias", "bye", "goodbye", "ciao"];

/// A short text that the model knows by heart, for those who want to see it stream.
const STORY: &str = "A weaver in Lyon had a loom that could read. Each morning she gave it a chain of cards, and where a card had \
    a hole, a thread was lifted. One day the cards got wet, and the holes of two of them ran into each other. The loom read on as it \
    always did, one card after the other, without a question and without haste, and by evening there was a bird in the cloth that \
    nobody had drawn. The weaver looked at it for a long time. Then she dried the two cards by the fire, put them back into the \
    chain where they belonged, and wrote on the margin: keep.";

/// Says what there is to say about a prompt that asks for no tool.
pub(super) fn answer(given: &Given<'_>, request: &Request) -> String {
    let asked = words(&given.question);
    let is = |list: &[&str]| asked.iter().any(|word| list.contains(&word.as_str()));
    let says = |phrases: &[&str]| {
        let question = given.question.to_lowercase();
        phrases.iter().any(|phrase| question.contains(phrase))
    };
    let text = if given.prompt.trim().is_empty() {
        introduction(request)
    } else if says(&[
        "who are you",
        "what are you",
        "are you real",
        "are you an ai",
        "what can you do",
        "which tools",
        "what tools",
        "help me get started",
    ]) {
        introduction(request)
    } else if GREETINGS.iter().any(|greeting| given.question.to_lowercase().starts_with(greeting))
        && asked.len() <= 4
    {
        greeting(given, request)
    } else if is(THANKS) && asked.len() <= 5 {
        "You are welcome.".to_owned()
    } else if let Some(words) = echo(&given.question) {
        words
    } else if says(&["summar", "tl;dr", "key points", "main points"]) && !given.passages.is_empty() {
        let source: Vec<Passage> =
            given.passages.iter().filter(|passage| passage.trust >= 1.0).cloned().collect();
        format!(
            "These sentences share the most with the rest of what I was given:\n\n{}",
            quotes(&summarise(&source))
        )
    } else {
        from_passages(given, request, says(&["story", "poem"]))
    };
    let blind = if given.has_images { "I cannot see images, so I went by the words alone.\n\n" } else { "" };
    format!("{blind}{text}\n\n{SIGNATURE}")
}

fn from_passages(given: &Given<'_>, request: &Request, wants_story: bool) -> String {
    let found = retrieve(&given.question, &given.passages);
    match found.as_slice() {
        [] if wants_story => format!("I cannot make one up, but I know one by heart.\n\n{STORY}"),
        [] => nothing(given, request),
        [one] => format!("From {}:\n\n{}", one.source, quotes(&found)),
        _ => format!("I found this in what I was given:\n\n{}", quotes(&found)),
    }
}

fn quotes(passages: &[&Passage]) -> String {
    let quotes: Vec<String> =
        passages.iter().map(|passage| format!("> {} ({})", passage.text, passage.source)).collect();
    quotes.join("\n")
}

fn introduction(request: &Request) -> String {
    format!(
        "I am the offline model: no network, no key, the same answer to the same prompt each time. I quote what the conversation and \
         its documents say, call tools whose arguments I can read in a prompt, and fill JSON schemas.{}",
        tools(request)
    )
}

fn greeting(given: &Given<'_>, request: &Request) -> String {
    let word = given.question.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or("Hello");
    let again = if given.is_under_way { " again" } else { "" };
    format!("{word}{again}! {}", introduction(request))
}

fn nothing(given: &Given<'_>, request: &Request) -> String {
    let about = match given.passages.len() {
        0 => "Nothing was given to me that I could quote",
        _ => "Nothing that I was given has the words of this question",
    };
    format!(
        "{about}, and I know nothing by myself. Give me a document, tell me something and ask me about it, or set the key of a provider \
         for a model that does know.{}",
        tools(request)
    )
}

fn tools(request: &Request) -> String {
    let name = |tool: &ToolSpec| match tool {
        ToolSpec::Function { name, .. } => Some(format!("`{name}`")),
        ToolSpec::Provider { .. } => None,
    };
    let names: Vec<String> = request.tools.iter().filter_map(name).collect();
    if names.is_empty() { String::new() } else { format!(" The tools at hand: {}.", names.join(", ")) }
}

/// Returns what the prompt wants to hear: `say "hello"`, `repeat after me: hello`.
fn echo(question: &str) -> Option<String> {
    let lower = question.to_ascii_lowercase();
    let leads = [
        "repeat after me:",
        "repeat:",
        "say:",
        "say exactly:",
        "say \"",
        "reply with:",
        "reply with \"",
        "echo:",
        "echo ",
    ];
    let lead = leads.iter().find(|lead| lower.starts_with(**lead))?;
    let text = question[lead.len()..].trim();
    let text =
        text.split_once('"').map_or(text, |(inside, _)| if lead.ends_with('"') { inside } else { text });
    (!text.is_empty()).then(|| text.to_owned())
}

/// Says that a tool cannot be called yet.
pub(super) fn ask(tool: &str, missing: &[&str]) -> String {
    let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
    let names = if names.is_empty() { "its arguments".to_owned() } else { names.join(" and ") };
    format!("I would call `{tool}`, but the prompt does not say {names}. Tell me, and I will.\n\n{SIGNATURE}")
}

/// Says what tools returned.
pub(super) fn tell(results: &[&ToolResult], request: &Request) -> String {
    let mut text = String::new();
    for result in results {
        let with =
            input_of(result, request).map(|input| format!(" with {}", inline(input))).unwrap_or_default();
        let name = &result.name;
        // Writing to a string never fails.
        let _ = match &result.output {
            ToolOutput::Denied { reason } => {
                let why = reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                writeln!(text, "I was not allowed to call `{name}`{with}{why}.")
            }
            output if output.is_error() => {
                writeln!(text, "I called `{name}`{with}, and it failed:{}", said(output))
            }
            output => writeln!(text, "I called `{name}`{with}. It says:{}", said(output)),
        };
    }
    format!("{text}\n{SIGNATURE}")
}

/// Returns the arguments of the call that a result belongs to, unless there are none.
fn input_of<'request>(
    result: &ToolResult,
    request: &'request Request,
) -> Option<&'request serde_json::Value> {
    let calls = request.messages.iter().flat_map(|message| message.tool_calls());
    let is_of = |call: &&ToolCall| call.id == result.call;
    calls
        .filter(is_of)
        .map(|call| &call.input)
        .find(|input| input.as_object().is_some_and(|input| !input.is_empty()))
}

fn said(output: &ToolOutput) -> String {
    match output {
        ToolOutput::Json(value) | ToolOutput::ErrorJson(value) => match lines(value).as_slice() {
            [] => " nothing".to_owned(),
            [line] => format!(" {line}"),
            lines => lines.iter().fold(String::new(), |text, line| text + "\n- " + line),
        },
        output => format!(" {}", output.to_text().trim()),
    }
}
