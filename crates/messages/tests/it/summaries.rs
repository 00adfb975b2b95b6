use loomwork_messages::summaries::{self, Error, KEPT, MAX_SUMMARY_TEXT_BYTES, NewSummary};
use loomwork_messages::{
    MessageId, MessagePatch, MessageStatus, NewMessage, Place, Position, Save, SummaryId, ThreadId, delete, delete_range,
    deletion, settle, threads, update,
};
use loomwork_models::Message;
use loomwork_store::{Result, Tx};

use super::house::{House, assistant, user};

/// Something that is done to a thread and its messages.
type Change = fn(&mut Tx, ThreadId, &[MessageId]) -> Result<()>;

/// Saves turns of a question and an answer each.
async fn talk(house: &House, turns: usize) -> Vec<MessageId> {
    let said = (0..turns).flat_map(|turn| [user(&format!("q{turn}")), assistant(&format!("a{turn}"))]);
    house.save(Save::all(said)).await.into_iter().map(|row| row.id).collect()
}

fn put(tx: &mut Tx, thread: ThreadId, base: Option<SummaryId>, to: u64) -> Result<Option<SummaryId>> {
    let new = NewSummary { thread, base, to, text: format!("up to {to}"), author: "tests".into() };
    Ok(summaries::put(tx, new)?.map(|row| row.id))
}

/// Writes summaries up to each of these turns, each over the one before.
async fn summarise(house: &House, ends: impl IntoIterator<Item = u64>) {
    let (thread, ends) = (house.thread, ends.into_iter().collect::<Vec<_>>());
    house
        .commit(move |tx| {
            let mut base = None;
            for to in ends {
                base = Some(put(tx, thread, base, to)?.expect("the base is the newest"));
            }
            Ok(())
        })
        .await;
}

/// Returns up to which turns there are summaries.
async fn ends(house: &House) -> Vec<u64> {
    let thread = house.thread;
    house.read(move |tx| Ok(summaries::list(tx, thread)?.iter().map(|summary| summary.to).collect())).await
}

#[tokio::test]
async fn a_summary_covers_the_turns_from_the_first_on() {
    let house = House::open().await;
    talk(&house, 6).await;
    summarise(&house, [1, 3]).await;
    let thread = house.thread;
    let (newest, before) = house
        .read(move |tx| Ok((summaries::newest(tx, thread, None)?, summaries::newest(tx, thread, Some(3))?)))
        .await;
    let newest = newest.expect("there is one");
    assert_eq!((newest.from, newest.to, newest.text.as_str()), (0, 3, "up to 3"));
    assert_eq!(before.map(|summary| summary.to), Some(1), "of those in front of turn 3");
}

#[tokio::test]
async fn of_two_who_write_over_the_same_base_one_does() {
    let house = House::open().await;
    talk(&house, 6).await;
    let thread = house.thread;
    let first = house.commit(move |tx| put(tx, thread, None, 1)).await;
    assert_eq!(house.commit(move |tx| put(tx, thread, None, 2)).await, None, "the base is older");
    assert_eq!(house.commit(move |tx| put(tx, thread, first, 1)).await, None, "it covers no more");
    assert!(house.commit(move |tx| put(tx, thread, first, 2)).await.is_some());
}

#[tokio::test]
async fn what_changes_a_covered_turn_drops_the_summaries_of_it() {
    let changes: [Change; 6] = [
        |tx, _, said| delete(tx, &said[4..5]).map(drop),
        |tx, thread, _| delete_range(tx, thread, Position::new(2, 1), Position::new(3, 0)).map(drop),
        |tx, _, said| {
            let message = Some(Message::user("something else"));
            update(tx, said[4], MessagePatch { message, ..MessagePatch::default() }).map(drop)
        },
        |tx, thread, said| {
            loomwork_messages::save(tx, thread, Save::all([assistant("late")]).at(Place::Reply(said[4]))).map(drop)
        },
        |tx, thread, _| {
            let late = NewMessage { status: MessageStatus::Pending, ..assistant("late") };
            loomwork_messages::save(tx, thread, Save::all([late]).at(Place::Turn(2))).map(drop)
        },
        |tx, thread, _| summaries::forget(tx, thread, 2).map(drop),
    ];
    for change in changes {
        let house = House::open().await;
        let said = talk(&house, 6).await;
        summarise(&house, [1, 2, 4]).await;
        let thread = house.thread;
        house.commit(move |tx| change(tx, thread, &said)).await;
        assert_eq!(ends(&house).await, [1]);
    }
}

#[tokio::test]
async fn what_ends_a_message_of_a_covered_turn_drops_them_too() {
    let house = House::open().await;
    let pending = NewMessage { status: MessageStatus::Pending, ..assistant("") };
    let said = house.save(Save::all([user("q0"), pending, user("q1"), user("q2")])).await;
    summarise(&house, [0, 1]).await;
    let id = said[1].id;
    house.commit(move |tx| settle(tx, id, MessageStatus::Success, None)).await;
    assert_eq!(ends(&house).await, [0; 0]);
}

#[tokio::test]
async fn what_is_said_behind_it_or_changes_no_words_drops_nothing() {
    let house = House::open().await;
    let said = talk(&house, 4).await;
    summarise(&house, [1]).await;
    talk(&house, 1).await;
    let id = said[0];
    let metadata = Some([("seen".to_owned(), true.into())].into_iter().collect());
    house.commit(move |tx| update(tx, id, MessagePatch { metadata, ..MessagePatch::default() })).await;
    assert_eq!(ends(&house).await, [1]);
}

#[tokio::test]
async fn the_last_ones_are_kept() {
    let house = House::open().await;
    talk(&house, 20).await;
    summarise(&house, 0..15).await;
    assert_eq!(ends(&house).await, (15 - KEPT as u64..15).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_summary_of_nothing_and_one_that_is_too_large_are_refused() {
    let house = House::open().await;
    let thread = house.thread;
    let new = |text: &str, to| NewSummary { thread, base: None, to, text: text.into(), author: "tests".into() };
    let none = new("of nothing", 7);
    let error: Error = house.refused(move |tx| summaries::put(tx, none)).await;
    assert_eq!(error, Error::NoTurns { thread, to: 7 });
    talk(&house, 2).await;
    let empty = new(" \n", 1);
    let error: Error = house.refused(move |tx| summaries::put(tx, empty)).await;
    assert_eq!(error, Error::Empty { thread, to: 1 });
    let large = new(&"a".repeat(MAX_SUMMARY_TEXT_BYTES + 1), 1);
    let error: Error = house.refused(move |tx| summaries::put(tx, large)).await;
    assert_eq!(error, Error::TooLarge { thread, to: 1, bytes: MAX_SUMMARY_TEXT_BYTES + 1 });
}

#[tokio::test]
async fn a_thread_that_is_deleted_takes_its_summaries_with_it() {
    let house = House::open().await;
    talk(&house, 3).await;
    summarise(&house, [0, 1]).await;
    let thread = house.thread;
    house.commit(move |tx| threads::delete(tx, thread)).await;
    let late = NewSummary { thread, base: None, to: 2, text: "late".into(), author: "tests".into() };
    let error: threads::Error = house.refused(move |tx| summaries::put(tx, late)).await;
    assert_eq!(error, threads::Error::NotFound { thread });
    house.start(deletion::upkeep());
    house.until(move |tx| Ok(deletion::progress(tx, thread)?.is_none())).await;
    assert_eq!(ends(&house).await, [0; 0]);
}
