//! Signed links.

use std::time::Duration;

use loomwork_core::{Fault as _, Kind, RawId, Secret, Time};
use loomwork_files::{Disposition, FileId, Link, LinkError};
use proptest::prelude::{Just, any, prop_oneof};
use proptest::{prop_assert, prop_assert_eq, proptest};

const NOW: Time = Time::from_millis(1_700_000_000_000);

fn key() -> Secret {
    Secret::from("0123456789abcdef0123456789abcdef")
}

fn link() -> Link {
    let file = FileId::from_raw(RawId::from_bytes([7; 16]));
    Link { name: Some("a b&as=inline.pdf".into()), ..Link::new(file, NOW + Duration::from_secs(60)) }
}

#[test]
fn a_link_ends_with_its_time() {
    let text = link().sign(&key()).expect("it is signed");
    let last = NOW + Duration::from_millis(59_999);
    assert_eq!(Link::verify(&text, &key(), last), Ok(link()));
    let expired = link().expires;
    let error = Link::verify(&text, &key(), expired).expect_err("its time is over");
    assert_eq!((&error, error.kind()), (&LinkError::Expired { expired }, Kind::Denied));
}

#[test]
fn a_link_is_bound_to_all_that_it_says() {
    let text = link().sign(&key()).expect("it is signed");
    let other = FileId::from_raw(RawId::from_bytes([8; 16])).to_string();
    let forged = [
        text.replace(&link().file.to_string(), &other),
        text.replace("1700000060000", "1800000060000"),
        text.replace("as=attachment", "as=inline"),
        text.replace("name=a", "name=b"),
        text.replace("&name=a%20b%26as%3Dinline%2Epdf", ""),
    ];
    for forged in forged {
        assert_ne!(forged, text);
        assert_eq!(Link::verify(&forged, &key(), NOW), Err(LinkError::Forged), "{forged}");
    }
    let another = Secret::from("0123456789abcdef0123456789abcdeF");
    assert_eq!(Link::verify(&text, &another, NOW), Err(LinkError::Forged));
    // Forged comes before expired: who has no key learns nothing.
    assert_eq!(Link::verify(&text, &another, Time::MAX), Err(LinkError::Forged));
}

#[test]
fn a_text_that_is_no_link_says_why() {
    let text = link().sign(&key()).expect("it is signed");
    let bad = [
        (String::new(), "query"),
        (link().file.to_string(), "query"),
        (text.replace("file_", "blob_"), "id of a file"),
        (text.replace("expires=", "expire="), "`expires` is missing"),
        (text.replace("1700000060000", "soon"), "no time"),
        (text.replace("as=attachment", "as=show"), "neither"),
        (text.replace("&as=attachment", ""), "`as` is missing"),
        (text.replace("signature=", "signature=!"), "base64url"),
        (text.replace("&signature=", "&s="), "`signature` is missing"),
        (format!("{text}&as=inline"), "twice"),
        (text.replace("name=a", "name=%ff"), "no text"),
    ];
    for (text, reason) in bad {
        let error = Link::verify(&text, &key(), NOW).expect_err("it is no link");
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.to_string().contains(reason), "{error}");
    }
    // What others add to a query changes nothing.
    assert_eq!(Link::verify(&format!("{text}&utm=1"), &key(), NOW), Ok(link()));
}

#[test]
fn a_key_that_can_be_guessed_is_refused() {
    let weak = Secret::from("short");
    assert_eq!(link().sign(&weak), Err(LinkError::WeakKey { bytes: 5 }));
    let text = link().sign(&key()).expect("it is signed");
    assert_eq!(Link::verify(&text, &weak, NOW), Err(LinkError::WeakKey { bytes: 5 }));
}

#[test]
fn a_header_carries_any_name() {
    assert_eq!(Disposition::Inline.header(None), "inline");
    assert_eq!(
        Disposition::Attachment.header(Some("a.txt")),
        "attachment; filename=\"a.txt\"; filename*=UTF-8''a%2Etxt"
    );
    let header = Disposition::Attachment.header(Some("x\"\r\nset-cookie: y\\"));
    assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header}");
    assert_eq!(header.matches('"').count(), 2);
}

proptest! {
    #[test]
    fn every_link_is_read_back_as_it_was_signed(
        bytes in any::<[u8; 16]>(),
        expires in any::<i64>(),
        name in any::<Option<String>>(),
        disposition in prop_oneof![Just(Disposition::Attachment), Just(Disposition::Inline)],
        changed in any::<(proptest::sample::Index, u8)>(),
    ) {
        let link =
            Link { file: FileId::from_raw(RawId::from_bytes(bytes)), expires: Time::from_millis(expires), name, disposition };
        let text = link.sign(&key()).expect("it is signed");
        prop_assert!(text.is_ascii());
        if expires > i64::MIN {
            prop_assert_eq!(&Link::verify(&text, &key(), Time::MIN).expect("it is genuine"), &link);
        }
        // No single character can be changed for a right to something else.
        let mut other = text.clone().into_bytes();
        let at = changed.0.index(other.len());
        other[at] = changed.1 & 0x7f;
        let other = String::from_utf8(other).expect("it is ASCII");
        if let Ok(read) = Link::verify(&other, &key(), Time::MIN) {
            prop_assert_eq!(read, link);
        }
    }
}
