//! Vectors of chunks: taken over where they are known, asked for where they are not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use loomwork_models::{EmbedRequest, EmbeddingModel, ModelName, Usage};
use loomwork_search::{Space, vectors};
use loomwork_store::{Result as StoreResult, Tx};

use crate::content::{NewChunk, chunk_hash, embedded_text};
use crate::tables::{ChunkRow, NamespaceId};
use crate::{Error, Result};

/// How many texts a model is asked for at once.
pub const EMBED_TEXTS: usize = 100;

/// Among how many chunks of the same text a known vector is looked for.
const KNOWN_AMONG: usize = 4;

/// A model, and the space of its vectors.
#[derive(Clone, Debug)]
pub(crate) struct Embedder {
    pub(crate) model: Arc<dyn EmbeddingModel>,
    pub(crate) space: Space,
}

/// What a call of a model was for, for [`Builder::on_used`](crate::Builder::on_used).
#[derive(Clone, Debug, PartialEq)]
pub struct Used {
    /// What the model did.
    pub task: Task,
    /// The model.
    pub model: ModelName,
    /// What it used.
    pub usage: Usage,
    /// The namespace that it was for.
    pub namespace: Option<String>,
    /// Whom the caller attributes it to.
    pub user: Option<String>,
}

/// What a model was asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// To embed chunks.
    EmbedChunks,
    /// To embed a query.
    EmbedQuery,
    /// To put hits in another order.
    Rerank,
    /// To answer.
    Answer,
    /// To read a document or an image.
    Read,
}

/// A chunk with the vectors that it gets.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) chunk: NewChunk,
    pub(crate) hash: Option<String>,
    /// In the order of the embedders.
    pub(crate) vectors: Vec<(Space, Vec<f32>)>,
}

impl Embedder {
    /// Asks the model for vectors, in calls of at most [`EMBED_TEXTS`].
    pub(crate) async fn embed(&self, texts: &[String]) -> Result<(Vec<Vec<f32>>, Usage)> {
        let mut all = Vec::with_capacity(texts.len());
        let mut usage = Usage::default();
        for texts in texts.chunks(EMBED_TEXTS) {
            let mut request = EmbedRequest::new(texts.iter().cloned());
            if self.model.dimensions() != Some(self.space.dimension()) {
                request.dimensions = Some(self.space.dimension());
            }
            let embedded = self.model.embed(request).await?;
            if embedded.vectors.len() != texts.len() {
                return Err(Error::WrongEmbeddings {
                    model: self.space.model().to_owned(),
                    found: embedded.vectors.len(),
                    expected: texts.len(),
                });
            }
            for vector in &embedded.vectors {
                self.space.check(vector)?;
            }
            all.extend(embedded.vectors);
            usage += &embedded.usage;
        }
        Ok((all, usage))
    }

    /// Returns the vectors of texts by their hashes, asking for those that are not known, each once.
    pub(crate) async fn complete(
        &self,
        texts: &BTreeMap<String, String>,
        mut known: HashMap<String, Vec<f32>>,
    ) -> Result<(HashMap<String, Vec<f32>>, Usage)> {
        let lacking: Vec<_> = texts.iter().filter(|(hash, _)| !known.contains_key(*hash)).collect();
        if lacking.is_empty() {
            return Ok((known, Usage::default()));
        }
        let wanted: Vec<String> = lacking.iter().map(|(_, text)| (*text).clone()).collect();
        let (vectors, usage) = self.embed(&wanted).await?;
        known.extend(lacking.into_iter().map(|(hash, _)| hash.clone()).zip(vectors));
        Ok((known, usage))
    }
}

/// Returns the vectors that texts have already somewhere in a namespace, by their hashes.
pub(crate) fn known(
    tx: &Tx,
    namespace: NamespaceId,
    space: &Space,
    hashes: &[String],
) -> StoreResult<HashMap<String, Vec<f32>>> {
    let mut known = HashMap::new();
    for hash in hashes {
        let same = tx.ids(ChunkRow::by_hash.eq(namespace).eq(Some(hash.clone())).take(KNOWN_AMONG))?;
        for chunk in same {
            if let Some(row) = vectors::of(tx, space, chunk)? {
                known.insert(hash.clone(), row.vector().to_vec());
                break;
            }
        }
    }
    Ok(known)
}

/// Returns the texts that have to have vectors, by their hashes.
pub(crate) fn texts_of<'a>(texts: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    texts.map(|text| (chunk_hash(text), embedded_text(text).to_owned())).collect()
}
