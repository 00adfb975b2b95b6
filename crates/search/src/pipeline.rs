//! Embedding: texts that lack a vector become batches, batches become jobs, jobs ask the model.
//!
//! An upkeep follows the feed and the rows and writes batches, in mutations of its own, so that no save
//! waits. What is stored is decided again in the transaction that stores it: a vector whose text has
//! changed meanwhile is dropped, since the change has made another batch.

mod queue;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use loomwork_core::RawId;
use loomwork_models::{EmbedRequest, EmbeddingModel, ErrorKind, ModelName, Usage};
use loomwork_store::engine::Seq;
use loomwork_store::{Id, Result as StoreResult, Row, Store, Tx, feed};
use loomwork_workpool::{self as workpool, Completion, Done, Job, JobContext, Outcome};

use crate::source::Source;
use crate::space::{DIGEST_BYTES, digest};
use crate::tables::BatchRow;
use crate::{Error, Result, Space, vectors};

pub use queue::BATCH_ROWS;
pub(crate) use queue::{consumer, upkeep};

/// The pool in which embedding runs.
pub const EMBED_POOL: &str = "search";

const EMBED: Job<Id<BatchRow>, ()> = Job::new("search.embed").in_pool(EMBED_POOL);
const EMBEDDED: Completion<Id<BatchRow>, ()> = Completion::new("search.embedded");

/// What a batch came to, for [`Builder::on_embedded`](crate::Builder::on_embedded).
#[derive(Clone, Debug)]
pub struct Batch {
    /// The index.
    pub index: String,
    /// The table of its rows.
    pub table: &'static str,
    /// The model.
    pub model: ModelName,
    /// The rows whose vectors are stored.
    pub owners: Vec<RawId>,
    /// How many texts the model was asked for; the vectors of others were known.
    pub asked: usize,
    /// What that used.
    pub usage: Usage,
}

pub(crate) type OnEmbedded = Arc<dyn Fn(&mut Tx, &Batch) -> StoreResult<()> + Send + Sync>;

/// Embeds the texts of one index.
#[derive(Clone)]
pub(crate) struct Embedder {
    pub(crate) source: Arc<dyn Source>,
    pub(crate) model: Arc<dyn EmbeddingModel>,
    pub(crate) space: Space,
    pub(crate) on_embedded: Option<OnEmbedded>,
}

/// A text to embed.
#[derive(Clone, Debug)]
struct Wanted {
    owner: RawId,
    text: String,
    digest: [u8; DIGEST_BYTES],
    /// The vector of another row's same text.
    known: Option<Vec<f32>>,
}

/// How the embedding of an index stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embedding {
    /// Whether each row that there was when embedding began has been looked at.
    pub filled: bool,
    /// How many rows wait for their vectors.
    pub waiting: usize,
    /// How many batches could not be embedded and wait for [`Search::retry`](crate::Search::retry).
    pub failed: usize,
}

impl fmt::Debug for Embedder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Embedder")
            .field("model", &self.model)
            .field("space", &self.space)
            .finish_non_exhaustive()
    }
}

/// Binds the embedding of some indexes to a pool.
pub(crate) fn bind(
    builder: workpool::Builder,
    embedders: HashMap<String, Arc<Embedder>>,
) -> workpool::Builder {
    let embedders = Arc::new(embedders);
    let embed = move |job: JobContext, batch: Id<BatchRow>| {
        let embedders = embedders.clone();
        async move { embed_batch(job.store(), &embedders, batch).await }
    };
    builder.on(EMBED, embed).on_done(EMBEDDED, |tx, done: Done<Id<BatchRow>, ()>| {
        let reason = match done.outcome {
            Outcome::Success(()) => return Ok(()),
            Outcome::Failed(reason) => reason,
            Outcome::Cancelled => "it was cancelled".to_owned(),
            Outcome::Interrupted => "it was interrupted".to_owned(),
        };
        if tx.get(done.context)?.is_some() {
            tx.update(done.context, |batch| batch.failed = Some(reason))?;
        }
        Ok(())
    })
}

