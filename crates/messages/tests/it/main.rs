//! What loomwork-messages promises, through its public API.
