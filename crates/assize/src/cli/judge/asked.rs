//! Which judge is asked which metric's question: the configuration cut down to that one judge, which sees everything.

use assize_core::{MetricName, SamplingPolicy};

use crate::config::settings::{CascadeEntry, CascadeTier, MetricSpec, Settings};
use crate::config::{ConfigError, PolicySpec};

/// One judge and one question.
#[derive(Debug)]
pub struct Asked {
    /// The judge as named in a cascade.
    pub judge: String,
    pub metric: MetricName,
    /// A policy of this metric alone, whose only judge is this one.
    pub spec: PolicySpec,
}

/// The judge of this name, asked the question of `metric`; without one, of the metric that it stands in.
///
/// # Errors
/// A judge or metric that is not configured, with those that are; several metrics to choose from; a configuration that is wrong.
pub fn asked(settings: &Settings, judge: &str, metric: Option<&str>) -> Result<Asked, ConfigError> {
    let whole = PolicySpec::of(settings)?;
    let entry = entry(settings, judge)?;
    let metric = metric_of(settings, &entry, judge, metric)?;
    let question = whole.metrics.iter().find(|asked| asked.name == metric.name).and_then(|asked| asked.question.clone());
    let mut alone = MetricSpec {
        cascade: vec![CascadeTier { judge: entry, share: 1.0 }],
        sampling: None,
        escalate: false,
        fallback: None,
        reuse: None,
        max_delay_hours: 0,
        ..metric.clone()
    };
    if let Some(question) = &question {
        // What the metric's judges are asked may be the word of one that is left out here.
        alone.question.get_or_insert_with(|| question.text.clone());
    }
    let mut only = Settings { metric: vec![alone], ..settings.clone() };
    only.sampling.0 = SamplingPolicy::uniform(1.0);
    let mut spec = PolicySpec::of(&only)?;
    if let (Some(question), Some(asked)) = (question, spec.metrics.first_mut())
        && asked.question.is_some()
    {
        // To the letter, so that it is the judge version that production asks.
        asked.question = Some(question);
    }
    Ok(Asked { judge: judge.to_owned(), metric: metric.name.clone(), spec })
}

fn entry(settings: &Settings, judge: &str) -> Result<CascadeEntry, ConfigError> {
    let entry = CascadeEntry::try_from(judge.to_owned()).map_err(|error| ConfigError::new(error.to_string()))?;
    match &entry {
        CascadeEntry::Judge(name) if !settings.judge.iter().any(|spec| &spec.name == name) => {
            let names = listed(settings.judge.iter().map(|spec| spec.name.as_str()));
            Err(ConfigError::new(format!(
                "there is no judge {judge:?}: the configuration has {names}; built-in rules are builtin:METRIC"
            )))
        }
        _ => Ok(entry),
    }
}

fn metric_of<'s>(
    settings: &'s Settings,
    entry: &CascadeEntry,
    judge: &str,
    wanted: Option<&str>,
) -> Result<&'s MetricSpec, ConfigError> {
    let names = || listed(settings.metric.iter().map(|metric| metric.name.as_str()));
    if let Some(wanted) = wanted {
        let found = settings.metric.iter().find(|metric| metric.name.as_str() == wanted);
        return found
            .ok_or_else(|| ConfigError::new(format!("there is no metric {wanted:?}: the configuration has {}", names())));
    }
    let stands_in = |metric: &&MetricSpec| {
        let is_fallback = matches!(entry, CascadeEntry::Judge(name) if metric.fallback.as_ref() == Some(name));
        is_fallback || metric.cascade.iter().any(|tier| &tier.judge == entry)
    };
    let of_judge: Vec<&MetricSpec> = settings.metric.iter().filter(stands_in).collect();
    match (of_judge.as_slice(), settings.metric.as_slice()) {
        ([one], _) => Ok(*one),
        ([], [one]) => Ok(one),
        ([], _) => Err(ConfigError::new(format!(
            "the judge {judge:?} stands in no metric: say with --metric whose question, of {}",
            names()
        ))),
        (several, _) => {
            let names = listed(several.iter().map(|metric| metric.name.as_str()));
            Err(ConfigError::new(format!("the judge {judge:?} stands in several metrics: say with --metric which, of {names}")))
        }
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    const CONFIG: &str = r#"
[[provider]]
name = "openai"
kind = "openai"
base_url = "http://127.0.0.1:1/v1"
[[judge]]
name = "words"
kind = "rules"
any_of = ["sorry"]
[[judge]]
name = "small"
kind = "chat"
provider = "openai"
model = "gpt-4o-mini"
question = "Is it rude?"
[[judge]]
name = "large"
kind = "chat"
provider = "openai"
model = "gpt-4o"
[[metric]]
name = "rude"
cascade = ["words", "small", { judge = "large", share = 0.5 }]
escalate = true
[[metric]]
name = "refusal"
cascade = ["builtin:refusal", "large"]
"#;

    fn of(judge: &str, metric: Option<&str>) -> Result<Asked, String> {
        asked(&load::parse(CONFIG).unwrap(), judge, metric).map_err(|error| error.message)
    }

    #[test]
    fn one_judge_is_left_and_asked_what_the_metric_asks() {
        let asked = of("large", Some("rude")).unwrap();
        let metric = &asked.spec.metrics[0];
        assert_eq!((asked.spec.metrics.len(), metric.cascade.len(), metric.escalate), (1, 1, false));
        assert_eq!(metric.question.as_ref().unwrap().text, "Is it rude?", "the question of the judge that is left out");
        assert_eq!((asked.spec.sampling.rate, asked.spec.judges.len()), (1.0, 1));
        // The built-in question, rubric and all.
        let whole = PolicySpec::of(&load::parse(CONFIG).unwrap()).unwrap();
        assert_eq!(of("large", Some("refusal")).unwrap().spec.metrics[0].question, whole.metrics[1].question);
        assert_eq!(of("words", None).unwrap().metric.as_str(), "rude");
        assert_eq!(of("builtin:refusal", None).unwrap().metric.as_str(), "refusal");
        assert!(of("words", None).unwrap().spec.metrics[0].question.is_none());
    }

    #[test]
    fn names_what_there_is() {
        assert!(of("huge", None).unwrap_err().contains("words, small, large"));
        assert!(of("large", None).unwrap_err().contains("rude, refusal"));
        assert!(of("large", Some("tone")).unwrap_err().contains("rude, refusal"));
        assert!(of("builtin:toxicity", None).unwrap_err().contains("stands in no metric"));
        assert!(of("builtin:nothing", Some("rude")).unwrap_err().contains("no built-in rules"));
        assert!(of("a b", None).is_err());
    }
}
