//! One-time codes: the address that a server prints holds one, and the page there trades it for a key. So no key
//! stands in an address, a history or a log.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use data_encoding::BASE32_NOPAD;
use loomwork_core::{Random, Secret, Time};
use sha2::{Digest, Sha256};

/// How long a code can be traded.
pub const CODE_TERM: Duration = Duration::from_secs(10 * 60);

/// How long the key of a page is good.
pub const PAGE_KEY_TERM: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most codes that wait; the oldest goes first.
const MAX_CODES: usize = 16;

const CODE_BYTES: usize = 20;

/// Codes that wait. They are of this process, as the address is.
#[derive(Default)]
pub(crate) struct Codes(Mutex<Vec<([u8; 32], Time)>>);

impl Codes {
    pub(crate) fn make(&self, random: &Random, now: Time) -> Secret {
        let mut bytes = [0; CODE_BYTES];
        random.fill(&mut bytes);
        let code = Secret::from(BASE32_NOPAD.encode(&bytes).to_lowercase());
        let mut waiting = self.waiting();
        if waiting.len() >= MAX_CODES {
            waiting.remove(0);
        }
        waiting.push((Sha256::digest(code.expose()).into(), now + CODE_TERM));
        code
    }

    /// Takes a code, if it is there and in time. Nobody can take it a second time, unless this one gives it back.
    pub(crate) fn take(&self, code: &str, now: Time) -> Option<Taken<'_>> {
        // Digests are compared, so how long that takes says nothing of the code.
        let digest: [u8; 32] = Sha256::digest(code).into();
        let mut waiting = self.waiting();
        let found = waiting.iter().position(|(known, _)| *known == digest).map(|at| waiting.remove(at));
        let code = found.filter(|(_, end)| now < *end)?;
        Some(Taken { codes: self, code: Some(code) })
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<([u8; 32], Time)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A code that is being traded: dropped before it is [used](Self::used), it may be traded again.
pub(crate) struct Taken<'a> {
    codes: &'a Codes,
    code: Option<([u8; 32], Time)>,
}

impl Taken<'_> {
    pub(crate) fn used(mut self) {
        self.code = None;
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(code) = self.code.take() {
            self.codes.waiting().push(code);
        }
    }
}

#[cfg(test)]
mod tests {
    use loomwork_core::{Random, Time};

    use super::{CODE_TERM, Codes};

    #[test]
    fn a_code_that_was_not_used_is_given_back() {
        let (codes, now) = (Codes::default(), Time::from_millis(1_790_000_000_000));
        let code = codes.make(&Random::seeded(7), now);
        let taken = codes.take(code.expose(), now).expect("it waits");
        assert!(codes.take(code.expose(), now).is_none(), "two have it");
        drop(taken);
        codes.take(code.expose(), now).expect("it waits again").used();
        assert!(codes.take(code.expose(), now).is_none(), "it was used");
        let late = codes.make(&Random::seeded(8), now);
        assert!(codes.take(late.expose(), now + CODE_TERM).is_none(), "it is too old");
    }
}
