//! What is found of each document is one whole version that may be there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loomwork_rag::{EntryStatus, MAX_LIMIT, NamespaceStatus, Query, Rag, entries};
use loomwork_search::vectors;

use super::{Known, NAMESPACE, open, texts};
use crate::crash::tally::{Fault, Tally};

const DEADLINE: Duration = Duration::from_secs(20);

pub(super) async fn check(place: &Path, known: &mut BTreeMap<u64, Known>, tally: &mut Tally) -> Result<()> {
    let (store, rag) = open(place).await?;
    for (document, known) in known {
        check_document(&rag, *document, known, tally).await?;
    }
    rag.shutdown(DEADLINE).await?;
    drop(rag);
    store.close().await;
    Ok(())
}

async fn check_document(rag: &Rag, document: u64, known: &mut Known, tally: &mut Tally) -> Result<()> {
    let namespace = rag.namespace(NAMESPACE, NamespaceStatus::Ready).await?.id;
    let key = format!("document{document}");
    let asked = key.clone();
    let live = rag.store().query(move |tx| entries::by_key(tx, namespace, &asked)).await?;
    let Some(live) = live else {
        tally.fact(known.published.is_none(), Fault::Lost, || format!("{key} has no live version"));
        return Ok(());
    };
    let version = live.metadata.get("version").and_then(serde_json::Value::as_u64);
    let version = version.context("each version says its number")?;
    let may_be =
        known.published.is_some_and(|published| published == version) || known.begun.contains(&version);
    tally.fact(may_be, Fault::Lost, || format!("{key} is at version {version}, known is {known:?}"));
    // From now on this is what was published, and what its jobs have not made yet may come.
    let asked = key.clone();
    let all = rag.store().query(move |tx| entries::versions(tx, namespace, &asked)).await?;
    let by_job = all.iter().filter(|entry| entry.status == EntryStatus::Pending && entry.job.is_some());
    let waiting = by_job.filter_map(|entry| entry.metadata.get("version")?.as_u64()).collect();
    (known.published, known.begun) = (Some(version), waiting);

    let right: Vec<String> = texts(document, version).collect();
    let (id, space) = (live.id, rag.space().clone());
    let stored = rag.store().query(move |tx| {
        let mut stored = Vec::new();
        for chunk in entries::range(tx, id, 0, u32::MAX)? {
            stored.push((chunk.text.clone(), vectors::of(tx, &space, chunk.id)?.is_some()));
        }
        Ok(stored)
    });
    let (stored, with_vectors): (Vec<String>, Vec<bool>) = stored.await?.into_iter().unzip();
    tally.same_list(format_args!("the chunks of {key}"), &stored, &right);
    tally.same(
        format_args!("the vectors of {key}"),
        with_vectors.iter().filter(|has| **has).count(),
        right.len(),
    );

    for query in [Query::words(format!("{key} ")), Query::hybrid(format!("{key} "))] {
        let found = rag.search(NAMESPACE, Query { limit: MAX_LIMIT, ..query }).await?;
        let of_key = found.results.iter().filter(|range| {
            found.entry(range.entry).is_some_and(|entry| entry.key.as_deref() == Some(key.as_str()))
        });
        let entries: BTreeSet<_> = of_key.clone().map(|range| range.entry).collect();
        tally.same(format_args!("what is found of {key}"), entries, BTreeSet::from([live.id]));
        let orders: BTreeSet<u32> = of_key.map(|range| range.order).collect();
        tally.fact(orders.iter().all(|order| (*order as usize) < right.len()), Fault::Broken, || {
            format!("{key} has chunks behind its end: {orders:?}")
        });
    }
    let words = rag.search(NAMESPACE, Query { limit: MAX_LIMIT, ..Query::words(format!("{key} ")) }).await?;
    tally.same(format_args!("how many are found of {key}"), words.results.len(), right.len().min(MAX_LIMIT));
    Ok(())
}
