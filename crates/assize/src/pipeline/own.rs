//! Metrics that projects have of their own, over the defaults of the configuration: changed while the process runs, kept with every
//! change, and in force for what is accepted from then on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use assize_core::control::MetricChange;
use assize_core::{MetricName, PolicyVersion, ProjectName, StoreError, StoreErrorKind, Timestamp};

use super::panel::{Panel, PanelError, Panels, keep, open_panel};
use crate::config::metric::{from_json, laid_over};
use crate::config::settings::MetricSpec;
use crate::config::{ConfigError, PolicySpec, Settings};

/// Metrics of its own that a project may have.
pub const METRICS_MAX: usize = 50;

/// What projects have changed.
#[derive(Default)]
pub struct Own {
    /// What metrics are laid over; `None` where projects have none of their own, as in `eval`.
    settings: Option<Arc<Settings>>,
    projects: RwLock<HashMap<ProjectName, Arc<OwnProject>>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
}

/// What one project has changed.
#[derive(Default)]
struct OwnProject {
    metrics: BTreeMap<MetricName, OwnMetric>,
    /// `None` where nothing differs from the defaults.
    panel: Option<Arc<Panel>>,
}

/// The last change of a project's metric.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnMetric {
    /// How often it was changed.
    pub version: u64,
    /// `None` where the project's own was taken away again.
    pub spec: Option<MetricSpec>,
    /// The id of the key with which it was changed.
    pub by: String,
    pub at: Timestamp,
    /// Why it is not in force, as where the configuration has lost its judge.
    pub problem: Option<String>,
}

/// Why a metric was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It would not be a metric.
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    /// Somebody else has changed it since.
    #[error("the metric is at version {present}, not {expected}: read it again, then change it")]
    Conflict { present: u64, expected: u64 },
    /// The project has none of its own of this name.
    #[error("the project has no metric of its own of this name")]
    Unknown,
    #[error("a project may have {METRICS_MAX} metrics of its own: remove one that is not needed")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PanelError> for ChangeError {
    fn from(error: PanelError) -> Self {
        match error {
            PanelError::Config(error) => Self::Invalid(error),
            PanelError::Store(error) => Self::Store(error),
        }
    }
}

impl Own {
    /// The panel of a project with metrics of its own.
    pub fn panel(&self, project: &ProjectName) -> Option<Arc<Panel>> {
        self.read().get(project)?.panel.clone()
    }

    /// The panel of this version, if it is in force in a project.
    pub fn panel_of(&self, version: &PolicyVersion) -> Option<Arc<Panel>> {
        let projects = self.read();
        let mut panels = projects.values().filter_map(|project| project.panel.as_ref());
        panels.find(|panel| &panel.policy.version == version).cloned()
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, HashMap<ProjectName, Arc<OwnProject>>> {
        self.projects.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, project: &ProjectName) -> Arc<OwnProject> {
        self.read().get(project).cloned().unwrap_or_default()
    }

    fn put(&self, project: &ProjectName, own: OwnProject) {
        self.projects.write().unwrap_or_else(PoisonError::into_inner).insert(project.clone(), Arc::new(own));
    }
}

impl Panels {
    /// The same, with the metrics that projects have of their own. One that the configuration does not allow any more is not in force,
    /// which is said in the log and to whoever asks for it.
    pub async fn with_projects(mut self, settings: Arc<Settings>, now: Timestamp) -> Result<Self, PanelError> {
        // Those that only projects use have to be known too, and where they are now.
        self.provider_specs.clone_from(&settings.provider);
        self.judge_specs.clone_from(&settings.judge);
        self.own.settings = Some(settings);
        let Some(store) = &self.store else { return Ok(self) };
        let mut projects: BTreeMap<ProjectName, BTreeMap<MetricName, OwnMetric>> = BTreeMap::new();
        for change in store.metrics().await? {
            projects.entry(change.project.clone()).or_default().insert(change.metric.clone(), read(change));
        }
        for (project, metrics) in projects {
            let own = self.reopen(&project, metrics)?;
            if let Some(panel) = &own.panel {
                keep(&self.store, panel, now).await?;
            }
            self.own.put(&project, own);
        }
        Ok(self)
    }

    /// What was stored, as far as it is valid now.
    fn reopen(&self, project: &ProjectName, mut metrics: BTreeMap<MetricName, OwnMetric>) -> Result<OwnProject, ConfigError> {
        if let Ok(panel) = self.open_own(&metrics) {
            return Ok(OwnProject { metrics, panel });
        }
        let names: Vec<MetricName> = metrics.keys().cloned().collect();
        let mut valid = BTreeMap::new();
        for name in names {
            let Some(own) = metrics.get_mut(&name) else { continue };
            valid.insert(name.clone(), own.clone());
            if let Err(error) = self.open_own(&valid) {
                tracing::error!(%project, metric = %name, %error, "a metric of the project's own is not in force");
                own.problem = Some(error.to_string());
                valid.remove(&name);
            }
        }
        let panel = self.open_own(&metrics)?;
        Ok(OwnProject { metrics, panel })
    }

