//! What a plan rests on: each figure with where it comes from, and the situation that they make.

use assize_core::{NanoUsd, TokenUsage};
use assize_estimate::plan::{Paid, Situation, StratumSpread, assumed};
use assize_estimate::{Estimand, Interval, plan};
use assize_judge::prices;
use serde::Serialize;

use super::amount::{Amount, Period};
use super::seen::Seen;

/// Where a figure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Given on the command line.
    Stated,
    /// From results so far.
    Measured,
    /// Nobody said otherwise.
    Assumed,
}

impl Source {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stated => "stated",
            Self::Measured => "measured",
            Self::Assumed => "assumed",
        }
    }
}

/// A figure and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figure {
    pub value: f64,
    pub source: Source,
    /// Limits, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<f64>,
}

impl Figure {
    fn stated(value: f64) -> Self {
        Self { value, source: Source::Stated, low: None, high: None }
    }

    fn measured(value: f64, limits: Option<(f64, f64)>) -> Self {
        Self { value, source: Source::Measured, low: limits.map(|(low, _)| low), high: limits.map(|(_, high)| high) }
    }
}

/// What was said on the command line.
#[derive(Debug, Clone)]
pub struct Stated {
    pub traffic: Option<Amount>,
    pub rate: Option<f64>,
    pub rho: Option<f64>,
    pub model: Option<String>,
    pub call_usd: Option<f64>,
    pub tokens: TokenUsage,
    pub cheap_model: Option<String>,
    pub cheap_rho: Option<f64>,
    pub level: f64,
    pub estimand: Estimand,
    /// The period of the budget, where there is one.
    pub budget_period: Option<Period>,
}

/// The price of a call, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallPrice {
    /// The model, where it was one of the list.
    pub model: Option<String>,
    #[serde(skip)]
    pub price: NanoUsd,
    /// In words.
    pub how: String,
}

/// What a plan rests on.
#[derive(Debug, Clone)]
pub struct Basis {
    /// A rate of which period, and calls and money in which.
    pub period: Period,
    pub traffic: Figure,
    pub rate: Figure,
    /// Absolute: a score that is wrong as a rule is as good a predictor as one that is right.
    pub rho: Figure,
    pub strata: Source,
    pub reference: CallPrice,
    /// The paid cheap judge that is weighed.
    pub cheap: Option<CallPrice>,
    pub cheap_rho: Option<f64>,
    pub situation: Situation,
    /// Verdicts that the measured figures rest on.
    pub judged: Option<u64>,
    pub place: Option<String>,
}

/// The reference judge where nobody names one, and the cheap one that is weighed then.
const MODEL: &str = "gpt-4o";
const CHEAP_MODEL: &str = "gpt-4o-mini";
/// A score that is all the reference says leaves nothing to plan; so good is none that was only measured.
const RHO_MAX: f64 = 0.999;
/// A rate of 0 or 1 has no spread; this near is near enough.
const RATE_MIN: f64 = 1e-6;

