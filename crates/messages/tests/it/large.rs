//! Threads of very many messages, in an engine that counts the rows that it shows.

use std::sync::Arc;

use loomwork_core::{Clock, Random, Tasks};
use loomwork_messages::deletion::{self, STEP_ROWS};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{
    List, MAX_PASSED_OVER, MessagePage, MessageRow, MessageStatus, Position, ThreadId, fork, list, view,
};
use loomwork_models::Role;
use loomwork_store::{Memory, Store};
use loomwork_testkit::{Begun, GUARD, Tallied, soon};

use super::memory::house::{START, message, tables};

/// What a query reads besides the messages of its page: the thread, and the message that says that more follow.
const BESIDES: u64 = 4;

struct Library {
    store: Store,
    thread: ThreadId,
    begun: Arc<Begun>,
}

impl Library {
    /// Makes a thread of so many messages, two a turn; `change` makes each what it is to be.
    async fn of(messages: u64, change: impl Fn(u64, &mut MessageRow)) -> Self {
        let (engine, begun) = Tallied::over(Memory::new());
        let builder = Store::builder(engine).clock(Clock::manual(START).clock()).random(Random::seeded(1));
        let store = builder.tables(tables()).open().await.expect("the store opens");
        let thread =
            store.mutate(|tx| threads::create(tx, NewThread::for_user("ada"))).await.expect("a thread").id;
        let plain = message(thread, 0, 0, "and so on");
        let mut rows = (0..messages).map(|number| {
            let mut row = plain.clone();
            (row.order, row.step) = (number / 2, number % 2);
            row.message.role = if number % 2 == 0 { Role::User } else { Role::Assistant };
            change(number, &mut row);
            row
        });
        loop {
            let some: Vec<_> = rows.by_ref().take(5_000).collect();
            if some.is_empty() {
                break;
            }
            let put = store.mutate(move |tx| some.into_iter().try_for_each(|row| tx.insert(row).map(drop)));
            put.await.expect("the messages are put");
        }
        Self { store, thread, begun }
    }

    /// Returns a page, and how many rows were read for it.
    async fn page(&self, asked: &List) -> (MessagePage, u64) {
        let (thread, asked, before) = (self.thread, asked.clone(), self.begun.rows());
        let page = self.store.query(move |tx| list(tx, thread, &asked)).await.expect("it is listed");
        (page, self.begun.rows() - before)
    }

    /// Reads all pages, and returns the positions of their messages and how many each page has.
    async fn pages(&self, asked: List) -> (Vec<Position>, Vec<usize>) {
        let (mut positions, mut sizes, mut asked) = (Vec::new(), Vec::new(), asked);
        let most = (asked.size + MAX_PASSED_OVER) as u64 + BESIDES;
        loop {
            let (page, read) = self.page(&asked).await;
            assert!(read <= most, "a page of {} has read {read} rows", page.messages.len());
            positions.extend(page.messages.iter().map(|row| row.position()));
            sizes.push(page.messages.len());
            asked.after = page.next;
            if page.next.is_none() {
                return (positions, sizes);
            }
        }
    }
}

