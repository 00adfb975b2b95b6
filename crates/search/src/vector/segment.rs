//! Vectors that are kept and searched together.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use loomwork_core::RawId;
use serde::{Deserialize, Serialize};

use super::codes::{Coded, Shape};
use super::graph::Graph;
use super::kernel;
use crate::budget::{Budget, Held};
use crate::columns::{Columns, Written};
use crate::place::{read_whole, write_whole};
use crate::{Result, Value};

/// The number of a row within its segment.
pub(crate) type RowNumber = u32;

/// How many rows of codes are looked at in one go.
pub(crate) const BLOCK: usize = 1_024;

/// Vectors that are kept and searched together, with the filter values of their owners.
///
/// The codes are for the first look, and in memory as long as the budget allows; the vectors themselves
/// are in a file once the segment is sealed, for the second look at the few that are left.
#[derive(Debug)]
pub(crate) struct Segment {
    dimension: usize,
    pub(crate) ids: Vec<RawId>,
    codes: Codes,
    pub(crate) shapes: Vec<Shape>,
    pub(crate) columns: Columns,
    vectors: Vectors,
    graph: OnceLock<(Box<dyn Graph>, Held)>,
    /// Whether a search would have used a graph.
    is_graph_wanted: AtomicBool,
}

#[derive(Debug)]
enum Codes {
    /// With their part of the budget, where they are of a sealed segment.
    Memory {
        codes: Vec<i8>,
        _held: Option<Held>,
    },
    File(File),
}

#[derive(Debug)]
enum Vectors {
    Memory(Vec<f32>),
    /// They go to a file as they come, and cannot be read yet.
    Writing(BufWriter<File>),
    File(File),
}

/// What is in a segment's file besides codes and vectors.
#[derive(Serialize, Deserialize)]
struct Head {
    dimension: usize,
    ids: Vec<[u8; 16]>,
    scales: Vec<f32>,
    lengths: Vec<f32>,
    errors: Vec<f32>,
    values: Written,
    /// The checksum of the codes.
    codes: u32,
}

impl Segment {
    /// Returns an empty segment that keeps its vectors in memory until it is sealed.
    pub(crate) fn new(dimension: usize, fields: usize) -> Self {
        Self::with(dimension, fields, Vectors::Memory(Vec::new()))
    }

    /// Returns an empty segment that writes its vectors to its file at once. It can be searched once it
    /// is sealed.
    pub(crate) fn writing(dimension: usize, fields: usize, path: &Path) -> Result<Self> {
        let file = BufWriter::new(File::create(vectors_of(path))?);
        Ok(Self::with(dimension, fields, Vectors::Writing(file)))
    }

    fn with(dimension: usize, fields: usize, vectors: Vectors) -> Self {
        Self {
            dimension,
            ids: Vec::new(),
            codes: Codes::Memory { codes: Vec::new(), _held: None },
            shapes: Vec::new(),
            columns: Columns::new(fields),
            vectors,
            graph: OnceLock::new(),
            is_graph_wanted: AtomicBool::new(false),
        }
    }

    /// Returns how many rows there are, dead ones included.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Adds a row to a segment that is not sealed, and returns its number.
    pub(crate) fn push(&mut self, id: RawId, vector: &[f32], values: &[Vec<Value>]) -> Result<RowNumber> {
        let row = self.ids.len() as RowNumber;
        match &mut self.vectors {
            Vectors::Memory(vectors) => vectors.extend_from_slice(vector),
            Vectors::Writing(file) => write_vectors(file, vector)?,
            Vectors::File(_) => return Err(io::Error::other("a sealed segment takes no row").into()),
        }
        let coded = Coded::of(vector);
        if let Codes::Memory { codes, .. } = &mut self.codes {
            codes.extend(coded.codes);
        }
        self.ids.push(id);
        self.shapes.push(coded.shape);
        self.columns.push(values);
        Ok(row)
    }

    /// Reads a row's vector.
    pub(crate) fn read(&self, row: RowNumber, into: &mut Vec<f32>) -> Result<()> {
        into.clear();
        let start = row as usize * self.dimension;
        match &self.vectors {
            Vectors::Memory(vectors) => into.extend_from_slice(&vectors[start..start + self.dimension]),
            Vectors::Writing(_) => return Err(io::Error::other("a segment is not written yet").into()),
            Vectors::File(file) => {
                let mut bytes = vec![0; self.dimension * size_of::<f32>()];
                file.read_exact_at(&mut bytes, (start * size_of::<f32>()) as u64)?;
                into.extend(bytes.as_chunks().0.iter().map(|part| f32::from_le_bytes(*part)));
            }
        }
        Ok(())
    }

