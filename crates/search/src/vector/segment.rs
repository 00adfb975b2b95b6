//! Vectors that are kept and searched together.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use loomwork_core::RawId;
use serde::{Deserialize, Serialize};

use super::codes::Coded;
use crate::columns::Columns;
use crate::place::{read_whole, write_whole};
use crate::{Result, Value};

/// The number of a row within its segment.
pub(crate) type RowNumber = u32;

/// Vectors that are kept and searched together, with the filter values of their owners.
///
/// The codes are in memory, for the first look; the vectors themselves are in a file once the segment
/// is sealed, for the second look at the few that are left.
#[derive(Debug)]
pub(crate) struct Segment {
    dimension: usize,
    pub(crate) ids: Vec<RawId>,
    pub(crate) codes: Vec<i8>,
    pub(crate) scales: Vec<f32>,
    pub(crate) errors: Vec<f32>,
    pub(crate) columns: Columns,
    vectors: Vectors,
}

#[derive(Debug)]
enum Vectors {
    Memory(Vec<f32>),
    File(File),
}

/// What is in a segment's file besides codes and vectors.
#[derive(Serialize, Deserialize)]
struct Head {
    dimension: usize,
    ids: Vec<[u8; 16]>,
    scales: Vec<f32>,
    errors: Vec<f32>,
    codes: Vec<u8>,
    values: Vec<Vec<Vec<Stored>>>,
}

/// A [`Value`] in a form that says its type.
#[derive(Serialize, Deserialize)]
enum Stored {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
}

impl Segment {
    pub(crate) fn new(dimension: usize, fields: usize) -> Self {
        let (ids, codes, scales, errors) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (columns, vectors) = (Columns::new(fields), Vectors::Memory(Vec::new()));
        Self { dimension, ids, codes, scales, errors, columns, vectors }
    }

    /// Returns how many rows there are, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a row to a segment that is not sealed, and returns its number.
    pub(crate) fn push(&mut self, id: RawId, vector: &[f32], values: &[Vec<Value>]) -> RowNumber {
        let row = self.ids.len() as RowNumber;
        let coded = Coded::of(vector);
        self.ids.push(id);
        self.codes.extend(coded.codes);
        self.scales.push(coded.scale);
        self.errors.push(coded.error);
        self.columns.push(values);
        if let Vectors::Memory(vectors) = &mut self.vectors {
            vectors.extend_from_slice(vector);
        }
        row
    }

    /// Reads a row's vector.
    pub(crate) fn read(&self, row: RowNumber, into: &mut Vec<f32>) -> Result<()> {
        into.clear();
        let start = row as usize * self.dimension;
        match &self.vectors {
            Vectors::Memory(vectors) => into.extend_from_slice(&vectors[start..start + self.dimension]),
            Vectors::File(file) => {
                let mut bytes = vec![0; self.dimension * size_of::<f32>()];
                file.read_exact_at(&mut bytes, (start * size_of::<f32>()) as u64)?;
                into.extend(bytes.as_chunks().0.iter().map(|part| f32::from_le_bytes(*part)));
            }
        }
        Ok(())
    }

    /// Writes the segment to its files, and returns it with its vectors there.
    pub(crate) fn seal(&self, path: &Path) -> Result<Self> {
        let values = self.columns.values().into_iter().map(|row| {
            row.into_iter().map(|values| values.into_iter().map(Stored::from).collect()).collect()
        });
        let head = Head {
            dimension: self.dimension,
            ids: self.ids.iter().map(|id| id.to_bytes()).collect(),
            scales: self.scales.clone(),
            errors: self.errors.clone(),
            codes: self.codes.iter().map(|code| code.cast_unsigned()).collect(),
            values: values.collect(),
        };
        if let Vectors::Memory(vectors) = &self.vectors {
            let mut file = io::BufWriter::new(File::create(vectors_of(path))?);
            for part in vectors {
                file.write_all(&part.to_le_bytes())?;
            }
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        // The head comes last: a segment with a head is whole.
        write_whole(path, &postcard::to_allocvec(&head).map_err(io::Error::other)?)?;
        let unreadable =
            || io::Error::other(format!("the segment {} is not what was written", path.display()));
        Ok(Self::open(path, self.columns.fields())?.ok_or_else(unreadable)?)
    }

    /// Returns whether the segment is in files.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.vectors, Vectors::File(_))
    }

    /// Opens a sealed segment; `None` if its files are not what was written.
    pub(crate) fn open(path: &Path, fields: usize) -> Result<Option<Self>> {
        let Some(bytes) = read_whole(path)? else { return Ok(None) };
        let Ok(head) = postcard::from_bytes::<Head>(&bytes) else { return Ok(None) };
        let Ok(file) = File::open(vectors_of(path)) else { return Ok(None) };
        let (rows, width) = (head.ids.len(), head.dimension * size_of::<f32>());
        let fits = head.codes.len() == rows * head.dimension
            && [head.scales.len(), head.errors.len(), head.values.len()] == [rows; 3]
            && file.metadata()?.len() == (rows * width) as u64;
        if !fits {
            return Ok(None);
        }
        let mut columns = Columns::new(fields);
        for row in head.values {
            let row: Vec<Vec<Value>> =
                row.into_iter().map(|values| values.into_iter().map(Value::from).collect()).collect();
            columns.push(&row);
        }
        columns.seal();
        Ok(Some(Self {
            dimension: head.dimension,
            ids: head.ids.into_iter().map(RawId::from_bytes).collect(),
            codes: head.codes.into_iter().map(u8::cast_signed).collect(),
            scales: head.scales,
            errors: head.errors,
            columns,
            vectors: Vectors::File(file),
        }))
    }

    /// Returns about how many bytes of memory are held.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.ids.len() * (size_of::<RawId>() + 2 * size_of::<f32>());
        let vectors = match &self.vectors {
            Vectors::Memory(vectors) => vectors.len() * size_of::<f32>(),
            Vectors::File(_) => 0,
        };
        rows + self.codes.len() + vectors + self.columns.bytes()
    }
}

fn vectors_of(path: &Path) -> PathBuf {
    path.with_extension("vectors")
}

impl From<Value> for Stored {
    fn from(value: Value) -> Self {
        match value {
            Value::Bool(value) => Self::Bool(value),
            Value::Int(value) => Self::Int(value),
            Value::Float(value) => Self::Float(value),
            Value::Text(value) => Self::Text(value),
        }
    }
}

impl From<Stored> for Value {
    fn from(value: Stored) -> Self {
        match value {
            Stored::Bool(value) => Self::Bool(value),
            Stored::Int(value) => Self::Int(value),
            Stored::Float(value) => Self::Float(value),
            Stored::Text(value) => Self::Text(value),
        }
    }
}
