use std::sync::atomic::{AtomicUsize, Ordering};

use loomwork_agent::context::{
    Asked, ContextError, ContextValues, DropReason, Given, Origin, fetch_context, read,
};
use loomwork_messages::{MessageStatus, Place, Position, Save, threads};
use loomwork_models::Role;
use loomwork_testkit::soon;

use super::desk::{Desk, assistant, call, recent, reply, result, says, texts, told, user, with_status};

#[tokio::test]
async fn recent_turns_are_whole_whatever_their_number_of_messages() {
    let desk = Desk::open().await;
    let turn =
        [user("q0"), says(Role::Assistant, [call("1")]), says(Role::Tool, [result("1")]), assistant("a0")];
    desk.save(Save::all(turn)).await;
    desk.turns(1..3).await;
    for (wanted, turns) in [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (100, 3)] {
        let context = desk.context(&desk.asked(recent(wanted)), Given::default()).await;
        let all = ["q0", "call 1", "result 1", "a0", "q1", "a1", "q2", "a2"];
        let from = [8, 6, 4, 0][turns];
        assert_eq!(texts(&context), all[from..], "{wanted} messages are wanted");
    }
}

#[tokio::test]
async fn what_failed_or_is_not_complete_is_never_told() {
    let desk = Desk::open().await;
    for status in [MessageStatus::Failed, MessageStatus::Aborted, MessageStatus::Pending] {
        desk.save(Save::all([user("q"), with_status(status, "no")])).await;
    }
    let context = desk.context(&desk.asked(recent(100)), Given::default()).await;
    assert_eq!(texts(&context), ["q", "q", "q"]);
}

#[tokio::test]
async fn tools_are_left_out_of_all_turns_but_the_prompts() {
    let desk = Desk::open().await;
    let work = |id: &str| [says(Role::Assistant, [call(id)]), says(Role::Tool, [result(id)])];
    let [first_call, first_result] = work("1");
    desk.save(Save::all([user("q0"), first_call, first_result, assistant("a0")])).await;
    let prompt = desk.save(user("q1")).await[0].id;
    desk.save(reply(prompt, work("2"))).await;
    let values = ContextValues { exclude_tools: true, ..recent(100) };
    let context = desk.context(&desk.answering(prompt, values.clone()), Given::default()).await;
    assert_eq!(texts(&context), ["q0", "a0", "q1", "call 2", "result 2"]);
    let included = desk.context(&desk.answering(prompt, recent(100)), Given::default()).await;
    assert_eq!(texts(&included)[..4], ["q0", "call 1", "result 1", "a0"]);
    assert_eq!(context.messages().len() + 2, included.messages().len());
    let next = desk.context(&desk.asked(values), Given::prompt("q2")).await;
    assert_eq!(texts(&next), ["q0", "a0", "q1", "q2"]);
}

#[tokio::test]
async fn the_context_ends_with_the_turn_of_the_prompt() {
    let desk = Desk::open().await;
    desk.turns(0..1).await;
    let prompt = desk.save(user("q1")).await[0].id;
    desk.turns(2..4).await;
    desk.save(reply(prompt, [says(Role::Assistant, [call("1")]), says(Role::Tool, [result("1")])])).await;
    let context = desk.context(&desk.answering(prompt, recent(100)), Given::default()).await;
    assert_eq!(
        told(&context),
        [
            ("recent", "q0".to_owned()),
            ("recent", "a0".to_owned()),
            ("prompt", "q1".to_owned()),
            ("response", "call 1".to_owned()),
            ("response", "result 1".to_owned()),
        ]
    );
    assert_eq!(context.prompt, Some(Position::new(1, 0)));
}

#[tokio::test]
async fn the_prompt_is_there_whatever_is_left_out() {
    let desk = Desk::open().await;
    desk.turns(0..2).await;
    let prompt = desk.save(user("q")).await[0].id;
    // No recent messages at all.
    let context = desk.context(&desk.answering(prompt, recent(0)), Given::default()).await;
    assert_eq!(told(&context), [("prompt", "q".to_owned())]);
    // A tool's message as the prompt, where tools are left out.
    let rows =
        desk.save(reply(prompt, [says(Role::Assistant, [call("1")]), says(Role::Tool, [result("1")])])).await;
    let values = ContextValues { exclude_tools: true, ..recent(1) };
    let context = desk.context(&desk.answering(rows[1].id, values), Given::default()).await;
    let last =
        [("recent", "q".to_owned()), ("recent", "call 1".to_owned()), ("prompt", "result 1".to_owned())];
    assert_eq!(told(&context), last);
    // More messages in its turn than are wanted.
    desk.save(reply(prompt, (0..20).map(|n| assistant(&format!("r{n}"))))).await;
    let context = desk.context(&desk.answering(prompt, recent(3)), Given::default()).await;
    assert_eq!(texts(&context)[0], "q");
    assert_eq!(context.pieces.len(), 23);
    // A prompt that is not complete.
    let failed = desk.save(with_status(MessageStatus::Failed, "never mind")).await[0].id;
    let context = desk.context(&desk.answering(failed, recent(100)), Given::default()).await;
    assert!(told(&context).contains(&("prompt", "never mind".to_owned())));
}

