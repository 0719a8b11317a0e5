//! `assize tenant create|list|show|set|budget|disable|enable|delete`: lays down what holds for tenants of a running server.

mod dry_run;
mod options;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use self::options::{Amounts, Lasting, Settings};
use super::remote::{Remote, segment};
use super::{Ending, light_runtime, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize tenant create acme --day-usd-max 5 --contact ops@acme.example --time-zone Europe/Berlin
  assize tenant set acme --sampling 0.01 --for 24h --dry-run    # what it would save, and how wide intervals would be
  assize tenant set acme --sampling 0.01 --for 24h
  assize tenant budget acme --day-usd-max 0.25
  assize tenant budget --platform --day-usd-max 500 --tenant-share-max 0.5
  assize tenant disable acme --reason 'sends what it should not'
  assize tenant list

Changes hold within a second, without a restart, and are in the audit log (GET /v1/audit). The tenant of a project of which nobody said
who pays is named like it; the first is called default. The key given by --key or ASSIZE_KEY needs the scope admin.")]
pub struct Tenant {
    #[command(subcommand)]
    command: TenantCommand,
}

#[derive(Debug, Subcommand)]
enum TenantCommand {
    /// Create a tenant; those of projects are there already
    #[command(after_help = "Example: assize tenant create acme --day-usd-max 5 --month-usd-max 100 --contact ops@acme.example")]
    Create {
        /// The tenant
        name: String,
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        answer: Asked,
    },
    /// List the tenants
    #[command(after_help = "Example: assize tenant list --json")]
    List {
        #[command(flatten)]
        answer: Asked,
    },
    /// Show a tenant: its projects, what holds for it, and when nothing was taken from it
    #[command(after_help = "Example: assize tenant show acme")]
    Show {
        /// The tenant
        name: String,
        #[command(flatten)]
        answer: Asked,
    },
    /// Change what holds for a tenant; what is not given stays, and none takes away
    #[command(after_help = "\
Examples:
  assize tenant set acme --sampling 0.01 --for 24h
  assize tenant set acme --sampling none --items-per-second-max 200
  assize tenant set acme --day-usd-max 0.25 --dry-run")]
    Set {
        /// The tenant
        name: String,
        #[command(flatten)]
        settings: Settings,
        /// The version that is to be changed, as `show` tells it
        #[arg(long, value_name = "N")]
        if_version: Option<u64>,
        /// Change nothing: show spend a day and the width of intervals before and after, by the last 7 days
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        answer: Asked,
    },
    /// Show or change the budget of a tenant, or of the platform
    #[command(after_help = "\
Examples:
  assize tenant budget acme
  assize tenant budget acme --day-usd-max 0.25 --month-usd-max none
  assize tenant budget --platform --day-usd-max 500 --tenant-share-max 0.5")]
    Budget {
        /// The tenant
        #[arg(required_unless_present = "platform", conflicts_with = "platform")]
        name: Option<String>,
        /// Of all tenants together
        #[arg(long)]
        platform: bool,
        #[command(flatten)]
        amounts: Amounts,
        /// The share, above 0 and at most 1, that one tenant may take of the platform's budget while others have demand
        #[arg(long, value_name = "SHARE", requires = "platform")]
        tenant_share_max: Option<f64>,
        #[command(flatten)]
        answer: Asked,
    },
    /// Take nothing from a tenant any more; its senders are told, and reports mark the gap
    #[command(after_help = "Example: assize tenant disable acme --reason 'unpaid' --for 7d")]
    Disable {
        /// The tenant
        name: String,
        /// What its senders are told
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// For how long, such as 24h; until it is enabled where not given
        #[arg(long = "for", value_name = "TIME")]
        lasting: Option<Lasting>,
        /// Change nothing: show what it would save, by the last 7 days
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        answer: Asked,
    },
    /// Take from a tenant again
    #[command(after_help = "Example: assize tenant enable acme")]
    Enable {
        /// The tenant
        name: String,
        #[command(flatten)]
        answer: Asked,
    },
    /// Delete a tenant for good: nothing more is taken from it or paid for it; what it did stays, and so does its name
    #[command(after_help = "Example: assize tenant delete acme")]
    Delete {
        /// The tenant
        name: String,
        #[command(flatten)]
        answer: Asked,
    },
}

/// Which server is asked, and how its answer is shown.
#[derive(Debug, Args)]
struct Asked {
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Tenant {
    pub fn run(self) -> Result<Ending, String> {
        light_runtime()?.block_on(self.command.run())
    }
}

impl TenantCommand {
    async fn run(self) -> Result<Ending, String> {
        match self {
            Self::Create { name, settings, answer } => {
                let mut body = settings.body()?;
                body["name"] = json!(name);
                answer.tell(Method::POST, "/v1/tenants", Some(body), None).await
            }
            Self::List { answer } => answer.list().await,
            Self::Show { name, answer } => answer.tell(Method::GET, &address(&name, ""), None, None).await,
            Self::Set { name, settings, if_version, dry_run, mut answer } => {
                let body = settings.body()?;
                if body.as_object().is_none_or(serde_json::Map::is_empty) {
                    return Err("nothing to change: give at least one of the options, see --help".to_owned());
                }
                if dry_run {
                    return dry_run::of_set(&mut answer.remote, &name, &body, answer.json).await;
                }
                answer.tell(Method::PATCH, &address(&name, ""), Some(body), if_version).await
            }
            Self::Budget { name, platform: _, amounts, tenant_share_max, answer } => {
                let mut body = amounts.body()?;
                if let Some(share) = tenant_share_max {
                    body["tenant_share_max"] = json!(share);
                }
                let is_change = body.as_object().is_some_and(|body| !body.is_empty());
                match name {
                    Some(name) if is_change => answer.tell(Method::PUT, &address(&name, "/budget"), Some(body), None).await,
                    Some(name) => answer.tell(Method::GET, &address(&name, ""), None, None).await,
                    None => answer.tell_platform(is_change.then_some(body)).await,
                }
            }
            Self::Disable { name, reason, lasting, dry_run, mut answer } => {
                if dry_run {
                    return dry_run::of_disable(&mut answer.remote, &name, answer.json).await;
                }
                let body = json!({"reason": reason, "until": lasting.map(|lasting| lasting.until())});
                answer.tell(Method::POST, &address(&name, "/disable"), Some(body), None).await
            }
            Self::Enable { name, answer } => answer.tell(Method::POST, &address(&name, "/enable"), None, None).await,
            Self::Delete { name, answer } => answer.tell(Method::DELETE, &address(&name, ""), None, None).await,
        }
    }
}

impl Asked {
    /// Asks for a tenant, and shows it.
    async fn tell(&self, method: Method, path: &str, body: Option<Value>, version: Option<u64>) -> Result<Ending, String> {
        let tenant = self.remote.ask_if(method, path, body, version).await?;
        for warning in tenant["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            say::note(format_args!("warning: {warning}"));
        }
        if self.json {
            say::json(&tenant)?;
        } else {
            say::line(&sheet(&tenant))?;
        }
        Ok(Ending::Done)
    }

    async fn tell_platform(&self, change: Option<Value>) -> Result<Ending, String> {
        let method = if change.is_some() { Method::PUT } else { Method::GET };
        let platform = self.remote.ask(method, "/v1/platform/budget", change).await?;
        if self.json {
            say::json(&platform)?;
        } else {
            say::line(&format!("{}; one tenant at most {} of it", budget(&platform), platform["tenant_share_max"]))?;
        }
        Ok(Ending::Done)
    }

    /// All tenants, page by page.
    async fn list(&self) -> Result<Ending, String> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let mut page =
                self.remote.ask(Method::GET, &format!("/v1/tenants?limit=1000&after={}", segment(&after)), None).await?;
            let next = page["next"].as_str().map(str::to_owned);
            if let Some(tenants) = page["tenants"].as_array_mut() {
                all.append(tenants);
            }
            match next {
                Some(next) => after = next,
                None => break,
            }
        }
        if self.json {
            say::json(&json!({"tenants": all}))?;
        } else {
            for tenant in &all {
                say::line(&row(tenant))?;
            }
        }
        Ok(Ending::Done)
    }
}

