//! What the answers say: it follows from the run and the step, so that anybody can check it.

use loomwork_messages::RunId;

/// How many steps each run has.
pub(super) const STEPS: u32 = 3;

/// How many words a step says.
const WORDS: u32 = 40;

/// Returns the words of a step.
pub(super) fn words(run: RunId, step: u32) -> impl Iterator<Item = String> {
    let name = run.to_string();
    (0..WORDS).map(move |word| format!("{name}.{step}.{word} "))
}

/// Returns the whole text of a step.
pub(super) fn text(run: RunId, step: u32) -> String {
    words(run, step).collect()
}
