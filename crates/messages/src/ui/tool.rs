//! A tool call as a page shows it, with what became of it.

use loomwork_models::{ProviderData, ToolOutput};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

/// How the type of the part of a tool begins whose name is known when the page is written.
pub(crate) const TOOL_PREFIX: &str = "tool-";

/// The type of the part of any other tool.
pub(crate) const DYNAMIC_TOOL: &str = "dynamic-tool";

/// A tool call, with what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiTool {
    /// The tool.
    #[serde(flatten)]
    pub name: ToolName,
    /// The id of the call.
    #[serde(rename = "toolCallId")]
    pub call: String,
    /// How far it is.
    pub state: ToolState,
    /// A title for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the tool's owner attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_metadata: Option<Value>,
    /// Whether the provider runs the tool itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provider_executed: bool,
    /// The arguments, as soon as they are complete.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub input: Option<Value>,
    /// The arguments as they came, if they could not be read.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub raw_input: Option<Value>,
    /// What the tool returned.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub output: Option<Value>,
    /// Whether another output follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub preliminary: bool,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_text: Option<String>,
    /// The question whether it may run, and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<UiApproval>,
    /// What the provider said of the call.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub call_provider_metadata: ProviderData,
    /// What the provider said of the result.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub result_provider_metadata: ProviderData,
}

/// The name of a tool in the type of its part.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "RawToolName", try_from = "RawToolName")]
pub enum ToolName {
    /// A tool that is known when the page is written: `tool-<name>`.
    Static(String),
    /// A tool that is known at run time only: `dynamic-tool`.
    Dynamic(String),
}

/// How far a tool call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToolState {
    /// The arguments grow.
    InputStreaming,
    /// The arguments are complete.
    InputAvailable,
    /// Somebody is asked whether it may run.
    ApprovalRequested,
    /// They have answered.
    ApprovalResponded,
    /// It has returned something.
    OutputAvailable,
    /// It failed, or its arguments could not be read.
    OutputError,
    /// It was not allowed to run.
    OutputDenied,
}

/// The question whether a tool may run, and the answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiApproval {
    /// The id that the answer names; empty if the tool was refused without a question.
    pub id: String,
    /// The answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<bool>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether a rule asked instead of a person being asked.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_automatic: bool,
    /// Proves that the question is ours when it comes back from a client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What the provider said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Returned(Value),
    Failed(String),
    Denied(Option<String>),
}

impl Outcome {
    /// Returns how an output is shown. [`Outcome::into_output`] makes the same output of it, but for an
    /// error's value, which becomes its text.
    pub(crate) fn of(output: &ToolOutput) -> Self {
        match output {
            ToolOutput::Text(text) => Self::Returned(Value::String(text.clone())),
            ToolOutput::Json(value) => Self::Returned(plain(value)),
            ToolOutput::ErrorText(text) => Self::Failed(text.clone()),
            ToolOutput::ErrorJson(Value::String(text)) => Self::Failed(text.clone()),
            ToolOutput::ErrorJson(value) => Self::Failed(value.to_string()),
            ToolOutput::Denied { reason } => Self::Denied(reason.clone()),
            // Texts and files have no plainer form than their own; they are always JSON.
            output => Self::Returned(serde_json::to_value(output).unwrap_or_default()),
        }
    }

    pub(crate) fn into_output(self) -> ToolOutput {
        match self {
            Self::Returned(value) => ToolOutput::from_value(value),
            Self::Failed(text) => ToolOutput::ErrorText(text),
            Self::Denied(reason) => ToolOutput::Denied { reason },
        }
    }
}

/// Returns a value bare, unless it would then be read as an output of another kind.
fn plain(value: &Value) -> Value {
    let bare = value.clone();
    let is_taken =
        value.get("type").is_some() && ToolOutput::from_value(bare.clone()) != ToolOutput::Json(bare.clone());
    if is_taken { json!({ "type": "json", "value": bare }) } else { bare }
}

impl UiTool {
    /// Returns a call of which nothing but its id is known.
    pub fn new(name: ToolName, call: impl Into<String>) -> Self {
        Self {
            name,
            call: call.into(),
            state: ToolState::InputStreaming,
            title: None,
            tool_metadata: None,
            provider_executed: false,
            input: None,
            raw_input: None,
            output: None,
            preliminary: false,
            error_text: None,
            approval: None,
            call_provider_metadata: ProviderData::new(),
            result_provider_metadata: ProviderData::new(),
        }
    }

    /// Returns whether nothing more becomes of it.
    pub fn has_ended(&self) -> bool {
        match self.state {
            ToolState::OutputAvailable => !self.preliminary,
            ToolState::OutputError | ToolState::OutputDenied => true,
            _ => false,
        }
    }

