//! Files: what is known of them. Their contents are taken in and given out by HTTP itself.

use loomwork_files::{File, FileId, IfOwned, delete as delete_file};
use loomwork_store::Row;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::operation::{Answer, Call, Group, Method, Reading};
use super::threads::Deleted;
use crate::auth::Scope;
use crate::error::Result;
use crate::uploads::readable;

pub(super) fn operations() -> Group {
    Group::new("files")
        .get("get", "/api/files/{file}", Scope::Read, "Returns what is known of a file.", get)
        .act(
            "delete",
            (Method::Delete, "/api/files/{file}"),
            Scope::Manage,
            "Deletes a file that nobody owns.",
            delete,
        )
}

/// A file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "File")]
pub(crate) struct FileView {
    /// Its id; messages address it as `loomwork://` and the id.
    id: String,
    /// The SHA-256 of its content.
    hash: String,
    /// How many bytes it has.
    size: u64,
    /// What it is.
    media_type: Option<String>,
    /// The name that it was stored under.
    name: Option<String>,
    /// When it was first stored, in milliseconds since 1970.
    created: i64,
}

impl FileView {
    pub(crate) fn of(file: &Row<File>) -> Self {
        Self {
            id: file.id.to_string(),
            hash: file.hash.to_string(),
            size: file.size,
            media_type: file.media_type.clone(),
            name: file.name.clone(),
            created: file.created.millis(),
        }
    }

    #[cfg(feature = "http")]
    pub(crate) fn to_json(&self) -> Result<String> {
        Answer::of(self).map(Answer::into_json)
    }
}

/// A file by its id.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct OneFile {
    /// The file's id.
    #[schemars(with = "String")]
    file: FileId,
}

fn get(reading: &Reading<'_>, args: &OneFile) -> Result<FileView> {
    Ok(FileView::of(&readable(reading.tx, reading.caller, args.file)?))
}

async fn delete(call: Call, args: OneFile) -> Result<Answer<Deleted>> {
    call.mutate(move |tx, _| {
        delete_file(tx, args.file, IfOwned::Refuse)?;
        Ok(Deleted { deleted: true })
    })
    .await
}

/// Describes the routes by which contents come and go.
#[cfg(feature = "http")]
pub(crate) fn described() -> Value {
    let answer = json!({ "$ref": "#/components/schemas/File" });
    let error = json!({ "$ref": "#/components/responses/Error" });
    let bytes = json!({ "schema": { "type": "string", "format": "binary" } });
    json!({
        "/api/files": { "post": {
            "operationId": "files.upload",
            "tags": ["files"],
            "summary": "Takes a file in: the body is its content, of any size that the app allows.",
            "x-scope": Scope::Chat.as_str(),
            "parameters": [{
                "name": "name", "in": "query", "required": false, "schema": { "type": "string" },
                "description": "The name that it is stored under.",
            }],
            "requestBody": { "required": true, "content": { "*/*": bytes } },
            "responses": {
                "200": { "description": "The file.", "content": { "application/json": { "schema": answer } } },
                "default": error,
            },
        } },
        "/api/files/{file}/content": { "get": {
            "operationId": "files.content",
            "tags": ["files"],
            "summary": "Gives a file out, or the range of bytes that is asked for.",
            "x-scope": Scope::Read.as_str(),
            "parameters": [{
                "name": "file", "in": "path", "required": true, "schema": { "type": "string" },
                "description": "The file's id.",
            }],
            "responses": {
                "200": { "description": "The content.", "content": { "*/*": bytes } },
                "206": { "description": "The range.", "content": { "*/*": bytes } },
                "default": error,
            },
        } },
    })
}
