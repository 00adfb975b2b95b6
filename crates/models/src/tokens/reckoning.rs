//! What a call has used whose provider has not said so yet, or never does.

use super::{Estimator, TokenCounter as _};
use crate::{Request, Usage};

/// Characters in a token of an answer. Its pieces are counted as they come, and are no words yet.
const CHARACTERS_PER_TOKEN: u64 = 4;

/// Reckons what a call uses, from what was sent and what has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reckoning {
    /// The tokens of the request.
    asked: u64,
    /// The characters of the answer.
    said: u64,
}

impl Reckoning {
    /// Begins with a request.
    pub(crate) fn of(request: &Request) -> Self {
        Self { asked: Estimator.count_request(request), said: 0 }
    }

    /// Some more of the answer came.
    pub(crate) fn came(&mut self, text: &str) {
        self.said += text.len() as u64;
    }

    /// Returns what a complete answer used: as the provider reports it, else an estimate. A report
    /// without any count that can be read keeps all else that it says.
    pub(crate) fn complete(&self, report: Option<Usage>) -> Usage {
        match report {
            Some(report) if report.total() > 0 || !report.inconsistent => report,
            report => Usage {
                input_fresh: self.asked,
                output_text: self.tokens_said(),
                estimated: true,
                ..report.unwrap_or_default()
            },
        }
    }

    /// Returns what an answer used that broke off. A report of it is not the last word.
    pub(crate) fn broken(&self, report: Option<Usage>) -> Usage {
        let mut usage = self.complete(report);
        if usage.input() == 0 {
            usage.input_fresh = self.asked;
        }
        usage.output_text = usage.output_text.max(self.tokens_said().saturating_sub(usage.output_reasoning));
        usage.estimated = true;
        usage
    }

    fn tokens_said(&self) -> u64 {
        self.said.div_ceil(CHARACTERS_PER_TOKEN)
    }
}
