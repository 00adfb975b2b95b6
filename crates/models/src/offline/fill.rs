//! Filling a JSON schema with what a text says.

use serde_json::{Map, Value};

use super::facts::Facts;
use super::given::{Passage, sentences};
use super::retrieve;
use super::words::{is_common, stem, words};

/// How deep a schema is followed, which may refer to itself.
const MAX_DEPTH: usize = 12;

/// How many elements a list gets, unless its schema wants more.
const MAX_ELEMENTS: usize = 8;

/// What a text has when nothing can be read for it.
const UNKNOWN: &str = "unknown";

/// How near a number stands to the word for an optional field that it is taken for, in words.
const NEAR: usize = 4;

/// Whether values may be invented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Only what the text says: a tool shall not be called with what nobody said.
    Read,
    /// What the text says, and something that fits where it says nothing.
    Invent,
}

/// Returns a value that fits a schema; `None` if the mode forbids to invent what is missing.
pub(super) fn fill(schema: &Value, text: &str, question: &str, mode: Mode) -> Option<Value> {
    let mut filler = Filler { root: schema, facts: Facts::new(text), question, mode, depth: 0 };
    filler.value(schema, "", true)
}

struct Filler<'schema> {
    root: &'schema Value,
    facts: Facts,
    question: &'schema str,
    mode: Mode,
    depth: usize,
}

impl<'schema> Filler<'schema> {
    /// Fills one schema. What is not required is filled only if the text says something about it.
    fn value(&mut self, schema: &'schema Value, key: &str, required: bool) -> Option<Value> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let value = self.value_inside(schema, key, required);
        self.depth -= 1;
        value
    }

