use std::time::Duration;

use loomwork_core::{Fault as _, Kind};
use loomwork_messages::threads::{
    self, Error, Listing, MAX_LOOKED_AT, MAX_SUMMARY_BYTES, MAX_TAG_BYTES, MAX_TAGS, MAX_TITLE_BYTES,
    MAX_USER_BYTES, NewThread, Order, THREAD_ARCHIVED, ThreadPatch, Which,
};
use loomwork_messages::runs::{self, NewRun};
use loomwork_messages::{BadMetadata, MAX_METADATA_BYTES, MessageStatus, Responder, RunStatus, ThreadId, ThreadStatus, metadata, save};
use loomwork_store::{Page, Result, Tx};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::house::{START, House};

const SECOND: Duration = Duration::from_secs(1);

fn ids(tx: &Tx, user: Option<&str>, listing: &Listing) -> Result<Vec<ThreadId>> {
    let all = threads::list(tx, user, listing, Page::first(100))?;
    Ok(all.rows.into_iter().map(|thread| thread.id).collect())
}

fn by_activity(tx: &Tx, user: Option<&str>, listing: &Listing) -> Result<Vec<ThreadId>> {
    let all = threads::list_by_activity(tx, user, listing, Page::first(100))?;
    Ok(all.rows.into_iter().map(|seat| seat.thread.id).collect())
}

#[tokio::test]
async fn a_new_thread_is_active_and_has_what_it_was_given() {
    let house = House::open().await;
    let new = NewThread {
        title: Some("Carpets".into()),
        summary: Some("About carpets".into()),
        tags: vec!["wool".into(), "red".into(), "wool".into()],
        metadata: metadata(&json!({ "desk": 12 })).expect("it has names"),
        responder: Responder::Human,
        ..NewThread::for_user("alice")
    };
    let id = house.commit(move |tx| Ok(threads::create(tx, new)?.id)).await;
    let thread = house.read(move |tx| threads::require(tx, id)).await.record;
    assert_eq!(thread.status, ThreadStatus::Active);
    assert_eq!(thread.user.as_deref(), Some("alice"));
    assert_eq!(thread.title.as_deref(), Some("Carpets"));
    assert_eq!(thread.summary.as_deref(), Some("About carpets"));
    assert_eq!(thread.tags, ["wool", "red"]);
    assert_eq!(thread.responder, Responder::Human);
    assert_eq!((thread.created, thread.updated), (START, START));
    assert_eq!((thread.parent, thread.forked_at), (None, None));
}

#[tokio::test]
async fn an_unknown_thread_is_nothing_to_get_and_an_error_to_require_or_change() {
    let house = House::open().await;
    let unknown = house.commit(|tx| Ok(tx.new_id())).await;
    assert_eq!(house.read(move |tx| threads::get(tx, unknown)).await, None);
    let missing = Error::NotFound { thread: unknown };
    assert_eq!(missing.kind(), Kind::NotFound);
    assert_eq!(house.refused::<_, Error>(move |tx| threads::require(tx, unknown)).await, missing);
    assert_eq!(house.refused::<_, Error>(move |tx| threads::require_open(tx, unknown)).await, missing);
    let patch = ThreadPatch::default();
    assert_eq!(house.refused::<_, Error>(move |tx| threads::update(tx, unknown, patch)).await, missing);
}

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let house = House::open().await;
    let new = NewThread {
        title: Some("Carpets".into()),
        summary: Some("About carpets".into()),
        ..NewThread::for_user("alice")
    };
    let id = house.commit(move |tx| Ok(threads::create(tx, new)?.id)).await;
    house.pass(SECOND);
    let nothing = house.commit(move |tx| threads::update(tx, id, ThreadPatch::default())).await;
    assert_eq!(nothing.updated, START);
    let patch = ThreadPatch {
        title: Some(None),
        tags: Some(vec!["wool".into()]),
        responder: Some(Responder::None),
        metadata: Some(metadata(&json!({ "a": 1 })).expect("it has names")),
        ..ThreadPatch::default()
    };
    let after = house.commit(move |tx| threads::update(tx, id, patch)).await.record;
    assert_eq!((after.title, after.summary.as_deref()), (None, Some("About carpets")));
    assert_eq!((after.tags, after.responder), (vec!["wool".to_owned()], Responder::None));
    assert_eq!((after.created, after.updated), (START, START + SECOND));
    assert_eq!(after.user.as_deref(), Some("alice"));
}