impl Basis {
    pub fn new(stated: &Stated, seen: Option<&Seen>) -> Result<Self, String> {
        let missing: Vec<&str> =
            [("--traffic", stated.traffic.is_none()), ("--rate", stated.rate.is_none()), ("--rho", stated.rho.is_none())]
                .into_iter()
                .filter_map(|(name, is_missing)| is_missing.then_some(name))
                .collect();
        if seen.is_none() && !missing.is_empty() {
            return Err(format!(
                "nothing is known of the traffic: state {}, or read what was judged so far by --data DIR, or from the running server by --key",
                missing.join(", ")
            ));
        }
        let period = stated.traffic.and_then(|traffic| traffic.period).or(stated.budget_period).unwrap_or(Period::Month);
        let traffic = match (stated.traffic, seen) {
            (Some(traffic), _) => Figure::stated(traffic.within(period)),
            (None, seen) => Figure::measured(seen.map_or(0.0, |seen| seen.population_in(period.hours())), None),
        };
        let rate = match (stated.rate, seen) {
            (Some(rate), _) => Figure::stated(rate),
            (None, seen) => seen.map_or(Figure::stated(0.0), |seen| Figure::measured(seen.rate, Some((seen.low, seen.high)))),
        };
        let rho = match (stated.rho, seen) {
            (Some(rho), _) => Figure::stated(rho),
            (None, seen) => seen.map_or(Ok(Figure::stated(0.0)), |seen| rho_of(seen, stated.level))?,
        };
        let reference = price_of_reference(stated, seen)?;
        let cheap = price_of_cheap(stated, &reference)?;
        let paid = stated.cheap_rho.zip(cheap.as_ref()).map(|(rho, cheap)| Paid { price: cheap.price.to_usd(), rho });
        let p = rate.value.clamp(RATE_MIN, 1.0 - RATE_MIN);
        let counted = seen.filter(|seen| stated.rate.is_none() && stated.rho.is_none() && !seen.strata.is_empty());
        let spread = match seen.filter(|_| stated.rate.is_none()) {
            Some(seen) => seen.spread(),
            None => (p * (1.0 - p)).sqrt(),
        };
        let used_rho = rho.value.min(RHO_MAX);
        let (strata, source) = match counted {
            Some(seen) => (seen.strata.clone(), Source::Measured),
            None => (assumed(p, used_rho).map_err(|error| error.to_string())?, Source::Assumed),
        };
        let situation = Situation {
            population: traffic.value.max(1.0),
            rate: rate.value,
            level: stated.level,
            estimand: stated.estimand,
            spread,
            residual: spread * (1.0 - used_rho * used_rho).sqrt(),
            strata,
            reference_price: reference.price.to_usd(),
            paid,
        };
        situation.check().map_err(|error| error.to_string())?;
        let (judged, place) = seen.map(|seen| (seen.judged, seen.place.clone())).unzip();
        let cheap_rho = stated.cheap_rho;
        Ok(Self { period, traffic, rate, rho, strata: source, reference, cheap, cheap_rho, situation, judged, place })
    }

    /// The situation if the correlation were another.
    pub fn with_rho(&self, rho: f64) -> Option<Situation> {
        let rho = rho.abs().min(RHO_MAX);
        let mut situation = self.situation.clone();
        situation.residual = situation.spread * (1.0 - rho * rho).sqrt();
        situation.strata = match self.strata {
            Source::Measured => {
                // What is left within strata moves with what the correlation leaves.
                let known = self.rho.value.min(RHO_MAX);
                let factor = ((1.0 - rho * rho) / (1.0 - known * known)).sqrt();
                let scaled = |one: &StratumSpread| {
                    let spread = (one.spread * factor).min(0.5);
                    StratumSpread { share: one.share, spread, residual: (one.residual * factor).min(spread) }
                };
                situation.strata.iter().map(scaled).collect()
            }
            Source::Stated | Source::Assumed => assumed(self.rate.value.clamp(RATE_MIN, 1.0 - RATE_MIN), rho).ok()?,
        };
        Some(situation)
    }

    /// What so many calls cost: integers times the price of one.
    pub fn cost(&self, reference_calls: u64, paid_calls: u64) -> NanoUsd {
        let cheap = self.cheap.as_ref().map_or(0, |cheap| cheap.price.0);
        NanoUsd(self.reference.price.0.saturating_mul(reference_calls)).plus(NanoUsd(cheap.saturating_mul(paid_calls)))
    }
}

fn rho_of(seen: &Seen, level: f64) -> Result<Figure, String> {
    let Some(rho) = seen.rho() else { return Ok(Figure { value: 0.0, source: Source::Measured, low: None, high: None }) };
    let Interval { low, high } = plan::correlation_interval(rho, seen.effective, level).map_err(|error| error.to_string())?;
    let (low, high) = if rho < 0.0 { (-high, -low) } else { (low, high) };
    Ok(Figure::measured(rho.abs(), Some((low, high))))
}

fn price_of_reference(stated: &Stated, seen: Option<&Seen>) -> Result<CallPrice, String> {
    if let Some(usd) = stated.call_usd {
        return Ok(CallPrice {
            model: stated.model.clone(),
            price: NanoUsd((usd * 1e9).ceil() as u64),
            how: "stated".to_owned(),
        });
    }
    match (&stated.model, seen.and_then(|seen| seen.cost_per_verdict)) {
        (None, Some(price)) => {
            let how = "what a verdict has cost so far, failed tries and cheaper paid judges included".to_owned();
            Ok(CallPrice { model: None, price, how })
        }
        (model, _) => listed("--model", model.as_deref().unwrap_or(MODEL), &stated.tokens),
    }
}