async fn embed_batch(
    store: &Store,
    embedders: &HashMap<String, Arc<Embedder>>,
    id: Id<BatchRow>,
) -> StoreResult<()> {
    // Stored by an attempt that did not live to say so.
    let Some(batch) = store.query(move |tx| tx.get(id)).await? else { return Ok(()) };
    let known = || embedders.keys().cloned().collect::<Vec<_>>().join(", ");
    let unknown = || Error::UnknownIndex { index: batch.index.clone(), known: known() };
    let embedder = embedders.get(&batch.index).cloned().ok_or_else(unknown)?;
    let (reading, owners) = (embedder.clone(), batch.record.owners);
    let wanted = store.query(move |tx| reading.wanted(tx, &owners)).await?;
    let error = match embedder.ask(&wanted).await {
        Ok((vectors, asked, usage)) => {
            return store.mutate(move |tx| embedder.store(tx, id, &wanted, &vectors, asked, usage)).await;
        }
        Err(error) => error,
    };
    if wanted.len() == 1 || !may_be_of_one_text(&error) {
        return Err(error.into());
    }
    // A model that refuses any text, as one with a wrong setting does, has nothing against these.
    let Ok((_, usage)) = embedder.embed(vec![HARMLESS.to_owned()]).await else { return Err(error.into()) };
    tracing::info!(index = embedder.source.schema().name, texts = wanted.len(), %error, "a batch was refused and is halved");
    store.mutate(move |tx| embedder.halve(tx, id, &wanted, usage)).await
}

/// What is asked to see whether a model refuses a text among others, or all.
const HARMLESS: &str = "text";

/// Whether one text alone may be why a call was refused.
fn may_be_of_one_text(error: &Error) -> bool {
    let Error::Model(error) = error else { return false };
    matches!(error.kind(), ErrorKind::BadRequest | ErrorKind::ContextTooLong | ErrorKind::ContentPolicy)
}

impl Embedder {
    /// Returns the text of a row if it has one of which there is no vector yet.
    ///
    /// A vector without a text was written by a program, and is left alone.
    fn lacking(&self, tx: &Tx, owner: RawId, text: Option<String>) -> StoreResult<Option<Wanted>> {
        let Some(text) = text else { return Ok(None) };
        let digest = digest(&[&text]);
        let row = vectors::get(tx, &self.space, self.source.schema().table, owner)?;
        let lacks = row.is_none_or(|row| row.is_of_text() && !row.is_of(&digest));
        Ok(lacks.then_some(Wanted { owner, text, digest, known: None }))
    }

    fn wanted(&self, tx: &Tx, owners: &[[u8; 16]]) -> StoreResult<Vec<Wanted>> {
        let mut all = Vec::new();
        for owner in owners.iter().map(|owner| RawId::from_bytes(*owner)) {
            if let Some(mut wanted) = self.lacking(tx, owner, self.source.text(tx, owner)?)? {
                wanted.known = vectors::of_text(tx, &self.space, &wanted.digest)?;
                all.push(wanted);
            }
        }
        Ok(all)
    }

    /// Returns the vector of each text, asking the model for those that are not known, each once.
    async fn ask(&self, wanted: &[Wanted]) -> Result<(HashMap<[u8; DIGEST_BYTES], Vec<f32>>, usize, Usage)> {
        let mut vectors = HashMap::new();
        let mut texts: Vec<(&[u8; DIGEST_BYTES], &str)> = Vec::new();
        for wanted in wanted {
            match &wanted.known {
                Some(vector) => drop(vectors.insert(wanted.digest, vector.clone())),
                None if texts.iter().any(|(digest, _)| **digest == wanted.digest) => {}
                None => texts.push((&wanted.digest, &wanted.text)),
            }
        }
        let mut usage = Usage::default();
        if !texts.is_empty() {
            let embedded = self.embed(texts.iter().map(|(_, text)| (*text).to_owned()).collect()).await?;
            usage = embedded.1;
            vectors.extend(texts.iter().map(|(digest, _)| **digest).zip(embedded.0));
        }
        Ok((vectors, texts.len(), usage))
    }

    /// Asks the model, and checks that its answer belongs to the space.
    pub(crate) async fn embed(&self, texts: Vec<String>) -> Result<(Vec<Vec<f32>>, Usage)> {
        let count = texts.len();
        let mut request = EmbedRequest::new(texts);
        if self.model.dimensions() != Some(self.space.dimension()) {
            request.dimensions = Some(self.space.dimension());
        }
        let embedded = self.model.embed(request).await?;
        if embedded.vectors.len() != count {
            return Err(Error::WrongEmbeddings {
                model: self.space.model().to_owned(),
                found: format!("{} vectors", embedded.vectors.len()),
                expected: count.to_string(),
            });
        }
        for vector in &embedded.vectors {
            self.space.check(vector)?;
        }
        Ok((embedded.vectors, embedded.usage))
    }