#[test]
fn a_patch_in_json_tells_null_from_nothing() {
    let patch: ThreadPatch =
        serde_json::from_value(json!({ "title": null, "summary": "s", "status": "archived" }))
            .expect("it is a patch");
    assert_eq!(patch.title, Some(None));
    assert_eq!(patch.summary, Some(Some("s".into())));
    assert_eq!((patch.user.clone(), patch.status), (None, Some(ThreadStatus::Archived)));
    let json = serde_json::to_value(&patch).expect("it is JSON");
    assert_eq!(json, json!({ "title": null, "summary": "s", "status": "archived" }));
    serde_json::from_value::<ThreadPatch>(json!({ "patch": { "title": "x" } }))
        .expect_err("a patch in another object is no patch");
}

#[tokio::test]
async fn metadata_is_of_the_applications_own_type() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Desk {
        room: u32,
    }
    let house = House::open().await;
    let kept = metadata(&Desk { room: 12 }).expect("it has names");
    let new = NewThread { metadata: kept, ..NewThread::default() };
    let thread = house.commit(move |tx| threads::create(tx, new)).await;
    assert_eq!(thread.metadata::<Desk>(), Ok(Desk { room: 12 }));
    let wrong: BadMetadata = thread.metadata::<Vec<u8>>().expect_err("it is no list");
    assert_eq!(wrong.kind(), Kind::Invalid);
}

#[tokio::test]
async fn what_is_beyond_a_limit_is_refused_by_name() {
    let house = House::open().await;
    let large = |limit: usize| "x".repeat(limit + 1);
    let too_large = |what: &'static str, limit: usize| Error::TooLarge { what, bytes: limit + 1, limit };
    let none = NewThread::default();
    let title = NewThread { title: Some(large(MAX_TITLE_BYTES)), ..none.clone() };
    let summary = NewThread { summary: Some(large(MAX_SUMMARY_BYTES)), ..none.clone() };
    let user = NewThread { user: Some(large(MAX_USER_BYTES)), ..none.clone() };
    let nobody = NewThread { user: Some(String::new()), ..none.clone() };
    let tag = NewThread { tags: vec![large(MAX_TAG_BYTES)], ..none.clone() };
    let empty = NewThread { tags: vec![String::new()], ..none.clone() };
    let tags = (0..=MAX_TAGS).map(|tag| tag.to_string()).collect();
    let tags = NewThread { tags, ..none.clone() };
    for (new, expected) in [
        (title, too_large("title", MAX_TITLE_BYTES)),
        (summary, too_large("summary", MAX_SUMMARY_BYTES)),
        (user, too_large("user", MAX_USER_BYTES)),
        (nobody, Error::Empty { what: "user" }),
        (tag, too_large("tag", MAX_TAG_BYTES)),
        (empty, Error::Empty { what: "tag" }),
        (tags, Error::TooManyTags),
    ] {
        assert_eq!(house.refused::<_, Error>(move |tx| threads::create(tx, new)).await, expected);
    }
    let kept = metadata(&json!({ "text": large(MAX_METADATA_BYTES) })).expect("it has names");
    let new = NewThread { metadata: kept.clone(), ..none };
    let refused: Error = house.refused(move |tx| threads::create(tx, new)).await;
    assert!(matches!(refused, Error::TooLarge { what: "metadata", .. }), "{refused}");
    let id = house.thread("alice").await;
    let patch = ThreadPatch { metadata: Some(kept), ..ThreadPatch::default() };
    let refused: Error = house.refused(move |tx| threads::update(tx, id, patch)).await;
    assert!(matches!(refused, Error::TooLarge { what: "metadata", .. }), "{refused}");
    let patch = ThreadPatch { title: Some(Some(large(MAX_TITLE_BYTES))), ..ThreadPatch::default() };
    let refused: Error = house.refused(move |tx| threads::update(tx, id, patch)).await;
    assert_eq!(refused, too_large("title", MAX_TITLE_BYTES));
}

