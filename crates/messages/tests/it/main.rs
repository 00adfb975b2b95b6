//! What loomwork-messages promises, through its public API.

mod project;
mod reduce;
mod ui;
