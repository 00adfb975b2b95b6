use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const SPACES: [Space; 3] = [Space::Rows(TableNo(1)), Space::Index(TableNo(1), 0), Space::Log];

/// Every key of up to three bytes, each of three values.
fn keys() -> Vec<Vec<u8>> {
    let longer = |keys: &[Vec<u8>]| -> Vec<Vec<u8>> {
        keys.iter().flat_map(|key| (0..3).map(move |byte| [key.as_slice(), &[byte]].concat())).collect()
    };
    let (zero, one) = (vec![Vec::new()], longer(&[Vec::new()]));
    let two = longer(&one);
    let three = longer(&two);
    [zero, one, two, three].concat()
}

proptest! {
    /// Merging changes neither which keys are covered nor leaves ranges that could be one.
    #[test]
    fn merged_ranges_cover_the_same_keys(
        reads in vec((0..SPACES.len(), vec(0_u8..3, 0..4), vec(0_u8..3, 0..4)), 0..20),
    ) {
        let mut set = ReadSet::default();
        for (space, low, high) in &reads {
            set.add(SPACES[*space], low, high);
        }
        let ranges = set.into_ranges();
        for (number, space) in SPACES.into_iter().enumerate() {
            for key in keys() {
                let read = reads.iter().any(|(at, low, high)| *at == number && *low <= key && key < *high);
                let touch = Touch { space, key: key.as_slice().into() };
                prop_assert_eq!(ranges.iter().any(|range| range.contains(&touch)), read, "{:?}", touch);
            }
        }
        prop_assert!(ranges.iter().all(|range| range.low < range.high));
        let apart = |one: &ReadRange, next: &ReadRange| {
            one.space < next.space || one.space == next.space && one.high < next.low
        };
        prop_assert!(ranges.is_sorted_by(apart));
    }
}

#[test]
fn a_reader_of_the_log_waits_for_all_that_comes() {
    for after in [0, 1, 7, u64::MAX - 1, u64::MAX] {
        let (low, high) = log_behind(Seq(after));
        let range = ReadRange { space: Space::Log, low: low.as_slice().into(), high: high.as_slice().into() };
        assert!(range.contains(&Touch::log_end()), "behind {after}");
    }
}
