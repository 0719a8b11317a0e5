//! The judges of a policy, opened with the questions that its metrics have for them, and seated by metric.

use std::collections::HashMap;
use std::sync::Arc;

use assize_core::judge::{CalledJudge, InlineJudge};
use assize_core::{AskedAs, JudgeName, JudgeVersion, MetricName, ProviderName, Tier, TierKind};
use assize_judge::spec::{JudgeKind, JudgeSpec, ProviderSpec, Question};
use assize_judge::{ChatJudge, DecisionsJudge, metrics, rules};

use super::batch::BatchSeat;
use super::clients::Providers;
use super::gate::Gate;
use crate::config::ConfigError;
use crate::config::policy::{AskedMetric, PolicySpec};
use crate::config::settings::{CascadeEntry, CascadeTier};

/// The judges of one metric, in cascade order.
pub struct Seats {
    pub inline: Vec<(JudgeName, Arc<dyn InlineJudge>)>,
    pub called: Vec<CalledSeat>,
    /// Asked where the reference judge cannot be had.
    pub fallback: Option<CalledSeat>,
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
    /// The question leaves the interaction's context out.
    pub without_context: bool,
    /// The judge sees no more of an interaction than the cache's keys cover.
    pub cacheable: bool,
    /// How it is asked by batches, where its provider takes them.
    pub batch: Option<BatchSeat>,
    /// As what the metric asks it.
    pub asked_as: AskedAs,
}

/// The judges of a policy by their names.
pub struct Judges(HashMap<JudgeName, Opened>);

enum Opened {
    Inline(Arc<dyn InlineJudge>),
    Called { judge: Arc<dyn CalledJudge>, gate: Arc<Gate>, asking: Vec<MetricName>, cacheable: bool, batch: Option<BatchSeat> },
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
        JudgeKind::Linear(linear) => providers.local.linear(linear).map(Opened::Inline).map_err(|error| wrong(error.to_string())),
        JudgeKind::Chat(chat) => {
            let judge_name = judge.name.clone();
            let provider =
                provider(spec, &chat.provider).ok_or_else(|| wrong(format!("provider {} is not configured", chat.provider)))?;
            let (client, gate) = providers.get(provider)?;
            let (asking, questions) = questions(judge, spec);
            let quote = spec.quote(&judge.kind);
            let judge = ChatJudge::open(&judge.name, chat, &questions, client).map_err(|error| wrong(error.to_string()))?;
            let judge = Arc::new(judge.at_price(quote.as_ref().map(|quote| quote.price)));
            let waits = spec.metrics.iter().any(|metric| metric.max_delay_hours > 0 && metric.asks(&judge_name));
            let batches = if waits { providers.batches(provider)? } else { None };
            let batch = batches.map(|batches| BatchSeat {
                judge: Arc::clone(&judge),
                batches,
                // Where no other price is known a budget is charged the live one, which can only be too much.
                price: quote.map(|quote| quote.batch.unwrap_or(quote.price)),
            });
            Ok(Opened::Called { judge, gate, asking, cacheable: true, batch })
        }
        JudgeKind::Bert(bert) => {
            let (asking, _) = questions(judge, spec);
            let opened = providers.local.bert(&judge.name, bert, asking.len());
            let (judge, gate) = opened.map_err(|error| wrong(error.to_string()))?;
            Ok(Opened::Called { judge, gate, asking, cacheable: true, batch: None })
        }
        JudgeKind::Decisions(decisions) => {
            let provider = provider(spec, &decisions.provider)
                .ok_or_else(|| wrong(format!("provider {} is not configured", decisions.provider)))?;
            let (decider, gate) = providers.decider(provider)?;
            let (asking, questions) = questions(judge, spec);
            let quote = spec.quote(&judge.kind);
            let judge =
                DecisionsJudge::open(&judge.name, decisions, &questions, decider).map_err(|error| wrong(error.to_string()))?;
            let judge = judge.at_price(quote.map(|quote| quote.price));
            Ok(Opened::Called { judge: Arc::new(judge), gate, asking, cacheable: true, batch: None })
        }
        JudgeKind::Command(command) => {
            let (asking, questions) = questions(judge, spec);
            let opened = providers.code.command(&judge.name, command, &questions);
            let (judge, gate) = opened.map_err(|error| wrong(error.to_string()))?;
            Ok(Opened::Called { judge, gate, asking, cacheable: false, batch: None })
        }
        JudgeKind::Http(http) => {
            let (asking, questions) = questions(judge, spec);
            let opened = providers.code.http(&judge.name, http, &questions);
            let (judge, gate) = opened.map_err(|error| wrong(error.to_string()))?;
            Ok(Opened::Called { judge, gate, asking, cacheable: false, batch: None })
        }
    }
}

