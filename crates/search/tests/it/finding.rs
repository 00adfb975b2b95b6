//! What is found, and in which order.

use std::time::Duration;

use loomwork_core::{Clock, Time};
use loomwork_search::{Filter, Fusion, Metric, Query, Recency, SnippetOptions, Syntax, vectors};
use loomwork_testkit::soon;

use super::Bed;
use super::yard::{Note, add, builder, by, found, hits, ids, note, notes, open, open_at, space, start};

#[tokio::test]
async fn a_write_is_found_by_its_words_at_once() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let one = add(&store, note("Looms", "how to weave")).await;
    assert_eq!(found(&search, "weave").await, [one]);
    store.mutate(move |tx| tx.update(one, |note| note.body = "how to spin".into())).await.unwrap();
    assert!(found(&search, "weave").await.is_empty());
    assert_eq!(found(&search, "spin").await, [one]);
    search.commit().await.unwrap();
    assert_eq!(found(&search, "spin").await, [one]);
    store.mutate(move |tx| tx.delete(one)).await.unwrap();
    assert!(found(&search, "spin").await.is_empty());
    search.commit().await.unwrap();
    search.purge().await.unwrap();
    assert!(found(&search, "spin").await.is_empty());
}

#[tokio::test]
async fn a_vector_is_found_once_its_write_is_answered() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let one = add(&store, note("one", "")).await;
    let two = add(&store, note("two", "")).await;
    let write = move |tx: &mut loomwork_store::Tx| {
        vectors::insert(tx, &space(), one, vec![1.0, 0.0, 0.0])?;
        vectors::insert(tx, &space(), two, vec![0.0, 1.0, 0.0])
    };
    store.mutate(write).await.unwrap();
    assert_eq!(ids(&search, Query::vector([0.9, 0.1, 0.0])).await, [one, two]);
    store.mutate(move |tx| vectors::insert(tx, &space(), one, vec![0.0, 0.0, 1.0])).await.unwrap();
    assert_eq!(ids(&search, Query::vector([0.9, 0.1, 0.0])).await, [two, one]);
    store.mutate(move |tx| vectors::delete_for(tx, two)).await.unwrap();
    assert_eq!(ids(&search, Query::vector([0.9, 0.1, 0.0])).await, [one]);
    let near = Query { threshold: Some(0.5), ..Query::vector([0.9, 0.1, 0.0]) };
    assert!(ids(&search, near).await.is_empty());
}

#[tokio::test]
async fn filters_come_before_limits() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    store
        .mutate(|tx| {
            for number in 0..300 {
                let author = if number % 100 == 0 { "eve" } else { "ada" };
                let id = tx.insert(by(author, number % 5, "wool and wool"))?.id;
                vectors::insert(tx, &space(), id, vec![1.0, number as f32 / 100.0, 0.0])?;
            }
            Ok(())
        })
        .await
        .unwrap();
    for query in [Query::text("wool"), Query::vector([1.0, 0.0, 0.0]), Query::hybrid("wool", [1.0, 0.0, 0.0])] {
        for commits in [false, true] {
            if commits {
                search.commit().await.unwrap();
            }
            let rare = Query { filter: Filter::eq("author", "eve"), limit: 5, ..query.clone() };
            let rare = hits(&search, rare).await;
            assert_eq!(rare.len(), 3);
            assert!(rare.iter().all(|hit| hit.row.author == "eve"));
            let filter = Filter::eq("author", "ada").and(!Filter::at_most("stars", 3));
            let some = hits(&search, Query { filter, limit: 20, ..query.clone() }).await;
            assert_eq!(some.len(), 20);
            assert!(some.iter().all(|hit| hit.row.author == "ada" && hit.row.stars == 4));
        }
    }
}

#[tokio::test]
async fn a_changed_filter_value_counts_for_the_vector_too() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let id = add(&store, by("ada", 1, "wool")).await;
    store.mutate(move |tx| vectors::insert(tx, &space(), id, vec![1.0, 0.0, 0.0])).await.unwrap();
    search.commit().await.unwrap();
    store.mutate(move |tx| tx.update(id, |note| note.author = "eve".into())).await.unwrap();
    let of = |author: &str| Query {
        filter: Filter::eq("author", author),
        ..Query::vector([1.0, 0.0, 0.0])
    };
    assert_eq!(ids(&search, of("eve")).await, [id]);
    assert!(ids(&search, of("ada")).await.is_empty());
}

