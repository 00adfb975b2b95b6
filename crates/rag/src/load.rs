//! Reading documents: from bytes to text that can be cut.

mod folder;
#[cfg(feature = "html")]
mod html;
mod models;
#[cfg(feature = "pdf")]
pub mod pdf;
mod readings;
mod records;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use loomwork_files::media_type;
use loomwork_models::{LanguageModel, ModelName, Usage};

use crate::content::Content;
use crate::cut::{Chunker, MARK, Markdown, Piece};
use crate::{Error, Result};

pub use folder::{FolderOptions, Ingested};
pub use models::{Transcript, describe_image, to_markdown, transcribe_pdf};
pub(crate) use readings::{ReadingId, forget_readings};
use records::Records;

/// The most bytes of a document, if nobody says; and of the text that comes of a table or of JSON, if that is more.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;

/// The most bytes of a web page; what is larger is no page that somebody reads.
#[cfg(feature = "html")]
pub const MAX_PAGE_BYTES: usize = 8 << 20;

/// A document that was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Its title, where it says one.
    pub title: Option<String>,
    /// Its text.
    pub text: String,
    /// How the text is written.
    pub form: Form,
    /// Where its pages begin in the text, in bytes; none where it has no pages.
    pub pages: Vec<usize>,
    /// Whether a mark of the order of bytes stood before the text; places in its source count it.
    pub is_marked: bool,
    /// What a model used to read it.
    pub used: Option<(ModelName, Usage)>,
}

/// How a text is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// As plain text.
    #[default]
    Plain,
    /// As Markdown.
    Markdown,
    /// As source code in files of this ending.
    Code(String),
}

/// Reads documents by what they are: text, Markdown, JSON, CSV and source code; web pages with the feature
/// `html` and PDF files with the feature `pdf`; images where a model is named.
///
/// What a document is, its bytes say before its name and its declared type.
#[derive(Clone)]
pub struct Reader {
    max_bytes: usize,
    markdown: Arc<dyn Chunker>,
    code: BTreeMap<String, Arc<dyn Chunker>>,
    images: Option<Arc<dyn LanguageModel>>,
    #[cfg(feature = "pdf")]
    pdf: pdf::Pdf,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            max_bytes: MAX_DOCUMENT_BYTES,
            markdown: Arc::new(Markdown::default()),
            code: BTreeMap::new(),
            images: None,
            #[cfg(feature = "pdf")]
            pdf: pdf::Pdf::default(),
        }
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Reader")
            .field("markdown", &self.markdown)
            .field("code", &self.code)
            .field("images", &self.images)
            .finish_non_exhaustive()
    }
}

/// Endings of files that hold source code or settings, which no media type tells from plain text.
const CODE: &[&str] = &[
    "c", "cc", "cpp", "cs", "css", "ex", "exs", "go", "h", "hpp", "hs", "java", "jl", "js", "jsx", "kt",
    "lua", "ml", "mjs", "nix", "php", "pl", "py", "r", "rb", "rs", "scala", "sh", "sql", "swift", "toml",
    "ts", "tsx", "vue", "yaml", "yml", "zig",
];

/// Endings of files that are text and nothing else: what is none is damaged.
const TEXT: &[&str] = &["txt", "log", "rst", "text"];

impl Reader {
    /// Bounds the bytes of a document; [`MAX_DOCUMENT_BYTES`] by default.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets how Markdown is cut.
    pub fn markdown(mut self, chunker: impl Chunker + 'static) -> Self {
        self.markdown = Arc::new(chunker);
        self
    }

    /// Sets how source code in files of an ending is cut; as plain text otherwise.
    pub fn code(mut self, ending: impl Into<String>, chunker: impl Chunker + 'static) -> Self {
        self.code.insert(ending.into(), Arc::new(chunker));
        self
    }

    /// Has images described by a model.
    pub fn images(mut self, model: impl LanguageModel + 'static) -> Self {
        self.images = Some(Arc::new(model));
        self
    }

    /// Sets how PDF files are read.
    #[cfg(feature = "pdf")]
    pub fn pdf(mut self, pdf: pdf::Pdf) -> Self {
        self.pdf = pdf;
        self
    }

    pub(crate) fn limit(&self) -> usize {
        self.max_bytes
    }

