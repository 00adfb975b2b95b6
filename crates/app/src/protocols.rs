//! The protocols of others over threads and runs: a module for each, which reads what its clients send and answers in
//! the shapes that they read. What is asked is a durable run as any other.

mod ai_sdk;
mod conversation;
mod entry;

use axum::Router;

pub use ai_sdk::AiSdk;
pub(crate) use conversation::ConversationRow;
pub use conversation::MAX_CONVERSATION_BYTES;

use crate::app::App;

/// Returns the routes of all protocols.
pub(crate) fn routes(app: &App) -> Router {
    Router::new().merge(ai_sdk::routes(app))
}
