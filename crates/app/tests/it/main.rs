//! The API over real connections: what a client may rely on.

mod answers;
mod errors;
mod files;
mod functions;
mod hooks;
mod keys;
mod live;
mod operators;
mod serving;
mod threads;
mod world;
