//! `assize plan`: what a rate will cost, before it is paid for.

mod amount;
mod basis;
mod directory;
mod picture;
mod report;
mod seen;
mod server;
mod sketch;
mod text;

use std::path::{Path, PathBuf};
use std::time::Duration;

use assize_core::{Clock, MetricName, ProjectName, SystemClock, TokenUsage};
use assize_estimate::Estimand;
use clap::{ArgGroup, Args, ValueEnum};

use self::amount::{Amount, share};
use self::basis::{Basis, Stated};
use self::report::{Goal, report};
use self::seen::{Seen, Wanted};
use super::remote::Remote;
use super::{Ending, light_runtime, say};

#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("goal").required(true).args(["half_width", "budget_usd"]),
    after_help = "\
Examples:
  assize plan --metric refusal --half-width 0.01                          # from what the running server has seen (ASSIZE_KEY)
  assize plan --metric refusal --budget-usd 200/month --data assize-data  # from the data of a stopped one
  assize plan --half-width 1% --traffic 10M/month --rate 5% --rho 0.7     # from assumptions alone
  assize plan --half-width 1% --traffic 10M/month --rate 5% --rho 0.7 --cheap-rho 0.8  # is gpt-4o-mini worth it?

Each of --traffic, --rate and --rho goes before what was seen; if all three are given, nobody is asked. Without --model a call costs what a
verdict has cost so far, or the list price of gpt-4o where nothing is known. The rate is one of the period that --traffic is given by.

Exit code: 0 done, 1 no design gives that half-width, 2 an error."
)]
pub struct Plan {
    /// The metric whose results are looked at
    #[arg(long, value_name = "NAME")]
    metric: Option<String>,
    /// Half of the width that the interval may have, such as 0.01 or 1%
    #[arg(long, value_name = "SHARE", value_parser = share)]
    half_width: Option<f64>,
    /// What may be spent, such as 200/month
    #[arg(long, value_name = "USD/PERIOD")]
    budget_usd: Option<Amount>,
    /// Interactions, such as 10M/month (day, week, month, year)
    #[arg(long, value_name = "N/PERIOD", help_heading = "Assumptions")]
    traffic: Option<Amount>,
    /// The rate that is expected, such as 5%
    #[arg(long, value_name = "SHARE", value_parser = share, help_heading = "Assumptions")]
    rate: Option<f64>,
    /// Correlation of the free score with the reference's, 0 to 1
    #[arg(long, value_name = "RHO", value_parser = share, help_heading = "Assumptions")]
    rho: Option<f64>,
    /// Model of the reference judge, for its list price
    #[arg(long, value_name = "MODEL", help_heading = "Assumptions")]
    model: Option<String>,
    /// What a call to it costs, where it is in no list
    #[arg(long, value_name = "USD", value_parser = dollars, help_heading = "Assumptions")]
    call_usd: Option<f64>,
    /// Input tokens of a call
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(..=100_000_000), help_heading = "Assumptions")]
    input_tokens: u64,
    /// Output tokens of a call
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(..=100_000_000), help_heading = "Assumptions")]
    output_tokens: u64,
    /// A paid cheap judge to weigh; gpt-4o-mini where it is cheaper than the reference
    #[arg(long, value_name = "MODEL", help_heading = "Assumptions")]
    cheap_model: Option<String>,
    /// Its partial correlation with the reference given the free scores, 0 to 1
    #[arg(long, value_name = "RHO", value_parser = share, help_heading = "Assumptions")]
    cheap_rho: Option<f64>,
    /// Level of the interval
    #[arg(long, value_name = "SHARE", value_parser = share, default_value = "0.95")]
    level: f64,
    /// window: the rate of this very traffic; process: of what produces it, for comparisons
    #[arg(long, value_enum, default_value_t = Of::Window)]
    estimand: Of,
    /// Data directory of a server that does not run
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How many days of results to look at
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3_660))]
    days: u32,
    #[command(flatten)]
    remote: Remote,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Write the picture to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write all of it as a page to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What an interval is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Of {
    Window,
    Process,
}

