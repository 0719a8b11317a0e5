//! `assize spend`: what judging costs, asked of a running server.

use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::remote::{Remote, segment};
use super::{Ending, runtime, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize spend
  assize spend --by judge --from 2026-11-01T00:00:00Z
  assize spend --by tenant --all
  assize spend --tenant acme --by day --csv > acme.csv
  assize spend --savings
  assize spend --json | jq .today.tenant.day.projected_usd

The key given by --key or ASSIZE_KEY sees its own project and the budget of the tenant that pays for it; one with the scope
admin sees all.")]
pub struct Spend {
    #[command(flatten)]
    remote: Remote,
    /// By what it is split
    #[arg(long, value_name = "WHAT", default_value = "metric",
        value_parser = ["tenant", "project", "metric", "judge", "tier", "model", "hour", "day", "total"])]
    by: String,
    /// Calls that ended at or after this time, to the hour, RFC 3339; a week ago where not given
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Calls that ended before this time
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// All projects of this tenant
    #[arg(long, value_name = "NAME", conflicts_with = "project")]
    tenant: Option<String>,
    /// All projects of all tenants
    #[arg(long, conflicts_with_all = ["project", "tenant"])]
    all: bool,
    /// Show what judging everything would have cost, and what was saved by what
    #[arg(long)]
    savings: bool,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    /// Print JSON: today and the table, or the savings
    #[arg(long)]
    json: bool,
}

impl Spend {
    pub fn run(self) -> Result<Ending, String> {
        let runtime = runtime()?;
        let (path, by) = if self.savings { ("/v1/spend/savings", "") } else { ("/v1/spend", self.by.as_str()) };
        let by = if by == "total" { "" } else { by };
        let table = self.query(path, &[("group_by", by)]);
        if self.csv {
            let text = runtime.block_on(self.remote.text(&format!("{table}{}format=csv", joint(&table))))?;
            say::line(text.trim_end())?;
            return Ok(Ending::Done);
        }
        let body = runtime.block_on(self.remote.ask(Method::GET, &table, None))?;
        if self.savings {
            match self.json {
                true => say::json(&body)?,
                false => savings(&body).iter().try_for_each(|line| say::line(line))?,
            }
            return Ok(Ending::Done);
        }
        let tenant = self.tenant.as_deref().map(|name| format!("?tenant={}", segment(name))).unwrap_or_default();
        let today = runtime.block_on(self.remote.ask(Method::GET, &format!("/v1/spend/today{tenant}"), None))?;
        if self.json {
            say::json(&serde_json::json!({ "today": today, "spend": body }))?;
            return Ok(Ending::Done);
        }
        let lines = standing(&today, self.all).into_iter().chain(std::iter::once(String::new())).chain(rows(&body, &self.by));
        lines.into_iter().try_for_each(|line| say::line(&line))?;
        Ok(Ending::Done)
    }

    /// The path with what was asked for.
    fn query(&self, path: &str, more: &[(&str, &str)]) -> String {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let (from, to, tenant) = (given(&self.from), given(&self.to), given(&self.tenant));
        let all = if self.all { "true" } else { "" };
        let mut query = path.to_owned();
        for (name, value) in [("from", from.as_str()), ("to", &to), ("tenant", &tenant), ("all", all)].iter().chain(more) {
            if !value.is_empty() {
                query.push_str(&format!("{}{name}={}", joint(&query), segment(value)));
            }
        }
        query
    }
}

