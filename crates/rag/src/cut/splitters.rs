//! Chunkers that cut where a text itself has seams.

use std::fmt;
use std::sync::Arc;

use loomwork_models::TokenCounter;
use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use super::sections::Sections;
use super::{Chunker, Piece};
use crate::{Error, Result};

/// The longest chunk that may be asked for, in what it is measured by.
pub const MAX_CHUNK: usize = 100_000;

/// What the length of a chunk is measured in.
#[derive(Clone, Debug, Default)]
pub enum Measure {
    /// Letters.
    #[default]
    Letters,
    /// Tokens, as this counts them.
    Tokens(Arc<dyn TokenCounter>),
}

impl ChunkSizer for Measure {
    fn size(&self, chunk: &str) -> usize {
        match self {
            Self::Letters => chunk.chars().count(),
            Self::Tokens(counter) => counter.count(chunk).try_into().unwrap_or(usize::MAX),
        }
    }
}

/// How long chunks are.
#[derive(Clone, Debug)]
pub struct Size {
    /// A chunk of this length ends at the next seam that is a good one. Default: 100.
    pub least: usize,
    /// No chunk is longer. Default: 1,000.
    pub most: usize,
    /// How much of a chunk the next one repeats, below `least`. Default: nothing.
    pub overlap: usize,
    /// What these are measured in. Default: letters.
    pub measure: Measure,
}

impl Default for Size {
    fn default() -> Self {
        Self { least: 100, most: 1_000, overlap: 0, measure: Measure::Letters }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { least, most, overlap, measure } = self;
        write!(formatter, "({least},{most},{overlap},{measure:?})")
    }
}

impl Size {
    /// Chunks of up to `most` letters, whatever seams lie before.
    pub fn letters(most: usize) -> Self {
        Self { least: most, most, ..Self::default() }
    }

    /// Chunks of up to `most` tokens.
    pub fn tokens(most: usize, counter: Arc<dyn TokenCounter>) -> Self {
        Self { measure: Measure::Tokens(counter), ..Self::letters(most) }
    }

    /// Makes chunks repeat the end of the one before.
    pub fn with_overlap(self, overlap: usize) -> Self {
        Self { overlap, ..self }
    }

    fn config(&self) -> Result<ChunkConfig<Measure>> {
        let Self { least, most, overlap, measure } = self;
        let wrong = |right: &str| Error::bad("a chunk size of", self, right);
        if !(1..=*most).contains(least) || *most > MAX_CHUNK {
            return Err(wrong(&format!("it has 1 <= least <= most <= {MAX_CHUNK}")));
        }
        // Space stays in the pieces: what they leave out is decided here and nowhere else.
        ChunkConfig::new(*least..=*most)
            .with_sizer(measure.clone())
            .with_trim(false)
            .with_overlap(*overlap)
            .map_err(|_| wrong("the overlap is less than the least length"))
    }
}

/// Cuts plain text between paragraphs, and where these are too long between lines, sentences, words and
/// letters. This is the default.
#[derive(Clone, Debug, Default)]
pub struct Paragraphs {
    /// How long chunks are.
    pub size: Size,
}

impl Chunker for Paragraphs {
    fn name(&self) -> String {
        format!("paragraphs{}", self.size)
    }

    fn cut(&self, text: &str) -> Result<Vec<Piece>> {
        let splitter = TextSplitter::new(self.size.config()?);
        Ok(pieces(splitter.chunk_indices(text)).collect())
    }
}

/// Cuts Markdown between its sections and blocks. Its chunks know the headings that they stand under: those
/// over their first word.
#[derive(Clone, Debug, Default)]
pub struct Markdown {
    /// How long chunks are.
    pub size: Size,
}

impl Chunker for Markdown {
    fn name(&self) -> String {
        format!("markdown{}", self.size)
    }

    fn cut(&self, text: &str) -> Result<Vec<Piece>> {
        let splitter = MarkdownSplitter::new(self.size.config()?);
        let sections = Sections::of(text);
        let cut = pieces(splitter.chunk_indices(text));
        Ok(cut.map(|piece| Piece { section: sections.over(text, &piece.range), ..piece }).collect())
    }
}

/// Cuts source code along its syntax tree.
///
/// ```
/// use loomwork_rag::{Chunker, Code, Size};
///
/// let rust = Code::new("rust", tree_sitter_rust::LANGUAGE, Size::letters(40))?;
/// let text = "fn one() -> u32 {\n    1\n}\n\nfn two() -> u32 {\n    2\n}\n";
/// let pieces = rust.cut(text)?;
/// assert_eq!(text[pieces[1].range.clone()].trim(), "fn two() -> u32 {\n    2\n}");
/// # Ok::<_, loomwork_rag::Error>(())
/// ```
#[cfg(feature = "code")]
pub struct Code {
    language: &'static str,
    splitter: text_splitter::CodeSplitter<Measure>,
    size: String,
}

#[cfg(feature = "code")]
impl Code {
    /// Returns a chunker for a language, by the name that it shall have and its grammar.
    ///
    /// # Errors
    /// For a grammar of another version of the parser, and for sizes that make no sense.
    pub fn new(
        language: &'static str,
        grammar: impl Into<tree_sitter::Language>,
        size: Size,
    ) -> Result<Self> {
        let splitter = text_splitter::CodeSplitter::new(grammar, size.config()?)
            .map_err(|error| Error::bad("the grammar of", language, error.to_string()))?;
        Ok(Self { language, splitter, size: size.to_string() })
    }
}

#[cfg(feature = "code")]
impl fmt::Debug for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Code").field("language", &self.language).finish_non_exhaustive()
    }
}

#[cfg(feature = "code")]
impl Chunker for Code {
    fn name(&self) -> String {
        format!("code({}){}", self.language, self.size)
    }

    fn cut(&self, text: &str) -> Result<Vec<Piece>> {
        Ok(pieces(self.splitter.chunk_indices(text)).collect())
    }
}

/// The pieces that a splitter gives; those of nothing but space are left out.
fn pieces<'a>(chunks: impl Iterator<Item = (usize, &'a str)>) -> impl Iterator<Item = Piece> {
    chunks
        .filter(|(_, chunk)| !chunk.trim().is_empty())
        .map(|(start, chunk)| Piece { range: start..start + chunk.len(), ..Piece::default() })
}
