//! Answers that are values: JSON that fits a schema, whole or as it grows.
//!
//! Every model can give them, each in its way ([`SchemaSupport`]): it takes the schema with the request, it
//! must call a tool that has the schema, or it reads the schema in the prompt. An answer that does not fit
//! goes back to the model with what is wrong, a bounded number of times.

mod exchange;
mod find;
mod partial;
mod stream;
mod target;

use std::fmt;
use std::sync::Arc;

use loomwork_core::Clock;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, ErrorKind, LanguageModel, Reply, Request, Result, SchemaSupport, Usage};
use exchange::Exchange;
pub use partial::{PartialJson, PartialJsonError};
pub use stream::{ArrayStream, ObjectStream};
use target::Target;

/// How a value is asked for.
#[derive(Clone, Debug)]
pub struct ObjectOptions {
    /// The name of the schema, for the model; the schema's own title where it is `None`.
    pub name: Option<String>,
    /// What the value is, for the model.
    pub description: Option<String>,
    /// How often an answer that does not fit goes back to the model.
    pub max_repairs: u32,
    /// The way to ask; the model's own where it is `None`.
    pub support: Option<SchemaSupport>,
    /// Whether a provider that can do so shall hold the model to the schema.
    pub strict: bool,
    /// Mends an answer that does not fit, before it goes back to the model.
    pub mend: Option<Mend>,
    /// The clock by which a request's time-out spans all calls. Default: the wall clock.
    pub clock: Clock,
}

/// Mends an answer that does not fit its schema: is given the text of the answer and what is wrong with it, and
/// returns what to read instead, or `None` where it knows no better. What it returns is checked as any answer is.
///
/// ```
/// use loomwork_models::{Mend, ObjectOptions};
///
/// let mend = Mend::new(|text, _wrong| Some(text.replace("'", "\"")));
/// let options = ObjectOptions { mend: Some(mend), ..ObjectOptions::default() };
/// ```
#[derive(Clone)]
pub struct Mend(Arc<MendText>);

type MendText = dyn Fn(&str, &str) -> Option<String> + Send + Sync;

impl Mend {
    /// Mends by a function of the text and of what is wrong with it.
    pub fn new(mend: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(mend))
    }
}

impl fmt::Debug for Mend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Mend(..)")
    }
}

impl ObjectOptions {
    /// How often an answer that does not fit goes back, unless the options say otherwise.
    pub const DEFAULT_MAX_REPAIRS: u32 = 2;
}

impl Default for ObjectOptions {
    fn default() -> Self {
        Self {
            name: None,
            description: None,
            max_repairs: Self::DEFAULT_MAX_REPAIRS,
            support: None,
            strict: true,
            mend: None,
            clock: Clock::system(),
        }
    }
}

/// A value that a model gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<T = Value> {
    /// The value; it fits its schema.
    pub value: T,
    /// The same as JSON, as it was checked.
    pub json: Value,
    /// The answer that holds it.
    pub reply: Reply,
    /// What all calls together used.
    pub usage: Usage,
    /// How many calls it took: 1, and one for each repair.
    pub calls: u32,
}

/// Asks a model for a value of a type. Doc comments of the type and its fields reach the model.
///
/// ```
/// use loomwork_models::{Message, ObjectOptions, OfflineModel, Request, generate_object};
///
/// #[derive(schemars::JsonSchema, serde::Deserialize, Debug, PartialEq)]
/// struct Person {
///     name: String,
///     age: u32,
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> loomwork_models::Result<()> {
/// let model = OfflineModel::default();
/// let request = Request::new([Message::user("Ada Lovelace was 36 years old.")]);
/// let person = generate_object::<Person>(&model, request, &ObjectOptions::default()).await?;
/// assert_eq!(person.value, Person { name: "Ada Lovelace".into(), age: 36 });
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// `invalid_output` if the last answer does not fit either, or was cut off; it holds [that
/// answer](crate::Error::partial), and what all calls together [used](crate::Error::usage). `content_policy`
/// if the model refuses. `bad_request` if the schema is none. And the errors of the call.
pub async fn generate_object<T: JsonSchema + DeserializeOwned>(
    model: &dyn LanguageModel,
    request: Request,
    options: &ObjectOptions,
) -> Result<Object<T>> {
    let target = Target::of::<T>(model, options)?;
    Exchange::new(model, request, target, options).run().await
}

/// Asks a model for a value that fits a JSON schema, which may refer to itself and to nothing else, and reads it
/// as a type: [`Value`] takes all. It fails as [`generate_object`] does.
pub async fn generate_value<T: DeserializeOwned>(
    model: &dyn LanguageModel,
    request: Request,
    schema: Value,
    options: &ObjectOptions,
) -> Result<Object<T>> {
    let target = Target::new(schema, model, options)?;
    Exchange::new(model, request, target, options).run().await
}

/// Asks a model to choose one of these texts. It fails as [`generate_object`] does.
pub async fn generate_choice<C: Into<String>>(
    model: &dyn LanguageModel,
    request: Request,
    choices: impl IntoIterator<Item = C>,
    options: &ObjectOptions,
) -> Result<Object<String>> {
    let choices: Vec<String> = choices.into_iter().map(Into::into).collect();
    if choices.is_empty() {
        let (name, text) = (model.name(), "there is nothing to choose from; give at least one text");
        return Err(Error::new(ErrorKind::BadRequest, &name.provider, &name.model, text));
    }
    let schema = serde_json::json!({ "type": "string", "enum": choices });
    let target = Target::new(schema, model, options)?;
    Exchange::new(model, request, target, options).run().await
}

/// Asks a model for a value of a type, and shows the value while it grows.
pub async fn stream_object<'model, T: JsonSchema + DeserializeOwned>(
    model: &'model dyn LanguageModel,
    request: Request,
    options: &ObjectOptions,
) -> Result<ObjectStream<'model, T>> {
    let target = Target::of::<T>(model, options)?;
    ObjectStream::open(Exchange::new(model, request, target, options)).await
}

/// As [`generate_value`], and shows the value while it grows.
pub async fn stream_value<'model, T: DeserializeOwned>(
    model: &'model dyn LanguageModel,
    request: Request,
    schema: Value,
    options: &ObjectOptions,
) -> Result<ObjectStream<'model, T>> {
    let target = Target::new(schema, model, options)?;
    ObjectStream::open(Exchange::new(model, request, target, options)).await
}

/// Asks a model for a list, and hands on each element when it is complete.
pub async fn stream_array<'model, T: JsonSchema + DeserializeOwned>(
    model: &'model dyn LanguageModel,
    request: Request,
    options: &ObjectOptions,
) -> Result<ArrayStream<'model, T>> {
    let (whole, element) = (Target::of::<Vec<T>>(model, options)?, Target::of::<T>(model, options)?);
    ArrayStream::open(Exchange::new(model, request, whole, options), element).await
}
