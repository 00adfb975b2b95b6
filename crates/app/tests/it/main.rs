//! The API over real connections: what a client may rely on.

mod access;
mod answers;
mod asking;
mod cli;
mod durable;
mod editing;
mod errors;
mod files;
mod functions;
mod hooks;
mod hosts;
mod idempotency;
mod keys;
mod live;
mod manners;
mod operators;
mod protocols;
mod providers;
mod schema;
mod serving;
mod slow;
mod threads;
mod tokens;
mod world;
