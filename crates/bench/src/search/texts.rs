//! Searches by words.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Stopwatch;
use loomwork_search::{Filter, Query, Search};
use loomwork_store::{Id, Store};
use tokio::runtime::Runtime;

use super::by_hand::Texts;
use super::corpus::{Language, Message, messages, open, write};
use super::{TOP, folder, named, p50, time};
use crate::measure::{Row, Target, median};

const QUERIES: usize = 200;
const USERS: u32 = 1_000;
const GROUPS: &[(&str, u32)] = &[("user", USERS)];

pub(super) fn measure(runtime: &Runtime, rows: usize) -> Result<Vec<Row>> {
    let (language, folder) = (Language::new(3), folder()?);
    let texts: Vec<String> = (0..rows).map(|_| language.text()).collect();
    let store = runtime.block_on(open())?;
    let ids = Arc::new(runtime.block_on(write(&store, &texts, &[]))?);
    let watch = Stopwatch::start();
    let search = Search::builder(&store).folder(folder.path().join("index")).index(messages(GROUPS));
    let search = runtime.block_on(async {
        let search = search.start().await?;
        search.filled().await?;
        search.commit().await?;
        Ok::<_, anyhow::Error>(search)
    })?;
    let ours = watch.elapsed().as_secs_f64();
    let (hand, watch) = (folder.path().join("hand"), Stopwatch::start());
    std::fs::create_dir_all(&hand)?;
    let by_hand = Arc::new(Texts::write(&hand, &texts, GROUPS)?);
    let filling = Row {
        name: named(
            "filling an index of {} texts from their rows; against a raw tantivy writer without rows",
            rows,
        ),
        unit: "s",
        ours: vec![ours],
        baseline: vec![watch.elapsed().as_secs_f64()],
        target: Target::RatioAtMost(1.3),
    };
    let queries: Vec<String> = (0..QUERIES).map(|_| language.query()).collect();
    let of_user = |number: usize| Message::group(number as u32 * 7, USERS);
    let user = Row::measured(
        named("text top 10, user filter, {} messages; against raw tantivy and reading the rows", rows),
        "ms",
        Target::RatioAtMost(1.3),
        || {
            let queries = queries.iter().enumerate().map(|(number, text)| Query {
                filter: Filter::eq("user", of_user(number)),
                limit: TOP,
                ..Query::text(&**text)
            });
            p50_of_any(runtime, &search, queries)
        },
        || raw(runtime, &store, &by_hand, &ids, &queries, Some(of_user)),
    )?;
    let all = Row::measured(
        named("text top 10, no filter, {} messages; against raw tantivy and reading the rows", rows),
        "ms",
        Target::None,
        || p50(runtime, &search, queries.iter().map(|text| Query { limit: TOP, ..Query::text(&**text) })),
        || raw(runtime, &store, &by_hand, &ids, &queries, None::<fn(usize) -> String>),
    )?;
    runtime.block_on(search.shutdown(Duration::from_secs(20)))?;
    Ok(vec![user, all, filling])
}

/// As [`p50`], of queries that may find nothing.
fn p50_of_any(runtime: &Runtime, search: &Search, queries: impl Iterator<Item = Query>) -> Result<f64> {
    let times =
        queries.map(|query| time(|| Ok(runtime.block_on(search.find::<Message>(super::INDEX, query))?)));
    Ok(median(&times.collect::<Result<Vec<_>>>()?))
}

fn raw(
    runtime: &Runtime,
    store: &Store,
    texts: &Arc<Texts>,
    ids: &Arc<Vec<Id<Message>>>,
    queries: &[String],
    group: Option<impl Fn(usize) -> String>,
) -> Result<f64> {
    let times = queries.iter().enumerate().map(|(number, query)| {
        let (texts, ids, query) = (texts.clone(), ids.clone(), query.clone());
        let group = group.as_ref().map(|group| group(number));
        time(|| {
            let read = store.query(move |tx| {
                let found = texts.find(&query, group.as_deref().map(|group| (0, group)));
                let found = found.expect("a query of words finds what it finds");
                found.iter().map(|row| tx.get(ids[*row])).collect::<Result<Vec<_>, _>>()
            });
            Ok(runtime.block_on(read)?)
        })
    });
    Ok(median(&times.collect::<Result<Vec<_>>>()?))
}
