use std::sync::Arc;
use std::time::Duration;

use loomwork_agent::context::{
    Asked, Context, ContextError, ContextValues, Given, MAX_FOUND_MESSAGES, Origin, RecencyRule, SearchValues,
};
use loomwork_messages::threads::{self, ThreadPatch};
use loomwork_messages::{MessageStatus, NewMessage, Place, Save, ThreadId};
use loomwork_models::{Message, MockEmbeddings, Part, Role};

use super::desk::{
    Desk, answer, asks, assistant, call, recent, reply, result, says, texts, told, user, with_status,
};

fn words(limit: usize) -> SearchValues {
    SearchValues { limit, text: true, before: 0, after: 0, ..SearchValues::default() }
}

fn searching(wanted: usize, search: SearchValues) -> ContextValues {
    ContextValues { search: Some(search), ..recent(wanted) }
}

/// Returns the texts of what was found.
fn found(context: &Context) -> Vec<String> {
    let pieces = context.pieces.iter().zip(texts(context));
    let found = pieces
        .filter(|(piece, _)| matches!(piece.origin, Origin::Search { .. } | Origin::OtherThread { .. }));
    found.map(|(_, text)| text).collect()
}

/// Returns the texts that were found themselves.
fn hits(context: &Context) -> Vec<String> {
    let pieces = context.pieces.iter().zip(texts(context));
    pieces.filter(|(piece, _)| piece.origin.why().is_some()).map(|(_, text)| text).collect()
}

async fn say(desk: &Desk, thread: ThreadId, question: &str) {
    desk.save_in(thread, Save::all([user(question), assistant("indeed")])).await;
}

