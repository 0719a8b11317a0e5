//! Judges: free rules, prompts, and clients of the providers of models.
//!
//! What the configuration says is in [`spec`] and checked by [`check`]. [`rules`] and [`linear`] models judge at accept and touch
//! nothing. A chat judge
//! ([`chat`]) puts a [`spec::Question`] about an interaction into a [`prompt`], has a provider ([`providers`]) complete it, and reads
//! a score out of the [`answer`]; a decision model ([`decisions`]) gives a probability for each of many questions. Either makes one
//! attempt: retries, pacing and money are the caller's. A classifier of the [`bert`] kind runs in this process. The operator's own code
//! judges as a script ([`command`]) or a service ([`http_judge`]), which may not be at an address that [`addresses`] refuses.
//! [`metrics`] holds the questions that come with the product, [`prices`] what known models charge, [`bounds`] what a call can cost.
#![warn(missing_docs)]

pub mod addresses;
pub mod answer;
pub mod bert;
pub mod bounds;
pub mod cache_key;
pub mod chat;
pub mod check;
mod client;
pub mod command;
pub mod decisions;
mod exchange;
pub mod http_judge;
pub mod linear;
pub mod metrics;
pub mod prices;
pub mod prompt;
pub mod providers;
pub mod rules;
pub mod spec;

pub use chat::ChatJudge;
pub use check::SpecError;
pub use command::CommandJudge;
pub use decisions::DecisionsJudge;
pub use http_judge::HttpJudge;
