//! What holds for any judge and any gold labels: order of the limits, no panic, no NaN, and what changes nothing.

use assize_estimate::agreement::{Confusion, Drawn, Figure};
use assize_estimate::binomial::{binomial_cdf, clopper_pearson, incomplete_beta};
use assize_estimate::bridge::{Pair, Refusal, bridge};
use assize_estimate::calibration::{Binning, Isotonic, Platt, Scored, auc, reliability};
use assize_estimate::gold::{Label, Stratum, correct};
use assize_estimate::reuse::Audits;
use assize_estimate::trust::{Clustered, Item, calibrate, default_thresholds, split_study};
use assize_estimate::{Estimand, EstimateError};
use proptest::prelude::*;

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), Just(0.5), 0.0..=1.0f64]
}

fn probability() -> impl Strategy<Value = f64> {
    prop_oneof![Just(1.0), 0.001..=1.0f64, Just(1e-25)]
}

fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..=1.0f64, any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(f64::MIN_POSITIVE), Just(-1e30), Just(1e30)]
}

fn estimand() -> impl Strategy<Value = Estimand> {
    prop_oneof![Just(Estimand::Window), Just(Estimand::Process)]
}

fn scored() -> impl Strategy<Value = Vec<Scored>> {
    let item = (score(), any::<bool>(), prop_oneof![Just(1.0), 0.01..100.0f64]);
    prop::collection::vec(item.prop_map(|(score, positive, weight)| Scored { score, positive, weight }), 0..60)
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    let item = (prop_oneof![score(), -1e9..1e9f64], prop::bool::weighted(0.95));
    prop::collection::vec(item.prop_map(|(confidence, agrees)| Item { confidence, agrees }), 0..150)
}

