//! Ids and cursors as text and in records, from careless hands.

use loomwork_core::{Fault as _, Kind, RawId};
use loomwork_store::{Cursor, CursorError, Id, IdError, Memory, Page, Problem, Store, Table as _};
use loomwork_testkit::store::{Chapter, Note, Shelf};

fn shelf() -> Id<Shelf> {
    Id::from_raw(RawId::from_bytes([7; 16]))
}

#[test]
fn an_id_reads_back_from_its_text_and_its_json() {
    let text = shelf().to_string();
    assert!(text.starts_with("shelf_"), "{text}");
    assert_eq!(text.parse(), Ok(shelf()));
    let json = serde_json::to_string(&shelf()).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Id<Shelf>>(&json).unwrap(), shelf());
    let compact = postcard::to_stdvec(&shelf()).unwrap();
    assert_eq!(compact, shelf().raw().as_bytes());
    assert_eq!(postcard::from_bytes::<Id<Shelf>>(&compact).unwrap(), shelf());
}

#[test]
fn an_id_of_another_table_is_refused_with_both_named() {
    let text = shelf().to_string();
    let error = text.parse::<Id<Note>>().unwrap_err();
    assert_eq!(error, IdError::OtherTable { text: text.clone(), table: "notes", prefix: "note" });
    assert_eq!(error.kind(), Kind::Invalid);
    let in_json = serde_json::from_str::<Id<Note>>(&format!("\"{text}\"")).unwrap_err();
    let note = Id::<Note>::from_raw(shelf().raw()).to_string();
    let chapter = format!(r#"{{"shelf":"{note}","position":1,"words":[]}}"#);
    let in_record = serde_json::from_str::<Chapter>(&chapter).unwrap_err();
    for (message, named) in [
        (error.to_string(), [&text, "`notes`", "`note_`"]),
        (in_json.to_string(), [&text, "`notes`", "`note_`"]),
        (in_record.to_string(), [&note, "`shelves`", "`shelf_`"]),
    ] {
        assert!(named.iter().all(|name| message.contains(name)), "{message}");
    }
}

#[test]
fn a_malformed_id_is_refused_with_the_reason() {
    let good = shelf().to_string();
    let short = &good[..good.len() - 1];
    let cases = [
        (String::from("shelf_"), "26 characters"),
        (short.to_owned(), "25"),
        (format!("{good}0"), "27"),
        (good.to_uppercase().replace("SHELF", "shelf"), "0 to 9 and a to v"),
        (format!("{short}z"), "'z'"),
        (format!("{short}1"), "last character"),
        (format!("shelf_{}", "ü".repeat(26)), "'ü'"),
    ];
    for (text, reason) in cases {
        let error = text.parse::<Id<Shelf>>().unwrap_err();
        let IdError::Malformed { text: named, table: "shelves", .. } = &error else { panic!("{error:?}") };
        assert_eq!(*named, text);
        assert!(error.to_string().contains(reason), "{error}");
        assert!(serde_json::from_value::<Id<Shelf>>(text.into()).is_err());
    }
    for text in ["", "_", "shelf", "shelfx_", "Shelf_", " shelf_", &shelf().raw().to_string()] {
        let error = text.parse::<Id<Shelf>>().unwrap_err();
        assert!(matches!(error, IdError::OtherTable { .. }), "{error:?}");
    }
    let long = format!("shelf_{}", "a".repeat(10_000)).parse::<Id<Shelf>>().unwrap_err().to_string();
    assert!(long.starts_with("\"shelf_aaa") && long.len() < 200, "{long}");
    assert!(serde_json::from_str::<Id<Shelf>>("7").is_err());
    assert!(postcard::from_bytes::<Id<Shelf>>(&[7; 15]).is_err());
}

#[tokio::test]
async fn a_cursor_that_is_none_is_refused_with_a_hint() {
    let store = Store::builder(Memory::new()).tables([Note::table()]).open().await.unwrap();
    for text in ["", "AAAA", "not a cursor", "AAAAAAAAAA==", "ü", "AAAAAAAAAAAA!"] {
        let error = text.parse::<Cursor>().unwrap_err();
        assert_eq!(error, CursorError::Malformed(text.to_owned()));
        assert_eq!(error.kind(), Kind::Invalid);
        // A page that a client sends is read as it is, and refused where it is used.
        let page: Page = serde_json::from_value(serde_json::json!({ "size": 1, "after": text })).unwrap();
        let error = store.query(move |tx| tx.page(Note::all(), page.clone())).await.unwrap_err();
        let problem = error.downcast_ref();
        let Some(Problem::Cursor(CursorError::Malformed(named))) = problem else { panic!("{error:?}") };
        assert_eq!(named, text);
    }
    let long = "no cursor ".repeat(1000).parse::<Cursor>().unwrap_err().to_string();
    assert!(long.starts_with("\"no cursor") && long.len() < 250, "{long}");
}

#[tokio::test]
async fn pages_and_cursors_pass_through_json() {
    let store = Store::builder(Memory::new()).tables([Note::table()]).open().await.unwrap();
    store
        .mutate(|tx| ["a", "b", "c"].into_iter().try_for_each(|slug| tx.insert(Note::new(slug)).map(|_| ())))
        .await
        .unwrap();
    let first = store.query(|tx| tx.page(Note::by_slug.all(), Page::first(2))).await.unwrap();
    let json = serde_json::to_value(&first).unwrap();
    assert_eq!(json["rows"][1]["slug"], "b");
    assert_eq!(json["rows"][1]["id"], first.rows[1].id.to_string());
    let after: Cursor = serde_json::from_value(json["next"].clone()).unwrap();
    assert_eq!(Some(&after), first.next.as_ref());
    let last =
        store.query(move |tx| tx.page(Note::by_slug.all(), Page::after(after.clone(), 2))).await.unwrap();
    assert_eq!((last.rows[0].slug.as_str(), last.next), ("c", None));
}
