//! Stored files on their way to a model, and what it made on its way to the store.

use loomwork_files::Files;
use loomwork_messages::file_of_url;
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
