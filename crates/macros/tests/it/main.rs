//! What the derives promise: what they make of right code, and what they say about wrong code.

mod hygiene;
mod index;
mod key;
mod table;
mod ui;
