//! Asks a running server what it has seen.

use reqwest::Method;
use serde_json::Value;

use assize_core::{NanoUsd, Timestamp};

use super::seen::{Row, Seen, Wanted, moments, strata};
use crate::cli::remote::{Remote, segment};

const PAGE: usize = 200;
/// Rows come with their texts: fewer than from a directory.
const ROWS_MAX: usize = 2_000;

/// What the server says of the key's project, or of the one given.
pub async fn ask(remote: &Remote, wanted: &Wanted) -> Result<Seen, String> {
    let query = format!("metric={}&from={}&to={}", segment(wanted.metric.as_str()), segment(&wanted.from), segment(&wanted.to));
    let all = remote.ask(Method::GET, &format!("/v1/estimates?{query}&level={}", wanted.level), None).await?;
    let hours = remote.ask(Method::GET, &format!("/v1/estimates?{query}&group_by=hour"), None).await?;
    let nothing = || {
        format!(
            "the server has no verdict on {} since {}: look further back by --days, or state --traffic, --rate and --rho",
            wanted.metric, wanted.from
        )
    };
    let judged = |group: &Value| group["judged"].as_u64().unwrap_or_default();
    let groups = |answer: &Value| answer["groups"].as_array().cloned().unwrap_or_default();
    let hours = groups(&hours);
    let last =
        hours.iter().filter(|hour| judged(hour) > 0).max_by_key(|hour| hour["key"].as_str().unwrap_or_default().to_owned());
    let version = last.and_then(|hour| hour["judge_version"].as_str()).ok_or_else(nothing)?;
    let group = groups(&all).into_iter().find(|group| group["judge_version"] == version).ok_or_else(nothing)?;
    let number = |name: &str| {
        group[name].as_f64().ok_or_else(|| format!("the server's answer has no {name}: is it an Assize of this version?"))
    };
    if group["calls"].as_u64() == Some(0) {
        return Err(format!("{} has cost no call: what free judges decide alone needs no plan", wanted.metric));
    }
    let times = hours
        .iter()
        .filter(|hour| hour["judge_version"] == version)
        .filter_map(|hour| Timestamp::parse(hour["key"].as_str()?).ok());
    let span = times.clone().max().zip(times.min()).map_or(0, |(last, first)| last.hour().0 - first.hour().0) + 1;
    let rows = rows(remote, wanted, version).await?;
    let (sums, squares) = moments(&rows);
    let count = judged(&group);
    let cost =
        group["cost_usd"].as_f64().filter(|usd| *usd > 0.0 && group["cost_unknown_calls"].as_u64() == Some(0) && count > 0);
    Ok(Seen {
        place: "the running server".to_owned(),
        hours: span as f64,
        population: group["population"].as_u64().unwrap_or_default(),
        judged: count,
        rate: number("estimate")?,
        low: number("low")?,
        high: number("high")?,
        moments: sums,
        effective: if squares > 0.0 { sums[0] * sums[0] / squares } else { 0.0 },
        strata: strata(&rows),
        cost_per_verdict: cost.map(|usd| NanoUsd((usd * 1e9 / count as f64).ceil() as u64)),
    })
}

/// The newest judged interactions.
async fn rows(remote: &Remote, wanted: &Wanted, version: &str) -> Result<Vec<Row>, String> {
    let metric = wanted.metric.as_str();
    let path = format!("/v1/interactions?metric={}&outcome=judged&limit={PAGE}&from={}", segment(metric), segment(&wanted.from));
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = remote.ask(Method::GET, &format!("{path}{cursor}"), None).await?;
        let items = page["interactions"].as_array().into_iter().flatten();
        let metrics = items.flat_map(|item| item["metrics"].as_array().into_iter().flatten());
        rows.extend(metrics.filter(|one| one["metric"] == metric && one["judge_version"] == version).filter_map(row));
        match page["next"].as_str() {
            Some(next) if rows.len() < ROWS_MAX => cursor = format!("&cursor={}", segment(next)),
            _ => return Ok(rows),
        }
    }
}

fn row(metric: &Value) -> Option<Row> {
    let mut draws = metric["draws"].as_array().into_iter().flatten();
    let last = draws.rfind(|draw| draw["drawn"] == true).and_then(|draw| draw["probability"].as_f64());
    let probability = last.or_else(|| metric["probability"].as_f64()).filter(|probability| *probability > 0.0)?;
    let free = metric["free_scores"].as_array().and_then(|scores| scores.last()).and_then(|free| free["score"].as_f64());
    Some(Row { probability, free, reference: metric["score"].as_f64()? })
}
