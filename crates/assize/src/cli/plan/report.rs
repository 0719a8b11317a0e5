//! The plans beside each other, what is recommended, and what is not known.

use assize_core::NanoUsd;
use assize_estimate::plan::{Design, Plan, Situation, cost_ratio, worthwhile_from};
use serde::Serialize;

use super::amount::Period;
use super::basis::{Basis, CallPrice, Figure, Source};
use crate::ui::format::{count, money, short_percent};

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    HalfWidth(f64),
    /// Dollars in the period.
    BudgetUsd(f64),
}

/// One way to go.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// In words.
    pub name: String,
    /// `None` for judging everything.
    pub design: Option<Design>,
    /// With the paid cheap judge in between.
    pub with_paid: bool,
    pub reference_calls: u64,
    pub paid_calls: u64,
    pub cost_usd: f64,
    #[serde(skip)]
    pub cost: NanoUsd,
    pub half_width: f64,
    /// Cost over that of naive sampling with the same half-width; null where there is no such.
    pub ratio_to_naive: Option<f64>,
    /// Reference calls over interactions: the rate to configure.
    pub share: f64,
    /// Positives that can be expected among the judged if calls are spread evenly; more where they go by doubt.
    pub positives: f64,
    /// Whether the goal is met; a fixed design is shown whether it is or not.
    pub meets_goal: bool,
}

/// What a paid cheap judge is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cheap {
    pub judge: CallPrice,
    /// Its price over the reference's.
    pub price_ratio: f64,
    /// The partial correlation, given the free scores, from which on it saves anything.
    pub worthwhile_from: f64,
    /// What was said that it has.
    pub rho: Option<f64>,
    /// Cost with it over cost without, at equal width in unlimited traffic.
    pub cost_ratio: Option<f64>,
    /// Whether it is worth having; null where its correlation is not known.
    pub is_worth_it: Option<bool>,
}

/// What was found to be best.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Recommendation {
    pub line: Line,
    /// `rate` of the sampling policy: of what the first paid judge sees.
    pub sampling_rate: f64,
    /// `share` of the reference in the cascade, where a paid cheap judge comes before it.
    pub share: Option<f64>,
    /// `escalate` of the metric.
    pub escalate: bool,
    /// In words.
    pub why: String,
}

/// The line of a design in the picture: dollars and half-widths.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    pub name: String,
    pub design: Design,
    pub with_paid: bool,
    /// `(dollars, half-width)`.
    pub points: Vec<(f64, f64)>,
}

/// All that is said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub metric: Option<String>,
    pub period: Period,
    pub goal: Goal,
    pub level: f64,
    pub estimand: &'static str,
    pub traffic: Figure,
    pub rate: Figure,
    pub rho: Figure,
    pub strata: Source,
    pub judge: CallPrice,
    pub call_usd: f64,
    pub judged_so_far: Option<u64>,
    /// Whose results the measured figures are from.
    pub measured_at: Option<String>,
    pub plans: Vec<Line>,
    /// Null where no design meets the goal.
    pub recommendation: Option<Recommendation>,
    pub cheap_tier: Option<Cheap>,
    pub curves: Vec<Curve>,
    /// What could make all this wrong.
    pub unknown: Vec<String>,
}

/// The specification's share of the traffic.
const TENTH: f64 = 0.1;
/// The simpler design is preferred unless another saves more than this share.
const WORTH: f64 = 0.01;
/// Points of a curve.
const POINTS: usize = 40;
/// Fewer positives than this, and the interval that is reported is wider than planned.
const POSITIVES_MIN: f64 = 30.0;

