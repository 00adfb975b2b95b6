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
mod jwt;
pub mod keys;

pub use access::{Need, Refused, allow};
pub use caller::{Caller, Scope};
#[cfg(feature = "http")]
pub use codes::{CODE_TERM, PAGE_KEY_TERM};
#[cfg(feature = "http")]
pub(crate) use gate::identify;
pub(crate) use gate::{Describe, Gate};
#[cfg(feature = "http")]
pub use jwt::{JwtKeys, JwtOptions, KEYS_AGAIN, KEYS_FRESH, MAX_KEY_SET_BYTES};
