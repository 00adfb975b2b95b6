use loomwork_messages::{
    Failure, MAX_NUMBER, MessageStatus, NewMessage, Place, Position, Save, SaveError, save,
};
use loomwork_models::{Message, Part, Role};
use loomwork_store::Problem;
use loomwork_search::{Space, vectors};

use super::house::{House, assistant, call, fault, message, result, system, user};

#[tokio::test]
async fn a_turn_is_a_user_and_all_that_is_said_in_reply() {
    let house = House::open().await;
    house.save(Save::all([user("hi"), call("1"), result("1"), assistant("done")])).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (0, 3)]);
    let tools: Vec<_> = house.all().await.iter().map(|row| row.tool).collect();
    assert_eq!(tools, [false, true, true, false]);
}

#[tokio::test]
async fn each_user_begins_a_turn() {
    let house = House::open().await;
    house.save(user("a")).await;
    house.save(user("b")).await;
    assert_eq!(house.positions().await, [(0, 0), (1, 0)]);
}

#[tokio::test]
async fn without_a_place_an_answer_joins_the_last_turn() {
    let house = House::open().await;
    house.save(user("a")).await;
    house.save(assistant("b")).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1)]);
}

#[tokio::test]
async fn system_and_assistant_may_come_first() {
    let house = House::open().await;
    house.save(Save::all([system("be kind"), assistant("yes")])).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1)]);
}

#[tokio::test]
async fn a_reply_lands_in_its_prompts_turn_behind_whatever_is_there() {
    let house = House::open().await;
    let prompt = house.save(user("a")).await[0].id;
    house.save(Save::all([user("b"), assistant("of b")])).await;
    house.save(Save::all([call("1"), result("1"), user("c")]).at(Place::Reply(prompt))).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]);
    let rows = house.all().await;
    assert_eq!(rows[1].prompt, Some(prompt));
}

#[tokio::test]
async fn a_user_who_replies_begins_a_turn() {
    let house = House::open().await;
    let prompt = house.save(user("a")).await[0].id;
    house.save(Save::from(user("b")).at(Place::Reply(prompt))).await;
    assert_eq!(house.positions().await, [(0, 0), (1, 0)]);
}

#[tokio::test]
async fn an_answer_to_a_reply_stays_in_its_turn() {
    let house = House::open().await;
    let rows = house.save(Save::all([user("a"), call("1")])).await;
    house.save(user("b")).await;
    house.save(Save::from(result("1")).at(Place::Reply(rows[1].id))).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (1, 0)]);
}

#[tokio::test]
async fn a_named_turn_takes_the_first_message_whatever_its_role() {
    let house = House::open().await;
    house.save(Save::all([user("a"), assistant("b")])).await;
    house.save(Save::from(assistant("c")).at(Place::Turn(1))).await;
    house.save(Save::from(assistant("d")).at(Place::Turn(1))).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (1, 0), (1, 1)]);
    house.save(Save::all([assistant("e"), user("f")]).at(Place::Turn(0))).await;
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]);
}

#[tokio::test]
async fn a_named_turn_may_be_far_behind_all_others() {
    let house = House::open().await;
    house.save(user("a")).await;
    house.save(Save::all([assistant("b"), user("c")]).at(Place::Turn(5))).await;
    assert_eq!(house.positions().await, [(0, 0), (5, 0), (6, 0)]);
}

#[tokio::test]
async fn next_begins_a_turn_whatever_the_role() {
    let house = House::open().await;
    house.save(Save::from(assistant("a")).at(Place::Next)).await;
    house.save(Save::from(NewMessage::by_human("grace", "b")).at(Place::Next)).await;
    assert_eq!(house.positions().await, [(0, 0), (1, 0)]);
    let rows = house.all().await;
    assert_eq!((rows[1].agent.as_deref(), rows[1].provider.as_deref()), (Some("grace"), Some("human")));
}

#[tokio::test]
async fn two_who_save_at_once_get_different_places() {
    let house = House::open().await;
    house.save(user("a")).await;
    let (one, two) = (house.clone(), house.clone());
    tokio::join!(
        one.save(Save::from(assistant("b")).at(Place::Turn(3))),
        two.save(Save::from(assistant("c")).at(Place::Turn(3))),
    );
    tokio::join!(
        one.save(Save::from(assistant("d")).at(Place::Next)),
        two.save(Save::from(assistant("e")).at(Place::Next)),
    );
    assert_eq!(house.positions().await, [(0, 0), (3, 0), (3, 1), (4, 0), (5, 0)]);
}

