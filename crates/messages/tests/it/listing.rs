use loomwork_messages::{List, ListError, MessageStatus, NewMessage, Position, Save, get_all, list};

use super::house::{House, assistant, call, fault, result, user};

async fn filled() -> House {
    let house = House::open().await;
    let failed = NewMessage { status: MessageStatus::Failed, ..assistant("broken") };
    house.save(Save::all([user("a"), call("1"), result("1"), assistant("b")])).await;
    house.save(Save::all([user("c"), failed])).await;
    house.save(Save::all([user("d"), NewMessage::pending()])).await;
    house
}

async fn positions(house: &House, asked: List) -> Vec<(u64, u64)> {
    let thread = house.thread;
    let page = house.store.query(move |tx| list(tx, thread, &asked)).await.expect("it is listed");
    page.messages.iter().map(|row| (row.order, row.step)).collect()
}

#[tokio::test]
async fn the_newest_come_first_unless_the_oldest_are_asked_for() {
    let house = filled().await;
    assert_eq!(positions(&house, List::newest(3)).await, [(2, 1), (2, 0), (1, 1)]);
    assert_eq!(positions(&house, List::oldest(3)).await, [(0, 0), (0, 1), (0, 2)]);
}

#[tokio::test]
async fn statuses_and_tools_are_filtered_before_the_limit() {
    let house = filled().await;
    let success = List { statuses: Some(vec![MessageStatus::Success]), ..List::oldest(10) };
    assert_eq!(positions(&house, success.clone()).await, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (2, 0)]);
    let said = List { without_tools: true, ..success };
    assert_eq!(positions(&house, said.clone()).await, [(0, 0), (0, 3), (1, 0), (2, 0)]);
    assert_eq!(positions(&house, List { size: 2, ..said }).await, [(0, 0), (0, 3)]);
    let pending = List { statuses: Some(vec![MessageStatus::Pending]), ..List::newest(10) };
    assert_eq!(positions(&house, pending).await, [(2, 1)]);
    let failed = List { statuses: Some(vec![MessageStatus::Failed]), ..List::newest(10) };
    assert_eq!(positions(&house, failed).await, [(1, 1)]);
    let without_tools = List { without_tools: true, ..List::newest(10) };
    assert_eq!(positions(&house, without_tools).await, [(2, 1), (2, 0), (1, 1), (1, 0), (0, 3), (0, 0)]);
}

#[tokio::test]
async fn up_to_a_message_keeps_the_whole_of_its_turn() {
    let house = filled().await;
    let first = house.all().await[0].id;
    let asked = List { up_to: Some(first), ..List::newest(10) };
    assert_eq!(positions(&house, asked).await, [(0, 3), (0, 2), (0, 1), (0, 0)]);
}

#[tokio::test]
async fn pages_go_on_behind_their_cursor_whatever_is_saved_meanwhile() {
    for newest_first in [true, false] {
        let house = filled().await;
        let thread = house.thread;
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let asked = List { newest_first, after, size: 3, ..List::default() };
            let page = house.store.query(move |tx| list(tx, thread, &asked)).await.expect("a page");
            seen.extend(page.messages.iter().map(|row| (row.order, row.step)));
            after = page.next;
            if after.is_none() {
                break;
            }
            if seen.len() == 3 {
                house.save(user("meanwhile")).await;
                let gone = page.messages[2].id;
                house.store.mutate(move |tx| loomwork_messages::delete(tx, &[gone])).await.expect("deleted");
            }
        }
        let mut expected: Vec<_> =
            [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (2, 0), (2, 1)].into_iter().collect();
        if newest_first {
            expected.reverse();
        } else {
            expected.push((3, 0));
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_page_of_whole_turns_goes_on_to_the_start_of_its_last_one() {
    let house = filled().await;
    let asked = List { whole_turns: true, ..List::newest(5) };
    let thread = house.thread;
    let page = house.store.query(move |tx| list(tx, thread, &asked)).await.expect("a page");
    assert_eq!(page.messages.len(), 8);
    assert_eq!(page.next, None);
    assert_eq!(positions(&house, List { whole_turns: true, ..List::newest(3) }).await.len(), 4);
}

#[tokio::test]
async fn a_page_begins_no_message_beyond_its_bytes_and_the_next_one_goes_on() {
    let house = House::open().await;
    for _ in 0..4 {
        house.save(user(&"long ".repeat(1_000))).await;
    }
    let thread = house.thread;
    let (mut after, mut sizes) = (None, Vec::new());
    loop {
        let asked = List { after, bytes: Some(15_000), whole_turns: true, ..List::oldest(100) };
        let page = house.store.query(move |tx| list(tx, thread, &asked)).await.expect("a page");
        sizes.push(page.messages.len());
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(sizes, [2, 2]);
    let tiny = List { bytes: Some(1), ..List::newest(100) };
    assert_eq!(positions(&house, tiny).await.len(), 1, "there is always one");
}

#[tokio::test]
async fn a_page_of_nothing_is_refused() {
    let house = House::open().await;
    let thread = house.thread;
    let error = house.store.query(move |tx| list(tx, thread, &List::newest(0))).await;
    assert_eq!(fault::<_, ListError>(error), ListError::EmptyPage);
}

#[tokio::test]
async fn an_end_that_is_no_message_of_the_thread_is_refused() {
    let house = House::open().await;
    let (thread, message) = (house.thread, house.save(user("a")).await[0].id);
    house.store.mutate(move |tx| loomwork_messages::delete(tx, &[message])).await.expect("deleted");
    let asked = List { up_to: Some(message), ..List::default() };
    let error = house.store.query(move |tx| list(tx, thread, &asked)).await;
    assert_eq!(fault::<_, ListError>(error), ListError::NotInThread { message, thread });
}

#[tokio::test]
async fn ids_are_looked_up_in_their_order_and_missing_ones_are_none() {
    let house = House::open().await;
    let rows = house.save(Save::all([user("a"), assistant("b")])).await;
    let ids = [rows[1].id, rows[0].id];
    house.store.mutate(move |tx| loomwork_messages::delete(tx, &ids[1..])).await.expect("deleted");
    let found = house.store.query(move |tx| get_all(tx, &ids)).await.expect("looked up");
    let found: Vec<_> = found.iter().map(|row| row.as_ref().map(|row| row.id)).collect();
    assert_eq!(found, [Some(ids[0]), None]);
}

#[tokio::test]
async fn a_list_is_told_of_new_messages_and_of_none_behind_its_page() {
    let house = House::open().await;
    for number in 0..5 {
        house.save(user(&number.to_string())).await;
    }
    let thread = house.thread;
    let mut newest = house.store.watch(move |tx| {
        let page = list(tx, thread, &List::newest(2))?;
        Ok(page.messages.iter().map(|row| row.position()).collect::<Vec<_>>())
    });
    let first = newest.next().await.expect("open").expect("listed");
    assert_eq!(first, [Position::new(4, 0), Position::new(3, 0)]);
    let oldest = house.all().await[0].id;
    house.store.mutate(move |tx| loomwork_messages::delete(tx, &[oldest])).await.expect("deleted");
    house.save(user("new")).await;
    let second = newest.next().await.expect("open").expect("listed");
    assert_eq!(second, [Position::new(5, 0), Position::new(4, 0)]);
}
