//! What is derived from a message's content, and how large its parts may be.

use loomwork_models::{Data, Message, OutputItem, Part, Role, ToolOutput};

/// How many bytes of an image, a file or a tool's output stand in the row itself at most. What is larger
/// belongs in the file store.
pub const INLINE_BYTES: usize = 64 * 1024;

/// Returns whether a message calls a tool or tells what one did.
pub(crate) fn is_of_tools(message: &Message) -> bool {
    match message.role {
        Role::Tool => true,
        Role::Assistant => message.tool_calls().next().is_some(),
        Role::System | Role::User => false,
    }
}

/// Returns the texts of a message, which find it: none of a tool's, nor of an assistant who said nothing.
pub(crate) fn searchable_text(message: &Message) -> Option<String> {
    let text = || {
        let texts = message.parts.iter().filter_map(Part::as_text).filter(|text| !text.is_empty());
        texts.collect::<Vec<_>>().join(" ")
    };
    match message.role {
        Role::System | Role::User => Some(text()),
        Role::Assistant => Some(text()).filter(|text| !text.is_empty()),
        Role::Tool => None,
    }
}

/// Returns the first part that is too large to stand in a row, by its place, with its size.
pub(crate) fn oversized_part(message: &Message) -> Option<(usize, usize)> {
    let sizes = message.parts.iter().map(inline_bytes).enumerate();
    sizes.into_iter().find(|(_, bytes)| *bytes > INLINE_BYTES)
}

/// Returns how many bytes a part holds that could lie in a file store.
fn inline_bytes(part: &Part) -> usize {
    match part {
        Part::Image(image) => data_bytes(&image.data),
        Part::File(file) => data_bytes(&file.data),
        Part::ReasoningFile(file) => data_bytes(&file.data),
        Part::ToolResult(result) => match &result.output {
            ToolOutput::Content(items) => items.iter().map(item_bytes).max().unwrap_or(0),
            _ => 0,
        },
        _ => 0,
    }
}

fn item_bytes(item: &OutputItem) -> usize {
    match item {
        OutputItem::File { data, .. } => data_bytes(data),
        _ => 0,
    }
}

pub(crate) fn data_bytes(data: &Data) -> usize {
    match data {
        Data::Bytes(bytes) => bytes.len(),
        // Its own length is a bound that costs no decoding; a link to a file is short.
        Data::Url(url) if url.starts_with("data:") => url.len() / 4 * 3,
        Data::Url(_) | Data::Reference(_) => 0,
    }
}
