//! From the annotations of a text to sources.

use serde_json::{Map, Value};

use crate::{Extras, Source, SourceKind};

/// Returns the source that an annotation names, and where the provider has it; `None` if it names none.
pub(super) fn source(annotation: &Value, number: u32) -> Option<(Source, Map<String, Value>)> {
    let text = |name: &str| annotation.get(name).and_then(Value::as_str).map(str::to_owned);
    let document = |media_type: &str| SourceKind::Document {
        media_type: media_type.to_owned(),
        filename: text("filename"),
    };
    let kind = match annotation.get("type")?.as_str()? {
        "url_citation" => SourceKind::Url { url: text("url")? },
        "file_citation" => document("text/plain"),
        "container_file_citation" | "file_path" => document("application/octet-stream"),
        _ => return None,
    };
    let title = text("title").or_else(|| text("filename")).or_else(|| text("file_id"));
    let places = ["file_id", "container_id"];
    let places = places.iter().filter_map(|name| Some(((*name).to_owned(), annotation.get(name)?.clone())));
    let source = Source { id: format!("source_{number}"), kind, title, extras: Extras::default() };
    Some((source, places.collect()))
}
