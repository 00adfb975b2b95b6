//! Cutting texts into chunks.

mod compat;
mod sections;
mod splitters;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::Result;
use crate::tables::Place;

pub use compat::LinePacker;
#[cfg(feature = "code")]
pub use splitters::Code;
pub use splitters::{MAX_CHUNK, Markdown, Measure, Paragraphs, Size};

/// A slice of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Where it is in the text, in bytes.
    pub range: Range<usize>,
    /// The headings that it stands under, the outermost first.
    pub section: Vec<String>,
    /// The page that it begins on, from 1.
    pub page: Option<u32>,
}

/// Cuts texts into chunks.
///
/// Pieces are in their order, within the text and at boundaries of characters, and each begins behind the
/// beginning of the one before. The chunkers of this crate leave nothing out but space; only pieces that
/// were asked to overlap share text.
///
/// ```
/// use loomwork_rag::{Chunker, Piece, Result};
///
/// #[derive(Debug)]
/// struct Lines;
///
/// impl Chunker for Lines {
///     fn name(&self) -> String {
///         "lines".to_owned()
///     }
///
///     fn cut(&self, text: &str) -> Result<Vec<Piece>> {
///         let mut start = 0;
///         let pieces = text.split_inclusive('\n').map(|line| {
///             let range = start..start + line.len();
///             start = range.end;
///             Piece { range, ..Piece::default() }
///         });
///         Ok(pieces.collect())
///     }
/// }
/// ```
pub trait Chunker: Send + Sync + fmt::Debug {
    /// Returns its name and all that decides how it cuts: a text that is cut in another way is another
    /// content.
    fn name(&self) -> String;

    /// Cuts a text.
    ///
    /// # Errors
    /// When the text cannot be cut.
    fn cut(&self, text: &str) -> Result<Vec<Piece>>;
}

impl<C: Chunker + ?Sized> Chunker for Arc<C> {
    fn name(&self) -> String {
        (**self).name()
    }

    fn cut(&self, text: &str) -> Result<Vec<Piece>> {
        (**self).cut(text)
    }
}

/// The mark of the order of bytes, which some systems put before a text.
pub(crate) const MARK: &str = "\u{feff}";

/// Returns the pieces of a text with their places, or says what a chunker did wrong. A mark before the text is
/// no part of it, and places count it.
pub(crate) fn cut<'a>(chunker: &dyn Chunker, text: &'a str) -> Result<Vec<(&'a str, Place)>> {
    let (text, before_text) = match text.strip_prefix(MARK) {
        Some(rest) => (rest, MARK.len()),
        None => (text, 0),
    };
    let pieces = chunker.cut(text)?;
    let mut before = None;
    let mut cut = Vec::with_capacity(pieces.len());
    for Piece { range, section, page } in pieces {
        let is_behind = before.is_none_or(|before| range.start > before);
        let Some(slice) = text.get(range.clone()).filter(|_| is_behind) else {
            let found = format!("{} gave the piece {range:?} of a text of {}", chunker.name(), text.len());
            let right = "pieces are slices of the text in their order";
            return Err(crate::Error::bad("a chunker", found, right));
        };
        before = Some(range.start);
        let place = |at: usize| Some((at + before_text) as u64);
        let (start, end) = (place(range.start), place(range.end));
        cut.push((slice, Place { start, end, section, page }));
    }
    Ok(cut)
}
