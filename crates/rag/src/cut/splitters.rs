//! Chunkers that cut where a text itself has seams.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use loomwork_models::TokenCounter;
use text_splitter::{ChunkConfig, ChunkSizer, MarkdownSplitter, TextSplitter};

use super::sections::Outline;
use super::{Chunker, Piece};
use crate::{Error, Result};

/// The longest chunk that may be asked for, in what it is measured by.
pub const MAX_CHUNK: usize = 100_000;

/// How many chunks there are about in what a splitter is shown at once, and how many bytes it is shown at least. For
/// each chunk it looks at all that is behind it, so the time that it takes grows with the square of what it is shown.
const WINDOW_CHUNKS: usize = 32;
const MIN_WINDOW: usize = 8 << 10;

/// How many bytes a token has, about.
const TOKEN_BYTES: usize = 4;

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

    /// How much of a text is shown to a splitter at once, in bytes.
    fn window(&self) -> usize {
        let each = match self.measure {
            Measure::Letters => self.most,
            Measure::Tokens(_) => self.most.saturating_mul(TOKEN_BYTES),
        };
        each.saturating_mul(WINDOW_CHUNKS).max(MIN_WINDOW)
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
        let ranges =
            in_windows(text, self.size.window(), |window| ranges(splitter.chunk_indices(window)), |_| true);
        Ok(pieces(text, ranges).collect())
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
        let mut blocks = Outline::of(text);
        let is_block = |at: usize| begins_a_block(text, at) && !blocks.is_code(first_word(text, at));
        let ranges =
            in_windows(text, self.size.window(), |window| ranges(splitter.chunk_indices(window)), is_block);
        let mut outline = Outline::of(text);
        let with_section = |piece: Piece| {
            let section = outline.over(first_word(text, piece.range.start));
            Piece { section, ..piece }
        };
        Ok(pieces(text, ranges).map(with_section).collect())
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
    window: usize,
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
        Ok(Self { language, splitter, window: size.window(), size: size.to_string() })
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
        let is_item = |at: usize| begins_a_block(text, at);
        let ranges =
            in_windows(text, self.window, |window| ranges(self.splitter.chunk_indices(window)), is_item);
        Ok(pieces(text, ranges).collect())
    }
}

fn ranges<'a>(chunks: impl Iterator<Item = (usize, &'a str)>) -> Vec<Range<usize>> {
    chunks.map(|(start, chunk)| start..start + chunk.len()).collect()
}

/// The pieces of a text; those of nothing but space are left out.
fn pieces(text: &str, ranges: Vec<Range<usize>>) -> impl Iterator<Item = Piece> {
    let texts = ranges.into_iter().filter(|range| is_text(text, range));
    texts.map(|range| Piece { range, ..Piece::default() })
}

fn is_text(text: &str, range: &Range<usize>) -> bool {
    !text[range.clone()].trim().is_empty()
}

/// Cuts a text as a splitter cuts what it is shown of it. What follows a window decides over its last chunk, so the
/// next one begins with that, or where a block begins before it.
fn in_windows(
    text: &str,
    window: usize,
    cut: impl Fn(&str) -> Vec<Range<usize>>,
    mut begins_well: impl FnMut(usize) -> bool,
) -> Vec<Range<usize>> {
    let (mut all, mut start, mut length) = (Vec::new(), 0_usize, window);
    loop {
        let end = text.floor_char_boundary(start.saturating_add(length));
        let here: Vec<_> =
            cut(&text[start..end]).into_iter().map(|it| it.start + start..it.end + start).collect();
        if end == text.len() {
            all.extend(here);
            return all;
        }
        let behind_first = here.iter().enumerate().skip(1);
        let late = behind_first.clone().filter(|(_, range)| range.start >= start + length / 2);
        let well = late.filter(|(_, range)| is_text(text, range) && begins_well(range.start)).last();
        let Some((at, next)) = well.or_else(|| behind_first.last()) else {
            // All of it is one chunk, or none.
            length *= 2;
            continue;
        };
        (start, length) = (next.start, window);
        all.extend_from_slice(&here[..at]);
    }
}

/// Whether the first word behind a place begins a line behind an empty one.
fn begins_a_block(text: &str, at: usize) -> bool {
    let first = first_word(text, at);
    let space = &text[text[..first].trim_end().len()..first];
    space.ends_with('\n') && space.matches('\n').count() > 1
}

/// The first place behind this one, or itself, that is no space.
fn first_word(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start().len()
}
