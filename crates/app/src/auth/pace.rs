//! How fast callers may ask, and addresses may guess. Whoever is over a limit is refused before anything is looked at.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use loomwork_core::{Clock, Kind, Time};
use loomwork_rate_limiter::{Guard, Limit};
use loomwork_store::Result as StoreResult;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// How many of those that came in rightly are remembered.
const REMEMBERED: usize = 10_000;

/// From how many on those that are shut out no longer are forgotten.
const MANY: usize = 1_024;

/// What tells the credentials of a request, and where it comes from, from others.
type Print = [u8; 32];

/// The limits of who comes in.
pub(super) struct Pace {
    clock: Clock,
    requests: Option<Guard<String>>,
    refusals: Option<Guard<IpAddr>>,
    asking: Shut<Print>,
    guessing: Shut<IpAddr>,
    right: Mutex<Right>,
}

/// Where a request comes from, and with what.
pub(super) struct Origin {
    address: Option<IpAddr>,
    print: Option<Print>,
}

impl Origin {
    pub(super) fn new(headers: &HeaderMap, address: Option<IpAddr>) -> Self {
        let print = headers.get(AUTHORIZATION).map(|given| {
            let mut digest = Sha256::new();
            digest.update(given.as_bytes());
            digest.update(address.map(|address| address.to_string()).unwrap_or_default());
            digest.finalize().into()
        });
        Self { address, print }
    }
}

impl Pace {
    /// # Errors
    /// For limits that cannot work.
    pub(super) fn new(
        requests: Option<&Limit<'static>>,
        refusals: Option<&Limit<'static>>,
        clock: &Clock,
    ) -> StoreResult<Self> {
        Ok(Self {
            clock: clock.clone(),
            requests: requests.map(|limit| Guard::new(limit, clock)).transpose()?,
            refusals: refusals.map(|limit| Guard::new(limit, clock)).transpose()?,
            asking: Shut::default(),
            guessing: Shut::default(),
            right: Mutex::default(),
        })
    }

    /// Refuses who is over a limit. What has come in from there before is not kept out by what is guessed there.
    pub(super) fn admit(&self, origin: &Origin) -> Result<()> {
        let now = self.clock.now();
        if let Some(print) = &origin.print {
            self.asking.check(print, now)?;
            if lock(&self.right).has(print) {
                return Ok(());
            }
        }
        origin.address.map_or(Ok(()), |address| self.guessing.check(&address, now))
    }

    /// Counts a request of a caller, and remembers that it came in.
    pub(super) fn asked(&self, origin: &Origin, caller: &str) -> Result<()> {
        if let Some(print) = origin.print {
            lock(&self.right).add(print);
        }
        let Some(requests) = &self.requests else { return Ok(()) };
        requests.take(&caller.to_owned(), 1).map_err(|error| {
            let error = Error::from(error);
            if let Some(print) = origin.print {
                self.asking.shut(print, &error, self.clock.now());
            }
            error
        })
    }

    /// Counts what was no key.
    pub(super) fn guessed(&self, origin: &Origin) -> Result<()> {
        if let Some(print) = &origin.print {
            lock(&self.right).known.remove(print);
        }
        let (Some(refusals), Some(address)) = (&self.refusals, origin.address) else { return Ok(()) };
        refusals.take(&address, 1).map_err(|error| {
            let error = Error::from(error);
            self.guessing.shut(address, &error, self.clock.now());
            error
        })
    }
}

/// Who is over a limit, and until when.
struct Shut<K>(Mutex<HashMap<K, (Time, String)>>);

impl<K> Default for Shut<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> Shut<K> {
    fn check(&self, who: &K, now: Time) -> Result<()> {
        let mut shut = lock(&self.0);
        let Some((until, limit)) = shut.get(who) else { return Ok(()) };
        if *until <= now {
            shut.remove(who);
            return Ok(());
        }
        let wait = until.since(now);
        let message = format!("the limit {limit:?} is used up; come again in {} ms", wait.as_millis());
        let error = Error::new(Kind::Limited { wait }, message).with("name", limit.as_str());
        Err(error.with("retryAfter", wait.as_millis() as u64))
    }

    /// Remembers what a limit said.
    fn shut(&self, who: K, error: &Error, now: Time) {
        let Kind::Limited { wait } = error.kind() else { return };
        let name = error.data().get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let mut shut = lock(&self.0);
        if shut.len() >= MANY {
            shut.retain(|_, (until, _)| *until > now);
        }
        shut.insert(who, (now + wait, name.to_owned()));
    }
}

/// What came in rightly; the oldest is forgotten first.
#[derive(Default)]
struct Right {
    known: HashSet<Print>,
    order: VecDeque<Print>,
}

impl Right {
    fn has(&self, print: &Print) -> bool {
        self.known.contains(print)
    }

    fn add(&mut self, print: Print) {
        if !self.known.insert(print) {
            return;
        }
        // What was right, wrong and right again stands here twice, and is forgotten by the first.
        self.order.push_back(print);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