fn address(name: &str, rest: &str) -> String {
    format!("/v1/tenants/{}{rest}", segment(name))
}

/// A line of the listing.
fn row(tenant: &Value) -> String {
    let projects: Vec<&str> = tenant["projects"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let name = tenant["name"].as_str().unwrap_or_default();
    format!("{name}\t{}\t{}\t{}\t{}", state(tenant), budget(&tenant["budget"]), sampling(tenant), projects.join(","))
}

fn state(tenant: &Value) -> String {
    match (&tenant["deleted_at"], &tenant["ingesting"]) {
        (Value::String(at), _) => format!("deleted {at}"),
        (_, Value::Bool(false)) => "disabled".to_owned(),
        _ => "enabled".to_owned(),
    }
}

fn budget(budget: &Value) -> String {
    let amount = |key: &str, period: &str| budget[key].as_f64().map(|usd| format!("${usd} a {period}"));
    let limits: Vec<String> = [amount("day_usd_max", "day"), amount("month_usd_max", "month")].into_iter().flatten().collect();
    if limits.is_empty() { "no budget".to_owned() } else { limits.join(", ") }
}

fn sampling(tenant: &Value) -> String {
    let set = &tenant["sampling"];
    match (set["in_force"].as_bool(), set["until"].as_str()) {
        (Some(true), Some(until)) => format!("sampling {} until {until}", set["rate"]),
        (Some(true), None) => format!("sampling {}", set["rate"]),
        _ => "sampling by policy".to_owned(),
    }
}

/// A tenant in full.
fn sheet(tenant: &Value) -> String {
    let text = |key: &str| tenant[key].as_str().unwrap_or("-");
    let projects: Vec<&str> = tenant["projects"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut lines = vec![
        format!("tenant      {} (version {}, since {})", text("name"), tenant["version"], text("created_at")),
        format!("projects    {}", if projects.is_empty() { "none".to_owned() } else { projects.join(", ") }),
        format!("budget      {}", budget(&tenant["budget"])),
        format!("sampling    {}", sampling(tenant)),
        format!("state       {}", state(tenant)),
    ];
    if let (Value::Bool(false), Value::Object(disabled)) = (&tenant["ingesting"], &tenant["disabled"]) {
        let part = |key: &str| disabled.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let until = part("until").map_or_else(String::new, |until| format!(" until {until}"));
        let (since, reason) = (part("since").unwrap_or("?"), part("reason").unwrap_or("no reason given"));
        lines.push(format!("            since {since}{until}: {reason}"));
    }
    let limit = &tenant["items_per_second_max"];
    let limit = limit.as_u64().map_or_else(|| "as configured".to_owned(), |limit| format!("{limit} interactions a second"));
    lines.push(format!("rate limit  {limit}"));
    lines.push(format!("contact     {}", text("contact")));
    lines.push(format!("time zone   {}", text("time_zone")));
    for gap in tenant["gaps"].as_array().into_iter().flatten() {
        let part = |key: &str| gap[key].as_str().unwrap_or("now");
        lines.push(format!("gap         {} to {}: {}", part("since"), part("until"), part("reason")));
    }
    lines.join("\n")
}
