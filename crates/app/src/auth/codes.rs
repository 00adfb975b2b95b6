//! One-time codes: the address that a server prints holds one, and the page there trades it for a key. So no key
//! stands in an address, a history or a log.

use std::sync::{Mutex, PoisonError};
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
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == MAX_CODES {
            waiting.remove(0);
        }
        waiting.push((Sha256::digest(code.expose()).into(), now + CODE_TERM));
        code
    }

    /// Takes a code, and says whether it was there and in time. Nobody can take it a second time.
    pub(crate) fn take(&self, code: &str, now: Time) -> bool {
        // Digests are compared, so how long that takes says nothing of the code.
        let digest: [u8; 32] = Sha256::digest(code).into();
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = waiting.iter().position(|(known, _)| *known == digest).map(|at| waiting.remove(at));
        found.is_some_and(|(_, end)| now < end)
    }
}
