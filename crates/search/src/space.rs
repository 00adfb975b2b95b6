//! What vectors can be compared with each other.

use loomwork_core::RawId;
use loomwork_models::EmbeddingModel;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{Error, Result};

/// The longest vector.
pub const MAX_DIMENSION: usize = 16_384;

/// A space of vectors: the model that made them, and their length. Only vectors of one space are compared.
///
/// ```
/// use loomwork_search::Space;
///
/// let space = Space::new("openai/text-embedding-3-small", 1536)?;
/// assert!(space.check(&[0.0; 3]).is_err());
/// # Ok::<_, loomwork_search::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Space {
    model: String,
    dimension: usize,
}

impl Space {
    /// Returns the space of a model's vectors of this length.
    ///
    /// # Errors
    /// [`Error::BadDimension`] for no length, or one beyond [`MAX_DIMENSION`].
    pub fn new(model: impl Into<String>, dimension: usize) -> Result<Self> {
        let model = model.into();
        match dimension {
            1..=MAX_DIMENSION => Ok(Self { model, dimension }),
            _ => Err(Error::BadDimension { model, dimension, limit: MAX_DIMENSION }),
        }
    }

    /// Returns the space of a model that knows the length of its vectors, `None` if it does not.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of(model: &dyn EmbeddingModel) -> Result<Option<Self>> {
        model.dimensions().map(|dimension| Self::new(model.name().to_string(), dimension)).transpose()
    }

    /// Returns the model's name.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Returns the length of the vectors.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Checks that a vector belongs here.
    ///
    /// # Errors
    /// [`Error::WrongDimension`] and [`Error::NotANumber`].
    pub fn check(&self, vector: &[f32]) -> Result<()> {
        check_vector(&self.model, self.dimension, vector)
    }

    /// Returns the id of the vector that stands for a row, or the row of a vector's id: it is its own
    /// inverse. So whoever hears that a vector is gone knows whose it was.
    ///
    /// The time within an id and its version stay, so that vectors lie in the order of their rows.
    pub(crate) fn counterpart(&self, table: &str, id: RawId) -> RawId {
        const CHANGED: u128 = (1 << 62) - 1;
        let dimension = self.dimension.to_string();
        let digest = digest(&[table, &self.model, &dimension]);
        let mask = u128::from_be_bytes(digest) & CHANGED;
        RawId::from_bytes((u128::from_be_bytes(id.to_bytes()) ^ mask).to_be_bytes())
    }
}

/// Checks that a vector has a length, and no part that is not a number.
pub(crate) fn check_vector(model: &str, dimension: usize, vector: &[f32]) -> Result<()> {
    if vector.len() != dimension {
        let found = vector.len();
        return Err(Error::WrongDimension { model: model.to_owned(), expected: dimension, found });
    }
    match vector.iter().position(|part| !part.is_finite()) {
        Some(place) => Err(Error::NotANumber { model: model.to_owned(), place }),
        None => Ok(()),
    }
}

/// Bytes of a digest: enough that no two texts that anybody finds share one.
pub(crate) const DIGEST_BYTES: usize = 16;

/// Returns the same for the same texts, in each process and release.
pub(crate) fn digest(parts: &[&str]) -> [u8; DIGEST_BYTES] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let whole = hasher.finalize();
    std::array::from_fn(|at| whole[at])
}
