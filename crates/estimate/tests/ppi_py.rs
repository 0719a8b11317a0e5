//! Equality with `ppi_py` 0.2.3 in its own mode, on figures made by `fixtures/disjoint.py`.
#![cfg(test)]

use assize_estimate::estimator::ppi_disjoint;
use assize_estimate::{Bucket, Estimator, Item, Options, estimate};

const FIGURES: &str = include_str!("fixtures/disjoint.tsv");

/// Scores `(H, g)` as the script makes them.
fn scores(n: usize, offset: usize, [a, b, s, t, graded]: [f64; 5]) -> Vec<(f64, f64)> {
    let (phi, root) = ((5.0_f64.sqrt() - 1.0) / 2.0, 2.0_f64.sqrt());
    let score = |i: usize| {
        let (x, e) = ((i as f64 * phi).fract(), (i as f64 * root).fract());
        let h = if graded > 0.0 { x * x * (1.0 - s) + s * e } else { f64::from(u8::from(x + s * (e - 0.5) > t)) };
        (h, (a + b * x).clamp(0.0, 1.0))
    };
    (offset + 1..=offset + n).map(score).collect()
}

#[test]
fn equals_ppi_py() {
    let mut cases = 0;
    for line in FIGURES.lines() {
        let f: Vec<f64> = line.split('\t').map(|figure| figure.parse().unwrap()).collect();
        let (n, rest) = (f[0] as usize, f[1] as usize);
        let shape = [f[2], f[3], f[4], f[5], f[6]];
        let labelled = scores(n, 0, shape);
        let unlabelled: Vec<f64> = scores(rest, n, shape).into_iter().map(|(_, g)| g).collect();
        let found = ppi_disjoint(&labelled, &unlabelled, 1.0 - f[7]).unwrap().unwrap();
        for (name, got, theirs) in
            [("lam", found.lam, f[8]), ("value", found.value, f[9]), ("low", found.low, f[10]), ("high", found.high, f[11])]
        {
            assert!((got - theirs).abs() < 1e-9, "{line}: {name} is {got}");
        }
        cases += 1;
    }
    assert_eq!(cases, 6);
}

/// The estimator of this project has the judged among the traffic and its own lam; for a small part judged the two agree.
#[test]
fn the_own_estimator_is_near() {
    let shape = [0.0, 1.0, 0.9, 0.6, 0.0];
    let (labelled, rest) = (scores(400, 0, shape), scores(39_600, 400, shape));
    let unlabelled: Vec<f64> = rest.iter().map(|(_, g)| *g).collect();
    let theirs = ppi_disjoint(&labelled, &unlabelled, 0.95).unwrap().unwrap();
    let mut bucket = Bucket::default();
    let item = |drawn: bool, (h, g): &(f64, f64)| Item { probability: 0.01, drawn, free: *g, reference: drawn.then_some(*h) };
    labelled.iter().for_each(|scores| bucket.push(item(true, scores)));
    rest.iter().for_each(|scores| bucket.push(item(false, scores)));
    let own = estimate(&[bucket], &Options { estimator: Estimator::Ppi, ..Options::default() }).unwrap().unwrap();
    assert!(
        (own.value - theirs.value).abs() < 1e-3 && (own.std_error / theirs.std_error - 1.0).abs() < 0.02,
        "{own:?} {theirs:?}"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    assert!(ppi_disjoint(&[(f64::NAN, 0.5)], &[0.5], 0.95).is_err() && ppi_disjoint(&[(1.0, 0.5)], &[0.5], 1.0).is_err());
    assert_eq!(ppi_disjoint(&[], &[0.5], 0.95), Ok(None));
    assert_eq!(ppi_disjoint(&[(1.0, 0.5)], &[], 0.95), Ok(None));
}
