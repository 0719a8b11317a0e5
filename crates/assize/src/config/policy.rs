//! A policy as written: what is kept in the control store under the policy's version, so that an item is scored by what was in
//! force when it was accepted.

use std::collections::HashSet;
use std::time::Duration;

use assize_core::{Dimension, JudgeName, MetricName, ProviderName, ReusePolicy, SamplingPolicy};
use assize_judge::metrics;
use assize_judge::prices::{Called, Charge, Prices, Quote};
use assize_judge::spec::{BertSpec, JudgeKind, JudgeSpec, ProviderSpec, Question};
use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::settings::{CascadeEntry, CascadeTier, MetricSpec, Settings};
use super::{cascade, export, price};

/// Metrics with their questions settled, and the judges and providers that they need. Holds no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicySpec {
    pub metrics: Vec<AskedMetric>,
    pub judges: Vec<JudgeSpec>,
    pub providers: Vec<ProviderSpec>,
    pub sampling: SamplingPolicy,
    pub dimensions: Vec<Dimension>,
    /// What models charge now. No part of what is kept: an item is charged what its call costs, not what it would have cost.
    #[serde(skip)]
    pub prices: Prices,
}

/// A metric with the question that its judges are asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedMetric {
    pub name: MetricName,
    /// `None` where no judge of the cascade is asked anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    pub cascade: Vec<CascadeTier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingPolicy>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalate: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<JudgeName>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReusePolicy>,
    #[serde(default)]
    pub max_delay_hours: u32,
}

impl AskedMetric {
    /// Whether the judge of this name is asked on the metric's behalf.
    pub fn asks(&self, judge: &JudgeName) -> bool {
        let named = |entry: &CascadeEntry| matches!(entry, CascadeEntry::Judge(name) if name == judge);
        self.cascade.iter().any(|tier| named(&tier.judge)) || self.fallback.as_ref() == Some(judge)
    }
}

/// How something that is called may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// No attempt takes longer.
    pub attempt_max: Duration,
    pub attempts: u32,
    /// Calls at once.
    pub at_once: usize,
}

impl PolicySpec {
    /// The policy that the settings describe. Errors name the list, the entry and the key.
    pub fn of(settings: &Settings) -> Result<Self, ConfigError> {
        unique("project", settings.project.iter().map(|entry| entry.name.as_str()))?;
        unique("provider", settings.provider.iter().map(|entry| entry.name.as_str()))?;
        unique("judge", settings.judge.iter().map(|entry| entry.name.as_str()))?;
        unique("metric", settings.metric.iter().map(|entry| entry.name.as_str()))?;
        unique("export", settings.export.iter().map(|entry| entry.name.as_str()))?;
        export::check(settings)?;
        check_report(settings)?;
        settings.budget.policy()?;
        settings.sampling.0.check().map_err(|error| ConfigError::new(format!("[sampling] {error}")))?;
        for provider in &settings.provider {
            provider.check().map_err(|error| ConfigError::new(format!("[[provider]] {:?}: {error}", provider.name.as_str())))?;
        }
        for judge in &settings.judge {
            judge.check().map_err(|error| ConfigError::new(format!("[[judge]] {:?}: {error}", judge.name.as_str())))?;
            check_variables(judge, settings)?;
        }
        let prices = price::prices(settings)?;
        if settings.metric.is_empty() {
            return Err(ConfigError::new("there is no metric: add a [[metric]] with a name and a cascade"));
        }
        let metrics = settings.metric.iter().map(|metric| asked(metric, settings)).collect::<Result<Vec<_>, _>>()?;
        let used = |judge: &&JudgeSpec| metrics.iter().any(|metric| metric.asks(&judge.name));
        let judges: Vec<JudgeSpec> = settings.judge.iter().filter(used).cloned().collect();
        let called: HashSet<&ProviderName> = judges.iter().filter_map(|judge| judge.kind.provider()).collect();
        let providers: Vec<ProviderSpec> =
            settings.provider.iter().filter(|provider| called.contains(&provider.name)).cloned().collect();
        for judge in &judges {
            check_price(judge, &providers, &prices)?;
        }
        Ok(Self {
            metrics,
            judges,
            providers,
            sampling: settings.sampling.0.clone(),
            dimensions: settings.report.dimensions.clone(),
            prices,
        })
    }

    /// The paces of all that is called: the providers, and the judges that need none.
    pub fn paces(&self) -> Vec<Pace> {
        paces(&self.providers, &self.judges)
    }

