use loomwork_messages::members::{self, Error, MAX_MEMBERS, MAX_UNREAD, Unread};
use loomwork_messages::threads::{self, NewThread};
use loomwork_messages::{MemberRole, MessageStatus, Position, ThreadId};
use loomwork_store::{Page, Result, Tx};

use super::house::{House, message, of_tool, with_status};

fn roles(tx: &Tx, thread: ThreadId) -> Result<Vec<(Option<String>, MemberRole)>> {
    let page = members::list(tx, thread, Page::first(MAX_MEMBERS))?;
    Ok(page.rows.into_iter().map(|member| (member.record.user, member.record.role)).collect())
}

fn named(user: &str, role: MemberRole) -> (Option<String>, MemberRole) {
    (Some(user.to_owned()), role)
}

#[tokio::test]
async fn the_owner_is_a_member_and_stays_one() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    assert_eq!(house.read(move |tx| roles(tx, id)).await, [named("alice", MemberRole::Owner)]);
    let one_owner = Error::OneOwner { thread: id, owner: Some("alice".into()) };
    let refused: Error = house.refused(move |tx| members::remove(tx, id, "alice")).await;
    assert_eq!(refused, one_owner);
    let role = MemberRole::Writer;
    let refused: Error = house.refused(move |tx| members::change_role(tx, id, "alice", role)).await;
    assert_eq!(refused, one_owner);
    let role = MemberRole::Owner;
    let refused: Error = house.refused(move |tx| members::add(tx, id, "bob", role)).await;
    assert_eq!(refused, one_owner);
    house.commit(move |tx| members::add(tx, id, "bob", MemberRole::Reader)).await;
    let refused: Error = house.refused(move |tx| members::change_role(tx, id, "bob", role)).await;
    assert_eq!(refused, one_owner);
}

#[tokio::test]
async fn members_come_go_and_change_their_roles() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    house.commit(move |tx| members::add(tx, id, "bob", MemberRole::Reader)).await;
    let refused: Error = house.refused(move |tx| members::add(tx, id, "bob", MemberRole::Writer)).await;
    assert_eq!(refused, Error::Already { thread: id, user: "bob".into() });
    let seats = |tx: &Tx| threads::list_by_activity(tx, "bob", &Default::default(), Page::first(9));
    let seats = house.read(seats).await;
    assert_eq!(seats.rows.iter().map(|seat| seat.thread.id).collect::<Vec<_>>(), [id]);
    assert_eq!(seats.rows[0].member.role, MemberRole::Reader);
    house.commit(move |tx| members::change_role(tx, id, "bob", MemberRole::Writer)).await;
    let expected = [named("alice", MemberRole::Owner), named("bob", MemberRole::Writer)];
    assert_eq!(house.read(move |tx| roles(tx, id)).await, expected);
    assert!(house.commit(move |tx| members::remove(tx, id, "bob")).await);
    assert!(!house.commit(move |tx| members::remove(tx, id, "bob")).await);
    let refused: Error =
        house.refused(move |tx| members::change_role(tx, id, "bob", MemberRole::Reader)).await;
    assert_eq!(refused, Error::NotFound { thread: id, user: Some("bob".into()) });
}

#[tokio::test]
async fn a_role_may_what_those_below_it_may() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    house.commit(move |tx| {
        members::add(tx, id, "will", MemberRole::Writer)?;
        members::add(tx, id, "rita", MemberRole::Reader)
    })
    .await;
    let all = [MemberRole::Reader, MemberRole::Writer, MemberRole::Owner];
    for (user, expected) in [
        ("alice", [true, true, true]),
        ("will", [true, true, false]),
        ("rita", [true, false, false]),
        ("eve", [false, false, false]),
    ] {
        let may = house.read(move |tx| all.map(|role| members::may(tx, id, user, role)).into_iter().collect());
        let may: Vec<bool> = may.await;
        assert_eq!(may, expected, "{user}");
    }
    assert_eq!(house.read(move |tx| members::role_of(tx, id, "rita")).await, Some(MemberRole::Reader));
    assert!(!house.read(move |tx| members::may(tx, id, None, MemberRole::Reader)).await);
    house.commit(move |tx| threads::delete(tx, id)).await;
    assert!(!house.read(move |tx| members::may(tx, id, "alice", MemberRole::Reader)).await);
}

#[tokio::test]
async fn an_anonymous_thread_is_that_of_whoever_has_no_name() {
    let house = House::open().await;
    let id = house.commit(|tx| Ok(threads::create(tx, NewThread::default())?.id)).await;
    assert!(house.read(move |tx| members::may(tx, id, None, MemberRole::Owner)).await);
    assert!(!house.read(move |tx| members::may(tx, id, "alice", MemberRole::Reader)).await);
}