/// Makes the report.
pub fn report(basis: &Basis, metric: Option<String>, goal: Goal) -> Result<Report, String> {
    let situation = &basis.situation;
    let mut plans = vec![everything(basis, goal)];
    let naive = planned(basis, goal, situation, Design::Naive, false)?;
    let mut candidates: Vec<Line> = naive.iter().cloned().collect();
    plans.extend(naive);
    let tenth = situation.at_share(Design::Naive, TENTH).map_err(|error| error.to_string())?;
    plans.push(line(basis, goal, &tenth, "10 % of everything, as specified".to_owned())?);
    for design in [Design::Ppi, Design::Neyman, Design::NeymanPpi] {
        let found = planned(basis, goal, situation, design, false)?;
        candidates.extend(found.clone());
        plans.extend(found);
    }
    if situation.paid.is_some() {
        for design in [Design::Ppi, Design::NeymanPpi] {
            let found = planned(basis, goal, situation, design, true)?;
            candidates.extend(found.clone());
            plans.extend(found);
        }
    }
    let best = best(&candidates, goal);
    let cheap_tier = basis.cheap.as_ref().map(|judge| cheap(basis, judge, &candidates, goal));
    let curves = curves(basis, goal, &plans)?;
    let unknown = unknown(basis, goal, best.as_ref());
    Ok(Report {
        metric,
        period: basis.period,
        goal,
        level: situation.level,
        estimand: situation.estimand.name(),
        traffic: basis.traffic,
        rate: basis.rate,
        rho: basis.rho,
        strata: basis.strata,
        judge: basis.reference.clone(),
        call_usd: basis.reference.price.to_usd(),
        judged_so_far: basis.judged,
        measured_at: basis.place.clone(),
        plans,
        recommendation: best.map(|line| recommendation(basis, line)),
        cheap_tier,
        curves,
        unknown,
    })
}

fn everything(basis: &Basis, goal: Goal) -> Line {
    let calls = whole(basis.situation.population);
    let cost = basis.cost(calls, 0);
    let process = basis.situation.estimand == assize_estimate::Estimand::Process;
    let half_width = if process {
        // What is left to chance when nothing is left out: the traffic itself.
        basis.situation.at_share(Design::Naive, 1.0).map_or(0.0, |plan| plan.half_width)
    } else {
        0.0
    };
    Line {
        name: "everything judged".to_owned(),
        design: None,
        with_paid: false,
        reference_calls: calls,
        paid_calls: 0,
        cost_usd: cost.to_usd(),
        cost,
        half_width,
        ratio_to_naive: None,
        share: 1.0,
        positives: basis.situation.population * basis.situation.rate,
        meets_goal: meets(goal, half_width, cost),
    }
}

/// The plan of a design for the goal; none where it cannot be met.
fn planned(basis: &Basis, goal: Goal, situation: &Situation, design: Design, with_paid: bool) -> Result<Option<Line>, String> {
    let plan = match goal {
        Goal::HalfWidth(wanted) => situation.for_half_width(design, with_paid, wanted),
        Goal::BudgetUsd(budget) => situation.for_budget(design, with_paid, budget).map(Some),
    };
    let plan = plan.map_err(|error| error.to_string())?;
    plan.map(|plan| line(basis, goal, &plan, name(basis, design, with_paid))).transpose()
}

fn line(basis: &Basis, goal: Goal, plan: &Plan, name: String) -> Result<Line, String> {
    // A budget is not to be exceeded by rounding, a width not to be missed.
    let round = |calls: f64| if matches!(goal, Goal::BudgetUsd(_)) { calls.floor() as u64 } else { whole(calls) };
    let (reference_calls, paid_calls) = (round(plan.reference_calls), round(plan.paid_calls));
    let cost = basis.cost(reference_calls, paid_calls);
    let naive = if plan.half_width > 0.0 {
        basis.situation.for_half_width(Design::Naive, false, plan.half_width.min(0.999)).map_err(|error| error.to_string())?
    } else {
        None
    };
    Ok(Line {
        name,
        design: Some(plan.design),
        with_paid: plan.with_paid,
        reference_calls,
        paid_calls,
        cost_usd: cost.to_usd(),
        cost,
        half_width: plan.half_width,
        ratio_to_naive: naive.filter(|naive| naive.cost > 0.0).map(|naive| plan.cost / naive.cost),
        share: plan.reference_calls / basis.situation.population,
        positives: plan.positives,
        meets_goal: meets(goal, plan.half_width, cost),
    })
}

fn whole(calls: f64) -> u64 {
    // Solving leaves a last digit that is no call.
    (calls * (1.0 - 1e-12)).ceil() as u64
}

fn meets(goal: Goal, half_width: f64, cost: NanoUsd) -> bool {
    match goal {
        Goal::HalfWidth(wanted) => half_width <= wanted * (1.0 + 1e-9),
        Goal::BudgetUsd(budget) => cost.to_usd() <= budget * (1.0 + 1e-9),
    }
}

