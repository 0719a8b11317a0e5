//! Judges: free rules, prompts, and clients of the providers of models.
#![warn(missing_docs)]

pub mod spec;
