//! Adding as durable jobs: with retries, progress, and calling off.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use loomwork_core::RetryPolicy;
use loomwork_files::{File, FileId};
use loomwork_store::{Id, Result as StoreResult, Row, Tx};
use loomwork_workpool::{self as workpool, Completion, Done, Job, JobContext, Options, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::add::{BATCH_CHUNKS, Target};
use crate::content::{Chunked, Content, NewEntry, content_hash};
use crate::embed::{Bill, Task};
use crate::error::unwrapped;
use crate::load::ReadingId;
use crate::namespaces::{self, Wanted};
use crate::rag::Rag;
use crate::settle::{call_off, require, wrong_status};
use crate::sweep::delete_chunks;
use crate::tables::{EntryId, EntryRow, EntryStatus, From, InputRow, NamespaceRow, NamespaceStatus};
use crate::write::{Begun, Maker, begin, drop_same, is_same, pending};
use crate::{Error, Result, migrate};

/// The pool in which entries are made; ten at a time unless it is declared otherwise.
pub const RAG_POOL: &str = "rag";

/// The longest text that is kept for a job, in bytes; longer ones belong in files.
pub const MAX_INPUT_BYTES: usize = 2 << 20;

const INGEST: Job<EntryId, ()> = Job::new("rag.ingest").in_pool(RAG_POOL);
const INGESTED: Completion<EntryId, ()> = Completion::new("rag.ingested");

/// How often an entry is tried, if nobody says: three times, a second and two apart.
fn retries() -> RetryPolicy {
    RetryPolicy::default().with_attempts(3).with_initial(Duration::from_secs(1)).with_base(2.0)
}

/// Makes the content of entries, by its name: a constant, so that anybody can add by it. Its function is
/// bound by [`Builder::source`](crate::Builder::source).
///
/// ```
/// use loomwork_rag::Source;
///
/// const PAGES: Source<String> = Source::new("pages");
/// ```
pub struct Source<A> {
    pub(crate) name: &'static str,
    args: PhantomData<fn(A)>,
}

impl<A> Source<A> {
    /// Returns the source of this name.
    pub const fn new(name: &'static str) -> Self {
        Self { name, args: PhantomData }
    }
}

impl<A> Clone for Source<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for Source<A> {}

impl<A> fmt::Debug for Source<A> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Source").field("name", &self.name).finish()
    }
}

/// What a source is asked for.
#[derive(Clone, Debug)]
pub struct Sourcing {
    /// The entry that it makes the content of.
    pub entry: Row<EntryRow>,
    /// The job's attempt.
    pub job: JobContext,
}

type Making = Pin<Box<dyn Future<Output = Result<Content>> + Send>>;
type Make = Arc<dyn Fn(Sourcing, Value) -> Making + Send + Sync>;

/// The sources of a knowledge base, by name.
#[derive(Clone, Default)]
pub(crate) struct Sources(HashMap<&'static str, Make>);

impl Sources {
    /// Binds a function to a source; says whether there was none before.
    pub(crate) fn bind<A, F, W>(&mut self, source: Source<A>, make: F) -> bool
    where
        A: DeserializeOwned + 'static,
        F: Fn(Sourcing, A) -> W + Send + Sync + 'static,
        W: Future<Output = Result<Content>> + Send + 'static,
    {
        let make = move |sourcing: Sourcing, args: Value| -> Making {
            match serde_json::from_value::<A>(args) {
                Ok(args) => Box::pin(make(sourcing, args)),
                Err(error) => {
                    let error = Error::bad("the arguments of a source", error, "give what it takes");
                    Box::pin(std::future::ready(Err(error)))
                }
            }
        };
        self.0.insert(source.name, Arc::new(make)).is_none()
    }

    fn get(&self, name: &str) -> Result<Make> {
        let unknown = || {
            let known = self.0.keys().copied().collect::<Vec<_>>().join(", ");
            Error::UnknownSource { name: name.to_owned(), known }
        };
        self.0.get(name).cloned().ok_or_else(unknown)
    }
}

/// An entry that a job makes, its namespace, and what it is made from.
type TakenUp = (Row<EntryRow>, Row<NamespaceRow>, InputRow);

/// What a job makes an entry from.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    from: Result<From, String>,
}

