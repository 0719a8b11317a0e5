//! The mean of the free score, corrected tier by tier: prediction-powered inference over a cascade.

use super::{Point, effective};
use crate::nonresponse::Adjusted;
use crate::{Estimand, Moments};

/// A predictor whose variance beside the others is below this share of its size is rounding: it explains nothing.
const ROUNDING: f64 = 1e-12;

/// Which scores a tier's expectation of `H` is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Predictors {
    /// The score of the tier before alone, `a_k = lam_k g_k`.
    #[default]
    Last,
    /// All scores up to the tier before, `a_k = lam_k0 g_0 + .. + lam_kk g_k`: at least as narrow, for more to be learned.
    All,
}

/// What the telescoped estimator says.
#[derive(Debug, Clone, PartialEq)]
pub struct Telescoped {
    /// The estimate, which may lie a little outside [0, 1], its variance, and what an interval needs.
    pub point: Point,
    /// `slopes[k]` are the coefficients of `a_k` on `g_0, .., g_k`, for `k = 0..K-1`.
    pub slopes: Vec<Vec<f64>>,
}

/// With `a_k` the expectation of `H` from scores up to tier `k`, `a_K = H`: `est = mean a_0 + sum_k mean_{w_k}(a_k - a_{k-1})`, where the
/// `k`-th mean is over what has a score at called tier `k`, weighted by `w_k = 1/PI_k`. With `r_k = H - a_k`:
///
/// `var = sum_k sum w (1/PI_k - 1/PI_{k-1}) (r_{k-1} - mean_w r_{k-1})^2 / W^2` over the judged, for the estimand `window`; for
/// `process`, interactions being independent, plus `S_H^2/W`.
///
/// Each term depends on its own `a_{k-1}` alone, so that each is a regression of its own: of `H` on the scores before tier `k`, with the
/// weights `w (1/PI_k - 1/PI_{k-1})`, around the means by `w`. With one tier this is [`ppi`](super::ppi()). The levels are not
/// independent, for they share items; adding up their variances as if they were errs by up to a tenth.
///
/// PPI++ (Angelopoulos, Duchi, Zrnic 2023, arXiv 2311.01453), unequal probabilities (Zrnic, Candes 2024, arXiv 2403.03208), the
/// difference estimator in nested phases (Sarndal, Swensson, Wretman, section 9.6).
pub fn telescoped(sums: &Adjusted, predictors: Predictors, estimand: Estimand) -> Telescoped {
    let tiers = sums.tiers();
    let rows = tiers + 2;
    let w = |i: usize, j: usize| sums.w.entry(rows, 0, i, j);
    let total = w(0, 0);
    let means: Vec<f64> = (0..rows).map(|i| w(0, i) / total).collect();
    let slopes: Vec<Vec<f64>> = (0..tiers).map(|block| regression(&sums.q, rows, block, &means, predictors)).collect();
    let free_mean = if sums.population > 0 { sums.g / sums.population as f64 } else { 0.0 };
    let mut value = slopes.first().and_then(|slopes| slopes.first()).copied().unwrap_or(0.0) * free_mean;
    for (k, (_, linear)) in sums.between.iter().enumerate() {
        let size = linear.first().copied().unwrap_or(0.0);
        if size > 0.0 {
            value += (dot(slopes.get(k + 1), linear) - dot(slopes.get(k), linear)) / size;
        }
    }
    let of_last: f64 = slopes.last().into_iter().flatten().zip(means.iter().skip(1)).map(|(slope, mean)| slope * mean).sum();
    value += means.last().copied().unwrap_or(0.0) - of_last;
    let residuals = Residuals::new(&slopes, &means);
    let squares = residuals.squares(sums);
    let h = (means[rows - 1], w(rows - 1, rows - 1) / total);
    let spread = (h.1 - h.0 * h.0).max(0.0);
    let traffic = match estimand {
        Estimand::Window => 0.0,
        Estimand::Process => spread * total,
    };
    let q: f64 = (0..tiers).map(|block| sums.q.entry(rows, block, 0, 0)).sum();
    // For the process what an interaction adds is q e^2 + w (H - H_w)^2, at most w^2 of the larger square.
    let lam = slopes.first().and_then(|slopes| slopes.first()).copied().unwrap_or(0.0);
    let of = |lam: f64| sums.fourth(lam, h.0 - lam * means[1], estimand);
    let fourth = match estimand {
        Estimand::Window => of(lam),
        Estimand::Process => of(lam).zip(of(0.0)).map(|(corrected, plain)| corrected + plain),
    };
    let point = Point {
        value,
        variance: (squares + traffic) / (total * total),
        spread,
        inverse_size: (q + if traffic > 0.0 { total } else { 0.0 }) / (total * total),
        residuals: effective(squares + traffic, residuals.largest(sums, estimand), fourth, sums.judged),
    };
    Telescoped { point, slopes }
}