#[tokio::test]
async fn a_giant_turn_is_cut_in_its_middle() {
    let desk = Desk::open().await;
    desk.turns(0..1).await;
    let giant = desk.save(user("dig")).await[0].id;
    desk.save(reply(giant, (0..30).map(|n| assistant(&format!("dug {n}"))))).await;
    desk.turns(2..3).await;
    let values = ContextValues { max_turn: 5, ..recent(100) };
    let context = desk.context(&desk.asked(values.clone()), Given::default()).await;
    assert_eq!(texts(&context), ["q0", "a0", "dig", "dug 26", "dug 27", "dug 28", "dug 29", "q2", "a2"]);
    let dropped = &context.dropped[0];
    assert_eq!((dropped.id, &dropped.reason), (Some(giant), &DropReason::TurnTooLong));
    // The prompt's own turn is cut too, and keeps the prompt.
    let context = desk.context(&desk.answering(giant, values), Given::default()).await;
    assert_eq!(texts(&context), ["q0", "a0", "dig", "dug 25", "dug 26", "dug 27", "dug 28", "dug 29"]);
}

#[tokio::test]
async fn a_thread_of_ten_thousand_messages_costs_a_bounded_number_of_rows() {
    let desk = Desk::open().await;
    for batch in 0..10 {
        desk.turns(batch * 500..(batch + 1) * 500).await;
    }
    let (thread, values) = (desk.thread, recent(100));
    let asked = Asked::thread(thread).with(values);
    let before = desk.begun.rows();
    let context = desk.read(move |tx| fetch_context(tx, &asked)).await;
    let rows = desk.begun.rows() - before;
    assert_eq!(context.pieces.len(), 100);
    assert_eq!(texts(&context)[0], "q4950");
    assert!(rows < 120, "{rows} rows were read for 100 messages");
}

#[tokio::test]
async fn nothing_is_read_where_nothing_is_wanted() {
    let desk = Desk::open().await;
    desk.turns(0..5).await;
    let context = desk.context(&desk.asked(recent(0)), Given::prompt("hello")).await;
    assert_eq!(told(&context), [("prompt", "hello".to_owned())]);
    // Neither a thread nor a user: no history, and no error.
    let context = desk.context(&Asked::default(), Given::prompt("hello")).await;
    assert_eq!(told(&context), [("prompt", "hello".to_owned())]);
    let empty = desk.thread("ada", "empty").await;
    let context = desk.context(&Asked::thread(empty), Given::default()).await;
    assert!(context.pieces.is_empty() && context.dropped.is_empty());
}

#[tokio::test]
async fn a_prompt_that_the_thread_does_not_have_is_refused() {
    let desk = Desk::open().await;
    let elsewhere = desk.thread("ada", "elsewhere").await;
    let prompt = desk.save_in(elsewhere, user("q")).await[0].id;
    let refused = desk.refused(&desk.answering(prompt, recent(10))).await;
    assert!(matches!(refused, ContextError::NoPrompt { prompt: named, .. } if named == prompt));
    let homeless = Asked { prompt: Some(prompt), ..Asked::default() };
    assert!(matches!(desk.refused(&homeless).await, ContextError::PromptWithoutThread { .. }));
    desk.commit(move |tx| threads::delete(tx, elsewhere)).await;
    let gone = desk.refused(&Asked::thread(elsewhere)).await;
    assert!(gone.to_string().contains(&elsewhere.to_string()), "{gone}");
}

#[tokio::test]
async fn a_context_is_fetched_in_queries_and_mutations_and_can_be_watched() {
    let desk = Desk::open().await;
    desk.turns(0..1).await;
    let asked = desk.asked(recent(10));
    let (in_query, in_mutation) = (asked.clone(), asked.clone());
    let fetched = desk.read(move |tx| fetch_context(tx, &in_query)).await;
    let thread = desk.thread;
    let with_own = desk
        .commit(move |tx| {
            loomwork_messages::save(tx, thread, Save::from(user("q1")).at(Place::End))?;
            fetch_context(tx, &in_mutation)
        })
        .await;
    assert_eq!((fetched.pieces.len(), with_own.pieces.len()), (2, 3));
    let runs = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let mut watched = desk.store.watch(move |tx| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(fetch_context(tx, &asked)?.pieces.len())
    });
    assert_eq!(soon(watched.next()).await.expect("it is open").expect("it is read"), 3);
    desk.save(assistant("a1")).await;
    assert_eq!(soon(watched.next()).await.expect("it is open").expect("it is read"), 4);
    assert_eq!(runs.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn what_is_read_says_where_it_stands() {
    let desk = Desk::open().await;
    desk.turns(0..2).await;
    let prompt = desk.save(user("q2")).await[0].id;
    let asked = desk.answering(prompt, recent(3));
    let material = desk.read({
        let asked = asked.clone();
        move |tx| read(tx, &asked)
    });
    let material = material.await;
    assert_eq!(material.turns.iter().map(|turn| turn.order).collect::<Vec<_>>(), [1]);
    assert_eq!(material.prompt.as_ref().map(|row| row.id), Some(prompt));
    let context = desk.context(&asked, Given::default()).await;
    for piece in &context.pieces {
        assert_eq!(piece.thread, Some(desk.thread));
        assert!(piece.id.is_some() && piece.position.is_some() && piece.tokens > 0);
        assert!(matches!(piece.origin, Origin::Recent | Origin::Prompt));
    }
}
