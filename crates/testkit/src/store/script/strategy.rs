//! Random programs: values from so few that keys meet, bounds fall on rows and ranges are empty.

use std::ops::Bound;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Change, Ending, How, Limits, Mutation, Op, Over, Pick, Read};
use crate::store::Note;

fn author() -> impl Strategy<Value = Option<String>> + Clone {
    select(&[None, Some(""), Some("ada"), Some("ada\0"), Some("bob")][..])
        .prop_map(|author| author.map(str::to_owned))
}

fn stars() -> impl Strategy<Value = i64> + Clone {
    prop_oneof![12 => -2_i64..4, 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => Just(-300), 1 => Just(70_000)]
}

fn slug() -> impl Strategy<Value = String> + Clone {
    select(&["", "a", "a\0", "a\0b", "ab", "b", "c", "d", "ä", "漢", "\u{10ffff}"][..])
        .prop_map(str::to_owned)
}

fn text() -> impl Strategy<Value = String> {
    select(&["", "one", "two", "\"quoted\"\n"][..]).prop_map(str::to_owned)
}

fn note() -> impl Strategy<Value = Note> {
    (author(), stars(), slug(), text()).prop_map(|(author, stars, slug, text)| Note {
        author,
        stars,
        slug,
        text,
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        author().prop_map(Change::Author),
        stars().prop_map(Change::Stars),
        slug().prop_map(Change::Slug),
        text().prop_map(Change::Text),
    ]
}

fn pick() -> impl Strategy<Value = Pick> + Clone {
    any::<u8>().prop_map(Pick)
}

fn limits<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + Clone + 'static,
) -> impl Strategy<Value = Limits<T>> {
    let bound = prop_oneof![
        Just(Bound::Unbounded),
        value.clone().prop_map(Bound::Included),
        value.prop_map(Bound::Excluded),
    ];
    (bound.clone(), bound)
}

fn how() -> impl Strategy<Value = How> {
    let limit = prop_oneof![Just(None), (0_usize..5).prop_map(Some)];
    prop_oneof![
        3 => limit.clone().prop_map(How::Rows),
        1 => limit.prop_map(How::Count),
        1 => (1_usize..4).prop_map(How::Pages),
    ]
}

/// A random read.
///
/// It is boxed, as are the others that nest: what they are made of is too large for a test's stack.
pub(in crate::store) fn read() -> BoxedStrategy<Read> {
    let over = prop_oneof![
        limits(pick()).prop_map(Over::Ids),
        limits(author()).prop_map(Over::Authors),
        (author(), limits(stars())).prop_map(|(author, limits)| Over::StarsOf(author, limits)),
        limits(slug()).prop_map(Over::Slugs),
        limits(stars()).prop_map(Over::Starred),
    ];
    (over.boxed(), any::<bool>(), how()).prop_map(|(over, reverse, how)| Read { over, reverse, how }).boxed()
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![6 => Just(Ending::Kept), 2 => Just(Ending::Failed), 1 => Just(Ending::Panicked)]
}

fn op() -> BoxedStrategy<Op> {
    let simple = prop_oneof![
        6 => note().prop_map(Op::Insert),
        1 => (pick(), note()).prop_map(|(pick, note)| Op::InsertAt(pick, note)),
        6 => (pick(), change()).prop_map(|(pick, change)| Op::Update(pick, change)),
        1 => (pick(), note()).prop_map(|(pick, note)| Op::Replace(pick, note)),
        3 => pick().prop_map(Op::Delete),
        1 => pick().prop_map(Op::Get),
        4 => read().prop_map(Op::Read),
    ];
    let nested = simple.boxed().prop_recursive(2, 10, 5, |op| {
        (vec(op, 0..5), ending()).prop_map(|(ops, ending)| Op::Scope(Mutation { ops, ending }))
    });
    nested.boxed()
}

/// A random mutation.
pub(in crate::store) fn mutation() -> BoxedStrategy<Mutation> {
    (vec(op(), 0..8), ending()).prop_map(|(ops, ending)| Mutation { ops, ending }).boxed()
}
