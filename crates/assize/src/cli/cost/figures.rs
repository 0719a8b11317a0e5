//! A month's figures, and how they are written as JSON.

use assize_core::NanoUsd;
use assize_core::cost::{Levers, Load, Step, TOKEN_PARTS};
use serde_json::{Value, json};

use super::infra::{self, Line};
use super::model::Priced;
use super::seen::Seen;

/// A month with a reference judge and, where there is a cascade, a cheap one.
pub struct Plan {
    pub reference: Priced,
    pub cheap: Option<Priced>,
    /// Judging everything, then lever by lever; never empty.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Judging everything with the reference judge.
    pub fn everything(&self) -> NanoUsd {
        self.steps.first().map_or(NanoUsd::ZERO, |step| step.monthly)
    }

    /// With all levers.
    pub fn with_levers(&self) -> NanoUsd {
        self.steps.last().map_or(NanoUsd::ZERO, |step| step.monthly)
    }
}

/// All that is printed.
pub struct Figures {
    pub load: Load,
    pub levers: Levers,
    /// Whether the levers were asked for; else they are an offer.
    pub is_applied: bool,
    pub main: Plan,
    pub today: Vec<Plan>,
    pub infra: Vec<Line>,
    pub seen: Option<Seen>,
}

impl Figures {
    /// What judging costs a month.
    pub fn monthly(&self) -> NanoUsd {
        if self.is_applied { self.main.with_levers() } else { self.main.everything() }
    }

    pub fn infra_total(&self) -> NanoUsd {
        infra::total(&self.infra)
    }

    /// What one evaluation by the reference judge costs.
    pub fn each(&self, plan: &Plan) -> NanoUsd {
        let usage = assize_core::TokenUsage {
            input: self.load.input_token_parts,
            output: self.load.output_token_parts,
            ..assize_core::TokenUsage::default()
        };
        NanoUsd(plan.reference.rates.live.cost(&usage).0.div_ceil(TOKEN_PARTS))
    }

    pub fn json(&self) -> Value {
        let infra = self.infra_total();
        let usd = |amount: NanoUsd| amount.to_usd();
        json!({
            "requests": self.load.evaluations,
            "input_tokens": self.load.input_token_parts as f64 / TOKEN_PARTS as f64,
            "output_tokens": self.load.output_token_parts as f64 / TOKEN_PARTS as f64,
            "model": self.main.reference.name,
            "cheap_model": self.main.cheap.as_ref().map(|cheap| &cheap.name),
            "usd_per_evaluation": usd(self.each(&self.main)),
            "levers": {
                "applied": self.is_applied,
                "sample": self.levers.sample,
                "cheap_share": self.levers.cascade.map(|cascade| cascade.share),
                "cache_hit": self.levers.cache_hit,
                "batch_share": self.levers.batch,
                "prompt_cached_share": self.levers.prompt_cached,
            },
            "monthly_usd": usd(self.monthly()),
            "infra_usd": usd(infra),
            "total_monthly_usd": usd(self.monthly().plus(infra)),
            "steps": self.steps(&self.main),
            "infra": self.infra,
            "today": self.today.iter().map(|plan| self.of_today(plan)).collect::<Vec<_>>(),
            "seen": self.seen,
        })
    }

    fn steps(&self, plan: &Plan) -> Vec<Value> {
        let infra = self.infra_total();
        let step = |step: &Step| {
            let mut value = json!({
                "step": step.lever.map_or("everything", |lever| lever.as_str()),
                "applied": self.is_applied || step.lever.is_none(),
                "calls": step.calls,
                "cheap_calls": step.cheap_calls,
                "monthly_usd": step.monthly.to_usd(),
                "saved_usd": (step.before.0 as i128 - step.monthly.0 as i128) as f64 / 1e9,
                "total_monthly_usd": step.monthly.plus(infra).to_usd(),
            });
            if let (Some(specified), Some(object)) = (step.specified, value.as_object_mut()) {
                object.insert("specification_usd".to_owned(), json!(specified.to_usd()));
                object.insert("specification_total_usd".to_owned(), json!(specified.plus(infra).to_usd()));
            }
            value
        };
        plan.steps.iter().map(step).collect()
    }

    fn of_today(&self, plan: &Plan) -> Value {
        let infra = self.infra_total();
        json!({
            "model": plan.reference.name,
            "cheap_model": plan.cheap.as_ref().map(|cheap| &cheap.name),
            "usd_per_evaluation": self.each(plan).to_usd(),
            "everything_usd": plan.everything().to_usd(),
            "with_levers_usd": plan.with_levers().to_usd(),
            "total_monthly_usd": plan.with_levers().plus(infra).to_usd(),
            "steps": self.steps(plan),
        })
    }
}
