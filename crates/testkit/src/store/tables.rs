//! The tables that the suites use.

use loomwork_store::{Id, Table, TableDef};
use serde::{Deserialize, Serialize};

/// A record in the change feed, with an optional part in a key and a unique index.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", feed)]
#[index(by_author(author, stars))]
#[index(unique by_slug(slug))]
#[index(starred(stars), when = Note::is_starred)]
pub struct Note {
    /// Who wrote it, if known.
    pub author: Option<String>,
    /// How good it is.
    pub stars: i64,
    /// Its name in addresses.
    pub slug: String,
    /// What it says.
    pub text: String,
}

impl Note {
    /// A note with a slug and nothing else.
    pub fn new(slug: impl Into<String>) -> Self {
        Self { author: None, stars: 0, slug: slug.into(), text: String::new() }
    }

    fn is_starred(&self) -> bool {
        self.stars > 0
    }
}

/// A counter that many write at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "accounts", id = "account")]
#[index(unique by_owner(owner))]
pub struct Account {
    /// Whose it is.
    pub owner: String,
    /// What is on it.
    pub balance: i64,
}

/// Holds chapters together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "shelves", id = "shelf")]
pub struct Shelf {
    /// What is written on it.
    pub label: String,
}

/// A compact record, clustered by where it belongs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "chapters", id = "chapter", codec = compact, clustered = by_shelf)]
#[index(by_shelf(shelf, position))]
pub struct Chapter {
    /// Where it stands.
    pub shelf: Id<Shelf>,
    /// At which place.
    pub position: u32,
    /// What it holds.
    pub words: Vec<u16>,
}

/// All of them.
pub(super) fn all() -> [TableDef; 4] {
    [Note::table(), Account::table(), Shelf::table(), Chapter::table()]
}
