//! Arguments of operations as options of a command line: made of the schema by which HTTP takes and describes them.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches};
use loomwork_core::Kind as ErrorKind;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

use super::times::{Zone, duration};
use super::words::kebab;
use crate::api::{Method, Operation};
use crate::error::{Error, Result};

/// Arguments that are moments: of a number, the schema does not say what it counts.
const MOMENTS: [&str; 3] = ["month", "from", "until"];

/// Arguments that are durations.
const DURATIONS: [&str; 2] = ["term", "overlap"];

/// An argument of an operation.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    name: String,
    about: String,
    takes: Takes,
    /// Whether nothing can be done without it: it has no name on the command line then, but a place.
    is_required: bool,
    /// Whether an empty text takes away what there is.
    empties: bool,
}

/// What an argument takes.
#[derive(Clone, Debug, PartialEq)]
enum Takes {
    Text,
    /// One of these words.
    Word(Vec<String>),
    /// Nothing: it is there or not.
    Flag,
    Whole,
    Moment,
    Duration,
    /// Texts, one at a time.
    Texts,
    /// JSON, or a text where that is none.
    Any,
    /// JSON.
    Json,
}

/// Returns the arguments of an operation: those of its path, what else is required, and the others.
pub(crate) fn of(operation: &Operation) -> Vec<Field> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let schema = (operation.args)(&mut SchemaGenerator::new(settings)).to_value();
    let empty = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    let required = schema.get("required").and_then(Value::as_array);
    let is_required =
        |name: &str| required.is_some_and(|names| names.iter().any(|given| given.as_str() == Some(name)));
    let place = |name: &str| operation.path.find(&format!("{{{name}}}"));
    let mut fields: Vec<_> = properties
        .iter()
        .map(|(name, schema)| {
            let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
            let field = Field {
                name: name.clone(),
                about: one_line(about),
                takes: takes(name, schema),
                is_required: place(name).is_some() || is_required(name),
                empties: operation.method == Method::Patch && allows_null(schema),
            };
            (place(name).unwrap_or(usize::MAX), field)
        })
        .collect();
    fields.sort_by_key(|(place, field)| (!field.is_required, *place));
    fields.into_iter().map(|(_, field)| field).collect()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn takes(name: &str, schema: &Value) -> Takes {
    let words = words(schema);
    let is = |of_type: &str| is_of_type(schema, of_type);
    match () {
        () if !words.is_empty() => Takes::Word(words),
        () if is("boolean") && !is("string") => Takes::Flag,
        () if is("integer") && MOMENTS.contains(&name) => Takes::Moment,
        () if is("integer") && DURATIONS.contains(&name) => Takes::Duration,
        () if is("integer") => Takes::Whole,
        () if is("string") => Takes::Text,
        () if is("array") && schema.get("items").is_some_and(|items| is_of_type(items, "string")) => {
            Takes::Texts
        }
        () if is("array") || is("object") => Takes::Json,
        () => Takes::Any,
    }
}

/// Whether a schema has values of a type among what fits.
fn is_of_type(schema: &Value, of_type: &str) -> bool {
    let named = match schema.get("type") {
        Some(Value::String(name)) => name == of_type,
        Some(Value::Array(names)) => names.iter().any(|name| name == of_type),
        _ => false,
    };
    named || among(schema).any(|schema| is_of_type(schema, of_type))
}

fn allows_null(schema: &Value) -> bool {
    is_of_type(schema, "null")
}

fn among(schema: &Value) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|name| schema.get(name)?.as_array()).flatten()
}

/// Returns the texts that a schema allows, if it lists them.
fn words(schema: &Value) -> Vec<String> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let alone = schema.get("const");
    let mut words: Vec<_> = listed.chain(alone).filter_map(|word| Some(word.as_str()?.to_owned())).collect();
    words.extend(among(schema).flat_map(self::words));
    words
}

impl Field {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns it as clap knows it. `is_alone` is the form of a group's word alone, beside its other words.
    pub(crate) fn arg(&self, place: &mut usize) -> Arg {
        let about = match &self.takes {
            Takes::Moment => {
                format!(
                    "{} As `2026-11` or `2026-11-22T14:03`.",
                    self.about.replace(", in milliseconds since 1970", "")
                )
            }
            Takes::Duration => {
                format!("{} As `30d`, `12h`, `90s`.", self.about.replace(", in milliseconds", ""))
            }
            Takes::Json => format!("{} As JSON.", self.about),
            _ if self.empties => format!("{} An empty text takes it away.", self.about),
            _ => self.about.clone(),
        };
        let arg = Arg::new(self.name.clone()).help(about).value_name(kebab(&self.name).to_uppercase());
        let arg = if self.is_required {
            *place += 1;
            arg.index(*place).required(true)
        } else {
            arg.long(kebab(&self.name))
        };
        match &self.takes {
            Takes::Flag if !self.is_required => arg.action(ArgAction::SetTrue),
            Takes::Word(words) => arg.value_parser(PossibleValuesParser::new(words.clone())),
            Takes::Texts => arg.action(ArgAction::Append),
            _ => arg.allow_hyphen_values(matches!(self.takes, Takes::Whole)),
        }
    }

    fn value(&self, text: &str, zone: Zone) -> Result<Value> {
        let wrong = |what: &str| Error::new(ErrorKind::Invalid, format!("{text:?} is {what}"));
        let value = match &self.takes {
            _ if self.empties && text.is_empty() => Value::Null,
            Takes::Text | Takes::Word(_) | Takes::Texts => Value::from(text),
            Takes::Flag => Value::from(text == "true"),
            Takes::Whole => Value::from(text.parse::<i64>().map_err(|_| wrong("no whole number"))?),
            Takes::Moment => Value::from(zone.read(text)?),
            Takes::Duration => Value::from(duration(text)?),
            Takes::Any => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
            Takes::Json => serde_json::from_str(text).map_err(|error| wrong(&format!("no JSON: {error}")))?,
        };
        Ok(value)
    }
}

/// Returns what was given on the command line, as the operation takes it.
pub(crate) fn given(fields: &[Field], matches: &ArgMatches, zone: Zone) -> Result<Map<String, Value>> {
    let mut args = Map::new();
    for field in fields {
        let name = field.name.as_str();
        let value = match field.takes {
            Takes::Flag if !field.is_required => matches.get_flag(name).then_some(Value::Bool(true)),
            Takes::Texts => {
                let texts = matches.get_many::<String>(name);
                texts.map(|texts| texts.cloned().map(Value::from).collect())
            }
            _ => {
                let text = matches.get_one::<String>(name);
                let value = text.map(|text| field.value(text, zone)).transpose();
                value.map_err(|error| error.about(name))?
            }
        };
        if let Some(value) = value {
            args.insert(name.to_owned(), value);
        }
    }
    Ok(args)
}
