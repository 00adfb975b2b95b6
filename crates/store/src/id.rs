//! Typed row ids.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::str::FromStr;

use loomwork_core::{Fault, Kind, RawId, Time};
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::error::beginning;
use crate::key::{Key, KeyError};
use crate::table::Table;

/// The id of a row of `T`: a UUIDv7, so ids sort by creation.
///
/// Its text is the table's prefix and 26 characters, `message_06bq…`, so that an id of another
/// table is an error that says so. Keys and compact records hold its 16 bytes.
pub struct Id<T> {
    raw: RawId,
    table: PhantomData<fn() -> T>,
}

/// A text that is not an id of the table it was read for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// The id belongs to another table.
    #[error("{text:?} is not an id of table `{table}`, whose ids begin with `{prefix}_`")]
    OtherTable {
        /// How what was given begins.
        text: String,
        /// The table that was meant.
        table: &'static str,
        /// How that table's ids begin.
        prefix: &'static str,
    },
    /// The part behind the prefix is not 26 characters of base32.
    #[error("{text:?} is not an id of table `{table}`: {reason}")]
    Malformed {
        /// How what was given begins.
        text: String,
        /// The table that was meant.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

impl Fault for IdError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl<T> Id<T> {
    /// Takes an untyped id as one of this table.
    pub const fn from_raw(raw: RawId) -> Self {
        Self { raw, table: PhantomData }
    }

    /// Returns the id without its type.
    pub const fn raw(self) -> RawId {
        self.raw
    }

    /// Returns when the id was made.
    pub fn time(self) -> Time {
        self.raw.time()
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Id<T> {}

impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl<T> Eq for Id<T> {}

impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.raw.cmp(&other.raw)
    }
}

impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.raw.hash(state);
    }
}

impl<T: Table> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", T::ID, self.raw)
    }
}

impl<T: Table> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T: Table> FromStr for Id<T> {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let bare = text
            .strip_prefix(T::ID)
            .and_then(|rest| rest.strip_prefix('_'))
            .ok_or_else(|| IdError::OtherTable { text: beginning(text), table: T::NAME, prefix: T::ID })?;
        bare.parse().map(Self::from_raw).map_err(|error: loomwork_core::ParseIdError| IdError::Malformed {
            text: beginning(text),
            table: T::NAME,
            reason: error.to_string(),
        })
    }
}

impl<T: Table> Serialize for Id<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.raw.as_bytes().serialize(serializer)
        }
    }
}

impl<'de, T: Table> Deserialize<'de> for Id<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(IdText(PhantomData))
        } else {
            <[u8; 16]>::deserialize(deserializer).map(|bytes| Self::from_raw(RawId::from_bytes(bytes)))
        }
    }
}

struct IdText<T>(PhantomData<fn() -> T>);

impl<T: Table> Visitor<'_> for IdText<T> {
    type Value = Id<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an id of table `{}`, `{}_…`", T::NAME, T::ID)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id<T>, E> {
        text.parse().map_err(E::custom)
    }
}

impl<T> Key for Id<T> {
    fn write(&self, out: &mut Vec<u8>) -> Result<(), KeyError> {
        self.raw.write(out)
    }

    fn read(input: &mut &[u8]) -> Result<Self, KeyError> {
        RawId::read(input).map(Self::from_raw)
    }
}
