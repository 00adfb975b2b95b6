//! What a process says before it is killed, a line each: the record outside of the store.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use loomwork_messages::{RunId, StreamId};

pub(super) const OPENING: &str = "opening";
pub(super) const READY: &str = "ready";

/// What was answered before the kill: it must be there behind it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many steps of each run were committed.
    pub(super) steps: BTreeMap<RunId, u32>,
    /// Up to where each stream was stored.
    pub(super) stored: BTreeMap<StreamId, u64>,
}

impl Ledger {
    pub(super) fn hear(&mut self, line: &str) -> Result<()> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [OPENING] | [READY] => {}
            ["began", run] => drop(self.steps.entry(run.parse()?).or_default()),
            ["stepped", run, steps] => drop(self.steps.insert(run.parse()?, steps.parse()?)),
            ["stored", stream, end] => {
                let end: u64 = end.parse().with_context(|| format!("{line:?} has no number"))?;
                let known = self.stored.entry(stream.parse()?).or_default();
                *known = end.max(*known);
            }
            _ => bail!("a killed process said {line:?}, which is no word of ours"),
        }
        Ok(())
    }
}
