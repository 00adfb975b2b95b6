//! What is added: an entry, and its content.

use std::fmt;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use loomwork_search::Space;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::cut::{self, Chunker};
use crate::filter::check_name;
use crate::tables::{Metadata, Place};
use crate::{Error, Result, weight};

/// How many bytes of what is wrong are shown.
const SHOWN_BYTES: usize = 80;

/// The longest key of an entry, in bytes.
pub const MAX_KEY_BYTES: usize = 500;

/// What is to be added. New fields may come, so end a literal with `..NewEntry::default()`.
///
/// ```
/// use loomwork_rag::NewEntry;
///
/// let entry = NewEntry::key("looms.md").titled("Looms").filter("team", "weavers").weighing(0.8);
/// assert_eq!(entry.title.as_deref(), Some("Looms"));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct NewEntry {
    /// What it is the content of. Another content of the same key takes its place. Default: none.
    pub key: Option<String>,
    /// Its title.
    pub title: Option<String>,
    /// What the application keeps with it.
    pub metadata: Metadata,
    /// The values by which it is filtered: of all declared names, or of none.
    pub filters: Map<String, Value>,
    /// How much it counts, from 0 to 1. Default: as much as the live version of its key, such as
    /// [`Rag::weigh`](crate::Rag::weigh) has said; 1 where there is none.
    pub importance: Option<f32>,
    /// What says whether its content is the same as before. Default: the digest of the content, of how it
    /// is cut, and of what is said of its chunks. That of a stream is known at its end.
    pub content_hash: Option<String>,
    /// Takes a live entry of the same hash for this one, whatever its key. Default: no. What is kept in step with
    /// something has an entry for each key, and a long stream is compared with its own key alone.
    pub dedupe: bool,
    /// What is told with it when it settles.
    pub context: Value,
    /// Whom to attribute its embedding to.
    pub user: Option<String>,
    /// What it is kept in step with; [`sync`](crate::Rag::sync) sets it.
    pub origin: Option<String>,
}

impl Default for NewEntry {
    fn default() -> Self {
        Self {
            key: None,
            title: None,
            metadata: Metadata::new(),
            filters: Map::new(),
            importance: None,
            content_hash: None,
            dedupe: false,
            context: Value::Null,
            user: None,
            origin: None,
        }
    }
}

impl NewEntry {
    /// Returns an entry under a key.
    pub fn key(key: impl Into<String>) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// Sets the title.
    pub fn titled(self, title: impl Into<String>) -> Self {
        Self { title: Some(title.into()), ..self }
    }

    /// Sets a filter value.
    pub fn filter(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.filters.insert(name.into(), value.into());
        self
    }

    /// Keeps a value with it.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Sets how much it counts.
    pub fn weighing(self, importance: f32) -> Self {
        Self { importance: Some(importance), ..self }
    }

    /// Sets what says whether its content is the same as before.
    pub fn hashed(self, content_hash: impl Into<String>) -> Self {
        Self { content_hash: Some(content_hash.into()), ..self }
    }

    pub(crate) fn check(&self, declared: &[String]) -> Result<()> {
        self.importance.map_or(Ok(()), weight::check)?;
        for text in [&self.key, &self.content_hash].into_iter().flatten() {
            if !(1..=MAX_KEY_BYTES).contains(&text.len()) {
                let right = format!("keys and hashes have 1 to {MAX_KEY_BYTES} bytes");
                let shown = &text[..text.floor_char_boundary(SHOWN_BYTES)];
                let found = format!("{} bytes ({shown:?})", text.len());
                return Err(Error::bad("a key or hash of", found, right));
            }
        }
        let wrong = |reason: String| Error::BadFilterValues { reason, declared: declared.join(", ") };
        if self.filters.is_empty() {
            return Ok(());
        }
        if let Some(name) = self.filters.keys().find(|name| !declared.contains(name)) {
            return Err(wrong(format!("{name:?} is not declared")));
        }
        match declared.iter().find(|name| !self.filters.contains_key(*name)) {
            Some(missing) => Err(wrong(format!("{missing:?} is missing; give all or none"))),
            None => Ok(()),
        }
    }
}