fn dollars(text: &str) -> Result<f64, String> {
    let usd = text.trim().trim_start_matches('$').parse::<f64>().map_err(|_| format!("{text:?} is not dollars such as 0.004"))?;
    // From a billionth of a dollar, the unit of money, on.
    if (1e-9..=1e6).contains(&usd) { Ok(usd) } else { Err(format!("{text:?} is not the price of a call")) }
}

impl Plan {
    pub fn run(self) -> Result<Ending, String> {
        self.check()?;
        let seen = self.seen()?;
        let basis = Basis::new(&self.stated(), seen.as_ref())?;
        let goal = match (self.half_width, &self.budget_usd) {
            (Some(half_width), _) => Goal::HalfWidth(half_width),
            (None, Some(budget)) => Goal::BudgetUsd(budget.within(basis.period)),
            (None, None) => return Err("say what is wanted by --half-width or --budget-usd".to_owned()),
        };
        if let Goal::BudgetUsd(budget) = goal
            && budget < basis.situation.reference_price
        {
            let price = basis.reference.price;
            return Err(format!(
                "--budget-usd comes to ${budget:.6} a {} and a call costs {price}: that buys none",
                basis.period.name()
            ));
        }
        let report = report(&basis, self.metric.clone(), goal)?;
        if let Some(path) = &self.svg {
            write(path, &picture::draw(&report))?;
        }
        if let Some(path) = &self.html {
            write(path, &picture::page(&report))?;
        }
        if self.json {
            say::json(&report)?;
        } else {
            say::line(&text::text(&report, true))?;
        }
        Ok(if report.recommendation.is_some() { Ending::Done } else { Ending::Failed })
    }

    /// What single options cannot say of themselves.
    fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: Option<f64>| match value {
            Some(value) if value <= 0.0 || value >= 1.0 => {
                Err(format!("{name} {value} has to lie between 0 and 1, and be neither"))
            }
            _ => Ok(()),
        };
        within("--half-width", self.half_width)?;
        within("--rate", self.rate)?;
        within("--level", Some(self.level))?;
        for (name, rho) in [("--rho", self.rho), ("--cheap-rho", self.cheap_rho)] {
            if rho == Some(1.0) {
                return Err(format!(
                    "{name} 1: a judge that always agrees with the reference leaves nothing to plan; use less, such as 0.95"
                ));
            }
        }
        Ok(())
    }

    fn stated(&self) -> Stated {
        Stated {
            traffic: self.traffic,
            rate: self.rate,
            rho: self.rho,
            model: self.model.clone(),
            call_usd: self.call_usd,
            tokens: TokenUsage { input: self.input_tokens, output: self.output_tokens, ..TokenUsage::default() },
            cheap_model: self.cheap_model.clone(),
            cheap_rho: self.cheap_rho,
            level: self.level,
            estimand: match self.estimand {
                Of::Window => Estimand::Window,
                Of::Process => Estimand::Process,
            },
            budget_period: self.budget_usd.and_then(|budget| budget.period),
        }
    }

    /// What results say, where they are needed and can be had.
    fn seen(&self) -> Result<Option<Seen>, String> {
        let is_all_said = self.traffic.is_some() && self.rate.is_some() && self.rho.is_some();
        if self.data.is_none() && (is_all_said || !self.remote.has_key()) {
            return Ok(None);
        }
        let Some(metric) = &self.metric else {
            return Err("whose results? name the metric by --metric".to_owned());
        };
        let now = SystemClock.now();
        let days = Duration::from_secs(u64::from(self.days) * 24 * 3_600);
        let wanted = Wanted {
            metric: MetricName::new(metric).map_err(|error| format!("--metric: {error}"))?,
            from: now.minus(days).to_rfc3339(),
            to: now.to_rfc3339(),
            level: self.level,
        };
        let runtime = light_runtime()?;
        let seen = match &self.data {
            Some(directory) => {
                let project = self.remote.project.as_deref().unwrap_or("default");
                let project = ProjectName::new(project).map_err(|error| format!("--project: {error}"))?;
                runtime.block_on(directory::read(directory, &project, &wanted))
            }
            None => runtime.block_on(server::ask(&self.remote, &wanted)),
        };
        seen.map(Some)
    }
}

fn write(path: &Path, contents: &str) -> Result<(), String> {
    std::fs::write(path, contents).map_err(|error| format!("{}: cannot be written: {error}", path.display()))
}
