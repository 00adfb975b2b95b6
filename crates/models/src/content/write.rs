//! The JSON of messages and parts.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Extras, Message, Part, SourceKind, ToolOutput};

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("role", &self.role)?;
        match self.parts.as_slice() {
            [Part::Text(text)] if text.extras == Extras::default() => {
                map.serialize_entry("content", &text.text)?;
            }
            parts => map.serialize_entry("content", parts)?,
        }
        if !self.provider_options.is_empty() {
            map.serialize_entry("providerOptions", &self.provider_options)?;
        }
        for (name, value) in &self.unknown {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for ToolOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.write().serialize(serializer)
    }
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Self::Unknown(fields) = self {
            return fields.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.type_name())?;
        match self {
            Self::Text(part) => map.serialize_entry("text", &part.text)?,
            Self::Reasoning(part) => map.serialize_entry("text", &part.text)?,
            Self::RedactedReasoning(part) => map.serialize_entry("data", &part.data)?,
            Self::Custom(part) => map.serialize_entry("kind", &part.kind)?,
            Self::Image(part) => {
                map.serialize_entry("image", &part.data.write())?;
                optional(&mut map, "mediaType", &part.media_type)?;
            }
            Self::File(part) => {
                map.serialize_entry("data", &part.data.write())?;
                map.serialize_entry("mediaType", &part.media_type)?;
                optional(&mut map, "filename", &part.filename)?;
            }
            Self::ReasoningFile(part) => {
                map.serialize_entry("data", &part.data.write())?;
                map.serialize_entry("mediaType", &part.media_type)?;
            }
            Self::Source(part) => {
                map.serialize_entry("id", &part.id)?;
                match &part.kind {
                    SourceKind::Url { url } => {
                        map.serialize_entry("sourceType", "url")?;
                        map.serialize_entry("url", url)?;
                    }
                    SourceKind::Document { media_type, filename } => {
                        map.serialize_entry("sourceType", "document")?;
                        map.serialize_entry("mediaType", media_type)?;
                        optional(&mut map, "filename", filename)?;
                    }
                }
                optional(&mut map, "title", &part.title)?;
            }
            Self::ToolCall(part) => {
                map.serialize_entry("toolCallId", &part.id)?;
                map.serialize_entry("toolName", &part.name)?;
                map.serialize_entry("input", &part.input)?;
                optional(&mut map, "invalid", &part.invalid)?;
                flag(&mut map, "providerExecuted", part.provider_executed)?;
                optional(&mut map, "title", &part.title)?;
                optional(&mut map, "toolMetadata", &part.tool_metadata)?;
            }
            Self::ToolResult(part) => {
                map.serialize_entry("toolCallId", &part.call)?;
                map.serialize_entry("toolName", &part.name)?;
                map.serialize_entry("output", &part.output)?;
                flag(&mut map, "providerExecuted", part.provider_executed)?;
            }
            Self::ApprovalRequest(part) => {
                map.serialize_entry("approvalId", &part.id)?;
                map.serialize_entry("toolCallId", &part.call)?;
                flag(&mut map, "isAutomatic", part.automatic)?;
                optional(&mut map, "signature", &part.signature)?;
            }
            Self::ApprovalResponse(part) => {
                map.serialize_entry("approvalId", &part.id)?;
                map.serialize_entry("approved", &part.approved)?;
                optional(&mut map, "reason", &part.reason)?;
                flag(&mut map, "providerExecuted", part.provider_executed)?;
            }
            Self::Unknown(_) => {}
        }
        if let Some(extras) = self.extras() {
            let mut fields = Map::new();
            extras.write(&mut fields);
            for (name, value) in &fields {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

impl Extras {
    /// Adds what is there to an object's fields.
    pub(super) fn write(&self, fields: &mut Map<String, Value>) {
        let bags =
            [("providerOptions", &self.provider_options), ("providerMetadata", &self.provider_metadata)];
        for (name, bag) in bags {
            if !bag.is_empty() {
                fields.insert(name.to_owned(), Value::Object(bag.clone()));
            }
        }
        fields.extend(self.unknown.clone());
    }
}

fn optional<M: SerializeMap>(
    map: &mut M,
    name: &str,
    value: &Option<impl Serialize>,
) -> Result<(), M::Error> {
    value.as_ref().map_or(Ok(()), |value| map.serialize_entry(name, value))
}

fn flag<M: SerializeMap>(map: &mut M, name: &str, value: bool) -> Result<(), M::Error> {
    if value { map.serialize_entry(name, &true) } else { Ok(()) }
}