fn joint(path: &str) -> char {
    if path.contains('?') { '&' } else { '?' }
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Dollars to the cent, and finer where there is less than one.
fn dollars(value: &Value) -> String {
    match value.as_f64() {
        None => "-".to_owned(),
        Some(usd) if usd == 0.0 || usd.abs() >= 1.0 => format!("${usd:.2}"),
        Some(usd) => format!("${usd:.4}"),
    }
    .replace("$-", "-$")
}

/// Today's budget in a few lines.
fn standing(body: &Value, all: bool) -> Vec<String> {
    let tenant = &body["tenant"];
    let mut lines = Vec::new();
    match body["platform"].as_object() {
        Some(_) if all => lines.extend(periods("all tenants", &body["platform"])),
        _ => lines.extend(periods(&format!("tenant {}", text(tenant, "name")), tenant)),
    }
    if let Some(pace) = tenant["pace"].as_f64().filter(|pace| *pace < 0.999 && !all) {
        lines.push(format!("  pacing: {:.1} % of the usual rate is drawn, so that the budget lasts", pace * 100.0));
    }
    for one in tenant["degradations"].as_array().into_iter().flatten().filter(|_| !all) {
        let (message, since, last) = (text(one, "message"), text(one, "since"), text(one, "last"));
        lines.push(format!("  {message}: {} times, {since} to {last}", one["count"]));
    }
    lines
}

fn periods(whose: &str, budgets: &Value) -> Vec<String> {
    let zone = text(budgets, "time_zone");
    let line = |period: &Value| {
        let mut line = format!("{} ({zone})  {}", text(period, "period"), dollars(&period["committed_usd"]));
        if !period["budget_usd"].is_null() {
            line.push_str(&format!(" of {}", dollars(&period["budget_usd"])));
        }
        if let Some(share) = period["share"].as_f64() {
            line.push_str(&format!(", {:.1} %", share * 100.0));
        }
        if !period["projected_usd"].is_null() {
            line.push_str(&format!(", on course for {}", dollars(&period["projected_usd"])));
        }
        if let Some(at) = period["used_up_at"].as_str() {
            line.push_str(&format!(", used up at {at}"));
        }
        line
    };
    vec![format!("{whose}"), format!("  {}", line(&budgets["day"])), format!("  {}", line(&budgets["month"]))]
}

/// The groups as a table, the dearest first unless they are times, the total last.
fn rows(body: &Value, by: &str) -> Vec<String> {
    let mut groups: Vec<&Value> = body["groups"].as_array().into_iter().flatten().filter(|_| by != "total").collect();
    if !matches!(by, "hour" | "day") {
        let cost = |group: &Value| group["cost_usd"].as_f64().unwrap_or(f64::MAX);
        groups.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
    }
    let row = |group: &Value, key: String| {
        [
            key,
            dollars(&group["cost_usd"]),
            dollars(&group["cost_per_1000_usd"]),
            group["calls"].to_string(),
            group["failed_calls"].to_string(),
            group["interactions"].to_string(),
        ]
    };
    let head = [if by == "total" { "" } else { by }, "cost", "per 1,000", "calls", "failed", "interactions"].map(str::to_owned);
    let mut table = vec![head];
    table.extend(groups.into_iter().map(|group| row(group, printable(text(group, "key")))));
    table.push(row(&body["total"], "total".to_owned()));
    aligned(&table)
}

/// The way down from everything to what was paid.
fn savings(body: &Value) -> Vec<String> {
    let savings = &body["savings"];
    if savings.is_null() {
        return vec![
            "no reference judge has answered in this time: nobody knows what judging everything would have cost".to_owned(),
        ];
    }
    let mut table =
        vec![["everything".to_owned(), dollars(&savings["everything_usd"]), format!("{} questions", savings["questions"])]];
    for step in savings["steps"].as_array().into_iter().flatten() {
        let amount = -step["saved_usd"].as_f64().unwrap_or_default();
        if amount != 0.0 {
            let questions = step["questions"].as_u64().map(|count| format!("{count} questions")).unwrap_or_default();
            table.push([text(step, "step").replace('_', " "), dollars(&Value::from(amount)), questions]);
        }
    }
    table.push(["paid".to_owned(), dollars(&savings["paid_usd"]), format!("{} saved", dollars(&savings["saved_usd"]))]);
    let mut lines = aligned(&table);
    lines.push(String::new());
    lines.push(format!("{} Behind it: {} answers.", text(body, "assumption"), savings["answers"]));
    lines
}

/// Names come from elsewhere: what would move the cursor of a terminal is left out.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(60).collect()
}

/// The first column to the left, all others to the right.
fn aligned<const N: usize>(table: &[[String; N]]) -> Vec<String> {
    let width =
        |column: usize| table.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, &width))| if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_is_aligned_and_its_total_stands_last() {
        let group = |key: &str, usd: f64| json!({"key": key, "cost_usd": usd, "cost_per_1000_usd": usd * 10.0, "calls": 3, "failed_calls": 0, "interactions": 100});
        let body = json!({"groups": [group("refusal", 0.5), group("evil\u{1b}[2J", 12.0)], "total": group("total", 12.5)});
        assert_eq!(
            rows(&body, "metric"),
            [
                "metric       cost  per 1,000  calls  failed  interactions",
                "evil\u{fffd}[2J   $12.00    $120.00      3       0           100",
                "refusal   $0.5000      $5.00      3       0           100",
                "total      $12.50    $125.00      3       0           100",
            ]
        );
        assert_eq!(rows(&body, "total").len(), 2);
    }

    #[test]
    fn todays_budget_is_said_in_a_few_lines() {
        let period = |period: &str, projected: Value| json!({"period": period, "committed_usd": 30.25, "budget_usd": 50.0, "share": 0.605, "projected_usd": projected, "used_up_at": "2026-11-24T19:40:00.000Z"});
        let body = json!({"platform": null, "tenant": {"name": "acme", "time_zone": "UTC", "day": period("2026-11-24", json!(61.0)),
            "month": period("2026-11", Value::Null), "pace": 0.25, "degradations": []}});
        let lines = standing(&body, false);
        assert_eq!(lines[0], "tenant acme");
        assert_eq!(
            lines[1],
            "  2026-11-24 (UTC)  $30.25 of $50.00, 60.5 %, on course for $61.00, used up at 2026-11-24T19:40:00.000Z"
        );
        assert!(lines[3].contains("25.0 %"), "{lines:?}");
    }
}
