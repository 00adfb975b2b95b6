//! The parts of a message as a page shows them.

use loomwork_models::ProviderData;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::UiTool;
use super::tool::{DYNAMIC_TOOL, TOOL_PREFIX};
use crate::chunk::{DATA_PREFIX, DataChunk};

/// One part of a message, in the JSON that web clients of the field read.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum UiPart {
    /// Text.
    Text(UiText),
    /// A model's thoughts.
    Reasoning(UiText),
    /// A page that the answer comes from.
    SourceUrl(UiSourceUrl),
    /// A document that the answer comes from.
    SourceDocument(UiSourceDocument),
    /// A file or an image.
    File(UiFile),
    /// A file among the thoughts.
    ReasoningFile(UiFile),
    /// A part that one provider has and others lack.
    Custom(UiCustom),
    /// Here a call of the model begins.
    StepStart,
    /// A tool call, with what became of it.
    #[serde(untagged)]
    Tool(Box<UiTool>),
    /// What an application says in a type of its own.
    #[serde(untagged)]
    Data(DataChunk),
    /// A part of a type that this version does not know, as it was.
    #[serde(untagged)]
    Unknown(Map<String, Value>),
}

/// Whether a text still grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrowthState {
    /// It does.
    Streaming,
    /// It is complete.
    Done,
}

/// Text or thoughts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiText {
    /// The text.
    pub text: String,
    /// Whether it grows; a text that never did has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<GrowthState>,
    /// What the provider said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
}

/// A page that an answer comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiSourceUrl {
    /// Its id, unique within the message.
    pub source_id: String,
    /// Its address.
    pub url: String,
    /// Its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the provider said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
}

/// A document that an answer comes from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiSourceDocument {
    /// Its id, unique within the message.
    pub source_id: String,
    /// Its media type.
    pub media_type: String,
    /// Its title; empty where it has none.
    pub title: String,
    /// Its name as a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// What the provider said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
}

/// A file or an image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiFile {
    /// Its address, which may hold its bytes; empty if only providers have it.
    pub url: String,
    /// Its media type.
    pub media_type: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filename: Option<String>,
    /// Its id at each provider that has it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_reference: Map<String, Value>,
    /// What the provider said of it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
}

/// A part that one provider has and others lack.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UiCustom {
    /// What it is: `openai.compaction`.
    pub kind: String,
    /// What it carries.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub provider_metadata: ProviderData,
}

impl UiText {
    /// Returns a text that is complete.
    pub(crate) fn done(text: String, provider_metadata: ProviderData) -> Self {
        Self { text, state: Some(GrowthState::Done), provider_metadata }
    }

    /// An empty text may carry what its provider needs, such as a signature.
    pub(crate) fn says_something(&self) -> bool {
        !self.text.is_empty() || !self.provider_metadata.is_empty()
    }

    /// Returns an empty text that grows.
    pub(crate) fn growing(provider_metadata: ProviderData) -> Self {
        Self { text: String::new(), state: Some(GrowthState::Streaming), provider_metadata }
    }
}

impl UiPart {
    /// Returns the text, if the part is one; thoughts are none.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(part) => Some(&part.text),
            _ => None,
        }
    }

    /// Returns the tool call, if the part is one.
    pub fn as_tool(&self) -> Option<&UiTool> {
        match self {
            Self::Tool(tool) => Some(tool),
            _ => None,
        }
    }

    pub(crate) fn as_tool_mut(&mut self) -> Option<&mut UiTool> {
        match self {
            Self::Tool(tool) => Some(tool),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for UiPart {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Map::deserialize(deserializer)?;
        let Some(Value::String(kind)) = fields.get("type") else {
            return Err(D::Error::custom("a part is an object whose `type` is a string"));
        };
        let kind = kind.clone();
        let wrong = |error| D::Error::custom(format!("a part of type `{kind}`: {error}"));
        Self::read(&kind, fields).map_err(wrong)
    }
}

impl UiPart {
    fn read(kind: &str, fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let whole = |fields| Value::Object(fields);
        Ok(match kind {
            "text" => Self::Text(UiText::deserialize(whole(fields))?),
            "reasoning" => Self::Reasoning(UiText::deserialize(whole(fields))?),
            "source-url" => Self::SourceUrl(UiSourceUrl::deserialize(whole(fields))?),
            "source-document" => Self::SourceDocument(UiSourceDocument::deserialize(whole(fields))?),
            "file" => Self::File(UiFile::deserialize(whole(fields))?),
            "reasoning-file" => Self::ReasoningFile(UiFile::deserialize(whole(fields))?),
            "custom" => Self::Custom(UiCustom::deserialize(whole(fields))?),
            "step-start" => Self::StepStart,
            kind if kind == DYNAMIC_TOOL || kind.starts_with(TOOL_PREFIX) => {
                Self::Tool(Box::new(UiTool::deserialize(whole(fields))?))
            }
            kind if kind.starts_with(DATA_PREFIX) => Self::Data(DataChunk::deserialize(whole(fields))?),
            _ => Self::Unknown(fields),
        })
    }
}
