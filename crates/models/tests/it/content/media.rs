//! What bytes are, and where they are.

use bytes::Bytes;
use loomwork_models::{Data, guess_media_type};

#[test]
fn media_types_are_guessed_by_the_first_bytes() {
    for (bytes, media_type) in [
        (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"\xff\xd8\xff\xdb....", "image/jpeg"),
        (b"GIF89a....", "image/gif"),
        (b"BM......", "image/bmp"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
        (b"RIFF....WAVEfmt ", "audio/wav"),
        (b"II*\0....", "image/tiff"),
        (b"MM\0*....", "image/tiff"),
        (b"<svg xmlns='x'/>", "image/svg+xml"),
        (b"\xef\xbb\xbf <?xml version='1.0'?><svg/>", "image/svg+xml"),
        (b"<?xml version='1.0'?><feed/>", "application/xml"),
        (b"ID3\x04....", "audio/mpeg"),
        (b"\xff\xfb\x90\x00", "audio/mpeg"),
        (b"\x1aE\xdf\xa3....", "video/webm"),
        (b"\0\0\0\x18ftypmp42", "video/mp4"),
        (b"\0\0\0\x20ftypisom", "video/mp4"),
        (b"\0\0\0\x20ftypavif", "image/avif"),
        (b"\0\0\0\x20ftypM4A ", "audio/mp4"),
        (b"OggS....", "audio/ogg"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04....", "application/zip"),
        (b"PK\x05\x06....", "application/zip"),
        (b"PK\x07\x08....", "application/zip"),
        (b"Rar!....", "application/vnd.rar"),
        (b"\x7fELF....", "application/x-elf"),
        (b"\x1f\x8b\x08.", "application/gzip"),
        (b"BZh9....", "application/x-bzip2"),
        (b"hello there", "application/octet-stream"),
        (b"BM", "application/octet-stream"),
        (b"", "application/octet-stream"),
        (b"RIFF", "application/octet-stream"),
    ] {
        assert_eq!(guess_media_type(bytes), media_type, "{bytes:?}");
    }
}

#[test]
fn data_addresses_hold_their_bytes_and_their_type() {
    for (url, bytes, media_type) in [
        ("data:image/png;base64,AAEC", Some(&[0, 1, 2][..]), Some("image/png")),
        ("data:image/svg+xml;charset=utf-8;base64,AAEC", Some(&[0, 1, 2]), Some("image/svg+xml")),
        ("data:application/vnd.a.b+json;base64,AAEC", Some(&[0, 1, 2]), Some("application/vnd.a.b+json")),
        ("data:text/plain,a%20b", Some(b"a b"), Some("text/plain")),
        ("data:,a", Some(b"a"), None),
        ("data:image/png;base64,*", None, Some("image/png")),
        ("data:text/plain,%4", None, Some("text/plain")),
        ("data:text/plain,%zz", None, Some("text/plain")),
        ("data:image/png", None, None),
        ("https://example.com/a.png", None, None),
    ] {
        let data = Data::Url(url.to_owned());
        assert_eq!(data.bytes().as_deref(), bytes, "{url}");
        assert_eq!(data.media_type(), media_type, "{url}");
    }
}

#[test]
fn bytes_and_addresses_are_addresses() {
    assert_eq!(Data::from(vec![0, 1, 2]).to_url("a/b").as_deref(), Some("data:a/b;base64,AAEC"));
    assert_eq!(Data::Url("https://a.b".to_owned()).to_url("a/b").as_deref(), Some("https://a.b"));
    let reference = Data::Reference([("p".to_owned(), "1".into())].into_iter().collect());
    assert_eq!(
        (reference.to_url("a/b"), reference.reference("p"), reference.reference("q")),
        (None, Some("1"), None)
    );
    assert_eq!(Data::from(vec![1]).bytes(), Some(Bytes::from_static(&[1])));
}
