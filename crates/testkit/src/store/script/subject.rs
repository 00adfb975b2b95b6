//! The tables that random programs run on.

use loomwork_store::{Index, Table};
use serde::{Deserialize, Serialize};

use crate::store::Note;

/// A table of notes, however it is stored.
pub(in crate::store) trait Subject: Table + From<Note> + Into<Note> {
    const BY_AUTHOR: Index<Self, (Option<String>, i64)>;
    const BY_SLUG: Index<Self, (String,)>;
    const STARRED: Index<Self, (i64,)>;
}

impl Subject for Note {
    const BY_AUTHOR: Index<Self, (Option<String>, i64)> = Self::by_author;
    const BY_SLUG: Index<Self, (String,)> = Self::by_slug;
    const STARRED: Index<Self, (i64,)> = Self::starred;
}

/// A note in the other codec and the other layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "tiles", id = "tile", feed, codec = compact, clustered = by_author)]
#[index(by_author(author, stars))]
#[index(unique by_slug(slug))]
#[index(starred(stars), when = Tile::is_starred)]
pub(in crate::store) struct Tile {
    author: Option<String>,
    stars: i64,
    slug: String,
    text: String,
}

impl Tile {
    fn is_starred(&self) -> bool {
        self.stars > 0
    }
}

impl From<Note> for Tile {
    fn from(Note { author, stars, slug, text }: Note) -> Self {
        Self { author, stars, slug, text }
    }
}

impl From<Tile> for Note {
    fn from(Tile { author, stars, slug, text }: Tile) -> Self {
        Self { author, stars, slug, text }
    }
}

impl Subject for Tile {
    const BY_AUTHOR: Index<Self, (Option<String>, i64)> = Self::by_author;
    const BY_SLUG: Index<Self, (String,)> = Self::by_slug;
    const STARRED: Index<Self, (i64,)> = Self::starred;
}
