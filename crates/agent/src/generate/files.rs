//! Stored files on their way to a model, and what it made on its way to the store.

use loomwork_files::Files;
use loomwork_messages::{INLINE_BYTES, file_of_url};
use loomwork_models::{Data, Message, OutputItem, Part, ToolOutput};
use loomwork_store::Result;

/// Puts the bytes of stored files in the place of their addresses: no provider can follow those.
pub(crate) async fn inline(files: &Files, messages: &mut [Message]) -> Result<()> {
    for part in messages.iter_mut().flat_map(|message| &mut message.parts) {
        match part {
            Part::Image(image) => fetch(files, &mut image.data).await?,
            Part::File(file) => fetch(files, &mut file.data).await?,
            Part::ReasoningFile(file) => fetch(files, &mut file.data).await?,
            Part::ToolResult(result) => {
                if let ToolOutput::Content(items) = &mut result.output {
                    for item in items {
                        if let OutputItem::File { data, .. } = item {
                            fetch(files, data).await?;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    Ok(())
}

async fn fetch(files: &Files, data: &mut Data) -> Result<()> {
    let Data::Url(url) = data else { return Ok(()) };
    if let Some(file) = file_of_url(url) {
        *data = Data::Bytes(files.read(file).await?);
    }
    Ok(())
}

/// Whether a part holds more than a message's row takes, so that it belongs in the file store.
pub(super) fn is_too_large(part: &Part) -> bool {
    match part {
        Part::Image(image) => inline_bytes(&image.data) > INLINE_BYTES,
        Part::File(file) => inline_bytes(&file.data) > INLINE_BYTES,
        Part::ReasoningFile(file) => inline_bytes(&file.data) > INLINE_BYTES,
        Part::ToolResult(result) => is_output_too_large(&result.output),
        _ => false,
    }
}

/// Whether an output has a file that is too large for a message's row.
pub(super) fn is_output_too_large(output: &ToolOutput) -> bool {
    let ToolOutput::Content(items) = output else { return false };
    let mut files = items.iter().filter_map(|item| match item {
        OutputItem::File { data, .. } => Some(inline_bytes(data)),
        _ => None,
    });
    files.any(|bytes| bytes > INLINE_BYTES)
}

/// Returns how many bytes stand in a message itself; of a `data:` address a bound that costs no decoding.
fn inline_bytes(data: &Data) -> usize {
    match data {
        Data::Bytes(bytes) => bytes.len(),
        Data::Url(url) if url.starts_with("data:") => url.len() / 4 * 3,
        Data::Url(_) | Data::Reference(_) => 0,
    }
}