    /// Shows arguments anew, which are complete if they are there.
    pub(crate) fn begin(&mut self, input: Option<Value>) {
        let is_complete = input.is_some();
        self.state = if is_complete { ToolState::InputAvailable } else { ToolState::InputStreaming };
        self.input = input;
        self.raw_input = None;
        self.output = None;
        self.preliminary = false;
        self.error_text = None;
    }

    /// Shows what became of the call.
    pub(crate) fn settle(&mut self, outcome: Outcome) {
        self.output = None;
        self.preliminary = false;
        self.error_text = None;
        match outcome {
            Outcome::Returned(output) => {
                self.output = Some(output);
                self.state = ToolState::OutputAvailable;
            }
            Outcome::Failed(text) => {
                self.error_text = Some(text);
                self.state = ToolState::OutputError;
            }
            Outcome::Denied(reason) => {
                let approval = self.approval.get_or_insert_default();
                approval.approved = Some(false);
                approval.reason = approval.reason.take().or(reason);
                self.state = ToolState::OutputDenied;
            }
        }
    }

    /// Takes arguments that could not be read. The arguments of a dynamic tool stay where they are looked
    /// for, since nobody expects a shape of them.
    pub(crate) fn reject_input(&mut self, input: Value) {
        let is_static = matches!(self.name, ToolName::Static(_));
        (self.input, self.raw_input) = if is_static { (None, Some(input)) } else { (Some(input), None) };
    }

    /// Adds what a later part says of the same call. What it leaves out stays, and no end is taken back.
    pub(crate) fn absorb(&mut self, later: Self) {
        if later.has_ended() || !self.has_ended() {
            self.state = later.state;
            self.preliminary = later.preliminary;
            self.output = later.output;
            self.error_text = later.error_text;
        }
        self.title = later.title.or(self.title.take());
        self.tool_metadata = later.tool_metadata.or(self.tool_metadata.take());
        self.provider_executed |= later.provider_executed;
        self.input = later.input.or(self.input.take());
        self.raw_input = later.raw_input.or(self.raw_input.take());
        if !later.call_provider_metadata.is_empty() {
            self.call_provider_metadata = later.call_provider_metadata;
        }
        if !later.result_provider_metadata.is_empty() {
            self.result_provider_metadata = later.result_provider_metadata;
        }
        match (&mut self.approval, later.approval) {
            (Some(known), Some(later)) => known.absorb(later),
            (known @ None, later) => *known = later,
            (Some(_), None) => {}
        }
    }
}

impl UiApproval {
    fn absorb(&mut self, later: Self) {
        if !later.id.is_empty() {
            self.id = later.id;
        }
        self.approved = later.approved.or(self.approved);
        self.reason = later.reason.or(self.reason.take());
        self.is_automatic |= later.is_automatic;
        self.signature = later.signature.or(self.signature.take());
        if !later.provider_metadata.is_empty() {
            self.provider_metadata = later.provider_metadata;
        }
    }
}

impl ToolName {
    /// Returns a name by whether the tool is known at run time only.
    pub fn new(name: impl Into<String>, is_dynamic: bool) -> Self {
        let name = name.into();
        if is_dynamic { Self::Dynamic(name) } else { Self::Static(name) }
    }

    /// Returns the name of the tool.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Static(name) | Self::Dynamic(name) => name,
        }
    }

    /// Returns whether the tool is known at run time only.
    pub fn is_dynamic(&self) -> bool {
        matches!(self, Self::Dynamic(_))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawToolName {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tool_name: Option<String>,
}

impl From<ToolName> for RawToolName {
    fn from(name: ToolName) -> Self {
        match name {
            ToolName::Static(name) => Self { kind: format!("{TOOL_PREFIX}{name}"), tool_name: None },
            ToolName::Dynamic(name) => Self { kind: DYNAMIC_TOOL.to_owned(), tool_name: Some(name) },
        }
    }
}

impl TryFrom<RawToolName> for ToolName {
    type Error = String;

    fn try_from(RawToolName { kind, tool_name }: RawToolName) -> Result<Self, String> {
        if kind == DYNAMIC_TOOL {
            return tool_name.map(Self::Dynamic).ok_or_else(|| "it lacks its `toolName`".to_owned());
        }
        match kind.strip_prefix(TOOL_PREFIX) {
            Some(name) => Ok(Self::Static(name.to_owned())),
            None => {
                Err(format!("`{kind}` is no tool; one begins with `{TOOL_PREFIX}` or is `{DYNAMIC_TOOL}`"))
            }
        }
    }
}

/// Reads a value that may be `null` without being absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}
