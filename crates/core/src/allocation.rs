//! Neyman allocation: where a judge's verdict is in doubt given what a cheaper judge said, it is bought more often; nowhere less often
//! than the audit floor, so that confident mistakes are found. It moves probabilities around and leaves their mean as it is.
//!
//! Neyman, J. (1934), *On the two different aspects of the representative method*, eq. 22: `n_h ~ N_h S_h`.

use serde::{Deserialize, Serialize};

/// How many parts the range of scores has.
pub const BINS: usize = 10;
/// No part of the range is judged less often than this share of the mean.
const FLOOR: f64 = 0.25;
/// A drawn probability does not exceed this unless the mean does: a rule that always asks learns nothing about itself.
const CEILING: f64 = 0.95;
/// Fewer verdicts than this say too little about where doubt lies.
const JUDGED_MIN: u64 = 100;

/// The part of the range that `score` lies in.
pub fn bin(score: f64) -> usize {
    // A cast saturates and takes NaN to 0.
    ((score * BINS as f64) as usize).min(BINS - 1)
}

/// What is known of the reference scores where the cheaper score lies in one part of the range.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Interactions, weighted by the inverse of the probability with which the cheaper judge saw them.
    pub population: f64,
    /// Of these, judged by the reference judge.
    pub judged: u64,
    /// Their weights.
    pub w: f64,
    /// Their weights times scores.
    pub wh: f64,
}

impl Cell {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.population += other.population;
        self.judged += other.judged;
        self.w += other.w;
        self.wh += other.wh;
    }

    /// The spread of the reference score, smoothed: from the share `(x + 1) / (n + 2)` of a binary score.
    fn spread(&self) -> f64 {
        let n = self.judged as f64;
        let rate = if self.w > 0.0 { (self.wh / self.w).clamp(0.0, 1.0) } else { 0.5 };
        let p = (rate * n + 1.0) / (n + 2.0);
        (p * (1.0 - p)).sqrt()
    }
}

/// Factors on the probability of a tier, one per part of the range of the score before it. Their mean over the traffic is 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Allocation([f64; BINS]);

impl Allocation {
    /// The allocation for `cells`; `None` while too little was judged to tell. `floor_calls` is the number of calls that a part of the
    /// traffic wants, times its share: `3 a_h / d` expected calls for a half-width of `d`, over the expected calls of a window, comes to
    /// the factor `3 / (d calls)`, given here as `floor` (clamped to [1/4, 1]).
    pub fn neyman(cells: &[Cell; BINS], floor: f64) -> Option<Self> {
        let judged: u64 = cells.iter().map(|cell| cell.judged).sum();
        let population: f64 = cells.iter().map(|cell| cell.population).sum();
        if judged < JUDGED_MIN || population.is_nan() || population <= 0.0 {
            return None;
        }
        let floor = if floor.is_nan() { FLOOR } else { floor.clamp(FLOOR, 1.0) };
        let share = |at: usize| cells.get(at).map_or(0.0, |cell| cell.population / population);
        let mut is_at_floor = [false; BINS];
        // Parts that would fall below the floor are set to it, and the rest share what is left; each round adds a part at least.
        loop {
            let (mut taken, mut spread) = (0.0, 0.0);
            for (at, cell) in cells.iter().enumerate() {
                match is_at_floor[at] {
                    true => taken += share(at) * floor,
                    false => spread += share(at) * cell.spread(),
                }
            }
            let scale = if spread > 0.0 { (1.0 - taken) / spread } else { 1.0 };
            let mut factors = [floor; BINS];
            let mut is_settled = true;
            for (at, cell) in cells.iter().enumerate() {
                if is_at_floor[at] {
                    continue;
                }
                factors[at] = scale * cell.spread();
                if factors[at] < floor {
                    (is_at_floor[at], is_settled) = (true, false);
                }
            }
            if is_settled {
                return Some(Self(factors));
            }
        }
    }

    /// `probability`, moved by what the cheaper judge said.
    pub fn apply(&self, probability: f64, score: f64) -> f64 {
        let factor = self.0.get(bin(score)).copied().unwrap_or(1.0);
        (probability * factor).min(CEILING.max(probability)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell(population: f64, judged: u64, rate: f64) -> Cell {
        Cell { population, judged, w: judged as f64, wh: judged as f64 * rate }
    }

    fn cells(of: &[(usize, Cell)]) -> [Cell; BINS] {
        let mut cells = [Cell::default(); BINS];
        of.iter().for_each(|(at, cell)| cells[*at] = *cell);
        cells
    }

    #[test]
    fn doubt_gets_more_and_confidence_the_floor() {
        let cells = cells(&[(0, cell(9000.0, 450, 0.0)), (5, cell(500.0, 100, 0.5)), (9, cell(500.0, 100, 1.0))]);
        let allocation = Allocation::neyman(&cells, 0.0).unwrap();
        let at = |score| allocation.apply(0.01, score);
        assert!(at(0.55) > 4.0 * at(0.05), "{allocation:?}");
        assert!(at(0.05) >= 0.0025 && at(0.95) >= 0.0025);
        let mean = 0.9 * at(0.05) + 0.05 * at(0.55) + 0.05 * at(0.95);
        assert!((mean - 0.01).abs() < 1e-12, "{mean}");
    }

    #[test]
    fn it_never_asks_always_by_rule_and_waits_for_evidence() {
        let doubtful = cells(&[(0, cell(9990.0, 900, 0.0)), (5, cell(10.0, 100, 0.5))]);
        assert_eq!(Allocation::neyman(&doubtful, 0.0).unwrap().apply(0.5, 0.55), CEILING);
        assert_eq!(Allocation::neyman(&doubtful, 0.0).unwrap().apply(1.0, 0.55), 1.0);
        assert_eq!(Allocation::neyman(&cells(&[(0, cell(1000.0, 99, 0.1))]), 0.0), None);
        assert_eq!(Allocation::neyman(&[Cell::default(); BINS], 0.0), None);
    }

    #[test]
    fn bins_cover_the_range() {
        assert_eq!([0.0, 0.05, 0.1, 0.55, 0.999, 1.0, f64::NAN, -1.0, 7.0].map(bin), [0, 0, 1, 5, 9, 9, 0, 0, 9]);
    }

    proptest! {
        #[test]
        fn the_mean_stays_and_the_floor_holds(
            of in proptest::collection::vec((0.0..1e6_f64, 0..5_000_u64, 0.0..=1.0_f64), BINS),
            floor in 0.0..=1.0_f64,
        ) {
            let cells: [Cell; BINS] = std::array::from_fn(|at| cell(of[at].0, of[at].1, of[at].2));
            if let Some(allocation) = Allocation::neyman(&cells, floor) {
                let population: f64 = cells.iter().map(|cell| cell.population).sum();
                let mean: f64 = (0..BINS).map(|at| cells[at].population / population * allocation.0[at]).sum();
                prop_assert!((mean - 1.0).abs() < 1e-9, "{mean}");
                for (at, cell) in cells.iter().enumerate() {
                    prop_assert!(allocation.0[at] >= floor.max(FLOOR) - 1e-12 || cell.population == 0.0);
                    let score = at as f64 / BINS as f64 + 0.05;
                    prop_assert!((0.0..=1.0).contains(&allocation.apply(0.3, score)));
                }
            }
        }
    }
}
