use std::time::Duration;

use loomwork_core::{Fault as _, Kind};
use loomwork_messages::edits::{
    self, Error, MAX_CHANGE_BYTES, MAX_SNIPPET_BYTES, MAX_TARGET_BYTES, NewEdit, Retention,
};
use loomwork_messages::threads::{self, ThreadPatch};
use loomwork_messages::{Edit, EditChange, ThreadId};
use loomwork_search::vectors;
use loomwork_store::{Page, Result, Row, Tx};
use loomwork_testkit::soon;
use serde_json::json;

use super::house::{House, space};

const SECOND: Duration = Duration::from_secs(1);

async fn append(house: &House, thread: ThreadId, target: &str, snippet: &str) -> Row<Edit> {
    let edit = NewEdit::new(thread, target, "replace", snippet);
    house.commit(move |tx| edits::append(tx, edit)).await
}

fn snippets(tx: &Tx, thread: ThreadId) -> Result<Vec<String>> {
    let page = edits::list(tx, thread, Page::first(1_000))?;
    Ok(page.rows.into_iter().map(|edit| edit.record.snippet).collect())
}

#[tokio::test]
async fn an_edit_keeps_what_was_done_and_is_no_message() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let said = house.say(id, 0, 0, "make it red").await;
    let change = EditChange::Replaced { before: json!("blue"), after: json!("red") };
    let new = NewEdit {
        change: change.clone(),
        author: Some("alice".into()),
        message: Some(said),
        ..NewEdit::new(id, "box", "style", "The box is red")
    };
    let edit = house.commit(move |tx| edits::append(tx, new)).await;
    assert_eq!(house.read(move |tx| tx.require(edit.id)).await, edit);
    let edit = edit.record;
    assert_eq!((edit.version, edit.change, edit.message), (1, change, Some(said)));
    assert_eq!((edit.kind.as_str(), edit.snippet.as_str()), ("style", "The box is red"));
    assert_eq!(house.counts().await, [("messages", 1), ("edits", 1), ("members", 1), ("threads", 1)]);
}

#[tokio::test]
async fn versions_count_the_edits_of_each_target() {
    let house = House::open().await;
    let (one, two) = (house.thread("alice").await, house.thread("alice").await);
    let mut versions = Vec::new();
    for (thread, target) in [(one, "a"), (one, "b"), (one, "a"), (two, "a"), (one, "a")] {
        versions.push(append(&house, thread, target, "x").await.version);
    }
    assert_eq!(versions, [1, 1, 2, 1, 3]);
}

#[tokio::test]
async fn edits_that_are_appended_at_once_take_different_versions() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let edit = |snippet: &str| {
        let edit = NewEdit::new(id, "a", "replace", snippet);
        house.store.mutate(move |tx| edits::append(tx, edit))
    };
    let (one, two) = tokio::join!(edit("x"), edit("y"));
    let mut versions = [one.expect("it is kept").version, two.expect("it is kept").version];
    versions.sort_unstable();
    assert_eq!(versions, [1, 2]);
}

#[tokio::test]
async fn edits_are_listed_by_thread_and_by_target_the_newest_first() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    for (target, snippet) in [("b", "b1"), ("a", "a1"), ("b", "b2"), ("a", "a2"), ("b", "b3")] {
        append(&house, id, target, snippet).await;
    }
    assert_eq!(house.read(move |tx| snippets(tx, id)).await, ["b3", "a2", "b2", "a1", "b1"]);
    let of_b = house.read(move |tx| edits::list_of(tx, id, "b", Page::first(2))).await;
    assert_eq!(of_b.rows.iter().map(|edit| edit.snippet.as_str()).collect::<Vec<_>>(), ["b3", "b2"]);
    let next = of_b.next.expect("there is one more");
    let rest = house.read(move |tx| edits::list_of(tx, id, "b", Page::after(next.clone(), 2))).await;
    assert_eq!(rest.rows.iter().map(|edit| edit.snippet.as_str()).collect::<Vec<_>>(), ["b1"]);
    let latest = house.read(move |tx| edits::latest(tx, id, "a")).await.expect("there is one");
    assert_eq!(latest.snippet, "a2");
    assert_eq!(house.read(move |tx| edits::latest(tx, id, "c")).await, None);
    let each = house.read(move |tx| edits::latest_of_each(tx, id, Page::first(9))).await;
    assert_eq!(each.rows.iter().map(|edit| edit.snippet.as_str()).collect::<Vec<_>>(), ["a2", "b3"]);
}