fn name(basis: &Basis, design: Design, with_paid: bool) -> String {
    let cheap = basis.cheap.as_ref().and_then(|cheap| cheap.model.as_deref()).filter(|_| with_paid);
    match (design, cheap) {
        (Design::Naive, _) => "naive sampling".to_owned(),
        (Design::Ppi, None) => "free score on all (PPI++)".to_owned(),
        (Design::Neyman, _) => "strata by doubt (Neyman)".to_owned(),
        (Design::NeymanPpi, None) => "strata by doubt + PPI++".to_owned(),
        (Design::Ppi, Some(cheap)) => format!("PPI++ with {cheap} between"),
        (Design::NeymanPpi, Some(cheap)) => format!("strata + PPI++ with {cheap} between"),
    }
}

/// What a line is judged by: less is better.
fn objective(line: &Line, goal: Goal) -> f64 {
    match goal {
        Goal::HalfWidth(_) => line.cost_usd,
        Goal::BudgetUsd(_) => line.half_width,
    }
}

/// The simplest of the candidates, in their order, that is about as good as the best.
fn best(candidates: &[Line], goal: Goal) -> Option<Line> {
    let least = candidates.iter().map(|line| objective(line, goal)).fold(f64::INFINITY, f64::min);
    candidates.iter().find(|line| objective(line, goal) <= least * (1.0 + WORTH)).cloned()
}

fn recommendation(basis: &Basis, line: Line) -> Recommendation {
    let escalate = matches!(line.design, Some(Design::Neyman | Design::NeymanPpi));
    let mut why = match line.design {
        Some(Design::Naive) | None => "the free score says too little about the reference to save calls".to_owned(),
        Some(Design::Ppi) => {
            "the free score of everything corrects the rate; spending by doubt would add next to nothing".to_owned()
        }
        Some(Design::Neyman | Design::NeymanPpi) => "most calls go where the free score leaves doubt".to_owned(),
    };
    if line.with_paid {
        why.push_str("; the paid cheap judge saves more than it costs");
    }
    if let Some(ratio) = line.ratio_to_naive {
        why.push_str(&format!("; {} of what naive sampling would cost for the same width", short_percent(rounded(ratio))));
    }
    if line.positives < POSITIVES_MIN {
        why.push_str(&format!(
            "; with about {} positives among the judged, expect a wider interval at first",
            whole(line.positives)
        ));
    }
    let (sampling_rate, share) = if line.with_paid && line.paid_calls > 0 {
        let share = line.reference_calls as f64 / line.paid_calls as f64;
        ((line.paid_calls as f64 / basis.situation.population).min(1.0), Some(share.min(1.0)))
    } else {
        (line.share.min(1.0), None)
    };
    Recommendation { line, sampling_rate, share, escalate, why }
}

fn rounded(share: f64) -> f64 {
    (share * 100.0).round() / 100.0
}

fn cheap(basis: &Basis, judge: &CallPrice, candidates: &[Line], goal: Goal) -> Cheap {
    let c = judge.price.to_usd() / basis.reference.price.to_usd();
    let least = |with_paid: bool| {
        let of_kind = candidates.iter().filter(|line| line.with_paid == with_paid);
        of_kind.map(|line| objective(line, goal)).fold(f64::INFINITY, f64::min)
    };
    let [without, with] = [false, true].map(least);
    Cheap {
        judge: judge.clone(),
        price_ratio: c,
        worthwhile_from: worthwhile_from(c),
        rho: basis.cheap_rho,
        cost_ratio: basis.cheap_rho.map(|rho| cost_ratio(rho, c)),
        is_worth_it: basis.cheap_rho.map(|_| with < without * (1.0 - WORTH)),
    }
}

/// Half-widths over dollars, around where the plans lie.
fn curves(basis: &Basis, goal: Goal, plans: &[Line]) -> Result<Vec<Curve>, String> {
    let situation = &basis.situation;
    let all = basis.cost(whole(situation.population), 0).to_usd();
    let costs = plans.iter().skip(1).map(|line| line.cost_usd).filter(|usd| *usd > 0.0);
    let (low, high) = costs.fold((f64::INFINITY, 0.0_f64), |(low, high), usd| (low.min(usd), high.max(usd)));
    let middle = if let Goal::BudgetUsd(budget) = goal { (budget, budget) } else { (low, high) };
    let low = (low.min(middle.0) / 5.0).max(basis.reference.price.to_usd());
    let high = (high.max(middle.1) * 2.0).min(all).max(low * 10.0);
    let budgets: Vec<f64> = (0..POINTS).map(|i| low * (high / low).powf(i as f64 / (POINTS - 1) as f64)).collect();
    let mut shown = vec![(Design::Naive, false), (Design::Ppi, false), (Design::NeymanPpi, false)];
    shown.extend(situation.paid.map(|_| (Design::NeymanPpi, true)));
    let curve = |(design, with_paid): (Design, bool)| {
        let plans = situation.sweep(design, with_paid, &budgets).map_err(|error| error.to_string())?;
        let points = budgets.iter().zip(plans).map(|(&usd, plan)| (usd, plan.half_width)).filter(|(_, width)| *width > 1e-7);
        Ok(Curve { name: name(basis, design, with_paid), design, with_paid, points: points.collect() })
    };
    shown.into_iter().map(curve).collect()
}

