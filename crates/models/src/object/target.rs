//! What a value has to fit.

use jsonschema::Validator;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::ObjectOptions;
use crate::{Error, ErrorKind, LanguageModel, OutputSchema, Result};

/// Providers want an object; other values are the field of this name of one.
const WRAPPER: &str = "value";

/// The longest name that providers take.
const MAX_NAME: usize = 64;

/// How many faults of an answer are told to the model, and how long each may be.
const MAX_FAULTS: usize = 5;
const MAX_FAULT_CHARS: usize = 300;

/// A schema, as it is sent and as it is checked.
#[derive(Debug)]
pub(super) struct Target {
    /// The schema as the caller gave it.
    pub(super) schema: Value,
    /// The schema as providers take it: an object.
    pub(super) output: OutputSchema,
    is_wrapped: bool,
    validator: Validator,
}

impl Target {
    pub(super) fn of<T: JsonSchema>(model: &dyn LanguageModel, options: &ObjectOptions) -> Result<Self> {
        Self::new(schemars::schema_for!(T).to_value(), model, options)
    }

    pub(super) fn new(schema: Value, model: &dyn LanguageModel, options: &ObjectOptions) -> Result<Self> {
        // Schemas are never fetched: a caller's schema must not make us call an address.
        let validator = jsonschema::options().offline().build(&schema).map_err(|error| {
            let name = model.name();
            let text = format!("the schema of the answer is no JSON schema: {error}");
            Error::new(ErrorKind::BadRequest, &name.provider, &name.model, text)
        })?;
        let is_wrapped = schema.get("type").and_then(Value::as_str) != Some("object");
        let title = schema.get("title").and_then(Value::as_str);
        let name = name(options.name.as_deref().or(title).unwrap_or("answer"));
        let description = options
            .description
            .clone()
            .or_else(|| schema.get("description").and_then(Value::as_str).map(str::to_owned));
        let sent = if is_wrapped { wrap(schema.clone()) } else { schema.clone() };
        let output = OutputSchema { name, description, schema: sent, strict: options.strict };
        Ok(Self { schema, output, is_wrapped, validator })
    }

    /// Returns the character with which a value begins as it is sent; `None` where that is not certain.
    pub(super) fn begins_with(&self, as_wrapped: bool) -> Option<char> {
        match self.schema.get("type").and_then(Value::as_str) {
            Some("object") => Some('{'),
            _ if as_wrapped => Some('{'),
            Some("array") => Some('['),
            _ => None,
        }
    }

    /// Returns the value itself of a value as it was sent, complete or not.
    pub(super) fn inner<'value>(&self, value: &'value Value) -> Option<&'value Value> {
        match value {
            Value::Object(fields) if self.is_wrapped && fields.len() <= 1 => fields.get(WRAPPER),
            value => Some(value),
        }
    }

    /// Checks a value, and returns it without its wrapper; the error says all that is wrong.
    pub(super) fn check(&self, mut value: Value) -> Result<Value, String> {
        if let (true, Value::Object(fields)) = (self.is_wrapped, &mut value)
            && fields.len() == 1
            && let Some(inner) = fields.get_mut(WRAPPER)
        {
            value = inner.take();
        }
        if self.validator.is_valid(&value) {
            return Ok(value);
        }
        let faults = self.faults(&value);
        // Providers that hold a model to a schema make it write a null for what it leaves out.
        let mut without_nulls = value;
        if drop_nulls(&mut without_nulls, &faults) && self.validator.is_valid(&without_nulls) {
            return Ok(without_nulls);
        }
        let shown = faults.iter().take(MAX_FAULTS).map(|fault| fault.text.as_str());
        let more = faults.len().saturating_sub(MAX_FAULTS);
        let more = (more > 0).then(|| format!("and {more} more"));
        Err(shown.chain(more.as_deref()).collect::<Vec<_>>().join("; "))
    }

    fn faults(&self, value: &Value) -> Vec<Fault> {
        let fault = |error: jsonschema::ValidationError<'_>| {
            let path = error.instance_path().to_string();
            let place = if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") };
            let text: String = format!("{place}: {error}").chars().take(MAX_FAULT_CHARS).collect();
            Fault { path, text }
        };
        self.validator.iter_errors(value).map(fault).collect()
    }
}

/// What is wrong with a part of a value.
struct Fault {
    /// Where, as a JSON pointer.
    path: String,
    text: String,
}

/// Removes the fields at fault that are null; returns whether there were any.
fn drop_nulls(value: &mut Value, faults: &[Fault]) -> bool {
    let mut dropped = false;
    for fault in faults {
        let Some((outer, key)) = fault.path.rsplit_once('/') else { continue };
        let key = key.replace("~1", "/").replace("~0", "~");
        if let Some(Value::Object(fields)) = value.pointer_mut(outer)
            && fields.get(&key).is_some_and(Value::is_null)
        {
            fields.shift_remove(&key);
            dropped = true;
        }
    }
    dropped
}

/// Returns the schema of an object whose one field is the value. Definitions stay at the root, where
/// references look for them.
fn wrap(mut schema: Value) -> Value {
    let mut whole = Map::new();
    if let Value::Object(fields) = &mut schema {
        fields.shift_remove("$schema");
        for name in ["$defs", "definitions"] {
            if let Some(definitions) = fields.shift_remove(name) {
                whole.insert(name.to_owned(), definitions);
            }
        }
    }
    move_root(&mut schema);
    whole.values_mut().for_each(move_root);
    whole.insert("type".to_owned(), "object".into());
    whole.insert("properties".to_owned(), json!({ WRAPPER: schema }));
    whole.insert("required".to_owned(), json!([WRAPPER]));
    whole.insert("additionalProperties".to_owned(), false.into());
    Value::Object(whole)
}

/// Makes references to the root name the place that it has moved to.
fn move_root(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get_mut("$ref")
                && reference == "#"
            {
                *reference = format!("#/properties/{WRAPPER}").into();
            }
            fields.values_mut().for_each(move_root);
        }
        Value::Array(items) => items.iter_mut().for_each(move_root),
        _ => {}
    }
}

/// Returns a name that every provider takes: letters, digits, `_` and `-`.
fn name(text: &str) -> String {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    let name = text.chars().map(|letter| if allowed(letter) { letter } else { '_' });
    let name: String = name.take(MAX_NAME).collect();
    if name.is_empty() { "answer".to_owned() } else { name }
}
