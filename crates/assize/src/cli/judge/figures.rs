//! How well scores agree with gold labels, as it is printed: by how the labels came to be, and by slice.

use std::collections::BTreeMap;

use assize_estimate::agreement::{Confusion, Drawn, Figure, Quality};
use assize_estimate::calibration::{Binning, Scored, auc, reliability};
use assize_estimate::{Estimand, EstimateError};
use serde::Serialize;

use super::clusters::Clusters;
use crate::cli::eval::summary::{percent, thousands};

/// Bins of the reliability diagram.
const BINS: usize = 10;
/// Values of a slice whose figures are given, at the most: those with most items.
const VALUES_MAX: usize = 50;
/// Drawn labels speak of what produces the traffic, not of one window of it alone.
pub const ESTIMAND: Estimand = Estimand::Process;

/// One judged interaction with its gold label.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub gold: f64,
    pub score: f64,
    /// With which it was drawn for its label; `None` where somebody chose it.
    pub probability: Option<f64>,
}

/// How the labels came to be. Figures of one are never mixed with those of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// By chance, with a recorded probability.
    Drawn,
    /// Somebody chose them.
    HandPicked,
}

impl Source {
    pub fn of(probability: Option<f64>) -> Self {
        if probability.is_some() { Self::Drawn } else { Self::HandPicked }
    }

    pub const ALL: [Self; 2] = [Self::Drawn, Self::HandPicked];

    /// What its figures speak of.
    pub fn speaks_of(self) -> &'static str {
        match self {
            Self::Drawn => "drawn with recorded probability; the figures speak of the traffic that they were drawn from",
            Self::HandPicked => "hand-picked; the figures speak of these, and of others only as far as those are like them",
        }
    }
}

/// A figure with its limits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limited {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// That of items on their own.
    #[serde(skip)]
    pub std_error: f64,
}

impl From<Figure> for Limited {
    fn from(Figure { value, low, high, std_error }: Figure) -> Self {
        Self { value, low, high, std_error }
    }
}

impl Limited {
    /// `91.0 %   86.2 to 94.2 %`
    pub fn percent(&self) -> String {
        format!("{:6.1} %   {:.1} to {:.1} %", self.value * 100.0, self.low * 100.0, self.high * 100.0)
    }

    /// `0.812   0.720 to 0.881`
    pub fn plain(&self) -> String {
        format!("{:8.3}   {:.3} to {:.3}", self.value, self.low, self.high)
    }
}

/// Counts of two labels against two labels: rows no and yes of the first, columns no and yes of the second.
pub type Counts = [[u64; 2]; 2];

/// How good scores are as probabilities.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibration {
    /// Expected calibration error over the bins.
    pub ece: f64,
    pub brier: f64,
    /// What of the Brier score comes of scores that do not mean what they say.
    pub miscalibration: f64,
    /// How often a positive scores above a negative; null where there are none of one kind.
    pub auc: Option<Limited>,
    pub bins: Vec<Bin>,
}

/// Items of similar score.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    pub lowest: f64,
    pub highest: f64,
    pub items: usize,
    pub share: f64,
    /// Mean score.
    pub score: f64,
    /// Rate of positive gold labels, with its limits.
    pub rate: f64,
    pub low: f64,
    pub high: f64,
}

/// All figures of one set of items.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub items: u64,
    pub agreement: Limited,
    /// Agreement that independent labels with the same rates would have.
    pub chance_agreement: f64,
    /// Cohen's kappa; null where all have one label from both.
    pub kappa: Option<Limited>,
    /// Of what the judge calls positive, the share that is.
    pub precision: Option<Limited>,
    /// Of what is positive, the share that the judge calls so.
    pub recall: Option<Limited>,
    pub f1: Option<Limited>,
    /// Gold against judge, items counted.
    pub confusion: Counts,
    pub calibration: Calibration,
}

/// The figures of the items of one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    pub source: Source,
    #[serde(flatten)]
    pub figures: Figures,
    /// By key, then by value.
    pub slices: BTreeMap<String, Slices>,
}

/// The figures by value of one key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Slices {
    pub values: BTreeMap<String, Figures>,
    /// Values beyond those with most items, and their items.
    pub other_values: usize,
    pub other_items: u64,
}

