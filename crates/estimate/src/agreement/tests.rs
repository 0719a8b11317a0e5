//! Tests of agreement with gold labels.

use super::*;

/// One pair for each of the counts, given row by row.
fn pairs(labels: usize, counts: &[usize]) -> Vec<(usize, usize)> {
    counts.iter().enumerate().flat_map(|(i, count)| std::iter::repeat_n((i / labels, i % labels), *count)).collect()
}

fn picked(labels: usize, counts: &[usize]) -> Quality {
    Confusion::hand_picked(labels, pairs(labels, counts)).unwrap().quality(0.95).unwrap().unwrap()
}

#[track_caller]
fn close(got: f64, expected: f64, within: f64) {
    assert!((got - expected).abs() <= within, "{got}, not {expected}");
}

#[test]
fn published_kappa() {
    // Fleiss, Levin, Paik 2003, Statistical Methods for Rates and Proportions, table 18.1 (two diagnosticians, 100 subjects):
    // agreement .89, kappa .68 with standard error .087, limits .51 and .85 by the normal interval.
    let quality = picked(3, &[75, 1, 4, 5, 4, 1, 0, 0, 10]);
    let kappa = quality.kappa.unwrap();
    close(quality.agreement.value, 0.89, 1e-12);
    close(kappa.value, 0.68, 0.005);
    close(kappa.std_error, 0.087, 0.001);
    close(kappa.value - 1.96 * kappa.std_error, 0.51, 0.006);
    close(kappa.value + 1.96 * kappa.std_error, 0.85, 0.006);
    // The limits of this module lean to where the next disagreement would move kappa.
    assert!(kappa.low < 0.51 && kappa.low > 0.43 && kappa.high < 0.85 && kappa.high > 0.79, "{kappa:?}");
}

#[test]
fn kappa_of_two_labels_in_another_form() {
    // Fleiss, Cohen, Everitt 1969, equation 13: n var = (A + B - C)/(1 - p_e)^2, A over the diagonal, B over the rest.
    for counts in [[20, 5, 10, 15], [90, 3, 6, 1], [5, 40, 3, 2]] {
        let n: usize = counts.iter().sum();
        let p = counts.map(|count| count as f64 / n as f64);
        let (row, column) = ([p[0] + p[1], p[2] + p[3]], [p[0] + p[2], p[1] + p[3]]);
        let (po, pe) = (p[0] + p[3], row[0] * column[0] + row[1] * column[1]);
        let kappa = (po - pe) / (1.0 - pe);
        let a: f64 = (0..2).map(|i| p[i * 3] * (1.0 - (row[i] + column[i]) * (1.0 - kappa)).powi(2)).sum();
        let b = (1.0 - kappa).powi(2) * (p[1] * (column[0] + row[1]).powi(2) + p[2] * (column[1] + row[0]).powi(2));
        let c = (kappa - pe * (1.0 - kappa)).powi(2);
        let quality = picked(2, &counts);
        close(quality.kappa.unwrap().value, kappa, 1e-12);
        close(quality.kappa.unwrap().std_error, ((a + b - c) / n as f64).sqrt() / (1.0 - pe), 1e-12);
        close(quality.chance, pe, 1e-12);
    }
}

#[test]
fn by_label() {
    // Of 25 called 1, 15 are; of 20 that are, 15 were found.
    let quality = picked(2, &[70, 10, 5, 15]);
    let one = quality.labels[1];
    let (precision, recall, f1) = (one.precision.unwrap(), one.recall.unwrap(), one.f1.unwrap());
    close(precision.value, 0.6, 1e-12);
    close(recall.value, 0.75, 1e-12);
    close(f1.value, 2.0 * 0.6 * 0.75 / 1.35, 1e-12);
    // Wilson 1927 for 15 of 25 (.4074, .7660) and 15 of 20 (.5313, .8881), from its equation.
    close(precision.low, 0.4074, 5e-5);
    close(precision.high, 0.7660, 5e-5);
    close(recall.low, 0.5313, 5e-5);
    close(recall.high, 0.8881, 5e-5);
    // Takahashi and others 2022, for F1: the delta method on 15 of 30.
    close(f1.std_error, 2.0 / 2.25 * (0.25_f64 / 30.0).sqrt(), 1e-12);
    assert!(f1.low < f1.value && f1.value < f1.high);
}

