//! The clients of the providers, opened once and shared.

use std::sync::{Arc, Mutex, PoisonError};

use assize_judge::providers::{self, Provider};
use assize_judge::spec::ProviderSpec;

use super::gate::Gate;
use crate::config::ConfigError;
use crate::secrets::provider_key;

/// Providers by their settings: judges of all panels that call the same provider share its connections and its gate.
#[derive(Default)]
pub struct Providers {
    open: Mutex<Vec<OpenProvider>>,
}

struct OpenProvider {
    spec: ProviderSpec,
    client: Arc<dyn Provider>,
    gate: Arc<Gate>,
}

impl Providers {
    /// The client and the gate of the provider that `spec` describes.
    pub fn get(&self, spec: &ProviderSpec) -> Result<(Arc<dyn Provider>, Arc<Gate>), ConfigError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.iter().find(|known| &known.spec == spec) {
            return Ok((Arc::clone(&known.client), Arc::clone(&known.gate)));
        }
        let key = provider_key(spec)?;
        let client = providers::open(spec, key)
            .map_err(|error| ConfigError::new(format!("[[provider]] {:?}: {error}", spec.name.as_str())))?;
        let gate = Arc::new(Gate::new(spec.concurrency, spec.attempts));
        open.push(OpenProvider { spec: spec.clone(), client: Arc::clone(&client), gate: Arc::clone(&gate) });
        Ok((client, gate))
    }
}
