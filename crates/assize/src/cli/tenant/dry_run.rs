//! What a change would do to spend and to the width of intervals, by what the last 7 days have shown.

use assize_core::{Clock as _, SystemClock, Timestamp};
use assize_estimate::forecast::Observed;
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::super::remote::{Remote, segment};
use super::super::{Ending, say};
use super::address;

/// Days that are looked at.
const DAYS: f64 = 7.0;
/// Interactions whose probability is looked at.
const LAST: usize = 200;

/// What one metric of one project shows, and what it would show.
#[derive(Debug, Serialize)]
struct Row {
    project: String,
    metric: String,
    probability_before: f64,
    probability_after: f64,
    spend_usd_per_day_before: f64,
    /// Null where nothing was judged to learn a price from.
    spend_usd_per_day_after: Option<f64>,
    half_width_before: Option<f64>,
    /// Null where nothing would be judged.
    half_width_after: Option<f64>,
}

/// What a change would do.
#[derive(Debug, Serialize)]
struct Report {
    tenant: String,
    /// Days that this is the mean of.
    days: f64,
    metrics: Vec<Row>,
    spend_usd_per_day_before: f64,
    spend_usd_per_day_after: Option<f64>,
    notes: Vec<String>,
}

/// One metric as it stands: its observed sums and its cost over all days.
struct Seen {
    project: String,
    metric: String,
    observed: Observed,
    /// The probability with which the first judge that is called sees an interaction, by the last ones; `None` where there are none.
    first: Option<f64>,
}

impl Seen {
    /// The share that would be judged at this rate of the first judge: those after it see the same part of what it sees.
    fn judged_at(&self, rate: f64) -> f64 {
        let before = self.observed.probability();
        match self.first {
            Some(first) if before > 0.0 => (before * rate / first).min(1.0),
            _ => rate,
        }
    }
}

/// What would become of the probabilities.
enum Then {
    /// Nothing is taken.
    Nothing,
    /// One for all.
    Rate(f64),
    /// Each times this, as pacing does to make a day's budget last.
    Times(f64),
    /// They stay.
    Same,
}

/// What `tenant set` with this body would do.
pub async fn of_set(remote: &mut Remote, name: &str, body: &Value, as_json: bool) -> Result<Ending, String> {
    let tenant = remote.ask(Method::GET, &address(name, ""), None).await?;
    let (seen, days) = look(remote, &tenant).await?;
    let per_day = seen.iter().fold(0.0, |sum, one| sum + one.observed.cost) / days;
    let mut notes = Vec::new();
    let rate = body["sampling"]["rate"].as_f64();
    if body.get("sampling").is_some_and(Value::is_null) {
        notes.push("the rates of the projects' policies would count again: what they give is not in the last days".to_owned());
    }
    let factor = |spend: f64| match body["budget"]["day_usd_max"].as_f64() {
        Some(max) if spend > max && spend > 0.0 => Some(max / spend),
        _ => None,
    };
    let then = match rate {
        Some(rate) => Then::Rate(rate),
        None => factor(per_day).map_or(Then::Same, Then::Times),
    };
    let mut report = report(&tenant, seen, days, &then, notes);
    if let (Some(_), Some(after)) = (rate, report.spend_usd_per_day_after)
        && let Some(factor) = factor(after)
    {
        report
            .notes
            .push(format!("the day's budget lasts for {:.0} % of that: pacing would lower the rate further", factor * 100.0));
    }
    if matches!(then, Then::Times(_)) {
        report.notes.push("spend is above the day's budget: pacing would lower all probabilities so that it lasts".to_owned());
    }
    tell(&report, as_json)
}

/// What `tenant disable` would do.
pub async fn of_disable(remote: &mut Remote, name: &str, as_json: bool) -> Result<Ending, String> {
    let tenant = remote.ask(Method::GET, &address(name, ""), None).await?;
    let (seen, days) = look(remote, &tenant).await?;
    let notes = vec!["nothing would be taken: no rate speaks of that time, and every report marks the gap".to_owned()];
    tell(&report(&tenant, seen, days, &Then::Nothing, notes), as_json)
}

/// What the metrics of a tenant's projects have shown, and over how many days.
async fn look(remote: &mut Remote, tenant: &Value) -> Result<(Vec<Seen>, f64), String> {
    // Each question names its project.
    remote.project = None;
    let now = SystemClock.now();
    let created = tenant["created_at"].as_str().and_then(|at| Timestamp::parse(at).ok()).unwrap_or(now);
    let days = (now.since(created).as_secs_f64() / 86_400.0).clamp(1.0, DAYS);
    let mut seen = Vec::new();
    for project in tenant["projects"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let name = segment(project);
        let spend = remote.ask(Method::GET, &format!("/v1/spend?group_by=metric&project={name}"), None).await?;
        let last = remote.ask(Method::GET, &format!("/v1/interactions?limit={LAST}&project={name}"), None).await?;
        let metrics = remote.ask(Method::GET, &format!("/v1/projects/{name}/metrics"), None).await?;
        for metric in metrics["metrics"].as_array().into_iter().flatten().filter_map(|one| one["metric"].as_str()) {
            let path = format!("/v1/estimates?project={name}&metric={}", segment(metric));
            let estimates = remote.ask(Method::GET, &path, None).await?;
            let groups = spend["groups"].as_array().into_iter().flatten();
            let cost = groups.filter(|group| group["key"] == metric).filter_map(|group| group["cost_usd"].as_f64());
            // A sum of no numbers would be -0.
            let cost = cost.fold(0.0, |sum, cost| sum + cost);
            let first = first(&last, metric);
            let (project, metric) = (project.to_owned(), metric.to_owned());
            seen.push(Seen { project, metric, observed: observed(&estimates, cost), first });
        }
    }
    Ok((seen, days))
}