#[tokio::test]
async fn what_fills_a_pending_message_keeps_its_id_and_turn() {
    let house = House::open().await;
    let prompt = house.save(user("a")).await[0].id;
    let pending = house.save(Save::from(NewMessage::pending()).at(Place::Reply(prompt))).await[0].clone();
    house.save(user("a later turn")).await;
    let step = Save::all([call("1"), result("1"), NewMessage::pending()]).at(Place::Fill(pending.id));
    let rows = house.save(step).await;
    assert_eq!(rows[0].id, pending.id);
    assert_eq!(house.positions().await, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]);
    let first = house.message(pending.id).await;
    assert_eq!((first.status, first.prompt, first.tool), (MessageStatus::Success, Some(prompt), true));
}

#[tokio::test]
async fn what_fills_a_failed_message_is_failed_too() {
    let house = House::open().await;
    let failed = NewMessage {
        status: MessageStatus::Failed,
        error: Some(Failure::new("restarted", "Restarting")),
        ..NewMessage::pending()
    };
    let failed = house.save(Save::all([user("a"), failed])).await[1].id;
    let rows = house.save(Save::all([call("1"), result("1")]).at(Place::Fill(failed))).await;
    for row in rows {
        assert_eq!(row.status, MessageStatus::Failed);
        let message = &row.error.as_ref().expect("it says why").message;
        assert!(message.contains(&failed.to_string()) && message.contains("Restarting"), "{message}");
    }
}

#[tokio::test]
async fn what_answers_a_failed_message_is_failed_for_its_reason() {
    let house = House::open().await;
    let error = Some(Failure::new("refused", "no"));
    let failed = NewMessage { status: MessageStatus::Failed, error: error.clone(), ..user("a") };
    let silent = NewMessage { status: MessageStatus::Failed, ..user("b") };
    let failed = house.save(failed).await[0].id;
    let silent = house.save(silent).await[0].id;
    let answer = house.save(Save::from(assistant("c")).at(Place::Reply(failed))).await;
    assert_eq!((answer[0].status, &answer[0].error), (MessageStatus::Failed, &error));
    let answer = house.save(Save::from(assistant("d")).at(Place::Reply(silent))).await;
    assert!(answer[0].error.as_ref().expect("a reason").message.contains(&silent.to_string()));
}

#[tokio::test]
async fn a_restart_gives_up_what_is_pending_in_the_turn() {
    let house = House::open().await;
    let first = house.save(user("a")).await[0].id;
    let old = house.save(Save::from(NewMessage::pending()).at(Place::Reply(first))).await[0].id;
    let second = house.save(user("b")).await[0].id;
    let other = house.save(Save::from(NewMessage::pending()).at(Place::Reply(second))).await[0].id;
    let again = Save { restart: true, ..Save::from(NewMessage::pending()).at(Place::Reply(first)) };
    let new = house.save(again).await[0].id;
    let old = house.message(old).await;
    assert_eq!(old.error, Some(Failure::new("restarted", "Restarting")));
    assert_eq!(old.status, MessageStatus::Failed);
    assert_eq!(house.message(other).await.status, MessageStatus::Pending);
    assert_eq!(house.message(new).await.status, MessageStatus::Pending);
    house.save(Save { restart: true, ..Save::from(user("c")) }).await;
    assert_eq!(house.message(other).await.status, MessageStatus::Failed);
}

#[tokio::test]
async fn a_taken_position_is_told_with_who_has_it() {
    let house = House::open().await;
    let first = house.save(user("a")).await[0].id;
    let position = Position::new(0, 0);
    let error: SaveError = fault(house.try_save(Save::from(user("b")).at(Place::Exactly(position))).await);
    assert_eq!(error, SaveError::Taken { thread: house.thread, position, by: first });
    house.save(Save::from(user("b")).at(Place::Exactly(Position::new(3, 7)))).await;
    assert_eq!(house.positions().await, [(0, 0), (3, 7)]);
    let two = Save::all([user("c"), user("d")]).at(Place::Exactly(Position::new(9, 0)));
    assert_eq!(fault::<_, SaveError>(house.try_save(two).await), SaveError::OneAtATime { messages: 2 });
}

#[tokio::test]
async fn numbers_end_where_clients_would_lose_count() {
    let house = House::open().await;
    let beyond = Save::from(assistant("a")).at(Place::Turn(MAX_NUMBER + 1));
    let error: SaveError = fault(house.try_save(beyond).await);
    assert_eq!(error, SaveError::NumberTooLarge { field: "order", number: MAX_NUMBER + 1 });
    house.save(Save::from(user("a")).at(Place::Exactly(Position::new(MAX_NUMBER, MAX_NUMBER)))).await;
    let error: SaveError = fault(house.try_save(user("b")).await);
    assert_eq!(error, SaveError::NumberTooLarge { field: "order", number: MAX_NUMBER + 1 });
    let error: SaveError = fault(house.try_save(assistant("c")).await);
    assert_eq!(error, SaveError::NumberTooLarge { field: "stepOrder", number: MAX_NUMBER + 1 });
}

