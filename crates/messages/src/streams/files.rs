//! Files of streams: what is too large for a row goes to the file store, and a stream owns the files that its
//! chunks address until its messages do.

use loomwork_files::{FileId, Files, attach, detach_all};
use loomwork_models::{Data, OutputItem, ToolOutput};
use loomwork_store::{Problem, Result, Tx};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::attachments::{FILE_SCHEME, file_of_url, offload_data, offload_items};
use crate::chunk::UiChunk;
use crate::content::INLINE_BYTES;
use crate::size::json_bytes;
use crate::tables::StreamId;

/// Puts what a chunk holds above [`INLINE_BYTES`] into the file store, and addresses in its place.
pub(super) async fn offload_chunk(files: &Files, chunk: &mut UiChunk) -> Result<()> {
    match chunk {
        UiChunk::File { url, media_type, filename, .. } => {
            offload_url(files, url, media_type, filename.as_deref()).await
        }
        UiChunk::ReasoningFile { url, media_type, .. } => offload_url(files, url, media_type, None).await,
        UiChunk::ToolOutputAvailable { output, .. } if json_bytes(output) > INLINE_BYTES => {
            let ToolOutput::Content(mut items) = ToolOutput::from_value(output.clone()) else {
                return Ok(());
            };
            offload_items(files, &mut items).await?;
            // It was JSON before, so it is again.
            *output = serde_json::to_value(ToolOutput::Content(items)).unwrap_or_default();
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn offload_url(files: &Files, url: &mut String, media_type: &str, name: Option<&str>) -> Result<()> {
    let mut data = Data::Url(std::mem::take(url));
    let offloaded = offload_data(files, &mut data, Some(media_type), name).await;
    if let Data::Url(now) = data {
        *url = now;
    }
    offloaded
}

/// Makes a stream the owner of the files whose addresses its next chunks hold, and says whether there are any.
///
/// One that is gone, or cannot be read, is left out: its address leads nowhere, as any other may.
pub(super) fn own(tx: &mut Tx, stream: StreamId, chunks: &RawValue) -> Result<bool> {
    // Most slices are texts, which need not be read for this.
    if !chunks.get().contains(FILE_SCHEME) {
        return Ok(false);
    }
    let Ok(chunks) = serde_json::from_str::<Vec<UiChunk>>(chunks.get()) else { return Ok(false) };
    let mut owns = false;
    for file in chunks.iter().flat_map(addressed) {
        if is_there(tx, file)? {
            attach(tx, file, stream)?;
            owns = true;
        }
    }
    Ok(owns)
}

/// Lets go of the files of a stream, if it has any.
pub(crate) fn release(tx: &mut Tx, stream: StreamId, owns_files: bool) -> Result<()> {
    if owns_files {
        detach_all(tx, stream)?;
    }
    Ok(())
}

fn is_there(tx: &Tx, file: FileId) -> Result<bool> {
    match tx.get_readable(file) {
        Ok(row) => Ok(row.is_some()),
        // A program without files has none, whatever a chunk says.
        Err(error) if matches!(error.downcast_ref(), Some(Problem::UnknownTable { .. })) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Returns the files that the messages will own which a chunk becomes a part of.
fn addressed(chunk: &UiChunk) -> Vec<FileId> {
    match chunk {
        UiChunk::File { url, .. } | UiChunk::ReasoningFile { url, .. } => {
            file_of_url(url).into_iter().collect()
        }
        UiChunk::ToolOutputAvailable { output, .. } => addressed_by_output(output),
        _ => Vec::new(),
    }
}

fn addressed_by_output(output: &Value) -> Vec<FileId> {
    let ToolOutput::Content(items) = ToolOutput::from_value(output.clone()) else { return Vec::new() };
    let files = items.iter().filter_map(|item| match item {
        OutputItem::File { data: Data::Url(url), .. } => file_of_url(url),
        _ => None,
    });
    files.collect()
}
