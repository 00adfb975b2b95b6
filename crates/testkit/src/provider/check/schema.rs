//! Schemas that a provider holds its model to.

use serde_json::Value;

use super::{Check, Field};

/// What a strict schema may say.
const KEYWORDS: [&str; 26] = [
    "$defs",
    "$id",
    "$ref",
    "$schema",
    "additionalProperties",
    "anyOf",
    "const",
    "definitions",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maximum",
    "minItems",
    "minLength",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

const FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Where a schema keeps others by name, and in a list.
const NAMED: [&str; 3] = ["properties", "$defs", "definitions"];

/// Which rules a strict schema has to keep.
#[derive(Clone, Copy)]
pub(super) enum Strictness {
    /// Every property is required, and only some keywords and formats are known.
    OpenAi,
    /// Every object is closed.
    Anthropic,
}

pub(super) fn check(root: &Field<'_>, strictness: Strictness) -> Check {
    root.required_object()?;
    if root.get("type").as_str() != Some("object") || root.get("anyOf").is_given() {
        return Err(root.refusal("the root of a strict schema has `type` \"object\" and no `anyOf`"));
    }
    Walk { root, strictness }.check(root)
}

struct Walk<'a> {
    root: &'a Field<'a>,
    strictness: Strictness,
}

impl Walk<'_> {
    fn check(&self, schema: &Field<'_>) -> Check {
        schema.required_object()?;
        if is_object(schema.value) {
            self.check_object(schema)?;
        }
        if let Strictness::OpenAi = self.strictness {
            check_keywords(schema)?;
        }
        self.check_reference(&schema.get("$ref"))?;
        for name in NAMED {
            schema.get(name).entries().try_for_each(|inner| self.check(&inner))?;
        }
        schema.get("anyOf").items()?.iter().try_for_each(|inner| self.check(inner))?;
        let items = schema.get("items");
        if items.is_given() { self.check(&items) } else { Ok(()) }
    }

    fn check_object(&self, schema: &Field<'_>) -> Check {
        let additional = schema.get("additionalProperties");
        if *additional.value != Value::Bool(false) {
            return Err(
                additional.refusal("'additionalProperties' is required to be supplied and to be false")
            );
        }
        if let Strictness::Anthropic = self.strictness {
            return Ok(());
        }
        let required = schema.get("required").items()?;
        let is_required = |name: &str| required.iter().any(|item| item.as_str() == Some(name));
        let properties = schema.value["properties"].as_object();
        match properties.into_iter().flat_map(|properties| properties.keys()).find(|name| !is_required(name))
        {
            Some(name) => Err(schema.get("required").refusal(format!(
                "'required' is required to be supplied and to be an array including every key in \
                 properties; '{name}' is missing"
            ))),
            None => Ok(()),
        }
    }

    /// A reference leads to a place in the same schema.
    fn check_reference(&self, reference: &Field<'_>) -> Check {
        if !reference.is_given() {
            return Ok(());
        }
        let path = reference.text()?;
        let target = path.strip_prefix('#').and_then(|pointer| self.root.value.pointer(pointer));
        if target.is_some() { Ok(()) } else { Err(reference.refusal(format!("`{path}` leads nowhere"))) }
    }
}

fn check_keywords(schema: &Field<'_>) -> Check {
    let keywords = schema.value.as_object().into_iter().flat_map(|object| object.keys());
    for keyword in keywords {
        if !KEYWORDS.contains(&keyword.as_str()) {
            return Err(schema.get(keyword).refusal(format!("'{keyword}' is not permitted")));
        }
    }
    schema.get("format").one_of(&FORMATS)
}

fn is_object(schema: &Value) -> bool {
    let kind = &schema["type"];
    let is_kind =
        kind == "object" || kind.as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "object"));
    is_kind || schema.get("properties").is_some()
}