impl Input {
    /// Returns a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self { from: Ok(From::Text(text.into())) }
    }

    /// Returns a file, which is read by what it is: see [`Document`](crate::Document).
    pub fn file(file: FileId) -> Self {
        Self { from: Ok(From::File(file)) }
    }

    /// Returns what a source makes of these arguments.
    pub fn source<A: Serialize>(source: Source<A>, args: A) -> Self {
        let args = serde_json::to_value(args).map_err(|error| error.to_string());
        Self { from: args.map(|args| From::Source { name: source.name.to_owned(), args }) }
    }
}

impl Rag {
    /// Adds an entry in the background, if the caller's transaction commits: a job makes its content, as
    /// often as it takes up to three times, and publishes it as [`add`](Self::add) does. It is
    /// [`Pending`](EntryStatus::Pending) until then; one that is the same as the live one, or as one that is
    /// on its way, is returned as it is.
    ///
    /// # Errors
    /// What is wrong with the entry or the input; when the store cannot be read or written.
    pub fn add_later(
        &self,
        tx: &mut Tx,
        target: impl Into<Target>,
        new: &NewEntry,
        input: Input,
    ) -> StoreResult<Row<EntryRow>> {
        new.check(&self.inner.wanted.filter_names)?;
        let from = input.from.map_err(|why| Error::bad("the arguments of a source", why, "give JSON"))?;
        let target = target.into();
        let by_name = matches!(target, Target::Name(_));
        let namespace = self.namespace_in(tx, &target)?;
        let hash = match (&new.content_hash, &from) {
            (Some(hash), _) => Some(hash.clone()),
            (None, From::Text(text)) if text.len() > MAX_INPUT_BYTES => {
                let right = "keep it in a file, or make it in a source";
                let (what, bytes) = ("the text of an entry".to_owned(), text.len() as u64);
                return Err(Error::TooLarge { what, bytes, limit: MAX_INPUT_BYTES, right }.into());
            }
            (None, From::Text(text)) => Content::from(text.as_str()).hash(&*self.inner.chunker),
            (None, From::File(file)) => {
                let content = tx.require(*file)?.hash;
                Some(content_hash(format!("{}\0{content}", self.inner.reader.name(&*self.inner.chunker))))
            }
            (None, From::Source { .. }) => None,
        };
        if let Some(pending) = on_its_way(tx, namespace.id, new, hash.as_deref())? {
            return Ok(pending);
        }
        let entry = match begin(tx, namespace.id, by_name, new, hash)? {
            Begun::Same(entry) => return Ok(entry),
            Begun::New(entry) => entry,
        };
        if let From::File(file) = &from {
            loomwork_files::attach(tx, *file, entry.id)?;
            tx.update(entry.id, |row| row.file = Some(*file))?;
        }
        let input = InputRow { from, is_hashed: entry.content_hash.is_some(), user: new.user.clone() };
        tx.insert_at(Id::<InputRow>::from_raw(entry.id.raw()), input)?;
        start(tx, &entry)
    }

    /// Calls a pending entry off, and says whether it was pending. Nothing of it was found, and nothing
    /// will be. A former version that is being restored stays the former version that it was.
    ///
    /// # Errors
    /// When there is no such entry; when the store cannot be read or written.
    pub fn cancel(&self, tx: &mut Tx, id: EntryId) -> StoreResult<bool> {
        let entry = require(tx, id)?;
        if entry.status != EntryStatus::Pending {
            return Ok(false);
        }
        if entry.published.is_some() {
            call_off(tx, id)?;
            return Ok(true);
        }
        if let Some(job) = entry.job {
            workpool::cancel(tx, job)?;
        }
        self.inner.settling.settle(tx, id, EntryStatus::Cancelled, None)?;
        Ok(true)
    }

