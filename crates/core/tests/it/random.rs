use std::collections::BTreeSet;

use loomwork_core::Random;
use proptest::prelude::*;

fn some(random: &Random) -> [u64; 4] {
    [(); 4].map(|()| random.u64())
}

#[test]
fn the_same_seed_gives_the_same_numbers() {
    assert_eq!(some(&Random::seeded(1)), some(&Random::seeded(1)));
    assert_ne!(some(&Random::seeded(1)), some(&Random::seeded(2)));
}

#[test]
fn the_system_gives_other_numbers_each_time() {
    assert_ne!(some(&Random::system()), some(&Random::system()));
}

#[test]
fn clones_draw_from_one_stream() {
    let random = Random::seeded(1);
    let [first, second, ..] = some(&Random::seeded(1));
    assert_eq!((random.clone().u64(), random.u64()), (first, second));
}

#[test]
fn a_fork_has_its_own_stream() {
    let (one, other) = (Random::seeded(1), Random::seeded(1));
    let (fork, other_fork) = (one.fork(), other.fork());
    some(&one);
    assert_eq!(some(&fork), some(&other_fork), "what its parent draws does not touch it");
    assert_ne!(some(&one.fork()), some(&one.fork()));
}

#[test]
fn below_reaches_every_number() {
    let random = Random::seeded(1);
    let seen: BTreeSet<u64> = (0..200).map(|_| random.below(6)).collect();
    assert!(seen.into_iter().eq(0..6));
}

#[test]
#[should_panic(expected = "no random number is below 0")]
fn nothing_is_below_zero() {
    Random::seeded(1).below(0);
}

#[test]
fn fill_fills_every_byte() {
    let mut seen = [0; 37];
    let random = Random::seeded(1);
    for _ in 0..8 {
        let mut bytes = [0; 37];
        random.fill(&mut bytes);
        seen.iter_mut().zip(bytes).for_each(|(seen, byte)| *seen |= byte);
    }
    assert!(seen.iter().all(|byte| *byte != 0));
}

#[test]
fn debug_does_not_show_the_stream() {
    assert_eq!(format!("{:?}", Random::seeded(1)), "Random { .. }");
}

proptest! {
    #[test]
    fn numbers_stay_within_their_bounds(seed: u64, bound in 1..=u64::MAX) {
        let random = Random::seeded(seed);
        prop_assert!(random.below(bound) < bound);
        prop_assert!((0.0..1.0).contains(&random.unit()));
    }
}