    fn value_inside(&mut self, schema: &'schema Value, key: &str, required: bool) -> Option<Value> {
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.root.pointer(target.strip_prefix('#')?)?;
            return self.value(target, key, required);
        }
        if let Some(value) = schema.get("const") {
            return Some(value.clone());
        }
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            return self.choose(options.iter().collect(), key, schema, required).cloned();
        }
        if let Some(variants) = ["anyOf", "oneOf"].iter().find_map(|name| schema.get(name)?.as_array()) {
            return self.variant(variants, key, required);
        }
        if let Some([only]) = schema.get("allOf").and_then(Value::as_array).map(Vec::as_slice) {
            return self.value(only, key, required);
        }
        let (kind, nullable) = kind(schema);
        let required_value = required && !nullable;
        let value = match kind {
            "object" => self.object(schema),
            "array" => self.array(schema, key, required_value),
            "integer" | "number" => self.number(schema, key, kind == "integer", required_value),
            "boolean" => self.flag(schema, key, required_value),
            "string" => self.text(schema, key, required_value),
            "null" => Some(Value::Null),
            _ => self.text(schema, key, required_value),
        };
        let value = value.or_else(|| schema.get("default").filter(|_| required_value).cloned());
        value.or_else(|| (nullable && required).then_some(Value::Null))
    }

    fn object(&mut self, schema: &'schema Value) -> Option<Value> {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
            return Some(Value::Object(Map::new()));
        };
        let required =
            schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut values = Map::new();
        for (key, property) in properties {
            let is_required = required.iter().any(|name| name == key);
            match self.value(property, key, is_required) {
                Some(value) => drop(values.insert(key.clone(), value)),
                None if is_required => return None,
                None => {}
            }
        }
        Some(Value::Object(values))
    }

    /// Chooses the option that the text mentions first, or feels like, or else the first one.
    fn choose(
        &mut self,
        options: Vec<&'schema Value>,
        key: &str,
        schema: &'schema Value,
        required: bool,
    ) -> Option<&'schema Value> {
        let said = options.iter().filter_map(|option| {
            let place = option.as_str().and_then(|option| self.facts.says(option))?;
            Some((place, *option))
        });
        let said = said.min_by_key(|(place, _)| *place).map(|(_, option)| option);
        let numbers: Vec<f64> =
            self.facts.numbers(&stems(key, schema)).into_iter().map(|(number, _)| number).collect();
        let counted = options
            .iter()
            .copied()
            .find(|option| option.as_f64().is_some_and(|option| numbers.contains(&option)));
        let felt = mood(&self.facts.text).and_then(|mood| {
            options
                .iter()
                .copied()
                .find(|option| option.as_str().is_some_and(|option| option.to_lowercase().starts_with(mood)))
        });
        let found = said.or(counted).or(felt);
        let first = options.first().copied().filter(|_| required && self.mode == Mode::Invent);
        found.or_else(|| schema.get("default").filter(|_| required)).or(first)
    }

    /// Fills the variant that the text mentions, or the first one that it can fill; `null` comes last.
    fn variant(&mut self, variants: &'schema [Value], key: &str, required: bool) -> Option<Value> {
        let (nulls, others): (Vec<_>, Vec<_>) =
            variants.iter().partition(|variant| variant.get("type").is_some_and(|kind| kind == "null"));
        let nullable = !nulls.is_empty();
        let consts: Vec<&Value> = others.iter().filter_map(|variant| variant.get("const")).collect();
        if consts.len() == others.len() && !consts.is_empty() {
            let chosen = self.choose(consts, key, &Value::Null, required && !nullable).cloned();
            return chosen.or_else(|| (nullable && required).then_some(Value::Null));
        }
        let named =
            others.iter().copied().filter_map(|variant| Some((self.facts.says(tag(variant)?)?, variant)));
        let named = named.min_by_key(|(place, _)| *place).map(|(_, variant)| variant);
        let needed = required && !nullable;
        let filled = named.into_iter().chain(others).find_map(|variant| self.value(variant, key, needed));
        filled.or_else(|| (nullable && required).then_some(Value::Null))
    }

    fn number(&mut self, schema: &'schema Value, key: &str, whole: bool, required: bool) -> Option<Value> {
        let is_year = key.to_lowercase().contains("year");
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        let fits = |number: f64| {
            (!whole || number.fract() == 0.0)
                && bound("minimum").is_none_or(|least| number >= least)
                && bound("maximum").is_none_or(|most| number <= most)
                && bound("exclusiveMinimum").is_none_or(|least| number > least)
                && bound("exclusiveMaximum").is_none_or(|most| number < most)
                && (!is_year || (1000.0..3000.0).contains(&number))
        };
        let numbers = self.facts.numbers(&stems(key, schema));
        let mut fitting: Vec<(f64, usize)> = numbers
            .into_iter()
            .filter(|(number, near)| fits(*number) && (required || near.is_some_and(|near| near <= NEAR)))
            .map(|(number, near)| (number, near.unwrap_or(usize::MAX)))
            .collect();
        // Stable, so that the first of equally near numbers is taken first.
        fitting.sort_by_key(|(_, near)| *near);
        let texts = fitting.iter().map(|(number, _)| number.to_string());
        let taken = self.facts.take_first(texts).and_then(|text| text.parse().ok());
        let invented = || {
            let start = schema.get("default").and_then(Value::as_f64).or(bound("minimum")).unwrap_or(0.0);
            [start, start + 1.0, bound("maximum").unwrap_or(start)]
                .into_iter()
                .find(|number| fits(*number))
                .unwrap_or(start)
        };
        let may_invent = required && self.mode == Mode::Invent;
        let number: f64 = taken.or_else(|| may_invent.then(invented))?;
        // Whole numbers are written without a fraction, which schemas of integers want.
        if number.fract() == 0.0 && number.abs() < 9e15 {
            Some((number as i64).into())
        } else {
            Some(number.into())
        }
    }

    fn flag(&mut self, schema: &'schema Value, key: &str, required: bool) -> Option<Value> {
        let said = self.facts.pair(key).and_then(|value| match value.to_lowercase().as_str() {
            "true" | "yes" | "on" => Some(true),
            "false" | "no" | "off" => Some(false),
            _ => None,
        });
        let denied = || self.facts.denies(&own_stems(key)).map(|denied| !denied);
        let default = || schema.get("default").and_then(Value::as_bool).filter(|_| required);
        let invented = (required && self.mode == Mode::Invent).then_some(false);
        said.or_else(denied).or_else(default).or(invented).map(Value::Bool)
    }

    fn text(&mut self, schema: &'schema Value, key: &str, required: bool) -> Option<Value> {
        let format = schema.get("format").and_then(Value::as_str).unwrap_or_default();
        let read = match (self.facts.pair(key), format) {
            (Some(value), "") => Some(value),
            _ => self.read_text(key, format, required),
        };
        let example = || schema.get("examples")?.as_array()?.first()?.as_str().map(str::to_owned);
        let invent = || example().unwrap_or_else(|| invented(format));
        let may_invent = required && self.mode == Mode::Invent;
        let text = read.or_else(|| may_invent.then(invent))?;
        let most = schema.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
        Some(text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect::<String>().into())
    }

    /// Reads a text by what its format or its name says that it is.
    fn read_text(&mut self, key: &str, format: &str, required: bool) -> Option<String> {
        let is =
            |names: &[&str]| words(&super::spaced(key)).iter().any(|word| names.contains(&word.as_str()));
        let facts = &mut self.facts;
        if format == "email" || is(&["email", "mail"]) {
            return facts.take_first(facts.with_mark("@"));
        }
        if matches!(format, "uri" | "url") || is(&["url", "uri", "link", "website", "homepage"]) {
            return facts.take_first(facts.with_mark("://"));
        }
        if matches!(format, "date" | "date-time")
            || is(&["date", "day", "birthday", "born", "deadline", "due"])
        {
            let end = if format == "date-time" { "T00:00:00Z" } else { "" };
            return facts.take_first(facts.dates()).map(|date| date + end);
        }
        if !format.is_empty() {
            return None;
        }
        if is(&["expression", "formula", "calculation"]) {
            return facts.expression();
        }
        let names = facts.names();
        let place =
            |(_, before): &&(String, String)| matches!(before.as_str(), "in" | "at" | "near" | "from");
        if is(PLACES) {
            let leads: &[&str] = match () {
                () if is(&["from", "origin"]) => &["from"],
                () if is(&["to", "destination"]) => &["to", "for"],
                () => &["in", "for", "at", "near", "of"],
            };
            let led = names
                .iter()
                .filter(|(_, before)| leads.contains(&before.as_str()))
                .map(|(name, _)| name.clone());
            let all = names.iter().map(|(name, _)| name.clone()).filter(|_| required);
            let behind = facts.behind(leads).into_iter().filter(|_| required);
            return facts.take_first(led.chain(all).chain(behind).collect::<Vec<_>>());
        }
        if is(TOPICS) {
            let about = facts.behind(&["about", "for", "on"]);
            let candidates: Vec<String> =
                facts.quoted().into_iter().chain(about).chain([self.question.to_owned()]).collect();
            return facts.take_first(
                candidates.into_iter().filter(|text| !text.is_empty() && required).collect::<Vec<_>>(),
            );
        }
        if is(SAYINGS) {
            let behind = facts.text.split_once(": ").map(|(_, text)| text.trim().to_owned());
            let candidates: Vec<String> =
                facts.quoted().into_iter().chain(behind).chain([facts.text.trim().to_owned()]).collect();
            return facts.take_first(
                candidates.into_iter().filter(|text| !text.is_empty() && required).collect::<Vec<_>>(),
            );
        }
        if is(&["summary", "description", "abstract", "content", "story"])
            && self.mode == Mode::Invent
            && required
        {
            return summary(&facts.text);
        }
        if is(&["title", "headline"]) && self.mode == Mode::Invent && required {
            let quoted = facts.quoted();
            let heading = facts.text.lines().map(str::trim).find(|line| !line.is_empty());
            let heading = heading.map(|line| first_words(line, 8));
            return facts.take_first(quoted).or(heading);
        }
        if !required {
            return None;
        }
        let others: Vec<String> =
            names.iter().filter(|name| !place(name)).map(|(name, _)| name.clone()).collect();
        let quoted = facts.quoted();
        let all = names.iter().map(|(name, _)| name.clone());
        let behind = facts.behind(&["named", "called", "to", "of", "for"]);
        facts.take_first(quoted.into_iter().chain(others).chain(all).chain(behind).collect::<Vec<_>>())
    }

    fn array(&mut self, schema: &'schema Value, key: &str, required: bool) -> Option<Value> {
        let items = schema.get("items").unwrap_or(&Value::Null);
        let count = |name: &str| schema.get(name).and_then(Value::as_u64).map(|count| count as usize);
        let most = count("maxItems").unwrap_or(MAX_ELEMENTS.max(count("minItems").unwrap_or(0)));
        let items = self.resolve(items);
        let mut elements = self.elements(items, key, required);
        elements.truncate(most);
        let least = count("minItems").unwrap_or(0);
        if elements.is_empty() && !required {
            return None;
        }
        while elements.len() < least {
            elements.push(self.value(items, key, true)?);
        }
        (self.mode == Mode::Invent || !elements.is_empty()).then_some(Value::Array(elements))
    }

    fn elements(&mut self, items: &'schema Value, key: &str, required: bool) -> Vec<Value> {
        if let Some(options) = items.get("enum").and_then(Value::as_array) {
            let said =
                |option: &&Value| option.as_str().is_some_and(|option| self.facts.says(option).is_some());
            return options.iter().filter(said).cloned().collect();
        }
        match kind(items).0 {
            "object" => self.objects(items),
            "integer" | "number" => {
                let whole = kind(items).0 == "integer";
                let numbers = self.facts.numbers(&[]).into_iter().map(|(number, _)| number);
                let whole_numbers = numbers.map(|number| {
                    if number.fract() == 0.0 {
                        Some((number as i64).into())
                    } else {
                        (!whole).then(|| number.into())
                    }
                });
                whole_numbers.flatten().collect()
            }
            "string" => {
                let listed = self.facts.list(key).or_else(|| self.facts.list(singular(key)));
                let quoted = || Some(self.facts.quoted()).filter(|quoted| quoted.len() > 1);
                let names = || self.facts.names().into_iter().map(|(name, _)| name).collect();
                let telling = || retrieve::terms(&self.facts.text).into_iter().take(3).collect();
                let is_tags = matches!(key, "tags" | "keywords" | "topics");
                let texts: Vec<String> = match listed.or_else(quoted) {
                    Some(texts) => texts,
                    None if !required => Vec::new(),
                    None if is_tags => telling(),
                    None => names(),
                };
                texts.into_iter().map(Value::String).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Makes an object of each line or clause that says something about one.
    fn objects(&mut self, items: &'schema Value) -> Vec<Value> {
        let lines: Vec<&str> = self.facts.text.lines().filter(|line| !line.trim().is_empty()).collect();
        let list = self.facts.text.split_once(": ").map_or(self.facts.text.as_str(), |(_, list)| list);
        let clauses: Vec<&str> = if lines.len() > 2 {
            lines
        } else if list.contains(';') {
            list.split(';').collect()
        } else {
            list.split([',', '\n']).flat_map(|clause| clause.split(" and ")).collect()
        };
        let mut objects = Vec::new();
        for clause in
            clauses.into_iter().map(str::trim).filter(|clause| clause.contains(char::is_alphanumeric))
        {
            let text = clause
                .trim_start_matches(|mark: char| mark.is_whitespace() || "-*•".contains(mark))
                .to_owned();
            let read = Filler {
                facts: Facts::new(&text),
                root: self.root,
                question: &text,
                mode: Mode::Read,
                depth: self.depth,
            }
            .value(items, "", true);
            objects.extend(read);
        }
        objects
    }

    fn resolve(&self, schema: &'schema Value) -> &'schema Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
        target.and_then(|target| self.root.pointer(target)).unwrap_or(schema)
    }
}

const PLACES: &[&str] = &[
    "city",
    "place",
    "location",
    "country",
    "destination",
    "origin",
    "town",
    "region",
    "where",
    "from",
    "to",
    "station",
    "airport",
    "timezone",
];
const TOPICS: &[&str] = &[
    "query", "q", "question", "search", "term", "terms", "topic", "subject", "keyword", "phrase", "prompt",
    "task",
];
const SAYINGS: &[&str] =
    &["text", "message", "body", "note", "comment", "input", "instruction", "instructions", "reply"];

/// Returns the type of a schema, and whether it may be null.
fn kind(schema: &Value) -> (&str, bool) {
    match schema.get("type") {
        Some(Value::String(kind)) => (kind, false),
        Some(Value::Array(kinds)) => {
            let nullable = kinds.iter().any(|kind| kind == "null");
            let kind = kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null");
            (kind.unwrap_or("null"), nullable)
        }
        _ if schema.get("properties").is_some() => ("object", false),
        _ if schema.get("items").is_some() => ("array", false),
        _ => ("", false),
    }
}

/// Returns the word by which a text would name a variant: the constant among its fields, its only field or
/// its title.
fn tag(variant: &Value) -> Option<&str> {
    let properties = variant.get("properties").and_then(Value::as_object);
    let constant =
        properties.into_iter().flat_map(Map::values).find_map(|field| field.get("const")?.as_str());
    let title = || variant.get("title").and_then(Value::as_str);
    let only = || properties.filter(|fields| fields.len() == 1)?.keys().next().map(String::as_str);
    constant.or_else(title).or_else(only)
}

/// Returns the stems of a field's name.
fn own_stems(key: &str) -> Vec<String> {
    words(&super::spaced(key))
        .iter()
        .filter(|word| !is_common(word))
        .map(|word| stem(word).to_owned())
        .collect()
}

/// Returns the stems of a number's name, and of words that mean the same beside a number.
fn stems(key: &str, schema: &Value) -> Vec<String> {
    let mut stems = own_stems(key);
    let others: &[&str] = match stems.last().map(String::as_str) {
        Some("age") => &["year", "old"],
        Some("pric" | "price" | "cost" | "amount" | "total") => {
            &["euro", "dollar", "eur", "usd", "cost", "price", "total"]
        }
        Some("temperature" | "temperatur") => &["degre", "degree"],
        Some("duration" | "minut") => &["minut", "hour", "second"],
        Some("day") => &["day"],
        _ => &[],
    };
    stems.extend(others.iter().map(|&other| other.to_owned()));
    let about = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    stems.extend(
        own_stems(about).into_iter().filter(|stem| !matches!(stem.as_str(), "number" | "valu" | "value")),
    );
    stems
}

fn singular(key: &str) -> &str {
    key.strip_suffix('s').unwrap_or(key)
}

fn invented(format: &str) -> String {
    let text = match format {
        "date" => "2000-01-01",
        "date-time" => "2000-01-01T00:00:00Z",
        "time" => "00:00:00Z",
        "email" => "unknown@example.com",
        "uri" | "url" => "https://example.com/",
        "uuid" => "00000000-0000-4000-8000-000000000000",
        "ipv4" => "192.0.2.1",
        _ => UNKNOWN,
    };
    text.to_owned()
}

fn summary(text: &str) -> Option<String> {
    let passage = |text: String| Passage { text, source: String::new(), trust: 1.0 };
    let passages: Vec<Passage> = sentences(text).into_iter().map(passage).collect();
    let first = retrieve::summarise(&passages).first().map(|passage| passage.text.clone());
    first.or_else(|| passages.into_iter().next().map(|passage| passage.text))
}

fn first_words(text: &str, count: usize) -> String {
    let words: Vec<&str> = text.trim_start_matches(['#', ' ']).split_whitespace().take(count).collect();
    words.join(" ").trim_end_matches(['.', ',', ':', '!', '?']).to_owned()
}

/// Returns how a text feels, by a few words; enough to show how texts are sorted by a model.
fn mood(text: &str) -> Option<&'static str> {
    const GOOD: &[&str] = &[
        "amazing",
        "best",
        "enjoy",
        "excellent",
        "fantastic",
        "glad",
        "good",
        "great",
        "happy",
        "love",
        "perfect",
        "thanks",
        "wonderful",
    ];
    const BAD: &[&str] = &[
        "angry",
        "awful",
        "bad",
        "broken",
        "disappointed",
        "disappointing",
        "hate",
        "horrible",
        "poor",
        "sad",
        "terrible",
        "useless",
        "worst",
    ];
    let words = words(text);
    let count = |list: &[&str]| words.iter().filter(|word| list.contains(&word.as_str())).count();
    match count(GOOD).cmp(&count(BAD)) {
        std::cmp::Ordering::Greater => Some("positiv"),
        std::cmp::Ordering::Less => Some("negativ"),
        std::cmp::Ordering::Equal => None,
    }
}