    /// Has an entry that failed or was called off made again, by a new job. What was embedded for it is not
    /// embedded again.
    ///
    /// # Errors
    /// When there is no such entry, or it stands otherwise, or was not added by a job.
    pub fn retry(&self, tx: &mut Tx, id: EntryId) -> StoreResult<Row<EntryRow>> {
        let entry = require(tx, id)?;
        let has_ended = matches!(entry.status, EntryStatus::Failed | EntryStatus::Cancelled);
        let has_input = tx.get(Id::<InputRow>::from_raw(id.raw()))?.is_some();
        if !has_ended || !has_input {
            return Err(wrong_status(&entry, "tried again; add it again").into());
        }
        let live = match &entry.key {
            Some(key) => tx.first(EntryRow::live.eq(entry.namespace).eq(key.as_str()))?,
            None => None,
        };
        if live.is_some_and(|live| live.version > entry.version) {
            return Err(wrong_status(&entry, "tried again, as a newer version is live; add it again").into());
        }
        let entry = tx.update(id, |row| {
            row.status = EntryStatus::Pending;
            (row.hidden, row.swept, row.error) = (true, 0, None);
            (row.attempts, row.expires) = (0, None);
        })?;
        start(tx, &entry)
    }

    /// Binds making entries and migrating namespaces to a pool, which has to run somewhere for that to
    /// happen.
    pub fn bind(&self, pool: workpool::Builder) -> workpool::Builder {
        bind(pool, [self.clone()])
    }

