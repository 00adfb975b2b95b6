//! The protocols of others, as their unchanged clients speak them: each row of the specification's conformance lists.

mod ai_sdk;
mod chats;
mod page;
