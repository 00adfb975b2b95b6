//! TOML with line numbers, so that a finding names its place.

use std::ops::Range;

use anyhow::{Result, anyhow};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub(super) type Value<'text> = Spanned<DeValue<'text>>;

pub(super) struct TomlFile<'text> {
    text: &'text str,
    pub(super) table: DeTable<'text>,
}

impl<'text> TomlFile<'text> {
    pub(super) fn parse(path: &str, text: &'text str) -> Result<Self> {
        let table = DeTable::parse(text).map_err(|error| {
            let line = line_at(text, error.span().unwrap_or_default());
            anyhow!("{path}:{line}: {}", error.message())
        })?;
        Ok(Self { text, table: table.into_inner() })
    }

    /// Returns the value below these keys, one inside the other.
    pub(super) fn get(&self, keys: &[&str]) -> Option<&Value<'text>> {
        let (first, rest) = keys.split_first()?;
        rest.iter().try_fold(self.table.get(*first)?, |value, key| value.get_ref().get(*key))
    }

    pub(super) fn line(&self, span: Range<usize>) -> usize {
        line_at(self.text, span)
    }
}

fn line_at(text: &str, span: Range<usize>) -> usize {
    1 + text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count()
}
