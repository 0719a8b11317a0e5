//! What a cascade must be: known judges, each once, free ones first, the shares and the ways through it in order.

use assize_core::{JudgeName, TierKind};
use assize_judge::metrics;
use assize_judge::spec::JudgeSpec;

use super::ConfigError;
use super::settings::{CascadeEntry, MetricSpec, Settings};

/// The longest time that a provider's batch may take, and a bit.
const DELAY_HOURS_MAX: u32 = 72;
/// Judges in one cascade.
pub const TIERS_MAX: usize = 16;

/// The judges of the metric's cascade that are asked its question, its fallback included.
pub fn check<'a>(metric: &MetricSpec, settings: &'a Settings) -> Result<Vec<&'a JudgeSpec>, ConfigError> {
    let wrong = |what: String| ConfigError::new(format!("[[metric]] {:?}: {what}", metric.name.as_str()));
    if metric.cascade.is_empty() {
        return Err(wrong("`cascade` is empty: name the judges from cheap to dear, the reference judge last".to_owned()));
    }
    if metric.cascade.len() > TIERS_MAX {
        return Err(wrong(format!("`cascade` names more than {TIERS_MAX} judges")));
    }
    let mut called: Vec<&JudgeSpec> = Vec::new();
    for (at, tier) in metric.cascade.iter().enumerate() {
        let name = || String::from(tier.judge.clone());
        if metric.cascade.iter().take(at).any(|before| before.judge == tier.judge) {
            return Err(wrong(format!("`cascade` names {:?} twice", name())));
        }
        let judge = match &tier.judge {
            CascadeEntry::BuiltinRules(builtin) => {
                check_rules(builtin.as_str()).map_err(wrong)?;
                None
            }
            CascadeEntry::Judge(name) => Some(find(name, settings).map_err(|what| wrong(format!("`cascade` {what}")))?),
        };
        match judge.filter(|judge| !is_inline(judge)) {
            Some(judge) => {
                check_provider(judge, settings)?;
                check_share(tier.share, called.is_empty(), &name()).map_err(wrong)?;
                called.push(judge);
            }
            None if !called.is_empty() => {
                return Err(wrong(format!(
                    "`cascade` has the free judge {:?} after one that is called: put free judges first",
                    name()
                )));
            }
            None if tier.share != 1.0 => {
                return Err(wrong(format!("`share` of {:?}: free judges see everything", name())));
            }
            None => {}
        }
    }
    check_ways(metric, &called).map_err(wrong)?;
    if settings.cache.embeddings.is_none() && metric.reuse.is_some_and(|reuse| reuse.similarity.is_some()) {
        return Err(wrong(
            "`reuse.similarity` compares sentence embeddings, and there is no model of them: name its folder as `embeddings` under \
             [cache], or leave it out"
                .to_owned(),
        ));
    }
    if let Some(fallback) = &metric.fallback {
        let judge = find(fallback, settings).map_err(|what| wrong(format!("`fallback` {what}")))?;
        if is_inline(judge) || called.iter().any(|other| other.name == judge.name) {
            return Err(wrong(format!(
                "`fallback` = {:?} must be a judge that is called and not in the cascade itself",
                fallback.as_str()
            )));
        }
        check_provider(judge, settings)?;
        called.push(judge);
    }
    Ok(called)
}

/// Whether the judge runs at accept, on everything.
pub fn is_inline(judge: &JudgeSpec) -> bool {
    judge.kind.tier() == TierKind::Inline
}

fn find<'a>(name: &JudgeName, settings: &'a Settings) -> Result<&'a JudgeSpec, String> {
    settings.judge.iter().find(|judge| &judge.name == name).ok_or_else(|| {
        format!("names the judge {name:?}, which is not configured: add a [[judge]] with name = {name:?}", name = name.as_str())
    })
}

fn check_rules(builtin: &str) -> Result<(), String> {
    match metrics::builtin(builtin).and_then(|builtin| builtin.rules()) {
        Some(_) => Ok(()),
        None => Err(format!(
            "`cascade` names \"builtin:{builtin}\", but there are no built-in rules of that name: use one of {}",
            with_rules()
        )),
    }
}

fn with_rules() -> String {
    metrics::all().iter().filter(|builtin| builtin.rules().is_some()).map(|builtin| builtin.name).collect::<Vec<_>>().join(", ")
}

fn check_provider(judge: &JudgeSpec, settings: &Settings) -> Result<(), ConfigError> {
    match judge.kind.provider() {
        Some(name) if !settings.provider.iter().any(|provider| &provider.name == name) => Err(ConfigError::new(format!(
            "[[judge]] {:?}: `provider` names {:?}, which is not configured: add a [[provider]] with that name",
            judge.name.as_str(),
            name.as_str()
        ))),
        _ => Ok(()),
    }
}

fn check_share(share: f64, is_first: bool, name: &str) -> Result<(), String> {
    if !(share > 0.0 && share <= 1.0) {
        return Err(format!("`share` = {share} of {name:?}: use a number above 0, 1 at the most"));
    }
    if is_first && share != 1.0 {
        return Err(format!(
            "`share` of {name:?}: how much the first judge that is called sees is set by `sampling.rate`; a share is of what the one \
             before saw"
        ));
    }
    Ok(())
}

fn check_ways(metric: &MetricSpec, called: &[&JudgeSpec]) -> Result<(), String> {
    let needs_called = |key: &str| format!("`{key}` means nothing here: no judge of the cascade is called");
    if metric.escalate && (called.is_empty() || metric.cascade.len() < 2) {
        return Err("`escalate` needs a judge that is called, and a cheaper one before it that can be in doubt".to_owned());
    }
    if metric.fallback.is_some() && called.is_empty() {
        return Err(needs_called("fallback"));
    }
    if metric.max_delay_hours > 0 && called.is_empty() {
        return Err(needs_called("max_delay_hours"));
    }
    if metric.max_delay_hours > DELAY_HOURS_MAX {
        return Err(format!("`max_delay_hours` = {}: {DELAY_HOURS_MAX} at the most", metric.max_delay_hours));
    }
    if let Some(reuse) = &metric.reuse {
        if called.is_empty() {
            return Err(needs_called("reuse"));
        }
        if !(reuse.audit > 0.0 && reuse.audit <= 1.0) {
            return Err(format!("`reuse.audit` = {}: use a number above 0, 1 at the most", reuse.audit));
        }
        if !(reuse.error_max > 0.0 && reuse.error_max < 1.0) {
            return Err(format!("`reuse.error_max` = {}: use a number between 0 and 1, such as 0.02", reuse.error_max));
        }
        if reuse.similarity.is_some_and(|similarity| !(similarity > 0.0 && similarity < 1.0)) {
            return Err("`reuse.similarity` must lie between 0 and 1, such as 0.98".to_owned());
        }
    }
    Ok(())
}
