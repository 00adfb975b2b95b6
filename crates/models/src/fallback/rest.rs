//! Models that failed, and are left in peace for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};

use loomwork_core::Time;

use super::FallbackOptions;
use crate::{Error, ErrorKind};

/// Until when a model rests, and why.
#[derive(Debug, Default)]
pub(super) struct Rest(Mutex<Option<(Time, Error)>>);

impl Rest {
    /// Returns when it ends; a model that doesn't rest has always been awake.
    pub(super) fn until(&self) -> Time {
        self.lock().as_ref().map_or(Time::MIN, |(until, _)| *until)
    }

    /// Returns until when it lasts, and why.
    pub(super) fn cause(&self) -> Option<(Time, Error)> {
        self.lock().clone()
    }

    /// Begins, or grows, after a failure that is the model's own.
    pub(super) fn after(&self, error: &Error, options: &FallbackOptions) {
        let Some(cool_down) = options.cool_down.filter(|_| is_own_fault(error.kind())) else { return };
        let until = options.clock.now() + cool_down.max(error.retry_after().unwrap_or_default());
        if until > self.until() {
            *self.lock() = Some((until, error.clone()));
        }
    }

    /// A time and an error are whole even if a thread panicked beside them.
    fn lock(&self) -> MutexGuard<'_, Option<(Time, Error)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether other requests are likely to fail too: the fault is the model's, its provider's or the account's.
fn is_own_fault(kind: &ErrorKind) -> bool {
    match kind {
        ErrorKind::Auth | ErrorKind::NotFound | ErrorKind::Quota => true,
        ErrorKind::RateLimited { .. } | ErrorKind::Overloaded => true,
        ErrorKind::Timeout | ErrorKind::Network | ErrorKind::Interrupted => true,
        ErrorKind::BadRequest | ErrorKind::ContextTooLong | ErrorKind::ContentPolicy => false,
        ErrorKind::Protocol | ErrorKind::InvalidOutput | ErrorKind::Cancelled => false,
    }
}
