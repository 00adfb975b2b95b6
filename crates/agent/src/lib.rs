//! Agents: models that answer in durable threads, with context, tools and typed results.

pub mod context;
