//! How much an answer may cost, before it is asked for.

use loomwork_messages::{List, ThreadId, list};
use loomwork_models::Usage;
use loomwork_store::{Result, Tx};

/// Among how many of the last messages the latest use of a model is looked for.
const LOOKED_AT: usize = 2;

/// Returns how many tokens an answer to a question may use, with the thread's history: what the latest answer
/// used, a quarter of a token for each letter of the question, and three times that for the answer.
///
/// It is meant for limits, before anything is asked: cheap, and rather too much than too little where old turns
/// have fallen out of the context since.
///
/// # Errors
/// When the store cannot be read.
pub fn estimate(tx: &Tx, thread: ThreadId, question: &str) -> Result<u64> {
    let recent = list(tx, thread, &List::newest(LOOKED_AT))?.messages;
    let latest = recent.iter().find_map(|row| row.usage.as_ref()).map_or(1, Usage::total);
    // A quarter for the question and three quarters for the answer are the whole.
    let letters = u64::try_from(question.chars().count()).unwrap_or(u64::MAX);
    Ok(latest.saturating_add(letters).saturating_add(1))
}
