//! Texts by their words.

mod tokenizer;
