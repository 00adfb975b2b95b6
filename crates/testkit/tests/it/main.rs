//! The fake provider, over plain sockets, so that the bytes themselves are seen.

#![expect(clippy::unwrap_used, reason = "what the tests share may panic, as the tests may")]

mod client;
mod provider_chat;
mod provider_transport;