#[tokio::test]
async fn ownership_is_passed_on_and_the_former_owner_goes_on_as_a_writer() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    house.commit(move |tx| members::add(tx, id, "bob", MemberRole::Reader)).await;
    house.commit(move |tx| members::pass_on(tx, id, "bob")).await;
    let expected = [named("alice", MemberRole::Writer), named("bob", MemberRole::Owner)];
    assert_eq!(house.read(move |tx| roles(tx, id)).await, expected);
    house.commit(move |tx| members::pass_on(tx, id, "carol")).await;
    let expected = [
        named("alice", MemberRole::Writer),
        named("bob", MemberRole::Writer),
        named("carol", MemberRole::Owner),
    ];
    assert_eq!(house.read(move |tx| roles(tx, id)).await, expected);
    assert_eq!(house.read(move |tx| threads::require(tx, id)).await.user.as_deref(), Some("carol"));
}

#[tokio::test]
async fn an_anonymous_owner_becomes_the_one_who_takes_the_thread() {
    let house = House::open().await;
    let id = house.commit(|tx| Ok(threads::create(tx, NewThread::default())?.id)).await;
    house.say(id, 0, 0, "hello").await;
    house.commit(move |tx| members::mark_read(tx, id, None, Position::new(0, 0))).await;
    let owner = house.commit(move |tx| members::pass_on(tx, id, "alice")).await;
    assert_eq!(owner.read, Some(Position::new(0, 0)));
    assert_eq!(house.read(move |tx| roles(tx, id)).await, [named("alice", MemberRole::Owner)]);
}

#[tokio::test]
async fn a_thread_has_a_limited_number_of_members() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    house.commit(move |tx| {
        for member in 1..MAX_MEMBERS {
            members::add(tx, id, &format!("user {member}"), MemberRole::Reader)?;
        }
        Ok(())
    })
    .await;
    let refused: Error = house.refused(move |tx| members::add(tx, id, "bob", MemberRole::Reader)).await;
    assert_eq!(refused, Error::Full { thread: id });
    let refused: Error = house.refused(move |tx| members::pass_on(tx, id, "bob")).await;
    assert_eq!(refused, Error::Full { thread: id });
    house.commit(move |tx| members::pass_on(tx, id, "user 7")).await;
}

#[tokio::test]
async fn what_was_said_behind_the_read_position_is_unread() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let unread = |tx: &Tx, id: ThreadId| members::unread(tx, id, "alice");
    assert_eq!(house.read(move |tx| unread(tx, id)).await, Unread::default());
    for order in 0..3 {
        house.turn(id, order).await;
    }
    house.commit(move |tx| {
        tx.insert(of_tool(message(id, 2, 2, "")))?;
        tx.insert(with_status(message(id, 2, 3, ""), MessageStatus::Pending))?;
        tx.insert(with_status(message(id, 2, 4, ""), MessageStatus::Failed))
    })
    .await;
    let all = Unread { count: 6, first: Some(Position::new(0, 0)) };
    assert_eq!(house.read(move |tx| unread(tx, id)).await, all);
    house.commit(move |tx| members::mark_read(tx, id, "alice", Position::new(1, 0))).await;
    let rest = Unread { count: 3, first: Some(Position::new(1, 1)) };
    assert_eq!(house.read(move |tx| unread(tx, id)).await, rest);
    house.commit(move |tx| members::mark_read(tx, id, "alice", Position::new(1, 1))).await;
    let rest = Unread { count: 2, first: Some(Position::new(2, 0)) };
    assert_eq!(house.read(move |tx| unread(tx, id)).await, rest);
}

#[tokio::test]
async fn the_read_position_goes_forward_and_not_beyond_the_last_message() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    let read = |order, step| move |tx: &mut Tx| members::mark_read(tx, id, "alice", Position::new(order, step));
    assert_eq!(house.commit(read(3, 0)).await.read, None);
    house.turn(id, 0).await;
    assert_eq!(house.commit(read(9, 9)).await.read, Some(Position::new(0, 1)));
    assert_eq!(house.commit(read(0, 0)).await.read, Some(Position::new(0, 1)));
    house.turn(id, 1).await;
    let unread = house.read(move |tx| members::unread(tx, id, "alice")).await;
    assert_eq!(unread, Unread { count: 2, first: Some(Position::new(1, 0)) });
    let refused: Error =
        house.refused(move |tx| members::mark_read(tx, id, "eve", Position::new(0, 0))).await;
    assert_eq!(refused, Error::NotFound { thread: id, user: Some("eve".into()) });
}

#[tokio::test]
async fn unread_messages_are_counted_up_to_a_limit() {
    let house = House::open().await;
    let id = house.thread("alice").await;
    house.commit(move |tx| {
        for step in 0..MAX_UNREAD as u64 + 5 {
            tx.insert(message(id, step / 10, step % 10, "x"))?;
        }
        Ok(())
    })
    .await;
    assert_eq!(house.read(move |tx| members::unread(tx, id, "alice")).await.count, MAX_UNREAD);
    house.commit(move |tx| members::mark_read(tx, id, "alice", Position::new(0, 1))).await;
    assert_eq!(house.read(move |tx| members::unread(tx, id, "alice")).await.count, MAX_UNREAD);
}
