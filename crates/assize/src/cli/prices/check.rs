//! `assize prices check`: judges without a price, and models that end.

use std::path::PathBuf;

use assize_core::{Clock as _, Price, SystemClock, Timestamp};
use assize_judge::prices::{Called, Charge, Prices};
use assize_judge::spec::JudgeSpec;
use clap::Args;
use jiff::civil::Date;
use serde::Serialize;

use super::list::in_force;
use super::row::{PerMillion, source_name};
use crate::cli::eval::summary::counted;
use crate::cli::{Ending, say};
use crate::config::settings::{CascadeEntry, CascadeTier, MetricSpec};
use crate::config::{Settings, load};
use crate::pipeline::judges::WARN_DAYS;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize prices check --config assize.toml
  assize prices check --config assize.toml --on 2027-01-01   # what will have ended by then

Exit code: 0 all is well, 1 a judge has no price or its model has ended or ends within 60 days, 2 an error.")]
pub struct Check {
    /// The configuration file; the defaults alone where not given
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The day to check for; today where not given
    #[arg(long, value_name = "YYYY-MM-DD")]
    on: Option<Date>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a judge stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    /// It runs here, or its operator says that it costs nothing.
    Free,
    Ok,
    /// Its model ends within [`WARN_DAYS`].
    EndsSoon,
    Ended,
    NoPrice,
}

#[derive(Debug, Serialize)]
struct Judged {
    judge: String,
    /// Whether a metric names it.
    used: bool,
    provider: Option<String>,
    model: Option<String>,
    state: State,
    usd_per_million: Option<PerMillion>,
    usd_per_call: Option<f64>,
    #[serde(skip)]
    price: Option<Price>,
    shutdown: Option<String>,
    days_left: Option<i32>,
    source: Option<String>,
    /// What to do.
    remedy: Option<String>,
}

impl Check {
    pub fn run(self) -> Result<Ending, String> {
        let settings = load::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        let prices = in_force(&settings, self.config.as_deref())?;
        let today = match self.on {
            Some(day) => day,
            None => day_of(SystemClock.now())?,
        };
        let judges: Vec<Judged> = settings.judge.iter().map(|judge| judged(judge, &settings, &prices, today)).collect();
        let findings = judges.iter().filter(|judge| judge.state.is_finding()).count();
        if self.json {
            say::json(&serde_json::json!({ "on": today.to_string(), "judges": judges, "findings": findings }))?;
        } else {
            for judge in &judges {
                say::line(&tell(judge))?;
            }
            let result = if findings == 0 { "all is well".to_owned() } else { format!("{findings} to see to") };
            say::note(format_args!("{} checked for {today}: {result}", counted(judges.len() as u64, "judge")));
        }
        Ok(if findings == 0 { Ending::Done } else { Ending::Failed })
    }
}

impl State {
    fn is_finding(self) -> bool {
        matches!(self, Self::NoPrice | Self::Ended | Self::EndsSoon)
    }
}

fn day_of(now: Timestamp) -> Result<Date, String> {
    let instant = jiff::Timestamp::from_millisecond(now.0).map_err(|error| format!("the clock is wrong: {error}"))?;
    Ok(jiff::tz::Offset::UTC.to_datetime(instant).date())
}

fn judged(judge: &JudgeSpec, settings: &Settings, prices: &Prices, today: Date) -> Judged {
    let named = |tier: &CascadeTier| matches!(&tier.judge, CascadeEntry::Judge(name) if name == &judge.name);
    let used = |metric: &MetricSpec| metric.cascade.iter().any(named) || metric.fallback.as_ref() == Some(&judge.name);
    let called = Called::by(&judge.kind, &settings.provider).map(|(called, _)| called);
    let charge = prices.charge(&judge.kind, &settings.provider);
    let quote = if let Charge::PerToken(quote) = &charge { Some(quote) } else { None };
    let shutdown = quote.and_then(|quote| quote.shutdown);
    let days_left = shutdown.and_then(|day| today.until(day).ok()).map(|span| span.get_days());
    let state = match (&charge, days_left) {
        (Charge::Unknown, _) => State::NoPrice,
        (Charge::Free, _) => State::Free,
        (_, Some(..=0)) => State::Ended,
        (_, Some(..=WARN_DAYS)) => State::EndsSoon,
        _ => State::Ok,
    };
    let remedy = match state {
        State::Free | State::Ok => None,
        State::NoPrice => Some(
            "add `price = { input = USD, output = USD }`, in dollars per million tokens, or `price = \"free\"` where it is a host of \
             your own"
                .to_owned(),
        ),
        State::Ended => Some("calls fail: give the judge another `model`".to_owned()),
        State::EndsSoon => {
            Some("give the judge another `model` while both can be called, so that the two can be compared".to_owned())
        }
    };
    Judged {
        judge: judge.name.to_string(),
        used: settings.metric.iter().any(used),
        provider: called.and_then(|called| called.provider).map(ToString::to_string),
        model: called.map(|called| called.model.to_owned()),
        state,
        price: quote.map(|quote| quote.price),
        usd_per_million: quote.map(|quote| quote.price.into()),
        usd_per_call: if let Charge::PerCall(cost) = charge { Some(cost.to_usd()) } else { None },
        shutdown: shutdown.map(|day| day.to_string()),
        days_left,
        source: quote.map(|quote| source_name(quote.source)),
        remedy,
    }
}

