//! The fake provider, over plain sockets, so that the bytes themselves are seen.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

mod client;
mod provider_chat;
mod provider_embeddings;
mod provider_images;
mod provider_messages;
mod provider_models;
mod provider_responses;
mod provider_rules;
mod provider_rules_messages;
mod provider_transport;
