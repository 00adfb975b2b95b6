//! Files of messages: who owns them, and how large parts get out of the row.

use bytes::Bytes;
use loomwork_files::{About, File, FileId, Files, MAX_MEDIA_TYPE_BYTES, detach_all, set_owned};
use loomwork_models::{
    self as models, Data, Extras, Image, Message, OutputItem, Part, ToolOutput, ToolResult,
};
use loomwork_store::{Result, Row, Tx};

use crate::content::{INLINE_BYTES, data_bytes};
use crate::project::file_urls;
use crate::tables::MessageId;

/// How the address of a stored file begins; its id follows.
///
/// It stands in messages, and means the file wherever the store is. Whoever shows a message puts a link that
/// may be followed in its place, whoever asks a model puts the bytes.
pub const FILE_SCHEME: &str = "loomwork://";

/// Returns the address of a stored file.
pub fn file_url(file: FileId) -> String {
    format!("{FILE_SCHEME}{file}")
}

/// Returns the stored file that an address means, if it means one.
pub fn file_of_url(url: &str) -> Option<FileId> {
    url.strip_prefix(FILE_SCHEME)?.parse().ok()
}

/// Returns the part of a message that is a stored file: an image if it is one.
pub fn file_part(file: &Row<File>) -> Part {
    let data = Data::Url(file_url(file.id));
    match &file.media_type {
        Some(kind) if kind.starts_with("image/") => {
            Part::Image(Image { data, media_type: Some(kind.clone()), extras: Extras::default() })
        }
        kind => Part::File(models::File {
            data,
            media_type: kind.clone().unwrap_or_else(|| UNKNOWN_MEDIA_TYPE.to_owned()),
            filename: file.name.clone(),
            extras: Extras::default(),
        }),
    }
}

/// What a part says of bytes of which nothing is known.
const UNKNOWN_MEDIA_TYPE: &str = "application/octet-stream";

/// Puts what is too large for a row into the file store, and addresses in its place: images, files, thoughts,
/// and files in the results of tools that hold more than [`INLINE_BYTES`] themselves.
///
/// The message owns the files as soon as it is saved. Those of a message that is never saved go after the
/// grace of the file store.
///
/// # Errors
/// When the file store refuses or fails; the message is unchanged from the part on that it concerned.
pub async fn offload(files: &Files, message: &mut Message) -> Result<()> {
    for part in &mut message.parts {
        match part {
            Part::Image(image) => {
                let media_type = image.media_type.as_deref();
                offload_data(files, &mut image.data, media_type, None).await?;
            }
            Part::File(file) => {
                let (media_type, name) = (Some(file.media_type.as_str()), file.filename.as_deref());
                offload_data(files, &mut file.data, media_type, name).await?;
            }
            Part::ReasoningFile(file) => {
                offload_data(files, &mut file.data, Some(&file.media_type), None).await?;
            }
            Part::ToolResult(result) => offload_result(files, result).await?,
            _ => {}
        }
    }
    Ok(())
}

/// As [`offload`], of the result of one tool.
///
/// # Errors
/// As [`offload`].
pub async fn offload_result(files: &Files, result: &mut ToolResult) -> Result<()> {
    let ToolOutput::Content(items) = &mut result.output else { return Ok(()) };
    offload_items(files, items).await
}

pub(crate) async fn offload_items(files: &Files, items: &mut [OutputItem]) -> Result<()> {
    for item in items {
        if let OutputItem::File { data, media_type, filename, .. } = item {
            offload_data(files, data, Some(media_type), filename.as_deref()).await?;
        }
    }
    Ok(())
}

pub(crate) async fn offload_data(
    files: &Files,
    data: &mut Data,
    media_type: Option<&str>,
    name: Option<&str>,
) -> Result<()> {
    let Some(bytes) = large_bytes(data) else { return Ok(()) };
    let said = media_type.or(data.media_type()).filter(|said| said.len() <= MAX_MEDIA_TYPE_BYTES);
    let about =
        About { name: name.map(str::to_owned), media_type: said.map(str::to_owned), ..About::default() };
    let file = files.put(bytes, about).await?;
    *data = Data::Url(file_url(file.id));
    Ok(())
}

fn large_bytes(data: &Data) -> Option<Bytes> {
    (data_bytes(data) > INLINE_BYTES).then(|| data.bytes()).flatten()
}

/// Makes a message the owner of the files that the caller names and of those whose addresses it holds, and
/// returns them.
///
/// A file that is named must be there. One that is only addressed may be gone: then the address leads nowhere,
/// as any other may.
pub(crate) fn own(
    tx: &mut Tx,
    id: MessageId,
    message: &Message,
    named: &[FileId],
    before: &[FileId],
) -> Result<Vec<FileId>> {
    let mut owned = named.to_vec();
    for file in file_urls(message).into_iter().filter_map(file_of_url) {
        if !owned.contains(&file) && tx.get(file)?.is_some() {
            owned.push(file);
        }
    }
    if owned != before {
        set_owned(tx, id, &owned)?;
    }
    Ok(owned)
}

/// Lets go of the files of a message that is gone.
pub(crate) fn release(tx: &mut Tx, id: MessageId, owned: &[FileId]) -> Result<()> {
    if !owned.is_empty() {
        detach_all(tx, id)?;
    }
    Ok(())
}
