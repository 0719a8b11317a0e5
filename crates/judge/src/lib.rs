//! Judges: free rules, prompts, and clients of the providers of models.
//!
//! What the configuration says is in [`spec`] and checked by [`check`]. [`rules`] judge at accept and touch nothing. A chat judge
//! ([`chat`]) puts a [`spec::Question`] about an interaction into a [`prompt`], has a provider ([`providers`]) complete it, and reads
//! a score out of the [`answer`]. It makes one attempt: retries, pacing and money are the caller's. [`metrics`] holds the questions
//! that come with the product, [`prices`] what known models charge.
#![warn(missing_docs)]

pub mod answer;
pub mod cache_key;
pub mod chat;
pub mod check;
pub mod metrics;
pub mod prices;
pub mod prompt;
pub mod providers;
pub mod rules;
pub mod spec;

pub use chat::ChatJudge;
pub use check::SpecError;
