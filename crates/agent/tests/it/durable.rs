//! Durable runs: begun in a transaction, made by whoever has their agent, and gone on with by whoever is left.

mod busy;
mod going_on;
mod house;
mod jobs;
mod killed;
mod starting;
mod stopping;
