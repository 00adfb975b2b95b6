//! The records: files, the blobs that hold their contents, and who owns which file.

use loomwork_core::{Kind, Time};
use loomwork_store::{Id, Result, Table, TableDef, Tx};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash::Hash;
use crate::owners::Owner;

/// The id of a file.
pub type FileId = Id<File>;

/// A content with a name. Several files may share one content, which is stored once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "files", id = "file")]
#[index(by_content(hash, name))]
#[index(by_blob(blob))]
#[index(unowned(touched), when = File::is_unowned)]
pub struct File {
    /// The address of the content.
    pub hash: Hash,
    /// How many bytes it has.
    pub size: u64,
    /// What it is, in lower case; absent where neither caller, bytes nor name tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The name that it was stored under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The caller's own JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Value>,
    /// When it was first registered.
    pub created: Time,
    /// How many owners it has.
    pub owners: u64,
    /// When it was last stored, or lost its last owner: the grace of a file without owners counts from here.
    pub touched: Time,
    pub(crate) blob: Id<Blob>,
}

impl File {
    fn is_unowned(&self) -> bool {
        self.owners == 0
    }
}

/// An object of the object store, under a key that is its id. The row is there before the object and
/// stays until the object is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "file_blobs", id = "blob")]
#[index(unique by_hash(hash), when = Blob::is_stored)]
#[index(unused(until), when = Blob::is_unused)]
#[index(doomed(until), when = Blob::is_doomed)]
pub struct Blob {
    pub(crate) state: BlobState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hash: Option<Hash>,
    pub(crate) size: u64,
    /// How many files have this content.
    pub(crate) files: u64,
    /// Somebody may be about to use it until then; without files, it is given up after that.
    pub(crate) until: Time,
    /// A check has found that the object is not what was stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) damaged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BlobState {
    /// It is being written, or staged and not yet registered.
    Uploading,
    /// It holds the content of its hash.
    Stored,
    /// Its object is to be removed, and never written again.
    Doomed,
}

impl Blob {
    pub(crate) fn begun(until: Time) -> Self {
        Self { state: BlobState::Uploading, hash: None, size: 0, files: 0, until, damaged: false }
    }

    pub(crate) fn is_stored(&self) -> bool {
        self.state == BlobState::Stored
    }

    fn is_doomed(&self) -> bool {
        self.state == BlobState::Doomed
    }

    fn is_unused(&self) -> bool {
        self.files == 0 && !self.is_doomed()
    }
}

/// One owner's hold on a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "file_references", id = "fileref")]
#[index(unique by_owner(table, owner, file))]
#[index(by_file(file))]
pub struct Reference {
    /// What is owned.
    pub file: FileId,
    /// The table of the owner.
    pub table: String,
    /// The owner's id there.
    pub owner: String,
}

impl Reference {
    /// Returns the owner.
    pub fn owner(&self) -> Owner {
        Owner { table: self.table.clone(), id: self.owner.clone() }
    }
}

/// Whether a row is there and can be read. One that cannot be read is damage, and no reason to keep others
/// from being let go.
pub(crate) fn is_usable<T: Table>(tx: &Tx, id: Id<T>) -> Result<bool> {
    match tx.get(id) {
        Ok(row) => Ok(row.is_some()),
        Err(error) if error.kind() == Kind::Corrupt => {
            tracing::error!(%id, %error, "a row is let go that cannot be read");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The crate's tables, for [`Store::builder`](loomwork_store::Store::builder).
pub fn tables() -> [TableDef; 3] {
    [File::table(), Blob::table(), Reference::table()]
}
