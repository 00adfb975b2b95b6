//! Who makes a request, and what they may do.
//!
//! Two places decide: the [`Gate`] says who a request is from, and [`access`] whether they may do what they ask.
//! Whatever serves requests asks both, and nothing else.

pub(crate) mod access;
mod caller;
#[cfg(feature = "http")]
mod codes;
mod gate;
#[cfg(feature = "http")]
mod identify;
#[cfg(feature = "http")]
mod jwt;
pub mod keys;
#[cfg(feature = "http")]
mod pace;

pub use access::{Need, Refused, allow};
pub use caller::{Caller, Scope};
#[cfg(feature = "http")]
pub use codes::{CODE_TERM, PAGE_KEY_TERM};
pub use gate::MIN_KEY_BYTES;
#[cfg(feature = "http")]
pub use gate::MIN_SHARED_BYTES;
pub(crate) use gate::{Describe, Gate};
#[cfg(feature = "http")]
pub(crate) use identify::{identify, may_guess};
#[cfg(feature = "http")]
pub use jwt::{JwtKeys, JwtOptions, KEYS_AGAIN, KEYS_FRESH, KEYS_KEPT, MAX_KEY_SET_BYTES};