/// Sum of `w_k a_k` from sums of `w_k (1, g_0, .., g_k)`.
pub(super) fn dot(slopes: Option<&Vec<f64>>, linear: &[f64]) -> f64 {
    slopes.into_iter().flatten().zip(linear.iter().skip(1)).map(|(slope, sum)| slope * sum).sum()
}

/// Residuals `r_k - mean_w r_k` of each tier, as coefficients on `z`.
pub(crate) struct Residuals {
    coefficients: Vec<Vec<f64>>,
    largest: f64,
}

impl Residuals {
    /// Of slopes as [`Telescoped::slopes`], around `means` of `z`.
    pub(crate) fn new(slopes: &[Vec<f64>], means: &[f64]) -> Self {
        let rows = means.len();
        let h = means.last().copied().unwrap_or(0.0);
        let mut largest: f64 = 0.0;
        let coefficients = slopes.iter().map(|slopes| {
            let mean = h - slopes.iter().zip(means.iter().skip(1)).map(|(slope, mean)| slope * mean).sum::<f64>();
            // H - a lies between these for scores in [0, 1].
            let (mut low, mut high) = (0.0, 1.0);
            for slope in slopes {
                low -= slope.max(0.0);
                high -= slope.min(0.0);
            }
            largest = largest.max(high - mean).max(mean - low);
            let mut of = vec![0.0; rows];
            of.iter_mut().skip(1).zip(slopes).for_each(|(place, slope)| *place = -slope);
            if let Some(first) = of.first_mut() {
                *first = -mean;
            }
            if let Some(last) = of.last_mut() {
                *last = 1.0;
            }
            of
        });
        let coefficients = coefficients.collect();
        Self { coefficients, largest }
    }

    /// `sum_k sum w (1/PI_k - 1/PI_{k-1}) r_{k-1}^2`, over the judged in `sums`.
    pub(crate) fn squares(&self, sums: &Adjusted) -> f64 {
        (0..self.coefficients.len()).map(|block| self.square(sums, block)).sum()
    }

    /// `sum_k sum w (1/PI_k - 1/PI_{k-1}) r_{k-1}`, over the judged in `sums`.
    pub(crate) fn linear(&self, sums: &Adjusted) -> f64 {
        let rows = sums.tiers() + 2;
        let term = |(block, of): (usize, &Vec<f64>)| -> f64 {
            of.iter().enumerate().map(|(i, c)| c * sums.q.entry(rows, block, 0, i)).sum()
        };
        self.coefficients.iter().enumerate().map(term).sum()
    }

    /// The term of the `block`-th tier, counted from 0.
    pub(crate) fn square(&self, sums: &Adjusted, block: usize) -> f64 {
        let Some(c) = self.coefficients.get(block) else { return 0.0 };
        quadratic(&sums.q, block, c).max(0.0)
    }

    /// An upper bound of what one judged interaction adds to the squares.
    pub(crate) fn largest(&self, sums: &Adjusted, estimand: Estimand) -> f64 {
        let traffic = if estimand == Estimand::Process { sums.max_w } else { 0.0 };
        sums.max_q * self.largest * self.largest + traffic
    }
}

/// `c' M c` with the `block`-th matrix.
pub(crate) fn quadratic(moments: &Moments, block: usize, c: &[f64]) -> f64 {
    let rows = c.len();
    let mut square = 0.0;
    for (i, x) in c.iter().enumerate() {
        square += x * x * moments.entry(rows, block, i, i);
        for (j, y) in c.iter().enumerate().skip(i + 1) {
            square += 2.0 * x * y * moments.entry(rows, block, i, j);
        }
    }
    square
}

