//! Agents: models that answer in durable threads, with context, tools and typed results.

pub mod context;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/agent.md")]
struct Guide;
