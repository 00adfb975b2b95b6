//! Every kind of span over notes, compared with a filter and a sort of plain rows.

use std::fmt::Debug;
use std::ops::{Bound, RangeBounds as _};

use loomwork_store::{Bounded, Parts, Result, Row, Span, Table as _, Tx};

use crate::store::Note;

const AUTHORS: [Option<&str>; 3] = [None, Some("ann"), Some("anna")];
const STARS: [i64; 5] = [2, -300, 70_000, 0, 2];

/// Notes of three authors, one of them unknown, whose stars differ, repeat and cross zero.
pub(super) fn sample() -> Vec<Note> {
    let pairs = STARS.into_iter().flat_map(|stars| AUTHORS.map(|author| (author, stars)));
    let note = |(at, (author, stars)): (usize, (Option<&str>, i64))| {
        // The slugs run against the order of creation.
        let slug = format!("slug-{:02}", 99 - at);
        Note { author: author.map(str::to_owned), stars, ..Note::new(slug) }
    };
    pairs.enumerate().map(note).collect()
}

/// Adds the [`sample`].
pub(super) fn insert_sample(tx: &mut Tx) -> Result<Vec<Row<Note>>> {
    sample().into_iter().map(|note| tx.insert(note)).collect()
}

/// All notes, by id and as each index has them.
pub(super) fn all_notes(tx: &Tx) -> Result<[Vec<Row<Note>>; 4]> {
    Ok([
        tx.scan(Note::all())?,
        tx.scan(Note::by_author.all())?,
        tx.scan(Note::by_slug.all())?,
        tx.scan(Note::starred.all())?,
    ])
}

/// Reads spans of every index, with every pair of bounds, order and limit, and finds what a filter
/// and a sort of `notes`, all the notes that there should be, find.
pub(super) fn check_notes(tx: &Tx, notes: &[Row<Note>]) -> Result<()> {
    for author in AUTHORS.into_iter().chain([Some("zoe")]) {
        let author = author.map(str::to_owned);
        let of_author = ordered(notes, |note| (note.author == author).then_some((note.stars, ())));
        check(tx, &Note::by_author.eq(&author), &of_author, &[-300, 1, 2, 70_000])?;
    }
    let by_author = ordered(notes, |note| Some((note.author.clone(), note.stars)));
    check(tx, &Note::by_author.all(), &by_author, &AUTHORS.map(|author| author.map(str::to_owned)))?;

    let starred = ordered(notes, |note| (note.stars > 0).then_some((note.stars, ())));
    check(tx, &Note::starred.all(), &starred, &[0, 2, 3])?;

    let by_slug = ordered(notes, |note| Some((note.slug.clone(), ())));
    let slugs: Vec<_> = by_slug.iter().map(|(slug, _)| slug.clone()).step_by(6).collect();
    check(tx, &Note::by_slug.all(), &by_slug, &slugs)?;

    let by_id = ordered(notes, |note| Some((note.id, ())));
    let ids: Vec<_> = by_id.iter().map(|(id, _)| *id).step_by(6).collect();
    check(tx, &Note::all(), &by_id, &ids)
}

/// The notes for which `key` gives one, in its order, each with the key's first part.
fn ordered<H: Clone + PartialOrd, O: PartialOrd>(
    notes: &[Row<Note>],
    key: impl Fn(&Row<Note>) -> Option<(H, O)>,
) -> Vec<(H, Row<Note>)> {
    let mut keyed: Vec<_> = notes.iter().filter_map(|note| Some((key(note)?, note.clone()))).collect();
    keyed.sort_by(|(a, x), (b, y)| (a, x.id).partial_cmp(&(b, y.id)).expect("keys have an order"));
    keyed.into_iter().map(|((head, _), note)| (head, note)).collect()
}

fn check<K: Parts>(
    tx: &Tx,
    span: &Span<Note, K>,
    expected: &[(K::Head, Row<Note>)],
    marks: &[K::Head],
) -> Result<()>
where
    K::Head: Clone + PartialOrd + Debug,
{
    for low in bounds(marks) {
        for high in bounds(marks) {
            let bounds = (low.clone(), high);
            let inside: Vec<_> =
                expected.iter().filter(|(head, _)| bounds.contains(head)).map(|(_, row)| row).collect();
            for reverse in [false, true] {
                for limit in [usize::MAX, 0, 1, 3] {
                    let mut span = if reverse { span.clone().desc() } else { span.clone() };
                    if limit < usize::MAX {
                        span = span.take(limit);
                    }
                    let mut wanted = inside.clone();
                    if reverse {
                        wanted.reverse();
                    }
                    wanted.truncate(limit);
                    let shown = format!("{span:?} within {bounds:?}");
                    let found = read_within(tx, span, &bounds)?;
                    assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{shown}");
                }
            }
        }
    }
    Ok(())
}

/// No bound, and each mark as a bound of either kind.
fn bounds<H: Clone>(marks: &[H]) -> Vec<Bound<H>> {
    let at_marks =
        marks.iter().flat_map(|mark| [Bound::Included(mark.clone()), Bound::Excluded(mark.clone())]);
    [Bound::Unbounded].into_iter().chain(at_marks).collect()
}

fn read_within<K: Parts>(
    tx: &Tx,
    span: Span<Note, K>,
    (low, high): &(Bound<K::Head>, Bound<K::Head>),
) -> Result<Vec<Row<Note>>>
where
    K::Head: Clone,
{
    let bounded_above = |span: Span<Note, Bounded<K::Head>>| match high {
        Bound::Included(high) => span.le(high.clone()),
        Bound::Excluded(high) => span.lt(high.clone()),
        Bound::Unbounded => span,
    };
    match (low, high) {
        (Bound::Included(low), _) => read(tx, bounded_above(span.ge(low.clone()))),
        (Bound::Excluded(low), _) => read(tx, bounded_above(span.gt(low.clone()))),
        (Bound::Unbounded, Bound::Included(high)) => read(tx, span.le(high.clone())),
        (Bound::Unbounded, Bound::Excluded(high)) => read(tx, span.lt(high.clone())),
        (Bound::Unbounded, Bound::Unbounded) => read(tx, span),
    }
}

/// Reads a span in each way and finds that they agree.
fn read<K>(tx: &Tx, span: Span<Note, K>) -> Result<Vec<Row<Note>>> {
    let rows = tx.scan(span.clone())?;
    assert_eq!(tx.count(span.clone())?, rows.len(), "the count of {span:?}");
    let shown = format!("the first of {span:?}");
    assert_eq!(tx.first(span)?.as_ref(), rows.first(), "{shown}");
    Ok(rows)
}
