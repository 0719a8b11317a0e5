//! The judges of a policy, opened and seated by metric.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use assize_core::judge::{CalledJudge, InlineJudge};
use assize_core::{JudgeName, Metric, Policy, PolicyVersion, ProviderName, StoreError, Tier, TierKind, Timestamp, Unit};
use assize_judge::providers::{self, Provider};
use assize_judge::spec::{JudgeKind, ProviderKind, ProviderSpec};
use assize_judge::{ChatJudge, linear, metrics, rules};

use super::PolicyStore;
use super::gate::Gate;
use crate::config::ConfigError;
use crate::config::policy::{AskedMetric, PolicySpec};
use crate::config::settings::CascadeEntry;
use crate::secrets::provider_key;

/// A called judge in its seat, behind the gate of its provider.
pub struct CalledSeat {
    pub name: JudgeName,
    pub judge: Arc<dyn CalledJudge>,
    pub gate: Arc<Gate>,
}

/// The judges of one metric, in cascade order.
pub struct Seats {
    pub inline: Vec<(JudgeName, Arc<dyn InlineJudge>)>,
    pub called: Vec<CalledSeat>,
}

/// A policy and its judges.
pub struct Panel {
    pub policy: Policy,
    /// One entry per metric of the policy.
    pub seats: Vec<Seats>,
    /// What each metric asks, where a judge is asked.
    pub questions: Vec<Option<String>>,
    /// Whether a simulated provider stands in for a real one.
    pub simulated: bool,
}

/// The panel in force and those of items that are still to be scored by older policies.
pub struct Panels {
    current: RwLock<Arc<Panel>>,
    older: Mutex<HashMap<PolicyVersion, Arc<Panel>>>,
    providers: Providers,
    /// Where providers are now: older policies are scored there too.
    provider_specs: Vec<ProviderSpec>,
    store: PolicyStore,
}

/// How many older policies are kept open at once.
const OLDER_PANELS_MAX: usize = 32;

impl Panels {
    /// Opens the judges of `spec` and keeps the policy for later.
    pub async fn open(spec: &PolicySpec, providers: Providers, store: PolicyStore, now: Timestamp) -> Result<Self, PanelError> {
        let panel = open_panel(spec, &providers)?;
        if let Some(store) = &store {
            let json =
                serde_json::to_string(spec).map_err(|error| ConfigError::new(format!("the policy cannot be stored: {error}")))?;
            store.put_policy(&panel.policy.version, &json, now).await?;
        }
        let provider_specs = spec.providers.clone();
        Ok(Self { current: RwLock::new(Arc::new(panel)), older: Mutex::default(), providers, provider_specs, store })
    }

    /// The panel in force.
    pub fn current(&self) -> Arc<Panel> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The panel of `version`; `None` if that policy is not on record or its judges cannot be opened any more.
    pub async fn of(&self, version: &PolicyVersion) -> Result<Option<Arc<Panel>>, StoreError> {
        let current = self.current();
        if &current.policy.version == version {
            return Ok(Some(current));
        }
        if let Some(panel) = self.older().get(version) {
            return Ok(Some(Arc::clone(panel)));
        }
        let Some(store) = &self.store else { return Ok(None) };
        let Some(json) = store.policy(version).await? else { return Ok(None) };
        let opened = serde_json::from_str::<PolicySpec>(&json).map_err(|error| error.to_string());
        let opened = opened.map(|spec| self.at_present_addresses(spec));
        let panel = match opened.and_then(|spec| open_panel(&spec, &self.providers).map_err(|error| error.to_string())) {
            Ok(panel) => Arc::new(panel),
            Err(error) => {
                tracing::warn!(policy = %version, %error, "the judges of an older policy cannot be opened");
                return Ok(None);
            }
        };
        let mut older = self.older();
        if older.len() >= OLDER_PANELS_MAX {
            older.clear();
        }
        older.insert(version.clone(), Arc::clone(&panel));
        Ok(Some(panel))
    }

    /// Addresses, keys and limits are no part of a judge's version: those in force now count.
    fn at_present_addresses(&self, mut spec: PolicySpec) -> PolicySpec {
        for provider in &mut spec.providers {
            if let Some(present) = self.provider_specs.iter().find(|present| present.name == provider.name) {
                provider.clone_from(present);
            }
        }
        spec
    }

