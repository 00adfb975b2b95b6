//! What a table is: a record type with a name, a codec and indexes.

use std::any::TypeId;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use loomwork_core::RawId;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{Codec, Old};
use crate::engine::EntryKey;
use crate::error::{Problem, Result};
use crate::id::Id;
use crate::key::KeyError;
use crate::span::Span;

/// The most bytes that one encoded record may take.
pub const MAX_RECORD_BYTES: usize = 4 << 20;

/// The most bytes that the parts of one index key may take.
pub const MAX_KEY_BYTES: usize = 1024;

/// A record type that is stored as a table; `#[derive(Table)]` writes this.
///
/// The derive's attributes are on [its page](macro@crate::Table).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a table",
    note = "give it `#[derive(Serialize, Deserialize, Table)]` and `#[table(name = \"..\", id = \"..\")]`"
)]
pub trait Table: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The table's name in the store, unique in it.
    const NAME: &'static str;
    /// How the text of the table's ids begins.
    const ID: &'static str;
    /// The version of the record's shape.
    const VERSION: u32 = 1;
    /// How records are written.
    const CODEC: Codec = Codec::Json;
    /// How the engine may lay the rows out.
    const LAYOUT: Layout = Layout::ById;
    /// Whether the change feed tells of this table's rows.
    const FEED: bool = false;
    /// The table's indexes.
    const INDEXES: &'static [IndexDef<Self>] = &[];

    /// Makes a record of today's version from one that was written as version `from`.
    ///
    /// # Errors
    /// Whatever makes the old record unusable; the read that met it fails with that.
    fn upgrade(from: u32, old: Old<'_>) -> Result<Self> {
        let _ = old;
        Err(Problem::NoUpgrade { table: Self::NAME, from, to: Self::VERSION }.into())
    }

    /// Every row, in the order of their ids: the one scan that uses no index.
    fn all() -> Span<Self, (Id<Self>,)> {
        Span::by_id()
    }

    /// Describes the table for [`Store::builder`](crate::Store::builder).
    fn table() -> TableDef {
        TableDef::of::<Self>()
    }
}

/// How an engine may lay a table's rows out.
///
/// Clustering by an index makes reading a range of it several times faster and inserts about
/// half as fast; it is right for short rows that are read in runs. Engines may ignore it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// In the order of the ids, which is the order of creation.
    ById,
    /// In the order of the index with this number.
    ClusteredBy(u16),
}

/// One index of a table: how its key is made from a record.
pub struct IndexDef<T> {
    /// The index's name, unique in its table.
    pub name: &'static str,
    /// A higher version than the stored one makes the store fill the index anew when it opens.
    pub version: u32,
    /// How the key is declared: its parts with their types, and the functions that make it. So does
    /// another declaration than the stored one.
    pub declared: &'static str,
    /// Whether two rows may not share a key.
    pub unique: bool,
    /// Appends the key's parts; `false` leaves the row out of the index.
    pub key: fn(&T, &mut Vec<u8>) -> Result<bool, KeyError>,
}

impl<T> fmt::Debug for IndexDef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IndexDef")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("declared", &self.declared)
            .field("unique", &self.unique)
            .finish_non_exhaustive()
    }
}

/// A stored record and its id. It reads as the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "T: Table")]
pub struct Row<T: Table> {
    /// The row's id.
    pub id: Id<T>,
    /// What is stored.
    #[serde(flatten)]
    pub record: T,
}

impl<T: Table> Deref for Row<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.record
    }
}

impl<T: Table> DerefMut for Row<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.record
    }
}

/// The keys of one row, by index number; `None` where the row is not in the index.
pub(crate) type Keys = Vec<Option<EntryKey>>;

/// A table without its type: what the store has to know to open, fill and check it.
#[derive(Clone)]
pub struct TableDef {
    pub(crate) record: TypeId,
    pub(crate) name: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) version: u32,
    pub(crate) codec: Codec,
    pub(crate) layout: Layout,
    pub(crate) feed: bool,
    pub(crate) indexes: Vec<IndexShape>,
    pub(crate) keys: fn(RawId, u32, &[u8]) -> Result<Keys>,
}

/// An index without its type.
#[derive(Clone, Debug)]
pub(crate) struct IndexShape {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) declared: &'static str,
    pub(crate) unique: bool,
}

impl fmt::Debug for TableDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TableDef")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("codec", &self.codec)
            .field("layout", &self.layout)
            .field("feed", &self.feed)
            .field("indexes", &self.indexes)
            .finish_non_exhaustive()
    }
}

impl TableDef {
    /// Describes `T`.
    pub fn of<T: Table>() -> Self {
        let shape = |index: &IndexDef<T>| IndexShape {
            name: index.name,
            version: index.version,
            declared: index.declared,
            unique: index.unique,
        };
        Self {
            record: TypeId::of::<T>(),
            name: T::NAME,
            prefix: T::ID,
            version: T::VERSION,
            codec: T::CODEC,
            layout: T::LAYOUT,
            feed: T::FEED,
            indexes: T::INDEXES.iter().map(shape).collect(),
            keys: |id, version, body| entry_keys::<T>(id, &decode(id, version, body)?),
        }
    }
}

/// Reads a record, whatever version it was written as.
pub(crate) fn decode<T: Table>(id: RawId, version: u32, body: &[u8]) -> Result<T> {
    let unreadable =
        |reason: String| Problem::Unreadable { table: T::NAME, prefix: T::ID, id, version, reason }.into();
    if version == T::VERSION {
        T::CODEC.decode(body).map_err(unreadable)
    } else if version < T::VERSION {
        T::upgrade(version, Old::new(T::CODEC, body)).map_err(|error| match error.downcast_ref::<Problem>() {
            Some(Problem::NoUpgrade { .. }) => error,
            _ => unreadable(error.to_string()),
        })
    } else {
        let what = format!("row {}_{id} of table `{}`", T::ID, T::NAME);
        Err(Problem::Newer { what, found: version, known: T::VERSION }.into())
    }
}

/// Writes a record, within the limit.
pub(crate) fn encode<T: Table>(record: &T, before: Option<&[u8]>) -> Result<Vec<u8>> {
    let body =
        T::CODEC.encode(record, before).map_err(|reason| Problem::Unencodable { table: T::NAME, reason })?;
    if body.len() > MAX_RECORD_BYTES {
        let (bytes, limit) = (body.len(), MAX_RECORD_BYTES);
        return Err(Problem::RecordTooLarge { table: T::NAME, bytes, limit }.into());
    }
    Ok(body)
}

/// Makes a record's index entries: the key's parts, then the id, so that every entry is unique.
pub(crate) fn entry_keys<T: Table>(id: RawId, record: &T) -> Result<Keys> {
    let mut key = Vec::with_capacity(64);
    let mut entry = |index: &IndexDef<T>| -> Result<Option<EntryKey>> {
        key.clear();
        let included = (index.key)(record, &mut key).map_err(|source| Problem::BadKey {
            table: T::NAME,
            index: index.name,
            source,
        })?;
        if !included {
            return Ok(None);
        }
        if key.len() > MAX_KEY_BYTES {
            let (bytes, limit) = (key.len(), MAX_KEY_BYTES);
            return Err(Problem::KeyTooLarge { table: T::NAME, index: index.name, bytes, limit }.into());
        }
        key.extend_from_slice(id.as_bytes());
        Ok(Some(Arc::from(key.as_slice())))
    };
    // The length is known, which `collect` cannot tell of a `Result`.
    let mut keys = Keys::with_capacity(T::INDEXES.len());
    for index in T::INDEXES {
        keys.push(entry(index)?);
    }
    Ok(keys)
}
