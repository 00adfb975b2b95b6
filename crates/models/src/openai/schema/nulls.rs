//! The way back from strict mode.

use serde_json::{Map, Value};

use super::{required, resolve};

/// How many references and branches are followed from one value to the schema that describes it; one
/// that only refers to itself ends here.
const MAX_STEPS: usize = 12;

/// Takes the nulls out of a value that strict mode put there: those of properties that `schema`, the
/// schema before [`strict_schema`](super::strict_schema), neither requires nor lets be null.
///
/// ```
/// use serde_json::json;
///
/// let schema = json!({ "type": "object", "properties": { "age": { "type": "integer" } } });
/// let mut answer = json!({ "age": null });
/// loomwork_models::drop_filler_nulls(&schema, &mut answer);
/// assert_eq!(answer, json!({}));
/// ```
pub fn drop_filler_nulls(schema: &Value, value: &mut Value) {
    drop_nulls(schema, schema, value);
}

fn drop_nulls(document: &Value, schema: &Value, value: &mut Value) {
    let Some(schema) = describing(document, schema, value, MAX_STEPS) else { return };
    match value {
        Value::Object(fields) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
            let is_filler = |name: &str| {
                let is_required = required(schema).any(|required| required == name);
                let property = properties.get(name).filter(|_| !is_required);
                property.is_some_and(|property| !fits(document, property, &Value::Null, MAX_STEPS))
            };
            fields.retain(|name, value| !(value.is_null() && is_filler(name)));
            for (name, value) in fields {
                if let Some(property) = properties.get(name) {
                    drop_nulls(document, property, value);
                }
            }
        }
        Value::Array(items) => {
            let Some(item_schema) = schema.get("items") else { return };
            items.iter_mut().for_each(|item| drop_nulls(document, item_schema, item));
        }
        _ => {}
    }
}

/// Follows references and branches to the schema that describes a value; of branches, the first that the
/// value fits.
fn describing<'a>(
    document: &'a Value,
    schema: &'a Value,
    value: &Value,
    steps: usize,
) -> Option<&'a Map<String, Value>> {
    let steps = steps.checked_sub(1)?;
    let branches = || ["anyOf", "oneOf", "allOf"].iter().find_map(|keyword| schema.get(keyword)?.as_array());
    let next = match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => resolve(document, reference)?,
        None => match branches() {
            Some(branches) => branches.iter().find(|branch| fits(document, branch, value, steps))?,
            None => return schema.as_object(),
        },
    };
    describing(document, next, value, steps)
}

/// Returns whether a value has a schema's type, constants and required properties, and those that it has
/// fit too.
fn fits(document: &Value, schema: &Value, value: &Value, steps: usize) -> bool {
    let Some(schema) = describing(document, schema, value, steps) else { return false };
    let type_fits = match schema.get("type") {
        None => true,
        Some(Value::Array(names)) => names.iter().any(|name| has_type(value, name)),
        Some(name) => has_type(value, name),
    };
    let constant_fits = schema.get("const").is_none_or(|constant| constant == value);
    let listed = schema.get("enum").and_then(Value::as_array).is_none_or(|values| values.contains(value));
    type_fits
        && constant_fits
        && listed
        && value.as_object().is_none_or(|fields| properties_fit(document, schema, fields))
}

fn properties_fit(document: &Value, schema: &Map<String, Value>, fields: &Map<String, Value>) -> bool {
    let is_open = schema.get("additionalProperties") != Some(&Value::Bool(false));
    let fields_fit = fields.iter().all(|(name, value)| {
        match schema.get("properties").and_then(|properties| properties.get(name)) {
            // A null may be one that strict mode put there.
            Some(property) => value.is_null() || fits(document, property, value, MAX_STEPS),
            None => is_open,
        }
    });
    fields_fit && required(schema).all(|name| fields.contains_key(name))
}

fn has_type(value: &Value, name: &Value) -> bool {
    match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => false,
    }
}
