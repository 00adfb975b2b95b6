//! The bytes of images and files, or where they are.

use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD};
use serde_json::{Map, Value};

/// The bytes of an image or a file, or where to find them.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// An address: `https:`, or a `data:` URL that holds the bytes itself.
    Url(String),
    /// The bytes; base64 in JSON.
    Bytes(Bytes),
    /// The file's id at each provider that has it.
    Reference(Map<String, Value>),
}

impl Data {
    /// Reads what stands in JSON: an address, base64, or a tagged form; `None` if it is none of these.
    pub(crate) fn read(value: Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::read_text(text),
            Value::Object(mut tagged) => match tagged.get("type").and_then(Value::as_str) {
                Some("url") => tagged.remove("url").and_then(into_string).map(Self::Url),
                // Some runtimes tag their buffers by a name of their own.
                Some("data" | "Buffer") => match tagged.remove("data")? {
                    Value::String(text) => Self::read_text(text),
                    bytes => Self::read_list(&bytes),
                },
                Some("text") => {
                    tagged.remove("text").and_then(into_string).map(|text| Self::Bytes(text.into()))
                }
                Some("reference") => match tagged.remove("reference")? {
                    Value::Object(ids) => Some(Self::Reference(ids)),
                    _ => None,
                },
                _ => None,
            },
            list => Self::read_list(&list),
        }
    }

    /// Reads what some runtimes make of a byte buffer.
    fn read_list(value: &Value) -> Option<Self> {
        let byte = |byte: &Value| byte.as_u64().and_then(|byte| u8::try_from(byte).ok());
        let bytes = value.as_array()?.iter().map(byte);
        bytes.collect::<Option<Vec<u8>>>().map(|bytes| Self::Bytes(bytes.into()))
    }

    fn read_text(text: String) -> Option<Self> {
        if is_address(&text) {
            return Some(Self::Url(text));
        }
        from_base64(&text).map(|bytes| Self::Bytes(bytes.into()))
    }

    /// Returns the JSON: a string for addresses and bytes, a tagged object for a reference.
    pub(crate) fn write(&self) -> Value {
        match self {
            Self::Url(url) if is_address(url) => Value::String(url.clone()),
            // An address that does not look like one is tagged, so that it is not read as base64.
            Self::Url(url) => serde_json::json!({ "type": "url", "url": url }),
            Self::Bytes(bytes) => Value::String(BASE64.encode(bytes)),
            Self::Reference(ids) => serde_json::json!({ "type": "reference", "reference": ids }),
        }
    }

    /// Returns the bytes, decoded from a `data:` URL too; `None` if they are elsewhere.
    pub fn bytes(&self) -> Option<Bytes> {
        match self {
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::Url(url) => {
                let (head, body) = url.strip_prefix("data:")?.split_once(',')?;
                let bytes = if head.ends_with(";base64") { from_base64(body)? } else { from_percent(body)? };
                Some(bytes.into())
            }
            Self::Reference(_) => None,
        }
    }

    /// Returns the text that the bytes are, if their media type says so and they are at hand.
    pub(crate) fn as_text(&self, media_type: &str) -> Option<String> {
        let is_text = media_type.starts_with("text/")
            || ["application/json", "application/xml", "application/yaml"].contains(&media_type);
        is_text.then(|| self.bytes())?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Returns the media type that a `data:` URL names.
    pub fn media_type(&self) -> Option<&str> {
        let Self::Url(url) = self else { return None };
        let (head, _) = url.strip_prefix("data:")?.split_once(',')?;
        head.split(';').next().filter(|media_type| !media_type.is_empty())
    }

    /// Returns an address that any reader understands: the one at hand, or a `data:` URL of the bytes.
    pub fn to_url(&self, media_type: &str) -> Option<String> {
        match self {
            Self::Url(url) => Some(url.clone()),
            Self::Bytes(bytes) => Some(format!("data:{media_type};base64,{}", BASE64.encode(bytes))),
            Self::Reference(_) => None,
        }
    }

    /// Returns the file's id at a provider.
    pub fn reference(&self, provider: &str) -> Option<&str> {
        match self {
            Self::Reference(ids) => ids.get(provider).and_then(Value::as_str),
            _ => None,
        }
    }
}

impl From<Vec<u8>> for Data {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl From<&'static [u8]> for Data {
    fn from(bytes: &'static [u8]) -> Self {
        Self::Bytes(Bytes::from_static(bytes))
    }
}

impl From<Bytes> for Data {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

/// Reads base64 in the standard or the URL alphabet, with or without padding.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_ascii();
    [BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD]
        .iter()
        .find_map(|form| form.decode(text.as_bytes()).ok())
}

/// Reads the text of a URL, in which `%41` stands for a byte.
fn from_percent(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit =
                    |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
                bytes.push(digit(high)? << 4 | digit(low)?);
                tail
            }
            (b'%', _) => return None,
            (byte, tail) => {
                bytes.push(*byte);
                tail
            }
        };
    }
    Some(bytes)
}

fn into_string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Whether a text is taken for an address wherever it stands.
fn is_address(text: &str) -> bool {
    text.starts_with("data:") || text.contains("://")
}
