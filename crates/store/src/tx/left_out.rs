//! Telling of rows that a [readable](crate::Span::readable) span leaves out.

use std::collections::HashSet;
use std::sync::Mutex;

use loomwork_core::RawId;

use crate::error::Error;

/// So many rows are told of by an opening of a store; beyond that the log would only repeat itself.
const MOST_TOLD: usize = 1_000;

/// The rows that were told of, so that a loop that meets one again and again tells of it once.
#[derive(Debug, Default)]
pub(crate) struct LeftOut(Mutex<HashSet<RawId>>);

impl LeftOut {
    pub(crate) fn tell(&self, id: RawId, error: &Error) {
        let mut told = self.0.lock().expect("nothing panics while it holds the rows that were told of");
        if told.len() < MOST_TOLD && told.insert(id) {
            drop(told);
            tracing::error!(%error, "a row is left out, and stays so until it can be read");
        }
    }
}