/// What two labels say of each other: from items that are all drawn, or all not.
pub fn confusion(pairs: &[(bool, bool, Option<f64>)]) -> Result<Confusion, EstimateError> {
    let label = usize::from;
    if pairs.iter().any(|(.., probability)| probability.is_some()) {
        let drawn = pairs.iter().map(|(first, second, probability)| Drawn {
            gold: label(*first),
            judge: label(*second),
            // One without a probability among those that have one is refused, not taken for certain.
            probability: probability.unwrap_or(f64::NAN),
        });
        return Confusion::drawn(2, drawn, ESTIMAND);
    }
    Confusion::hand_picked(2, pairs.iter().map(|(first, second, _)| (label(*first), label(*second))))
}

/// The unweighted counts of a confusion of two labels.
pub fn counts(confusion: &Confusion) -> Counts {
    [0, 1].map(|first| [0, 1].map(|second| confusion.items(first, second)))
}

/// The figures of items of one source; `None` without items.
pub fn figures(points: &[Point], threshold: f64, level: f64) -> Result<Option<Figures>, EstimateError> {
    let pairs: Vec<_> = points.iter().map(|point| (point.gold >= 0.5, point.score >= threshold, point.probability)).collect();
    let confusion = confusion(&pairs)?;
    let Some(Quality { items, agreement, chance, kappa, labels, .. }) = confusion.quality(level)? else { return Ok(None) };
    let weight = |point: &Point| point.probability.map_or(1.0, |probability| 1.0 / probability);
    let scored = |point: &Point| Scored { score: point.score, positive: point.gold >= 0.5, weight: weight(point) };
    let scored: Vec<Scored> = points.iter().map(scored).collect();
    let Some(reliable) = reliability(&scored, Binning::EqualWidth(BINS), level)? else { return Ok(None) };
    let auc =
        auc(&scored, level)?.map(|auc| Limited { value: auc.value, low: auc.low, high: auc.high, std_error: auc.std_error });
    let bin = |bin: &assize_estimate::calibration::Bin| Bin {
        lowest: bin.lowest,
        highest: bin.highest,
        items: bin.items,
        share: bin.share,
        score: bin.score,
        rate: bin.rate,
        low: bin.low,
        high: bin.high,
    };
    let positive = labels.get(1);
    Ok(Some(Figures {
        items,
        agreement: agreement.into(),
        chance_agreement: chance,
        kappa: kappa.map(Limited::from),
        precision: positive.and_then(|label| label.precision).map(Limited::from),
        recall: positive.and_then(|label| label.recall).map(Limited::from),
        f1: positive.and_then(|label| label.f1).map(Limited::from),
        confusion: counts(&confusion),
        calibration: Calibration {
            ece: reliable.expected_error,
            brier: reliable.brier,
            miscalibration: reliable.miscalibration,
            auc,
            bins: reliable.bins.iter().map(bin).collect(),
        },
    }))
}

/// [`figures`], with limits that know of clusters, which are named for each point.
pub fn clustered<'c>(
    points: &[Point],
    names: impl IntoIterator<Item = Option<&'c str>>,
    threshold: f64,
    level: f64,
) -> Result<Option<Figures>, EstimateError> {
    let Some(mut whole) = figures(points, threshold, level)? else { return Ok(None) };
    let Some(clusters) = Clusters::of(names) else { return Ok(Some(whole)) };
    let limited = |keep: &dyn Fn(usize) -> bool| {
        let kept = points.iter().enumerate().filter(|(at, _)| keep(*at)).map(|(_, point)| *point).collect::<Vec<_>>();
        let found = figures(&kept, threshold, level)?;
        Ok(found.map_or([None; 6], |f| [Some(f.agreement), f.kappa, f.precision, f.recall, f.f1, f.calibration.auc]))
    };
    let [agreement, kappa, precision, recall, f1, auc] = clusters.widened([0.0, -1.0, 0.0, 0.0, 0.0, 0.0], level, limited)?;
    whole.agreement = agreement.unwrap_or(whole.agreement);
    (whole.kappa, whole.precision, whole.recall, whole.f1, whole.calibration.auc) = (kappa, precision, recall, f1, auc);
    Ok(Some(whole))
}

/// A point with what its line says of it.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'g> {
    pub point: Point,
    /// Values of the slices, in the order of their keys.
    pub slices: &'g [String],
    pub cluster: Option<&'g str>,
}