fn price_of_cheap(stated: &Stated, reference: &CallPrice) -> Result<Option<CallPrice>, String> {
    let Some(model) = &stated.cheap_model else {
        let usual = listed("--cheap-model", CHEAP_MODEL, &stated.tokens)?;
        let is_cheaper = usual.price < reference.price && reference.model.as_deref() != Some(CHEAP_MODEL);
        if stated.cheap_rho.is_some() && !is_cheaper {
            return Err(format!(
                "--cheap-rho is of which judge? {CHEAP_MODEL} is not cheaper than the reference: name one by --cheap-model"
            ));
        }
        return Ok(is_cheaper.then_some(usual));
    };
    listed("--cheap-model", model, &stated.tokens).map(Some)
}

fn listed(option: &str, model: &str, tokens: &TokenUsage) -> Result<CallPrice, String> {
    let Some(price) = prices::built_in(model) else {
        let instead = if option == "--model" { ": state what a call costs by --call-usd" } else { "" };
        return Err(format!("{option} {model:?} is in no price list that is known here{instead}"));
    };
    let cost = price.cost(tokens);
    if cost == NanoUsd::ZERO {
        return Err("--input-tokens and --output-tokens are both 0: such a call costs nothing".to_owned());
    }
    let how = format!("list price of {model} for {} tokens in and {} out", tokens.input, tokens.output);
    Ok(CallPrice { model: Some(model.to_owned()), price: cost, how })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stated() -> Stated {
        Stated {
            traffic: Some("10M/month".parse().unwrap()),
            rate: Some(0.1),
            rho: Some(0.6),
            model: Some("gpt-4o-2024-05-13".to_owned()),
            call_usd: None,
            tokens: TokenUsage { input: 1000, output: 50, ..TokenUsage::default() },
            cheap_model: None,
            cheap_rho: None,
            level: 0.95,
            estimand: Estimand::Window,
            budget_period: None,
        }
    }

    #[test]
    fn everything_costs_what_the_specification_says() {
        let basis = Basis::new(&stated(), None).unwrap();
        assert_eq!(basis.cost(10_000_000, 0), NanoUsd(57_500_000_000_000));
        assert_eq!(basis.cost(1_000_000, 0), NanoUsd(5_750_000_000_000));
        assert_eq!(basis.cost(u64::MAX, u64::MAX), NanoUsd(u64::MAX));
        assert_eq!((basis.period, basis.situation.population, basis.strata), (Period::Month, 1e7, Source::Assumed));
        assert_eq!(basis.cheap.as_ref().unwrap().model.as_deref(), Some("gpt-4o-mini"));
    }

    #[test]
    fn a_budget_by_the_day_plans_for_a_day() {
        let of = Stated { traffic: Some("3000".parse().unwrap()), budget_period: Some(Period::Day), ..stated() };
        let basis = Basis::new(&of, None).unwrap();
        assert_eq!((basis.period, basis.traffic.value), (Period::Day, 3_000.0));
    }

    #[test]
    fn what_is_missing_is_named() {
        let of = Stated { traffic: None, rho: None, ..stated() };
        let error = Basis::new(&of, None).unwrap_err();
        assert!(error.contains("--traffic, --rho,") && error.contains("--data DIR"), "{error}");
        let error = Basis::new(&Stated { model: Some("my-finetune".to_owned()), ..stated() }, None).unwrap_err();
        assert!(error.contains("my-finetune") && error.contains("--call-usd"), "{error}");
        let of = Stated { model: Some("gpt-4o-mini".to_owned()), cheap_rho: Some(0.5), ..stated() };
        assert!(Basis::new(&of, None).unwrap_err().contains("--cheap-model"));
    }

    #[test]
    fn another_correlation_moves_residuals_and_strata() {
        let basis = Basis::new(&stated(), None).unwrap();
        let same = basis.with_rho(0.6).unwrap();
        assert!((same.residual - basis.situation.residual).abs() < 1e-12);
        let better = basis.with_rho(0.8).unwrap();
        assert!(better.residual < same.residual && better.strata[0].spread < same.strata[0].spread);
        assert!(basis.with_rho(1.0).unwrap().check().is_ok() && basis.with_rho(-0.6).unwrap() == same);
    }
}
