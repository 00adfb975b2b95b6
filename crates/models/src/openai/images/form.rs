//! The form of an edit: fields and files.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::multipart;
use serde_json::{Map, Value};

use crate::{Data, ImageRequest, guess_media_type};

/// What an edit sends; it can be sent more than once.
#[derive(Debug)]
pub(super) struct Form {
    fields: Vec<(String, String)>,
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    field: &'static str,
    name: String,
    media_type: &'static str,
    bytes: Bytes,
}

impl Form {
    /// Returns the form of a request; `Err` says which image is not at hand.
    pub(super) fn new(fields: &Map<String, Value>, request: &ImageRequest) -> Result<Self, String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let fields = fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        let field = if request.images.len() == 1 { "image" } else { "image[]" };
        let images = request.images.iter().enumerate();
        let images = images.map(|(index, data)| File::new(field, &format!("image {index}"), data));
        let mask = request.mask.iter().map(|data| File::new("mask", "the mask", data));
        let files = images.chain(mask).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { fields, files })
    }

    /// Returns the body.
    pub(super) fn multipart(&self) -> multipart::Form {
        let mut form = multipart::Form::new();
        for (name, value) in &self.fields {
            form = form.text(name.clone(), value.clone());
        }
        for File { field, name, media_type, bytes } in &self.files {
            let length = bytes.len() as u64;
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(media_type))]);
            let part = multipart::Part::stream_with_length(bytes.clone(), length);
            form = form.part(*field, part.file_name(name.clone()).headers(headers));
        }
        form
    }
}

impl File {
    fn new(field: &'static str, what: &str, data: &Data) -> Result<Self, String> {
        let bytes = data.bytes().ok_or_else(|| {
            format!("{what} is not at hand: an edit needs its bytes, or a `data:` URL that holds them")
        })?;
        let media_type = guess_media_type(&bytes);
        let ending = media_type.rsplit(['/', '+']).next().unwrap_or_default();
        let name = format!("{}.{ending}", what.rsplit(' ').next().unwrap_or_default());
        Ok(Self { field, name, media_type, bytes })
    }
}
