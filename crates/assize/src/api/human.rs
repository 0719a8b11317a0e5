//! What people's labels say of a rate, as part of an estimate.

use assize_estimate::agreement::Figure;
use serde::Serialize;
use utoipa::ToSchema;

use crate::pipeline::review::human::Human;

/// The rate that people would have given, for the traffic that draws for review speak of.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct HumanView {
    /// The share, 0 to 1; null while nothing is labelled.
    pub estimate: Option<f64>,
    pub low: Option<f64>,
    pub high: Option<f64>,
    pub std_error: Option<f64>,
    /// The judge's own rate over the same interactions, uncorrected.
    pub judge_estimate: Option<f64>,
    /// How estimate and interval were made, such as `gold/normal`.
    pub method: Option<String>,
    /// Judged interactions that the draws speak of.
    pub judged: u64,
    /// How many of them were drawn for people.
    pub drawn: u64,
    /// How many of them have a label.
    pub labels: u64,
    /// Share of what was drawn that has a label, weighted by the design.
    pub coverage: Option<f64>,
    /// Share of equal answers of people and judge, yes from 0.5 on, in all of the traffic.
    pub agreement: Option<FigureView>,
    /// Cohen's kappa; null where all have one answer from both.
    pub kappa: Option<FigureView>,
    /// The rate if all labels that are missing were no, and yes.
    pub bounds: Option<[f64; 2]>,
    /// What to know before trusting it: as of estimates, and `too_many_judged` where the range holds more than is looked at.
    pub warnings: Vec<String>,
}

/// A figure with its limits.
#[derive(Debug, Serialize, ToSchema)]
pub struct FigureView {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

impl From<Figure> for FigureView {
    fn from(figure: Figure) -> Self {
        Self { value: figure.value, low: figure.low, high: figure.high }
    }
}

impl HumanView {
    /// Nothing is said: see `too_many_judged`.
    pub fn too_many() -> Self {
        Self { warnings: vec!["too_many_judged".to_owned()], ..Self::default() }
    }
}

impl From<Human> for HumanView {
    fn from(human: Human) -> Self {
        let c = human.corrected.as_ref();
        Self {
            estimate: c.map(|c| c.value),
            low: c.map(|c| c.low),
            high: c.map(|c| c.high),
            std_error: c.map(|c| c.std_error),
            judge_estimate: c.map(|c| c.judge),
            method: c.map(|c| format!("gold/{}", c.interval.name())),
            judged: human.judged,
            drawn: human.drawn,
            labels: human.labels,
            coverage: c.map(|c| c.coverage),
            agreement: human.agreement.map(FigureView::from),
            kappa: human.kappa.map(FigureView::from),
            bounds: c.map(|c| [c.bound_low, c.bound_high]),
            warnings: c.map(|c| c.warnings.iter().map(|warning| warning.name().to_owned()).collect()).unwrap_or_default(),
        }
    }
}
