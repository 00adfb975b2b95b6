//! What loomwork-agent promises, through its public API: one module per concept.

mod context;
