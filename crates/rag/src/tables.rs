//! The records of namespaces, entries and chunks.
//!
//! Their fields are public to be read. They are changed through the functions of this crate, which keep
//! what holds between them.

use std::collections::BTreeMap;

use loomwork_core::Time;
use loomwork_files::FileId;
use loomwork_search::Space;
use loomwork_store::{Id, Key, Table, TableDef};
use loomwork_workpool::JobId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::weight::WHOLE;

/// The id of a namespace.
pub type NamespaceId = Id<NamespaceRow>;
/// The id of an entry.
pub type EntryId = Id<EntryRow>;
/// The id of a chunk.
pub type ChunkId = Id<ChunkRow>;

/// What an application keeps with a row: names and JSON.
pub type Metadata = Map<String, Value>;

/// Where a namespace stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceStatus {
    /// It is being filled, and answers no search by its name yet.
    Pending,
    /// It answers.
    Ready,
    /// Another one of its name and configuration answers in its place.
    Replaced,
    /// It is being deleted with all that is in it; nothing is added to it or found in it.
    Deleting,
}

/// An isolated space of knowledge: one version of a name, for one embedding model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rag_namespaces", id = "namespace")]
#[index(unique by_name(name, version))]
#[index(by_status(status))]
#[non_exhaustive]
pub struct NamespaceRow {
    /// Its name, which several versions share.
    pub name: String,
    /// Its number among them, from 0.
    pub version: u32,
    /// The model and the length of its vectors.
    pub space: Space,
    /// The other space that its chunks have vectors in, or are being given some, while it migrates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also: Option<Space>,
    /// The names by which its entries can be filtered.
    pub filter_names: Vec<String>,
    /// Where it stands.
    pub status: NamespaceStatus,
    /// When it was made.
    pub created: Time,
    /// When another one took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaced: Option<Time>,
    /// How many publications there were in it: the number of the last one. It only ever rises.
    #[serde(default)]
    pub(crate) published: u64,
    /// The last of the publications whose predecessors have left the index: a search that began before it does
    /// not find what it should.
    #[serde(default)]
    pub(crate) shelved: u64,
}

/// Where an entry stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Key)]
#[serde(rename_all = "snake_case")]
pub enum EntryStatus {
    /// Its chunks are being written; no search finds them.
    Pending,
    /// It is the version of its key that searches find.
    Ready,
    /// A newer version took its place, or came before it was ready.
    Replaced,
    /// It could not be made; [`EntryRow::error`] says why.
    Failed,
    /// It was called off.
    Cancelled,
    /// It is being deleted.
    Deleting,
}

impl EntryStatus {
    /// Returns its name, as it is in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Replaced => "replaced",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Deleting => "deleting",
        }
    }
}

/// A piece of content: a document, a note, a file. One row is one version of its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rag_entries", id = "entry")]
#[index(by_namespace(namespace))]
#[index(by_status(namespace, status))]
#[index(of_status(status))]
#[index(unique by_key(namespace, key, version), when = EntryRow::has_key)]
#[index(unique live(namespace, key), when = EntryRow::is_live_of_key)]
#[index(by_hash(namespace, content_hash), when = EntryRow::is_live_of_hash)]
#[index(of_origin(namespace, origin), when = EntryRow::is_live_of_origin)]
#[index(embedded(namespace, spaces: String = EntryRow::spaces_key), when = EntryRow::is_embedded, version = 3)]
#[index(hidden(namespace), when = EntryRow::is_hidden)]
#[index(sweeps(due), when = EntryRow::is_swept, version = 2)]
#[index(leases(due), when = EntryRow::is_leased)]
#[non_exhaustive]
pub struct EntryRow {
    /// Where it is.
    pub namespace: NamespaceId,
    /// What it is the content of: a path, an address, an id elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Its number among the versions of its key, from 0.
    pub version: u32,
    /// Where it stands.
    pub status: EntryStatus,
    /// Its title, for people and for models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Metadata,
    /// The values by which it is filtered.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub filters: BTreeMap<String, Value>,
    /// How much it counts, from 0 to 1.
    pub importance: f32,
    /// What its content was made from; equal hashes are equal contents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// The source that keeps it in step with something outside; see [`sync`](crate::Rag::sync).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The file that it is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileId>,
    /// How many chunks it has, so far while it is pending.
    pub chunks: u32,
    /// How many tokens were embedded for it.
    pub tokens: u64,
    /// When it was begun.
    pub created: Time,
    /// When it left its last status.
    pub settled: Time,
    /// The number of its publication in the namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How often its job was tried.
    #[serde(default)]
    pub attempts: u32,
    /// The job that makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<JobId>,
    /// What the caller wants to be told with it when it settles.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub context: Value,
    /// The spaces in which all of its chunks have vectors.
    pub spaces: Vec<Space>,
    /// It was added by the name of its namespace, so it belongs to the version that answers by that.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) by_name: bool,
    /// Nobody said how much it counts, so it counts as much as the version before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) inherits: bool,
    /// The publication that took its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) over: Option<u64>,
    /// Until when it is kept, now that it is not live; for ever where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<Time>,
    /// The first of its chunks that do not count as much as it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) weighing: Option<u32>,
    /// The search may still know chunks of it, though it is not live.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) hidden: bool,
    /// Up to which chunk they have been taken from the search.
    #[serde(default)]
    pub(crate) swept: u32,
    /// When upkeep looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) due: Option<Time>,
}

impl EntryRow {
    /// Whether searches find it.
    pub fn is_live(&self) -> bool {
        self.status == EntryStatus::Ready
    }

