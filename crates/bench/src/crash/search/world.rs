//! What is written and searched, and where it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use loomwork_core::Random;
use loomwork_search::{Index, Search, Space, vectors};
use loomwork_store::{Id, Store, Table, Tx};
use loomwork_store_sqlite::Sqlite;
use serde::{Deserialize, Serialize};

pub(super) const INDEX: &str = "notes";
pub(super) const DIMENSION: usize = 16;
pub(super) const AUTHORS: [&str; 3] = ["ada", "eve", "kim"];
pub(super) const WORDS: [&str; 8] = ["wool", "yarn", "silk", "felt", "loom", "card", "warp", "weft"];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "notes", id = "note", feed)]
pub(super) struct Note {
    /// A word that no other note has.
    pub(super) own: String,
    pub(super) text: String,
    pub(super) author: String,
}

impl Note {
    pub(super) fn draw(own: String, random: &Random) -> Self {
        let word = || WORDS[random.below(WORDS.len() as u64) as usize];
        let author = AUTHORS[random.below(AUTHORS.len() as u64) as usize].to_owned();
        Self { own, text: format!("{} {}", word(), word()), author }
    }
}

pub(super) fn rows(place: &Path) -> PathBuf {
    place.join("rows")
}

pub(super) fn index(place: &Path) -> PathBuf {
    place.join("index")
}

pub(super) fn space() -> Result<Space> {
    Ok(Space::new("by hand", DIMENSION)?)
}

pub(super) fn draw_vector(random: &Random) -> Vec<f32> {
    (0..DIMENSION).map(|_| (random.unit() - 0.5) as f32).collect()
}

pub(super) async fn open(place: &Path) -> Result<Store> {
    let folder = rows(place);
    fs::create_dir_all(&folder)?;
    let builder = Store::builder(Sqlite::open(folder.join("store.db"))?);
    let builder = builder.tables([Note::table()]).tables(loomwork_search::tables());
    builder.open().await.context("the store cannot be opened")
}

pub(super) async fn start(store: &Store, place: &Path) -> Result<Search> {
    let notes = Index::<Note>::new(INDEX)
        .text("own", |note| note.own.as_str())
        .text("text", |note| note.text.as_str())
        .field("author", |note| note.author.clone())
        .vectors(space()?);
    let search = Search::builder(store).folder(index(place)).index(notes).start();
    search.await.context("the search cannot be started")
}

/// Inserts, changes or deletes something; returns what the note is now, if it is.
pub(super) fn change(
    tx: &mut Tx,
    space: &Space,
    id: Option<Id<Note>>,
    note: Note,
    random: &Random,
) -> loomwork_store::Result<Option<Id<Note>>> {
    let id = match id {
        Some(id) if tx.get(id)?.is_some() => {
            if random.below(4) == 0 {
                vectors::delete_for(tx, id)?;
                tx.delete(id)?;
                return Ok(None);
            }
            tx.replace(id, note)?;
            id
        }
        _ => tx.insert(note)?.id,
    };
    match random.below(4) {
        0 => drop(vectors::delete_for(tx, id)?),
        1 => {}
        _ => drop(vectors::insert(tx, space, id, draw_vector(random))?),
    }
    Ok(Some(id))
}

pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (entry, to) = (entry?, to);
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

pub(super) fn remove(folder: &Path) -> Result<()> {
    match folder.exists() {
        true => Ok(fs::remove_dir_all(folder)?),
        false => Ok(()),
    }
}