/// Checks the filter names that a knowledge base declares.
pub(crate) fn check_declared(names: &[String]) -> Result<()> {
    for (at, name) in names.iter().enumerate() {
        check_name(name)?;
        if names[..at].contains(name) {
            return Err(Error::bad("the filter name", name, "is declared twice; declare it once"));
        }
    }
    Ok(())
}

/// A chunk that is added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewChunk {
    /// Its text.
    pub text: String,
    /// What finds it by words, in place of its text.
    pub keywords: Option<String>,
    /// What the application keeps with it; it can be filtered by this.
    pub metadata: Metadata,
    /// Its vector; the model is not asked for it then.
    pub embedding: Option<Vec<f32>>,
    /// Where it is in its source.
    pub place: Place,
}

impl<T: Into<String>> From<T> for NewChunk {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

impl NewChunk {
    /// Reads a chunk from JSON: a text, `{ text, metadata?, embedding?, keywords? }`, or the same with
    /// `pageContent` in place of `text`.
    ///
    /// # Errors
    /// For anything else.
    pub fn from_json(value: Value) -> Result<Self> {
        let shown: String = value.to_string().chars().take(80).collect();
        let wrong =
            || Error::bad("a chunk of", &shown, "it is a text or an object with `text` or `pageContent`");
        let mut fields = match value {
            Value::String(text) => return Ok(text.into()),
            Value::Object(fields) => fields,
            _ => return Err(wrong()),
        };
        let text = fields.remove("text").or_else(|| fields.remove("pageContent"));
        let Some(Value::String(text)) = text else { return Err(wrong()) };
        let keywords = match fields.remove("keywords") {
            None | Some(Value::Null) => None,
            Some(Value::String(keywords)) => Some(keywords),
            Some(_) => return Err(wrong()),
        };
        let metadata = match fields.remove("metadata") {
            None | Some(Value::Null) => Metadata::new(),
            Some(Value::Object(metadata)) => metadata,
            Some(_) => return Err(wrong()),
        };
        let embedding = match fields.remove("embedding") {
            None | Some(Value::Null) => None,
            Some(vector) => Some(serde_json::from_value(vector).map_err(|_| wrong())?),
        };
        Ok(Self { text, keywords, metadata, embedding, place: Place::default() })
    }

    pub(crate) fn check(&self, space: &Space) -> Result<()> {
        match &self.embedding {
            Some(vector) => Ok(space.check(vector)?),
            None => Ok(()),
        }
    }
}

/// The content of an entry.
pub enum Content {
    /// A text, which is cut by the chunker of the knowledge base.
    Text(String),
    /// A text that is cut by a chunker of its own.
    Cut(String, Box<dyn Chunker>),
    /// Chunks that are there.
    Chunks(Vec<NewChunk>),
    /// Chunks that come one by one; a few batches of them are in memory at a time.
    Stream(BoxStream<'static, Result<NewChunk>>),
}

impl Content {
    /// Returns the content of these chunks.
    pub fn chunks<C: Into<NewChunk>>(chunks: impl IntoIterator<Item = C>) -> Self {
        Self::Chunks(chunks.into_iter().map(Into::into).collect())
    }
}

impl From<String> for Content {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Content {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<Vec<NewChunk>> for Content {
    fn from(chunks: Vec<NewChunk>) -> Self {
        Self::Chunks(chunks)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Cut(text, _) => write!(formatter, "Content of {} bytes", text.len()),
            Self::Chunks(chunks) => write!(formatter, "Content of {} chunks", chunks.len()),
            Self::Stream(_) => formatter.write_str("Content of a stream"),
        }
    }
}

/// Content as it is written: chunks that are there, or a stream.
pub(crate) enum Chunked {
    Here(Vec<NewChunk>),
    Stream(BoxStream<'static, Result<NewChunk>>),
}

impl Chunked {
    /// Waits for a stream that has no more than so many chunks; a longer one stays one.
    pub(crate) async fn gathered(self, most: usize) -> Result<Self> {
        let Self::Stream(mut stream) = self else { return Ok(self) };
        let first: Vec<NewChunk> = (&mut stream).take(most + 1).try_collect().await?;
        if first.len() <= most {
            return Ok(Self::Here(first));
        }
        Ok(Self::Stream(futures_util::stream::iter(first.into_iter().map(Ok)).chain(stream).boxed()))
    }

