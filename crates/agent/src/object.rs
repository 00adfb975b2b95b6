//! Values instead of text.

mod make;
mod stream;

use std::fmt;
use std::marker::PhantomData;

use loomwork_models::{FinishReason, ObjectOptions, Usage, Warning};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::reply::Stored;

pub(crate) use make::{generate, make};
pub use stream::ObjectStream;

/// What a value has to be, and how it is asked for.
///
/// ```
/// use loomwork_agent::ObjectSpec;
/// use loomwork_models::ObjectOptions;
/// use schemars::JsonSchema;
/// use serde::Deserialize;
///
/// #[derive(Deserialize, JsonSchema)]
/// struct Step {
///     what: String,
/// }
///
/// let list = ObjectSpec::<Vec<Step>>::of(); // a type; lists are types too
/// let mood = ObjectSpec::choice(["happy", "sad"]);
/// let any = ObjectSpec::any(); // JSON of any shape
/// let patient = list.with(ObjectOptions { max_repairs: 5, ..ObjectOptions::default() });
/// ```
pub struct ObjectSpec<T = Value> {
    pub(crate) schema: Value,
    pub(crate) options: ObjectOptions,
    /// Nothing fits a choice from nothing.
    pub(crate) is_impossible: bool,
    value: PhantomData<fn() -> T>,
}

impl<T: JsonSchema + DeserializeOwned> ObjectSpec<T> {
    /// Asks for a value of a type; its doc comments and those of its fields reach the model.
    pub fn of() -> Self {
        Self::new(schemars::schema_for!(T).to_value())
    }
}

impl ObjectSpec {
    /// Asks for JSON that fits a schema, which may refer to itself and to nothing else.
    pub fn schema(schema: Value) -> Self {
        Self::new(schema)
    }

    /// Asks for JSON of any shape. No provider can hold a model to that, so it is not strict.
    pub fn any() -> Self {
        Self::new(json!({})).with(ObjectOptions { strict: false, ..ObjectOptions::default() })
    }
}

impl ObjectSpec<String> {
    /// Asks to choose one of these texts.
    pub fn choice<C: Into<String>>(choices: impl IntoIterator<Item = C>) -> Self {
        let choices: Vec<String> = choices.into_iter().map(Into::into).collect();
        let is_impossible = choices.is_empty();
        Self { is_impossible, ..Self::new(json!({ "type": "string", "enum": choices })) }
    }
}

impl<T> ObjectSpec<T> {
    fn new(schema: Value) -> Self {
        Self { schema, options: ObjectOptions::default(), is_impossible: false, value: PhantomData }
    }

    /// Says how it is asked for: under which name, how often what does not fit goes back, and what mends it. The
    /// clock is that of the store.
    #[must_use]
    pub fn with(self, options: ObjectOptions) -> Self {
        Self { options, ..self }
    }
}

impl<T> Clone for ObjectSpec<T> {
    fn clone(&self) -> Self {
        let (schema, options) = (self.schema.clone(), self.options.clone());
        Self { is_impossible: self.is_impossible, options, ..Self::new(schema) }
    }
}

impl<T> fmt::Debug for ObjectSpec<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ObjectSpec");
        shown.field("schema", &self.schema).field("options", &self.options).finish_non_exhaustive()
    }
}

/// A value that an agent gave.
#[derive(Clone, Debug)]
pub struct ObjectReply<T = Value> {
    /// The value; it fits its schema.
    pub object: T,
    /// The same as JSON, as it is stored.
    pub json: Value,
    /// How often the model was called: once, and once for each answer that did not fit.
    pub calls: u32,
    /// What all calls used together.
    pub usage: Usage,
    /// Why the model stopped.
    pub finish_reason: FinishReason,
    /// The model that answered.
    pub model: String,
    /// Its provider.
    pub provider: String,
    /// What was asked of the model and could not be done.
    pub warnings: Vec<Warning>,
    /// Where it is stored; nowhere for an answer outside of threads.
    pub stored: Option<Stored>,
}
