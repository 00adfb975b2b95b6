//! The schemas of tools: where they come from, and what does not fit them.

use std::sync::OnceLock;

use jsonschema::Validator;
use schemars::JsonSchema;
use serde_json::{Value, json};

/// How many faults of a call's arguments are told to the model, and how long each may be.
const MAX_FAULTS: usize = 5;
const MAX_FAULT_CHARS: usize = 300;

/// Returns the schema of a type.
pub(super) fn of<T: JsonSchema>() -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    if let Some(fields) = schema.as_object_mut() {
        fields.shift_remove("$schema");
        fields.shift_remove("title");
    }
    schema
}

/// Returns the schema of arguments.
pub(super) fn arguments<T: JsonSchema>() -> Value {
    let schema = of::<T>();
    complete(if is_null(&schema) { json!({ "type": "object" }) } else { schema })
}

/// Gives a schema of objects its properties, even where there are none: some providers refuse it without.
pub(super) fn complete(mut schema: Value) -> Value {
    if is_object(&schema) && schema.get("properties").is_none() {
        schema["properties"] = json!({});
    }
    schema
}

/// Whether a type stands for no arguments at all.
pub(super) fn takes_none<T: JsonSchema>() -> bool {
    is_null(&of::<T>())
}

/// Whether a schema is one of objects, as providers want those of arguments to be.
pub(super) fn is_object(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("object")
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").and_then(Value::as_str) == Some("null")
}

/// Checks values against a schema, which is read when it is first needed.
#[derive(Default)]
pub(crate) struct Schema {
    validator: OnceLock<Result<Validator, String>>,
}

impl Schema {
    /// Returns what reads `schema`, which is the same at each call; the error says why it is none.
    pub(super) fn validator(&self, schema: &Value) -> Result<&Validator, String> {
        let read = || {
            // Schemas are never fetched: that of a caller must not make us call an address.
            jsonschema::options().offline().build(schema).map_err(|error| error.to_string())
        };
        self.validator.get_or_init(read).as_ref().map_err(Clone::clone)
    }

    /// Says where a value does not fit and why; nothing where it fits.
    pub(crate) fn faults(&self, schema: &Value, value: &Value) -> Option<String> {
        let validator = match self.validator(schema) {
            Ok(validator) => validator,
            Err(why) => return Some(format!("their schema is none: {why}")),
        };
        let mut faults = validator.iter_errors(value).map(|error| fault(&error));
        let first: Vec<_> = faults.by_ref().take(MAX_FAULTS).collect();
        let more = match faults.count() {
            0 => None,
            more => Some(format!("and {more} more")),
        };
        let told: Vec<_> = first.into_iter().chain(more).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }
}

fn fault(error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().to_string();
    let told = match path.strip_prefix('/') {
        Some(field) => format!("`{}`: {error}", field.replace('/', ".")),
        None => error.to_string(),
    };
    told.chars().take(MAX_FAULT_CHARS).collect()
}
