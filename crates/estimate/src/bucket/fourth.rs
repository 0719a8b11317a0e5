//! Sums up to the fourth degree, which say how many residuals make up a variance.

use super::Bucket;

/// Products of the third and fourth degree of `(g, H)`.
pub const HIGH: usize = 9;
/// Products of `(g, H)` up to the fourth degree.
pub const FOURTH: usize = 15;

/// The powers of `g` and `H` in each of [`Bucket::high`].
const POWERS: [(i32, i32); HIGH] = [(3, 0), (2, 1), (1, 2), (0, 3), (4, 0), (3, 1), (2, 2), (1, 3), (0, 4)];

impl Bucket {
    /// Whether [`Bucket::high`] is kept, or nothing is there that would have to be: with scores other than 0, the fourth powers are not 0.
    pub(crate) fn has_high(&self) -> bool {
        let [_, _, _, gg, _, hh] = *self.w else { return false };
        let [.., gggg, _, _, _, hhhh] = self.high;
        self.between.is_empty() && (gggg > 0.0 || gg <= 0.0) && (hhhh > 0.0 || hh <= 0.0)
    }

    pub(super) fn push_high(&mut self, w: f64, g: f64, h: f64) {
        for (sum, (of_g, of_h)) in self.high.iter_mut().zip(POWERS) {
            *sum += w * g.powi(of_g) * h.powi(of_h);
        }
    }

    /// Adds those of `other`; they stay only where both have them.
    pub(super) fn add_high(&mut self, other: &Self) {
        if self.has_high() && other.has_high() {
            self.high.iter_mut().zip(&other.high).for_each(|(sum, more)| *sum += more);
        } else {
            self.high = [0.0; HIGH];
        }
    }

    /// Sums of `w` times 1, g, H, g^2, gH, H^2, then as [`Bucket::high`]; `None` where these are not kept.
    pub(crate) fn up_to_fourth(&self) -> Option<[f64; FOURTH]> {
        let low: &[f64; FOURTH - HIGH] = (*self.w).try_into().ok().filter(|_| self.has_high())?;
        let mut sums = [0.0; FOURTH];
        sums.iter_mut().zip(low.iter().chain(&self.high)).for_each(|(place, sum)| *place = *sum);
        Some(sums)
    }
}

/// `sum (H - lam g - mean)^4` with the weights of `sums`, which are in the order of [`Bucket::up_to_fourth`].
pub(crate) fn fourth_power(sums: &[f64; FOURTH], lam: f64, mean: f64) -> f64 {
    let low = [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)];
    let term = |((of_g, of_h), sum): ((i32, i32), &f64)| {
        let rest = 4 - of_g - of_h;
        // 4!/(i! j! k!)
        let ways = 24.0 / (factorial(of_g) * factorial(of_h) * factorial(rest));
        ways * (-lam).powi(of_g) * (-mean).powi(rest) * sum
    };
    low.into_iter().chain(POWERS).zip(sums).map(term).sum::<f64>().max(0.0)
}

fn factorial(n: i32) -> f64 {
    (2..=n).map(f64::from).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    #[test]
    fn fourth_powers_are_those_of_rows() {
        let rows = [(0.5, 0.2, 1.0), (0.25, 0.9, 0.3), (1.0, 0.0, 0.0), (0.125, 0.6, 0.7)];
        let mut bucket = Bucket::default();
        for (probability, free, h) in rows {
            bucket.push(Item { probability, drawn: true, free, reference: Some(h) });
        }
        for (lam, mean) in [(0.0, 0.0), (0.8, 0.1), (-0.4, 0.7)] {
            let expected: f64 = rows.iter().map(|(pi, g, h)| (h - lam * g - mean).powi(4) / pi).sum();
            let found = fourth_power(&bucket.up_to_fourth().unwrap(), lam, mean);
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn what_one_does_not_keep_the_sum_does_not() {
        let item = Item { probability: 0.5, drawn: true, free: 0.3, reference: Some(1.0) };
        let mut kept = Bucket::default();
        kept.push(item);
        let other = Bucket { high: [0.0; HIGH], ..kept.clone() };
        assert!(kept.has_high() && !other.has_high());
        let (mut a, mut b) = (kept.clone(), other.clone());
        a.add(&other).unwrap();
        b.add(&kept).unwrap();
        b.push(item);
        assert!(!a.has_high() && !b.has_high() && a.check().is_ok());
        kept.push(item);
        assert!(kept.has_high() && kept.check().is_ok());
    }
}