    /// Hands the products of a query with the rows `from..to` to `each`, in their order.
    pub(crate) fn products(
        &self,
        query: &[i8],
        from: usize,
        to: usize,
        mut each: impl FnMut(RowNumber, i32),
    ) -> Result<()> {
        let width = self.dimension;
        let (mut products, mut block) = ([0; BLOCK], Vec::new());
        for start in (from..to).step_by(BLOCK) {
            let end = to.min(start + BLOCK);
            let codes = match &self.codes {
                Codes::Memory { codes, .. } => &codes[start * width..end * width],
                Codes::File(file) => read_codes(file, start, end, width, &mut block)?,
            };
            let products = &mut products[..end - start];
            kernel::products_of_codes(query, codes, products);
            (start as RowNumber..).zip(products).for_each(|(row, product)| each(row, *product));
        }
        Ok(())
    }

    /// Writes the products of a query with some rows.
    pub(crate) fn products_of(
        &self,
        query: &[i8],
        rows: &[RowNumber],
        products: &mut Vec<i32>,
    ) -> Result<()> {
        match &self.codes {
            Codes::Memory { codes, .. } => kernel::products_of_chosen_codes(query, codes, rows, products),
            Codes::File(file) => {
                products.clear();
                let mut codes = Vec::new();
                for row in rows {
                    let row = *row as usize;
                    let codes = read_codes(file, row, row + 1, self.dimension, &mut codes)?;
                    products.push(kernel::product_of_codes(query, codes));
                }
            }
        }
        Ok(())
    }

    /// Returns the codes of a row, if they are in memory.
    pub(crate) fn codes(&self, row: RowNumber) -> Option<&[i8]> {
        let Codes::Memory { codes, .. } = &self.codes else { return None };
        let start = row as usize * self.dimension;
        codes.get(start..start + self.dimension)
    }

    /// Returns how many bytes the codes are.
    pub(crate) fn bytes_of_codes(&self) -> usize {
        self.len() * self.dimension
    }

    /// Returns whether the codes are in memory.
    pub(crate) fn is_resident(&self) -> bool {
        matches!(self.codes, Codes::Memory { .. })
    }

    /// Returns whether the segment is in files.
    pub(crate) fn is_sealed(&self) -> bool {
        matches!(self.vectors, Vectors::File(_))
    }

    pub(crate) fn graph(&self) -> Option<&dyn Graph> {
        self.graph.get().map(|(graph, _)| &**graph)
    }

    /// Gives the segment its graph; a second one is dropped.
    pub(crate) fn set_graph(&self, graph: Box<dyn Graph>, held: Held) {
        let _ = self.graph.set((graph, held));
    }

    /// Notes that a graph would have been of use.
    pub(crate) fn want_graph(&self) {
        self.is_graph_wanted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn wants_graph(&self) -> bool {
        self.is_graph_wanted.load(Ordering::Relaxed) && self.graph().is_none() && self.is_resident()
    }

    /// Returns what tells the rows from those of another segment.
    pub(crate) fn sum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        self.ids.iter().for_each(|id| hasher.update(&id.to_bytes()));
        hasher.finalize()
    }

    /// Ends a segment that wrote its vectors as they came.
    pub(crate) fn finish_vectors(&mut self, path: &Path) -> Result<()> {
        if let Vectors::Writing(file) = &mut self.vectors {
            file.flush()?;
            file.get_ref().sync_all()?;
            self.vectors = Vectors::File(File::open(vectors_of(path))?);
        }
        Ok(())
    }

