//! Sums of the products of scores, for any number of tiers.

use std::ops::{Deref, DerefMut};

/// How many products two of `(1, g, H)` make.
const ONE_TIER: usize = 6;

/// Sums of `z z'`, `z = (1, g_0, .., g_{K-1}, H)`: the upper triangle, row by row, `(K+2)(K+3)/2` numbers a matrix. With one tier these are
/// 1, g, H, g^2, gH, H^2, and no memory is asked for.
#[derive(Debug, Clone)]
pub struct Moments(Held);

#[derive(Debug, Clone)]
enum Held {
    Few([f64; ONE_TIER]),
    Many(Vec<f64>),
}

impl Moments {
    /// So many zeros.
    pub(crate) fn zeros(numbers: usize) -> Self {
        if numbers == ONE_TIER { Self::default() } else { Self(Held::Many(vec![0.0; numbers])) }
    }

    /// Numbers in the matrix of `tiers` called tiers.
    pub(crate) fn of_tiers(tiers: usize) -> usize {
        (tiers + 2) * (tiers + 3) / 2
    }

    /// Where row `i`, column `j` of a matrix with `rows` rows stands, whichever of the two is larger.
    pub(crate) fn place(rows: usize, i: usize, j: usize) -> usize {
        let (i, j) = if i <= j { (i, j) } else { (j, i) };
        i * (2 * rows + 1 - i) / 2 + (j - i)
    }

    /// The entry of row `i`, column `j` of the `block`-th matrix with `rows` rows; 0 where there is none.
    pub(crate) fn entry(&self, rows: usize, block: usize, i: usize, j: usize) -> f64 {
        self.get(block * rows * (rows + 1) / 2 + Self::place(rows, i, j)).copied().unwrap_or(0.0)
    }

    /// Adds `factor z z'` to the `block`-th matrix.
    pub(crate) fn add_product(&mut self, block: usize, factor: f64, z: &[f64]) {
        let size = z.len() * (z.len() + 1) / 2;
        let mut entries = self.iter_mut().skip(block * size);
        for (i, x) in z.iter().enumerate() {
            for y in z.iter().skip(i) {
                if let Some(entry) = entries.next() {
                    *entry += factor * x * y;
                }
            }
        }
    }

    /// Adds number by number.
    pub(crate) fn add(&mut self, other: &Self) {
        self.iter_mut().zip(other.iter()).for_each(|(sum, more)| *sum += more);
    }
}

impl Default for Moments {
    /// Zeros, for one tier.
    fn default() -> Self {
        Self(Held::Few([0.0; ONE_TIER]))
    }
}

impl Deref for Moments {
    type Target = [f64];

    fn deref(&self) -> &[f64] {
        match &self.0 {
            Held::Few(numbers) => numbers,
            Held::Many(numbers) => numbers,
        }
    }
}

impl DerefMut for Moments {
    fn deref_mut(&mut self) -> &mut [f64] {
        match &mut self.0 {
            Held::Few(numbers) => numbers,
            Held::Many(numbers) => numbers,
        }
    }
}

impl PartialEq for Moments {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl From<[f64; ONE_TIER]> for Moments {
    fn from(numbers: [f64; ONE_TIER]) -> Self {
        Self(Held::Few(numbers))
    }
}

impl From<Vec<f64>> for Moments {
    fn from(numbers: Vec<f64>) -> Self {
        match <[f64; ONE_TIER]>::try_from(numbers) {
            Ok(few) => Self(Held::Few(few)),
            Err(many) => Self(Held::Many(many)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tier_stands_in_the_known_order() {
        let mut moments = Moments::default();
        moments.add_product(0, 2.0, &[1.0, 0.5, 0.25]);
        assert_eq!(*moments, [2.0, 1.0, 0.5, 0.5, 0.25, 0.125]);
        assert_eq!([(0, 0), (0, 1), (0, 2), (1, 1), (2, 1), (2, 2)].map(|(i, j)| Moments::place(3, i, j)), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn blocks_and_places_agree() {
        for rows in 2..=10 {
            let z: Vec<f64> = (0..rows).map(|i| 1.0 + i as f64).collect();
            let mut moments = Moments::zeros(3 * rows * (rows + 1) / 2);
            moments.add_product(1, 1.0, &z);
            for i in 0..rows {
                for j in 0..rows {
                    assert_eq!(moments.entry(rows, 1, i, j), z[i] * z[j], "{rows} {i} {j}");
                    assert_eq!((moments.entry(rows, 0, i, j), moments.entry(rows, 2, i, j)), (0.0, 0.0));
                }
            }
            assert_eq!(moments.entry(rows, 3, 0, 0), 0.0);
        }
    }
}
