use loomwork_agent::context::{
    AUTO_DENIED, Asked, Context, ContextHandler, DropReason, Found, FoundThread, FoundTurn, Given, Material,
    Origin, Piece, Shape, Turn, Why, assemble, build,
};
use loomwork_messages::{Place, Save};
use loomwork_models::history::{Target, prepare};
use loomwork_models::{Message, ModelName, Part, Role, ToolOutput};
use proptest::prelude::*;

use super::desk::{
    Desk, answer, asks, assistant, call, recent, reply, result, said, says, texts, told, user,
};

/// Assembles what the caller gives, and nothing stored.
fn given(messages: impl IntoIterator<Item = Message>) -> Context {
    let given = Given { messages: messages.into_iter().collect(), ..Given::default() };
    assemble(&Asked::default(), Material::default(), Found::default(), given, &Shape::default())
}

fn parts(role: Role, parts: impl IntoIterator<Item = Part>) -> Message {
    Message::new(role, parts)
}

#[tokio::test]
async fn pieces_stand_in_their_order() {
    let desk = Desk::open().await;
    let old = desk.save(Save::all([user("old"), assistant("old answer")])).await;
    let other = desk.thread("ada", "Rugs & \"carpets\"").await;
    let elsewhere = desk.save_in(other, Save::all([user("elsewhere"), assistant("there")])).await;
    desk.save(Save::all([user("recent"), assistant("answer")])).await;
    let prompt = desk.save(user("prompt")).await[0].id;
    desk.save(reply(prompt, [assistant("begun")])).await;
    let why = Why { score: 0.5, text: Some(0), vector: None, cosine: None };
    let turn = |rows: &[loomwork_store::Row<loomwork_messages::MessageRow>]| FoundTurn {
        turn: Turn { order: rows[0].order, messages: rows.to_vec(), is_cut: false },
        hits: [(rows[0].id, why)].into(),
    };
    let title = Some("Rugs & \"carpets\"".to_owned());
    let threads = vec![
        FoundThread { thread: other, is_other: true, title, turns: vec![turn(&elsewhere)] },
        FoundThread { thread: desk.thread, is_other: false, title: None, turns: vec![turn(&old)] },
    ];
    let asked = desk.answering(prompt, recent(4));
    let owned = asked.clone();
    let material = desk.read(move |tx| loomwork_agent::context::read(tx, &owned)).await;
    let input = Given { messages: vec![Message::user("input")], ..Given::default() }.instructed("Be brief.");
    let context =
        assemble(&asked, material, Found { threads, ..Found::default() }, input.clone(), &Shape::default());
    let origins: Vec<_> = context.pieces.iter().map(|piece| piece.origin.name()).collect();
    assert_eq!(
        origins,
        [
            "instructions",
            "label",
            "other thread",
            "other thread",
            "label",
            "search",
            "search",
            "recent",
            "recent",
            "input",
            "prompt",
            "response"
        ]
    );
    assert!(said(&context.pieces[1]).contains(r#"title="Rugs &amp; &quot;carpets&quot;""#));
    assert_eq!(context.pieces[2].origin, Origin::OtherThread { why: Some(why) });
    assert_eq!(context.pieces[6].origin, Origin::Search { why: None });
    // A prompt that is given stands in for the stored one.
    let reworded = Given { prompt: vec![Message::user("reworded")], ..input };
    let context = desk.context(&asked, reworded).await;
    assert_eq!(texts(&context)[1..], ["recent", "answer", "input", "reworded", "begun"]);
}

#[test]
fn a_prompt_is_nothing_a_text_or_a_list() {
    let assembled = |given| {
        let context =
            assemble(&Asked::default(), Material::default(), Found::default(), given, &Shape::default());
        texts(&context)
    };
    assert!(assembled(Given::default()).is_empty());
    assert_eq!(assembled(Given::prompt("one")), ["one"]);
    let list = vec![Message::user("one"), Message::assistant("two"), Message::user("three")];
    assert_eq!(assembled(Given { prompt: list, ..Given::default() }), ["one", "two", "three"]);
}

#[test]
fn what_says_nothing_is_left_out() {
    let context = given([
        Message::user("said"),
        Message::assistant("  \n"),
        parts(Role::Assistant, []),
        parts(Role::User, [Part::image_url("https://example.org/a.png")]),
    ]);
    assert_eq!(texts(&context), ["said", "image"]);
    assert_eq!(context.dropped.len(), 2);
    assert!(context.dropped.iter().all(|dropped| dropped.reason == DropReason::Empty));
}

#[test]
fn calls_and_results_without_each_other_are_left_out() {
    let plain = [Message::user("a"), Message::assistant("b"), Message::system("c")];
    assert_eq!(given(plain.clone()).messages(), plain);
    let pair = [parts(Role::Assistant, [call("1")]), parts(Role::Tool, [result("1")])];
    assert_eq!(given(pair.clone()).messages(), pair);
    let orphans =
        given([parts(Role::Tool, [result("1")]), parts(Role::Assistant, [Part::text("b"), call("2")])]);
    assert_eq!(texts(&orphans), ["b"]);
    let reasons: Vec<_> = orphans.dropped.iter().map(|dropped| dropped.reason.clone()).collect();
    let no_call = DropReason::NoCall { call: "1".into() };
    assert_eq!(reasons, [no_call, DropReason::NoResult { call: "2".into() }]);
    let mixed = given([
        parts(Role::Assistant, [Part::reasoning("hm"), call("1")]),
        parts(Role::Assistant, [call("2"), call("3")]),
        parts(Role::Tool, [result("3"), result("4")]),
    ]);
    assert_eq!(texts(&mixed), ["call 3", "result 3"]);
}

#[test]
fn a_call_whose_approval_is_answered_stays() {
    let answered = [parts(Role::Assistant, [call("1"), asks("1")]), parts(Role::Tool, [answer("1", true)])];
    let context = given(answered.clone());
    assert_eq!(context.messages(), answered);
    assert!(context.denials.is_empty());
    let stray =
        given([parts(Role::Assistant, [Part::text("b"), asks("1")]), parts(Role::Tool, [answer("2", true)])]);
    assert_eq!(texts(&stray), ["b"]);
}

#[test]
fn what_nobody_has_approved_is_denied_right_behind_its_request() {
    let asked = parts(Role::Assistant, [call("1"), asks("1"), call("2"), asks("2"), call("3"), asks("3")]);
    let context = given([
        asked,
        parts(Role::Tool, [answer("2", true)]),
        parts(Role::Assistant, [call("4"), asks("4")]),
        Message::user("and now?"),
    ]);
    assert_eq!(
        told(&context)[1..],
        [
            ("denial", "ask 1 false, ask 3 false".to_owned()),
            ("input", "ask 2 true".to_owned()),
            ("input", "call 4, ask 4".to_owned()),
            ("denial", "ask 4 false".to_owned()),
            ("input", "and now?".to_owned()),
        ]
    );
    let requests: Vec<_> = context.denials.iter().map(|denial| denial.requests.join(" ")).collect();
    assert_eq!(requests, ["ask 1 ask 3", "ask 4"]);
    // What the model reads of it says why.
    let prepared =
        prepare(context.messages(), &Target::new(ModelName::new("openai", "gpt"))).expect("it is valid");
    let results: Vec<_> = prepared.messages.iter().flat_map(Message::tool_results).collect();
    assert_eq!(results[0].output, ToolOutput::Denied { reason: Some(AUTO_DENIED.to_owned()) });
}

#[tokio::test]
async fn a_denial_that_is_stored_is_given_once() {
    let desk = Desk::open().await;
    let question = desk.save(user("look")).await[0].id;
    let asking = desk.save(reply(question, [says(Role::Assistant, [call("1"), asks("1")])])).await[0].clone();
    let context = desk.context(&desk.asked(recent(10)), Given::prompt("never mind")).await;
    let [denial] = &context.denials[..] else { panic!("one is denied: {context}") };
    assert_eq!((denial.asked_by, denial.thread), (Some(asking.id), Some(desk.thread)));
    let order = denial.position.expect("it is stored").order;
    desk.save(Save::from(denial.message.clone()).at(Place::Turn(order))).await;
    let again = desk.context(&desk.asked(recent(10)), Given::prompt("never mind")).await;
    assert!(again.denials.is_empty());
    assert_eq!(again.messages(), context.messages());
}

#[tokio::test]
async fn what_other_threads_wait_for_is_theirs() {
    let desk = Desk::open().await;
    let other = desk.thread("ada", "other").await;
    let rows = [
        user("look"),
        says(Role::Assistant, [Part::text("shall I?"), call("1"), asks("1")]),
        says(Role::Assistant, [call("2")]),
    ];
    let rows = desk.save_in(other, Save::all(rows)).await;
    let turn = Turn { order: 0, messages: rows, is_cut: false };
    let turns = vec![FoundTurn { turn, hits: [].into() }];
    let threads = vec![FoundThread { thread: other, is_other: true, title: None, turns }];
    let found = Found { threads, ..Found::default() };
    // The caller answers a call of the same id: it is not the other thread's.
    let given = Given { messages: vec![parts(Role::Tool, [result("2")])], ..Given::default() };
    let context = assemble(&desk.asked(recent(0)), Material::default(), found, given, &Shape::default());
    assert!(context.denials.is_empty());
    assert_eq!(texts(&context)[1..3], ["look", "shall I?"]);
    assert_eq!(context.pieces.len(), 4);
}

#[tokio::test]
async fn a_caller_can_answer_a_stored_call() {
    let desk = Desk::open().await;
    desk.save(Save::all([user("look"), says(Role::Assistant, [call("1")])])).await;
    let prompt = vec![parts(Role::Tool, [result("1")])];
    let context = desk.context(&desk.asked(recent(10)), Given { prompt, ..Given::default() }).await;
    assert_eq!(texts(&context), ["look", "call 1", "result 1"]);
    let unanswered = desk.context(&desk.asked(recent(10)), Given::prompt("and?")).await;
    assert_eq!(texts(&unanswered), ["look", "and?"]);
}

#[tokio::test]
async fn a_handler_sees_where_pieces_come_from_and_has_the_last_word() {
    let desk = Desk::open().await;
    desk.turns(0..2).await;
    let prompt = desk.save(user("q")).await[0].id;
    let work = [says(Role::Assistant, [call("1")]), says(Role::Tool, [result("1")])];
    desk.save(reply(prompt, work)).await;
    let thread = desk.thread;
    let handler = move |asked: &Asked, pieces: Vec<Piece>| {
        assert_eq!(asked.thread, Some(thread));
        let (mut responses, mut others): (Vec<_>, Vec<_>) =
            pieces.into_iter().partition(|piece| piece.origin == Origin::Response);
        assert_eq!(responses.len(), 2);
        // The result goes: so does its call.
        responses.pop();
        others.reverse();
        others.retain(|piece| said(piece) != "a0");
        others.push(Piece::added(Message::user("added")));
        others.into_iter().chain(responses).collect()
    };
    let shape = Shape { handler: Some(ContextHandler::new(handler)), ..Shape::default() };
    let given = Given::default().instructed("Be brief.");
    let context = build(&desk.store, None, &desk.answering(prompt, recent(10)), given, &shape).await;
    let context = context.expect("it is built");
    let last = ("added", "added".to_owned());
    assert_eq!(texts(&context), ["Be brief.", "q", "a1", "q1", "q0", "added"]);
    assert_eq!(told(&context).last(), Some(&last));
    assert!(context.pieces.iter().all(|piece| piece.tokens > 0));
}

#[tokio::test]
async fn a_message_between_a_call_and_its_result_is_no_obstacle() {
    let desk = Desk::open().await;
    let rows = [
        user("look"),
        says(Role::Assistant, [call("1")]),
        assistant("the tool says something itself"),
        says(Role::Tool, [result("1")]),
    ];
    desk.save(Save::all(rows)).await;
    let context = desk.context(&desk.asked(recent(10)), Given::prompt("so?")).await;
    let prepared =
        prepare(context.messages(), &Target::new(ModelName::new("openai", "gpt"))).expect("it is valid");
    let roles: Vec<_> = prepared.messages.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "assistant", "user"]);
    assert!(prepared.warnings.is_empty());
}

