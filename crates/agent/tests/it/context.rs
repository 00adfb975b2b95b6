//! What a model is told.

mod assembling;
mod budget;
mod desk;
mod edits;
mod leaking;
mod options;
mod recent;
mod searching;
