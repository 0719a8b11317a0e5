//! The clients of the providers, opened once and shared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assize_core::ProviderName;
use assize_judge::providers::{self, Batches, Decider, Provider};
use assize_judge::spec::ProviderSpec;

use super::code::CodeJudges;
use super::gate::{Gate, Snapshot};
use super::local::LocalModels;
use crate::config::ConfigError;
use crate::secrets::provider_key;

/// Providers by their settings: judges of all panels that call the same provider share its connections and its gate.
pub struct Providers {
    open: Mutex<Vec<OpenProvider>>,
    without_breakers: bool,
    /// Judges that need no provider.
    pub code: CodeJudges,
    pub local: LocalModels,
}

struct OpenProvider {
    spec: ProviderSpec,
    client: Arc<dyn Provider>,
    /// The same provider's decision models, once a judge asks for them.
    decider: Option<Arc<dyn Decider>>,
    batches: Option<Arc<dyn Batches>>,
    gate: Arc<Gate>,
}

impl Default for Providers {
    fn default() -> Self {
        Self::kept_from(Vec::new())
    }
}

impl Providers {
    /// Providers, and judges of the operator's own code that may not open the directories `denied`.
    pub fn kept_from(denied: Vec<PathBuf>) -> Self {
        Self {
            open: Mutex::default(),
            without_breakers: false,
            code: CodeJudges::kept_from(denied),
            local: LocalModels::default(),
        }
    }

    /// Providers that are called whatever came before: for a run that somebody waits for, which had better fail than wait for hours.
    #[must_use]
    pub fn without_breakers(self) -> Self {
        Self { without_breakers: true, ..self }
    }

    /// How the gates stand, by the provider's name. Gates of one name, as settings that changed leave them, are taken together.
    pub fn gates(&self) -> BTreeMap<ProviderName, Snapshot> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gates = BTreeMap::new();
        for provider in open.iter() {
            let snapshot = provider.gate.snapshot();
            gates
                .entry(provider.spec.name.clone())
                .and_modify(|known: &mut Snapshot| *known = known.with(snapshot))
                .or_insert(snapshot);
        }
        gates
    }

    /// The client and the gate of the provider that `spec` describes.
    pub fn get(&self, spec: &ProviderSpec) -> Result<(Arc<dyn Provider>, Arc<Gate>), ConfigError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = open.iter().find(|known| &known.spec == spec) {
            return Ok((Arc::clone(&known.client), Arc::clone(&known.gate)));
        }
        let key = provider_key(spec)?;
        let client = providers::open(spec, key)
            .map_err(|error| ConfigError::new(format!("[[provider]] {:?}: {error}", spec.name.as_str())))?;
        let gate = Gate::new(spec.concurrency, spec.attempts)
            .of(spec.name.as_str())
            .timeout(Duration::from_secs(spec.timeout_seconds))
            .headroom(client.headroom());
        let gate = Arc::new(if self.without_breakers { gate.without_breaker() } else { gate });
        open.push(OpenProvider {
            spec: spec.clone(),
            client: Arc::clone(&client),
            decider: None,
            batches: None,
            gate: Arc::clone(&gate),
        });
        Ok((client, gate))
    }

    /// The client for decision models of the provider that `spec` describes, behind the same gate as its chat models.
    pub fn decider(&self, spec: &ProviderSpec) -> Result<(Arc<dyn Decider>, Arc<Gate>), ConfigError> {
        let (_, gate) = self.get(spec)?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter_mut().find(|known| &known.spec == spec);
        if let Some(decider) = known.as_ref().and_then(|known| known.decider.clone()) {
            return Ok((decider, gate));
        }
        let decider = providers::open_decider(spec, provider_key(spec)?)
            .map_err(|error| ConfigError::new(format!("[[provider]] {:?}: {error}", spec.name.as_str())))?;
        if let Some(known) = known {
            known.decider = Some(Arc::clone(&decider));
            decider.headroom().into_iter().for_each(|headroom| gate.heed(headroom));
        }
        Ok((decider, gate))
    }

    /// The client for batches of the provider that `spec` describes; `None` where it takes none.
    pub fn batches(&self, spec: &ProviderSpec) -> Result<Option<Arc<dyn Batches>>, ConfigError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let known = open.iter_mut().find(|known| &known.spec == spec);
        if let Some(batches) = known.as_ref().and_then(|known| known.batches.clone()) {
            return Ok(Some(batches));
        }
        let batches = providers::open_batches(spec, provider_key(spec)?)
            .map_err(|error| ConfigError::new(format!("[[provider]] {:?}: {error}", spec.name.as_str())))?;
        if let Some(known) = known {
            known.batches.clone_from(&batches);
        }
        Ok(batches)
    }
}

#[cfg(test)]
mod tests {
    use assize_core::judge::CalledJudge as _;
    use assize_judge::DecisionsJudge;
    use assize_judge::spec::{DecisionsSpec, Question};
    use assize_testkit::provider::{DecisionsProtocol, DecisionsReply, FakeDecisions, Reply};
    use assize_testkit::samples;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_decisions_have_left_holds_back_their_providers_calls() {
        let used_up = |_: &_| {
            let reply = Reply::status(429).with_header("x-ratelimit-remaining-requests", "0");
            DecisionsReply::Http(reply.with_header("x-ratelimit-reset-requests", "60s"))
        };
        let fake = FakeDecisions::start(used_up).await.unwrap();
        for protocol in [DecisionsProtocol::OpenAi, DecisionsProtocol::Gemini] {
            let kind = if protocol == DecisionsProtocol::OpenAi { "openai" } else { "gemini" };
            let spec = json!({"name": "p", "kind": kind, "base_url": fake.base_url(protocol), "timeout_seconds": 5});
            let spec: ProviderSpec = serde_json::from_value(spec).unwrap();
            let (decider, gate) = Providers::default().decider(&spec).unwrap();
            let question = Question { text: "Is it rude?".to_owned(), ..Question::default() };
            let model: DecisionsSpec = serde_json::from_value(json!({"provider": "p", "model": "m"})).unwrap();
            let judge = DecisionsJudge::open(&samples::judge("cheap"), &model, &[question], decider).unwrap();
            assert!(gate.turn().await.is_ok());
            assert!(judge.attempt(&samples::interaction("p", "i", samples::MORNING), &[0]).await[0].is_err());
            let wait = gate.turn().await.err().and_then(|away| away.retry_after);
            assert!(wait.is_some_and(|wait| wait > Duration::from_secs(50)), "{kind}: {wait:?}");
        }
    }
}
