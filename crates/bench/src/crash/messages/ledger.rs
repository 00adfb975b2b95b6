//! What a process says before it is killed, a line each: the record outside of the store.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use loomwork_messages::{RunId, StreamId, ThreadId};

use crate::crash::deck::{OPENING, READY};

/// What was answered before the kill: it must be there behind it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// How many steps of each run were committed, and in which thread.
    pub(super) steps: BTreeMap<RunId, (ThreadId, u32)>,
    /// Up to where each stream was stored, and in which thread.
    pub(super) stored: BTreeMap<StreamId, (ThreadId, u64)>,
    /// The threads whose deletion was asked for: they may be gone.
    pub(super) deleting: BTreeSet<ThreadId>,
    /// The threads whose deletion was answered: they must be gone.
    pub(super) deleted: BTreeSet<ThreadId>,
}

impl Ledger {
    pub(super) fn hear(&mut self, line: &str) -> Result<()> {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [OPENING] | [READY] => {}
            ["began", thread, run] => {
                self.steps.insert(run.parse()?, (thread.parse()?, 0));
            }
            ["stepped", thread, run, steps] => {
                self.steps.insert(run.parse()?, (thread.parse()?, steps.parse()?));
            }
            ["stored", thread, stream, end] => {
                let end: u64 = end.parse().with_context(|| format!("{line:?} has no number"))?;
                let known = self.stored.entry(stream.parse()?).or_insert((thread.parse()?, 0));
                known.1 = end.max(known.1);
            }
            ["deleting", thread] => {
                self.deleting.insert(thread.parse()?);
            }
            ["deleted", thread] => {
                self.deleted.insert(thread.parse()?);
            }
            _ => bail!("a killed process said {line:?}, which is no word of ours"),
        }
        Ok(())
    }
}
