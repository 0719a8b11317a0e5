//! A provider of models on this machine, for tests: it speaks OpenAI's, Anthropic's and Gemini's protocols over HTTP, takes batches as
//! the first two do, answers as it is told, and remembers what it was asked and what it charged.
//!
//! ```no_run
//! # use assize_testkit::provider::{Behaviour, FakeProvider, Reply};
//! # async fn example() -> std::io::Result<()> {
//! let provider = FakeProvider::start(Behaviour::score(0.5)).await?;
//! // … call provider.base_url() …
//! assert_eq!(provider.calls(), 1);
//! provider.set(Behaviour::script([Reply::status(500), Reply::score(1.0)]));
//! # Ok(())
//! # }
//! ```

mod batch_objects;
mod batch_routes;
mod batches;
mod behaviour;
mod decisions;
mod form;
mod known;
mod protocol;
mod reply;
mod server;
mod serving;

pub use batches::{Batches, Ending, Oddities};
pub use behaviour::Behaviour;
pub use decisions::{DecisionsCall, DecisionsProtocol, DecisionsReply, FakeDecisions};
pub use known::Known;
pub use protocol::Protocol;
pub use reply::Reply;
pub use server::{FakeProvider, Request};