    /// Checks that a document is not too large to be read.
    pub(crate) fn check_size(&self, name: &str, bytes: u64) -> Result<()> {
        if bytes <= self.max_bytes as u64 {
            return Ok(());
        }
        let right = "split it, or allow more with `Reader::max_bytes`";
        Err(Error::TooLarge { what: name.to_owned(), bytes, limit: self.max_bytes, right })
    }

    /// Says how documents are cut: the same bytes that are cut in another way are another content.
    pub(crate) fn name(&self, plain: &dyn Chunker) -> String {
        let code: Vec<_> = self.code.iter().map(|(ending, by)| format!("{ending}:{}", by.name())).collect();
        format!("{};{};{}", plain.name(), self.markdown.name(), code.join(";"))
    }

    /// Reads a document. `name` says what it is where its bytes and `declared` do not.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; [`Error::Unreadable`] for what is not what it says it is;
    /// [`Error::NoReader`] for what is no text, and where reading it needs a feature or a model.
    pub async fn read(&self, name: &str, declared: Option<&str>, bytes: Bytes) -> Result<Document> {
        self.check_size(name, bytes.len() as u64)?;
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
        let kind = kind_of(name, declared, &bytes);
        match (kind.as_str(), ending.as_str()) {
            ("application/pdf", _) => self.read_pdf(name, bytes).await,
            ("text/html" | "application/xhtml+xml", _) => read_html(name, bytes).await,
            (image, _) if is_image(image) => {
                let needs = "a model, named with `Reader::images`";
                let model = self.images.as_ref().ok_or_else(|| no_reader(name, image, needs))?;
                let Transcript { text, usage } = describe_image(&**model, bytes, Some(image)).await?;
                let used = Some((model.name().clone(), usage));
                Ok(Document { text, form: Form::Markdown, used, ..Document::default() })
            }
            ("application/json", _) | (_, "json") => self.read_records(name, bytes, Records::Json).await,
            (_, "jsonl" | "ndjson") => self.read_records(name, bytes, Records::JsonLines).await,
            ("text/csv", _) | (_, "csv") => self.read_records(name, bytes, Records::Table(b',')).await,
            ("text/tab-separated-values", _) | (_, "tsv") => {
                self.read_records(name, bytes, Records::Table(b'\t')).await
            }
            ("text/markdown", _) | (_, "md" | "mdx" | "markdown") => {
                let text = text_of(name, &bytes)?;
                let (title, is_marked) = (heading(&text), is_marked(&bytes));
                Ok(Document { title, text, form: Form::Markdown, is_marked, ..Document::default() })
            }
            (_, ending) if CODE.contains(&ending) || self.code.contains_key(ending) => {
                let (form, is_marked) = (Form::Code(ending.to_owned()), is_marked(&bytes));
                Ok(Document { text: text_of(name, &bytes)?, form, is_marked, ..Document::default() })
            }
            (kind, ending) => match text_of(name, &bytes) {
                Ok(text) => Ok(Document { text, is_marked: is_marked(&bytes), ..Document::default() }),
                Err(error) if kind.starts_with("text/") || TEXT.contains(&ending) => Err(error),
                Err(_) => Err(no_reader(
                    name,
                    if kind.is_empty() { "no text" } else { kind },
                    "a reader of its own",
                )),
            },
        }
    }

    /// Returns the model that would read a document, if one does.
    pub(crate) fn model_for(
        &self,
        name: &str,
        declared: Option<&str>,
        bytes: &[u8],
    ) -> Option<&Arc<dyn LanguageModel>> {
        self.images.as_ref().filter(|_| is_image(&kind_of(name, declared, bytes)))
    }

    async fn read_records(&self, name: &str, bytes: Bytes, records: Records) -> Result<Document> {
        let (name, limit) = (name.to_owned(), self.max_bytes.max(MAX_DOCUMENT_BYTES));
        let read = tokio::task::spawn_blocking(move || records.read(&name, &text_of(&name, &bytes)?, limit));
        read.await.unwrap_or(Err(Error::Panicked("read records")))
    }

