//! Every package that is built with ours has a licence that deny.toml allows.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::{Result, bail};

use super::{Report, Tree, deny, duplicates, graph};

pub(super) fn check(tree: &Tree, report: &mut Report) -> Result<()> {
    let lock = tree.read(duplicates::LOCK)?;
    let uses = graph::uses(&tree.metadata, tree.metadata.members(), |_every_kind| true)?;
    let used: BTreeMap<_, _> = uses.into_iter().map(|(_, used)| (&used.id, used)).collect();
    for package in used.into_values().filter(|package| package.source.is_some()) {
        let wrong = match package.license.as_deref().map(|licence| is_met(licence, &tree.deny.licences)) {
            Some(Ok(true)) => continue,
            Some(Ok(false)) => format!("has the licence {}", package.license.as_deref().unwrap_or_default()),
            Some(Err(error)) => format!("has an unreadable licence: {error}"),
            None => "names no licence".to_owned(),
        };
        report.find(
            duplicates::LOCK,
            duplicates::line_in_lock(&lock, &package.name),
            format!("`{} {}` {wrong}", package.name, package.version),
            format!("do without it, or allow its licence in {}", deny::PATH),
        );
    }
    Ok(())
}

/// Whether the SPDX expression can be met with allowed licences alone.
fn is_met(expression: &str, allowed: &[String]) -> Result<bool> {
    // Crates from before SPDX expressions say `MIT/Apache-2.0`.
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let is_met = parser.either(expression)?;
    match parser.words.first() {
        None => Ok(is_met),
        Some(word) => bail!("unexpected `{word}` in `{expression}`"),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a [String],
}

impl Parser<'_> {
    fn either(&mut self, expression: &str) -> Result<bool> {
        let mut is_met = self.both(expression)?;
        while self.take("OR") {
            is_met |= self.both(expression)?;
        }
        Ok(is_met)
    }

    fn both(&mut self, expression: &str) -> Result<bool> {
        let mut is_met = self.one(expression)?;
        while self.take("AND") {
            is_met &= self.one(expression)?;
        }
        Ok(is_met)
    }

    fn one(&mut self, expression: &str) -> Result<bool> {
        if self.take("(") {
            let is_met = self.either(expression)?;
            if !self.take(")") {
                bail!("a parenthesis is left open in `{expression}`");
            }
            return Ok(is_met);
        }
        let mut licence = self.licence(expression)?.to_owned();
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.licence(expression)?);
        }
        Ok(self.allowed.contains(&licence))
    }

    fn licence(&mut self, expression: &str) -> Result<&str> {
        match self.words.split_first() {
            Some((word, rest)) if !matches!(*word, "(" | ")" | "AND" | "OR" | "WITH") => {
                self.words = rest;
                Ok(word)
            }
            _ => bail!("a licence is missing in `{expression}`"),
        }
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.words = &self.words[1..];
        }
        is_next
    }
}
