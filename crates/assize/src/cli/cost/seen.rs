//! What traffic was: read from a running server, or from the directory of one that does not run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use assize_core::cost::{Share, TOKEN_PARTS};
use assize_core::results::{Spend, SpendBy};
use assize_core::{Clock as _, NanoUsd, Outcome, ProjectName, SystemClock, Timestamp};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use crate::cli::remote::{Remote, segment};

/// A month is thirty days, as the specification's figures are round.
const MONTH_SECONDS: u128 = 30 * 86_400;
const HOUR: Duration = Duration::from_secs(3_600);

/// Figures of traffic that was judged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Seen {
    pub from: String,
    pub to: String,
    /// Evaluations that judging everything would have taken: interactions times the metrics that are paid for.
    pub evaluations: u64,
    /// The same in a month of thirty days at this pace.
    pub monthly: u64,
    /// Questions that models were asked.
    pub questions: u64,
    /// Input tokens of a question, in thousandths.
    #[serde(skip)]
    pub input_parts: u64,
    /// Output tokens of a question, in thousandths.
    #[serde(skip)]
    pub output_parts: u64,
    /// The share that was drawn.
    pub sample: Share,
    /// The share of verdicts that were reused.
    pub cache_hit: Share,
    /// The share of input tokens from the provider's prompt cache.
    pub prompt_cached: Share,
    /// The model on which most was spent.
    pub model: Option<String>,
    /// Models that were asked.
    pub models: usize,
    /// What the calls cost, as far as it is known.
    #[serde(serialize_with = "as_usd", rename = "spent_usd")]
    pub spent: NanoUsd,
    /// Calls whose cost is not known.
    pub cost_unknown_calls: u64,
}

fn as_usd<S: serde::Serializer>(amount: &NanoUsd, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(amount.to_usd())
}

/// How many evaluations of a metric ended one way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ended {
    metric: String,
    outcome: String,
    count: u64,
}

/// What was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Read {
    by_metric: BTreeMap<String, Spend>,
    by_model: BTreeMap<String, Spend>,
    by_hour: BTreeMap<String, Spend>,
    ended: Vec<Ended>,
}

/// Looks `days` back.
pub async fn look(directory: Option<&Path>, remote: &Remote, days: u32) -> Result<Seen, String> {
    let to = SystemClock.now();
    let from = to.minus(Duration::from_secs(u64::from(days) * 86_400));
    let read = match directory {
        Some(directory) => of_directory(directory, remote.project.as_deref(), from, to).await?,
        None => of_server(remote, from, to).await?,
    };
    seen(&read, from, to)
}

async fn of_directory(directory: &Path, project: Option<&str>, from: Timestamp, to: Timestamp) -> Result<Read, String> {
    let fail = |error: &dyn std::fmt::Display| {
        format!(
            "{}: {error}; of a server that runs ask without a directory: --from-data --url URL --key KEY",
            directory.display()
        )
    };
    if !directory.join("results.db").is_file() {
        return Err(fail(&"holds no results"));
    }
    let project = ProjectName::new(project.unwrap_or("default")).map_err(|error| error.to_string())?;
    let results = assize_store::results::open(&format!("sqlite:{}", directory.display())).await.map_err(|error| fail(&error))?;
    let spend = |by| {
        let (results, project) = (&results, &project);
        async move { results.spend(project, from, to, by).await.map_err(|error| error.to_string()) }
    };
    let outcomes = results.outcomes(&project, from, to).await.map_err(|error| error.to_string())?;
    let ended = outcomes.counts.into_iter().map(|count| Ended {
        metric: count.metric.to_string(),
        outcome: count.outcome.map_or("pending", Outcome::as_str).to_owned(),
        count: count.count,
    });
    Ok(Read {
        by_metric: spend(SpendBy::Metric).await?,
        by_model: spend(SpendBy::Model).await?,
        by_hour: spend(SpendBy::Hour).await?,
        ended: ended.collect(),
    })
}

async fn of_server(remote: &Remote, from: Timestamp, to: Timestamp) -> Result<Read, String> {
    let range = format!("from={}&to={}", segment(&from.to_rfc3339()), segment(&to.to_rfc3339()));
    let spend = |by: &'static str| {
        let path = format!("/v1/spend?{range}&group_by={by}");
        async move { remote.ask(Method::GET, &path, None).await.map(|answer| groups(&answer)) }
    };
    let outcomes = remote.ask(Method::GET, &format!("/v1/outcomes?{range}"), None).await?;
    let ended = outcomes["outcomes"].as_array().into_iter().flatten().map(|ended| Ended {
        metric: ended["metric"].as_str().unwrap_or_default().to_owned(),
        outcome: ended["outcome"].as_str().unwrap_or_default().to_owned(),
        count: ended["count"].as_u64().unwrap_or_default(),
    });
    Ok(Read {
        by_metric: spend("metric").await?,
        by_model: spend("model").await?,
        by_hour: spend("hour").await?,
        ended: ended.collect(),
    })
}

fn groups(answer: &Value) -> BTreeMap<String, Spend> {
    let group = |group: &Value| {
        let count = |key: &str| group[key].as_u64().unwrap_or_default();
        let spend = Spend {
            calls: count("calls"),
            questions: count("questions"),
            failed: count("failed_calls"),
            cost_unknown: count("cost_unknown_calls"),
            cost: NanoUsd((group["cost_usd"].as_f64().unwrap_or_default().max(0.0) * 1e9).round() as u64),
            input_tokens: count("input_tokens"),
            cached_input_tokens: count("cached_input_tokens"),
            cache_write_tokens: count("cache_write_tokens"),
            output_tokens: count("output_tokens"),
            reused: count("reused"),
            ..Spend::default()
        };
        (group["key"].as_str().unwrap_or_default().to_owned(), spend)
    };
    answer["groups"].as_array().into_iter().flatten().map(group).collect()
}