#[tokio::test]
async fn a_hybrid_hit_says_where_it_stands_in_each_ranking() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let words = add(&store, note("", "wool wool wool")).await;
    let both = add(&store, note("", "wool of sheep and goats")).await;
    let near = add(&store, note("", "cotton")).await;
    store
        .mutate(move |tx| {
            vectors::insert(tx, &space(), both, vec![0.9, 0.1, 0.0])?;
            vectors::insert(tx, &space(), near, vec![1.0, 0.0, 0.0])
        })
        .await
        .unwrap();
    let all = hits(&search, Query::hybrid("wool", [1.0, 0.0, 0.0])).await;
    assert_eq!(all[0].row.id, both);
    assert_eq!(all[0].text.map(|place| place.rank), Some(1));
    assert_eq!(all[0].vector.map(|place| place.rank), Some(1));
    // 1 / (10 + 1) in each; who is in one ranking alone has nothing of the other.
    assert!((all[0].score - 2.0 / 11.0).abs() < 1e-9);
    let other = |id| all.iter().find(|hit| hit.row.id == id).unwrap();
    assert_eq!((other(words).vector, other(near).text), (None, None));
    assert!((other(words).score - 0.1).abs() < 1e-9 && (other(near).score - 0.1).abs() < 1e-9);
    assert!((other(near).vector.unwrap().score - 1.0).abs() < 1e-5);

    let fusion = Fusion::Scores { vector: 1.0 };
    let by_vector = ids(&search, Query { fusion, ..Query::hybrid("wool", [1.0, 0.0, 0.0]) }).await;
    assert_eq!(by_vector[..2], [near, both]);
}

#[tokio::test]
async fn recency_brings_the_newer_row_to_the_front() {
    let clock = Clock::manual(Time::from_millis(1_700_000_000_000));
    let store = open_at(&Bed::new(), clock.clock()).await;
    let search = start(&store, None).await;
    let hour = Duration::from_secs(3600);
    let better = add(&store, by("ada", 1_000, "wool wool wool")).await;
    clock.advance(2 * hour);
    let newer = add(&store, by("ada", 0, "wool and yarn")).await;
    assert_eq!(found(&search, "wool").await, [better, newer]);
    let recency = Recency { weight: 1.0, ..Recency::new(hour) };
    let plain = hits(&search, Query::text("wool")).await;
    let aged = hits(&search, Query { recency: Some(recency.clone()), ..Query::text("wool") }).await;
    assert_eq!(aged.iter().map(|hit| hit.row.id).collect::<Vec<_>>(), [newer, better]);
    // Two half-lives leave a quarter.
    assert!((aged[1].score - plain[0].score / 4.0).abs() < 1e-6);
    // The stars as times: both so long ago that the later one alone has anything left.
    let of_field = Recency { field: Some("stars".into()), half_life: hour * 24 * 365, ..recency };
    assert_eq!(ids(&search, Query { recency: Some(of_field), ..Query::text("wool") }).await, [better, newer]);
}

#[tokio::test]
async fn scores_of_texts_are_multiplied_by_a_field_before_they_are_cut() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let mut heavy = Vec::new();
    for number in 0..90 {
        let (stars, body) = if number % 30 == 0 { (100, "wool among many other words") } else { (1, "wool wool") };
        let id = add(&store, by("ada", stars, body)).await;
        heavy.extend((stars > 1).then_some(id));
        // Some are committed, and some are not.
        if number == 45 {
            search.commit().await.unwrap();
        }
    }
    let plain = hits(&search, Query { limit: 90, ..Query::text("wool") }).await;
    let weighed = Query { weigh_by: Some("stars".into()), limit: 3, ..Query::text("wool") };
    let mut first = ids(&search, weighed.clone()).await;
    first.sort_unstable();
    assert_eq!(first, heavy);
    let score = hits(&search, weighed).await[0].text.unwrap().score;
    let bare = plain.iter().find(|hit| hit.row.stars == 100).unwrap().text.unwrap().score;
    assert!((score / bare - 100.0).abs() < 1e-3, "{score} {bare}");
}