#[tokio::test]
async fn a_dry_run_shows_what_would_be_sent() {
    let desk = Desk::open().await;
    desk.save(Save::all([user("look"), says(Role::Assistant, [call("1")])])).await;
    let context = desk.context(&desk.asked(recent(10)), Given::prompt("so?").instructed("Be brief.")).await;
    let shown = context.to_string();
    for line in
        ["3 messages", "instructions system", "recent       user      0.0", "so?", "the call 1 has no result"]
    {
        assert!(shown.contains(line), "{line:?} is shown:\n{shown}");
    }
    let json = serde_json::to_value(&context).expect("it is written");
    assert_eq!(json["pieces"][1]["position"]["order"], 0);
    assert_eq!(json["pieces"][1]["origin"]["from"], "recent");
    assert_eq!(json["dropped"][0]["reason"]["because"], "noResult");
}

/// A message of calls, results, requests and answers of a few ids, in any order.
fn any_message() -> impl Strategy<Value = Message> {
    let id = || (0..4_u8).prop_map(|id| id.to_string());
    let said = prop::collection::vec(
        prop_oneof![
            "[a-z ]{0,4}".prop_map(Part::text),
            id().prop_map(|id| call(&id)),
            id().prop_map(|id| asks(&id)),
        ],
        0..4,
    );
    let tools = prop::collection::vec(
        prop_oneof![id().prop_map(|id| result(&id)), id().prop_map(|id| answer(&id, true))],
        0..4,
    );
    prop_oneof![
        "[a-z ]{0,4}".prop_map(Message::user),
        said.prop_map(|parts| Message::new(Role::Assistant, parts)),
        tools.prop_map(|parts| Message::new(Role::Tool, parts)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_assembled_has_no_loose_ends(messages in prop::collection::vec(any_message(), 0..12)) {
        let context = given(messages);
        let again = given(context.messages());
        prop_assert_eq!(again.messages(), context.messages());
        prop_assert!(again.dropped.is_empty() && again.denials.is_empty());
        let prepared = prepare(context.messages(), &Target::new(ModelName::new("openai", "gpt"))).expect("it is valid");
        for warning in prepared.warnings {
            // Only what was approved, or denied, and did not run is still to be settled.
            prop_assert!(warning.why.contains("approved") || warning.why.contains("denied"), "{warning:?}");
        }
    }
}
