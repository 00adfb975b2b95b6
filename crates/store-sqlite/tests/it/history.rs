//! The same random histories as on the in-memory engine, and the store against a plain model.

use loomwork_store::Memory;
use loomwork_testkit::store::{history, model_property};

use crate::place::TempFile;

#[tokio::test]
async fn a_history_is_that_of_the_engine_in_memory() {
    for seed in 0..8 {
        let here = history(&TempFile::new(), seed, 60).await;
        let there = history(&Memory::new(), seed, 60).await;
        assert!(here.len() > 500, "seed {seed} tells only {} lines", here.len());
        for (line, (here, there)) in here.iter().zip(&there).enumerate() {
            assert_eq!(here, there, "seed {seed}, line {line}");
        }
        assert_eq!(here.len(), there.len(), "seed {seed}");
    }
}

#[test]
fn the_file_does_what_the_model_does() {
    model_property(TempFile::new);
}