    /// The panel of these changes; `None` where nothing is left of them.
    fn open_own(&self, metrics: &BTreeMap<MetricName, OwnMetric>) -> Result<Option<Arc<Panel>>, ConfigError> {
        let in_force = metrics.values().filter(|own| own.problem.is_none()).filter_map(|own| own.spec.as_ref());
        let own: Vec<&MetricSpec> = in_force.collect();
        match &self.own.settings {
            Some(settings) if !own.is_empty() => {
                let spec = PolicySpec::of(&laid_over(settings, own.into_iter()))?;
                Ok(Some(Arc::new(open_panel(&spec, &self.providers)?)))
            }
            _ => Ok(None),
        }
    }

    /// The last changes of a project's metrics, by name.
    pub fn own_metrics(&self, project: &ProjectName) -> BTreeMap<MetricName, OwnMetric> {
        self.own.of(project).metrics.clone()
    }

    /// The metric of the configuration, that stands where a project has none of its own.
    pub fn default_metric(&self, metric: &MetricName) -> Option<MetricSpec> {
        self.own.settings.as_ref()?.metric.iter().find(|default| &default.name == metric).cloned()
    }

    /// The panel that `project` would have with `metric`; nothing changes.
    pub fn candidate(&self, project: &ProjectName, metric: MetricSpec) -> Result<Arc<Panel>, ConfigError> {
        let mut metrics = self.own_metrics(project);
        let change = OwnMetric { version: 0, spec: None, by: String::new(), at: Timestamp(0), problem: None };
        metrics.insert(metric.name.clone(), OwnMetric { spec: Some(metric), ..change });
        let panel = self.open_own(&metrics)?;
        panel.ok_or_else(|| ConfigError::new("metrics come from the configuration file alone here"))
    }

    /// Puts a metric of the project's own in force, or with `None` takes it away. `expected` is the version that is to be changed, 0
    /// where there is to be none; without it, whichever there is. When it returns the change is on disk.
    pub async fn change(
        &self,
        project: &ProjectName,
        metric: &MetricName,
        spec: Option<MetricSpec>,
        expected: Option<u64>,
        (by, at): (&str, Timestamp),
    ) -> Result<OwnMetric, ChangeError> {
        let Some(store) = &self.store else { return Err(ChangeError::Unknown) };
        let _one_at_a_time = self.own.changing.lock().await;
        let mut metrics = self.own_metrics(project);
        let present = metrics.get(metric).map_or(0, |own| own.version);
        if let Some(expected) = expected.filter(|expected| *expected != present) {
            return Err(ChangeError::Conflict { present, expected });
        }
        if spec.is_none() && metrics.get(metric).is_none_or(|own| own.spec.is_none()) {
            return Err(ChangeError::Unknown);
        }
        let own = OwnMetric { version: present.saturating_add(1), spec, by: by.to_owned(), at, problem: None };
        metrics.insert(metric.clone(), own.clone());
        if metrics.values().filter(|own| own.spec.is_some()).count() > METRICS_MAX {
            return Err(ChangeError::TooMany);
        }
        let panel = self.open_own(&metrics)?;
        if let Some(panel) = &panel {
            keep(&self.store, panel, at).await?;
        }
        let json = own.spec.as_ref().map(serde_json::to_string).transpose();
        let json =
            json.map_err(|error| StoreError::new(StoreErrorKind::Failed, format!("a metric cannot be written: {error}")))?;
        let (project, metric, by) = (project.clone(), metric.clone(), by.to_owned());
        let change = MetricChange { project: project.clone(), metric, version: own.version, json, by, at };
        if !store.change_metric(&change).await? {
            return Err(ChangeError::Conflict { present: own.version, expected: present });
        }
        self.own.put(&project, OwnProject { metrics, panel });
        Ok(own)
    }
}

/// A change as it was stored; one that cannot be read says so.
pub fn read(change: MetricChange) -> OwnMetric {
    let MetricChange { metric, version, json, by, at, .. } = change;
    let spec = json.map(|json| {
        let value = serde_json::from_str(&json).map_err(|error| ConfigError::new(format!("its JSON cannot be read: {error}")))?;
        from_json(&metric, value)
    });
    match spec.transpose() {
        Ok(spec) => OwnMetric { version, spec, by, at, problem: None },
        Err(error) => OwnMetric { version, spec: None, by, at, problem: Some(error.to_string()) },
    }
}
