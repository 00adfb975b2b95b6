//! What a content is, by its first bytes and its name.

use crate::about::MAX_MEDIA_TYPE_BYTES;
use crate::error::{FileError, beginning};

/// How many of a content's first bytes decide what it is.
pub const HEAD_BYTES: usize = 8192;

const SVG: &str = "image/svg+xml";

/// Says what a content is by its first bytes ([`HEAD_BYTES`] are enough) and its file name.
///
/// Bytes with a signature are believed before a name. Three signatures are shared by many formats: zip,
/// compound documents and XML; there, a name that tells such a format is believed. What has no
/// signature is what its name says, else text if it reads as UTF-8, else unknown.
///
/// ```
/// use loomwork_files::media_type;
///
/// assert_eq!(media_type(b"%PDF-1.7", Some("report.png")).as_deref(), Some("application/pdf"));
/// assert_eq!(media_type(b"a,b\n1,2\n", Some("table.csv")).as_deref(), Some("text/csv"));
/// assert_eq!(media_type(b"\x00\x01\x02\x03", None), None);
/// ```
pub fn media_type(head: &[u8], name: Option<&str>) -> Option<String> {
    let head = &head[..head.len().min(HEAD_BYTES)];
    let signed = infer::get(head).map(|found| found.mime_type());
    let text = text(head);
    if signed.is_none_or(|signed| signed == "text/xml") && text.is_some_and(is_svg) {
        return Some(SVG.to_owned());
    }
    let named = name.and_then(|name| mime_guess::from_path(name).first_raw());
    let found = match (signed, named) {
        (Some(signed), Some(named)) if refines(named, signed) => named,
        (Some(signed), _) => signed,
        (None, Some(named)) => named,
        (None, None) if text.is_some_and(|text| !text.is_empty()) => "text/plain",
        (None, None) => return None,
    };
    Some(found.to_owned())
}

/// Whether a format is one of those that a shared signature stands for.
fn refines(named: &str, signed: &str) -> bool {
    match signed {
        "application/zip" => {
            named.ends_with("+zip")
                || named.starts_with("application/vnd.")
                || named == "application/java-archive"
        }
        "application/x-ole-storage" => {
            named == "application/msword" || named.starts_with("application/vnd.ms-")
        }
        "text/xml" => named.ends_with("+xml") || named.ends_with("/xml"),
        _ => false,
    }
}

/// The head as text; a character that was cut at its end does not count.
fn text(head: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_binary = |character: char| character.is_control() && !"\t\n\r\x0c".contains(character);
    (!text.contains(is_binary)).then_some(text)
}

/// Whether the first element of a text is `svg`.
fn is_svg(text: &str) -> bool {
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        // The prolog: declarations, comments and the document type.
        let end = match rest {
            _ if rest.starts_with("<!--") => "-->",
            _ if rest.starts_with("<?") => "?>",
            _ if rest.starts_with("<!") => ">",
            _ => break,
        };
        match rest.split_once(end) {
            Some((_, behind)) => rest = behind.trim_start(),
            None => return false,
        }
    }
    let Some(behind) = rest.strip_prefix("<svg") else { return false };
    behind.starts_with(|next: char| next.is_whitespace() || next == '>' || next == '/')
}

/// The media type as it is stored and compared: trimmed and in lower case.
pub(crate) fn normal(given: &str) -> Result<String, FileError> {
    let normal = given.trim().to_ascii_lowercase();
    let essence = normal.split(';').next().unwrap_or_default().trim_end();
    let is_token = |part: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        !part.is_empty() && part.bytes().all(is_allowed)
    };
    let is_type = essence.split_once('/').is_some_and(|(top, sub)| is_token(top) && is_token(sub));
    let is_clean = normal.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if is_type && is_clean && normal.len() <= MAX_MEDIA_TYPE_BYTES {
        Ok(normal)
    } else {
        Err(FileError::BadMediaType { given: beginning(given) })
    }
}