/// The metrics whose cascade names the judge, and what each asks.
fn questions(judge: &JudgeSpec, spec: &PolicySpec) -> (Vec<MetricName>, Vec<Question>) {
    let asking = spec.metrics.iter().filter(|metric| metric.asks(&judge.name));
    asking.filter_map(|metric| Some((metric.name.clone(), metric.question.clone()?))).unzip()
}

impl Judges {
    /// The seats of `metric`, the tiers that they stand for, and that of its fallback.
    pub fn seats(&self, metric: &AskedMetric) -> Result<(Seats, Vec<Tier>, Option<Tier>), ConfigError> {
        let mut seats = Seats { inline: Vec::new(), called: Vec::new(), fallback: None };
        let mut tiers = Vec::new();
        for CascadeTier { judge, share } in &metric.cascade {
            let tier = match judge {
                CascadeEntry::BuiltinRules(builtin) => {
                    let (name, judge) = builtin_rules(builtin)?;
                    let version = judge.version().clone();
                    seats.inline.push((name.clone(), judge));
                    Tier { judge: name, version, kind: TierKind::Inline, share: 1.0 }
                }
                CascadeEntry::Judge(name) => match self.of(name)? {
                    Opened::Inline(judge) => {
                        seats.inline.push((name.clone(), Arc::clone(judge)));
                        Tier { judge: name.clone(), version: judge.version().clone(), kind: TierKind::Inline, share: 1.0 }
                    }
                    Opened::Called { .. } => {
                        let seat = self.called(name, metric)?;
                        let version = seat.version.clone();
                        seats.called.push(seat);
                        Tier { judge: name.clone(), version, kind: TierKind::Called, share: *share }
                    }
                },
            };
            tiers.push(tier);
        }
        if let Some(last) = seats.called.last_mut() {
            last.asked_as = AskedAs::Reference;
        }
        let fallback = match &metric.fallback {
            None => None,
            Some(name) => {
                let seat = CalledSeat { asked_as: AskedAs::Fallback, ..self.called(name, metric)? };
                let version = seat.version.clone();
                seats.fallback = Some(seat);
                Some(Tier { judge: name.clone(), version, kind: TierKind::Called, share: 1.0 })
            }
        };
        Ok((seats, tiers, fallback))
    }

    fn of(&self, name: &JudgeName) -> Result<&Opened, ConfigError> {
        self.0.get(name).ok_or_else(|| ConfigError::new(format!("[[judge]] {:?}: is not configured", name.as_str())))
    }

    fn called(&self, name: &JudgeName, metric: &AskedMetric) -> Result<CalledSeat, ConfigError> {
        let wrong = |what: &str| ConfigError::new(format!("[[judge]] {:?}: {what}", name.as_str()));
        let Opened::Called { judge, gate, asking, cacheable, batch } = self.of(name)? else {
            return Err(wrong("runs at accept and cannot be called"));
        };
        let question = asking.iter().position(|asking| asking == &metric.name);
        let question = question.ok_or_else(|| wrong("has no question to ask"))?;
        let version = judge.versions().get(question).ok_or_else(|| wrong("has no question to ask"))?.clone();
        Ok(CalledSeat {
            name: name.clone(),
            judge: Arc::clone(judge),
            question,
            version,
            gate: Arc::clone(gate),
            // A question that goes with others may be shown what they need.
            without_context: judge.questions_max() == 1
                && metric.question.as_ref().is_some_and(|question| question.without_context),
            cacheable: *cacheable,
            batch: batch.clone(),
            asked_as: AskedAs::Cheaper,
        })
    }
}

fn builtin_rules(builtin: &MetricName) -> Result<(JudgeName, Arc<dyn InlineJudge>), ConfigError> {
    let name = JudgeName::new(&format!("builtin.{builtin}")).map_err(|error| ConfigError::new(error.to_string()))?;
    let rules = metrics::builtin(builtin.as_str()).and_then(|builtin| builtin.rules());
    let rules = rules.ok_or_else(|| ConfigError::new(format!("there are no built-in rules {builtin:?}")))?;
    let judge = rules::open(&rules).map_err(|error| ConfigError::new(format!("built-in rules {builtin}: {error}")))?;
    Ok((name, judge))
}

fn provider<'a>(spec: &'a PolicySpec, name: &ProviderName) -> Option<&'a ProviderSpec> {
    spec.providers.iter().find(|provider| &provider.name == name)
}
