//! A field of a request, which knows its path.

use serde_json::Value;

use super::{Check, Family, Refusal};

/// A field that may be there or not; null counts as absent.
#[derive(Clone, Debug)]
pub(super) struct Field<'a> {
    pub(super) value: &'a Value,
    pub(super) path: String,
    family: Family,
}

impl<'a> Field<'a> {
    pub(super) fn body(value: &'a Value, family: Family) -> Self {
        Self { value, path: String::new(), family }
    }

    pub(super) fn get(&self, name: &str) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = format!("{}{dot}{name}", self.path);
        Self { value: &self.value[name], path, family: self.family }
    }

    pub(super) fn is_given(&self) -> bool {
        !self.value.is_null()
    }

    pub(super) fn as_str(&self) -> Option<&'a str> {
        self.value.as_str()
    }

    /// The items of a list; none if it is absent.
    pub(super) fn items(&self) -> Check<Vec<Self>> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(items) => Ok(items
                .iter()
                .enumerate()
                .map(|(index, value)| Self { value, path: self.path_of(index), family: self.family })
                .collect()),
            _ => Err(self.refusal("expected an array")),
        }
    }

    fn path_of(&self, index: usize) -> String {
        match self.family {
            Family::OpenAi => format!("{}[{index}]", self.path),
            Family::Anthropic => format!("{}.{index}", self.path),
        }
    }

    /// The entries of an object; none if it is something else.
    pub(super) fn entries(&self) -> impl Iterator<Item = Self> {
        self.value.as_object().into_iter().flatten().map(|(name, _)| self.get(name))
    }

    pub(super) fn text(&self) -> Check<&'a str> {
        self.as_str().ok_or_else(|| self.refusal("expected a string"))
    }

    pub(super) fn required_text(&self) -> Check<&'a str> {
        match self.value {
            Value::Null => Err(self.missing()),
            Value::String(text) if text.is_empty() => {
                Err(self.refusal("expected a string that is not empty"))
            }
            _ => self.text(),
        }
    }

    pub(super) fn required_items(&self) -> Check<Vec<Self>> {
        if !self.is_given() {
            return Err(self.missing());
        }
        let items = self.items()?;
        if items.is_empty() { Err(self.refusal("expected an array that is not empty")) } else { Ok(items) }
    }

    pub(super) fn required_object(&self) -> Check {
        match self.value {
            Value::Null => Err(self.missing()),
            Value::Object(_) => Ok(()),
            _ => Err(self.refusal("expected an object")),
        }
    }

    pub(super) fn boolean(&self) -> Check {
        self.when_given(Value::is_boolean, "expected a boolean")
    }

    /// A whole number of at least this, if it is given.
    pub(super) fn at_least(&self, least: u64) -> Check {
        let fits = |value: &Value| value.as_u64().is_some_and(|number| number >= least);
        self.when_given(fits, &format!("expected an integer of at least {least}"))
    }

    /// A number in this range, if it is given.
    pub(super) fn within(&self, least: f64, most: f64) -> Check {
        let fits = |value: &Value| value.as_f64().is_some_and(|number| (least..=most).contains(&number));
        self.when_given(fits, &format!("expected a number from {least} to {most}"))
    }

    /// One of these words, if it is given.
    pub(super) fn one_of(&self, words: &[&str]) -> Check {
        let fits = |value: &Value| value.as_str().is_some_and(|word| words.contains(&word));
        self.when_given(fits, &format!("expected one of {}", words.join(", ")))
    }

    fn when_given(&self, fits: impl Fn(&Value) -> bool, wrong: &str) -> Check {
        if self.is_given() && !fits(self.value) { Err(self.refusal(wrong)) } else { Ok(()) }
    }

    /// A name of a tool or a schema.
    pub(super) fn name(&self, longest: usize) -> Check<&'a str> {
        let name = self.required_text()?;
        let is_part = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
        if name.len() > longest || !name.chars().all(is_part) {
            return Err(
                self.refusal(format!("expected 1 to {longest} letters, digits, _ or -, not `{name}`"))
            );
        }
        Ok(name)
    }

    pub(super) fn refusal(&self, message: impl Into<String>) -> Refusal {
        let message = match self.family {
            Family::OpenAi => format!("Invalid '{}': {}.", self.path, message.into()),
            Family::Anthropic => message.into(),
        };
        Refusal { param: Some(self.path.clone()), ..Refusal::of_request(message) }
    }

    pub(super) fn missing(&self) -> Refusal {
        let message = match self.family {
            Family::OpenAi => format!("Missing required parameter: '{}'.", self.path),
            Family::Anthropic => "Field required".to_owned(),
        };
        Refusal { param: Some(self.path.clone()), ..Refusal::of_request(message) }
    }

    /// Refuses the field if it is given at all.
    pub(super) fn absent(&self, why: &str) -> Check {
        if !self.is_given() {
            return Ok(());
        }
        let message = format!("Unsupported parameter: '{}' {why}", self.path);
        let refusal = Refusal { param: Some(self.path.clone()), ..Refusal::of_request(message) };
        Err(refusal.code("unsupported_parameter"))
    }
}