#[tokio::test]
async fn threads_are_listed_by_their_user_in_both_orders() {
    let house = House::open().await;
    let mut hers = Vec::new();
    for _ in 0..5 {
        hers.push(house.thread("alice").await);
        house.thread("bob").await;
    }
    let anonymous = house.commit(|tx| Ok(threads::create(tx, NewThread::default())?.id)).await;
    let oldest = Listing { order: Order::Oldest, ..Listing::default() };
    assert_eq!(house.read(move |tx| ids(tx, Some("alice"), &oldest)).await, hers);
    hers.reverse();
    assert_eq!(house.read(|tx| ids(tx, Some("alice"), &Listing::default())).await, hers);
    assert_eq!(house.read(|tx| ids(tx, None, &Listing::default())).await, [anonymous]);
    assert_eq!(house.read(|tx| by_activity(tx, None, &Listing::default())).await, [anonymous]);
    assert!(house.read(|tx| ids(tx, Some("carol"), &Listing::default())).await.is_empty());
}

#[tokio::test]
async fn pages_stay_stable_while_threads_come_and_go() {
    let house = House::open().await;
    let mut hers = Vec::new();
    for _ in 0..5 {
        hers.push(house.thread("alice").await);
    }
    hers.reverse();
    let first = |tx: &Tx| threads::list(tx, "alice", &Listing::default(), Page::first(2));
    let first = house.read(first).await;
    assert_eq!(first.rows.iter().map(|thread| thread.id).collect::<Vec<_>>(), hers[..2]);
    house.thread("alice").await;
    let gone = hers[1];
    house.commit(move |tx| threads::delete(tx, gone)).await;
    let next = first.next.expect("there are more");
    let second =
        house.read(move |tx| threads::list(tx, "alice", &Listing::default(), Page::after(next.clone(), 9)));
    let second = second.await;
    assert_eq!(second.rows.iter().map(|thread| thread.id).collect::<Vec<_>>(), hers[2..]);
    assert_eq!(second.next, None);
}

#[tokio::test]
async fn the_thread_where_a_turn_began_last_comes_first() {
    let house = House::open().await;
    let (one, two) = (house.thread("alice").await, house.thread("alice").await);
    house.pass(SECOND);
    house.commit(move |tx| threads::touch(tx, one, tx.now())).await;
    assert_eq!(house.read(|tx| by_activity(tx, Some("alice"), &Listing::default())).await, [one, two]);
    house.pass(SECOND);
    house.commit(move |tx| threads::touch(tx, two, tx.now())).await;
    house.commit(move |tx| threads::touch(tx, two, START)).await;
    assert_eq!(house.read(|tx| by_activity(tx, Some("alice"), &Listing::default())).await, [two, one]);
    let all = Listing { which: Which::All, ..Listing::default() };
    assert_eq!(house.read(move |tx| by_activity(tx, Some("alice"), &all)).await, [two, one]);
    let seats = house.read(|tx| threads::list_by_activity(tx, "alice", &Listing::default(), Page::first(1)));
    let seats = seats.await;
    assert_eq!(seats.rows[0].member.activity, START + 2 * SECOND);
    assert!(seats.next.is_some());
}

#[tokio::test]
async fn an_archived_thread_takes_nothing_new_and_is_listed_where_it_is_asked_for() {
    let house = House::open().await;
    let (kept, away) = (house.thread("alice").await, house.thread("alice").await);
    house.commit(move |tx| threads::update(tx, away, ThreadPatch::archive())).await;
    let refused: Error = house.refused(move |tx| threads::require_open(tx, away)).await;
    assert_eq!(refused, Error::Archived { thread: away });
    for (which, expected) in
        [(Which::Active, vec![kept]), (Which::Archived, vec![away]), (Which::All, vec![away, kept])]
    {
        let listing = Listing { which, ..Listing::default() };
        let by_time = listing.clone();
        assert_eq!(house.read(move |tx| ids(tx, Some("alice"), &listing)).await, expected, "{which:?}");
        let mut seats = house.read(move |tx| by_activity(tx, Some("alice"), &by_time)).await;
        seats.sort();
        let mut expected = expected;
        expected.sort();
        assert_eq!(seats, expected, "{which:?}");
    }
    house.commit(move |tx| threads::update(tx, away, ThreadPatch::activate())).await;
    house.read(move |tx| threads::require_open(tx, away)).await;
}

