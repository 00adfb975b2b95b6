//! Who makes a request, and what they may do.
//!
//! Two places decide: [`identify`] says who a request is from, and [`access`] whether they may do what they ask.
//! Whatever serves requests asks both, and nothing else.

pub(crate) mod access;
mod caller;
mod identify;

pub use access::{Need, Refused, allow};
pub use caller::{Caller, Scope};
pub(crate) use identify::MainKey;
#[cfg(feature = "http")]
pub(crate) use identify::identify;
