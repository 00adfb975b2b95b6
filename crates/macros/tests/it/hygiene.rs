//! The expansions in places that make it hard for them.

use loomwork_store::Table as _;

/// Where nothing of the store is imported, and the names of the prelude mean other things.
mod hostile {
    #![expect(dead_code, reason = "these names are here to be in the way")]

    use super::renamed;

    struct Vec;
    struct String;
    struct Option;
    struct Result;
    struct Key;
    struct Table;
    struct Index;
    struct Id;
    struct Ok;
    mod core {}
    mod std {}
    mod loomwork_store {}

    #[derive(Clone, serde::Serialize, serde::Deserialize, renamed::Table)]
    #[table(name = "marks", id = "mark", version = 2, upgrade = old, crate = renamed)]
    #[index(by_level(level, double: u64 = record, treble: u64 = part, more: u64 = included), when = out)]
    pub(super) struct Mark {
        pub(super) level: Level,
        pub(super) state: State,
    }

    #[derive(Clone, serde::Serialize, serde::Deserialize, renamed::Key)]
    #[key(crate = renamed)]
    pub(super) struct Level(pub(super) u64);

    #[derive(Clone, serde::Serialize, serde::Deserialize, renamed::Key)]
    #[key(crate = super::renamed)]
    pub(super) enum State {
        Set,
    }

    // Functions with the names of the expansion's own variables.
    fn record(mark: &Mark) -> u64 {
        mark.level.0 * 2
    }

    fn part(mark: &Mark) -> u64 {
        mark.level.0 * 3
    }

    fn included(mark: &Mark) -> u64 {
        mark.level.0 * 4
    }

    fn out(mark: &Mark) -> bool {
        mark.level.0 > 0
    }

    fn old(_: u32, from: renamed::Old<'_>) -> renamed::Result<Mark> {
        from.decode()
    }
}

mod renamed {
    pub(super) use loomwork_store::*;
}

#[test]
fn the_expansion_means_what_it_says_whatever_is_in_scope() {
    use loomwork_store::Key;

    let mut expected = Vec::new();
    for part in [21_u64, 42, 63, 84] {
        part.write(&mut expected).expect("an integer is a key");
    }

    let mark = hostile::Mark { level: hostile::Level(21), state: hostile::State::Set };
    let mut key = Vec::new();
    assert_eq!((hostile::Mark::INDEXES[0].key)(&mark, &mut key), Ok(true));
    assert_eq!(key, expected);
}

/// Where warnings are errors, and more of them are on.
#[deny(
    warnings,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes,
    unreachable_pub,
    unused_qualifications
)]
mod strict {
    use loomwork_store::{Index, IndexDef, Key, Layout, Table};
    use serde::{Deserialize, Serialize};

    /// Public, with an index over a type that is not.
    #[derive(Clone, Debug, Serialize, Deserialize, Table)]
    #[table(name = "strict", id = "strict")]
    #[index(unused(a, b, c, d, e, f, g, h))]
    pub(crate) struct Strict {
        a: Hidden,
        b: Option<Vec<u8>>,
        c: u8,
        d: u8,
        e: u8,
        f: u8,
        g: u8,
        h: u8,
    }

    /// Not as visible as the index over it.
    #[derive(Clone, Debug, Serialize, Deserialize, Key)]
    struct Hidden(u8);

    /// Uses what is imported.
    pub(crate) fn layout(_: &[IndexDef<Strict>], _: Option<Index<Strict, (u8,)>>) -> Layout {
        Strict::LAYOUT
    }
}

#[test]
fn the_expansion_brings_no_lints_along() {
    strict::layout(strict::Strict::INDEXES, None);
}
