//! The API over real connections: what a client may rely on.

mod access;
mod answers;
mod errors;
mod hosts;
mod keys;
mod live;
mod serving;
mod threads;
mod tokens;
mod world;
