//! Vectors of chunks: taken over where they are known, asked for where they are not.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use loomwork_models::{EmbedRequest, EmbeddingModel, Embeddings, ModelName, Usage};
use loomwork_search::{Space, vectors};
use loomwork_store::{Result as StoreResult, Tx};

use crate::asked::Taken;
use crate::content::{NewChunk, chunk_hash, embedded_text};
use crate::rag::Rag;
use crate::tables::{ChunkRow, NamespaceId};
use crate::{Error, Result, index};

/// How many texts a model is asked for at once.
pub const EMBED_TEXTS: usize = 100;

/// Among how many of the oldest and of the newest chunks of the same text a known vector is looked for: some that
/// failed before a migration may have none.
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
    /// The namespaces that it was for: several for a query over several.
    pub namespaces: Vec<String>,
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
    pub(crate) vectors: Vec<(Space, Vec<f32>)>,
}

/// Chunks that can be written, and the spaces in which all of them have vectors.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) chunks: Vec<Prepared>,
    pub(crate) spaces: Vec<Space>,
}

/// For whom a model is asked, and what that has used so far.
#[derive(Debug)]
pub(crate) struct Bill {
    task: Task,
    namespaces: Vec<String>,
    user: Option<String>,
    spent: Mutex<Usage>,
}

impl Bill {
    pub(crate) fn new(
        task: Task,
        namespaces: impl IntoIterator<Item: Into<String>>,
        user: Option<&str>,
    ) -> Self {
        let namespaces = namespaces.into_iter().map(Into::into).collect();
        Self { task, namespaces, user: user.map(str::to_owned), spent: Mutex::default() }
    }

    /// Returns what was used, whether or not anything came of it.
    pub(crate) fn spent(&self) -> Usage {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Embedder {
    async fn ask(&self, texts: &[String]) -> Result<Embeddings> {
        let mut request = EmbedRequest::new(texts.iter().cloned());
        if self.model.dimensions() != Some(self.space.dimension()) {
            request.dimensions = Some(self.space.dimension());
        }
        Ok(self.model.embed(request).await?)
    }

    /// Checks that a model gave what it was asked for.
    fn check(&self, vectors: &[Vec<f32>], expected: usize) -> Result<()> {
        if vectors.len() != expected {
            let model = self.space.model().to_owned();
            return Err(Error::WrongEmbeddings { model, found: vectors.len(), expected });
        }
        Ok(vectors.iter().try_for_each(|vector| self.space.check(vector))?)
    }
}

impl Rag {
    /// Puts what a model used on a bill, and tells of it at once: it has to be paid, whatever comes of it.
    pub(crate) async fn charge(&self, bill: &Bill, model: &ModelName, usage: &Usage) -> Result<()> {
        *bill.spent.lock().unwrap_or_else(PoisonError::into_inner) += usage;
        let Bill { task, namespaces, user, .. } = bill;
        let (namespaces, user) = (namespaces.clone(), user.clone());
        self.tell(Used { task: *task, model: model.clone(), usage: usage.clone(), namespaces, user }).await
    }

    /// Asks a model for vectors, in calls of at most [`EMBED_TEXTS`].
    pub(crate) async fn embed(&self, by: &Embedder, texts: &[String], bill: &Bill) -> Result<Vec<Vec<f32>>> {
        let mut all = Vec::with_capacity(texts.len());
        for texts in texts.chunks(EMBED_TEXTS) {
            let embedded = by.ask(texts).await?;
            self.charge(bill, by.model.name(), &embedded.usage).await?;
            by.check(&embedded.vectors, texts.len())?;
            all.extend(embedded.vectors);
        }
        Ok(all)
    }

    /// Returns the vectors of texts of a namespace by their hashes, asking for those that are not known, each
    /// once. What is returned with them is to be kept until they are stored.
    ///
    /// Who has taken a text asks for it before it waits for those of others, so nobody waits in a circle.
    pub(crate) async fn complete(
        &self,
        by: &Embedder,
        namespace: NamespaceId,
        texts: &BTreeMap<String, String>,
        bill: &Bill,
    ) -> Result<(HashMap<String, Vec<f32>>, Vec<Taken>)> {
        let of = format!("{} {namespace}", index::name(&by.space));
        let (mut vectors, mut all) = (HashMap::new(), Vec::new());
        let mut left: Vec<String> = texts.keys().cloned().collect();
        while !left.is_empty() {
            let (taken, others) = self.inner.asked.take(&of, left.drain(..));
            // Whoever had one of them before has stored it by now.
            let (space, mine) = (by.space.clone(), taken.hashes());
            let known = self.inner.store.query(move |tx| known(tx, namespace, &space, &mine)).await?;
            vectors.extend(known);
            let lacks = |hash: &str| taken.has(hash) && !vectors.contains_key(hash);
            let lacking: BTreeMap<_, _> = texts.iter().filter(|(hash, _)| lacks(hash)).collect();
            self.ask_for(by, lacking, &mut vectors, bill).await?;
            taken.give(&vectors);
            all.push(taken);
            for (hash, mut awaited) in others {
                let given = awaited.wait_for(Option::is_some).await;
                match given.ok().and_then(|vector| vector.clone()) {
                    Some(vector) => drop(vectors.insert(hash, vector)),
                    // Whoever had it has failed, so one of those who waited takes it.
                    None => left.push(hash),
                }
            }
        }
        Ok((vectors, all))
    }

    async fn ask_for(
        &self,
        by: &Embedder,
        texts: BTreeMap<&String, &String>,
        vectors: &mut HashMap<String, Vec<f32>>,
        bill: &Bill,
    ) -> Result<()> {
        let wanted: Vec<String> = texts.values().map(|text| (*text).clone()).collect();
        let given = self.embed(by, &wanted, bill).await?;
        vectors.extend(texts.into_keys().cloned().zip(given));
        Ok(())
    }
}

/// Returns the vectors that texts have already somewhere in a namespace, by their hashes.
fn known(
    tx: &Tx,
    namespace: NamespaceId,
    space: &Space,
    hashes: &[String],
) -> StoreResult<HashMap<String, Vec<f32>>> {
    let mut known = HashMap::new();
    for hash in hashes {
        let same = || ChunkRow::by_hash.eq(namespace).eq(Some(hash.clone())).take(KNOWN_AMONG);
        let (oldest, newest) = (tx.ids(same())?, tx.ids(same().desc())?);
        for chunk in newest.into_iter().chain(oldest) {
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
