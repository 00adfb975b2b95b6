//! Reads: ranges, order, limits.

use std::fmt::Debug;
use std::ops::ControlFlow;

use loomwork_core::{Kind, RawId, Time};
use loomwork_store::{Error, Id, Index, Key, Result, Table, Tx};
use serde::{Deserialize, Serialize};

use super::spans::{check_notes, insert_sample};
use crate::store::{Bench, Chapter, Note, Place, Shelf};

/// A span is read in the order of its key, or against it.
pub async fn a_span_is_read_in_key_order(place: &dyn Place) {
    let bench = Bench::open(place).await;
    let stars = bench.store.mutate(|tx| {
        for (slug, stars) in [("a", 5), ("b", -300), ("c", 70_000), ("d", 0)] {
            tx.insert(Note { stars, ..Note::new(slug) })?;
        }
        let up = tx.scan(Note::by_author.eq(None))?;
        let down = tx.scan(Note::by_author.eq(None).desc())?;
        Ok([up, down].map(|rows| rows.iter().map(|row| row.stars).collect::<Vec<_>>()))
    });
    let [up, down] = stars.await.expect("the mutation commits");
    assert_eq!(up, [-300, 0, 5, 70_000]);
    assert_eq!(down, [70_000, 5, 0, -300]);
}

/// Every pair of bounds, with every order and limit, reads what a filter and a sort of all rows
/// would find, in every index.
pub async fn every_span_reads_what_a_filter_and_a_sort_would(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let notes = store.mutate(insert_sample).await.expect("the sample commits");
    store.query(move |tx| check_notes(tx, &notes)).await.expect("the query runs");
}

/// A bound or a limit that is given twice narrows the span; it does not widen it again.
pub async fn bounds_and_limits_only_narrow(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    store.mutate(insert_sample).await.expect("the sample commits");
    let found = store.query(|tx| {
        let ann = || Note::by_author.eq("ann");
        let spans = [
            ann().ge(0).ge(-300),
            ann().gt(0).ge(0).gt(-300),
            ann().le(2).le(70_000),
            ann().lt(3).le(2).lt(70_000).ge(-1000),
            ann().ge(-300).take(2).take(9),
            ann().ge(5).le(4),
        ];
        spans
            .map(|span| Ok(tx.scan(span)?.iter().map(|note| note.stars).collect::<Vec<_>>()))
            .into_iter()
            .collect()
    });
    let found: Vec<Vec<i64>> = found.await.expect("the query runs");
    assert_eq!(found[0], [0, 2, 2, 70_000]);
    assert_eq!(found[1], [2, 2, 70_000]);
    assert_eq!(found[2], [-300, 0, 2, 2]);
    assert_eq!(found[3], [-300, 0, 2, 2]);
    assert_eq!(found[4], [-300, 0]);
    assert!(found[5].is_empty());
}

/// A partial index has the rows that it is for, and follows them as they change.
pub async fn a_partial_index_leaves_rows_out(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let starred =
        |tx: &Tx| Ok(tx.scan(Note::starred.all())?.into_iter().map(|note| note.stars).collect::<Vec<_>>());
    let stars_of = move |stars: i64| {
        move |tx: &mut Tx| {
            let note = tx.first(Note::by_slug.eq("moves"))?.expect("it is there");
            tx.update(note.id, |note| note.stars = stars)?;
            starred(tx)
        }
    };
    let before = store.mutate(move |tx| {
        tx.insert(Note { stars: 3, ..Note::new("stays") })?;
        tx.insert(Note::new("moves"))?;
        starred(tx)
    });
    assert_eq!(before.await.expect("the mutation commits"), [3]);
    for (stars, expected) in [(2, vec![2, 3]), (9, vec![3, 9]), (-1, vec![3]), (0, vec![3]), (1, vec![1, 3])]
    {
        assert_eq!(store.mutate(stars_of(stars)).await.expect("the mutation commits"), expected);
        assert_eq!(store.query(starred).await.expect("the query runs"), expected);
    }
}

/// A record with a key part of every type. It is compact since JSON has no infinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "samples", id = "sample", codec = compact)]
#[index(by_signed(signed))]
#[index(by_unsigned(unsigned))]
#[index(by_wide(wide))]
#[index(by_float(float))]
#[index(by_small_float(small_float))]
#[index(by_text(text))]
#[index(by_text_and_signed(text, signed))]
#[index(by_bytes(bytes))]
#[index(by_maybe(maybe))]
#[index(by_flag(flag))]
#[index(by_time(time))]
#[index(by_shelf(shelf))]
struct Sample {
    signed: i64,
    unsigned: u64,
    wide: u128,
    float: f64,
    small_float: f32,
    text: String,
    bytes: Vec<u8>,
    maybe: Option<String>,
    flag: bool,
    time: Time,
    shelf: Id<Shelf>,
}

