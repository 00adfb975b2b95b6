//! The crate's tests, one file for each concept.
