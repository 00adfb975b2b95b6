use loomwork_agent::context::{
    Asked, Context, ContextValues, DropReason, Found, FoundThread, FoundTurn, Given, Layer, Material, Origin,
    Shape, Turn, Why, assemble, read,
};
use loomwork_messages::edits::{NewEdit, append};
use loomwork_messages::{MessageRow, Save};
use loomwork_models::{Message, Role};
use loomwork_store::Row;
use proptest::prelude::*;

use super::desk::{Desk, assistant, call, recent, reply, result, says, texts, user};

/// What a case of the property is made of: how long the messages of each turn are.
#[derive(Clone, Debug)]
struct Case {
    others: Vec<usize>,
    found: Vec<usize>,
    turns: Vec<usize>,
    edits: Vec<usize>,
    prompt: usize,
    budget: u64,
}

fn case() -> impl Strategy<Value = Case> {
    let lengths = || prop::collection::vec(1..40_usize, 0..4);
    (lengths(), lengths(), lengths(), lengths(), 1..40_usize, 0..800_u64).prop_map(
        |(others, found, turns, edits, prompt, budget)| Case { others, found, turns, edits, prompt, budget },
    )
}

fn words(count: usize) -> String {
    "word ".repeat(count)
}

fn found(rows: &[Row<MessageRow>]) -> Vec<FoundTurn> {
    let turn = |(rank, rows): (usize, &[Row<MessageRow>])| {
        let why = Why { score: 1.0 / (rank as f64 + 1.0), text: Some(rank), vector: None, cosine: None };
        let turn = Turn { order: rows[0].order, messages: rows.to_vec(), is_cut: false };
        FoundTurn { hits: [(rows[0].id, why)].into(), turn }
    };
    rows.chunks(4).enumerate().map(turn).collect()
}

/// A turn with a pair of tool messages, each turn with ids of its own.
fn turn(number: usize, length: usize) -> [loomwork_messages::NewMessage; 4] {
    let id = number.to_string();
    [
        user(&format!("q{number} {}", words(length))),
        says(Role::Assistant, [call(&id)]),
        says(Role::Tool, [result(&id)]),
        assistant(&format!("a{number} {}", words(length))),
    ]
}

async fn material(case: &Case) -> (Asked, Material, Found) {
    let desk = Desk::open().await;
    let all = |lengths: &[usize]| {
        let turns = lengths.iter().enumerate().flat_map(|(number, length)| turn(number, *length));
        Save::all(turns.collect::<Vec<_>>())
    };
    let old = desk.save(all(&case.found)).await;
    let other = desk.thread("ada", "other").await;
    let others = desk.save_in(other, all(&case.others)).await;
    desk.save(all(&case.turns)).await;
    let prompt = desk.save(user(&words(case.prompt))).await[0].id;
    desk.save(reply(prompt, turn(99, case.prompt)[1..].to_vec())).await;
    let thread = desk.thread;
    for length in case.edits.clone() {
        desk.commit(move |tx| append(tx, NewEdit::new(thread, "t", "replace", words(length)))).await;
    }
    let wanted = case.turns.len() * 4 + 4;
    let values = ContextValues { max_tokens: Some(case.budget), ..recent(wanted) };
    let asked = desk.answering(prompt, values);
    let owned = asked.clone();
    let mut material = desk.read(move |tx| read(tx, &owned)).await;
    material.turns.retain(|turn| turn.order >= case.found.len() as u64);
    let threads = vec![
        FoundThread { thread: other, is_other: true, title: None, turns: found(&others) },
        FoundThread { thread, is_other: false, title: None, turns: found(&old) },
    ];
    let threads = threads.into_iter().filter(|thread| !thread.turns.is_empty()).collect();
    (asked, material, Found { threads, ..Found::default() })
}

fn given() -> Given {
    Given { messages: vec![Message::user("input")], ..Given::default() }.instructed("Be brief.")
}

fn of(context: &Context, name: &str) -> usize {
    context.pieces.iter().filter(|piece| piece.origin.name() == name).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_budget_is_kept_as_long_as_something_may_be_dropped(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it starts");
        let (asked, material, found) = runtime.block_on(material(&case));
        let context = assemble(&asked, material, found, given(), &Shape::default());
        // Instructions, the caller's message, the prompt and its turn are always there.
        prop_assert_eq!((of(&context, "instructions"), of(&context, "input")), (1, 1));
        prop_assert_eq!((of(&context, "prompt"), of(&context, "response")), (1, 3));
        if context.exceeds_budget() {
            prop_assert_eq!(context.pieces.len(), 6, "all else is dropped:\n{}", context);
        }
        // Turns are dropped whole: nothing has lost its other half.
        let by_budget = |reason: &DropReason| matches!(reason, DropReason::Budget { .. });
        prop_assert!(context.dropped.iter().all(|dropped| by_budget(&dropped.reason)));
        for name in ["other thread", "search", "recent"] {
            prop_assert_eq!(of(&context, name) % 4, 0);
        }
        prop_assert_eq!(of(&context, "label"), if of(&context, "other thread") > 0 { 2 } else { 0 });
        // A layer is begun only when those before it are gone.
        let dropped = |name: &str| context.dropped.iter().any(|dropped| dropped.origin.name() == name);
        prop_assert!(!dropped("search") || of(&context, "other thread") == 0);
        prop_assert!(!dropped("recent") || of(&context, "search") == 0);
        prop_assert!(!dropped("edits") || of(&context, "recent") == 0);
    }
}

