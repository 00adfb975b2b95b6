//! The program itself: what it writes, and how it ends.

mod backup;
mod beside;
mod chat;
mod doctor;
mod file;
mod help;
mod ingest;
mod program;
mod terminal;
