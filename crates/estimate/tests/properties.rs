//! What holds for any sums: order of the limits, no panic, no NaN, and that buckets add up to rows.

use assize_estimate::{Bucket, Estimand, Estimate, EstimateError, Estimator, Item, Options, estimate};
use proptest::prelude::*;

fn item() -> impl Strategy<Value = (i64, Item)> {
    let score = prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0f64];
    let probability = prop_oneof![Just(1.0), 0.001..=1.0f64];
    (0..5i64, probability, any::<bool>(), 0.0..=1.0f64, proptest::option::weighted(0.8, score)).prop_map(
        |(hour, probability, drawn, free, reference)| {
            (hour, Item { probability, drawn, free, reference: reference.filter(|_| drawn) })
        },
    )
}

fn options() -> impl Strategy<Value = Options> {
    let estimand = prop_oneof![Just(Estimand::Window), Just(Estimand::Process)];
    let estimator = prop_oneof![Just(Estimator::Hajek), Just(Estimator::HorvitzThompson), Just(Estimator::Ppi)];
    (0.001..0.9999f64, estimand, estimator).prop_map(|(level, estimand, estimator)| Options {
        level,
        estimand,
        estimator,
        ..Options::default()
    })
}

/// One bucket for every `share` items of an hour.
fn buckets(items: &[(i64, Item)], share: usize) -> Vec<Bucket> {
    let mut buckets = Vec::new();
    for hour in 0..5 {
        let rows: Vec<Item> = items.iter().filter(|(h, _)| *h == hour).map(|(_, item)| *item).collect();
        for rows in rows.chunks(share) {
            let mut bucket = Bucket { hour, ..Bucket::default() };
            rows.iter().for_each(|item| bucket.push(*item));
            buckets.push(bucket);
        }
    }
    buckets
}

fn ordered(e: &Estimate) -> bool {
    0.0 <= e.low && e.low <= e.value && e.value <= e.high && e.high <= 1.0
}

