//! Results go where people look: every target is told of every verdict, at least once and in order.
//!
//! A target's [`delivery`] follows the feed of the results store, and moves its cursor only after the target has acknowledged, so that a
//! crash repeats and never loses. What is repeated carries the same idempotency key. Targets wait neither for each other nor does
//! judging for them: the results store is the queue. [`told`] is what is said of a result, [`otlp`] and [`webhook`] are its two forms,
//! [`target`] makes one attempt.

pub mod counts;
mod delivery;
mod otlp;
mod target;
mod told;
mod webhook;

use std::ffi::OsString;
use std::sync::Arc;

use assize_core::export::ExportCursors;
use assize_core::results::Results;
use assize_core::{Clock, StoreError};

pub use delivery::Delivery;
pub use target::Target;

use crate::config::export::ExportFrom;
use crate::config::{ConfigError, Settings};
use crate::counters::Counters;

/// The targets of the configuration; nothing is sent yet. `variable` looks up the environment.
///
/// # Errors
/// Where a variable is not set or holds what cannot be used: names the target and the key.
pub fn open(settings: &Settings, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<Vec<Target>, ConfigError> {
    let open = |spec| Target::open(spec, variable).map_err(|what| spec.wrong(&what));
    settings.export.iter().map(open).collect()
}

/// Where each target goes on. From when this returns, nothing that is decided is missed.
///
/// # Errors
/// Of the stores.
pub async fn begin(
    targets: Vec<Target>,
    results: &Arc<dyn Results>,
    cursors: &Arc<dyn ExportCursors>,
    clock: &Arc<dyn Clock>,
    counters: &Arc<Counters>,
) -> Result<Vec<Delivery>, StoreError> {
    let mut deliveries = Vec::with_capacity(targets.len());
    for target in targets {
        let last = results.decided_last().await?;
        let known = cursors.cursor(target.name()).await?;
        let cursor = match (known, target.from()) {
            (Some(known), _) if known <= last => known,
            (Some(_), _) => {
                tracing::warn!(target_name = %target.name(), "the results store has begun anew: the export begins with its oldest result");
                0
            }
            (None, ExportFrom::Now) => last,
            (None, ExportFrom::Beginning) => 0,
        };
        if known != Some(cursor) {
            cursors.set_cursor(target.name(), cursor).await?;
        }
        deliveries.push(Delivery::new(
            target,
            cursor,
            Arc::clone(results),
            Arc::clone(cursors),
            Arc::clone(clock),
            Arc::clone(counters),
        ));
    }
    Ok(deliveries)
}
