//! Typed settings: what the operator writes, checked before anything starts.
//!
//! [`settings`] is the shape ([`export`] that of targets of results), [`load`] reads a file and says where it is wrong (`place` finds
//! the line), [`price`] is what the operator says of prices, [`policy`] turns metrics and judges into what is frozen on every item, [`metric`] reads metrics that come from elsewhere
//! than the file.

pub mod budget;
pub mod cascade;
pub mod export;
pub mod load;
pub mod metric;
mod place;
pub mod policy;
pub mod price;
pub mod settings;
pub mod standin;

pub use load::ConfigError;
pub use policy::PolicySpec;
pub use settings::Settings;
