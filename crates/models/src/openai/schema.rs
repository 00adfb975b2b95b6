//! JSON schemas in the subset that a provider can hold a model to.
//!
//! Strict mode wants every object closed and every property required, so an optional property is sent as
//! one that may be null. What comes back then has nulls where the original schema has nothing;
//! [`drop_filler_nulls`] takes them out again.

mod nulls;

use serde_json::{Map, Value, json};

pub use nulls::drop_filler_nulls;

/// The formats of texts that strict mode knows.
const KNOWN_FORMATS: [&str; 9] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"];

/// Keywords that say something to people or narrow values further than strict mode can. Without them a
/// schema takes more, never less.
const DROPPED: [&str; 19] = [
    "$schema",
    "$id",
    "$comment",
    "title",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "contentEncoding",
    "contentMediaType",
    "minLength",
    "maxLength",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Keywords whose meaning would be lost, and what to use instead.
const UNSUPPORTED: [(&str, &str); 12] = [
    ("patternProperties", "an open map; use a list of objects with a key and a value"),
    ("prefixItems", "a tuple; use an object with named fields"),
    ("additionalItems", "a tuple; use an object with named fields"),
    ("contains", "a condition on items; describe it in words"),
    ("not", "a negation; list what is allowed"),
    ("if", "a condition; use `anyOf`"),
    ("then", "a condition; use `anyOf`"),
    ("else", "a condition; use `anyOf`"),
    ("dependentSchemas", "a condition; use `anyOf`"),
    ("dependentRequired", "a condition; use `anyOf`"),
    ("dependencies", "a condition; use `anyOf`"),
    ("$dynamicRef", "a dynamic reference; use `$ref`"),
];

/// Why a schema cannot be strict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema cannot be strict at `{path}`: {problem}")]
pub struct SchemaError {
    /// Where in the schema, as a JSON pointer behind `#`.
    pub path: String,
    /// What is there, and what would do.
    pub problem: String,
}

/// Returns the schema as strict mode wants it: a root that is an object, closed objects, every property
/// required and the optional ones nullable, only the keywords that strict mode knows.
///
/// ```
/// use serde_json::json;
///
/// let schema = json!({
///     "title": "Person",
///     "type": "object",
///     "properties": { "name": { "type": "string" }, "age": { "type": "integer" } },
///     "required": ["name"],
/// });
/// let strict = loomwork_models::strict_schema(&schema)?;
/// assert_eq!(strict, json!({
///     "type": "object",
///     "properties": { "name": { "type": "string" }, "age": { "type": ["integer", "null"] } },
///     "required": ["name", "age"],
///     "additionalProperties": false,
/// }));
/// # Ok::<_, loomwork_models::SchemaError>(())
/// ```
///
/// # Errors
/// What strict mode cannot express is an error that names its path: open maps, values of any kind,
/// tuples, conditions.
pub fn strict_schema(schema: &Value) -> Result<Value, SchemaError> {
    let root = object_at_root(schema)?;
    let mut strict = Path::ROOT.schema(&Value::Object(root))?;
    let definitions = definitions(schema)
        .map(|(name, definition)| Ok((name.clone(), Path::ROOT.key("$defs").key(name).schema(definition)?)))
        .collect::<Result<Map<_, _>, SchemaError>>()?;
    if !definitions.is_empty() {
        strict["$defs"] = definitions.into();
    }
    Ok(strict)
}

/// Returns the definitions that references name, under today's keyword and the older one.
fn definitions(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let groups = ["$defs", "definitions"].into_iter().filter_map(|keyword| schema.get(keyword)?.as_object());
    groups.flatten()
}

/// Returns what a reference within the document points at.
fn resolve<'a>(document: &'a Value, reference: &str) -> Option<&'a Value> {
    let pointer = reference.strip_prefix('#')?;
    document.pointer(pointer)
}