fn tell(judge: &Judged) -> String {
    let what = match (&judge.price, judge.usd_per_call) {
        (Some(price), _) => format!("{} in, {} out per million tokens", price.input, price.output),
        (None, Some(cost)) => format!("${cost} a call"),
        (None, None) if judge.state == State::NoPrice => "NO PRICE".to_owned(),
        (None, None) => "free".to_owned(),
    };
    let end = match (judge.state, &judge.shutdown, judge.days_left) {
        (State::Ended, Some(day), _) => format!(", ENDED on {day}"),
        (State::EndsSoon, Some(day), Some(left)) => format!(", ENDS on {day}, in {left} days"),
        (_, Some(day), _) => format!(", until {day}"),
        _ => String::new(),
    };
    let model = judge.model.as_ref().map_or(String::new(), |model| format!(" ({model})"));
    let source = judge.source.as_ref().map_or(String::new(), |source| format!(", by {source}"));
    let unused = if judge.used { "" } else { "; no metric names it" };
    let remedy = judge.remedy.as_ref().map_or(String::new(), |remedy| format!("\n  {remedy}"));
    format!("{}{model}: {what}{end}{source}{unused}{remedy}", judge.judge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::price;

    fn checked(judge: &str, on: Date) -> Judged {
        let text = format!("[[judge]]\nname = \"j\"\n{judge}\n[[metric]]\nname = \"refusal\"\ncascade = [\"j\"]");
        let settings = load::parse(&text).unwrap();
        judged(&settings.judge[0], &settings, &price::prices(&settings).unwrap(), on)
    }

    #[test]
    fn the_end_of_a_model_is_told_from_sixty_days_before() {
        let judge = "kind = \"chat\"\nprovider = \"openai\"\nmodel = \"gpt-4o\"";
        for (on, state, left) in [
            ((2026, 11, 14), State::Ok, 61),
            ((2026, 11, 15), State::EndsSoon, 60),
            ((2027, 1, 13), State::EndsSoon, 1),
            ((2027, 1, 14), State::Ended, 0),
            ((2028, 1, 14), State::Ended, -365),
        ] {
            let found = checked(judge, jiff::civil::date(on.0, on.1, on.2));
            assert_eq!((found.state, found.days_left), (state, Some(left)), "{on:?}");
            assert_eq!(found.remedy.is_some(), state.is_finding());
            assert!(found.used);
        }
    }

    #[test]
    fn who_charges_what() {
        let on = jiff::civil::date(2026, 11, 24);
        let chat = |more: &str| checked(&format!("kind = \"chat\"\nprovider = \"openai\"\n{more}"), on);
        assert_eq!(chat("model = \"m\"").state, State::NoPrice);
        assert!(tell(&chat("model = \"m\"")).contains("j (m): NO PRICE"));
        assert_eq!(chat("model = \"m\"\nprice = \"free\"").state, State::Free);
        assert_eq!(chat("model = \"m\"\nprice = { input = 1, output = 2 }").usd_per_million.unwrap().output, 2.0);
        assert_eq!(checked("kind = \"rules\"\nany_of = [\"a\"]", on).state, State::Free);
        let http = checked("kind = \"http\"\nurl = \"https://example.com\"\nprice_per_call_usd = 0.5", on);
        assert_eq!((http.state, http.usd_per_call), (State::Ok, Some(0.5)));
    }
}