#[test]
fn equal_probabilities_say_what_no_probabilities_say() {
    let pairs = pairs(3, &[30, 2, 4, 1, 20, 6, 0, 3, 9]);
    let drawn = |probability: f64, estimand| {
        let items = pairs.iter().map(|&(gold, judge)| Drawn { gold, judge, probability });
        Confusion::drawn(3, items, estimand).unwrap().quality(0.95).unwrap().unwrap()
    };
    let picked = Confusion::hand_picked(3, pairs.clone()).unwrap().quality(0.95).unwrap().unwrap();
    let process = drawn(0.125, Estimand::Process);
    let (a, b) = (process.kappa.unwrap(), picked.kappa.unwrap());
    close(a.value, b.value, 1e-12);
    close(a.std_error, b.std_error, 1e-12);
    close(process.labels[2].f1.unwrap().low, picked.labels[2].f1.unwrap().low, 1e-12);
    assert_ne!(process.source, picked.source);
    // Of a window of which three quarters were drawn, half of the standard error is left; of all, none.
    close(drawn(0.75, Estimand::Window).kappa.unwrap().std_error, b.std_error / 2.0, 1e-12);
    let all = drawn(1.0, Estimand::Window);
    assert_eq!((all.agreement.low, all.agreement.high), (all.agreement.value, all.agreement.value));
}

#[test]
fn weights_undo_the_draw() {
    // Disagreements drawn four times as often as the rest: 40 of them of 40, 40 of 160.
    let items = (0..80).map(|i| Drawn { gold: 1, judge: usize::from(i < 40), probability: if i < 40 { 0.25 } else { 1.0 } });
    let confusion = Confusion::drawn(2, items, Estimand::Window).unwrap();
    close(confusion.share(1, 1), 0.8, 1e-12);
    assert_eq!((confusion.items(1, 1), confusion.items(0, 0), confusion.items(7, 1), confusion.items(0, 2)), (40, 0, 0, 0));
    let agreement = confusion.quality(0.95).unwrap().unwrap().agreement;
    close(agreement.value, 0.8, 1e-12);
    // Only the agreeing were left to chance: q = 12 each, residual .2, W = 200.
    close(agreement.std_error, (40.0 * 12.0 * 0.04_f64).sqrt() / 200.0, 1e-12);
}

#[test]
fn scores_at_a_threshold() {
    let picked = [(1.0, 0.7), (0.5, 0.69), (0.4, 0.71), (0.0, 0.0)];
    let confusion = Confusion::hand_picked_scores(0.7, &picked).unwrap();
    assert_eq!([(0, 0), (0, 1), (1, 0), (1, 1)].map(|(gold, judge)| confusion.items(gold, judge)), [1, 1, 1, 1]);
    let drawn = picked.map(|(gold, judge)| Drawn { gold, judge, probability: 0.5 });
    let drawn = Confusion::drawn_scores(0.7, &drawn, Estimand::Window).unwrap();
    assert_eq!((drawn.share(0, 1), drawn.source()), (0.25, GoldSource::Drawn(Estimand::Window)));
}

#[test]
fn perfect_agreement_is_not_certainty() {
    let quality = picked(2, &[25, 0, 0, 25]);
    let kappa = quality.kappa.unwrap();
    assert_eq!((kappa.value, kappa.high, kappa.std_error), (1.0, 1.0, 0.0));
    // Wilson for 50 of 50 is .9287; on kappa's scale with chance one half, twice as far from 1.
    close(kappa.low, 1.0 - 2.0 * (1.0 - 0.928_65), 1e-4);
    assert!(picked(2, &[50, 0, 0, 0]).kappa.is_none(), "one label from both: nothing to agree on");
    let half = picked(2, &[50, 0, 0, 0]);
    assert!(half.labels[1].precision.is_none() && half.labels[1].f1.is_none() && half.labels[0].recall.is_some());
}

#[test]
fn refuses_what_cannot_be() {
    assert!(Confusion::hand_picked(0, []).is_err() && Confusion::hand_picked(257, []).is_err());
    assert_eq!(
        Confusion::hand_picked(2, [(0, 1), (2, 0)]),
        Err(EstimateError::Row { index: 1, problem: "its label is not below the number of labels" })
    );
    for probability in [0.0, 1.1, f64::NAN, -0.5] {
        assert!(Confusion::drawn(2, [Drawn { gold: 0, judge: 0, probability }], Estimand::Process).is_err());
    }
    assert!(Confusion::hand_picked_scores(0.5, &[(0.5, f64::NAN)]).is_err());
    assert!(Confusion::hand_picked_scores(f64::NAN, &[]).is_err());
    let empty = Confusion::hand_picked(2, []).unwrap();
    assert_eq!((empty.quality(0.95), empty.share(0, 0)), (Ok(None), 0.0));
    assert!(empty.quality(95.0).is_err());
}