fn of_placed(placed: &[&Placed<'_>], threshold: f64, level: f64) -> Result<Option<Figures>, EstimateError> {
    let points: Vec<Point> = placed.iter().map(|one| one.point).collect();
    clustered(&points, placed.iter().map(|one| one.cluster), threshold, level)
}

/// The figures by source and slice; `keys` names the slices.
pub fn groups(placed: &[Placed<'_>], keys: &[String], threshold: f64, level: f64) -> Result<Vec<Group>, EstimateError> {
    let mut groups = Vec::new();
    for source in Source::ALL {
        let of_source: Vec<&Placed<'_>> = placed.iter().filter(|one| Source::of(one.point.probability) == source).collect();
        let Some(whole) = of_placed(&of_source, threshold, level)? else { continue };
        let mut by_key = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let mut by_value: BTreeMap<&str, Vec<&Placed<'_>>> = BTreeMap::new();
            for one in &of_source {
                if let Some(value) = one.slices.get(at) {
                    by_value.entry(value).or_default().push(one);
                }
            }
            let mut largest: Vec<(&str, Vec<&Placed<'_>>)> = by_value.into_iter().collect();
            largest.sort_by_key(|(_, placed)| std::cmp::Reverse(placed.len()));
            let others = largest.split_off(largest.len().min(VALUES_MAX));
            let mut values = BTreeMap::new();
            for (value, placed) in largest {
                if let Some(figures) = of_placed(&placed, threshold, level)? {
                    values.insert(value.to_owned(), figures);
                }
            }
            let other_items = others.iter().map(|(_, placed)| placed.len() as u64).sum();
            by_key.insert(key.clone(), Slices { values, other_values: others.len(), other_items });
        }
        groups.push(Group { source, figures: whole, slices: by_key });
    }
    Ok(groups)
}

/// A confusion for people: what stands in the rows, what in the columns.
pub fn confusion_lines(counts: &Counts, rows: &str, columns: &str) -> Vec<String> {
    let heads = [format!("{columns} no"), format!("{columns} yes")];
    let widths = heads.each_ref().map(|head| head.chars().count().max(8));
    let label = rows.chars().count() + 4;
    let mut lines = vec![format!("{:label$}   {:>a$}   {:>b$}", "", heads[0], heads[1], a = widths[0], b = widths[1])];
    for (row, word) in counts.iter().zip(["no", "yes"]) {
        let [no, yes] = row.map(thousands);
        lines.push(format!("{:label$}   {no:>a$}   {yes:>b$}", format!("{rows} {word}"), a = widths[0], b = widths[1]));
    }
    lines
}

impl Group {
    /// The figures for people.
    pub fn lines(&self, level: f64) -> Vec<String> {
        let figures = &self.figures;
        let none = || "       –".to_owned();
        let percentage = |figure: &Option<Limited>| figure.as_ref().map_or_else(none, Limited::percent);
        let plain = |figure: &Option<Limited>| figure.as_ref().map_or_else(none, Limited::plain);
        let mut lines = vec![
            format!("{} items, {}", thousands(figures.items), self.source.speaks_of()),
            format!("  {:22}   value   {} interval", "", percent(level)),
        ];
        for (name, figure) in [
            ("agreement", figures.agreement.percent()),
            ("Cohen's kappa", plain(&figures.kappa)),
            ("precision", percentage(&figures.precision)),
            ("recall", percentage(&figures.recall)),
            ("F1", percentage(&figures.f1)),
            ("AUC", plain(&figures.calibration.auc)),
            ("calibration error", format!("{:8.3}", figures.calibration.ece)),
            ("Brier score", format!("{:8.3}", figures.calibration.brier)),
        ] {
            lines.push(format!("  {name:20} {figure}"));
        }
        lines.extend(confusion_lines(&figures.confusion, "gold", "judge").into_iter().map(|line| format!("  {line}")));
        for (key, slices) in &self.slices {
            let width = slices.values.keys().map(|value| value.chars().count()).max().unwrap_or(0).max(key.chars().count());
            lines.push(format!("  {key:width$}   {:>8}   agreement                    kappa", "items"));
            for (value, figures) in &slices.values {
                let agreement = figures.agreement.percent();
                let kappa = plain(&figures.kappa);
                lines.push(format!("  {value:width$}   {:>8}   {agreement:26} {kappa}", thousands(figures.items)));
            }
            if slices.other_values > 0 {
                let (values, items) = (thousands(slices.other_values as u64), thousands(slices.other_items));
                lines.push(format!("  and {values} more values with {items} items"));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(counts: Counts, probability: Option<f64>) -> Vec<Point> {
        let of = |gold: usize, score: usize, n: u64| {
            std::iter::repeat_n(Point { gold: gold as f64, score: score as f64, probability }, n as usize)
        };
        [0, 1]
            .into_iter()
            .flat_map(|gold| [0, 1].into_iter().flat_map(move |judge| of(gold, judge, counts[gold][judge])))
            .collect()
    }

    #[test]
    fn a_known_confusion_has_known_figures() {
        // 20 and 15 of 50 agree: p_o = .7, p_e = .5 * .6 + .5 * .4 = .5, kappa = .4 (Cohen's textbook case).
        let found = figures(&points([[15, 10], [5, 20]], None), 0.5, 0.95).unwrap().unwrap();
        assert!((found.agreement.value - 0.7).abs() < 1e-12 && (found.chance_agreement - 0.5).abs() < 1e-12);
        assert!((found.kappa.unwrap().value - 0.4).abs() < 1e-12);
        assert_eq!(found.confusion, [[15, 10], [5, 20]]);
        assert!((found.precision.unwrap().value - 20.0 / 30.0).abs() < 1e-12);
        assert!((found.recall.unwrap().value - 0.8).abs() < 1e-12);
        assert!((found.calibration.brier - 0.3).abs() < 1e-12, "labels taken for probabilities");
        // Positives above negatives: .8 * .6 + ties (.8 * .4 + .2 * .6)/2.
        assert!((found.calibration.auc.unwrap().value - 0.7).abs() < 1e-12);
        // Wilson for 35 of 50.
        assert!(
            (found.agreement.low - 0.5623).abs() < 5e-4 && (found.agreement.high - 0.8090).abs() < 5e-4,
            "{:?}",
            found.agreement
        );
    }

    #[test]
    fn sources_are_never_mixed() {
        let mut all = points([[10, 0], [0, 10]], Some(0.1));
        all.extend(points([[0, 10], [10, 0]], None));
        let with: Vec<Placed<'_>> = all.iter().map(|point| Placed { point: *point, slices: &[], cluster: None }).collect();
        let found = groups(&with, &[], 0.5, 0.95).unwrap();
        assert_eq!(
            found.iter().map(|group| (group.source, group.figures.agreement.value)).collect::<Vec<_>>(),
            [(Source::Drawn, 1.0), (Source::HandPicked, 0.0)]
        );
        let mixed = [(true, true, Some(0.5)), (true, true, None)];
        assert!(confusion(&mixed).is_err(), "one without a probability is not taken for certain");
    }

    #[test]
    fn drawn_items_weigh_by_their_probability() {
        let mut all = points([[0, 0], [0, 30]], Some(0.5));
        all.extend(points([[0, 30], [0, 0]], Some(0.1)));
        let found = figures(&all, 0.5, 0.95).unwrap().unwrap();
        // 60 of 360.
        assert!((found.agreement.value - 1.0 / 6.0).abs() < 1e-12, "{:?}", found.agreement);
    }

    #[test]
    fn few_values_are_told_and_the_rest_counted() {
        let values: Vec<[String; 1]> = (0..60).map(|n| [format!("v{n:02}")]).collect();
        fn place(value: &[String; 1]) -> Placed<'_> {
            Placed { point: Point { gold: 1.0, score: 0.9, probability: None }, slices: value.as_slice(), cluster: None }
        }
        let mut with: Vec<Placed<'_>> = values.iter().map(place).collect();
        with.push(place(&values[59]));
        let found = groups(&with, &["k".to_owned()], 0.5, 0.95).unwrap();
        let slices = &found[0].slices["k"];
        assert_eq!((slices.values.len(), slices.other_values, slices.other_items), (50, 10, 10));
        assert_eq!(slices.values["v59"].items, 2, "the largest is told");
        assert!(found[0].lines(0.95).iter().any(|line| line.contains("10 more values with 10 items")));
    }
}
