//! Pages of a range, and the cursors between them.

use std::fmt;
use std::hash::Hasher;
use std::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use loomwork_core::{Fault, Kind};
use serde::{Deserialize, Serialize};

use crate::error::beginning;
use crate::table::{Row, Table};

/// Which part of a range to read: how many rows, and behind which cursor.
///
/// A page begins behind the last row of the one before it, so rows that come and go elsewhere
/// neither repeat nor hide others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// How many rows at most; at least 1.
    pub size: usize,
    /// The cursor that the page before gave; none for the first page.
    pub after: Option<Cursor>,
}

impl Page {
    /// The first `size` rows.
    pub fn first(size: usize) -> Self {
        Self { size, after: None }
    }

    /// The `size` rows behind `cursor`.
    pub fn after(cursor: Cursor, size: usize) -> Self {
        Self { size, after: Some(cursor) }
    }
}

/// One page of rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound = "T: Table")]
pub struct Paged<T: Table> {
    /// The rows, in the range's order.
    pub rows: Vec<Row<T>>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// A place in a query's results, as an opaque text that may be handed to a client.
///
/// It belongs to the query that gave it (its index, bounds and direction) and is refused by others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(String);

/// A cursor that cannot continue a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CursorError {
    /// The text, which begins so, was not made by this store, or was cut.
    #[error("{0:?} is not a cursor; pass on the `next` of the page before, unchanged")]
    Malformed(String),
    /// The cursor was given by another query.
    #[error(
        "the cursor belongs to another query than this one over `{table}.{index}`; begin again at the first page"
    )]
    Foreign {
        /// The table of the query that refused it.
        table: &'static str,
        /// Its index, or `id`.
        index: &'static str,
    },
    /// A page of no rows.
    #[error("a page of 0 rows can hold nothing; ask for at least 1")]
    EmptyPage,
}

impl Fault for CursorError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let cursor = Self(text.to_owned());
        cursor.parts().map(|_| cursor)
    }
}

const MARK: usize = 8;

impl Cursor {
    /// A cursor behind `key` in the query with this fingerprint.
    pub(crate) fn new(query: Fingerprint, key: &[u8]) -> Self {
        let mut bytes = query.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(key);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// The key that the query with this fingerprint stopped at.
    pub(crate) fn key(&self, query: Fingerprint) -> Result<Option<Vec<u8>>, CursorError> {
        let (mark, key) = self.parts()?;
        Ok((mark == query.0).then_some(key))
    }

    fn parts(&self) -> Result<(u64, Vec<u8>), CursorError> {
        let malformed = || CursorError::Malformed(beginning(&self.0));
        let mut bytes = BASE64URL_NOPAD.decode(self.0.as_bytes()).map_err(|_| malformed())?;
        let (mark, _) = bytes.split_first_chunk::<MARK>().ok_or_else(malformed)?;
        let mark = u64::from_be_bytes(*mark);
        bytes.drain(..MARK);
        Ok((mark, bytes))
    }
}

/// What makes two queries the same one for a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    /// FNV-1a: the same in every process and release, unlike the standard hasher.
    pub(crate) fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        for part in parts {
            hash.write(&part.len().to_be_bytes());
            hash.write(part);
        }
        Self(hash.finish())
    }
}

struct Fnv(u64);

impl Hasher for Fnv {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