    async fn ingest(&self, job: JobContext, id: EntryId) -> StoreResult<()> {
        let stopped = job.clone();
        let made = async {
            tokio::select! {
                made = self.make(&job, id) => made,
                () = stopped.cancelled() => Err(Error::Overtaken { entry: id.to_string(), status: "cancelled" }),
            }
        };
        match made.await {
            Ok(()) => Ok(()),
            // Whoever settled it has told of it.
            Err(Error::Overtaken { .. }) if !stopped.is_cancelled() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn make(&self, job: &JobContext, id: EntryId) -> Result<()> {
        let maker = Maker { job: Some(job.id()), attempt: job.attempt() };
        let Some((entry, namespace, input)) = self.take_up(id, maker).await? else { return Ok(()) };
        let user = input.user.as_deref();
        self.inner.wanted.check(&namespace)?;
        let mut reading = None;
        let content = match input.from {
            From::Text(text) => Content::Text(text),
            From::File(file) => {
                let (content, of_model) = self.content_of(file, &namespace, user).await?;
                reading = of_model;
                content
            }
            From::Source { name, args } => {
                let make = self.inner.sources.get(&name)?;
                make(Sourcing { entry: entry.clone(), job: job.clone() }, args).await?
            }
        };
        let hash = content.hash(&*self.inner.chunker);
        let chunks = self.cut_content(content).await?.gathered(BATCH_CHUNKS).await?;
        if let Some(hash) = hash.or_else(|| chunks.hash())
            && entry.content_hash.is_none()
            && self.is_same_by(id, maker, hash).await?
        {
            return Ok(());
        }
        let (chunks, of) = match chunks {
            Chunked::Here(chunks) => {
                let of = chunks.len();
                (futures_util::stream::iter(chunks.into_iter().map(Ok)).boxed(), Some(of))
            }
            Chunked::Stream(chunks) => (chunks, None),
        };
        let progress = |done: u32| {
            let fraction = of.map_or(0.0, |of| f64::from(done) / of.max(1) as f64);
            let text = of.map_or_else(|| format!("{done} chunks"), |of| format!("{done} of {of} chunks"));
            async move { Ok(job.progress(fraction, text).await?) }
        };
        let bill = Bill::new(Task::EmbedChunks, [&namespace.name], user);
        let filled = self.fill(id, maker, &namespace, &bill, chunks, progress).await?;
        self.publish(id, maker, &namespace, filled).await?;
        self.forget_reading(reading).await
    }

    /// Takes over the making of an entry from the attempts before. One that was added by the name of its
    /// namespace goes to the version that answers now. `None` if there is nothing to make any more.
    async fn take_up(&self, id: EntryId, maker: Maker) -> Result<Option<TakenUp>> {
        loop {
            let wanted = self.inner.wanted.clone();
            let step = self.inner.store.mutate(move |tx| {
                let input = tx.get(Id::<InputRow>::from_raw(id.raw()))?;
                let entry = require(tx, id)?;
                let Some(input) = input.filter(|_| entry.status == EntryStatus::Pending) else {
                    return Ok(Some(None));
                };
                if entry.job == maker.job && entry.attempts < maker.attempt {
                    tx.update(id, |row| {
                        row.attempts = maker.attempt;
                        // What the attempt before found there may be gone.
                        row.content_hash = row.content_hash.take().filter(|_| input.is_hashed);
                    })?;
                }
                let mut entry = pending(tx, id, maker)?;
                let mut namespace = namespaces::require(tx, entry.namespace)?;
                if entry.by_name && namespace.status == NamespaceStatus::Replaced {
                    let Some(now) = wanted.answering(tx, &namespace.name)? else {
                        return Err(namespaces::no_longer_answers(tx, &namespace, id)?.into());
                    };
                    if !delete_chunks(tx, &entry)? {
                        return Ok(None);
                    }
                    namespace = wanted.learn(tx, now)?;
                    entry = move_to(tx, entry, &namespace)?;
                }
                Ok(Some(Some((entry, namespace, input.record))))
            });
            if let Some(taken) = step.await.map_err(unwrapped)? {
                return Ok(taken);
            }
        }
    }

    /// Drops an entry whose content turns out to be that of the live one; else notes what it is.
    async fn is_same_by(&self, id: EntryId, maker: Maker, hash: String) -> Result<bool> {
        let settling = self.inner.settling.clone();
        let compared = self.inner.store.mutate(move |tx| {
            let entry = pending(tx, id, maker)?;
            if drop_same(tx, &settling, &entry, &hash)?.is_some() {
                return Ok(true);
            }
            tx.update(id, |row| row.content_hash = Some(hash)).map(|_| false)
        });
        compared.await.map_err(unwrapped)
    }

    async fn content_of(
        &self,
        file: FileId,
        namespace: &Row<NamespaceRow>,
        user: Option<&str>,
    ) -> Result<(Content, Option<ReadingId>)> {
        let needs = "`Builder::files`";
        let files = self.inner.files.as_ref().ok_or(Error::Missing { what: "a file as input", needs })?;
        let row: Row<File> = self.inner.store.query(move |tx| tx.require(file)).await?;
        let name = row.name.clone().unwrap_or_else(|| file.to_string());
        self.inner.reader.check_size(&name, row.size)?;
        let bytes = files.read(file).await?;
        let declared = row.media_type.as_deref();
        let (document, reading) = self.read_document(namespace, user, &name, declared, bytes).await?;
        Ok((self.inner.reader.content(document, &self.inner.chunker), reading))
    }
}

/// Moves an entry of which nothing is written to another version of its namespace.
fn move_to(tx: &mut Tx, entry: Row<EntryRow>, to: &Row<NamespaceRow>) -> StoreResult<Row<EntryRow>> {
    let newest = match &entry.key {
        Some(key) => tx.first(EntryRow::by_key.eq(to.id).eq(key.as_str()).desc())?,
        None => None,
    };
    let version = newest.map_or(0, |newest| newest.version + 1);
    tx.update(entry.id, |row| (row.namespace, row.version, row.chunks) = (to.id, version, 0))
}

/// Binds several knowledge bases to one pool; each makes the entries of namespaces that it serves.
pub fn bind(pool: workpool::Builder, rags: impl IntoIterator<Item = Rag>) -> workpool::Builder {
    let rags: Arc<[Rag]> = rags.into_iter().collect();
    let (ingesting, settling) = (rags.clone(), rags.clone());
    let pool = pool.on(INGEST, move |job, id| {
        let rags = ingesting.clone();
        async move { serving(&rags, &job, id).await?.ingest(job, id).await }
    });
    let pool = pool.on_done(INGESTED, move |tx, done: Done<EntryId, ()>| {
        let (status, error) = match done.outcome {
            Outcome::Success(()) => return Ok(()),
            Outcome::Failed(reason) => (EntryStatus::Failed, Some(reason)),
            Outcome::Cancelled => (EntryStatus::Cancelled, None),
            Outcome::Interrupted => (EntryStatus::Failed, Some("it was interrupted".to_owned())),
        };
        let is_pending =
            |entry: &Row<EntryRow>| entry.status == EntryStatus::Pending && entry.job == Some(done.job);
        let Some(entry) = tx.get(done.context)?.filter(is_pending) else { return Ok(()) };
        let namespace = namespaces::require(tx, entry.namespace)?;
        let serves = |rag: &&Rag| rag.inner.wanted.check(&namespace).is_ok();
        let Some(rag) = settling.iter().find(serves).or_else(|| settling.first()) else { return Ok(()) };
        tx.update(done.context, |row| row.attempts = done.attempts)?;
        rag.inner.settling.settle(tx, done.context, status, error).map(drop)
    });
    migrate::bind(pool, rags)
}

/// Returns the knowledge base that serves the namespace of an entry, or the one that it has to go to.
async fn serving<'a>(rags: &'a [Rag], job: &JobContext, id: EntryId) -> StoreResult<&'a Rag> {
    let wanted: Vec<Wanted> = rags.iter().map(|rag| rag.inner.wanted.clone()).collect();
    let read = job.store().query(move |tx| {
        let Some(entry) = tx.get(id)? else { return Ok(Ok(0)) };
        let namespace = namespaces::require(tx, entry.namespace)?;
        if entry.by_name && namespace.status == NamespaceStatus::Replaced {
            for (at, wanted) in wanted.iter().enumerate() {
                if wanted.answering(tx, &namespace.name)?.is_some() {
                    return Ok(Ok(at));
                }
            }
        }
        let mut reason = Ok(0);
        for (at, wanted) in wanted.iter().enumerate() {
            match wanted.check(&namespace) {
                Ok(()) => return Ok(Ok(at)),
                Err(error) => reason = Err(error),
            }
        }
        Ok(reason)
    });
    let at = read.await?.map_err(loomwork_store::Error::from)?;
    rags.get(at).map_or_else(|| first(rags), Ok)
}

