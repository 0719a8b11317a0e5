//! The judges of a policy, opened with the questions that its metrics have for them, and seated by metric.

use std::collections::HashMap;
use std::sync::Arc;

use assize_core::judge::{CalledJudge, InlineJudge};
use assize_core::{JudgeName, JudgeVersion, ProviderName, Tier, TierKind};
use assize_judge::spec::{ChatSpec, JudgeKind, JudgeSpec, ProviderSpec, Question};
use assize_judge::{ChatJudge, metrics, rules};

use super::clients::Providers;
use super::gate::Gate;
use crate::config::ConfigError;
use crate::config::policy::{AskedMetric, PolicySpec};
use crate::config::settings::CascadeEntry;

/// The judges of one metric, in cascade order.
pub struct Seats {
    pub inline: Vec<(JudgeName, Arc<dyn InlineJudge>)>,
    pub called: Vec<CalledSeat>,
}

/// A called judge in its seat, behind the gate of its provider.
#[derive(Clone)]
pub struct CalledSeat {
    pub name: JudgeName,
    pub judge: Arc<dyn CalledJudge>,
    /// The metric's place among the judge's questions.
    pub question: usize,
    pub version: JudgeVersion,
    pub gate: Arc<Gate>,
}

/// The judges of a policy by their names.
pub struct Judges(HashMap<JudgeName, Opened>);

enum Opened {
    Inline(Arc<dyn InlineJudge>),
    Called { judge: Arc<dyn CalledJudge>, gate: Arc<Gate>, asking: Vec<assize_core::MetricName> },
}

/// Opens every judge that a cascade of the policy names, once.
pub fn open(spec: &PolicySpec, providers: &Providers) -> Result<Judges, ConfigError> {
    let opened = spec.judges.iter().map(|judge| Ok((judge.name.clone(), open_one(judge, spec, providers)?)));
    opened.collect::<Result<_, ConfigError>>().map(Judges)
}

fn open_one(judge: &JudgeSpec, spec: &PolicySpec, providers: &Providers) -> Result<Opened, ConfigError> {
    let wrong = |what: String| ConfigError::new(format!("[[judge]] {:?}: {what}", judge.name.as_str()));
    match &judge.kind {
        JudgeKind::Rules(rules) => rules::open(rules).map(Opened::Inline).map_err(|error| wrong(error.to_string())),
        JudgeKind::Chat(chat) => {
            let (asking, questions) = questions(judge, spec);
            let (judge, gate) = open_chat(judge, chat, &questions, spec, providers).map_err(wrong)?;
            Ok(Opened::Called { judge, gate, asking })
        }
        JudgeKind::Command(command) => {
            let (asking, questions) = questions(judge, spec);
            let opened = providers.code.command(&judge.name, command, &questions);
            let (judge, gate) = opened.map_err(|error| wrong(error.to_string()))?;
            Ok(Opened::Called { judge, gate, asking })
        }
        JudgeKind::Http(http) => {
            let (asking, questions) = questions(judge, spec);
            let opened = providers.code.http(&judge.name, http, &questions);
            let (judge, gate) = opened.map_err(|error| wrong(error.to_string()))?;
            Ok(Opened::Called { judge, gate, asking })
        }
    }
}

/// The metrics whose cascade names the judge, and what each asks.
fn questions(judge: &JudgeSpec, spec: &PolicySpec) -> (Vec<assize_core::MetricName>, Vec<Question>) {
    let entry = CascadeEntry::Judge(judge.name.clone());
    let asking = spec.metrics.iter().filter(|metric| metric.cascade.contains(&entry));
    asking.filter_map(|metric| Some((metric.name.clone(), metric.question.clone()?))).unzip()
}

fn open_chat(
    judge: &JudgeSpec,
    chat: &ChatSpec,
    questions: &[Question],
    spec: &PolicySpec,
    providers: &Providers,
) -> Result<(Arc<dyn CalledJudge>, Arc<Gate>), String> {
    let provider = provider(spec, &chat.provider).ok_or_else(|| format!("provider {} is not configured", chat.provider))?;
    let (client, gate) = providers.get(provider).map_err(|error| error.to_string())?;
    let judge = ChatJudge::open(&judge.name, chat, questions, client).map_err(|error| error.to_string())?;
    Ok((Arc::new(judge), gate))
}

/// The seats of `metric` and the tiers that they stand for.
pub fn seats(metric: &AskedMetric, judges: &Judges) -> Result<(Seats, Vec<Tier>), ConfigError> {
    let mut seats = Seats { inline: Vec::new(), called: Vec::new() };
    let mut tiers = Vec::new();
    for entry in &metric.cascade {
        let (name, version, kind) = match entry {
            CascadeEntry::BuiltinRules(builtin) => {
                let name = JudgeName::new(&format!("builtin.{builtin}")).map_err(|error| ConfigError::new(error.to_string()))?;
                let rules = metrics::builtin(builtin.as_str()).and_then(|builtin| builtin.rules());
                let rules = rules.ok_or_else(|| ConfigError::new(format!("there are no built-in rules {builtin:?}")))?;
                let judge =
                    rules::open(&rules).map_err(|error| ConfigError::new(format!("built-in rules {builtin}: {error}")))?;
                let version = judge.version().clone();
                seats.inline.push((name.clone(), judge));
                (name, version, TierKind::Inline)
            }
            CascadeEntry::Judge(name) => {
                let wrong = |what: &str| ConfigError::new(format!("[[judge]] {:?}: {what}", name.as_str()));
                match judges.0.get(name).ok_or_else(|| wrong("is not configured"))? {
                    Opened::Inline(judge) => {
                        seats.inline.push((name.clone(), Arc::clone(judge)));
                        (name.clone(), judge.version().clone(), TierKind::Inline)
                    }
                    Opened::Called { judge, gate, asking } => {
                        let question = asking.iter().position(|asking| asking == &metric.name);
                        let question = question.ok_or_else(|| wrong("has no question to ask"))?;
                        let version = judge.versions().get(question).ok_or_else(|| wrong("has no question to ask"))?.clone();
                        let seat = CalledSeat {
                            name: name.clone(),
                            judge: Arc::clone(judge),
                            question,
                            version: version.clone(),
                            gate: Arc::clone(gate),
                        };
                        seats.called.push(seat);
                        (name.clone(), version, TierKind::Called)
                    }
                }
            }
        };
        tiers.push(Tier { judge: name, version, kind });
    }
    Ok((seats, tiers))
}

fn provider<'a>(spec: &'a PolicySpec, name: &ProviderName) -> Option<&'a ProviderSpec> {
    spec.providers.iter().find(|provider| &provider.name == name)
}
