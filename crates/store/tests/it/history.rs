//! One random history on engines that differ, answers compared.

use loomwork_store::Memory;
use loomwork_testkit::store::history;

#[tokio::test]
async fn conflicts_and_retries_change_no_answer() {
    for seed in 0..12 {
        let plain = history(&Memory::new(), seed, 60).await;
        let strict = history(&Memory::strict(seed), seed, 60).await;
        assert!(plain.len() > 500, "seed {seed} tells only {} lines", plain.len());
        for (line, (plain, strict)) in plain.iter().zip(&strict).enumerate() {
            assert_eq!(plain, strict, "seed {seed}, line {line}");
        }
        assert_eq!(plain.len(), strict.len(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_history_follows_from_its_seed() {
    let [first, again, other] = [1, 1, 2].map(|seed| async move { history(&Memory::new(), seed, 30).await });
    let first = first.await;
    assert_eq!(first, again.await);
    assert_ne!(first, other.await);
}