    /// Returns the hash of the whole, where that is known.
    pub(crate) fn hash(&self) -> Option<String> {
        match self {
            Self::Here(chunks) => Some(hash_of(chunks)),
            Self::Stream(_) => None,
        }
    }
}

impl Content {
    /// Returns the hash of the whole, where that is known.
    pub(crate) fn hash(&self, by: &dyn Chunker) -> Option<String> {
        let of_text = |text: &str, by: &dyn Chunker| Some(content_hash(format!("{}\0{text}", by.name())));
        match self {
            Self::Text(text) => of_text(text, by),
            Self::Cut(text, by) => of_text(text, &**by),
            Self::Chunks(chunks) => Some(hash_of(chunks)),
            Self::Stream(_) => None,
        }
    }

    /// Cuts what has to be cut.
    pub(crate) fn cut(self, by: &dyn Chunker) -> Result<Chunked> {
        match self {
            Self::Text(text) => cut_text(&text, by),
            Self::Cut(text, by) => cut_text(&text, &*by),
            Self::Chunks(chunks) => Ok(Chunked::Here(chunks)),
            Self::Stream(chunks) => Ok(Chunked::Stream(chunks)),
        }
    }
}

fn cut_text(text: &str, by: &dyn Chunker) -> Result<Chunked> {
    let pieces = cut::cut(by, text)?.into_iter();
    let chunks = pieces.map(|(text, place)| NewChunk { text: text.to_owned(), place, ..NewChunk::default() });
    Ok(Chunked::Here(chunks.collect()))
}

fn hash_of(chunks: &[NewChunk]) -> String {
    let mut hash = ChunksHash::default();
    chunks.iter().for_each(|chunk| hash.add(chunk));
    hash.end()
}

/// The hash of chunks, one after the other: of all that is kept of each.
#[derive(Default)]
pub(crate) struct ChunksHash(Sha256);

impl ChunksHash {
    pub(crate) fn add(&mut self, chunk: &NewChunk) {
        self.part(chunk.text.as_bytes());
        self.part(chunk.keywords.as_deref().unwrap_or("\0").as_bytes());
        self.part(Value::Object(chunk.metadata.clone()).to_string().as_bytes());
        let vector = chunk.embedding.iter().flatten().flat_map(|part| part.to_be_bytes());
        self.part(&vector.collect::<Vec<_>>());
        let Place { start, end, section, page } = &chunk.place;
        self.part(json!([start, end, section, page]).to_string().as_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn end(self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.finalize())
    }
}

/// Returns the SHA-256 of some bytes, in hexadecimal digits.
pub fn content_hash(content: impl AsRef<[u8]>) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(content))
}

/// Digits of the digest of a chunk's text.
const CHUNK_DIGITS: usize = 32;

/// What of a chunk's text is embedded: models take no empty text, and space means nothing.
pub(crate) fn embedded_text(text: &str) -> &str {
    match text.trim() {
        "" => "_",
        text => text,
    }
}

/// Returns the digest of what of a chunk is embedded.
pub(crate) fn chunk_hash(text: &str) -> String {
    let mut hash = content_hash(embedded_text(text));
    hash.truncate(CHUNK_DIGITS);
    hash
}