#[tokio::test]
async fn prompts_must_be_there_and_in_the_thread() {
    let house = House::open().await;
    let gone = house.save(user("a")).await[0].id;
    let thread = house.thread;
    house.store.mutate(move |tx| loomwork_messages::delete(tx, &[gone])).await.expect("deleted");
    for place in [Place::Reply(gone), Place::Fill(gone)] {
        let error: SaveError = fault(house.try_save(Save::from(assistant("b")).at(place)).await);
        assert_eq!(error, SaveError::NoMessage { message: gone });
    }
    let elsewhere = house
        .store
        .mutate(move |tx| {
            let new = loomwork_messages::threads::NewThread::for_user("bob");
            let other = loomwork_messages::threads::create(tx, new)?.id;
            Ok((other, save(tx, other, user("x"))?[0].id))
        })
        .await
        .expect("another thread");
    let error: SaveError = fault(house.try_save(Save::from(assistant("b")).at(Place::Reply(elsewhere.1))).await);
    assert_eq!(error, SaveError::Elsewhere { message: elsewhere.1, thread, of: elsewhere.0 });
}

#[tokio::test]
async fn texts_are_derived_by_role() {
    let house = House::open().await;
    let parts = [Part::text("a"), Part::reasoning("hidden"), Part::text(""), Part::text("b")];
    let rows = house
        .save(Save::all([
            NewMessage::new(Message::new(Role::User, parts.clone())),
            NewMessage::new(Message::new(Role::User, [Part::image_url("https://x/y.png")])),
            NewMessage::new(Message::new(Role::Assistant, parts)),
            call("1"),
            result("1"),
            system("rules"),
        ]))
        .await;
    let texts: Vec<_> = rows.iter().map(|row| row.text.as_deref()).collect();
    assert_eq!(texts, [Some("a b"), Some(""), Some("a b"), None, None, Some("rules")]);
}

#[tokio::test]
async fn a_vector_that_comes_with_a_message_is_kept_unless_it_failed() {
    let house = House::open().await;
    let space = Space::new("m", 2).expect("a space");
    let vector = Some((space.clone(), vec![1.0, 0.0]));
    let kept = NewMessage { vector: vector.clone(), ..user("a") };
    let failed = NewMessage { vector, status: MessageStatus::Failed, ..user("b") };
    let rows = house.save(Save::all([kept, failed])).await;
    let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
    let found = house
        .store
        .query(move |tx| ids.iter().map(|id| Ok(vectors::of(tx, &space, *id)?.is_some())).collect::<Result<Vec<_>, _>>())
        .await
        .expect("the vectors are read");
    assert_eq!(found, [true, false]);
}

#[tokio::test]
async fn large_parts_are_refused_by_their_place() {
    let house = House::open().await;
    let large = Message::new(Role::User, [Part::text("see"), Part::file(vec![0; 100_000], "application/pdf")]);
    let error: SaveError = fault(house.try_save(Save::all([user("a"), large.into()])).await);
    let SaveError::PartTooLarge { message: 1, part: 1, kind, bytes: 100_000 } = &error else { panic!("{error}") };
    assert_eq!(kind, "file");
    assert!(error.to_string().contains("offload"));
    assert!(house.all().await.is_empty());
}

#[tokio::test]
async fn a_save_that_fails_saves_nothing() {
    let house = House::open().await;
    let thread = house.thread;
    let outcome = house.store.mutate(move |tx| {
        save(tx, thread, "kept?")?;
        save(tx, thread, Save::from(assistant("x")).at(Place::Turn(u64::MAX)))
    });
    assert!(outcome.await.is_err());
    assert!(house.all().await.is_empty());
}

#[tokio::test]
async fn a_restart_finds_what_is_pending_in_its_turn_behind_any_number_of_others() {
    let house = House::open().await;
    let first = house.save(Save::all([user("a"), NewMessage::pending()])).await;
    for _ in 0..loomwork_messages::MAX_RESTARTED {
        house.save(Save::all([user("b"), NewMessage::pending()])).await;
    }
    let again = Save::from(NewMessage::pending()).at(Place::Reply(first[0].id));
    house.save(Save { restart: true, ..again }).await;
    assert_eq!(house.message(first[1].id).await.status, MessageStatus::Failed);
}

#[tokio::test]
async fn the_store_itself_keeps_positions_unique() {
    let house = House::open().await;
    let thread = house.thread;
    house.save(user("a")).await;
    let twin = message(thread, 0, 0, "b");
    let refused = house.store.mutate(move |tx| tx.insert(twin)).await;
    let error: Problem = fault(refused);
    assert!(matches!(error, Problem::Duplicate { index: "by_position", .. }), "{error}");
}