#[tokio::test]
async fn whoever_watches_a_target_hears_of_its_edits() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let mut watch = house.store.watch(move |tx| Ok(edits::latest(tx, id, "a")?.map(|edit| edit.version)));
    let mut next = async || soon(watch.next()).await.expect("the store is open").expect("it is read");
    assert_eq!(next().await, None);
    append(&house, id, "a", "x").await;
    assert_eq!(next().await, Some(1));
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_refused_by_name() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let edit = NewEdit::new(id, "a", "replace", "x");
    let large = |limit: usize| "x".repeat(limit + 1);
    let target = NewEdit { target: large(MAX_TARGET_BYTES), ..edit.clone() };
    let kind = NewEdit { kind: String::new(), ..edit.clone() };
    let snippet = NewEdit { snippet: large(MAX_SNIPPET_BYTES), ..edit.clone() };
    let change = NewEdit { change: EditChange::Patch(json!(large(MAX_CHANGE_BYTES))), ..edit };
    for (edit, expected) in [(target, "target"), (kind, "kind"), (snippet, "snippet"), (change, "change")] {
        let refused: Error = house.refused(move |tx| edits::append(tx, edit)).await;
        let (Error::Empty { what } | Error::TooLarge { what, .. }) = refused else {
            panic!("{refused} is not about a limit")
        };
        assert_eq!(what, expected);
    }
}

#[tokio::test]
async fn an_edit_belongs_to_an_open_thread_and_names_one_of_its_messages() {
    let house = House::open().await;
    let (id, other) = (house.thread("alice").await, house.thread("alice").await);
    let said = house.say(other, 0, 0, "hello").await;
    let edit = NewEdit::new(id, "a", "replace", "x");
    let strange = NewEdit { message: Some(said), ..edit.clone() };
    let refused: Error = house.refused(move |tx| edits::append(tx, strange)).await;
    assert_eq!(refused, Error::OtherMessage { target: "a".into(), message: said, thread: id });
    house.commit(move |tx| threads::update(tx, id, ThreadPatch::archive())).await;
    let refused: threads::Error = house.refused(move |tx| edits::append(tx, edit)).await;
    assert_eq!(refused, threads::Error::Archived { thread: id });
    house.commit(move |tx| threads::delete(tx, other)).await;
    let refused: threads::Error = house.refused(move |tx| edits::list(tx, other, Page::first(1))).await;
    assert_eq!(refused.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_retention_keeps_the_newest_of_each_target_and_of_each_thread() {
    let house = House::open().await;
    let (one, two) = (house.thread("alice").await, house.thread("alice").await);
    let retention = Retention { per_target: Some(2), per_thread: Some(3), max_age: None };
    house.start(edits::retention(retention));
    let first = append(&house, one, "a", "a1").await;
    let by_hand = first.id;
    house.commit(move |tx| vectors::insert(tx, &space(), by_hand, vec![1.0, 0.0])).await;
    for (thread, target, snippet) in
        [(one, "a", "a2"), (one, "b", "b1"), (one, "a", "a3"), (two, "a", "other"), (one, "b", "b2")]
    {
        append(&house, thread, target, snippet).await;
    }
    house.until(move |tx| Ok(snippets(tx, one)? == ["b2", "a3", "b1"])).await;
    assert_eq!(house.read(move |tx| snippets(tx, two)).await, ["other"]);
    assert_eq!(house.read(move |tx| vectors::of(tx, &space(), by_hand)).await, None);
}

#[tokio::test]
async fn many_edits_beyond_a_retention_go_in_steps() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let count = 3 * edits::RETENTION_STEP;
    house.commit(move |tx| {
        for number in 0..count {
            edits::append(tx, NewEdit::new(id, "a", "replace", number.to_string()))?;
        }
        Ok(())
    })
    .await;
    house.start(edits::retention(Retention { per_thread: Some(1), ..Retention::default() }));
    let last = (count - 1).to_string();
    house.until(move |tx| Ok(snippets(tx, id)? == [last.as_str()])).await;
}

#[tokio::test]
async fn old_edits_are_forgotten_and_their_versions_are_not_given_again() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    append(&house, id, "a", "a1").await;
    house.pass(10 * SECOND);
    append(&house, id, "b", "b1").await;
    house.start(edits::retention(Retention { max_age: Some(15 * SECOND), ..Retention::default() }));
    soon(async {
        while house.clock.next_timer().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    house.pass(5 * SECOND);
    house.until(move |tx| Ok(snippets(tx, id)? == ["b1"])).await;
    let each = house.read(move |tx| edits::latest_of_each(tx, id, Page::first(9))).await;
    assert_eq!(each.rows.iter().map(|edit| edit.snippet.as_str()).collect::<Vec<_>>(), ["b1"]);
    assert_eq!(append(&house, id, "a", "a2").await.version, 2);
}