    /// What the model that a judge of this kind calls charges; `None` where it calls none, or nobody said.
    pub fn quote(&self, judge: &JudgeKind) -> Option<Quote> {
        let (called, own) = Called::by(judge, &self.providers)?;
        self.prices.quote(&called, own)
    }

    /// The judge of this name.
    pub fn judge(&self, name: &JudgeName) -> Option<&JudgeSpec> {
        self.judges.iter().find(|judge| &judge.name == name)
    }
}

/// The paces of all that is called: `providers`, and those of `judges` that need none.
pub fn paces(providers: &[ProviderSpec], judges: &[JudgeSpec]) -> Vec<Pace> {
    let providers = providers.iter().map(|provider| Pace {
        attempt_max: Duration::from_secs(provider.timeout_seconds),
        attempts: provider.attempts,
        at_once: provider.concurrency,
    });
    let own = judges.iter().filter_map(|judge| match &judge.kind {
        JudgeKind::Command(command) => Some(Pace {
            // The wait for a worker, its start, and the answer, of which a fresh one that was ready late has the time once more.
            attempt_max: Duration::from_secs(command.start_seconds + 3 * command.timeout_seconds),
            attempts: command.attempts,
            at_once: command.workers,
        }),
        JudgeKind::Http(http) => Some(Pace {
            attempt_max: Duration::from_secs(http.timeout_seconds),
            attempts: http.attempts,
            at_once: http.concurrency,
        }),
        JudgeKind::Bert(bert) => {
            Some(Pace { attempt_max: BertSpec::ANSWER_WAIT_MAX, attempts: BertSpec::ATTEMPTS, at_once: bert.concurrency() })
        }
        JudgeKind::Rules(_) | JudgeKind::Linear(_) | JudgeKind::Chat(_) | JudgeKind::Decisions(_) => None,
    });
    providers.chain(own).collect()
}

/// Interactions of a bridge.
const BRIDGE_MAX: u32 = 10_000;

fn check_report(settings: &Settings) -> Result<(), ConfigError> {
    let level = settings.report.level;
    if !(level > 0.0 && level < 1.0) {
        return Err(ConfigError::new(format!(
            "[report] level = {level} is not a level: use a number between 0 and 1, such as 0.95"
        )));
    }
    if settings.report.dimensions.len() > 8 {
        return Err(ConfigError::new("[report] dimensions names more than 8: every one multiplies the rollups, so choose"));
    }
    if settings.report.bridge > BRIDGE_MAX {
        let bridge = settings.report.bridge;
        return Err(ConfigError::new(format!("[report] bridge = {bridge}: {BRIDGE_MAX} at the most; each is a call more")));
    }
    unique("report.dimensions", settings.report.dimensions.iter().map(ToString::to_string))
}

/// No judge is called whose calls cost who knows what: no budget could hold.
fn check_price(judge: &JudgeSpec, providers: &[ProviderSpec], prices: &Prices) -> Result<(), ConfigError> {
    if prices.charge(&judge.kind, providers) != Charge::Unknown {
        return Ok(());
    }
    let (model, provider) = match Called::by(&judge.kind, providers) {
        Some((called, _)) => (called.model, called.provider.map_or("", |name| name.as_str())),
        None => ("", ""),
    };
    Err(ConfigError::new(format!(
        "[[judge]] {:?}: `model`: nothing says what {model:?} costs at the provider {provider:?}, so no budget could hold: \
         add `price = {{ input = USD, output = USD }}`, in dollars per million tokens, or `price = \"free\"` \
         where it is a host of your own",
        judge.name.as_str(),
    )))
}

fn unique(list: &str, names: impl Iterator<Item = impl AsRef<str>>) -> Result<(), ConfigError> {
    let mut seen = HashSet::new();
    for name in names {
        let name = name.as_ref().to_owned();
        if seen.contains(&name) {
            return Err(ConfigError::new(format!("[[{list}]] {name:?} stands twice: give one of them another name")));
        }
        seen.insert(name);
    }
    Ok(())
}

/// What a metric's own sampling says must mean something.
fn check_sampling(metric: &MetricSpec, settings: &Settings) -> Result<(), String> {
    let is_free = |entry: &CascadeEntry| match entry {
        CascadeEntry::BuiltinRules(_) => true,
        CascadeEntry::Judge(name) => settings.judge.iter().any(|judge| &judge.name == name && cascade::is_inline(judge)),
    };
    let Some(sampling) = &metric.sampling else { return Ok(()) };
    if sampling.reserve > 0.0 {
        return Err("`sampling.reserve` counts for a whole project only: set it under [sampling]".to_owned());
    }
    let mut conditions = sampling.smart.iter().map(|rule| &rule.when).chain(&sampling.only);
    if conditions.any(|condition| condition.free_score.is_some()) && !metric.cascade.iter().any(|tier| is_free(&tier.judge)) {
        return Err(
            "`sampling` looks at `free_score`, but no judge of the cascade is free: add rules, or another condition".to_owned()
        );
    }
    Ok(())
}