    /// Writes the segment to its files, and returns it as it is there.
    pub(crate) fn seal(&self, path: &Path, budget: &Budget) -> Result<Self> {
        if let Vectors::Memory(vectors) = &self.vectors {
            let mut file = BufWriter::new(File::create(vectors_of(path))?);
            write_vectors(&mut file, vectors)?;
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        }
        let Codes::Memory { codes, .. } = &self.codes else {
            return Err(io::Error::other("a sealed segment is not sealed again").into());
        };
        let codes: Vec<u8> = codes.iter().map(|code| code.cast_unsigned()).collect();
        let mut file = File::create(codes_of(path))?;
        file.write_all(&codes)?;
        file.sync_all()?;
        let head = Head {
            dimension: self.dimension,
            ids: self.ids.iter().map(|id| id.to_bytes()).collect(),
            scales: self.shapes.iter().map(|shape| shape.scale).collect(),
            lengths: self.shapes.iter().map(|shape| shape.length).collect(),
            errors: self.shapes.iter().map(|shape| shape.error).collect(),
            values: self.columns.write(),
            codes: crc32fast::hash(&codes),
        };
        drop(codes);
        // The head comes last: a segment with a head is whole.
        write_whole(path, &postcard::to_allocvec(&head).map_err(io::Error::other)?)?;
        let unreadable =
            || io::Error::other(format!("the segment {} is not what was written", path.display()));
        Ok(Self::open(path, self.columns.fields(), budget)?.ok_or_else(unreadable)?)
    }

    /// Opens a sealed segment; `None` if its files are not what was written.
    pub(crate) fn open(path: &Path, fields: usize, budget: &Budget) -> Result<Option<Self>> {
        let Some(bytes) = read_whole(path)? else { return Ok(None) };
        let Ok(head) = postcard::from_bytes::<Head>(&bytes) else { return Ok(None) };
        drop(bytes);
        let (Ok(file), Ok(codes)) = (File::open(vectors_of(path)), File::open(codes_of(path))) else {
            return Ok(None);
        };
        let (rows, width) = (head.ids.len(), head.dimension * size_of::<f32>());
        let fits = codes.metadata()?.len() == (rows * head.dimension) as u64
            && [head.scales.len(), head.lengths.len(), head.errors.len()] == [rows; 3]
            && file.metadata()?.len() == (rows * width) as u64;
        if !fits {
            return Ok(None);
        }
        let codes = match budget.take(rows * head.dimension) {
            None => Codes::File(codes),
            _held => {
                let bytes = fs::read(codes_of(path))?;
                if crc32fast::hash(&bytes) != head.codes {
                    return Ok(None);
                }
                Codes::Memory { codes: bytes.into_iter().map(u8::cast_signed).collect(), _held }
            }
        };
        let Some(columns) = Columns::read(head.values, fields, rows as u32) else { return Ok(None) };
        let shapes = head.scales.into_iter().zip(head.lengths).zip(head.errors);
        Ok(Some(Self {
            dimension: head.dimension,
            ids: head.ids.into_iter().map(RawId::from_bytes).collect(),
            codes,
            shapes: shapes.map(|((scale, length), error)| Shape { scale, length, error }).collect(),
            columns,
            vectors: Vectors::File(file),
            graph: OnceLock::new(),
            is_graph_wanted: AtomicBool::new(false),
        }))
    }

    /// Returns about how many bytes of memory are held.
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.ids.len() * (size_of::<RawId>() + size_of::<Shape>());
        let codes = match &self.codes {
            Codes::Memory { codes, .. } => codes.len(),
            Codes::File(_) => 0,
        };
        let vectors = match &self.vectors {
            Vectors::Memory(vectors) => vectors.len() * size_of::<f32>(),
            Vectors::Writing(_) | Vectors::File(_) => 0,
        };
        rows + codes + vectors + self.columns.bytes() + self.graph().map_or(0, Graph::bytes)
    }
}

/// Returns some rows of a file of codes.
fn read_codes<'a>(
    file: &File,
    from: usize,
    to: usize,
    width: usize,
    into: &'a mut Vec<i8>,
) -> Result<&'a [i8]> {
    let mut bytes = vec![0; (to - from) * width];
    file.read_exact_at(&mut bytes, (from * width) as u64)?;
    into.clear();
    into.extend(bytes.into_iter().map(u8::cast_signed));
    Ok(into)
}

fn write_vectors(file: &mut BufWriter<File>, parts: &[f32]) -> io::Result<()> {
    parts.iter().try_for_each(|part| file.write_all(&part.to_le_bytes()))
}

fn vectors_of(path: &Path) -> PathBuf {
    path.with_extension("vectors")
}

fn codes_of(path: &Path) -> PathBuf {
    path.with_extension("codes")
}