    fn store(
        &self,
        tx: &mut Tx,
        id: Id<BatchRow>,
        wanted: &[Wanted],
        vectors: &HashMap<[u8; DIGEST_BYTES], Vec<f32>>,
        asked: usize,
        usage: Usage,
    ) -> StoreResult<()> {
        if tx.delete(id)?.is_none() {
            return Ok(());
        }
        let table = self.source.schema().table;
        let mut owners = Vec::new();
        for wanted in wanted {
            let text = self.source.text(tx, wanted.owner)?;
            let Some(now) = self.lacking(tx, wanted.owner, text)? else { continue };
            if let (true, Some(vector)) = (now.digest == wanted.digest, vectors.get(&wanted.digest)) {
                vectors::put(tx, &self.space, table, wanted.owner, vector.clone(), Some(wanted.digest))?;
                owners.push(wanted.owner);
            }
        }
        self.tell(tx, owners, asked, usage)
    }

    /// Makes two batches of one, until what is refused stands alone.
    fn halve(&self, tx: &mut Tx, id: Id<BatchRow>, wanted: &[Wanted], usage: Usage) -> StoreResult<()> {
        let Some(Row { record: batch, .. }) = tx.delete(id)? else { return Ok(()) };
        for half in wanted.chunks(wanted.len().div_ceil(2)) {
            let owners = half.iter().map(|wanted| wanted.owner.to_bytes()).collect();
            let half = tx.insert(BatchRow { owners, ..batch.clone() })?;
            queue::enqueue(tx, half.id)?;
        }
        self.tell(tx, Vec::new(), 1, usage)
    }

    fn tell(&self, tx: &mut Tx, owners: Vec<RawId>, asked: usize, usage: Usage) -> StoreResult<()> {
        let Some(on_embedded) = &self.on_embedded else { return Ok(()) };
        let table = self.source.schema().table;
        let (index, model) = (self.source.schema().name.clone(), self.model.name().clone());
        on_embedded(tx, &Batch { index, table, model, owners, asked, usage })
    }

    /// Waits until what was changed up to `seq` is embedded.
    pub(crate) async fn embedded(&self, store: &Store, seq: Seq) -> Result<()> {
        let embedder = self.clone();
        let mut news = store.watch(move |tx| embedder.state(tx, seq));
        while let Some(state) = news.next().await {
            match state? {
                State::Waiting => {}
                State::Done => return Ok(()),
                State::Failed { batches, reason } => {
                    let index = self.source.schema().name.clone();
                    return Err(Error::NotEmbedded { index, batches, reason });
                }
            }
        }
        Err(loomwork_store::Error::from(loomwork_store::Problem::Closed).into())
    }

    fn state(&self, tx: &Tx, seq: Seq) -> StoreResult<State> {
        let index = self.source.schema().name.as_str();
        let looked_at = match feed::position(tx, &consumer(index)) {
            Ok(position) => position >= seq && self.is_filled(tx)?,
            // The upkeep has not begun.
            Err(error) if matches!(error.downcast_ref(), Some(feed::Error::UnknownConsumer { .. })) => false,
            Err(error) => return Err(error),
        };
        let batches = tx.scan(BatchRow::by_index.eq(index).le(seq.0))?;
        let mut failed = batches.iter().filter_map(|batch| batch.failed.clone());
        let open = batches.iter().any(|batch| batch.failed.is_none());
        Ok(match failed.next() {
            _ if !looked_at || open => State::Waiting,
            Some(reason) => State::Failed { batches: 1 + failed.count(), reason },
            None => State::Done,
        })
    }

    pub(crate) fn status(&self, tx: &Tx) -> StoreResult<Embedding> {
        let index = self.source.schema().name.as_str();
        let batches = tx.scan(BatchRow::by_index.eq(index))?;
        Ok(Embedding {
            filled: self.is_filled(tx)?,
            waiting: batches.iter().map(|batch| batch.owners.len()).sum(),
            failed: batches.iter().filter(|batch| batch.failed.is_some()).count(),
        })
    }
}

#[derive(Clone, Debug, PartialEq)]
enum State {
    Waiting,
    Done,
    Failed { batches: usize, reason: String },
}

/// Has each batch of an index that failed tried again, and returns how many there are.
pub(crate) fn retry(tx: &mut Tx, index: &str) -> StoreResult<usize> {
    let failed = tx.scan(BatchRow::failed.eq(index))?;
    for batch in &failed {
        tx.update(batch.id, |batch| batch.failed = None)?;
        queue::enqueue(tx, batch.id)?;
    }
    Ok(failed.len())
}
