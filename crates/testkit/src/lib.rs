//! What Loomwork's crates share in their tests: suites that every engine runs, and harnesses.
//!
//! Each part is a feature: `store` has the engine contract (`engine_contract!`), the model-based
//! property test and the random histories; `crash` kills a working process and hands back what it had
//! said; `provider` is a model provider on loopback that speaks the real wire formats; `tallied` counts an
//! engine's transactions. [`skip`] makes a
//! test that lacks its service say so, and [`soon`] lets one fail instead of hanging.

#[cfg(feature = "crash")]
pub mod crash;
#[cfg(feature = "provider")]
pub mod provider;
mod skip;
mod soon;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "tallied")]
mod tallied;

pub use skip::skip;
pub use soon::{GUARD, soon};
#[cfg(feature = "tallied")]
pub use tallied::{Begun, Tallied};