const SIGNED: [i64; 11] = [i64::MIN, -65_537, -65_536, -256, -255, -1, 0, 1, 255, 256, i64::MAX];
const UNSIGNED: [u64; 6] = [0, 1, 255, 256, 1 << 32, u64::MAX];
const WIDE: [u128; 4] = [0, u64::MAX as u128, 1 << 64, u128::MAX];
const FLOATS: [f64; 9] =
    [f64::NEG_INFINITY, f64::MIN, -1.5, -f64::MIN_POSITIVE, -0.0, 5e-324, 1.5, f64::MAX, f64::INFINITY];
const SMALL_FLOATS: [f32; 5] = [f32::NEG_INFINITY, -1.0, 0.0, f32::MIN_POSITIVE, f32::INFINITY];
const TEXTS: [&str; 9] = ["", "\0", "\0a", "a", "a\0", "a\0\0", "a\u{1}", "ab", "\u{10ffff}"];
const BYTES: [&[u8]; 7] = [&[], &[0], &[0, 0], &[0, 1], &[0, 0xff], &[1], &[0xff, 0xff]];

impl Sample {
    /// The `number`-th sample; each list is gone through in its own round.
    fn new(number: usize) -> Self {
        fn nth<T: Clone>(list: &[T], number: usize) -> T {
            list[number % list.len()].clone()
        }
        Self {
            signed: nth(&SIGNED, number),
            unsigned: nth(&UNSIGNED, number),
            wide: nth(&WIDE, number),
            float: nth(&FLOATS, number),
            small_float: nth(&SMALL_FLOATS, number),
            text: nth(&TEXTS, number).to_owned(),
            bytes: nth(&BYTES, number).to_vec(),
            maybe: nth(&maybes(), number),
            flag: nth(&[false, true], number),
            time: nth(&times(), number),
            shelf: nth(&shelves(), number),
        }
    }
}

fn maybes() -> Vec<Option<String>> {
    [None].into_iter().chain(TEXTS.map(|text| Some(text.to_owned()))).collect()
}

fn times() -> [Time; 4] {
    [Time::MIN, Time::EPOCH, Time::from_millis(1), Time::MAX]
}

fn shelves() -> [Id<Shelf>; 4] {
    [0, 1, 0x7f, 0xff].map(|byte| Id::from_raw(RawId::from_bytes([byte; 16])))
}

/// Finds each value of `ascending` where it belongs in an index.
fn check_order<H: Key + Clone + PartialEq + Debug>(
    tx: &Tx,
    index: Index<Sample, (H,)>,
    ascending: &[H],
    value: impl Fn(&Sample) -> H,
) -> Result<()> {
    let rows = tx.scan(index.all())?;
    let place = |sample: &Sample| ascending.iter().position(|known| *known == value(sample));
    let places: Vec<_> = rows.iter().map(|row| place(row).expect("it is a known value")).collect();
    let mut distinct = places.clone();
    distinct.dedup();
    assert_eq!(distinct, (0..ascending.len()).collect::<Vec<_>>(), "{index:?}");
    for (at, known) in ascending.iter().enumerate() {
        let count = |holds: &dyn Fn(usize) -> bool| places.iter().filter(|place| holds(**place)).count();
        assert_eq!(tx.count(index.eq(known))?, count(&|place| place == at), "{index:?} = {known:?}");
        assert_eq!(tx.count(index.lt(known))?, count(&|place| place < at), "{index:?} < {known:?}");
        assert_eq!(tx.count(index.gt(known))?, count(&|place| place > at), "{index:?} > {known:?}");
    }
    Ok(())
}

