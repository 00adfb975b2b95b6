//! What a vector index on disk consists of.

use std::path::Path;

use loomwork_store::engine::Seq;
use serde::{Deserialize, Serialize};

use crate::place::{read_whole, write_whole};
use crate::{Metric, Result};

/// The version of the files; an index that was written by another is made anew.
const VERSION: u32 = 2;
const FILE: &str = "manifest";

/// What a vector index on disk consists of: whoever has it has the whole state up to `applied`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    pub(crate) stamp: Stamp,
    pub(crate) applied: u64,
    pub(crate) segments: Vec<Listed>,
}

/// What an index was made from; another one is of no use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub(crate) store: [u8; 16],
    pub(crate) table: String,
    pub(crate) declaration: u32,
    pub(crate) fields: Vec<String>,
    pub(crate) model: String,
    pub(crate) dimension: usize,
    pub(crate) metric: Metric,
}

/// A sealed segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    /// Its dead rows, as a serialised bitmap.
    pub(crate) dead: Vec<u8>,
}

impl Manifest {
    pub(crate) fn new(stamp: Stamp, applied: Seq, segments: Vec<Listed>) -> Self {
        Self { version: VERSION, stamp, applied: applied.0, segments }
    }

    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let bytes = postcard::to_allocvec(self).map_err(std::io::Error::other)?;
        Ok(write_whole(&folder.join(FILE), &bytes)?)
    }

    pub(crate) fn delete(folder: &Path) -> Result<()> {
        match std::fs::remove_file(folder.join(FILE)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Reads the manifest of an index that was made from the same; `None` if there is none.
    pub(crate) fn read(folder: &Path, stamp: &Stamp) -> Result<Option<Self>> {
        let Some(bytes) = read_whole(&folder.join(FILE))? else { return Ok(None) };
        let manifest = postcard::from_bytes::<Self>(&bytes).ok();
        Ok(manifest.filter(|manifest| manifest.version == VERSION && manifest.stamp == *stamp))
    }
}