    fn older(&self) -> std::sync::MutexGuard<'_, HashMap<PolicyVersion, Arc<Panel>>> {
        self.older.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a panel could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PanelError {
    /// The configuration is at fault.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The policy could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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
    fn get(&self, spec: &ProviderSpec) -> Result<(Arc<dyn Provider>, Arc<Gate>), ConfigError> {
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

fn open_panel(spec: &PolicySpec, providers: &Providers) -> Result<Panel, ConfigError> {
    let mut seats = Vec::new();
    let mut metrics = Vec::new();
    for metric in &spec.metrics {
        let (seated, tiers) = seat(metric, spec, providers)?;
        metrics.push(Metric {
            name: metric.name.clone(),
            unit: Unit::Interaction,
            needs: metric.question.as_ref().map(|question| question.needs).unwrap_or_default(),
            cascade: tiers,
            sampling: metric.sampling.clone(),
        });
        seats.push(seated);
    }
    let body = serde_json::to_vec(&(&metrics, &spec.sampling, &spec.dimensions))
        .map_err(|error| ConfigError::new(format!("the policy cannot be written down: {error}")))?;
    let policy = Policy {
        version: PolicyVersion::of(&[&body]),
        metrics,
        sampling: spec.sampling.clone(),
        dimensions: spec.dimensions.clone(),
    };
    let simulated = spec.providers.iter().any(|provider| provider.kind == ProviderKind::Simulated);
    let questions = spec.metrics.iter().map(|metric| metric.question.as_ref().map(|question| question.text.clone())).collect();
    Ok(Panel { policy, seats, questions, simulated })
}

fn seat(metric: &AskedMetric, spec: &PolicySpec, providers: &Providers) -> Result<(Seats, Vec<Tier>), ConfigError> {
    let mut seats = Seats { inline: Vec::new(), called: Vec::new() };
    let mut tiers = Vec::new();
    for entry in &metric.cascade {
        match entry {
            CascadeEntry::BuiltinRules(builtin) => {
                let name = JudgeName::new(&format!("builtin.{builtin}")).map_err(|error| ConfigError::new(error.to_string()))?;
                let rules = metrics::builtin(builtin.as_str()).and_then(|builtin| builtin.rules());
                let rules = rules.ok_or_else(|| ConfigError::new(format!("there are no built-in rules {builtin:?}")))?;
                let judge =
                    rules::open(&rules).map_err(|error| ConfigError::new(format!("built-in rules {builtin}: {error}")))?;
                tiers.push(Tier { judge: name.clone(), version: judge.version().clone(), kind: TierKind::Inline });
                seats.inline.push((name, judge));
            }
            CascadeEntry::Judge(name) => {
                let wrong = |what: String| ConfigError::new(format!("[[judge]] {:?}: {what}", name.as_str()));
                let judge = spec.judge(name).ok_or_else(|| wrong("is not configured".to_owned()))?;
                match &judge.kind {
                    JudgeKind::Rules(rules) => {
                        let judge = rules::open(rules).map_err(|error| wrong(error.to_string()))?;
                        tiers.push(Tier { judge: name.clone(), version: judge.version().clone(), kind: TierKind::Inline });
                        seats.inline.push((name.clone(), judge));
                    }
                    JudgeKind::Linear(linear) => {
                        let judge = linear::open(linear).map_err(|error| wrong(error.to_string()))?;
                        tiers.push(Tier { judge: name.clone(), version: judge.version().clone(), kind: TierKind::Inline });
                        seats.inline.push((name.clone(), judge));
                    }
                    JudgeKind::Chat(chat) => {
                        let provider = provider(spec, &chat.provider)
                            .ok_or_else(|| wrong(format!("provider {} is not configured", chat.provider)))?;
                        let (client, gate) = providers.get(provider)?;
                        let question = metric.question.as_ref().ok_or_else(|| wrong("has no question to ask".to_owned()))?;
                        let judge = ChatJudge::open(name, chat, question, client).map_err(|error| wrong(error.to_string()))?;
                        tiers.push(Tier { judge: name.clone(), version: judge.version().clone(), kind: TierKind::Called });
                        seats.called.push(CalledSeat { name: name.clone(), judge: Arc::new(judge), gate });
                    }
                }
            }
        }
    }
    Ok((seats, tiers))
}

fn provider<'a>(spec: &'a PolicySpec, name: &ProviderName) -> Option<&'a ProviderSpec> {
    spec.providers.iter().find(|provider| &provider.name == name)
}