#[tokio::test]
async fn snippets_show_where_the_words_are() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    add(&store, note("On looms", "The loom is older than the wheel")).await;
    let query = Query { snippets: Some(SnippetOptions::default()), ..Query::text("older wheel") };
    let all = hits(&search, query).await;
    let (field, snippet) = &all[0].snippets[0];
    assert_eq!(field, "body");
    let marked = snippet.marked("[", "]", str::to_owned);
    assert_eq!(marked, "The loom is [older] than the [wheel]");
}

#[tokio::test]
async fn a_hook_puts_hits_in_another_order_before_they_are_cut() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    for stars in 0..6 {
        add(&store, by("ada", stars, "wool")).await;
    }
    let query = Query { limit: 2, ..Query::text("wool") };
    let best = search.find_reranked::<Note, _>("notes", query, 6, |mut hits| async move {
        hits.sort_by_key(|hit| std::cmp::Reverse(hit.row.stars));
        Ok(hits)
    });
    let best = soon(best).await.unwrap();
    assert_eq!(best.into_iter().map(|hit| hit.row.stars).collect::<Vec<_>>(), [5, 4]);
}

#[tokio::test]
async fn operators_work_where_they_are_asked_for() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let one = add(&store, note("sheep", "wool of sheep")).await;
    add(&store, note("goat", "wool of goats")).await;
    let query = Query { syntax: Syntax::Operators, ..Query::text("wool -goats title:sheep") };
    assert_eq!(ids(&search, query).await, [one]);
}

#[tokio::test]
async fn what_must_be_met_within_what_must_be_met_is_read_once() {
    let store = open(&Bed::new()).await;
    let search = start(&store, None).await;
    let one = add(&store, note("", "wool")).await;
    let both = add(&store, note("", "wool and yarn and wool")).await;
    let nested = "+(".repeat(30) + "wool" + &" yarn)".repeat(30);
    for commits in [false, true] {
        if commits {
            search.commit().await.unwrap();
        }
        for text in ["+wool yarn", &nested] {
            let query = Query { syntax: Syntax::Operators, ..Query::text(text) };
            assert_eq!(ids(&search, query).await, [both, one], "{text}");
        }
    }
}

#[tokio::test]
async fn an_index_says_what_makes_two_vectors_near() {
    let store = open(&Bed::new()).await;
    let long = add(&store, note("long", "wool")).await;
    let close = add(&store, note("close", "")).await;
    let aside = add(&store, note("aside", "")).await;
    let write = move |tx: &mut loomwork_store::Tx| {
        vectors::insert(tx, &space(), long, vec![9.0, 0.0, 0.0])?;
        vectors::insert(tx, &space(), close, vec![1.0, 0.1, 0.0])?;
        vectors::insert(tx, &space(), aside, vec![2.0, 4.0, 0.0])
    };
    store.mutate(write).await.unwrap();
    let cases = [
        (Metric::Cosine, [(long, 1.0), (close, 0.995_037), (aside, 0.447_213)]),
        (Metric::Product, [(long, 9.0), (aside, 2.0), (close, 1.0)]),
        (Metric::Distance, [(close, -0.1), (aside, -4.123_105), (long, -8.0)]),
    ];
    for (metric, right) in cases {
        let search = builder(&store, None).index(notes().metric(metric)).start().await.unwrap();
        for exact in [false, true] {
            let query = Query { exact, ..Query::vector([1.0, 0.0, 0.0]) };
            let found = hits(&search, query.clone()).await;
            assert_eq!(found.iter().map(|hit| hit.row.id).collect::<Vec<_>>(), right.map(|(id, _)| id));
            for (hit, (_, score)) in found.iter().zip(right) {
                assert!((hit.vector.unwrap().score - score).abs() < 1e-4, "{metric:?}: {hit:?}");
            }
            let (second, least) = right[1];
            let near = Query { threshold: Some(least - 0.01), ..query };
            assert_eq!(ids(&search, near).await, [right[0].0, second], "{metric:?}");
        }
        let fusion = Fusion::Scores { vector: 0.5 };
        let both = hits(&search, Query { fusion, ..Query::hybrid("wool", [1.0, 0.0, 0.0]) }).await;
        assert!(both.iter().all(|hit| (0.0..=1.0).contains(&hit.score)), "{metric:?}: {both:?}");
        super::yard::end(search).await;
    }
}
