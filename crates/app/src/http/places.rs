//! Places: how many of something there are, and how many of them one caller may have.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use loomwork_core::Kind;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Caller;
use crate::error::{Error, Result};

/// How long whoever has as many places as it may waits before it asks again.
const WAIT: Duration = Duration::from_secs(1);

/// Places of one kind. A user has so many at most, and a program half of all, so that none keeps all others out.
#[derive(Debug)]
pub(crate) struct Places {
    what: &'static str,
    all: usize,
    of_user: usize,
    free: Arc<Semaphore>,
    /// How many each caller has that has any.
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Places {
    /// `what` there is a place for, in the plural.
    pub(super) fn new(what: &'static str, all: usize, of_user: usize) -> Self {
        let all = all.min(Semaphore::MAX_PERMITS);
        Self { what, all, of_user, free: Arc::new(Semaphore::new(all)), taken: Arc::default() }
    }

    /// Returns how many are taken.
    pub(super) fn taken(&self) -> usize {
        self.all.saturating_sub(self.free.available_permits())
    }

    /// Takes one for nobody in particular.
    ///
    /// # Errors
    /// `unavailable` where none is free.
    pub(crate) fn take(&self) -> Result<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().map_err(|_| self.none_free())
    }

    /// Refuses early what would find no place.
    pub(super) fn require_free(&self) -> Result<()> {
        if self.free.available_permits() > 0 { Ok(()) } else { Err(self.none_free()) }
    }

    /// Counts one for a caller; the place itself is taken by [`Share::place`].
    ///
    /// # Errors
    /// `limited` for a caller that has as many as it may.
    pub(super) fn share(&self, caller: &Caller) -> Result<Share> {
        let most = if caller.as_user().is_some() { self.of_user } else { self.all.div_ceil(2) };
        let mut taken = lock(&self.taken);
        let count = taken.entry(caller.name().to_owned()).or_default();
        if *count >= most {
            let message =
                format!("the caller has {most} {} at once, as many as one may; end one first", self.what);
            return Err(
                Error::new(Kind::Limited { wait: WAIT }, message).with("retryAfter", WAIT.as_millis() as u64)
            );
        }
        *count += 1;
        drop(taken);
        Ok(Share {
            what: self.what,
            caller: caller.name().to_owned(),
            free: self.free.clone(),
            taken: self.taken.clone(),
        })
    }

    fn none_free(&self) -> Error {
        none_free(self.what)
    }
}

/// One of the places that a caller may have.
#[derive(Debug)]
pub(crate) struct Share {
    what: &'static str,
    caller: String,
    free: Arc<Semaphore>,
    taken: Arc<Mutex<HashMap<String, usize>>>,
}

impl Share {
    /// Takes a place.
    ///
    /// # Errors
    /// `unavailable` where none is free.
    pub(super) fn place(self) -> Result<Place> {
        let permit = self.free.clone().try_acquire_owned().map_err(|_| none_free(self.what))?;
        Ok(Place { _permit: permit, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        if let Some(count) = taken.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}

/// A place of a caller's, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _share: Share,
}

fn none_free(what: &str) -> Error {
    Error::new(Kind::Unavailable, format!("the server has as many {what} at once as it may; come again"))
}

fn lock(taken: &Mutex<HashMap<String, usize>>) -> MutexGuard<'_, HashMap<String, usize>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}
