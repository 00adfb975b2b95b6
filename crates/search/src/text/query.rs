//! What a text search asks for.

use serde::{Deserialize, Serialize};

use crate::index::Schema;
use crate::{Error, Result};

/// The longest query text, in bytes.
pub const MAX_QUERY_BYTES: usize = 10_000;

/// How deep a query may be nested.
pub const MAX_QUERY_DEPTH: usize = 32;

/// How the text of a query is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Syntax {
    /// As words, of which any may be found; the last one may be the beginning of a word.
    #[default]
    Words,
    /// With operators: `"a phrase"`, `begin*`, `+must`, `-not`, `AND`, `OR`, `NOT`, `field:word`, and
    /// parentheses.
    Operators,
}

/// What a text search asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TextQuery {
    /// A text has this word, or one that begins with it.
    Word {
        text: String,
        prefix: bool,
        /// The number of the field; any where it is `None`.
        field: Option<usize>,
    },
    /// A text has these words one after the other.
    Phrase { text: String, field: Option<usize> },
    /// A row meets one of these; the more the better.
    Any(Vec<TextQuery>),
    /// A row meets all of these.
    All(Vec<TextQuery>),
    /// A row meets the first; if it meets the second too, that counts as well.
    Prefer(Box<TextQuery>, Box<TextQuery>),
    /// A row does not meet this.
    Not(Box<TextQuery>),
}

impl TextQuery {
    pub(crate) fn parse(text: &str, syntax: Syntax, schema: &Schema) -> Result<Self> {
        if text.len() > MAX_QUERY_BYTES {
            return Err(Error::QueryTooLong { limit: MAX_QUERY_BYTES, found: text.len() });
        }
        if text.trim().is_empty() {
            return Err(Error::EmptyQuery { index: schema.name.clone() });
        }
        match syntax {
            Syntax::Words => Ok(words(text)),
            Syntax::Operators => {
                let mut parser = Parser { text, at: 0, schema };
                let query = parser.any(0)?;
                match parser.peek() {
                    Some(_) => Err(parser.wrong("a `)` has no `(` before it")),
                    None => Ok(query),
                }
            }
        }
    }
}

fn words(text: &str) -> TextQuery {
    let begins = !text.ends_with(char::is_whitespace);
    let words: Vec<_> = text.split_whitespace().collect();
    let last = words.len().saturating_sub(1);
    let word = |(place, text): (usize, &&str)| TextQuery::Word {
        text: (*text).to_owned(),
        prefix: begins && place == last,
        field: None,
    };
    TextQuery::Any(words.iter().enumerate().map(word).collect())
}

/// Reads the syntax with operators.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    schema: &'a Schema,
}

impl Parser<'_> {
    fn wrong(&self, what: &str) -> Error {
        Error::Syntax {
            query: self.text.to_owned(),
            place: self.text[..self.at].chars().count(),
            what: what.to_owned(),
        }
    }

    fn peek(&mut self) -> Option<char> {
        let rest = &self.text[self.at..];
        let start = rest.find(|letter: char| !letter.is_whitespace())?;
        self.at += start;
        rest[start..].chars().next()
    }

    /// Takes an operator that is written as a word.
    fn takes(&mut self, operator: &str) -> bool {
        let _ = self.peek();
        let after = self.text[self.at..].strip_prefix(operator);
        let ends = |rest: &str| {
            rest.is_empty() || rest.starts_with(|next: char| next.is_whitespace() || next == '(')
        };
        let found = after.is_some_and(ends);
        if found {
            self.at += operator.len();
        }
        found
    }

    /// Clauses that follow each other, of which one is enough, unless some must or must not be met.
    fn any(&mut self, depth: usize) -> Result<TextQuery> {
        let (mut may, mut must) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                None | Some(')') => break,
                _ if !may.is_empty() && self.takes("OR") => may.push(self.all(depth)?),
                Some('+') => {
                    self.at += 1;
                    must.push(self.clause(depth)?);
                }
                Some('-') => {
                    self.at += 1;
                    must.push(TextQuery::Not(Box::new(self.clause(depth)?)));
                }
                _ => may.push(self.all(depth)?),
            }
        }
        let forbids_only = must.iter().all(|clause| matches!(clause, TextQuery::Not(_)));
        match (may.len(), must.is_empty()) {
            (0, true) => Err(self.wrong("a word is missing here")),
            (1, true) => Ok(may.remove(0)),
            (_, true) => Ok(TextQuery::Any(may)),
            (0, false) => Ok(TextQuery::All(must)),
            // What may be met counts for the score; it must be met only where nothing else has to be.
            (_, false) if forbids_only => {
                must.push(TextQuery::Any(may));
                Ok(TextQuery::All(must))
            }
            (_, false) => {
                Ok(TextQuery::Prefer(Box::new(TextQuery::All(must)), Box::new(TextQuery::Any(may))))
            }
        }
    }

    /// Clauses joined by `AND`.
    fn all(&mut self, depth: usize) -> Result<TextQuery> {
        let mut clauses = vec![self.clause(depth)?];
        while self.takes("AND") {
            clauses.push(self.clause(depth)?);
        }
        Ok(if clauses.len() == 1 { clauses.remove(0) } else { TextQuery::All(clauses) })
    }

    fn clause(&mut self, depth: usize) -> Result<TextQuery> {
        if depth > MAX_QUERY_DEPTH {
            return Err(self.wrong("it is nested too deep"));
        }
        if self.takes("NOT") {
            return Ok(TextQuery::Not(Box::new(self.clause(depth + 1)?)));
        }
        match self.peek() {
            None => Err(self.wrong("a word is missing here")),
            Some('(') => {
                self.at += 1;
                let inner = self.any(depth + 1)?;
                if self.peek() != Some(')') {
                    return Err(self.wrong("a `)` is missing here"));
                }
                self.at += 1;
                Ok(inner)
            }
            Some(_) => self.word(None),
        }
    }

    fn word(&mut self, field: Option<usize>) -> Result<TextQuery> {
        let rest = &self.text[self.at..];
        if let Some(quoted) = rest.strip_prefix('"') {
            let Some(end) = quoted.find('"') else { return Err(self.wrong("this quote is never closed")) };
            self.at += end + 2;
            return Ok(TextQuery::Phrase { text: quoted[..end].to_owned(), field });
        }
        let end = rest.find(|letter: char| letter.is_whitespace() || matches!(letter, '(' | ')' | '"' | ':'));
        let end = end.unwrap_or(rest.len());
        let word = &rest[..end];
        if rest[end..].starts_with(':') && field.is_none() && !word.is_empty() {
            let known = self.schema.texts.iter().position(|(name, _)| name == word);
            if known.is_none() {
                let fields: Vec<_> = self.schema.texts.iter().map(|(name, _)| name.as_str()).collect();
                return Err(
                    self.wrong(&format!("there is no text field `{word}`; there are: {}", fields.join(", ")))
                );
            }
            self.at += end + 1;
            return match self.text[self.at..].chars().next() {
                Some(next) if !next.is_whitespace() => self.word(known),
                _ => Err(self.wrong("a word is missing here")),
            };
        }
        if word.is_empty() {
            return Err(self.wrong("a word is missing here"));
        }
        self.at += end;
        let (text, prefix) = word.strip_suffix('*').map_or((word, false), |word| (word, true));
        if text.is_empty() {
            return Err(self.wrong("a `*` stands for the end of a word, so a letter has to be before it"));
        }
        Ok(TextQuery::Word { text: text.to_owned(), prefix, field })
    }
}