/// No script sees the key of a provider or of another judge, whatever its variable is called.
fn check_variables(judge: &JudgeSpec, settings: &Settings) -> Result<(), ConfigError> {
    let JudgeKind::Command(command) = &judge.kind else { return Ok(()) };
    let of_providers = settings.provider.iter().filter_map(|provider| provider.api_key_env.as_ref());
    let of_services = settings.judge.iter().filter_map(|judge| match &judge.kind {
        JudgeKind::Http(http) => Some(http.headers_env.values().chain(&http.authorization_env)),
        _ => None,
    });
    let of_targets = settings.export.iter().flat_map(|export| export.variables());
    let keys: HashSet<&String> = of_providers.chain(of_services.flatten()).chain(of_targets).collect();
    match command.env.iter().position(|variable| keys.contains(variable)) {
        None => Ok(()),
        Some(at) => Err(ConfigError::new(format!(
            "[[judge]] {:?}: env[{at}]: {} holds the key of a provider, of another judge or of an export and never reaches a script: give it a key of its own in a variable of another name",
            judge.name.as_str(),
            command.env[at]
        ))),
    }
}

fn asked(metric: &MetricSpec, settings: &Settings) -> Result<AskedMetric, ConfigError> {
    let wrong = |what: String| ConfigError::new(format!("[[metric]] {:?}: {what}", metric.name.as_str()));
    if let Some(sampling) = &metric.sampling {
        sampling.check().map_err(|error| wrong(format!("sampling.{error}")))?;
    }
    check_sampling(metric, settings).map_err(wrong)?;
    let asked = cascade::check(metric, settings)?;
    let question = if asked.is_empty() { None } else { Some(question(metric, &asked).map_err(wrong)?) };
    Ok(AskedMetric {
        name: metric.name.clone(),
        question,
        cascade: metric.cascade.clone(),
        sampling: metric.sampling.clone(),
        escalate: metric.escalate,
        fallback: metric.fallback.clone(),
        reuse: metric.reuse,
        max_delay_hours: metric.max_delay_hours,
    })
}

/// The metric's own question, else the judges' own, else that of the built-in metric it names or is named after.
fn question(metric: &MetricSpec, judges: &[&JudgeSpec]) -> Result<Question, String> {
    let name = metric.builtin.as_deref().unwrap_or(metric.name.as_str());
    let builtin = metrics::builtin(name).map(|builtin| builtin.question());
    if metric.builtin.is_some() && builtin.is_none() {
        return Err(format!("`builtin` = {name:?} is no built-in metric: use one of {}", all_names()));
    }
    let from_judges = || judges.iter().find_map(|judge| judge.kind.question().map(str::to_owned));
    let mut question = match metric.question.clone().or_else(from_judges) {
        // A question of one's own stands alone: the rubric of a built-in metric of the same name would answer another question.
        Some(text) => Question { text, ..Question::default() },
        // A script or a service knows by itself what it decides; it is told which metric that is.
        None if builtin.is_none() && judges.iter().all(|judge| judge.kind.is_operators_alone()) => Question { text: metric.name.as_str().to_owned(), ..Question::default() },
        None => builtin.ok_or_else(|| {
            format!("there is nothing to ask: give the metric or its judge a `question`, or name a built-in metric ({}) with `builtin`", all_names())
        })?,
    };
    if let Some(rubric) = &metric.rubric {
        question.rubric.clone_from(rubric);
    }
    if let Some(needs) = metric.needs {
        question.needs = needs;
    }
    if question.text.trim().is_empty() {
        return Err("`question` is empty".to_owned());
    }
    Ok(question)
}

fn all_names() -> String {
    metrics::all().iter().map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_is_called_has_a_pace() {
        let judge = |spec| serde_json::from_value::<JudgeSpec>(spec).unwrap();
        let rules = judge(json!({"name": "w", "kind": "rules", "any_of": ["x"]}));
        let bert = judge(json!({"name": "b", "kind": "bert", "folder": "models/toxic", "threads": 2, "batch_max": 4}));
        let pace = Pace { attempt_max: Duration::from_secs(60), attempts: 2, at_once: 16 };
        assert_eq!(paces(&[], &[rules, bert]), [pace], "a lease outlives a model in this process, too");
    }
}