fn ordered(figure: &Figure, least: f64) -> bool {
    let Figure { value, low, high, std_error } = *figure;
    least <= low && low <= value && value <= high && high <= 1.0 + 1e-12 && std_error >= 0.0 && std_error.is_finite()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agreement_is_in_order(
        rows in prop::collection::vec((0..4usize, 0..4usize, probability()), 0..60), estimand in estimand(), level in 0.01..0.9999f64
    ) {
        let drawn = rows.iter().map(|&(gold, judge, probability)| Drawn { gold, judge, probability });
        let confusion = Confusion::drawn(4, drawn, estimand).unwrap();
        let picked = Confusion::hand_picked(4, rows.iter().map(|row| (row.0, row.1))).unwrap();
        for confusion in [confusion, picked] {
            let Some(quality) = confusion.quality(level).unwrap() else {
                prop_assert!(rows.is_empty());
                continue;
            };
            prop_assert!(ordered(&quality.agreement, 0.0) && (0.0..=1.0 + 1e-12).contains(&quality.chance), "{quality:?}");
            prop_assert!(quality.kappa.iter().all(|kappa| ordered(kappa, -1.0 - 1e-12)), "{quality:?}");
            for label in &quality.labels {
                prop_assert!([label.precision, label.recall, label.f1].iter().flatten().all(|f| ordered(f, 0.0)), "{label:?}");
            }
            let shares: f64 = (0..16).map(|i| confusion.share(i / 4, i % 4)).sum();
            prop_assert!((shares - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn calibration_is_in_order(items in scored(), bins in 1..30usize, equal in any::<bool>(), level in 0.01..0.9999f64) {
        let binning = if equal { Binning::EqualWeight(bins) } else { Binning::EqualWidth(bins) };
        if let Some(found) = reliability(&items, binning, level).unwrap() {
            prop_assert!(found.bins.len() <= bins && found.bins.windows(2).all(|two| two[0].highest < two[1].lowest));
            let sum = found.miscalibration - found.resolution + found.uncertainty + found.within;
            prop_assert!((sum - found.brier).abs() < 1e-9);
            prop_assert!(found.expected_error <= found.largest_error + 1e-12 && found.largest_error <= 1.0);
        }
        if let Some(found) = auc(&items, level).unwrap() {
            prop_assert!(0.0 <= found.low && found.low <= found.value && found.value <= found.high && found.high <= 1.0, "{found:?}");
            prop_assert!(found.std_error.is_finite() && found.std_error_hanley_mcneil.is_finite());
            let turned: Vec<Scored> = items.iter().map(|item| Scored { score: -item.score, ..*item }).collect();
            prop_assert!((auc(&turned, level).unwrap().unwrap().value - (1.0 - found.value)).abs() < 1e-9);
        }
        if let Some(fitted) = Isotonic::fit(&items).unwrap() {
            let rates: Vec<f64> = (-10..=110).map(|i| fitted.rate(f64::from(i) / 100.0)).collect();
            prop_assert!(rates.windows(2).all(|two| two[0] <= two[1] + 1e-12) && rates.iter().all(|rate| (-1e-12..=1.0 + 1e-12).contains(rate)));
            let platt = Platt::fit(&items).unwrap().unwrap();
            prop_assert!(platt.slope.is_finite() && (0.0..=1.0).contains(&platt.rate(0.3)), "{platt:?}");
        }
    }

    #[test]
    fn binomial_limits_are_in_order(n in 0..5_000u64, part in 0.0..=1.0f64, level in 0.001..0.9999f64, x in 0.0..=1.0f64) {
        let count = (n as f64 * part) as u64;
        let found = clopper_pearson(count, n, level);
        prop_assert!(0.0 <= found.low && found.low <= found.high && found.high <= 1.0, "{found:?}");
        prop_assert!(n == 0 || found.low <= count as f64 / n as f64 && count as f64 / n as f64 <= found.high);
        let cdf = binomial_cdf(count, n, x);
        prop_assert!((0.0..=1.0).contains(&cdf) && cdf <= binomial_cdf(count + 1, n, x) + 1e-12);
        let (a, b) = (count as f64 + 0.5, (n - count) as f64 + 0.25);
        prop_assert!((incomplete_beta(x, a, b) + incomplete_beta(1.0 - x, b, a) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn trust_is_sound(items in items(), alpha in 0.02..0.5f64, delta in 0.01..0.5f64, scale in 0.1..10.0f64) {
        let thresholds = default_thresholds(&items, alpha, delta);
        prop_assert!(thresholds.windows(2).all(|two| two[0] > two[1]) && thresholds.len() <= 20);
        let found = calibrate(&items, &thresholds, alpha, delta).unwrap();
        if let Some(found) = found {
            let admitted = items.iter().filter(|item| item.confidence >= found.threshold);
            let wrong = admitted.clone().filter(|item| !item.agrees).count() as u64;
            prop_assert_eq!((found.admitted, found.disagreements), (admitted.count() as u64, wrong));
            prop_assert!(found.bound <= alpha + 1e-9 && (wrong as f64) < alpha * found.admitted as f64);
        }
        // Only the order of confidences matters, and not the order of the items.
        let mut other: Vec<Item> = items.iter().map(|item| Item { confidence: item.confidence * scale, ..*item }).collect();
        other.reverse();
        let same = calibrate(&other, &default_thresholds(&other, alpha, delta), alpha, delta).unwrap();
        prop_assert_eq!(found.map(|f| (f.admitted, f.disagreements)), same.map(|f| (f.admitted, f.disagreements)));
        // Fewer chances to err, or a lower limit, never trust more.
        let stricter = calibrate(&items, &thresholds, alpha / 2.0, delta).unwrap();
        prop_assert!(stricter.map_or(0, |f| f.admitted) <= found.map_or(0, |f| f.admitted));
    }

    #[test]
    fn studies_add_up(items in items(), clusters in 1..40u64, seed in any::<u64>()) {
        let rows: Vec<Clustered> =
            items.iter().enumerate().map(|(i, item)| Clustered { item: *item, cluster: i as u64 % clusters }).collect();
        match split_study(&rows, 0.2, 0.2, 5, seed) {
            Ok(study) => {
                prop_assert!(study.violations <= study.trusting && study.held_out_violations <= study.trusting && study.trusting <= 5);
                prop_assert!((0.0..=1.0).contains(&study.calls_saved) && (0.0..=1.0).contains(&study.agreement_untrusted));
                prop_assert!(study.agreement.is_none_or(|agreement| (0.0..=1.0).contains(&agreement)));
            }
            Err(error) => prop_assert!(items.len().min(clusters as usize) < 2, "{error}"),
        }
    }

    #[test]
    fn corrected_rates_are_in_order(
        strata in prop::collection::vec(prop::collection::vec((score(), proptest::option::weighted(0.8, score()), probability()), 0..80), 0..4),
        undrawn in 0..500u64, estimand in estimand(), level in 0.01..0.9999f64
    ) {
        let strata: Vec<Stratum> = strata.into_iter().map(|rows| {
            let drawn: Vec<Label> = rows.into_iter().map(|(judge, human, probability)| Label { probability, judge, human }).collect();
            let judge_sum = drawn.iter().map(|label| label.judge).sum::<f64>() + 0.3 * undrawn as f64;
            Stratum { population: drawn.len() as u64 + undrawn, judge_sum, drawn }
        }).collect();
        let labels = strata.iter().flat_map(|stratum| &stratum.drawn).filter(|label| label.human.is_some()).count() as u64;
        match correct(&strata, level, estimand).unwrap() {
            None => prop_assert_eq!(labels, 0),
            Some(found) => {
                prop_assert!(0.0 <= found.low && found.low <= found.value && found.value <= found.high && found.high <= 1.0, "{found:?}");
                prop_assert!(found.std_error.is_finite() && found.labels == labels && found.coverage > 0.0 && found.coverage <= 1.0);
                prop_assert!(found.bound_low <= found.bound_high + 1e-9 && (0.0..=1.0).contains(&found.judge), "{found:?}");
            }
        }
    }

    #[test]
    fn bridges_are_in_order_and_turn_around(
        rows in prop::collection::vec((score(), score(), probability()), 0..80), level in 0.01..0.9999f64
    ) {
        let pairs: Vec<Pair> = rows.iter().map(|&(old, new, probability)| Pair { old, new, probability }).collect();
        let back: Vec<Pair> = pairs.iter().map(|pair| Pair { old: pair.new, new: pair.old, ..*pair }).collect();
        match (bridge(&pairs, level), bridge(&back, level)) {
            (Ok(there), Ok(back)) => {
                let (a, b) = (there.shift, back.shift);
                prop_assert!(-1.0 <= a.low && a.low <= a.value && a.value <= a.high && a.high <= 1.0 && a.std_error.is_finite(), "{a:?}");
                prop_assert!((a.value + b.value).abs() < 1e-12 && (a.low + b.high).abs() < 1e-9 && (a.high + b.low).abs() < 1e-9, "{a:?} {b:?}");
            }
            (there, _) => {
                let expected = if pairs.is_empty() { Refusal::NoBridge } else { Refusal::FewPairs { pairs: pairs.len(), needed: 30 } };
                prop_assert!(pairs.len() < 30 && there == Err(expected));
            }
        }
    }

    #[test]
    fn any_figures_give_an_answer_or_an_error(figures in prop::collection::vec((figure(), figure(), figure()), 0..40), level in figure()) {
        let drawn: Vec<Drawn<f64>> = figures.iter().map(|&(gold, judge, probability)| Drawn { gold, judge, probability }).collect();
        let _ = Confusion::drawn_scores(level, &drawn, Estimand::Process).and_then(|confusion| confusion.quality(level));
        let scored: Vec<Scored> = figures.iter().map(|&(score, x, weight)| Scored { score, positive: x > 0.5, weight }).collect();
        let _ = reliability(&scored, Binning::EqualWidth(10), level);
        let _ = (auc(&scored, level), Isotonic::fit(&scored).map(|f| f.map(|f| f.rate(level))), Platt::fit(&scored).map(|f| f.map(|f| f.rate(level))));
        let items: Vec<Item> = figures.iter().map(|&(confidence, x, _)| Item { confidence, agrees: x > 0.5 }).collect();
        let _ = calibrate(&items, &default_thresholds(&items, level, 0.1), level, 0.1);
        let pairs: Vec<Pair> = figures.iter().map(|&(old, new, probability)| Pair { old, new, probability }).collect();
        let _ = bridge(&pairs, level);
        let drawn = figures.iter().map(|&(judge, human, probability)| Label { probability, judge, human: Some(human) }).collect();
        let strata = [Stratum { population: 40, judge_sum: level, drawn }];
        prop_assert!(correct(&strata, 0.95, Estimand::Window).map_or_else(|e| !matches!(e, EstimateError::Level(_)), |_| true));
        let mut audits = Audits::default();
        figures.iter().for_each(|figure| audits.push(figure.0));
        let (low, high) = (audits.lower(0.1).unwrap(), audits.upper(0.1).unwrap());
        prop_assert!(0.0 <= low && low <= high && high <= 1.0);
    }
}