/// Returns the object that the root is, or that it refers to; without the definitions.
fn object_at_root(schema: &Value) -> Result<Map<String, Value>, SchemaError> {
    let mut root = schema;
    // A chain of references ends, or it goes in a circle: then it is longer than there are definitions.
    for _ in 0..=definitions(schema).count() {
        let Some(reference) = root.get("$ref").and_then(Value::as_str) else { break };
        let missing = || Path::ROOT.problem(format!("`{reference}` is not defined"));
        root = resolve(schema, reference).ok_or_else(missing)?;
    }
    let Some(fields) = root.as_object().filter(|fields| is_object(fields)) else {
        return Err(Path::ROOT.problem("the root is no object; wrap it into an object with one property"));
    };
    let mut fields = fields.clone();
    fields.retain(|name, _| name != "$defs" && name != "definitions");
    fields.insert("type".to_owned(), "object".into());
    // A root that says nothing of properties is that of a tool without arguments.
    fields.entry("properties").or_insert_with(|| json!({}));
    Ok(fields)
}

fn is_object(fields: &Map<String, Value>) -> bool {
    match fields.get("type") {
        None => fields.contains_key("properties"),
        Some(Value::Array(types)) => types.iter().any(|name| name == "object"),
        Some(name) => name == "object",
    }
}

/// Where in a schema the pass is; errors show it.
#[derive(Clone, Copy)]
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    key: &'a str,
}

impl Path<'_> {
    const ROOT: Path<'static> = Path { parent: None, key: "#" };

    fn key<'a>(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), key }
    }

    fn pointer(&self) -> String {
        match self.parent {
            None => self.key.to_owned(),
            Some(parent) => {
                let key = self.key.replace('~', "~0").replace('/', "~1");
                format!("{}/{key}", parent.pointer())
            }
        }
    }

    fn problem(&self, problem: impl Into<String>) -> SchemaError {
        SchemaError { path: self.pointer(), problem: problem.into() }
    }

    /// Makes one schema strict, and what is in it.
    fn schema(&self, schema: &Value) -> Result<Value, SchemaError> {
        let any = "a value of any kind; say what it is";
        let fields = match schema {
            Value::Object(fields) => fields,
            Value::Bool(true) => return Err(self.problem(any)),
            Value::Bool(false) => return Err(self.problem("a value that cannot exist; leave it out")),
            _ => return Err(self.problem("this is no schema; it must be an object")),
        };
        if let Some(merged) = only_member_of_all(fields) {
            return self.schema(&merged);
        }
        let mut strict = Map::new();
        for (keyword, value) in fields {
            self.keyword(keyword, value, &mut strict)?;
        }
        if is_object(fields) {
            self.close(fields, &mut strict)?;
        }
        if !["type", "enum", "const", "anyOf", "$ref"].iter().any(|keyword| strict.contains_key(*keyword)) {
            return Err(self.problem(any));
        }
        Ok(lone_reference(strict))
    }

    fn keyword(
        &self,
        keyword: &str,
        value: &Value,
        strict: &mut Map<String, Value>,
    ) -> Result<(), SchemaError> {
        if let Some((_, problem)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == keyword) {
            return Err(self.key(keyword).problem(*problem));
        }
        let value = match keyword {
            // Set together, when the object is closed.
            "properties" | "required" | "additionalProperties" => return Ok(()),
            "format" if !KNOWN_FORMATS.iter().any(|known| value == known) => return Ok(()),
            _ if DROPPED.contains(&keyword) || keyword.starts_with("x-") => return Ok(()),
            "$ref" => {
                let reference = value.as_str().unwrap_or_default();
                if !reference.starts_with('#') {
                    return Err(self
                        .key(keyword)
                        .problem("a reference to elsewhere; use one into `#/$defs`"));
                }
                reference.replacen("#/definitions/", "#/$defs/", 1).into()
            }
            "allOf" => return Err(self.key(keyword).problem("a mixture of schemas; write it as one object")),
            // Branches of `oneOf` exclude each other, so those of `anyOf` do too.
            "anyOf" | "oneOf" => {
                let branches = self.key(keyword).branches(value)?;
                strict.insert("anyOf".to_owned(), branches);
                return Ok(());
            }
            "items" => self.key(keyword).schema(value)?,
            _ => value.clone(),
        };
        strict.insert(keyword.to_owned(), value);
        Ok(())
    }

    fn branches(&self, branches: &Value) -> Result<Value, SchemaError> {
        let branches = branches.as_array().ok_or_else(|| self.problem("this must be a list of schemas"))?;
        let strict = branches.iter().enumerate();
        strict.map(|(index, branch)| self.key(&index.to_string()).schema(branch)).collect()
    }

    /// Closes an object and requires all of its properties.
    fn close(&self, fields: &Map<String, Value>, strict: &mut Map<String, Value>) -> Result<(), SchemaError> {
        const OPEN: &str = "an open map; use a list of objects with a key and a value";
        if fields.get("additionalProperties").is_some_and(|open| *open != Value::Bool(false)) {
            return Err(self.key("additionalProperties").problem(OPEN));
        }
        let properties = match fields.get("properties") {
            Some(Value::Object(properties)) => properties,
            Some(_) => return Err(self.key("properties").problem("this must be an object of schemas")),
            None if fields.contains_key("additionalProperties") => &Map::new(),
            None => return Err(self.problem(OPEN)),
        };
        let is_required = |name: &str| required(fields).any(|required| required == name);
        let mut closed = Map::new();
        for (name, property) in properties {
            let property = self.key("properties").key(name).schema(property)?;
            closed.insert(name.clone(), if is_required(name) { property } else { nullable(property) });
        }
        let names: Vec<&String> = closed.keys().collect();
        strict.insert("required".to_owned(), json!(names));
        strict.insert("properties".to_owned(), closed.into());
        strict.insert("additionalProperties".to_owned(), false.into());
        Ok(())
    }
}

