//! The derives of Loomwork's store, for programs that keep their records in tables, and the attribute that
//! makes functions tools of agents.
//!
//! [`derive(Table)`](derive@Table) makes a struct a table with typed indexes, and
//! [`derive(Key)`](derive@Key) makes a type a part of an index key. Both come with
//! `loomwork-store`, and [`#[tool]`](macro@tool) with `loomwork-agent`, which is where to take them from: this
//! crate is only where the compiler wants them to be.
//!
//! ```
//! use loomwork_store::{Id, Key, Result, Row, Table, Tx};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize, Table)]
//! #[table(name = "messages", id = "message")]
//! #[index(by_thread(thread, status))]
//! struct Message {
//!     thread: Id<Thread>,
//!     status: Status,
//!     text: String,
//! }
//!
//! #[derive(Clone, Copy, Serialize, Deserialize, Key)]
//! #[serde(rename_all = "snake_case")]
//! enum Status {
//!     Pending,
//!     Sent,
//! }
//!
//! #[derive(Clone, Serialize, Deserialize, Table)]
//! #[table(name = "threads", id = "thread")]
//! struct Thread {
//!     title: String,
//! }
//!
//! fn pending(tx: &Tx, thread: Id<Thread>) -> Result<Vec<Row<Message>>> {
//!     tx.scan(Message::by_thread.eq(thread).eq(Status::Pending))
//! }
//! ```
//!
//! # Guarantees
//!
//! - What an attribute says is checked where it says it: an index over a field that is not there, a
//!   name that the store does not take, a type that has no order. One build shows all that is wrong
//!   with a record, with what would be right.
//! - An index is a constant with the types of its key parts. A read that gives it a value of another
//!   type, or takes the index of another table for this one, does not compile.
//! - The expansion names everything by absolute paths and brings no lints with it. It does not care
//!   what is imported where it is used.

mod attributes;
mod declaration;
mod home;
mod index;
mod key;
mod names;
mod options;
mod report;
mod table;
mod tool;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

use proc_macro::TokenStream;
use syn::parse_macro_input;

#[doc = include_str!("docs/table.md")]
#[proc_macro_derive(Table, attributes(table, index))]
pub fn derive_table(input: TokenStream) -> TokenStream {
    table::derive(&parse_macro_input!(input)).into()
}

#[doc = include_str!("docs/key.md")]
#[proc_macro_derive(Key, attributes(key))]
pub fn derive_key(input: TokenStream) -> TokenStream {
    key::derive(&parse_macro_input!(input)).into()
}

#[doc = include_str!("docs/tool.md")]
#[proc_macro_attribute]
pub fn tool(attribute: TokenStream, function: TokenStream) -> TokenStream {
    tool::expand(attribute.into(), function.into()).into()
}
