//! Models that need no provider.

mod embedder;
mod words;

pub use embedder::OfflineEmbedder;
