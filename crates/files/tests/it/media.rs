//! What bytes and names say of a content.

use loomwork_files::media_type;

fn check(head: &[u8], name: Option<&str>, expected: Option<&str>) {
    assert_eq!(media_type(head, name).as_deref(), expected, "{head:?} as {name:?}");
}

#[test]
fn signatures_tell_more_than_names() {
    let signed: [(&[u8], &str); 12] = [
        (b"\x89PNG\r\n\x1a\n....", "image/png"),
        (b"\xff\xd8\xff\xe0....", "image/jpeg"),
        (b"\xff\xd8\xff\xe1....", "image/jpeg"),
        (b"GIF89a..", "image/gif"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\x03\x04........", "application/zip"),
        (b"\x1f\x8b\x08.....", "application/gzip"),
        (b"OggS\0\x02........................", "audio/ogg"),
        (b"ID3\x03........", "audio/mpeg"),
        (b"BM......", "image/bmp"),
        (
            b"\x7fELF\x02\x01\x01\0..............................................................",
            "application/x-executable",
        ),
    ];
    for (head, expected) in signed {
        check(head, None, Some(expected));
        check(head, Some("other.txt"), Some(expected));
    }
}

#[test]
fn a_film_is_told_whatever_its_first_box_has_for_size() {
    for size in [0x14, 0x18, 0x1c, 0x20] {
        let head = [&[0, 0, 0, size][..], b"ftypisom\0\0\x02\0isomiso2mp41........"].concat();
        check(&head, None, Some("video/mp4"));
    }
}

#[test]
fn xml_is_not_all_pictures() {
    check(b"<?xml version=\"1.0\"?><note/>", None, Some("text/xml"));
    check(b"<?xml version=\"1.0\"?><!-- <svg> --><!DOCTYPE x><note/>", None, Some("text/xml"));
    check(b"<?xml version=\"1.0\"?>\n<!-- a -->\n<svg xmlns=\"x\"/>", None, Some("image/svg+xml"));
    check(b"<svg><rect/></svg>", None, Some("image/svg+xml"));
    check(b"\xef\xbb\xbf <svg/>", Some("a.txt"), Some("image/svg+xml"));
    check(b"<svgfoo/>", None, Some("text/plain"));
    check(b"<?xml version=\"1.0\"?><rss/>", Some("feed.rss"), Some("application/rss+xml"));
}

#[test]
fn a_shared_signature_leaves_the_choice_to_the_name() {
    let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    check(b"PK\x03\x04........", Some("letter.docx"), Some(docx));
    check(b"PK\x03\x04........", Some("book.epub"), Some("application/epub+zip"));
    check(b"PK\x03\x04........", Some("picture.png"), Some("application/zip"));
    check(b"PK\x03\x04........", Some("page.pdf"), Some("application/zip"));
}

#[test]
fn what_has_no_signature_is_what_its_name_says_or_text() {
    check(b"a,b\n1,2\n", Some("table.csv"), Some("text/csv"));
    check(b"{}", Some("DATA.JSON"), Some("application/json"));
    check("Grüße".as_bytes(), None, Some("text/plain"));
    check("Grüße".as_bytes(), Some("no-extension"), Some("text/plain"));
    // A character that is cut at the end of the head is no sign of binary data.
    check(&"Grü".as_bytes()[..3], None, Some("text/plain"));
    check(b"\xff\xfe\x00\x01\x02\x03", None, None);
    check(b"\x00\x01\x02\x03", Some("unknown.zzz"), None);
    check(b"", None, None);
    check(b"", Some("empty.txt"), Some("text/plain"));
    check(b"a", None, Some("text/plain"));
}