fn figure() -> impl Strategy<Value = f64> {
    prop_oneof![0.0..100.0f64, any::<f64>(), Just(f64::NAN), Just(f64::INFINITY), Just(1e60), Just(f64::MIN_POSITIVE)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn limits_are_in_order(items in prop::collection::vec(item(), 0..120), options in options()) {
        let judged = items.iter().filter(|(_, item)| item.reference.is_some()).count() as u64;
        match estimate(&buckets(&items, 1000), &options).unwrap() {
            None => prop_assert_eq!(judged, 0),
            Some(e) => {
                prop_assert!(ordered(&e), "{e:?}");
                prop_assert_eq!((e.judged, e.population), (judged, items.len() as u64));
                prop_assert!(e.std_error.is_finite() && e.std_error >= 0.0);
                prop_assert!(e.coverage > 0.0 && e.coverage <= 1.0);
                prop_assert!(0.0 <= e.bound_low && e.bound_low <= e.bound_high && e.bound_high <= 1.0);
                if options.estimator == Estimator::Hajek {
                    prop_assert!(e.bound_low <= e.value + 1e-9 && e.value <= e.bound_high + 1e-9, "{e:?}");
                }
            }
        }
    }

    #[test]
    fn order_and_split_of_buckets_change_nothing(items in prop::collection::vec(item(), 1..120), options in options(), share in 1..20usize) {
        let whole = estimate(&buckets(&items, 1000), &options).unwrap();
        let mut parts = buckets(&items, share);
        parts.reverse();
        let parts = estimate(&parts, &options).unwrap();
        prop_assert_eq!(whole.is_some(), parts.is_some());
        if let (Some(a), Some(b)) = (whole, parts) {
            for (x, y) in [(a.value, b.value), (a.std_error, b.std_error), (a.coverage, b.coverage), (a.bound_high, b.bound_high)] {
                prop_assert!((x - y).abs() < 1e-7, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn any_figures_give_an_answer_or_an_error(
        figures in prop::collection::vec(figure(), 16), counts in prop::array::uniform4(prop_oneof![0..50u64, any::<u64>()]), options in options()
    ) {
        let [population, drawn, judged, positives] = counts;
        let mut bucket = Bucket { population, drawn, judged, positives, ..Bucket::default() };
        bucket.w.copy_from_slice(&figures[..6]);
        bucket.q.copy_from_slice(&figures[6..12]);
        [bucket.g, bucket.gg, bucket.drawn_w, bucket.max_w] = [figures[12], figures[13], figures[14], figures[15]];
        match estimate(&[bucket.clone(), bucket], &options) {
            Ok(Some(e)) => prop_assert!(ordered(&e), "{e:?}"),
            Ok(None) => {}
            Err(error) => prop_assert!(matches!(error, EstimateError::Sums { .. }), "{error}"),
        }
    }

    /// The extremes that pass the checks: the weights of one item scaled far beyond any real probability.
    #[test]
    fn extreme_probabilities_stay_finite(exponent in 0..29i32, h in 0.0..=1.0f64, missing in 0..3u64, options in options()) {
        let mut bucket = Bucket::default();
        let item = Item { probability: 10f64.powi(-exponent), drawn: true, free: 0.0, reference: Some(h) };
        bucket.push(item);
        bucket.push(Item { probability: 1.0, reference: Some(1.0 - h), ..item });
        (0..missing).for_each(|_| bucket.push(Item { reference: None, ..item }));
        let e = estimate(&[bucket], &options).unwrap().unwrap();
        prop_assert!(ordered(&e) && e.std_error.is_finite(), "{e:?}");
    }
}

/// The equations, read off the page and applied to rows, against sums of buckets.
#[test]
fn merged_buckets_equal_rows() {
    // Forty hours of 60 items, probabilities and failures that differ by hour, scores between 0 and 1.
    let mut rows = Vec::new();
    for i in 0..2400i64 {
        let x = (i * 7919 % 1009) as f64 / 1009.0;
        let (hour, probability) = (i / 60, if i % 3 == 0 { 0.5 } else { 0.8 - 0.01 * (i / 60) as f64 });
        let drawn = (i * 31 % 101) as f64 / 101.0 < probability;
        let fails = i * 17 % 97 < hour;
        let reference = (drawn && !fails).then_some(if x < 0.3 { 1.0 } else { x * x });
        rows.push((hour, Item { probability, drawn, free: x, reference }));
    }
    let mut hours: Vec<Bucket> = (0..40).map(|hour| Bucket { hour, ..Bucket::default() }).collect();
    rows.iter().for_each(|(hour, item)| hours[*hour as usize].push(*item));
    // Cells by the rule: every hour here has between 30 and 60 drawn, except where hours are joined.
    let mut cell_of = vec![0; 40];
    let (mut cell, mut drawn, mut judged) = (0, 0, 0);
    for (hour, bucket) in hours.iter().enumerate() {
        cell_of[hour] = cell;
        (drawn, judged) = (drawn + bucket.drawn, judged + bucket.judged);
        if drawn >= 30 && judged >= 10 {
            (cell, drawn, judged) = (cell + 1, 0, 0);
        }
    }
    if drawn > 0 {
        cell_of.iter_mut().filter(|c| **c == cell).for_each(|c| *c = cell - 1);
    }
    let response = |cell: usize| {
        let of = rows.iter().filter(|(hour, item)| cell_of[*hour as usize] == cell && item.drawn);
        let sum = |judged: bool| {
            of.clone()
                .filter(|(_, item)| !judged || item.reference.is_some())
                .map(|(_, item)| 1.0 / item.probability)
                .sum::<f64>()
        };
        sum(true) / sum(false)
    };
    let judged: Vec<(f64, f64)> = rows
        .iter()
        .filter_map(|(hour, item)| Some((item.probability * response(cell_of[*hour as usize]), item.reference?)))
        .collect();
    let total: f64 = judged.iter().map(|(p, _)| 1.0 / p).sum();
    let value = judged.iter().map(|(p, h)| h / p).sum::<f64>() / total;
    let hajek = judged.iter().map(|(p, h)| (1.0 - p) / (p * p) * (h - value).powi(2)).sum::<f64>() / (total * total);
    // With the factor n/(n - 1) of small samples, and the value less the bias of a quotient.
    let bias = judged.iter().map(|(p, h)| (1.0 - p) / (p * p) * (h - value)).sum::<f64>() / (total * total);
    let freedom = judged.len() as f64 / (judged.len() as f64 - 1.0);
    let hajek = hajek * freedom;
    let process = freedom * judged.iter().map(|(p, h)| ((h - value) / p).powi(2)).sum::<f64>() / (total * total);
    let n = rows.len() as f64;
    let ht = judged.iter().map(|(p, h)| (1.0 - p) / (p * p) * h * h).sum::<f64>() / (n * n);

    let e = |estimand, estimator| estimate(&hours, &Options { estimand, estimator, ..Options::default() }).unwrap().unwrap();
    let window = e(Estimand::Window, Estimator::Hajek);
    assert!(window.coverage < 0.95 && cell_of.iter().max() < Some(&39), "failures and joined hours are part of this test");
    assert!((window.value - value - bias).abs() < 1e-9 && (window.std_error - hajek.sqrt()).abs() < 1e-9);
    assert!((e(Estimand::Process, Estimator::Hajek).std_error - process.sqrt()).abs() < 1e-9);
    let total = e(Estimand::Window, Estimator::HorvitzThompson);
    assert!((total.value - judged.iter().map(|(p, h)| h / p).sum::<f64>() / n).abs() < 1e-9);
    assert!((total.std_error - ht.sqrt()).abs() < 1e-9);

    let mut merged = [1, 1].map(|hour| Bucket { hour, ..Bucket::default() });
    hours.iter().enumerate().for_each(|(i, bucket)| merged[i % 2].add(bucket).unwrap());
    let full: Vec<Bucket> = hours.iter().map(|b| Bucket { drawn: b.judged, drawn_w: b.w[0], ..b.clone() }).collect();
    let joined = merged.map(|b| Bucket { drawn: b.judged, drawn_w: b.w[0], ..b });
    let of =
        |buckets: &[Bucket]| estimate(buckets, &Options { estimator: Estimator::Hajek, ..Options::default() }).unwrap().unwrap();
    let (a, b) = (of(&full), of(&joined));
    assert!((a.value - b.value).abs() < 1e-9 && (a.low - b.low).abs() < 1e-9 && (a.high - b.high).abs() < 1e-9);
}