/// Keys of every type are in the order of their values, whatever the engine compares.
pub async fn keys_of_every_type_are_in_order(place: &dyn Place) {
    let bench = Bench::open_with(place, |builder| builder.tables([Sample::table()])).await;
    let inserted = bench.store.mutate(|tx| {
        // 66 is longer than any list; 25 has no divisor in common with it.
        (0..66).try_for_each(|number| tx.insert(Sample::new(number * 25 % 66)).map(|_| ()))
    });
    inserted.await.expect("the samples commit");
    let checked = bench.store.query(|tx| {
        let texts = TEXTS.map(str::to_owned);
        check_order(tx, Sample::by_signed, &SIGNED, |sample| sample.signed)?;
        check_order(tx, Sample::by_unsigned, &UNSIGNED, |sample| sample.unsigned)?;
        check_order(tx, Sample::by_wide, &WIDE, |sample| sample.wide)?;
        check_order(tx, Sample::by_float, &FLOATS, |sample| sample.float)?;
        check_order(tx, Sample::by_small_float, &SMALL_FLOATS, |sample| sample.small_float)?;
        check_order(tx, Sample::by_text, &texts, |sample| sample.text.clone())?;
        check_order(tx, Sample::by_bytes, &BYTES.map(<[u8]>::to_vec), |sample| sample.bytes.clone())?;
        check_order(tx, Sample::by_maybe, &maybes(), |sample| sample.maybe.clone())?;
        check_order(tx, Sample::by_flag, &[false, true], |sample| sample.flag)?;
        check_order(tx, Sample::by_time, &times(), |sample| sample.time)?;
        check_order(tx, Sample::by_shelf, &shelves(), |sample| sample.shelf)?;

        assert_eq!(tx.count(Sample::by_float.eq(0.0))?, tx.count(Sample::by_float.eq(-0.0))?);
        // A text that begins another one ends before it, whatever part follows.
        let pairs = tx.scan(Sample::by_text_and_signed.all())?;
        assert!(pairs.is_sorted_by_key(|row| (row.text.clone(), row.signed)));
        for text in &texts {
            let of_text = tx.scan(Sample::by_text_and_signed.eq(text).ge(-1))?;
            assert!(of_text.iter().all(|row| row.text == *text && row.signed >= -1));
        }
        Ok(())
    });
    checked.await.expect("the query runs");
    assert!(bench.store.check().await.expect("the check runs").is_clean());
}

/// A visitor stops where it wants, gets its own error back, and may read while it visits.
pub async fn a_visitor_stops_fails_and_reads(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let notes = store.mutate(insert_sample).await.expect("the sample commits").len();
    let visited = store.query(move |tx| {
        let (mut seen, mut inner) = (Vec::new(), 0);
        tx.each(Note::by_slug.all().desc(), |note| {
            seen.push(note.slug.clone());
            tx.each(Note::by_author.eq(&note.author), |same| {
                assert_eq!(tx.require(same.id)?.author, note.author);
                inner += 1;
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(if seen.len() == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        assert_eq!(inner, 4 * notes / 3);
        let failed = tx.each(Note::all(), |note| {
            seen.push(note.slug.clone());
            Err(Error::message(Kind::Denied, "enough"))
        });
        assert_eq!(failed.expect_err("the visitor fails").to_string(), "enough");
        Ok(seen)
    });
    let seen = visited.await.expect("the query runs");
    assert_eq!(seen, ["slug-99", "slug-98", "slug-97", "slug-96", "slug-99"]);
}

/// Compact records and clustered tables read as others do, by id and by range.
pub async fn compact_and_clustered_tables_read_the_same(place: &dyn Place) {
    let store = Bench::open(place).await.store;
    let written = store.mutate(|tx| {
        let shelves =
            [tx.insert(Shelf { label: "a".into() })?.id, tx.insert(Shelf { label: "b".into() })?.id];
        for position in [7_u32, 0, 3, 5, 1, 2, 6, 4] {
            for shelf in shelves {
                tx.insert(Chapter { shelf, position, words: vec![position as u16; position as usize] })?;
            }
        }
        Ok(shelves)
    });
    let [first, second] = written.await.expect("the mutation commits");
    let changed = store.mutate(move |tx| {
        let last = tx.first(Chapter::by_shelf.eq(first).desc())?.expect("the shelf is full");
        tx.update(last.id, |chapter| chapter.position = 10)?;
        let third = tx.first(Chapter::by_shelf.eq(first).eq(2))?.expect("the shelf is full");
        tx.delete(third.id)
    });
    changed.await.expect("the mutation commits");
    let found = store.query(move |tx| {
        let of = |shelf, low| -> Result<Vec<u32>> {
            let rows = tx.scan(Chapter::by_shelf.eq(shelf).ge(low))?;
            assert!(
                rows.iter()
                    .all(|row| row.shelf == shelf && tx.require(row.id).is_ok_and(|same| same == *row))
            );
            Ok(rows.iter().map(|row| row.position).collect())
        };
        assert!(tx.scan(Chapter::all())?.is_sorted_by(|a, b| a.id < b.id));
        let words = tx.first(Chapter::by_shelf.eq(second).eq(3))?.map(|row| row.record.words);
        Ok((of(first, 0)?, of(second, 4)?, words, tx.count(Chapter::all())?))
    });
    let (first, second, words, count) = found.await.expect("the query runs");
    assert_eq!(first, [0, 1, 3, 4, 5, 6, 10]);
    assert_eq!(second, [4, 5, 6, 7]);
    assert_eq!((words, count), (Some(vec![3, 3, 3]), 15));
    assert!(store.check().await.expect("the check runs").is_clean());
}
