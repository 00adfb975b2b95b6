//! The crate's records.

use loomwork_core::RawId;
use loomwork_store::{Id, Table, TableDef};
use serde::{Deserialize, Serialize};

use crate::space::DIGEST_BYTES;

/// A vector that stands for a row of another table.
///
/// Its id is made from that row's, see [`vectors`](crate::vectors): there is one for each row and space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "search_vectors", id = "vector", codec = compact, feed)]
#[index(by_owner(owner_table, owner: RawId = VectorRow::owner_id))]
#[index(by_space(model, dimension, owner_table, owner: RawId = VectorRow::owner_id))]
#[index(by_text(model, dimension, text), when = VectorRow::is_of_text)]
pub struct VectorRow {
    pub(crate) owner_table: String,
    pub(crate) owner: [u8; 16],
    pub(crate) model: String,
    pub(crate) dimension: u32,
    pub(crate) vector: Vec<f32>,
    /// The digest of the text that it was made from; none where a program wrote it.
    pub(crate) text: Option<Vec<u8>>,
}

impl VectorRow {
    /// Returns the row that it stands for, if that is one of `T`.
    pub fn owner<T: Table>(&self) -> Option<Id<T>> {
        (self.owner_table == T::NAME).then(|| Id::from_raw(self.owner_id()))
    }

    /// Returns the table of the row that it stands for.
    pub fn owner_table(&self) -> &str {
        &self.owner_table
    }

    /// Returns the model that made it.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the vector.
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }

    pub(crate) fn owner_id(&self) -> RawId {
        RawId::from_bytes(self.owner)
    }

    /// Whether it was made from a text, and not written by a program.
    pub(crate) fn is_of_text(&self) -> bool {
        self.text.is_some()
    }

    pub(crate) fn is_of(&self, text: &[u8; DIGEST_BYTES]) -> bool {
        self.text.as_deref() == Some(text)
    }
}

/// How far what is derived from a table's rows has been filled from them. A fill that a restart
/// interrupts goes on behind `after`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "search_followers", id = "follower")]
#[index(unique by_name(name))]
pub(crate) struct FollowerRow {
    pub(crate) name: String,
    pub(crate) filled: bool,
    pub(crate) after: Option<[u8; 16]>,
}

/// How far an index's rows have been looked at for texts to embed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "search_embedders", id = "embedder")]
#[index(unique by_index(index))]
pub(crate) struct EmbedderRow {
    pub(crate) index: String,
    pub(crate) model: String,
    pub(crate) dimension: u32,
    /// The version of the index's declaration.
    pub(crate) version: u32,
    pub(crate) filled: bool,
    pub(crate) after: Option<[u8; 16]>,
}

/// Rows whose texts wait to be embedded, until their vectors are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[table(name = "search_batches", id = "batch")]
#[index(by_index(index, from))]
#[index(failed(index), when = BatchRow::has_failed)]
pub(crate) struct BatchRow {
    pub(crate) index: String,
    /// The position of the first change that it is about.
    pub(crate) from: u64,
    pub(crate) owners: Vec<[u8; 16]>,
    /// Why it is not tried again by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<String>,
}

impl BatchRow {
    fn has_failed(&self) -> bool {
        self.failed.is_some()
    }
}

/// The crate's tables, for [`Store::builder`](loomwork_store::Store::builder).
pub fn tables() -> [TableDef; 4] {
    [VectorRow::table(), FollowerRow::table(), EmbedderRow::table(), BatchRow::table()]
}