    fn has_key(&self) -> bool {
        self.key.is_some()
    }

    fn is_live_of_key(&self) -> bool {
        self.is_live() && self.has_key()
    }

    fn is_live_of_hash(&self) -> bool {
        self.is_live() && self.content_hash.is_some()
    }

    fn is_live_of_origin(&self) -> bool {
        self.is_live() && self.origin.is_some()
    }

    /// Whether it is or can be live again, or is about to be.
    pub(crate) fn is_kept(&self) -> bool {
        let is_there =
            matches!(self.status, EntryStatus::Ready | EntryStatus::Replaced | EntryStatus::Pending);
        self.published.is_some() && is_there
    }

    /// Whether it was replaced before it was ever found.
    pub(crate) fn is_of_no_use(&self) -> bool {
        self.status == EntryStatus::Replaced && self.published.is_none()
    }

    /// Whether it has vectors that searches need; what has no chunks needs none.
    fn is_embedded(&self) -> bool {
        self.is_kept() && self.chunks > 0
    }

    /// The spaces in which it has vectors, as one text.
    pub(crate) fn spaces_key(&self) -> String {
        let mut keys: Vec<String> = self.spaces.iter().map(space_key).collect();
        keys.sort_unstable();
        keys.concat()
    }

    fn is_hidden(&self) -> bool {
        self.hidden
    }

    /// Whether whoever makes it has to be heard of.
    fn is_leased(&self) -> bool {
        self.due.is_some() && self.status == EntryStatus::Pending && self.published.is_none()
    }

    fn is_swept(&self) -> bool {
        self.due.is_some() && !self.is_leased()
    }
}

/// A space as a part of [`EntryRow::spaces_key`].
pub(crate) fn space_key(space: &Space) -> String {
    format!("{}\0{}\n", space.model(), space.dimension())
}

/// A slice of an entry's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rag_chunks", id = "chunk", feed)]
#[index(unique by_entry(entry, order))]
#[index(by_hash(namespace, hash), when = ChunkRow::has_hash)]
#[non_exhaustive]
pub struct ChunkRow {
    /// Where it is.
    pub namespace: NamespaceId,
    /// What it is a slice of.
    pub entry: EntryId,
    /// Its place there, from 0.
    pub order: u32,
    /// Its text.
    pub text: String,
    /// What finds it by words, in place of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keywords: Option<String>,
    /// What the application keeps with it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Metadata,
    /// Where it is in its source.
    #[serde(flatten)]
    pub place: Place,
    /// The digest of the text that was embedded; none where the vector was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// What filters compare, of the entry and of its own metadata.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<String>,
    /// How much its entry counts.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub(crate) importance: f32,
    /// It is kept, and no search knows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) shelved: bool,
}

fn whole() -> f32 {
    WHOLE
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_whole(importance: &f32) -> bool {
    *importance == whole()
}

impl ChunkRow {
    fn has_hash(&self) -> bool {
        self.hash.is_some()
    }

    /// A number that grows with the entries as they are begun.
    pub(crate) fn begun(&self) -> i64 {
        begun(self.entry)
    }

    /// What finds it by words.
    pub(crate) fn searchable(&self) -> &str {
        self.keywords.as_deref().unwrap_or(&self.text)
    }
}

/// A number that grows with the entries as they are begun. Those of one moment may share it.
pub(crate) fn begun(entry: EntryId) -> i64 {
    let id = u128::from_be_bytes(entry.raw().to_bytes());
    // Ids begin with their time; what is left after the sign fits.
    i64::try_from(id >> 65).unwrap_or(i64::MAX)
}

/// Where a chunk is in its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Place {
    /// Where it begins in the text that was cut, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Where it ends there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
    /// The headings that it stands under, the outermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub section: Vec<String>,
    /// The page, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
}

/// What an entry is made from by its job; its id is the entry's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rag_inputs", id = "input")]
pub(crate) struct InputRow {
    pub(crate) from: From,
    /// The hash of its content was known when it was added. That of a source is what each attempt finds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_hashed: bool,
    /// Whom embedding it is attributed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
}

/// What an entry is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    Text(String),
    File(FileId),
    Source { name: String, args: Value },
}

/// What a model read of a document whose entry is not there yet, so that nobody pays for it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rag_readings", id = "reading")]
#[index(unique by_digest(namespace, digest))]
#[index(by_time(namespace, read))]
pub(crate) struct ReadingRow {
    pub(crate) namespace: NamespaceId,
    /// That of the document's bytes and of who read them.
    pub(crate) digest: String,
    pub(crate) text: String,
    pub(crate) read: Time,
}

/// What a namespace's migration to another model has done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Table)]
#[serde(rename_all = "camelCase")]
#[table(name = "rag_migrations", id = "migration")]
#[index(unique by_namespace(namespace))]
pub(crate) struct MigrationRow {
    pub(crate) namespace: NamespaceId,
    pub(crate) from: Space,
    pub(crate) to: Space,
    pub(crate) chunks: u64,
    pub(crate) tokens: u64,
    pub(crate) job: Option<JobId>,
    /// Why its job does not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// The crate's tables, for [`Store::builder`](loomwork_store::Store::builder). A store needs those of
/// `loomwork-search` and `loomwork-workpool` too, and those of `loomwork-files` where files are read.
pub fn tables() -> [TableDef; 6] {
    [
        NamespaceRow::table(),
        EntryRow::table(),
        ChunkRow::table(),
        InputRow::table(),
        ReadingRow::table(),
        MigrationRow::table(),
    ]
}
