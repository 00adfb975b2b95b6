//! Live queries: which commits wake them, what they deliver, and that nothing is lost in a race.

mod delivery;
mod following;
mod racing;
mod waking;

pub use delivery::*;
pub use following::*;
pub use racing::*;
pub use waking::*;
