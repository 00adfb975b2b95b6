//! What a file is, by its first bytes.

/// The media type of bytes that nothing is known of.
const UNKNOWN: &str = "application/octet-stream";

/// Signatures at the start of a file.
const SIGNATURES: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\xff\xf2", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"%PDF", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"PK\x07\x08", "application/zip"),
    (b"Rar!", "application/vnd.rar"),
    (b"\x7fELF", "application/x-elf"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"\0\0\x01\xba", "video/mpeg"),
    (b"\0\0\x01\xb3", "video/mpeg"),
];

/// How far into a text the root element of an image is looked for.
const TEXT_WINDOW: usize = 1024;

/// Guesses the media type of bytes; `application/octet-stream` where nothing fits.
///
/// ```
/// assert_eq!(loomwork_models::guess_media_type(b"%PDF-1.7"), "application/pdf");
/// ```
pub fn guess_media_type(bytes: &[u8]) -> &'static str {
    if bytes.len() < 4 {
        return UNKNOWN;
    }
    if bytes.starts_with(b"RIFF") && bytes.len() >= 12 {
        return match &bytes[8..12] {
            b"WEBP" => "image/webp",
            b"WAVE" => "audio/wav",
            b"AVI " => "video/x-msvideo",
            _ => UNKNOWN,
        };
    }
    // The box length before `ftyp` varies, so the brand is looked at, not the length.
    if bytes.len() >= 12 && &bytes[4..8] == b"ftyp" {
        return match &bytes[8..12] {
            b"avif" | b"avis" => "image/avif",
            b"heic" | b"heix" | b"mif1" => "image/heic",
            b"M4A " => "audio/mp4",
            b"qt  " => "video/quicktime",
            _ => "video/mp4",
        };
    }
    if let Some((_, media_type)) = SIGNATURES.iter().find(|(signature, _)| bytes.starts_with(signature)) {
        return media_type;
    }
    let head = &bytes[..bytes.len().min(TEXT_WINDOW)];
    let text = String::from_utf8_lossy(head);
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("<svg") {
        "image/svg+xml"
    } else if text.starts_with("<?xm") {
        if text.contains("<svg") { "image/svg+xml" } else { "application/xml" }
    } else {
        UNKNOWN
    }
}
