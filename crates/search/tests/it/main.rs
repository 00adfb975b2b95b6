//! What loomwork-search promises, through its public API: one module per concept.
#![expect(clippy::duplicate_mod, reason = "the behaviour of searches is tested over each engine")]

mod restoring;

/// The behaviour of searches, over each engine.
macro_rules! over {
    ($engine:ident, $bed:literal) => {
        #[path = "."]
        mod $engine {
            #[path = $bed]
            mod bed;
            mod embedding;
            mod finding;
            mod following;
            mod history;
            mod refusing;
            mod vectors;
            mod yard;
        }
    };
}

over!(memory, "memory.rs");
over!(sqlite, "sqlite.rs");
