use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Keys from so few that ranges often are equal, nested, adjacent or empty.
fn key() -> impl Strategy<Value = Bytes> {
    vec(0_u8..3, 0..3).prop_map(Bytes::from)
}

#[derive(Clone, Debug)]
enum Step {
    Insert { low: Bytes, high: Bytes, owner: u64 },
    Remove { low: Bytes, high: Bytes, owner: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let place = (key(), key(), 0_u64..4);
    (place, any::<bool>()).prop_map(|((low, high, owner), insert)| match insert {
        true => Step::Insert { low, high, owner },
        false => Step::Remove { low, high, owner },
    })
}

fn owners_holding(map: &RangeMap<usize>, key: &[u8]) -> Vec<(u64, usize)> {
    let mut owners = Vec::new();
    map.holding(key, &mut |owner, value| owners.push((owner, *value)));
    owners.sort_unstable();
    owners
}

/// Checks order, heap and reach below a node; returns how deep the tree is.
fn check_tree<V>(tree: &Link<V>) -> usize {
    let Some(node) = tree else { return 0 };
    for child in [&node.left, &node.right].into_iter().flatten() {
        assert!(child.priority <= node.priority, "priorities fall from the root");
        assert!(child.reach <= node.reach, "a node reaches as far as those below it");
    }
    assert!(node.left.as_ref().is_none_or(|left| (&left.low, &left.high) < (&node.low, &node.high)));
    assert!(node.right.as_ref().is_none_or(|right| (&right.low, &right.high) > (&node.low, &node.high)));
    assert!(!node.owners.is_empty(), "a range without owners is gone");
    1 + check_tree(&node.left).max(check_tree(&node.right))
}

proptest! {
    /// Whatever is inserted and removed, the map finds what a plain list finds.
    #[test]
    fn finds_what_a_plain_list_finds(steps in vec(step(), 0..60), keys in vec(key(), 1..10)) {
        let mut map = RangeMap::default();
        let mut list: BTreeMap<(Bytes, Bytes, u64), usize> = BTreeMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert { low, high, owner } => {
                    map.insert(&low, &high, owner, number);
                    list.insert((low, high, owner), number);
                }
                Step::Remove { low, high, owner } => {
                    map.remove(&low, &high, owner);
                    list.remove(&(low, high, owner));
                }
            }
            check_tree(&map.root);
            prop_assert_eq!(map.is_empty(), list.is_empty());
            for key in &keys {
                let holding = list.iter().filter(|((low, high, _), _)| low <= key && key < high);
                let mut expected: Vec<_> = holding.map(|((_, _, owner), value)| (*owner, *value)).collect();
                expected.sort_unstable();
                prop_assert_eq!(owners_holding(&map, key), expected);
            }
        }
    }
}

#[test]
fn ranges_that_come_in_order_make_a_shallow_tree() {
    let mut map = RangeMap::default();
    let bound = |number: u32| Bytes::from(number.to_be_bytes());
    for number in 0..10_000 {
        map.insert(&bound(number), &bound(number + 1), 1, ());
    }
    let depth = check_tree(&map.root);
    assert!(depth < 60, "10,000 ranges are {depth} deep");
}