/// What the recommended plan would be if the correlation were another.
fn otherwise(basis: &Basis, goal: Goal, line: &Line, rho: f64) -> Option<String> {
    let situation = basis.with_rho(rho)?;
    let other = planned(basis, goal, &situation, line.design?, line.with_paid).ok()??;
    Some(match goal {
        Goal::HalfWidth(_) => format!("{} at {rho:.2}", money(other.cost)),
        Goal::BudgetUsd(_) => format!("±{} at {rho:.2}", points(other.half_width)),
    })
}

/// A half-width in percentage points.
pub fn points(half_width: f64) -> String {
    let value = half_width * 100.0;
    let digits = if value >= 0.995 || value == 0.0 { 1 } else { (1.0 - value.log10().floor()).clamp(2.0, 6.0) as usize };
    format!("{value:.digits$}")
}

fn unknown(basis: &Basis, goal: Goal, best: Option<&Line>) -> Vec<String> {
    let mut unknown = Vec::new();
    let uses_score = best.is_some_and(|line| line.design != Some(Design::Naive));
    let (low, high) = match basis.rho.source {
        Source::Measured => (basis.rho.low.unwrap_or(0.0), basis.rho.high.unwrap_or(0.0)),
        Source::Stated | Source::Assumed => ((basis.rho.value - 0.1).max(0.0), (basis.rho.value + 0.1).min(0.99)),
    };
    let range: Vec<String> = best
        .filter(|_| uses_score)
        .into_iter()
        .flat_map(|line| [low.max(0.0), high].map(|rho| otherwise(basis, goal, line, rho)))
        .flatten()
        .collect();
    let range = if range.is_empty() { String::new() } else { format!(": {}", range.join(", ")) };
    match (basis.rho.source, basis.judged) {
        (Source::Measured, Some(judged)) if basis.rho.low.is_none() => {
            unknown.push(format!(
                "What a free score would save: among {} verdicts there is none, or it is always the same.",
                count(judged)
            ));
        }
        (Source::Measured, Some(judged)) => {
            unknown.push(format!(
                "How well the free score predicts the reference, from {} verdicts: {low:.2} to {high:.2}{range}.",
                count(judged)
            ));
        }
        _ => unknown
            .push(format!("How well the free score predicts the reference: rho {:.2} is what you say{range}.", basis.rho.value)),
    }
    match (basis.rate.source, basis.rate.low.zip(basis.rate.high)) {
        (Source::Measured, Some((low, high))) => {
            unknown.push(format!("The rate: so far {} to {}, and it may move.", short_percent(low), short_percent(high)));
        }
        _ => unknown.push(format!(
            "The rate: {} is what you say, and it decides how many calls any width takes.",
            short_percent(basis.rate.value)
        )),
    }
    if basis.strata == Source::Assumed && uses_score {
        unknown.push(
            "Where doubt lies: the free score is taken for a yes or no. A graded one saves more, a skewed one may save less."
                .to_owned(),
        );
    }
    if let (Some(cheap), None) = (&basis.cheap, basis.cheap_rho) {
        let model = cheap.model.as_deref().unwrap_or("a cheap judge");
        unknown.push(format!("What {model} adds to the free scores: say it by --cheap-rho."));
    }
    if best.is_some_and(|line| line.positives < POSITIVES_MIN) {
        unknown.push(
            "Few positives will be judged: the reported interval then comes from counts, and is wider than planned.".to_owned(),
        );
    }
    unknown.push(
        "Judges that fail, uneven pacing and late traffic cost a little more; prompt caches, packing and batches less."
            .to_owned(),
    );
    unknown.push(
        "Whether the reference judge is right: the rate is the one that it would give. Gold labels say the rest.".to_owned(),
    );
    unknown
}
