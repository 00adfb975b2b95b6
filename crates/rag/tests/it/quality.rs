//! Quality that must not get worse: questions with known answers over a small collection of our own.

mod corpus;

use loomwork_models::OfflineEmbedder;
use loomwork_rag::eval::{Case, Report};
use loomwork_rag::{Content, Markdown, NewEntry, Query, Rag, Size};
use loomwork_store::Store;

use corpus::{DOCUMENTS, QUESTIONS};

async fn evaluated(query: Query) -> Report {
    let tables = loomwork_rag::tables().into_iter().chain(loomwork_search::tables());
    let store = Store::memory()
        .tables(tables)
        .tables(loomwork_workpool::tables())
        .open()
        .await
        .expect("the store opens");
    let rag = Rag::builder(&store, OfflineEmbedder::default()).start().await.expect("it starts");
    for (key, text) in DOCUMENTS {
        let by = Markdown { size: Size { least: 60, most: 400, ..Size::default() } };
        rag.add("garden", NewEntry::key(*key), Content::Cut((*text).to_owned(), Box::new(by)))
            .await
            .expect("it is done");
    }
    let cases: Vec<Case> =
        QUESTIONS.iter().map(|(ask, keys)| Case::new(*ask, keys.iter().copied())).collect();
    rag.evaluate("garden", &cases, &query, 5).await.expect("it is done")
}

/// The floors are a little below what is reached, so that a change that makes searches worse is seen.
async fn check(query: Query, recall: f64, mrr: f64, ndcg: f64) {
    let report = evaluated(query).await;
    let mean = report.mean;
    let worst: Vec<_> = report.cases.iter().filter(|case| case.scores.recall < 1.0).collect();
    assert!(mean.recall >= recall && mean.mrr >= mrr && mean.ndcg >= ndcg, "{mean:?}; {worst:#?}");
}

#[tokio::test]
async fn meaning_finds_what_answers() {
    check(Query { limit: 15, ..Query::default() }, 0.9, 0.8, 0.8).await;
}

#[tokio::test]
async fn words_find_what_answers() {
    check(Query { limit: 15, ..Query::words("") }, 0.9, 0.8, 0.8).await;
}

#[tokio::test]
async fn both_together_find_what_answers() {
    check(Query { limit: 15, ..Query::hybrid("") }, 0.92, 0.82, 0.82).await;
}