/// The mean probability of the last interactions that could be drawn at all.
fn first(last: &Value, metric: &str) -> Option<f64> {
    let metrics = last["interactions"].as_array().into_iter().flatten().flat_map(|one| one["metrics"].as_array());
    let of_metric = metrics.flatten().filter(|one| one["metric"] == metric);
    let probabilities: Vec<f64> =
        of_metric.filter_map(|one| one["probability"].as_f64()).filter(|probability| *probability > 0.0).collect();
    let count = probabilities.len();
    (count > 0).then(|| probabilities.iter().sum::<f64>() / count as f64)
}

/// The sums of all groups; the interval is that of the group, which is a version of the judge, that judged most.
fn observed(estimates: &Value, cost: f64) -> Observed {
    let groups = || estimates["groups"].as_array().into_iter().flatten();
    let sum = |key: &str| groups().filter_map(|group| group[key].as_u64()).fold(0, u64::saturating_add);
    let most = groups().max_by_key(|group| group["judged"].as_u64());
    let number = |key: &str| most.and_then(|group| group[key].as_f64());
    let rate = number("estimate").zip(number("low").zip(number("high"))).map(|(value, (low, high))| (value, (high - low) / 2.0));
    Observed { population: sum("population"), judged: sum("judged"), rate, level: number("level").unwrap_or(0.95), cost }
}

fn report(tenant: &Value, seen: Vec<Seen>, days: f64, then: &Then, notes: Vec<String>) -> Report {
    let rows: Vec<Row> = seen
        .into_iter()
        .map(|seen| {
            let at_rate = |rate| seen.judged_at(rate);
            let observed = seen.observed;
            let before = observed.probability();
            let after = match then {
                Then::Nothing => 0.0,
                Then::Rate(rate) => at_rate(*rate),
                Then::Times(factor) => before * factor,
                Then::Same => before,
            };
            let forecast = observed.at(after);
            Row {
                project: seen.project,
                metric: seen.metric,
                probability_before: before,
                probability_after: after,
                spend_usd_per_day_before: observed.cost / days,
                spend_usd_per_day_after: forecast.cost.map(|cost| cost / days),
                half_width_before: observed.rate.map(|(_, half)| half),
                half_width_after: if matches!(then, Then::Same) {
                    observed.rate.map(|(_, half)| half)
                } else {
                    forecast.half_width
                },
            }
        })
        .collect();
    Report {
        tenant: tenant["name"].as_str().unwrap_or_default().to_owned(),
        days,
        spend_usd_per_day_before: rows.iter().fold(0.0, |sum, row| sum + row.spend_usd_per_day_before),
        // A metric without a price makes the sum unknown.
        spend_usd_per_day_after: rows.iter().try_fold(0.0, |sum, row| row.spend_usd_per_day_after.map(|spend| sum + spend)),
        metrics: rows,
        notes,
    }
}

fn tell(report: &Report, as_json: bool) -> Result<Ending, String> {
    for note in &report.notes {
        say::note(format_args!("note: {note}"));
    }
    if as_json {
        say::json(report)?;
        return Ok(Ending::Done);
    }
    let usd = |amount: Option<f64>| amount.map_or_else(|| "not known".to_owned(), |usd| format!("${usd:.4}"));
    let half = |half: Option<f64>| half.map_or_else(|| "none".to_owned(), |half| format!("+-{half:.4}"));
    say::line("project\tmetric\tjudged\tspend a day\tinterval")?;
    for row in &report.metrics {
        let judged = format!("{:.4} -> {:.4}", row.probability_before, row.probability_after);
        let spend = format!("{} -> {}", usd(Some(row.spend_usd_per_day_before)), usd(row.spend_usd_per_day_after));
        let width = format!("{} -> {}", half(row.half_width_before), half(row.half_width_after));
        say::line(&format!("{}\t{}\t{judged}\t{spend}\t{width}", row.project, row.metric))?;
    }
    let (before, after) = (usd(Some(report.spend_usd_per_day_before)), usd(report.spend_usd_per_day_after));
    say::line(&format!(
        "tenant {}: {before} -> {after} a day, by the last {:.1} days; nothing was changed",
        report.tenant, report.days
    ))?;
    Ok(Ending::Done)
}
