//! Traffic, and drawing from it.

use assize_estimate::{Bucket, Options, Stratum, estimate, probability_class};

use super::{Demand, Draw, Scenario};

/// SplitMix64 (Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// 1 with this chance.
pub fn coin(random: &mut Random, chance: f64) -> f64 {
    f64::from(u8::from(random.uniform() < chance))
}

/// An interaction: its scores `g_0, .., H`, one `PI_k` less, whether it may fail, and where it belongs.
#[derive(Clone, Default)]
pub struct Row {
    pub hour: i64,
    pub cell: u16,
    /// Whether strata are split by class of probability.
    pub classes: bool,
    pub group: Option<u8>,
    pub scores: Vec<f64>,
    pub probabilities: Vec<f64>,
    /// Chance that a drawn one is never judged.
    pub failure: f64,
}

impl Row {
    /// Of one called tier.
    pub fn new(g: f64, h: f64, probability: f64) -> Self {
        Self { scores: vec![g, h], probabilities: vec![probability], ..Self::default() }
    }
}

/// What a judge says that is wrong in a share of `flips`, and not sure of itself.
pub fn judged(random: &mut Random, h: f64, flips: f64) -> f64 {
    let said = if random.uniform() < flips { 1.0 - h } else { h };
    0.8 * said + 0.2 * random.uniform()
}

/// A cheap score and the chance that `H = 1`: `(g, chance)`, where `H` has about this rate.
pub fn calibrated(random: &mut Random, rate: f64) -> (f64, f64) {
    let x = random.uniform();
    // A chance of mean `rate`, most of it near 0 and 1.
    let chance = (rate * 0.3 + 0.7 * f64::from(u8::from(x < rate))).clamp(0.01, 0.99);
    let g = (chance * 0.8 + 0.2 * random.uniform()).clamp(0.0, 1.0);
    (g, chance)
}

/// Traffic that stays, drawn from again and again.
#[derive(Clone)]
pub struct Traffic {
    rows: Vec<Row>,
    /// Buckets with what was accepted, and the bucket of each row.
    base: Vec<Bucket>,
    places: Vec<usize>,
    pub truth: f64,
}

impl Traffic {
    pub fn new(rows: Vec<Row>) -> Self {
        let mut base: Vec<Bucket> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let places = rows
            .iter()
            .map(|row| {
                let tiers = row.probabilities.len();
                let class = if row.classes { probability_class(*row.probabilities.last().unwrap()) } else { 0 };
                let stratum = Stratum { design: 1, cell: row.cell, class };
                let place = *known.entry((row.hour, stratum, tiers)).or_insert_with(|| {
                    base.push(Bucket::new(row.hour, stratum, tiers));
                    base.len() - 1
                });
                base[place].accept(row.scores[0], row.group);
                place
            })
            .collect();
        let truth = rows.iter().map(|row| *row.scores.last().unwrap()).sum::<f64>() / rows.len() as f64;
        Self { rows, base, places, truth }
    }

    /// One draw, by one number for each interaction that all tiers share.
    pub fn draw(&self, random: &mut Random) -> Vec<Bucket> {
        let mut buckets = self.base.clone();
        for (row, place) in self.rows.iter().zip(&self.places) {
            let u = random.uniform();
            let bucket = &mut buckets[*place];
            for (k, probability) in row.probabilities.iter().enumerate() {
                if u >= *probability {
                    break;
                }
                bucket.draw(k + 1, *probability).unwrap();
                if row.failure > 0.0 && random.uniform() < row.failure {
                    break;
                }
                bucket.score(&row.probabilities[..=k], &row.scores[..=k + 1], row.group).unwrap();
            }
        }
        buckets
    }

    /// A scenario of the window: this very traffic.
    pub fn window(self, name: &'static str, demand: Demand, options: Options) -> Scenario {
        let run = move |random: &mut Random| {
            let estimate = estimate(&self.draw(random), &options).unwrap().expect("something is judged");
            Draw::Estimate { estimate, truth: self.truth }
        };
        Scenario { name, demand, run: Box::new(run) }
    }
}
