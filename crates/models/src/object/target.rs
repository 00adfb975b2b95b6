//! What a value has to fit.

use jsonschema::Validator;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::ObjectOptions;
use crate::{Error, ErrorKind, LanguageModel, OutputSchema, Result, drop_filler_nulls};

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
    /// Whether the value is a field of the object that is sent.
    pub(super) is_wrapped: bool,
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

    /// Checks a value, and returns it without its wrapper and without the nulls that strict mode makes a
    /// provider write; the error says what is wrong.
    pub(super) fn check(&self, mut value: Value) -> Result<Value, String> {
        if let (true, Value::Object(fields)) = (self.is_wrapped, &mut value)
            && fields.len() == 1
            && let Some(inner) = fields.get_mut(WRAPPER)
        {
            value = inner.take();
        }
        drop_filler_nulls(&self.schema, &mut value);
        let faults = self.faults(&value);
        if faults.is_empty() {
            return Ok(value);
        }
        let more = faults.len().saturating_sub(MAX_FAULTS);
        let more = (more > 0).then(|| format!("and {more} more"));
        Err(faults.into_iter().take(MAX_FAULTS).chain(more).collect::<Vec<_>>().join("; "))
    }

    fn faults(&self, value: &Value) -> Vec<String> {
        let fault = |error: jsonschema::ValidationError<'_>| {
            let path = error.instance_path().to_string();
            let place = if path.is_empty() { "the value".to_owned() } else { format!("`{path}`") };
            format!("{place}: {error}").chars().take(MAX_FAULT_CHARS).collect()
        };
        self.validator.iter_errors(value).map(fault).collect()
    }
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