/// Returns what is left of a case with `budget` tokens fewer than it has.
async fn left(case: &Case, less: u64, layers: Vec<Layer>) -> Context {
    let (mut asked, material, found) = material(case).await;
    asked.values.max_tokens = None;
    let all = assemble(&asked, material.clone(), found.clone(), given(), &Shape::default());
    asked.values.max_tokens = Some(all.tokens() - less);
    asked.values.drop_first = layers;
    assemble(&asked, material, found, given(), &Shape::default())
}

fn usual() -> Vec<Layer> {
    ContextValues::default().drop_first
}

fn three() -> Case {
    let lengths = vec![10, 10, 10];
    Case {
        others: lengths.clone(),
        found: lengths.clone(),
        turns: lengths.clone(),
        edits: lengths,
        prompt: 1,
        budget: 0,
    }
}

#[tokio::test]
async fn the_worst_hit_and_the_oldest_turn_go_first() {
    let case = three();
    let questions = |context: &Context, name: &str| {
        let pieces = context.pieces.iter().filter(|piece| piece.origin.name() == name);
        let texts = pieces.map(|piece| piece.message.text()).filter(|text| text.starts_with('q'));
        texts.map(|text| text.split(' ').next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let others = left(&case, 1, usual()).await;
    assert_eq!(questions(&others, "other thread"), ["q0", "q1"]);
    let search = left(&case, 1, vec![Layer::Search]).await;
    assert_eq!(questions(&search, "search"), ["q0", "q1"]);
    assert_eq!(of(&search, "other thread"), 12);
    let turns = left(&case, 1, vec![Layer::Turns]).await;
    assert_eq!(questions(&turns, "recent"), ["q1", "q2"]);
    assert!(turns.dropped.iter().all(|dropped| dropped.position.is_some_and(|position| position.order == 3)));
}

#[tokio::test]
async fn what_stands_beside_a_hit_goes_before_it() {
    let (mut asked, material, mut found) = material(&three()).await;
    // The first turn is the best hit no more: it stands beside others.
    found.threads[1].turns[0].hits.clear();
    asked.values.max_tokens = None;
    let all = assemble(&asked, material.clone(), found.clone(), given(), &Shape::default());
    asked.values.max_tokens = Some(all.tokens() - 1);
    asked.values.drop_first = vec![Layer::Search];
    let context = assemble(&asked, material, found, given(), &Shape::default());
    let gone: Vec<_> =
        context.dropped.iter().filter_map(|dropped| dropped.position).map(|at| at.order).collect();
    assert_eq!(gone, [0, 0, 0, 0]);
}

#[tokio::test]
async fn edits_go_one_by_one_the_oldest_first() {
    let context = left(&three(), 1, vec![Layer::Edits]).await;
    let Origin::Edits { edits } = &context.pieces[1].origin else { panic!("edits are told of: {context}") };
    assert_eq!(edits.len(), 2);
    let text = context.pieces[1].message.text();
    assert!(!text.contains("version=\"1\"") && text.contains("version=\"2\""));
    assert!(!context.exceeds_budget());
    let none = left(&three(), 200, vec![Layer::Edits]).await;
    assert_eq!(of(&none, "edits"), 0);
    assert_eq!(none.dropped.len(), 3);
}

#[tokio::test]
async fn what_is_not_named_is_never_dropped() {
    let context = left(&three(), 10, Vec::new()).await;
    assert!(context.exceeds_budget() && context.dropped.is_empty());
}

#[tokio::test]
async fn the_turn_that_the_caller_answers_stays() {
    let desk = Desk::open().await;
    desk.save(Save::all([user("old"), assistant("long ago")])).await;
    desk.save(Save::all([user("look"), says(Role::Assistant, [call("1")])])).await;
    let prompt = vec![Message::new(Role::Tool, [result("1")])];
    let values = ContextValues { max_tokens: Some(1), ..recent(10) };
    let context = desk.context(&desk.asked(values), Given { prompt, ..Given::default() }).await;
    assert_eq!(texts(&context), ["look", "call 1", "result 1"]);
    assert!(context.exceeds_budget());
}
