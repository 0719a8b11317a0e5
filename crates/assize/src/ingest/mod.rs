//! What senders send, decoded: bytes in, drafts out. Nothing here reads a clock, a store or the network.
//!
//! - [`body`]: gzip with a limit, and the error of a body as a whole.
//! - [`json`]: `POST /v1/interactions`.
//! - [`otlp`]: OpenTelemetry traces and logs, protobuf and JSON, in every dialect that is known.
//! - [`join`]: spans without text meet their text that came as log events.
//! - [`draft`]: what all of them yield; [`messages`] and [`conversation`] read the message shapes of the providers,
//!   [`tree`] is the JSON under them, [`cut`] saves what a sender cut short.

pub mod body;
pub mod conversation;
pub mod cut;
pub mod draft;
pub mod join;
pub mod json;
pub mod messages;
pub mod otlp;
pub mod tree;

pub use body::{BodyError, inflate};
pub use draft::Draft;
pub use join::{JoinLimits, Joiner, Released};
pub use json::{Decoded, ItemError};
pub use otlp::{Logs, Refusals, SpanContent, Traces};

/// The most bytes of text that one interaction may hold: 4 MiB.
pub const ITEM_TEXT_MAX: usize = 4 * 1024 * 1024;
/// The most interactions in one body of `POST /v1/interactions`.
pub const ITEMS_MAX: usize = 10_000;
/// The most tags of an interaction.
pub const TAGS_MAX: usize = 64;
/// The most bytes of a tag's key.
pub const TAG_KEY_MAX: usize = 100;
/// The most bytes of a tag's value.
pub const TAG_VALUE_MAX: usize = 1_000;
/// The most bytes of a model, conversation id, prompt version or environment.
pub const LABEL_MAX: usize = 256;