/// The coefficients of `g_0..g_block` that explain `H` best with the weights of the `block`-th matrix, around `means`. Predictors that do
/// not vary, or not beside the others, have 0.
fn regression(q: &Moments, rows: usize, block: usize, means: &[f64], predictors: Predictors) -> Vec<f64> {
    let raw = |i: usize, j: usize| q.entry(rows, block, i, j);
    let mean = |i: usize| means.get(i).copied().unwrap_or(0.0);
    let centred = |i: usize, j: usize| raw(i, j) - mean(i) * raw(0, j) - mean(j) * raw(0, i) + mean(i) * mean(j) * raw(0, 0);
    let h = rows - 1;
    let mut slopes = vec![0.0; block + 1];
    let places: Vec<usize> = match predictors {
        Predictors::Last => vec![block + 1],
        Predictors::All => (1..=block + 1).collect(),
    };
    // Gauss-Jordan elimination on the normal equations, the last score first, which is likely the best; each row ends with its right side.
    let places: Vec<usize> = places.into_iter().rev().collect();
    let mut system: Vec<Vec<f64>> =
        places.iter().map(|i| places.iter().map(|j| centred(*i, *j)).chain([centred(*i, h)]).collect()).collect();
    let sizes: Vec<f64> = places.iter().map(|i| raw(*i, *i)).collect();
    let mut used = vec![false; places.len()];
    for pivot in 0..places.len() {
        let row = system[pivot].clone();
        if row[pivot].is_nan() || row[pivot] <= ROUNDING * sizes[pivot] {
            continue;
        }
        used[pivot] = true;
        for (other, equation) in system.iter_mut().enumerate() {
            let factor = if other == pivot { 1.0 - 1.0 / row[pivot] } else { equation[pivot] / row[pivot] };
            equation.iter_mut().zip(&row).for_each(|(entry, of_pivot)| *entry -= factor * of_pivot);
        }
    }
    for (pivot, place) in places.iter().enumerate().filter(|(pivot, _)| used[*pivot]) {
        slopes[place - 1] = system[pivot].last().copied().filter(|slope| slope.is_finite()).unwrap_or(0.0);
    }
    slopes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::ppi;
    use crate::nonresponse::adjust;
    use crate::{Bucket, Course, Draw, Item, Stratum};

    fn fraction(i: u32, step: f64) -> f64 {
        (f64::from(i) * step).fract()
    }

    /// Rows `(g_0, [(PI_k, score)])` of three called tiers, probabilities that differ, nested draws.
    fn rows() -> Vec<(f64, Vec<(f64, f64)>)> {
        let mut rows = Vec::new();
        for i in 0..6000 {
            let (x, e0, e1, e2, u) = (
                fraction(i, 0.618_033_988_749_894_9),
                fraction(i, 0.754_877_666_246_692_8),
                fraction(i, 0.569_840_290_998_053_2),
                fraction(i, 0.819_172_513_396_164_4),
                fraction(i, 0.414_213_562_373_095),
            );
            let (g0, g1, g2) = ((x + e0) / 2.0, 0.7 * x + 0.3 * e1, 0.9 * x + 0.1 * e2);
            let h = f64::from(u8::from(x > 0.55));
            let pi = [0.6 - 0.2 * g0, 0.3, 0.05 + 0.1 * g1];
            let draws = [(pi[0], g1), (pi[1], g2), (pi[2], h)].into_iter().take_while(|(pi, _)| u < *pi).collect();
            rows.push((g0, draws));
        }
        rows
    }

    fn bucket(rows: &[(f64, Vec<(f64, f64)>)]) -> Bucket {
        let mut bucket = Bucket::new(0, Stratum::default(), 3);
        for (free, draws) in rows {
            let draws: Vec<Draw> = draws.iter().map(|(p, s)| Draw { probability: *p, score: Some(*s) }).collect();
            bucket.push_course(&Course { free: *free, draws: &draws, group: None }).unwrap();
        }
        bucket
    }

    /// The equations, read off the page and applied to rows.
    #[test]
    fn equals_rows() {
        let rows = rows();
        let sums = adjust(&[bucket(&rows)]).unwrap().unwrap();
        let found = telescoped(&sums, Predictors::Last, Estimand::Window);
        let judged: Vec<([f64; 4], [f64; 4])> = rows
            .iter()
            .filter(|(_, draws)| draws.len() == 3)
            .map(|(g, d)| ([1.0, d[0].0, d[1].0, d[2].0], [*g, d[0].1, d[1].1, d[2].1]))
            .collect();
        let total: f64 = judged.iter().map(|(pi, _)| 1.0 / pi[3]).sum();
        let mean = |of: &dyn Fn(&[f64; 4]) -> f64| judged.iter().map(|(pi, z)| of(z) / pi[3]).sum::<f64>() / total;
        let (mut slopes, mut variance) = (Vec::new(), 0.0);
        for k in 1..=3 {
            let factor = |pi: &[f64; 4]| (1.0 / pi[k] - 1.0 / pi[k - 1]) / pi[3];
            let (gm, hm) = (mean(&|z| z[k - 1]), mean(&|z| z[3]));
            let both: f64 = judged.iter().map(|(pi, z)| factor(pi) * (z[k - 1] - gm) * (z[3] - hm)).sum();
            let own: f64 = judged.iter().map(|(pi, z)| factor(pi) * (z[k - 1] - gm).powi(2)).sum();
            let slope = both / own;
            let rm = mean(&|z| z[3] - slope * z[k - 1]);
            variance += judged.iter().map(|(pi, z)| factor(pi) * (z[3] - slope * z[k - 1] - rm).powi(2)).sum::<f64>();
            slopes.push(slope);
        }
        let mut value = slopes[0] * rows.iter().map(|(g, _)| g).sum::<f64>() / 6000.0;
        for k in 1..=3 {
            let (mut sum, mut size) = (0.0, 0.0);
            for (g, draws) in rows.iter().filter(|(_, draws)| draws.len() >= k) {
                let before = if k == 1 { *g } else { draws[k - 2].1 };
                let now = draws[k - 1].1 * if k == 3 { 1.0 } else { slopes[k] };
                sum += (now - slopes[k - 1] * before) / draws[k - 1].0;
                size += 1.0 / draws[k - 1].0;
            }
            value += sum / size;
        }
        assert!((found.point.value - value).abs() < 1e-10, "{} {value}", found.point.value);
        assert!((found.point.variance * total * total / variance - 1.0).abs() < 1e-9);
        for (k, slope) in slopes.iter().enumerate() {
            assert!((found.slopes[k][k] - slope).abs() < 1e-10 && found.slopes[k].iter().take(k).all(|other| *other == 0.0));
        }
        let all = telescoped(&sums, Predictors::All, Estimand::Window);
        assert!(all.point.variance <= found.point.variance * (1.0 + 1e-12) && all.slopes[2][0].abs() > 1e-6);
    }

    #[test]
    fn one_tier_is_ppi() {
        let mut bucket = Bucket::default();
        for i in 0..900 {
            let (g, u) = (fraction(i, 0.618_033_988_749_894_9), fraction(i, 0.754_877_666_246_692_8));
            let h = (g + 0.3 * fraction(i, 0.569_840_290_998_053_2)).min(1.0);
            let probability = 0.1 + 0.4 * g;
            let drawn = u < probability;
            bucket.push(Item { probability, drawn, free: g, reference: (drawn && i % 11 > 0).then_some(h) });
        }
        let sums = adjust(&[bucket]).unwrap().unwrap();
        let (point, lam) = ppi(&sums, sums.g / 900.0);
        let found = telescoped(&sums, Predictors::All, Estimand::Window);
        assert!((found.point.value - point.value).abs() < 1e-12 && (found.point.variance / point.variance - 1.0).abs() < 1e-9);
        assert!((found.slopes[0][0] - lam).abs() < 1e-10 && (found.point.residuals / point.residuals - 1.0).abs() < 1e-6);
    }

    /// Scores that are the same twice, or do not vary, explain nothing more.
    #[test]
    fn collinear_scores_do_no_harm() {
        let mut bucket = Bucket::new(0, Stratum::default(), 3);
        for i in 0..2000 {
            let (x, u) = (fraction(i, 0.618_033_988_749_894_9), fraction(i, 0.754_877_666_246_692_8));
            let scores = [(0.5, x), (0.4, x), (0.2, f64::from(u8::from(x > 0.5)))];
            let draws: Vec<Draw> =
                scores.into_iter().take_while(|(pi, _)| u < *pi).map(|(p, s)| Draw { probability: p, score: Some(s) }).collect();
            bucket.push_course(&Course { free: 0.0, draws: &draws, group: None }).unwrap();
        }
        let sums = adjust(&[bucket]).unwrap().unwrap();
        let (one, all) =
            (telescoped(&sums, Predictors::Last, Estimand::Window), telescoped(&sums, Predictors::All, Estimand::Window));
        assert_eq!((all.slopes[0][0], all.slopes[1][0], all.slopes[2][1]), (0.0, 0.0, 0.0));
        assert!((one.point.value - all.point.value).abs() < 1e-9 && one.point.variance.is_finite());
    }
}
