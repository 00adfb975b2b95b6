//! The repair pass: cases one by one, and its rules over random conversations.

mod cases;
mod random;