fn seen(read: &Read, from: Timestamp, to: Timestamp) -> Result<Seen, String> {
    let mut total = Spend::default();
    read.by_metric.values().for_each(|spend| total.add(spend));
    if total.questions == 0 || total.input_tokens == 0 {
        let (from, to) = (from.to_rfc3339(), to.to_rfc3339());
        return Err(format!(
            "no model was asked anything between {from} and {to}: look further back with --days, or give the figures"
        ));
    }
    let paid: BTreeSet<&str> = read.by_metric.keys().map(String::as_str).collect();
    let of_paid = |ended: &&Ended| paid.contains(ended.metric.as_str()) && ended.outcome != Outcome::NoContent.as_str();
    let count = |is: &dyn Fn(&&Ended) -> bool| read.ended.iter().filter(of_paid).filter(is).map(|ended| ended.count).sum::<u64>();
    let evaluations = count(&|_| true);
    let left = count(&|ended| ended.outcome == Outcome::NotSampled.as_str());
    // Traffic may have begun within the range: the pace is that since its first hour.
    let first = read.by_hour.keys().filter_map(|hour| Timestamp::parse(hour).ok()).min().unwrap_or(from).max(from);
    let seconds = u128::from(to.since(first).max(HOUR).as_secs());
    let monthly = u128::from(evaluations) * MONTH_SECONDS / seconds;
    let parts = |tokens: u64| {
        let parts = (u128::from(tokens) * u128::from(TOKEN_PARTS)).div_ceil(u128::from(total.questions));
        u64::try_from(parts).unwrap_or(u64::MAX)
    };
    let most = read.by_model.iter().filter(|(model, _)| !model.is_empty()).max_by_key(|(_, spend)| (spend.cost, spend.questions));
    Ok(Seen {
        from: first.to_rfc3339(),
        to: to.to_rfc3339(),
        evaluations,
        monthly: u64::try_from(monthly).unwrap_or(u64::MAX),
        questions: total.questions,
        input_parts: parts(total.input_tokens),
        output_parts: parts(total.output_tokens),
        sample: Share::of_counts(evaluations.saturating_sub(left), evaluations),
        cache_hit: Share::of_counts(total.reused, total.reused.saturating_add(total.questions)),
        prompt_cached: Share::of_counts(total.cached_input_tokens, total.input_tokens),
        model: most.map(|(model, _)| model.clone()),
        models: read.by_model.len(),
        spent: total.cost,
        cost_unknown_calls: total.cost_unknown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(questions: u64, cost: u64) -> Spend {
        Spend {
            calls: questions,
            questions,
            cost: NanoUsd(cost),
            input_tokens: questions * 800,
            cached_input_tokens: questions * 200,
            output_tokens: questions * 40 + 1,
            reused: questions,
            ..Spend::default()
        }
    }

    fn ended(metric: &str, outcome: &str, count: u64) -> Ended {
        Ended { metric: metric.to_owned(), outcome: outcome.to_owned(), count }
    }

    #[test]
    fn a_month_follows_from_what_was_seen() {
        let read = Read {
            by_metric: BTreeMap::from([("a".to_owned(), spend(100, 5_000))]),
            by_model: BTreeMap::from([("cheap".to_owned(), spend(90, 1_000)), ("dear".to_owned(), spend(10, 4_000))]),
            by_hour: BTreeMap::from([("2026-11-21T00:00:00Z".to_owned(), spend(100, 5_000))]),
            // Nobody is paid for b.
            ended: vec![
                ended("a", "not_sampled", 900),
                ended("a", "judged", 100),
                ended("a", "no_content", 7),
                ended("b", "judged", 50),
            ],
        };
        let to = Timestamp::parse("2026-11-24T00:00:00Z").unwrap();
        let seen = seen(&read, to.minus(Duration::from_secs(30 * 86_400)), to).unwrap();
        assert_eq!((seen.evaluations, seen.monthly), (1_000, 10_000));
        assert_eq!((seen.input_parts, seen.output_parts), (800_000, 40_010));
        assert_eq!(seen.sample.to_string(), "10 %");
        assert_eq!(seen.cache_hit.to_string(), "50 %");
        assert_eq!(seen.prompt_cached.to_string(), "25 %");
        assert_eq!((seen.model.as_deref(), seen.spent), (Some("dear"), NanoUsd(5_000)));
    }

    #[test]
    fn nothing_seen_is_said() {
        let to = Timestamp::parse("2026-11-24T00:00:00Z").unwrap();
        assert!(seen(&Read::default(), to.minus(HOUR), to).unwrap_err().contains("no model was asked"));
    }

    #[test]
    fn a_servers_answer_is_read() {
        let answer =
            serde_json::json!({"groups": [{"key": "m", "calls": 2, "questions": 3, "cost_usd": 0.00575, "input_tokens": 9}]});
        let groups = groups(&answer);
        assert_eq!((groups["m"].questions, groups["m"].cost, groups["m"].input_tokens), (3, NanoUsd(5_750_000), 9));
    }
}