pub(crate) fn first(rags: &[Rag]) -> StoreResult<&Rag> {
    let missing = Error::Missing { what: "a job of a knowledge base", needs: "one to be bound to its pool" };
    rags.first().ok_or_else(|| missing.into())
}

fn start(tx: &mut Tx, entry: &Row<EntryRow>) -> StoreResult<Row<EntryRow>> {
    let options = Options {
        key: Some(entry.namespace.to_string()),
        retry: Some(retries()),
        on_done: Some(INGESTED.with(entry.id)),
        ..Options::default()
    };
    let job = workpool::enqueue(tx, &INGEST, entry.id, options)?;
    // The job stands for it, so it needs no lease.
    tx.update(entry.id, |row| (row.job, row.due) = (Some(job), None))
}

/// Returns the newest version of the key where it is the same and still on its way.
fn on_its_way(
    tx: &Tx,
    namespace: crate::NamespaceId,
    new: &NewEntry,
    hash: Option<&str>,
) -> StoreResult<Option<Row<EntryRow>>> {
    let (Some(key), Some(hash)) = (&new.key, hash) else { return Ok(None) };
    let newest = tx.first(EntryRow::by_key.eq(namespace).eq(key.as_str()).desc())?;
    let is_wanted = |entry: &Row<EntryRow>| {
        let is_described = entry.title == new.title && entry.metadata == new.metadata;
        let is_made = entry.status == EntryStatus::Pending && entry.job.is_some();
        is_made && is_described && is_same(entry, new, hash)
    };
    Ok(newest.filter(is_wanted))
}
