//! From citations to sources.

use std::collections::HashSet;

use serde_json::Value;

use super::Before;
use crate::{Chunk, Extras, Part, ProviderData, Source, SourceKind};

/// The media type of a document that the request does not describe.
const UNKNOWN: &str = "application/octet-stream";

/// The sources that an answer has named so far. Many passages cite one source; it is named once, and the
/// passages stand with the text.
#[derive(Debug, Default)]
pub(super) struct Sources {
    known: HashSet<String>,
}

impl Sources {
    /// Returns the source of a citation, unless it was named before.
    pub(super) fn of(&mut self, citation: &Value, before: &Before) -> Option<Chunk> {
        let text = |name: &str| citation[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let url = text("url").or_else(|| text("source").filter(|source| source.contains("://")));
        let (key, kind, title) = if let Some(url) = url {
            (url.clone(), SourceKind::Url { url }, text("title"))
        } else if let Some(number) = citation["document_index"].as_u64() {
            let document = usize::try_from(number).ok().and_then(|number| before.documents.get(number));
            let media_type =
                document.map_or_else(|| UNKNOWN.to_owned(), |document| document.media_type.clone());
            let filename = document.and_then(|document| document.filename.clone());
            let title = text("document_title").or_else(|| document?.title.clone());
            (format!("document {number}"), SourceKind::Document { media_type, filename }, title)
        } else {
            let name = text("source").or_else(|| text("title"))?;
            let kind = SourceKind::Document { media_type: "text/plain".to_owned(), filename: None };
            (name.clone(), kind, text("title").or(Some(name)))
        };
        if !self.known.insert(key) {
            return None;
        }
        // A continued answer goes on counting, since the numbers of its parts do.
        let id = format!("source-{}-{}", before.first_part, self.known.len() - 1);
        let bag = serde_json::json!({ "citation": citation });
        let provider_metadata = ProviderData::from_iter([(before.name.provider.clone(), bag)]);
        let extras = Extras { provider_metadata, ..Extras::default() };
        Some(Chunk::Part { part: Part::Source(Source { id, kind, title, extras }) })
    }
}