/// Returns the names of the properties that must be there.
fn required(fields: &Map<String, Value>) -> impl Iterator<Item = &str> {
    fields.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

/// An `allOf` of one schema is that schema, with what is said beside it.
fn only_member_of_all(fields: &Map<String, Value>) -> Option<Value> {
    let [member] = fields.get("allOf")?.as_array()?.as_slice() else { return None };
    let mut merged = member.as_object()?.clone();
    if merged.contains_key("properties") && fields.contains_key("properties") {
        return None;
    }
    merged.extend(fields.clone().into_iter().filter(|(keyword, _)| keyword != "allOf"));
    Some(merged.into())
}

/// A reference must stand alone, so what stands beside it moves out of the way.
fn lone_reference(mut strict: Map<String, Value>) -> Value {
    if strict.len() > 1
        && let Some(reference) = strict.remove("$ref")
    {
        strict.insert("anyOf".to_owned(), json!([{ "$ref": reference }]));
    }
    strict.into()
}

/// Returns a schema that takes null too.
fn nullable(mut schema: Value) -> Value {
    if admits_null(&schema) {
        return schema;
    }
    let null = json!({ "type": "null" });
    let Some(fields) = schema.as_object_mut() else { return json!({ "anyOf": [schema, null] }) };
    if let Some(Value::Array(branches)) = fields.get_mut("anyOf") {
        branches.push(null);
        return schema;
    }
    if fields.contains_key("$ref") || fields.contains_key("const") {
        return json!({ "anyOf": [schema, null] });
    }
    match fields.get_mut("type") {
        Some(Value::Array(types)) if types.iter().any(|name| name == "null") => {}
        Some(Value::Array(types)) => types.push("null".into()),
        Some(name) => *name = json!([name.take(), "null"]),
        None => {}
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.push(Value::Null);
    }
    schema
}

/// Returns whether null is a value of a schema; what stands behind references is not looked at.
fn admits_null(schema: &Value) -> bool {
    let listed = |keyword: &str| schema.get(keyword).and_then(Value::as_array);
    if let Some(branches) = listed("anyOf").or_else(|| listed("oneOf")) {
        return branches.iter().any(admits_null);
    }
    if let Some(values) = listed("enum") {
        return values.contains(&Value::Null);
    }
    match schema.get("type") {
        Some(Value::Array(types)) => types.iter().any(|name| name == "null"),
        Some(name) => name == "null",
        None => schema.get("const") == Some(&Value::Null),
    }
}