    /// Returns a document as the content of an entry, cut by what it is.
    pub fn content(&self, document: Document, plain: &Arc<dyn Chunker>) -> Content {
        let by = match &document.form {
            Form::Markdown => self.markdown.clone(),
            Form::Code(ending) => self.code.get(ending).unwrap_or(plain).clone(),
            Form::Plain => plain.clone(),
        };
        if !document.pages.is_empty() {
            return Content::Cut(document.text, Box::new(Paged { by, pages: document.pages }));
        }
        let text = if document.is_marked { format!("{MARK}{}", document.text) } else { document.text };
        Content::Cut(text, Box::new(by))
    }

    #[cfg(feature = "pdf")]
    async fn read_pdf(&self, name: &str, bytes: Bytes) -> Result<Document> {
        self.pdf.read(name, bytes).await
    }

    #[cfg(not(feature = "pdf"))]
    async fn read_pdf(&self, name: &str, _bytes: Bytes) -> Result<Document> {
        Err(no_reader(name, "a PDF file", "the feature `pdf` of loomwork-rag, or `transcribe_pdf`"))
    }
}

#[cfg(feature = "html")]
async fn read_html(name: &str, bytes: Bytes) -> Result<Document> {
    if bytes.len() > MAX_PAGE_BYTES {
        let (what, bytes, right) =
            (name.to_owned(), bytes.len() as u64, "no page that somebody reads is larger");
        return Err(Error::TooLarge { what, bytes, limit: MAX_PAGE_BYTES, right });
    }
    let text = text_of(name, &bytes)?;
    let read = tokio::task::spawn_blocking(move || html::read(&text));
    read.await.map_err(|_| Error::Panicked("read a web page"))
}

#[cfg(not(feature = "html"))]
async fn read_html(name: &str, _bytes: Bytes) -> Result<Document> {
    Err(no_reader(name, "a web page", "the feature `html` of loomwork-rag"))
}

/// Says what a document is: by its bytes, and where these do not say it by what it is declared to be and its name.
fn kind_of(name: &str, declared: Option<&str>, bytes: &[u8]) -> String {
    let found = media_type(bytes, Some(name));
    let found = found.as_deref().filter(|found| *found != "text/plain").or(declared).or(found.as_deref());
    found.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned()
}

/// Whether a kind of document is pixels, in which a model sees something.
fn is_image(kind: &str) -> bool {
    kind.starts_with("image/") && kind != "image/svg+xml"
}

fn no_reader(name: &str, kind: &str, needs: &'static str) -> Error {
    Error::NoReader { name: name.to_owned(), kind: kind.to_owned(), needs }
}

fn is_marked(bytes: &[u8]) -> bool {
    bytes.starts_with(MARK.as_bytes())
}

/// Returns bytes as text, without a mark of their order.
fn text_of(name: &str, bytes: &[u8]) -> Result<String> {
    let unreadable = |reason: String| Error::Unreadable { name: name.to_owned(), format: "text", reason };
    let text = std::str::from_utf8(bytes)
        .map_err(|error| unreadable(format!("byte {} is no UTF-8", error.valid_up_to())))?;
    if text.contains('\0') {
        return Err(unreadable("it has zero bytes, so it is no text".to_owned()));
    }
    Ok(text.strip_prefix(MARK).unwrap_or(text).to_owned())
}

/// Returns the first heading of a Markdown text, if it begins with one of the first level.
fn heading(text: &str) -> Option<String> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let title = line.strip_prefix("# ")?.trim().trim_end_matches('#').trim();
    (!title.is_empty()).then(|| title.to_owned())
}

/// Says on which page each piece begins.
#[derive(Debug)]
struct Paged {
    by: Arc<dyn Chunker>,
    pages: Vec<usize>,
}

impl Chunker for Paged {
    fn name(&self) -> String {
        self.by.name()
    }

    fn cut(&self, text: &str) -> Result<Vec<Piece>> {
        let page = |piece: Piece| {
            // A piece keeps the space before its text, which may be the end of the page before.
            let slice = text.get(piece.range.clone()).unwrap_or_default();
            let start = piece.range.start + slice.len() - slice.trim_start().len();
            let page = self.pages.partition_point(|begin| *begin <= start);
            Piece { page: u32::try_from(page).ok().filter(|page| *page > 0), ..piece }
        };
        Ok(self.by.cut(text)?.into_iter().map(page).collect())
    }
}
