//! The API over real connections: what a client may rely on.

mod answers;
mod errors;
mod live;
mod serving;
mod threads;
mod world;
