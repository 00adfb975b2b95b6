//! Searches find what they should, with what is around it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use loomwork_core::Kind;
use loomwork_models::MockModel;
use loomwork_rag::{
    Context, Error, Filter, ModelReranker, NewChunk, NewEntry, Note, Order, Place, Query, Reranked, Reranker,
    Reranking, Task, fuse_ranks,
};

use super::yard::{HALL, Yard, chunks, fault, model, texts};

/// An entry of ten chunks, of which some are the hits of the query `north`.
async fn row_of_ten(yard: &Yard, hits: &[u32]) {
    let text = |at: u32| if hits.contains(&at) { "north".to_owned() } else { format!("filler {at}") };
    let vector = |at: u32| if hits.contains(&at) { [0.0, 1.0, 0.0, 0.0] } else { [0.0, 0.0, 1.0, 0.0] };
    let chunk = |at| NewChunk { embedding: Some(vector(at).to_vec()), ..NewChunk::from(text(at)) };
    yard.key("row", (0..10).map(chunk).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn the_nearest_come_first_and_scores_are_cosines_times_importance() {
    let yard = Yard::open().await;
    for (text, importance) in [("north", 0.5), ("northeast", 1.0), ("east", 1.0)] {
        yard.add(NewEntry::key(text).weighing(importance), text).await;
    }
    let found = yard.find("north").await;
    let scores: Vec<_> = found.results.iter().map(|range| (range.score * 100.0).round()).collect();
    assert_eq!((texts(&found), scores), (vec!["northeast".into(), "north".into(), "east".into()], vec![80.0, 50.0, 0.0]));
    assert_eq!(found.usage.embedding, 1);
    let above = Query { threshold: Some(0.8), ..Query::from("north") };
    assert_eq!(yard.texts(above).await, ["northeast"]);
    assert_eq!(yard.texts(vec![0.0, 2.0, 0.0, 0.0]).await.len(), 3);
}

#[tokio::test]
async fn what_is_not_there_costs_nothing() {
    let yard = Yard::open_with(model(), |builder| builder.filters(["team"])).await;
    let empty = yard.rag.search("nowhere", "north").await.unwrap();
    assert!(empty.results.is_empty() && empty.entries.is_empty() && empty.text.is_empty());
    yard.key("a", "north").await;
    let before = yard.asked();
    assert!(yard.find(Query { limit: 0, ..Query::from("north") }).await.results.is_empty());
    // A filter that the namespace does not know finds nothing, and so leaks nothing.
    let unknown = Query { filter: Filter::eq("owner", "me"), ..Query::words("north") };
    assert!(yard.find(unknown).await.results.is_empty());
    assert_eq!(yard.asked(), before);
}

#[tokio::test]
async fn words_find_by_words_and_namespaces_are_apart() {
    let yard = Yard::open().await;
    yard.key("a", "the loom weaves patterns").await;
    yard.rag.add("elsewhere", NewEntry::key("b"), "the loom stands still").await.unwrap();
    let before = yard.asked();
    assert_eq!(yard.texts(Query::words("loom")).await, ["the loom weaves patterns"]);
    assert_eq!(yard.texts(Query::words("patt")).await.len(), 1);
    assert_eq!(yard.asked(), before);
    let (kind, why) = fault(yard.rag.search(HALL, Query::words(" ")).await);
    assert_eq!((kind, why.contains("nothing")), (Kind::Invalid, true), "{why}");
    let words = Query { ask: vec![1.0, 0.0, 0.0, 0.0].into(), ..Query::words("") };
    fault(yard.rag.search(HALL, words).await);
    fault(yard.rag.search(HALL, vec![1.0, 0.0]).await);
    fault(yard.rag.search(HALL, "").await);
    fault(yard.rag.search(HALL, Query { limit: 251, ..Query::from("x") }).await);
}

#[tokio::test]
async fn keywords_find_in_place_of_the_text() {
    let yard = Yard::open().await;
    let chunk = NewChunk { keywords: Some("shuttle bobbin".into()), ..NewChunk::from("it flies to and fro") };
    yard.key("a", vec![chunk]).await;
    assert_eq!(yard.texts(Query::words("bobbin")).await, ["it flies to and fro"]);
    assert!(yard.texts(Query::words("flies")).await.is_empty());
}

#[tokio::test]
async fn a_hybrid_search_reports_each_score_and_its_places() {
    let yard = Yard::open().await;
    yard.key("both", "north").await;
    yard.add(NewEntry::key("near"), chunks(["northeast"])).await;
    let found = yard.find(Query::hybrid("north")).await;
    let best = &found.results[0];
    assert_eq!(best.content[0].text, "north");
    assert!(best.scores.vector.unwrap() > 0.99 && best.scores.text.unwrap() > 0.0);
    assert!((best.scores.fused.unwrap() - 0.2).abs() < 1e-9);
    assert_eq!(found.results.iter().map(|range| range.score).collect::<Vec<_>>(), [1.0, 0.5]);
    // The threshold is one of meaning, and leaves words alone.
    let far = Query { threshold: Some(0.999), text_threshold: Some(1e9), ..Query::hybrid("north") };
    let found = yard.find(far).await;
    assert_eq!((found.results.len(), found.results[0].scores.text), (1, None));
    let by_vector = Query { ask: vec![0.0, 1.0, 0.0, 0.0].into(), ..Query::hybrid("") };
    let found = yard.find(by_vector).await;
    assert_eq!((found.notes, found.results.len()), (vec![Note::NoWords], 2));
}

#[tokio::test]
async fn words_count_by_importance_too() {
    let yard = Yard::open().await;
    yard.add(NewEntry::key("light").weighing(0.2), "loom").await;
    yard.add(NewEntry::key("heavy"), "a loom among many other words").await;
    assert_eq!(yard.texts(Query::words("loom")).await[0], "a loom among many other words");
}

#[tokio::test]
async fn what_is_far_back_in_both_rankings_can_still_win() {
    let yard = Yard::open().await;
    let vector = |cosine: f32| vec![0.0, cosine, (1.0 - cosine * cosine).sqrt(), 0.0];
    let given = |text: &str, cosine: f32| vec![NewChunk { embedding: Some(vector(cosine)), ..NewChunk::from(text) }];
    for _ in 0..12 {
        yard.add(NewEntry::default(), given("nothing of that", 0.99)).await;
        yard.add(NewEntry::default(), given("north north north", 0.1)).await;
    }
    yard.add(NewEntry::default(), given("it lies in the north, behind many other words", 0.9)).await;
    let query = Query { limit: 1, rank_constant: 60.0, threshold: Some(0.5), ..Query::hybrid("north") };
    assert_eq!(yard.texts(query).await, ["it lies in the north, behind many other words"]);
}

#[tokio::test]
async fn ranges_are_those_of_the_specification() {
    let check = async |hits: &[u32], context: Context, right: &[(u32, u32, usize)]| {
        let yard = Yard::open().await;
        row_of_ten(&yard, hits).await;
        let query = Query { context, threshold: Some(0.9), ..Query::from("north") };
        let mut ranges: Vec<_> = yard
            .find(query)
            .await
            .results
            .iter()
            .map(|range| (range.order, range.start_order, range.content.len()))
            .collect();
        ranges.sort_unstable();
        assert_eq!(ranges, right, "{hits:?} {context:?}");
    };
    let around = |before, after| Context::Chunks { before, after };
    check(&[1, 4, 7], around(2, 1), &[(1, 0, 2), (4, 2, 3), (7, 5, 4)]).await;
    check(&[2, 6], around(3, 3), &[(2, 0, 3), (6, 3, 7)]).await;
    check(&[5], around(0, 0), &[(5, 5, 1)]).await;
    check(&[9], around(5, 5), &[(9, 4, 6)]).await;
    check(&[1, 2], Context::Whole { from: 0.5 }, &[(1, 1, 1), (2, 2, 1)]).await;
}

#[tokio::test]
async fn a_document_of_which_enough_was_hit_is_returned_as_a_whole() {
    let yard = Yard::open().await;
    row_of_ten(&yard, &[1, 2, 3, 4, 5]).await;
    let query = Query { context: Context::Whole { from: 0.5 }, threshold: Some(0.9), ..Query::from("north") };
    let found = yard.find(query).await;
    assert_eq!((found.results.len(), found.results[0].start_order, found.results[0].content.len()), (1, 0, 10));
}

#[tokio::test]
async fn a_hit_comes_with_its_section() {
    let yard = Yard::open().await;
    let chunk = |text: &str, section: &str, near: bool| NewChunk {
        embedding: Some(if near { vec![0.0, 1.0, 0.0, 0.0] } else { vec![1.0, 0.0, 0.0, 0.0] }),
        place: Place { section: vec![section.to_owned()], ..Place::default() },
        ..NewChunk::from(text)
    };
    let all = vec![chunk("a", "x", false), chunk("b", "y", false), chunk("c", "y", true), chunk("d", "y", false), chunk("e", "z", false)];
    yard.key("a", all).await;
    let query = Query { context: Context::Section { most: 10 }, threshold: Some(0.9), ..Query::from("north") };
    assert_eq!(yard.texts(query).await, ["b", "c", "d"]);
}

#[tokio::test]
async fn text_shows_gaps_titles_and_entries() {
    let yard = Yard::open().await;
    row_of_ten(&yard, &[1, 2, 7]).await;
    let titled = NewChunk { embedding: Some(vec![0.0, 0.9, 0.4, 0.0]), ..NewChunk::from("other") };
    yard.add(NewEntry::key("b").titled("B"), vec![titled]).await;
    let query = Query { threshold: Some(0.5), ..Query::from("north") };
    let found = yard.find(query).await;
    assert_eq!(found.text, "north\nnorth\n\n...\n\nnorth\n\n---\n\n## B:\n\nother");
    assert_eq!(found.entries.len(), 2);
    let again = Query { order: Order::Edges, threshold: Some(0.5), ..Query::from("north") };
    assert_eq!(yard.find(again).await.entries.len(), 2);
}

#[tokio::test]
async fn a_budget_takes_whole_chunks_the_best_first_and_says_what_it_cut() {
    let yard = Yard::open().await;
    row_of_ten(&yard, &[1, 4, 7]).await;
    let query =
        Query { threshold: Some(0.5), context: Context::Chunks { before: 1, after: 1 }, ..Query::from("north") };
    let found = yard.find(query).await;
    let counter = loomwork_models::Estimator;
    let all = found.within(1_000, &counter);
    assert_eq!((all.found.text.as_str(), all.cut.len()), (found.text.as_str(), 0));
    let some = found.within(all.tokens - 1, &counter);
    assert!(some.tokens < all.tokens && !some.cut.is_empty() && some.found.text.contains("north"));
    let none = found.within(0, &counter);
    assert_eq!((none.found.results.len(), none.cut.len()), (0, 3));
}

#[tokio::test]
async fn citations_say_where_each_result_is_from() {
    let yard = Yard::open().await;
    let text = "The loom weaves patterns.\n\nThe moth flies.";
    let cut = loomwork_rag::Paragraphs { size: loomwork_rag::Size { least: 10, most: 40, ..Default::default() } };
    let content = loomwork_rag::Content::Cut(text.to_owned(), Box::new(cut));
    yard.add(NewEntry::key("https://example.com/looms").titled("Looms"), content).await;
    let found = yard.find(Query { limit: 1, ..Query::words("moth") }).await;
    let citation = &found.citations()[0];
    let (start, end) = (citation.place.start.unwrap() as usize, citation.place.end.unwrap() as usize);
    assert_eq!(&text[start..end], citation.text);
    assert_eq!(found.cited_text(), format!("[1] Looms: {}", citation.text));
    assert_eq!(found.quoted("moth  flies").unwrap().number, 1);
    assert!(found.quoted("moth sleeps").is_none() && found.quoted("").is_none());
    let source = &found.sources()[0];
    assert_eq!(source.title.as_deref(), Some("Looms"));
    assert!(matches!(&source.kind, loomwork_models::SourceKind::Url { url } if url.ends_with("looms")));
}

#[derive(Debug)]
struct Backwards;

#[async_trait]
impl Reranker for Backwards {
    async fn rerank(&self, _query: &str, texts: &[String]) -> Result<Reranked, Error> {
        Ok(Reranked { scores: (0..texts.len()).map(|at| at as f32).collect(), used: None })
    }
}

#[derive(Debug)]
struct Asleep;

#[async_trait]
impl Reranker for Asleep {
    async fn rerank(&self, _query: &str, _texts: &[String]) -> Result<Reranked, Error> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_reranker_orders_hits_and_its_failure_keeps_them() {
    let yard = Yard::open().await;
    yard.key("a", chunks(["north", "northeast", "east"])).await;
    let by = |reranking: Reranking| Query { rerank: Some(reranking), limit: 2, ..Query::from("north") };
    let found = yard.find(by(Reranking::by(Backwards))).await;
    assert_eq!((texts(&found), found.results[0].scores.reranked), (vec!["east".into(), "northeast".into()], Some(2.0)));
    assert_eq!(found.results.iter().map(|range| range.score).collect::<Vec<_>>(), [1.0, 0.5]);
    let slow = Reranking { timeout: Duration::from_secs(1), ..Reranking::by(Asleep) };
    let found = yard.meanwhile(yard.find(by(slow))).await;
    assert_eq!(texts(&found), ["north", "northeast"]);
    assert!(matches!(&found.notes[..], [Note::NotReranked(why)] if why.contains("longer")), "{:?}", found.notes);
    let asked = Reranking::by(ModelReranker::new(MockModel::new(["2, 0"])));
    assert_eq!(yard.texts(by(asked)).await, ["east", "north"]);
    let silent = Reranking::by(ModelReranker::new(MockModel::new(["I cannot say."])));
    assert_eq!(yard.texts(by(silent)).await, ["north", "northeast"]);
    // A vector asks nothing that a reranker could answer.
    let query = Query { ask: vec![0.0, 1.0, 0.0, 0.0].into(), ..by(Reranking::by(Backwards)) };
    let found = yard.find(query).await;
    assert_eq!(texts(&found), ["north", "northeast"]);
    assert!(matches!(&found.notes[..], [Note::NotReranked(why)] if why.contains("vector")), "{:?}", found.notes);
}

#[tokio::test]
async fn diversity_brings_what_differs() {
    let yard = Yard::open().await;
    let given = |text: &str, vector: [f32; 4]| NewChunk { embedding: Some(vector.to_vec()), ..NewChunk::from(text) };
    yard.key("a", vec![given("one", [0.0, 1.0, 0.0, 0.0]), given("same", [0.0, 1.0, 0.01, 0.0]), given("other", [0.5, 0.8, 0.0, 0.3])]).await;
    let query = |diversity| Query { diversity, limit: 2, ..Query::from("north") };
    assert_eq!(yard.texts(query(0.0)).await, ["one", "same"]);
    assert_eq!(yard.texts(query(0.6)).await, ["one", "other"]);
}

#[tokio::test]
async fn several_namespaces_are_searched_at_once_by_their_weights() {
    let yard = Yard::open_with(model(), |builder| {
        builder.access(|user, name| name != "secret" || user == Some("ada"))
    })
    .await;
    for (name, text) in [("one", "north"), ("two", "northeast"), ("secret", "north")] {
        yard.rag.add(name, NewEntry::key("a"), text).await.unwrap();
    }
    let found = yard.rag.search_all([("one", 1.0), ("two", 3.0)], "north").await.unwrap();
    assert_eq!(texts(&found), ["northeast", "north"]);
    assert_ne!(found.results[0].namespace, found.results[1].namespace);
    let denied = fault(yard.rag.search_all([("one", 1.0), ("secret", 1.0)], "north").await);
    assert_eq!(denied.0, Kind::Denied);
    let counter = || Arc::new(loomwork_models::Estimator);
    assert_eq!(fault(yard.rag.whole("secret", None, 1_000, counter()).await).0, Kind::Denied);
    assert!(yard.rag.whole("secret", Some("ada"), 1_000, counter()).await.unwrap().is_some());
    // Ranks of several are fused, so scores say how far in front a result is.
    assert_eq!(found.results.iter().map(|range| range.score).collect::<Vec<_>>(), [1.0, 0.5]);
    assert!(found.results[0].scores.vector.is_some_and(|score| (score - 0.8).abs() < 1e-5));
    let ada = Query { user: Some("ada".into()), ..Query::from("north") };
    assert_eq!(yard.rag.search("secret", ada).await.unwrap().results.len(), 1);
}

/// What a model did, how many tokens that took, for whom, and in which namespaces.
type Call = (Task, u64, Option<String>, Vec<String>);

#[tokio::test]
async fn each_call_of_a_model_is_told_with_whom_it_is_for() {
    let told: Arc<std::sync::Mutex<Vec<Call>>> = Arc::default();
    let heard = told.clone();
    let yard = Yard::open_with(model(), |builder| {
        builder.on_used(move |_, used| {
            let call = (used.task, used.usage.total(), used.user.clone(), used.namespaces.clone());
            heard.lock().unwrap().push(call);
            Ok(())
        })
    })
    .await;
    yard.add(NewEntry { user: Some("ada".into()), ..NewEntry::key("a") }, "two words").await;
    yard.find(Query { user: Some("bob".into()), ..Query::from("north") }).await;
    yard.find(Query::words("north")).await;
    let answerer = MockModel::new(["Yes."]);
    yard.rag.generate_text(HALL, &answerer, "where is north?").await.unwrap();
    let calls = told.lock().unwrap().drain(..).collect::<Vec<Call>>();
    let hall = || vec![HALL.to_owned()];
    assert_eq!(calls[0], (Task::EmbedChunks, 2, Some("ada".into()), hall()));
    assert_eq!(calls[1], (Task::EmbedQuery, 1, Some("bob".into()), hall()));
    assert_eq!(calls[2], (Task::EmbedQuery, 3, None, hall()));
    assert_eq!((calls[3].0, calls[3].1 > 0, &calls[3].3, calls.len()), (Task::Answer, true, &hall(), 4), "{calls:?}");
    // A query over several namespaces is for each of them, and a reranker that names nothing is paid too.
    yard.rag.add("other", NewEntry::key("a"), "north").await.unwrap();
    told.lock().unwrap().clear();
    let silent = Reranking::by(ModelReranker::new(MockModel::new(["I cannot say."])));
    let query = Query { rerank: Some(silent), ..Query::from("north") };
    let found = yard.rag.search_all([(HALL, 1.0), ("other", 1.0)], query).await.unwrap();
    assert!(matches!(&found.notes[..], [Note::NotReranked(why)] if why.contains("names no passage")), "{:?}", found.notes);
    let calls = told.lock().unwrap().clone();
    let both = || vec![HALL.to_owned(), "other".to_owned()];
    assert_eq!(calls[0], (Task::EmbedQuery, 1, None, both()));
    assert_eq!((calls[1].0, calls[1].1 > 0, &calls[1].3, calls.len()), (Task::Rerank, true, &both(), 2), "{calls:?}");
    assert_eq!(found.usage.total(), calls[0].1 + calls[1].1);
}

#[test]
fn fused_rankings_are_those_of_the_specification() {
    let order = |lists: &[&[u32]], weights: &[f64], k: f64, cutoff: f64| {
        let fused = fuse_ranks(lists.iter().map(|list| list.to_vec()), weights, k, cutoff);
        fused.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(order(&[&[1, 2, 3], &[2, 3, 1]], &[], 10.0, 0.0), [2, 1, 3]);
    let three: &[&[u32]] = &[&[1, 2, 3], &[2, 3, 1], &[5, 4, 3]];
    assert_eq!(order(three, &[2.0, 1.0, 3.0], 10.0, 0.0), [3, 5, 1, 2, 4]);
    assert_eq!(order(three, &[], 1.0, 0.0), [2, 1, 3, 5, 4]);
    assert_eq!(order(&[&[1], &[2]], &[], 10.0, 0.0), [1, 2]);
    assert_eq!(order(&[&[1, 2]], &[], 10.0, 0.095), [1]);
}

#[tokio::test]
async fn a_small_namespace_is_given_as_a_whole() {
    let yard = Yard::open().await;
    yard.add(NewEntry::key("a").titled("A"), chunks(["one", "two"])).await;
    yard.key("b", "three").await;
    let whole = async |tokens| yard.rag.whole(HALL, None, tokens, Arc::new(loomwork_models::Estimator)).await.unwrap();
    assert_eq!(whole(1_000).await.as_deref(), Some("## A:\n\none\ntwo\n\nthree\n\n"));
    assert_eq!((whole(2).await, yard.rag.whole("nowhere", None, 9, Arc::new(loomwork_models::Estimator)).await.unwrap()), (None, None));
}

#[tokio::test]
async fn what_counts_for_little_hides_nothing_however_much_of_it_there_is() {
    let yard = Yard::open().await;
    let light: Vec<_> = (0..300).map(|at| NewChunk::from(format!("loom loom loom {at}"))).collect();
    yard.add(NewEntry::key("light").weighing(0.01), light).await;
    let medium: Vec<_> = (0..70).map(|at| NewChunk::from(format!("loom loom {at}"))).collect();
    yard.add(NewEntry::key("medium").weighing(0.1), medium).await;
    yard.add(NewEntry::key("heavy"), "a loom stands among many other words in a large and quiet hall").await;
    for query in [Query { limit: 3, ..Query::words("loom") }, Query { limit: 3, vector_weight: 0.0, ..Query::hybrid("loom") }] {
        let texts = yard.texts(query).await;
        assert!(texts[0].starts_with("a loom stands"), "{texts:?}");
        assert!(texts[1..].iter().all(|text| text.starts_with("loom loom") && !text.starts_with("loom loom loom")));
    }
    // The entry counts as much as is said of it later.
    let heavy = yard.find(Query { limit: 1, ..Query::words("stands") }).await.entries[0].entry.id;
    yard.rag.weigh(heavy, 0.001).await.unwrap();
    assert!(yard.texts(Query { limit: 3, ..Query::words("loom") }).await[0].starts_with("loom loom"));
}

#[tokio::test]
async fn a_citation_is_on_the_page_on_which_its_text_begins() {
    let yard = Yard::open().await;
    let texts: Vec<String> = (0..4).map(|page| format!("Page {page} says {}", "something ".repeat(19))).collect();
    let (mut text, mut pages) = (String::new(), Vec::new());
    for page in &texts {
        if !text.is_empty() {
            text.push_str("\n\n");
        }
        pages.push(text.len());
        text.push_str(page.trim());
    }
    let document = loomwork_rag::Document { text, pages, ..Default::default() };
    let cut = loomwork_rag::Paragraphs { size: loomwork_rag::Size::letters(210) };
    let chunker: Arc<dyn loomwork_rag::Chunker> = Arc::new(cut);
    yard.key("a.pdf", loomwork_rag::Reader::default().content(document, &chunker)).await;
    let found = yard.find(Query { limit: 50, ..Query::words("says") }).await;
    for citation in found.citations() {
        let number: u32 = citation.text.trim().split(' ').nth(1).unwrap().parse().unwrap();
        assert_eq!(citation.place.page, Some(number + 1), "{}", citation.text);
    }
    assert_eq!(found.results.len(), 4);
}

#[tokio::test]
async fn no_context_is_longer_than_it_may_be() {
    let yard = Yard::open().await;
    let count = loomwork_rag::MAX_CONTEXT as usize;
    let vector = |at: usize| vec![0.0, if at == 7 { 1.0 } else { 0.0 }, 1.0, 0.0];
    let given = |count: usize| -> Vec<NewChunk> {
        (0..count).map(|at| NewChunk { embedding: Some(vector(at)), ..NewChunk::from(format!("chunk {at}")) }).collect()
    };
    let query = || Query { context: Context::Whole { from: 0.0 }, limit: 1, ..Query::from("north") };
    yard.key("a", given(count)).await;
    assert_eq!(yard.texts(query()).await.len(), count);
    yard.key("a", given(count + 1)).await;
    assert_eq!(yard.texts(query()).await, ["chunk 7"]);
}

#[tokio::test]
async fn importance_decides_by_words_though_each_entry_has_its_own() {
    const COUNT: usize = 700;
    let yard = Yard::open().await;
    // The more words an entry has the less it counts by words, and the more by importance: a little more than that.
    let mean = (COUNT + 1) as f64 / 2.0;
    for at in 0..COUNT {
        let by_words = 1.0 / (1.0 + 1.2 * (0.25 + 0.75 * (at + 1) as f64 / mean));
        let importance = (0.23 * (1.0 + 0.000_5 * at as f64) / by_words) as f32;
        yard.add(NewEntry::key(format!("{at}")).weighing(importance), format!("loom{}", " w".repeat(at))).await;
    }
    let keys = async |query: Query| {
        let found = yard.find(query).await;
        found.entries.iter().filter_map(|found| found.entry.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys(Query { limit: 3, ..Query::words("loom") }).await, ["699", "698", "697"]);
    let hybrid = Query { limit: 3, vector_weight: 0.0, ..Query::hybrid("loom") };
    assert_eq!(keys(hybrid).await, ["699", "698", "697"]);
}

#[tokio::test]
async fn what_is_new_and_counts_for_little_hides_nothing_either() {
    let yard = Yard::open().await;
    yard.add(NewEntry::key("heavy"), "a loom stands among many other words in a large and quiet hall").await;
    yard.clock.advance(Duration::from_secs(3_600));
    let light: Vec<_> = (0..60).map(|at| NewChunk::from(format!("loom loom loom {at}"))).collect();
    yard.add(NewEntry::key("light").weighing(0.01), light).await;
    let recency = Some(loomwork_rag::Recency::new(Duration::from_secs(3_600)));
    let query = Query { limit: 3, recency, ..Query::words("loom") };
    assert!(yard.texts(query).await[0].starts_with("a loom stands"));
}

#[tokio::test]
async fn what_is_around_all_hits_has_a_bound() {
    let yard = Yard::open().await;
    let each = loomwork_rag::MAX_CONTEXT as usize;
    let entries = loomwork_rag::MAX_CHUNKS / each + 1;
    for entry in 0..entries {
        let vector = |at: usize| vec![0.0, if at == 7 { 1.0 } else { 0.0 }, 1.0 + entry as f32 / 100.0, 0.0];
        let given = (0..each).map(|at| NewChunk { embedding: Some(vector(at)), ..NewChunk::from(format!("chunk {at}")) });
        yard.key(&format!("{entry}"), given.collect::<Vec<_>>()).await;
    }
    let most = loomwork_rag::MAX_CONTEXT;
    let contexts = [
        Context::Chunks { before: most, after: most },
        Context::Section { most },
        Context::Whole { from: 0.0 },
    ];
    for context in contexts {
        let query = Query { context, threshold: Some(0.5), limit: entries, ..Query::from(vec![0.0, 1.0, 0.0, 0.0]) };
        let found = yard.find(query).await;
        let lengths: Vec<_> = found.results.iter().map(|range| range.content.len()).collect();
        assert_eq!((lengths.len(), lengths.iter().sum::<usize>()), (entries, each * (entries - 1) + 1), "{context:?}");
        // The best ones come with what is around them.
        assert_eq!((lengths.last(), &found.notes[..]), (Some(&1), &[Note::ContextCut][..]));
    }
}

/// Counts words, and the bytes that it was shown.
#[derive(Debug, Default)]
struct Watched(std::sync::atomic::AtomicUsize);

impl loomwork_models::TokenCounter for Watched {
    fn count(&self, text: &str) -> u64 {
        self.0.fetch_add(text.len(), std::sync::atomic::Ordering::Relaxed);
        text.split_whitespace().count() as u64
    }
}

#[tokio::test]
async fn a_budget_counts_a_text_a_few_times_and_not_once_for_each_result() {
    let yard = Yard::open().await;
    let texts: Vec<_> = (0..200).map(|at| format!("north {at} {}", "word ".repeat(100))).collect();
    yard.key("a", chunks(texts)).await;
    let found = yard.find(Query { limit: 200, ..Query::words("north") }).await;
    let all = 200 * 102;
    for (tokens, fit) in [(2 * all, 200), (all, 200), (all - 1, 199), (all / 2, 100)] {
        let counter = Watched::default();
        let within = found.within(tokens, &counter);
        assert_eq!((within.found.results.len(), within.cut.len()), (fit, 200 - fit), "{tokens}");
        assert!(within.tokens <= tokens);
        let shown = counter.0.into_inner();
        assert!(shown < 40 * found.text.len(), "{shown} bytes of {} for {tokens} tokens", found.text.len());
    }
}

#[tokio::test]
async fn an_evaluation_looks_at_as_many_entries_as_it_says() {
    let yard = Yard::open().await;
    for key in ["one", "two", "three"] {
        yard.key(key, chunks((0..12).map(|at| format!("loom loom {at}")))).await;
    }
    yard.key("wanted", "a loom that stands behind many other words").await;
    let case = loomwork_rag::eval::Case::new("loom", ["wanted"]);
    let edges = Query { order: Order::Edges, ..Query::words("") };
    for query in [Query::words(""), edges] {
        let report = yard.rag.evaluate(HALL, std::slice::from_ref(&case), &query, 4).await.unwrap();
        assert_eq!((report.cases[0].found.len(), report.mean.recall, report.mean.mrr), (4, 1.0, 0.25), "{report:?}");
    }
}
