//! Texts, images and files as parts of an input item.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use crate::{Data, Extras, File, Image, guess_media_type};

/// The formats of sound that the provider hears.
const SOUNDS: [(&str, &str); 5] = [
    ("audio/wav", "wav"),
    ("audio/x-wav", "wav"),
    ("audio/wave", "wav"),
    ("audio/mpeg", "mp3"),
    ("audio/mp3", "mp3"),
];

/// Returns an image as an input part; `Err` says what is wrong with it.
pub(super) fn image(provider: &str, image: &Image) -> Result<Value, String> {
    let guess = || image.data.bytes().map_or("image/*", |bytes| guess_media_type(&bytes)).to_owned();
    let media_type = image.media_type.clone().unwrap_or_else(guess);
    picture(provider, &image.data, &media_type, &image.extras)
}

/// Returns a file as an input part; `Err` says what is wrong with it.
pub(super) fn file(provider: &str, file: &File) -> Result<Value, String> {
    let File { data, media_type, filename, extras } = file;
    any_file(provider, data, media_type, filename.as_deref(), extras)
}

/// Returns a file, be it an image, a sound or a document, as an input part.
pub(super) fn any_file(
    provider: &str,
    data: &Data,
    media_type: &str,
    filename: Option<&str>,
    extras: &Extras,
) -> Result<Value, String> {
    if media_type.starts_with("image/") {
        return picture(provider, data, media_type, extras);
    }
    if let Some((_, format)) = SOUNDS.iter().find(|(known, _)| *known == media_type) {
        let bytes = data.bytes().ok_or("a sound must be given as bytes")?;
        let sound = json!({ "data": BASE64.encode(&bytes), "format": format });
        return Ok(json!({ "type": "input_audio", "input_audio": sound }));
    }
    let mut part = Map::from_iter([("type".to_owned(), Value::from("input_file"))]);
    match data {
        Data::Reference(_) => {
            part.insert("file_id".to_owned(), reference(provider, data)?);
        }
        Data::Url(url) if !url.starts_with("data:") => {
            part.insert("file_url".to_owned(), url.as_str().into());
        }
        Data::Url(_) | Data::Bytes(_) => {
            let name = filename.map_or_else(|| default_name(media_type), str::to_owned);
            part.insert("filename".to_owned(), name.into());
            part.insert("file_data".to_owned(), data.to_url(media_type).into());
        }
    }
    Ok(part.into())
}

fn picture(provider: &str, data: &Data, media_type: &str, extras: &Extras) -> Result<Value, String> {
    let mut part = match data.to_url(media_type) {
        Some(url) => json!({ "type": "input_image", "image_url": url }),
        None => json!({ "type": "input_image", "file_id": reference(provider, data)? }),
    };
    if let Some(detail) = extras.of(provider, "detail") {
        part["detail"] = detail.clone();
    }
    Ok(part)
}

fn reference(provider: &str, data: &Data) -> Result<Value, String> {
    let id = data.reference(provider).map(Value::from);
    id.ok_or_else(|| format!("it is a file of another provider; give its bytes or its id at {provider}"))
}

/// A file without a name still needs one, with the ending that says what it is.
fn default_name(media_type: &str) -> String {
    let ending = match media_type.split(';').next().unwrap_or_default() {
        "text/plain" => "txt",
        "text/markdown" => "md",
        other => other.rsplit(['/', '+']).next().unwrap_or_default(),
    };
    format!("file.{ending}")
}
