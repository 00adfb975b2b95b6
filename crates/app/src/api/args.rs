//! Arguments of operations: from a path, a query string and a body to a type.

use loomwork_core::Kind;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The arguments of a request by name, before they are read as the operation's type.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Args(Map<String, Value>);

impl Args {
    /// Returns the arguments of a body: an object, or nothing.
    pub(crate) fn of_json(body: &[u8]) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        match serde_json::from_slice(body) {
            Ok(Value::Object(args)) => Ok(Self(args)),
            Ok(_) => {
                Err(Error::new(Kind::Invalid, "the body is JSON, but no object; send `{\"name\": value}`"))
            }
            Err(error) => {
                Err(Error::new(Kind::Invalid, format!("the body is no JSON: {error}; send an object")))
            }
        }
    }

    /// Adds an argument of the path or the query string, which is a text: it is read as what the operation takes
    /// there.
    pub(crate) fn add_text(&mut self, name: &str, text: &str, types: &ArgTypes) -> Result<()> {
        let value = types.read(name, text);
        if self.0.insert(name.to_owned(), value).is_some() {
            return Err(Error::new(Kind::Invalid, format!("{name} is given twice; give it once")).about(name));
        }
        Ok(())
    }

    /// Returns what tells these arguments from others.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(&self.0).unwrap_or_default()
    }

    /// Reads the arguments as a type.
    pub(crate) fn read<A: DeserializeOwned>(self) -> Result<A> {
        serde_path_to_error::deserialize(Value::Object(self.0)).map_err(|error| {
            let field = error.path().to_string();
            let wrong = error.into_inner();
            let told = Error::new(Kind::Invalid, format!("the arguments are not what this takes: {wrong}"));
            if field == "." { told } else { told.about(field) }
        })
    }
}

impl From<Map<String, Value>> for Args {
    fn from(args: Map<String, Value>) -> Self {
        Self(args)
    }
}

/// Which arguments of an operation are no texts, so that a query string can carry them.
#[derive(Clone, Debug)]
pub(crate) struct ArgTypes(Map<String, Value>);

impl ArgTypes {
    pub(crate) fn of<A: JsonSchema>() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        let schema = SchemaGenerator::new(settings).into_root_schema_for::<A>();
        let properties = schema.get("properties").and_then(Value::as_object).cloned();
        Self(properties.unwrap_or_default())
    }

    /// Refuses lists where none are taken: as they are read, a list could stand for the fields of an object.
    pub(crate) fn check(&self, args: &Args) -> Result<()> {
        for (name, value) in &args.0 {
            if let Some(schema) = self.0.get(name) {
                check_lists(schema, value, name)?;
            }
        }
        Ok(())
    }

    /// Reads a text as JSON where that is meant: what takes a text gets the text.
    fn read(&self, name: &str, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        match self.0.get(name) {
            Some(schema) if !takes_text(schema) => serde_json::from_str(text).unwrap_or_else(|_| as_text()),
            _ => as_text(),
        }
    }
}

fn check_lists(schema: &Value, value: &Value, path: &str) -> Result<()> {
    match value {
        Value::Array(_) if !takes_list(schema) => {
            let message = format!("{path} is a list, and none is taken there");
            Err(Error::new(Kind::Invalid, message).about(path))
        }
        Value::Array(values) => values.iter().enumerate().try_for_each(|(at, value)| {
            schema.get("items").map_or(Ok(()), |schema| check_lists(schema, value, &format!("{path}[{at}]")))
        }),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| {
            let schema = schema.get("properties").and_then(|fields| fields.get(name));
            schema.map_or(Ok(()), |schema| check_lists(schema, value, &format!("{path}.{name}")))
        }),
        _ => Ok(()),
    }
}

/// Whether a schema has lists among what fits; one that says nothing takes anything.
fn takes_list(schema: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return schema.as_bool().unwrap_or(true) };
    let branches = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(*name).and_then(Value::as_array));
    match (schema.get("type"), branches) {
        (Some(Value::String(name)), _) => name == "array",
        (Some(Value::Array(names)), _) => names.iter().any(|name| name == "array"),
        (_, Some(branches)) => branches.iter().any(takes_list),
        _ => ["enum", "const", "properties"].iter().all(|name| !schema.contains_key(*name)),
    }
}

/// Whether a schema has texts among what fits.
fn takes_text(schema: &Value) -> bool {
    let Some(schema) = schema.as_object() else { return false };
    let of_type = match schema.get("type") {
        Some(Value::String(name)) => name == "string",
        Some(Value::Array(names)) => names.iter().any(|name| name == "string"),
        _ => false,
    };
    let of_values = |name: &str| schema.get(name).and_then(Value::as_array);
    let among =
        ["anyOf", "oneOf", "allOf"].iter().filter_map(|name| of_values(name)).flatten().any(takes_text);
    let named = of_values("enum").is_some_and(|values| values.iter().any(Value::is_string));
    of_type || among || named || schema.get("const").is_some_and(Value::is_string)
}