#[tokio::test]
async fn an_archived_thread_has_its_runs_aborted() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let run = house.commit(move |tx| Ok(runs::begin(tx, id, NewRun::answering("hello"))?.run)).await;
    house.commit(move |tx| threads::update(tx, id, ThreadPatch::archive())).await;
    let ended = house.read(move |tx| tx.require(run.id)).await.record;
    assert_eq!(ended.status, RunStatus::Aborted);
    assert_eq!(ended.error.expect("it says why").code, THREAD_ARCHIVED);
    let answer = house.read(move |tx| tx.require(run.first)).await;
    assert_eq!(answer.status, MessageStatus::Aborted);
    let refused: Error = house.refused(move |tx| save(tx, id, "more")).await;
    assert_eq!(refused, Error::Archived { thread: id });
    house.commit(move |tx| threads::update(tx, id, ThreadPatch::activate())).await;
    house.commit(move |tx| save(tx, id, "more")).await;
}

#[tokio::test]
async fn a_status_that_is_not_for_callers_is_refused() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    for status in [ThreadStatus::Deleting, ThreadStatus::Copying] {
        let patch = ThreadPatch { status: Some(status), ..ThreadPatch::default() };
        let refused: Error = house.refused(move |tx| threads::update(tx, id, patch)).await;
        assert_eq!(refused, Error::BadStatus { status: status.as_str() });
    }
}

#[tokio::test]
async fn a_tag_leaves_out_the_threads_without_it() {
    let house = House::open().await;
    let mut tagged = Vec::new();
    for number in 0..12 {
        let tags = if number % 3 == 0 { vec!["wool".to_owned()] } else { Vec::new() };
        let new = NewThread { tags, ..NewThread::for_user("alice") };
        let id = house.commit(move |tx| Ok(threads::create(tx, new)?.id)).await;
        if number % 3 == 0 {
            tagged.push(id);
        }
    }
    tagged.reverse();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = Page { size: 3, after: after.clone() };
        let wool = Listing { tag: Some("wool".into()), ..Listing::default() };
        let rows = house.read(move |tx| threads::list(tx, "alice", &wool, page.clone())).await;
        found.extend(rows.rows.iter().map(|thread| thread.id));
        after = rows.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, tagged);
    let wool = Listing { tag: Some("wool".into()), ..Listing::default() };
    let mut seats = house.read(move |tx| by_activity(tx, Some("alice"), &wool)).await;
    seats.sort();
    tagged.sort();
    assert_eq!(seats, tagged);
}

#[tokio::test]
async fn a_page_of_a_rare_tag_looks_at_a_limited_number_of_threads() {
    let house = House::open().await;
    house.commit(|tx| {
        for _ in 0..=MAX_LOOKED_AT {
            threads::create(tx, NewThread::for_user("alice"))?;
        }
        Ok(())
    })
    .await;
    let rare = Listing { tag: Some("rare".into()), ..Listing::default() };
    let page = house.read(move |tx| threads::list(tx, "alice", &rare, Page::first(MAX_LOOKED_AT))).await;
    assert!(page.rows.is_empty());
    assert!(page.next.is_some());
}

#[tokio::test]
async fn users_with_threads_are_listed_once_each() {
    let house = House::open().await;
    for user in ["carol", "alice", "bob", "alice", "carol"] {
        house.thread(user).await;
    }
    house.commit(|tx| threads::create(tx, NewThread::default())).await;
    let gone = house.thread("dave").await;
    house.commit(move |tx| threads::delete(tx, gone)).await;
    assert_eq!(house.read(|tx| threads::users(tx, None, 9)).await, ["ada", "alice", "bob", "carol"]);
    assert_eq!(house.read(|tx| threads::users(tx, None, 2)).await, ["ada", "alice"]);
    assert_eq!(house.read(|tx| threads::users(tx, Some("bob"), 2)).await, ["carol"]);
}

#[tokio::test]
async fn a_thread_of_a_new_user_is_theirs_and_what_was_said_stays_its_writers() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let said = house.say(id, 0, 0, "hello").await;
    let patch = ThreadPatch { user: Some(Some("bob".into())), ..ThreadPatch::default() };
    let after = house.commit(move |tx| threads::update(tx, id, patch)).await;
    assert_eq!(after.user.as_deref(), Some("bob"));
    assert_eq!(house.read(|tx| ids(tx, Some("bob"), &Listing::default())).await, [id]);
    assert!(house.read(|tx| ids(tx, Some("alice"), &Listing::default())).await.is_empty());
    assert_eq!(house.read(|tx| by_activity(tx, Some("alice"), &Listing::default())).await, [id]);
    let row = house.read(move |tx| tx.require(said)).await;
    assert_eq!(row.user.as_deref(), Some("alice"));
}
