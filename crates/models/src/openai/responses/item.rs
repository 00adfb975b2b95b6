//! Output items: what becomes of each, and what its parts remember of it.
//!
//! A part keeps the item it was made of in the provider's bag, under [`ITEM`], without the texts that the
//! part itself holds. So an item can be sent back as it came, fields of a later version included.

use serde_json::{Map, Value, json};

/// The name in a part's bag of the item that the part was made of.
pub(super) const ITEM: &str = "item";
/// The name in a text's bag of its annotations.
pub(super) const ANNOTATIONS: &str = "annotations";
/// The name in a text's bag that marks a refusal.
pub(super) const REFUSAL: &str = "refusal";
/// The name in a thought's bag of the list that it stands in: `summary` or `content`.
pub(super) const THOUGHT: &str = "thought";

/// The fields of an item.
pub(super) type Item = Map<String, Value>;

/// What becomes of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Texts and refusals.
    Message,
    /// Thoughts.
    Reasoning,
    /// A call of a tool that the program runs.
    Call(Arguments),
    /// A call of a tool that the provider ran, and its result.
    ServerTool(Arguments),
    /// A call of a tool that the provider runs, whose result is an item of its own.
    ServerCall(Arguments),
    /// The question whether the provider may call a tool.
    Approval,
    /// The result of a tool that the provider ran, as an item of its own.
    ServerResult,
    /// An item that has no counterpart here; it is kept as it is.
    Other,
}

/// Where the arguments of a call stand, and in which form they stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arguments {
    /// JSON text in `arguments`.
    Json,
    /// Any text in `input`.
    Text,
    /// A program in `code`, beside the container that it runs in.
    Code,
    /// All fields of the item that don't say which item it is.
    Fields,
}

/// Returns what becomes of an item.
pub(super) fn kind(item: &Item) -> Kind {
    match text(item, "type") {
        "message" => Kind::Message,
        "reasoning" => Kind::Reasoning,
        "function_call" => Kind::Call(Arguments::Json),
        "custom_tool_call" => Kind::Call(Arguments::Text),
        // A shell in a container is the provider's own.
        "shell_call" if item.get("environment").is_some_and(is_hosted) => Kind::ServerCall(Arguments::Fields),
        "computer_call" | "local_shell_call" | "shell_call" | "apply_patch_call" => {
            Kind::Call(Arguments::Fields)
        }
        "mcp_call" => Kind::ServerTool(Arguments::Json),
        "code_interpreter_call" => Kind::ServerTool(Arguments::Code),
        "web_search_call" | "file_search_call" | "image_generation_call" => {
            Kind::ServerTool(Arguments::Fields)
        }
        "mcp_approval_request" => Kind::Approval,
        "shell_call_output" => Kind::ServerResult,
        _ => Kind::Other,
    }
}

fn is_hosted(environment: &Value) -> bool {
    environment["type"].as_str().is_some_and(|kind| kind != "local")
}

/// Returns a text field of an item; empty if it is missing.
pub(super) fn text<'a>(item: &'a Item, name: &str) -> &'a str {
    item.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// Returns the id by which a call's result names it.
pub(super) fn call_id(item: &Item) -> &str {
    match text(item, "call_id") {
        "" => text(item, "id"),
        id => id,
    }
}

/// Returns the name of the tool that a call's item names, or that its type stands for.
pub(super) fn tool_name(item: &Item) -> &str {
    match text(item, "name") {
        "" => {
            let kind = text(item, "type");
            kind.strip_suffix("_call").unwrap_or(kind)
        }
        name => name,
    }
}

/// Returns what the parts of an item remember of it: all that they don't hold themselves.
pub(super) fn memory(item: &Item) -> Item {
    let held: &[&str] = match kind(item) {
        Kind::Message => &["role", "content"],
        Kind::Reasoning => &["summary", "content"],
        Kind::Call(Arguments::Json | Arguments::Text) => &["call_id", "name", "arguments", "input"],
        Kind::Call(_) | Kind::ServerCall(_) => return only(item, &["type", "id", "status"]),
        Kind::ServerTool(_) | Kind::ServerResult => return first_memory(item),
        Kind::Approval | Kind::Other => &[],
    };
    let rest = item.iter().filter(|(name, _)| !held.contains(&name.as_str()));
    rest.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Returns what is remembered of an item that has only begun.
pub(super) fn first_memory(item: &Item) -> Item {
    only(item, &["type", "id", "phase"])
}

fn only(item: &Item, names: &[&str]) -> Item {
    names.iter().filter_map(|name| Some(((*name).to_owned(), item.get(*name)?.clone()))).collect()
}

/// The fields that say which item it is.
const IDENTITY: [&str; 4] = ["type", "id", "call_id", "status"];

impl Arguments {
    /// Returns the piece of JSON text that a delta adds.
    pub(super) fn delta(self, delta: String, is_first: bool) -> String {
        let opening = match self {
            Self::Json | Self::Fields => return delta,
            Self::Text => "\"",
            Self::Code => "{\"code\":\"",
        };
        let escaped = Value::String(delta).to_string();
        let inside = &escaped[1..escaped.len() - 1];
        if is_first { format!("{opening}{inside}") } else { inside.to_owned() }
    }

    /// Returns what is still missing of the JSON text when the item is complete.
    pub(super) fn rest(self, item: &Item, is_begun: bool) -> String {
        let container = || item.get("container_id").cloned().unwrap_or_default();
        match (self, is_begun) {
            (Self::Json, true) => String::new(),
            (Self::Json, false) => text(item, "arguments").to_owned(),
            (Self::Text, true) => "\"".to_owned(),
            (Self::Text, false) => Value::from(text(item, "input")).to_string(),
            (Self::Code, true) => format!("\",\"container_id\":{}}}", container()),
            (Self::Code, false) => {
                json!({ "code": text(item, "code"), "container_id": container() }).to_string()
            }
            (Self::Fields, _) => Value::Object(fields(item)).to_string(),
        }
    }
}

/// What of a tool's item is its result, and no argument.
const RESULTS: [&str; 2] = ["result", "results"];

fn fields(item: &Item) -> Item {
    let is_argument = |name: &str| !IDENTITY.contains(&name) && !RESULTS.contains(&name);
    let arguments = item.iter().filter(|(name, _)| is_argument(name));
    arguments.map(|(name, value)| (name.clone(), value.clone())).collect()
}
