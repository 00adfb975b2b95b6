//! Counting with the tables that OpenAI publishes.

use std::fmt;

use tiktoken_rs::CoreBPE;

use super::TokenCounter;

/// Counts the tokens of texts as OpenAI's models do.
///
/// The tables are read at the first use and then shared. A text that looks like one of a model's special
/// marks is counted as the plain text that it is.
///
/// ```
/// use loomwork_models::{Tiktoken, TokenCounter};
///
/// assert_eq!(Tiktoken::default().count("hello world"), 2);
/// ```
#[derive(Clone, Copy)]
pub struct Tiktoken {
    table: &'static CoreBPE,
}

impl Tiktoken {
    /// Returns the counter for a model of OpenAI's; `None` if no table is known for it.
    pub fn for_model(model: &str) -> Option<Self> {
        tiktoken_rs::bpe_for_model(model).ok().map(|table| Self { table })
    }
}

/// The table of today's models, `o200k_base`.
impl Default for Tiktoken {
    fn default() -> Self {
        Self { table: tiktoken_rs::o200k_base_singleton() }
    }
}

impl TokenCounter for Tiktoken {
    fn count(&self, text: &str) -> u64 {
        self.table.count_ordinary(text) as u64
    }
}

impl fmt::Debug for Tiktoken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Tiktoken").finish_non_exhaustive()
    }
}
