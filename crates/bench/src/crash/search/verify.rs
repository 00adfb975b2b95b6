//! What must hold once a store and its index are open again: searches find what a look at all rows finds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use loomwork_core::Random;
use loomwork_search::{Filter, Query, Search, vectors};
use loomwork_store::{Id, Page, Store, Table as _};

use super::world::{AUTHORS, INDEX, Note, WORDS, draw_vector, open, space, start};
use crate::crash::tally::{Fault, Tally};

/// The most hits that one search gives.
const LIMIT: usize = loomwork_search::MAX_LIMIT;

/// How many vectors are searched for.
const VECTORS: usize = 12;

/// By how much a cosine may differ that was added up in another order.
const ROUNDING: f32 = 1e-4;

const DEADLINE: Duration = Duration::from_secs(20);

/// The rows as they are, and their vectors.
type Rows = BTreeMap<Id<Note>, (Note, Option<Vec<f32>>)>;

pub(super) async fn check(place: &Path, random: &Random, tally: &mut Tally) -> Result<()> {
    let store = open(place).await?;
    let search = start(&store, place).await?;
    let is_made_anew = search.progress().await?.iter().any(|index| index.filling.is_some());
    tally.count("indexes filled from the rows", u64::from(is_made_anew));
    search.filled().await?;
    let rows = rows(&store).await?;
    tally.count("rows searched", rows.len() as u64);
    check_texts(&search, &rows, tally).await?;
    check_vectors(&search, &rows, random, tally).await?;
    search.shutdown(DEADLINE).await?;
    drop(search);
    store.close().await;
    Ok(())
}

async fn rows(store: &Store) -> Result<Rows> {
    let space = space()?;
    let rows = store.query(move |tx| {
        let notes = tx.scan(Note::all())?;
        let mut rows: Rows = notes.into_iter().map(|note| (note.id, (note.record, None))).collect();
        let mut page = Page::first(LIMIT);
        loop {
            let some = vectors::page(tx, &space, page)?;
            for row in &some.rows {
                if let Some((_, vector)) = row.owner().and_then(|id| rows.get_mut(&id)) {
                    *vector = Some(row.vector().to_vec());
                }
            }
            match some.next {
                Some(next) => page = Page::after(next, LIMIT),
                None => return Ok(rows),
            }
        }
    });
    Ok(rows.await?)
}

/// Each row is found by the word that it alone has, and each word finds its rows, with a filter and without.
async fn check_texts(search: &Search, rows: &Rows, tally: &mut Tally) -> Result<()> {
    for (id, (note, _)) in rows {
        let found = ids(search, Query::text(format!("{} ", note.own))).await?;
        tally.same(format_args!("what {} finds", note.own), found, BTreeSet::from([*id]));
    }
    for word in WORDS {
        for author in AUTHORS.map(Some).into_iter().chain([None]) {
            let filter = author.map_or(Filter::Everything, |author| Filter::eq("author", author));
            let query = Query { filter, limit: LIMIT, ..Query::text(format!("{word} ")) };
            let is_wanted =
                |note: &Note| note.text.contains(word) && author.is_none_or(|author| note.author == author);
            let wanted: BTreeSet<_> =
                rows.iter().filter(|(_, (note, _))| is_wanted(note)).map(|(id, _)| *id).collect();
            let found = ids(search, query).await?;
            // Beyond the limit, any of them will do.
            if wanted.len() <= LIMIT {
                tally.same(format_args!("what {word:?} of {author:?} finds"), found, wanted);
            } else {
                let holds = found.len() == LIMIT && found.is_subset(&wanted);
                tally.fact(holds, Fault::Broken, || format!("{word:?} finds {} rows", found.len()));
            }
        }
    }
    Ok(())
}

async fn ids(search: &Search, query: Query) -> Result<BTreeSet<Id<Note>>> {
    Ok(search.find::<Note>(INDEX, query).await?.into_iter().map(|hit| hit.row.id).collect())
}

/// The nearest are those that a look at all vectors finds, and each that has a vector is among all.
async fn check_vectors(search: &Search, rows: &Rows, random: &Random, tally: &mut Tally) -> Result<()> {
    for number in 0..VECTORS {
        let author = AUTHORS.get(number % (AUTHORS.len() + 1));
        let filter = author.map_or(Filter::Everything, |author| Filter::eq("author", *author));
        let (vector, exact) = (draw_vector(random), number % 2 == 0);
        let limit = if number == 0 { LIMIT } else { 10 };
        let query = Query { filter, limit, exact, ..Query::vector(vector.clone()) };
        let mut right: Vec<f32> = rows
            .values()
            .filter(|(note, _)| author.is_none_or(|author| note.author == *author))
            .filter_map(|(_, of)| of.as_deref().map(|of| cosine(of, &vector)))
            .collect();
        right.sort_by(|one, two| two.total_cmp(one));
        right.truncate(limit);
        let hits = search.find::<Note>(INDEX, query).await?.hits;
        tally.same(format_args!("how many vectors near {vector:?} are found"), hits.len(), right.len());
        for (hit, right) in hits.iter().zip(&right) {
            let stored = rows.get(&hit.row.id).and_then(|(_, vector)| vector.as_deref());
            let Some(stored) = stored else {
                tally.fact(false, Fault::Doubled, || format!("{:?} has no vector, and is found", hit.row.id));
                continue;
            };
            let found = hit.vector.map_or(f32::NAN, |place| place.score);
            let is_its_own = (found - cosine(stored, &vector)).abs() < ROUNDING;
            tally.fact(is_its_own, Fault::Broken, || format!("{:?} is found with {found}", hit.row.id));
            if exact {
                let is_nearest = (found - right).abs() < ROUNDING;
                tally.fact(is_nearest, Fault::Lost, || format!("{found} stands where {right} should"));
            }
        }
    }
    Ok(())
}

fn cosine(one: &[f32], two: &[f32]) -> f32 {
    let product = |one: &[f32], two: &[f32]| one.iter().zip(two).map(|(one, two)| one * two).sum::<f32>();
    product(one, two) / product(one, one).sqrt() / product(two, two).sqrt()
}
