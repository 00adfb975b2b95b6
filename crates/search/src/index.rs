//! What of a table's rows can be searched, and by what they can be filtered.

use std::fmt;
use std::sync::Arc;

use loomwork_store::{Row, Table};

use crate::doc::Doc;
use crate::{Error, IntoValues, Metric, Result, Space, Value};

/// How many letters of a text are embedded at most.
pub const MAX_EMBEDDED_LETTERS: usize = 10_000;

/// An index over a table: its text fields, what of a row is embedded, and its filter fields.
///
/// The declaration is code; [`version`](Self::version) says that its functions mean something else than
/// before, and what was derived is then made anew.
///
/// ```
/// use loomwork_search::{Index, TextOptions};
/// use loomwork_store::Table;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Serialize, Deserialize, Table)]
/// #[table(name = "notes", id = "note", feed)]
/// struct Note {
///     title: String,
///     body: String,
///     author: String,
///     tags: Vec<String>,
///     stars: u32,
/// }
///
/// let notes = Index::<Note>::new("notes")
///     .text_with("title", TextOptions { boost: 2.0, ..TextOptions::default() }, |note| note.title.as_str())
///     .text("body", |note| note.body.as_str())
///     .embed(|note| Some(note.body.clone()))
///     .field("author", |note| note.author.clone())
///     .field("tags", |note| note.tags.clone())
///     .field("stars", |note| note.stars);
/// ```
pub struct Index<T: Table> {
    schema: Schema,
    texts: Vec<TextOf<T>>,
    values: Vec<ValuesOf<T>>,
    embed: Option<EmbedOf<T>>,
    space: Option<Space>,
}

type TextOf<T> = Arc<dyn Fn(&T) -> &str + Send + Sync>;
type ValuesOf<T> = Arc<dyn Fn(&T) -> Vec<Value> + Send + Sync>;
type EmbedOf<T> = Arc<dyn Fn(&T) -> Option<String> + Send + Sync>;

/// How the text of a field is read.
#[derive(Clone, Debug, PartialEq)]
pub struct TextOptions {
    /// How much a hit in this field counts; 1 by default.
    pub boost: f32,
    /// The language whose word endings are cut; none by default, which suits mixed languages.
    pub language: Option<Language>,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { boost: 1.0, language: None }
    }
}

/// A language whose word endings are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its name")]
#[non_exhaustive]
pub enum Language {
    Arabic,
    Danish,
    Dutch,
    English,
    Finnish,
    French,
    German,
    Greek,
    Hungarian,
    Italian,
    Norwegian,
    Portuguese,
    Romanian,
    Russian,
    Spanish,
    Swedish,
    Tamil,
    Turkish,
}

/// What of an index is data: its names and options.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Schema {
    pub(crate) name: String,
    pub(crate) table: &'static str,
    pub(crate) version: u32,
    pub(crate) texts: Vec<(String, TextOptions)>,
    pub(crate) fields: Vec<String>,
    pub(crate) embeds: bool,
    pub(crate) metric: Metric,
}

impl Schema {
    /// Returns the number of a filter field.
    pub(crate) fn field(&self, name: &str) -> Result<usize> {
        let unknown = || Error::UnknownField {
            index: self.name.clone(),
            field: name.to_owned(),
            known: self.fields.join(", "),
        };
        self.fields.iter().position(|field| field == name).ok_or_else(unknown)
    }
}

impl<T: Table> Index<T> {
    /// Returns an index without fields; its name is that of its folder, unique in the store.
    pub fn new(name: impl Into<String>) -> Self {
        let (texts, fields) = (Vec::new(), Vec::new());
        let metric = Metric::default();
        let schema =
            Schema { name: name.into(), table: T::NAME, version: 1, texts, fields, embeds: false, metric };
        Self { schema, texts: Vec::new(), values: Vec::new(), embed: None, space: None }
    }

    /// Sets the version, which grows when a function of the declaration means something else than before.
    pub fn version(mut self, version: u32) -> Self {
        self.schema.version = version;
        self
    }

    /// Adds a text field.
    pub fn text(self, name: impl Into<String>, of: impl Fn(&T) -> &str + Send + Sync + 'static) -> Self {
        self.text_with(name, TextOptions::default(), of)
    }

    /// Adds a text field with options.
    pub fn text_with(
        mut self,
        name: impl Into<String>,
        options: TextOptions,
        of: impl Fn(&T) -> &str + Send + Sync + 'static,
    ) -> Self {
        self.schema.texts.push((name.into(), options));
        self.texts.push(Arc::new(of));
        self
    }

    /// Says what of a row is embedded: its vector finds it by meaning. Space around the text and what is
    /// behind [`MAX_EMBEDDED_LETTERS`] is left out; rows of `None`, or of no text, have no vector.
    pub fn embed(mut self, of: impl Fn(&T) -> Option<String> + Send + Sync + 'static) -> Self {
        self.schema.embeds = true;
        self.embed = Some(Arc::new(of));
        self
    }

    /// Says in which space the vectors are that find its rows. Where a model embeds them it is the model's,
    /// unless this says another length; vectors that a program writes itself need it.
    pub fn vectors(mut self, space: Space) -> Self {
        self.space = Some(space);
        self
    }

    /// Says what makes two of its vectors near; the angle between them by default.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.schema.metric = metric;
        self
    }

    /// Adds a filter field: the values of a row, none or one or several.
    pub fn field<V: IntoValues>(
        mut self,
        name: impl Into<String>,
        of: impl Fn(&T) -> V + Send + Sync + 'static,
    ) -> Self {
        self.schema.fields.push(name.into());
        self.values.push(Arc::new(move |record| of(record).into_values()));
        self
    }

    /// Returns the row as the search structures see it.
    pub(crate) fn doc(&self, row: &Row<T>) -> Doc {
        let texts = self.texts.iter().map(|of| of(&row.record).to_owned()).collect();
        let values = self.values.iter().map(|of| of(&row.record)).collect();
        Doc { id: row.id.raw(), texts, values }
    }

    /// Returns what of the row is embedded.
    pub(crate) fn embedded_text(&self, row: &Row<T>) -> Option<String> {
        let text = self.embed.as_ref().and_then(|of| of(&row.record))?;
        let text = text.trim();
        let end = text.char_indices().nth(MAX_EMBEDDED_LETTERS).map_or(text.len(), |(at, _)| at);
        (!text.is_empty()).then(|| text[..end].to_owned())
    }

    /// Returns the text of a row in each text field.
    pub(crate) fn texts<'a>(&self, record: &'a T) -> Vec<&'a str> {
        self.texts.iter().map(|of| of(record)).collect()
    }

    /// Returns the space that the declaration names.
    pub(crate) fn space(&self) -> Option<&Space> {
        self.space.as_ref()
    }

    /// Returns what of the index is data.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }
}

impl<T: Table> fmt::Debug for Index<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Index").field("schema", &self.schema).finish_non_exhaustive()
    }
}
