//! The policies in force and their judges, and those of items that are still to be scored by older policies.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use assize_core::{Metric, MetricName, Policy, PolicyVersion, ProjectName, StoreError, Timestamp, Unit};
use assize_judge::spec::{JudgeSpec, ProviderKind, ProviderSpec};

use super::PolicyStore;
use super::clients::Providers;
use super::code;
use super::own::Own;
use super::seat::{self, Seats};
use crate::config::ConfigError;
use crate::config::policy::PolicySpec;

/// A policy and its judges.
pub struct Panel {
    pub policy: Policy,
    /// One entry per metric of the policy.
    pub seats: Vec<Seats>,
    /// What each metric asks, where a judge is asked.
    pub questions: Vec<Option<String>>,
    /// Whether a simulated provider stands in for a real one.
    pub simulated: bool,
    /// As written.
    pub spec: PolicySpec,
}

impl Panel {
    /// A metric of the policy, and who judges it.
    pub fn metric(&self, name: &MetricName) -> Option<(&Metric, &Seats)> {
        let at = self.policy.metrics.iter().position(|metric| &metric.name == name)?;
        Some((self.policy.metrics.get(at)?, self.seats.get(at)?))
    }
}

/// The panel of the configuration, those of projects with metrics of their own, and those of items that are still to be scored by older
/// policies.
pub struct Panels {
    current: RwLock<Arc<Panel>>,
    pub(super) own: Own,
    older: Mutex<HashMap<PolicyVersion, Arc<Panel>>>,
    pub(super) providers: Providers,
    /// Where providers are now: older policies are scored there too.
    pub(super) provider_specs: Vec<ProviderSpec>,
    /// The judges as configured now: of the operator's own code only these are run.
    pub(super) judge_specs: Vec<JudgeSpec>,
    pub(super) store: PolicyStore,
}

/// How many older policies are kept open at once.
const OLDER_PANELS_MAX: usize = 32;

impl Panels {
    /// Opens the judges of `spec` and keeps the policy for later.
    pub async fn open(spec: &PolicySpec, providers: Providers, store: PolicyStore, now: Timestamp) -> Result<Self, PanelError> {
        let panel = open_panel(spec, &providers)?;
        keep(&store, &panel, now).await?;
        let (provider_specs, judge_specs) = (spec.providers.clone(), spec.judges.clone());
        let current = RwLock::new(Arc::new(panel));
        Ok(Self { current, own: Own::default(), older: Mutex::default(), providers, provider_specs, judge_specs, store })
    }

    /// The panel in force where a project has no metrics of its own.
    pub fn current(&self) -> Arc<Panel> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The panel in force in `project`.
    pub fn of_project(&self, project: &ProjectName) -> Arc<Panel> {
        self.own.panel(project).unwrap_or_else(|| self.current())
    }

    /// The providers that judges were opened with.
    pub fn providers(&self) -> &Providers {
        &self.providers
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
        if let Some(panel) = self.own.panel_of(version) {
            return Ok(Some(panel));
        }
        let Some(store) = &self.store else { return Ok(None) };
        let Some(json) = store.policy(version).await? else { return Ok(None) };
        let opened = serde_json::from_str::<PolicySpec>(&json).map_err(|error| error.to_string());
        let opened = opened.and_then(|spec| self.as_configured(spec));
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
    fn as_configured(&self, mut spec: PolicySpec) -> Result<PolicySpec, String> {
        for provider in &mut spec.providers {
            if let Some(present) = self.provider_specs.iter().find(|present| present.name == provider.name) {
                provider.clone_from(present);
            }
        }
        spec.judges = code::as_configured(&spec.judges, &self.judge_specs)?;
        spec.prices = self.current().spec.prices.clone();
        Ok(spec)
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

/// Keeps the policy for items that are scored after it was replaced.
pub(super) async fn keep(store: &PolicyStore, panel: &Panel, now: Timestamp) -> Result<(), PanelError> {
    let Some(store) = store else { return Ok(()) };
    let json =
        serde_json::to_string(&panel.spec).map_err(|error| ConfigError::new(format!("the policy cannot be stored: {error}")))?;
    Ok(store.put_policy(&panel.policy.version, &json, now).await?)
}

pub(super) fn open_panel(spec: &PolicySpec, providers: &Providers) -> Result<Panel, ConfigError> {
    let mut seats = Vec::new();
    let mut metrics = Vec::new();
    let judges = seat::open(spec, providers)?;
    for metric in &spec.metrics {
        let (seated, tiers, fallback) = judges.seats(metric)?;
        metrics.push(Metric {
            name: metric.name.clone(),
            unit: Unit::Interaction,
            needs: metric.question.as_ref().map(|question| question.needs).unwrap_or_default(),
            cascade: tiers,
            sampling: metric.sampling.clone(),
            escalate: metric.escalate,
            fallback,
            reuse: metric.reuse,
            max_delay_hours: metric.max_delay_hours,
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
    Ok(Panel { policy, seats, questions, simulated, spec: spec.clone() })
}