#[tokio::test]
async fn a_hit_comes_with_its_whole_turn_and_those_around_it() {
    let desk = Desk::open().await;
    for question in ["one", "two", "three carpets", "four", "five", "six"] {
        desk.save(Save::all([
            user(question),
            says(Role::Assistant, [call(question)]),
            says(Role::Tool, [result(question)]),
            assistant(&format!("a {}", question.len())),
        ]))
        .await;
    }
    let library = desk.library().await;
    let questions = async |before, after| {
        let values = searching(1, SearchValues { before, after, ..words(5) });
        let context = library.context(&desk.asked(values), Given::prompt("carpets")).await;
        assert_eq!(hits(&context), ["three carpets"]);
        let told = found(&context);
        assert_eq!(told.len() % 4, 0, "turns are whole: {told:?}");
        told.chunks(4).map(|turn| turn[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(questions(2, 1).await, ["one", "two", "three carpets", "four"]);
    assert_eq!(questions(1, 0).await, ["two", "three carpets"]);
    assert_eq!(questions(0, 0).await, ["three carpets"]);
    // What is recent anyway is not told twice.
    assert_eq!(questions(0, 9).await, ["three carpets", "four", "five"]);
    library.close().await;
}

#[tokio::test]
async fn the_limit_counts_what_is_neither_recent_nor_the_prompt() {
    let desk = Desk::open().await;
    for n in 0..6 {
        say(&desk, desk.thread, &format!("carpets carpets {n}")).await;
    }
    let prompt = desk.save(user("carpets")).await[0].id;
    say(&desk, desk.thread, "carpets carpets later").await;
    let library = desk.library().await;
    library.ready().await;
    for vector in [false, true] {
        let search = SearchValues { vector, ..words(2) };
        let context = library.context(&desk.answering(prompt, searching(5, search)), Given::default()).await;
        let hits = hits(&context);
        assert_eq!(hits.len(), 2, "{context}");
        let earlier = |hit: &String| (0..4).any(|n| *hit == format!("carpets carpets {n}"));
        assert!(hits.iter().all(earlier), "{hits:?}");
        assert_eq!(texts(&context).last().map(String::as_str), Some("carpets"));
    }
    library.close().await;
}

#[tokio::test]
async fn the_best_hits_are_kept_and_not_the_oldest() {
    let desk = Desk::open().await;
    for n in 0..4 {
        say(&desk, desk.thread, &format!("a carpet and many other things that nobody wants {n}")).await;
    }
    say(&desk, desk.thread, "the invoice of the blue carpet").await;
    desk.turns(0..1).await;
    let library = desk.library().await;
    library.ready().await;
    let search = SearchValues { vector: true, ..words(2) };
    let given = Given::prompt("the invoice of the blue carpet");
    let context = library.context(&desk.asked(searching(1, search)), given).await;
    assert_eq!(hits(&context).len(), 2);
    assert_eq!(hits(&context)[1], "the invoice of the blue carpet");
    let best = context.pieces.iter().filter_map(|piece| piece.origin.why());
    let best = best.max_by(|one, two| one.score.total_cmp(&two.score)).expect("there are hits");
    assert_eq!((best.text, best.vector), (Some(0), Some(0)));
    assert!(best.cosine.is_some_and(|cosine| cosine > 0.9));
    library.close().await;
}

#[tokio::test]
async fn what_failed_or_is_not_complete_is_never_found() {
    let desk = Desk::open().await;
    desk.save(Save::all([
        user("carpets"),
        with_status(MessageStatus::Failed, "carpets failed"),
        with_status(MessageStatus::Aborted, "carpets aborted"),
        with_status(MessageStatus::Pending, "carpets pending"),
    ]))
    .await;
    desk.turns(1..2).await;
    let library = desk.library().await;
    let context = library.context(&desk.asked(searching(1, words(10))), Given::prompt("carpets")).await;
    assert_eq!(found(&context), ["carpets"]);
    library.close().await;
}

#[tokio::test]
async fn a_prompt_without_words_is_no_error() {
    let desk = Desk::open().await;
    say(&desk, desk.thread, "carpets").await;
    let image = || Message::new(Role::User, [Part::image_url("https://example.org/a.png")]);
    let prompt = desk.save(NewMessage::from(image())).await[0].id;
    let library = desk.library().await;
    library.ready().await;
    let values = searching(0, SearchValues { vector: true, ..words(5) });
    let stored = library.context(&desk.answering(prompt, values.clone()), Given::default()).await;
    assert_eq!(told(&stored), [("prompt", "image".to_owned())]);
    let given = Given { prompt: vec![image()], ..Given::default() };
    let context = library.context(&desk.asked(values.clone()), given).await;
    assert_eq!(told(&context), [("prompt", "image".to_owned())]);
    // What is searched for can be said.
    let asked = Asked { query: Some("carpets".into()), ..desk.answering(prompt, values) };
    assert_eq!(hits(&library.context(&asked, Given::default()).await), ["carpets"]);
    library.close().await;
}

#[tokio::test]
async fn a_run_that_is_resumed_searches_for_what_its_turn_says() {
    let desk = Desk::open().await;
    say(&desk, desk.thread, "the carpets are red").await;
    let question = desk.save(user("which carpets?")).await[0].id;
    let asking = says(Role::Assistant, [call("1"), asks("1"), call("2")]);
    let approval = says(Role::Tool, [answer("1", true)]);
    let rows = desk.save(reply(question, [asking, approval, says(Role::Tool, [result("2")])])).await;
    let library = desk.library().await;
    library.ready().await;
    for prompt in &rows[1..] {
        let values = searching(0, SearchValues { vector: true, ..words(5) });
        let context = library.context(&desk.answering(prompt.id, values), Given::default()).await;
        assert_eq!(hits(&context), ["the carpets are red"]);
        assert!(context.denials.is_empty());
    }
    library.close().await;
}

#[tokio::test]
async fn the_vector_of_a_stored_prompt_is_used_again() {
    let desk = Desk::open().await;
    say(&desk, desk.thread, "carpets").await;
    let prompt = desk.save(user("which carpets?")).await[0].id;
    let model = Arc::new(MockEmbeddings::new(384));
    let library = desk.library_with(model.clone()).await;
    library.ready().await;
    let embedded = model.requests().len();
    let values = searching(0, SearchValues { vector: true, text: false, ..words(5) });
    let context = library.context(&desk.answering(prompt, values.clone()), Given::default()).await;
    assert_eq!(hits(&context), ["carpets"]);
    assert_eq!(model.requests().len(), embedded, "nothing is embedded twice");
    library.context(&desk.asked(values), Given::prompt("new carpets?")).await;
    assert_eq!(model.requests().len(), embedded + 1);
    library.close().await;
}

#[tokio::test]
async fn a_threshold_leaves_out_what_is_far() {
    let desk = Desk::open().await;
    say(&desk, desk.thread, "carpets of wool").await;
    say(&desk, desk.thread, "zinc").await;
    let library = desk.library().await;
    library.ready().await;
    let search = SearchValues { vector: true, text: false, threshold: 0.5, ..words(5) };
    let context = library.context(&desk.asked(searching(0, search)), Given::prompt("carpets of wool")).await;
    assert_eq!(hits(&context), ["carpets of wool"]);
    library.close().await;
}

#[tokio::test]
async fn other_threads_are_told_of_one_by_one_between_labels() {
    let desk = Desk::open().await;
    let (first, second) = (desk.thread("ada", "First").await, desk.thread("ada", "Second").await);
    say(&desk, first, "carpets here").await;
    say(&desk, second, "carpets carpets carpets").await;
    say(&desk, first, "carpets again").await;
    say(&desk, desk.thread, "carpets of ours").await;
    let library = desk.library().await;
    let own = library.context(&desk.asked(searching(0, words(10))), Given::prompt("carpets")).await;
    assert_eq!(hits(&own), ["carpets of ours"]);
    let values = ContextValues { other_threads: true, ..searching(0, words(10)) };
    let context = library.context(&desk.asked(values.clone()), Given::prompt("carpets")).await;
    let threads: Vec<_> = context.pieces.iter().filter_map(|piece| piece.thread).collect();
    let (count, mut groups) = (threads.len(), threads);
    groups.dedup();
    assert_eq!((count, groups), (6 + 4 + 2, vec![first, second, desk.thread]), "{context}");
    let labels: Vec<_> = told(&context).into_iter().filter(|(origin, _)| *origin == "label").collect();
    assert!(labels[0].1.starts_with("<other-conversation title=\"First\">"));
    assert_eq!((labels.len(), labels[3].1.as_str()), (4, "</other-conversation>"));
    // A user without a thread has all their threads.
    let asked = Asked::user("ada").with(searching(0, words(10)));
    let context = library.context(&asked, Given::prompt("carpets")).await;
    assert_eq!(hits(&context).len(), 4);
    let stranger = Asked::user("bob").with(searching(0, words(10)));
    assert!(hits(&library.context(&stranger, Given::prompt("carpets")).await).is_empty());
    library.close().await;
}

#[tokio::test]
async fn threads_that_are_put_away_or_deleted_are_not_told_of() {
    let desk = Desk::open().await;
    let (away, gone) = (desk.thread("ada", "Away").await, desk.thread("ada", "Gone").await);
    for thread in [away, gone] {
        say(&desk, thread, "carpets").await;
    }
    desk.commit(move |tx| threads::update(tx, away, ThreadPatch::archive())).await;
    desk.commit(move |tx| threads::delete(tx, gone)).await;
    let library = desk.library().await;
    let values = ContextValues { other_threads: true, ..searching(0, words(10)) };
    let context = library.context(&desk.asked(values), Given::prompt("carpets")).await;
    assert!(found(&context).is_empty(), "{context}");
    library.close().await;
}

#[tokio::test]
async fn hits_that_may_not_be_told_take_no_places() {
    let desk = Desk::open().await;
    let away = desk.thread("ada", "Away").await;
    for _ in 0..8 {
        say(&desk, away, "carpets").await;
    }
    let mine = desk.thread("ada", "Mine").await;
    say(&desk, mine, "a carpets shop, among many other things that are in this message").await;
    desk.commit(move |tx| threads::update(tx, away, ThreadPatch::archive())).await;
    let library = desk.library().await;
    let values = ContextValues { other_threads: true, ..searching(0, words(1)) };
    let context = library.context(&desk.asked(values), Given::prompt("carpets")).await;
    assert_eq!(hits(&context), ["a carpets shop, among many other things that are in this message"]);
    library.close().await;
}

#[tokio::test]
async fn tools_are_left_out_of_what_is_found_too() {
    let desk = Desk::open().await;
    let rows = [
        user("carpets"),
        says(Role::Assistant, [Part::text("carpets, let me look"), call("1")]),
        says(Role::Tool, [result("1")]),
    ];
    desk.save(Save::all(rows).at(Place::End)).await;
    desk.turns(0..1).await;
    let library = desk.library().await;
    let values = searching(1, words(10));
    let with = library.context(&desk.asked(values.clone()), Given::prompt("carpets")).await;
    assert_eq!((hits(&with).len(), found(&with).len()), (2, 3));
    let without = ContextValues { exclude_tools: true, ..values };
    let context = library.context(&desk.asked(without), Given::prompt("carpets")).await;
    assert_eq!(found(&context), ["carpets"]);
    library.close().await;
}

#[tokio::test]
async fn a_long_prompt_is_searched_for_by_its_beginning() {
    let desk = Desk::open().await;
    say(&desk, desk.thread, "carpets").await;
    let library = desk.library().await;
    let long = format!("carpets {}", "ü".repeat(20_000));
    let context = library.context(&desk.asked(searching(0, words(5))), Given::prompt(long)).await;
    assert_eq!(hits(&context), ["carpets"]);
    library.close().await;
}

#[tokio::test]
async fn a_search_without_anything_to_search_with_is_refused() {
    let desk = Desk::open().await;
    let refused = desk.refused(&desk.asked(searching(1, words(5)))).await;
    assert!(matches!(refused, ContextError::NoSearch));
}

#[tokio::test]
async fn newer_messages_are_found_first_where_that_is_asked_for() {
    let desk = Desk::open().await;
    say(&desk, desk.thread, "carpets").await;
    desk.clock.advance(Duration::from_secs(24 * 3600));
    say(&desk, desk.thread, "carpets and rugs").await;
    let library = desk.library().await;
    let best = async |recency| {
        let search = SearchValues { recency, ..words(1) };
        let context = library.context(&desk.asked(searching(0, search)), Given::prompt("carpets")).await;
        hits(&context)
    };
    assert_eq!(best(None).await, ["carpets"]);
    let rule = RecencyRule { half_life: Duration::from_secs(3600), weight: 1.0 };
    assert_eq!(best(Some(rule)).await, ["carpets and rugs"]);
    library.close().await;
}

#[tokio::test]
async fn what_stands_around_hits_is_bounded() {
    let desk = Desk::open().await;
    for _ in 0..10 {
        say(&desk, desk.thread, "carpets").await;
        desk.turns(0..150).await;
    }
    let library = desk.library().await;
    let search = SearchValues { before: 100, after: 100, ..words(10) };
    let context = library.context(&desk.asked(searching(0, search)), Given::prompt("carpets")).await;
    assert_eq!(hits(&context).len(), 10);
    let found = found(&context).len();
    assert!((MAX_FOUND_MESSAGES..=MAX_FOUND_MESSAGES + 10).contains(&found), "{found} messages were found");
    library.close().await;
}
