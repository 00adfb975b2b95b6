//! Schemas that the provider holds its model to.

use serde_json::{Map, Value};

/// Keywords that constrain what the provider does not check; they are told in the description instead.
const UNCHECKED: [&str; 14] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "minContains",
    "maxContains",
];

/// Formats that the provider checks.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// Keywords that hold schemas by name, in a list, and alone.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];
const LISTED: [&str; 4] = ["anyOf", "allOf", "oneOf", "prefixItems"];
const SINGLE: [&str; 1] = ["items"];

/// Returns a schema as the provider takes it: each object is closed, and what it does not check stands in
/// the descriptions.
///
/// # Errors
/// Says where an object is open by intent: the provider has no maps.
pub(super) fn strict(schema: &Value) -> Result<Value, String> {
    let mut schema = schema.clone();
    if let Some(root) = schema.as_object_mut() {
        root.remove("$schema");
    }
    close(&mut schema, "$")?;
    Ok(schema)
}

fn close(schema: &mut Value, path: &str) -> Result<(), String> {
    let Value::Object(fields) = schema else { return Ok(()) };
    describe_unchecked(fields);
    let is_object = match fields.get("type") {
        Some(Value::String(kind)) => kind == "object",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        _ => fields.contains_key("properties"),
    };
    if is_object {
        let is_open = fields.get("additionalProperties").is_some_and(|open| *open != Value::Bool(false));
        if is_open || fields.contains_key("patternProperties") {
            return Err(format!(
                "the object at {path} is open for any property, which a strict schema cannot be: name its \
                 properties, or use a list of pairs"
            ));
        }
        fields.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for name in NAMED {
        let schemas = fields.get_mut(name).and_then(Value::as_object_mut);
        for (property, schema) in schemas.into_iter().flatten() {
            close(schema, &format!("{path}.{property}"))?;
        }
    }
    for name in LISTED {
        for schema in fields.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            close(schema, path)?;
        }
    }
    // `oneOf` is not known; that exactly one fits is not checked then.
    if let Some(choices) = fields.remove("oneOf") {
        fields.insert("anyOf".to_owned(), choices);
    }
    for name in SINGLE {
        if let Some(schema) = fields.get_mut(name) {
            close(schema, &format!("{path}[]"))?;
        }
    }
    Ok(())
}

fn describe_unchecked(fields: &mut Map<String, Value>) {
    let mut told = Vec::new();
    for name in UNCHECKED {
        // A list that must not be empty is the one count that is checked.
        let is_checked =
            name == "minItems" && fields.get(name).and_then(Value::as_u64).is_some_and(|n| n <= 1);
        if is_checked {
            continue;
        }
        if let Some(value) = fields.remove(name) {
            told.push(format!("{name}: {value}"));
        }
    }
    let is_unknown = |format: &Value| format.as_str().is_none_or(|format| !FORMATS.contains(&format));
    if fields.get("format").is_some_and(is_unknown)
        && let Some(Value::String(format)) = fields.remove("format")
    {
        told.push(format!("format: {format}"));
    }
    if told.is_empty() {
        return;
    }
    let told = format!("({})", told.join(", "));
    let description = match fields.get("description").and_then(Value::as_str) {
        Some(text) => format!("{text} {told}"),
        None => told,
    };
    fields.insert("description".to_owned(), description.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn objects_are_closed_and_what_is_not_checked_is_told() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "age": { "type": "integer", "format": "uint8", "minimum": 0, "description": "In years." },
                "tags": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/Tag" } },
                "choice": { "oneOf": [{ "type": "object", "properties": {} }, { "type": "null" }] },
            },
            "$defs": { "Tag": { "type": ["object", "null"], "properties": { "a": { "type": "string" } } } },
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "age": { "type": "integer", "description": "In years. (minimum: 0, format: uint8)" },
                "tags": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/Tag" } },
                "choice": { "anyOf": [
                    { "type": "object", "properties": {}, "additionalProperties": false }, { "type": "null" },
                ] },
            },
            "$defs": { "Tag": {
                "type": ["object", "null"],
                "properties": { "a": { "type": "string" } },
                "additionalProperties": false,
            } },
            "additionalProperties": false,
        });
        assert_eq!(strict(&schema).unwrap(), expected);
    }

    #[test]
    fn an_open_map_is_refused_by_its_place() {
        let schema = json!({ "type": "object", "properties": {
            "counts": { "type": "object", "additionalProperties": { "type": "integer" } },
        } });
        let error = strict(&schema).unwrap_err();
        assert!(error.starts_with("the object at $.counts is open"), "{error}");
    }
}