#[tokio::test]
async fn a_rare_status_is_found_over_pages_that_each_read_a_limited_number_of_messages() {
    let failed = |number| [3, 4, 2_500, 4_999].contains(&number);
    let library = Library::of(5_000, |number, row| {
        if failed(number) {
            row.status = MessageStatus::Failed;
        }
    })
    .await;
    let rare = List { statuses: Some(vec![MessageStatus::Failed]), ..List::oldest(2) };
    let expected = [(1, 1), (2, 0), (1_250, 0), (2_499, 1)].map(|(order, step)| Position::new(order, step));
    let (found, sizes) = library.pages(rare.clone()).await;
    assert_eq!(found, expected);
    assert_eq!(sizes, [2, 0, 1, 0, 1], "a page may be short, or empty, and not the last one");
    let (mut found, _) = library.pages(List { newest_first: true, ..rare }).await;
    found.reverse();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn without_tools_a_page_reads_a_limited_number_of_messages_and_cuts_no_turn() {
    // One turn of a question, 1,500 messages of tools and an answer, between two short ones.
    let library = Library::of(1_506, |number, row| {
        (row.order, row.step) = match number {
            0 | 1 => (0, number),
            1_504 | 1_505 => (2, number - 1_504),
            _ => (1, number - 2),
        };
        row.tool = (3..1_503).contains(&number);
    })
    .await;
    let said = List { without_tools: true, ..List::oldest(1) };
    let expected = [(0, 0), (0, 1), (1, 0), (1, 1_501), (2, 0), (2, 1)];
    let expected = expected.map(|(order, step)| Position::new(order, step));
    assert_eq!(library.pages(said.clone()).await.0, expected);
    let mut after = None;
    let mut turns = Vec::new();
    loop {
        let whole = List { whole_turns: true, after, ..said.clone() };
        let (page, _) = library.page(&whole).await;
        turns.push(page.messages.iter().map(|row| row.order).collect::<Vec<_>>());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(turns, [[0, 0], [1, 1], [2, 2]]);
}

#[tokio::test]
async fn a_thread_of_100_000_messages_is_listed_viewed_forked_and_deleted_like_a_short_one() {
    const MESSAGES: u64 = 100_000;
    const SIZE: usize = 100;
    let library = Library::of(MESSAGES, |_, _| {}).await;
    let (store, thread) = (&library.store, library.thread);
    let at = |number: u64| Position::new(number / 2, number % 2);
    for (newest_first, after, first) in [
        (true, None, MESSAGES - 1),
        (true, Some(at(MESSAGES / 2)), MESSAGES / 2 - 1),
        (false, None, 0),
        (false, Some(at(MESSAGES / 2)), MESSAGES / 2 + 1),
    ] {
        let (page, read) = library.page(&List { newest_first, after, ..List::newest(SIZE) }).await;
        let expected = |place: u64| at(if newest_first { first - place } else { first + place });
        let positions: Vec<_> = page.messages.iter().map(|row| row.position()).collect();
        assert_eq!(positions, (0..SIZE as u64).map(expected).collect::<Vec<_>>());
        assert_eq!(page.next, positions.last().copied());
        assert!(read <= SIZE as u64 + BESIDES, "a page of {SIZE} has read {read} rows");
    }

    let before = library.begun.rows();
    let seen = store.query(move |tx| view(tx, thread, &List::newest(SIZE))).await.expect("a view");
    assert_eq!((seen.messages.len(), seen.next), (SIZE, Some(at(MESSAGES - SIZE as u64))));
    assert!(library.begun.rows() - before <= SIZE as u64 + BESIDES);

    let options = fork::Options::default();
    let copy = store.mutate(move |tx| fork::start(tx, thread, at(1_999), options)).await.expect("forked").id;
    fork::finish(store, copy).await.expect("it is copied");
    let copied = store.query(move |tx| tx.count(MessageRow::by_position.eq(copy))).await;
    assert_eq!(copied.expect("counted"), 2_000);

    let asked = store.mutate(move |tx| threads::delete(tx, thread)).await;
    assert!(asked.expect("it is marked"));
    let (page, _) = library.page(&List::default()).await;
    assert!(page.messages.is_empty(), "nobody sees it");
    let (tasks, before) = (Tasks::new(), library.begun.rows());
    store.start_upkeep(&tasks, deletion::upkeep());
    let mut progress = store.watch(move |tx| Ok(deletion::progress(tx, thread)?.map_or(0, |now| now.rows)));
    soon(async { while progress.next().await.expect("open").expect("read") < 10 * STEP_ROWS as u64 {} })
        .await;
    tasks.shutdown(GUARD).await.expect("the tasks end");
    let (gone, left) = store
        .query(move |tx| {
            let gone = deletion::progress(tx, thread)?.map_or(0, |now| now.rows);
            Ok((gone, tx.count(MessageRow::by_position.eq(thread))? as u64))
        })
        .await
        .expect("counted");
    assert_eq!((gone + left, gone % STEP_ROWS as u64), (MESSAGES, 0));
    let read = library.begun.rows() - before - left;
    assert!(read <= 4 * gone, "{read} rows were read to delete {gone}");
}
