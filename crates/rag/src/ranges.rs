//! What is returned around hits.

use std::collections::BTreeMap;

/// A hit among the chunks of an entry: where its range begins, and before which chunk it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// Returns the range of each of an entry's hits, by the hit.
///
/// Ranges do not overlap, and what lies between two hits goes to the context before the later one first.
pub(crate) fn around(hits: &[u32], before: u32, after: u32) -> BTreeMap<u32, Span> {
    let mut sorted = hits.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let span = |(at, hit): (usize, &u32)| {
        let behind_previous = at.checked_sub(1).map_or(0, |at| (sorted[at] + 1).min(*hit));
        let start = hit.saturating_sub(before).max(behind_previous);
        let next = sorted.get(at + 1).map_or(u32::MAX, |next| next.saturating_sub(before));
        let end = hit.saturating_add(after).saturating_add(1).min(next.max(hit.saturating_add(1)));
        (*hit, Span { start, end })
    };
    sorted.iter().enumerate().map(span).collect()
}

/// Returns the range of each of an entry's hits that stand under the same headings; `path` says which.
pub(crate) fn sections<P: PartialEq, E>(
    hits: &[u32],
    most: u32,
    mut path: impl FnMut(u32) -> Result<Option<P>, E>,
) -> Result<BTreeMap<u32, Span>, E> {
    let mut sorted = hits.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut spans: BTreeMap<u32, Span> = BTreeMap::new();
    let mut taken = 0;
    for (at, hit) in sorted.iter().enumerate() {
        let own = path(*hit)?;
        let mut is_inside = |order: u32| Ok(path(order)?.is_some_and(|path| Some(&path) == own.as_ref()));
        let (mut start, mut end) = (*hit, hit.saturating_add(1));
        while start > taken && hit - start < most && is_inside(start - 1)? {
            start -= 1;
        }
        let next = sorted.get(at + 1).copied().unwrap_or(u32::MAX);
        while end < next && end - hit <= most && is_inside(end)? {
            end += 1;
        }
        taken = end;
        spans.insert(*hit, Span { start, end });
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hits: &[u32], before: u32, after: u32, of: u32, right: &[(u32, u32, u32)]) {
        let spans = around(hits, before, after);
        let found: Vec<_> =
            spans.iter().map(|(hit, span)| (*hit, span.start, span.end.min(of) - 1)).collect();
        assert_eq!(found, right, "hits {hits:?}, {before} before, {after} after");
    }

    #[test]
    fn ranges_are_those_of_the_specification() {
        check(&[1, 4, 7], 2, 1, 10, &[(1, 0, 1), (4, 2, 4), (7, 5, 8)]);
        check(&[2], 1, 2, 5, &[(2, 1, 4)]);
        check(&[3], 2, 2, 7, &[(3, 1, 5)]);
        check(&[2], 5, 5, 3, &[(2, 0, 2)]);
        check(&[2, 6], 3, 3, 10, &[(2, 0, 2), (6, 3, 9)]);
        check(&[2, 7, 12], 4, 4, 15, &[(2, 0, 2), (7, 3, 7), (12, 8, 14)]);
        check(&[7, 4], 2, 1, 10, &[(4, 2, 4), (7, 5, 8)]);
        check(&[0, 1, 1], 0, 0, 2, &[(0, 0, 0), (1, 1, 1)]);
    }

    #[test]
    fn ranges_never_overlap_and_hold_their_hits() {
        let hits = [0, 3, 4, 9, 20];
        for before in 0..6 {
            for after in 0..6 {
                let spans: Vec<_> = around(&hits, before, after).into_iter().collect();
                for pair in spans.windows(2) {
                    assert!(pair[0].1.end <= pair[1].1.start, "{before} {after}: {pair:?}");
                }
                assert!(spans.iter().all(|(hit, span)| (span.start..span.end).contains(hit)));
            }
        }
    }

    #[test]
    fn a_section_ends_with_its_headings() {
        let paths = ["a", "a", "b", "b", "b", "c"];
        let path = |order: u32| Ok::<_, ()>(paths.get(order as usize).copied());
        let sections = |hits: &[u32], most| sections(hits, most, path).unwrap();
        let spans = sections(&[3], 10);
        assert_eq!(spans[&3], Span { start: 2, end: 5 });
        let spans = sections(&[2, 4], 10);
        assert_eq!((spans[&2], spans[&4]), (Span { start: 2, end: 4 }, Span { start: 4, end: 5 }));
        assert_eq!(sections(&[4], 1)[&4], Span { start: 3, end: 5 });
    }
}
