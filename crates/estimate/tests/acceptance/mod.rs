//! The acceptance tests of the estimators: scenarios, drawn again and again, and what is demanded of each. Run by the test `acceptance` in a
//! quick form, by the example `acceptance` in full.

mod draws;
mod processes;
mod traffic;
mod windows;

use assize_estimate::{Estimate, Fit, IntervalKind, contrast};

pub use traffic::Random;

/// All scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = windows::scenarios();
    all.extend(draws::scenarios());
    all.extend(processes::scenarios());
    all
}

/// What is demanded of a scenario's interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Demand {
    /// Holds the truth as often as it says; no bias; standard errors are right.
    Exact,
    /// Few positives: holds the truth in .94 at least; no bias.
    Safe,
    /// Rejects, where there is no difference, as often as it says.
    Null,
    /// As `Null`, or less often.
    SafeNull,
}

/// One way of drawing and estimating.
pub struct Scenario {
    pub name: &'static str,
    pub demand: Demand,
    /// Of one draw.
    pub run: Box<dyn Fn(&mut Random) -> Draw + Send + Sync>,
}

/// What came of one draw.
pub enum Draw {
    Estimate { estimate: Estimate, truth: f64 },
    Contrast { p_value: f64 },
}

impl Draw {
    pub fn null(a: &Fit, b: &Fit) -> Self {
        Self::Contrast { p_value: contrast(a, b, 0.95).unwrap().p_value }
    }
}

/// What came of many.
#[derive(Debug, Default)]
pub struct Summary {
    pub repetitions: f64,
    /// Share of intervals that hold the truth; for p-values, share above .05.
    pub coverage: f64,
    /// Mean error over its standard error.
    pub bias: f64,
    /// Mean estimated standard error over the standard deviation of the estimates, less 1, in Monte-Carlo errors.
    pub error_ratio: f64,
    /// The same as a ratio.
    pub ratio: f64,
    /// Root of the mean estimated variance over the standard deviation of the estimates. Where weights are very uneven the mean standard
    /// error is below it: the mean of roots is below the root of the mean.
    pub root_ratio: f64,
    pub half_width: f64,
    /// Share of intervals for few positives.
    pub fallback: f64,
    /// Share of p-values at or below .01, .05, .1, .25, .5.
    pub rejected: [f64; 5],
}

pub const LEVELS: [f64; 5] = [0.01, 0.05, 0.1, 0.25, 0.5];

impl Scenario {
    /// Draws `repetitions` times, on all cores. The seed and the number decide everything.
    pub fn simulate(&self, repetitions: u32, seed: u64) -> Summary {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let draw = |repetition: u32| {
            let mut random = Random(seed ^ u64::from(repetition).wrapping_mul(0xD6E8_FEB8_6659_FD93));
            random.uniform();
            (self.run)(&mut random)
        };
        let mut draws: Vec<(u32, Draw)> = std::thread::scope(|scope| {
            let draw = &draw;
            let threads: Vec<_> = (0..cores)
                .map(|core| {
                    scope.spawn(move || (core..repetitions).step_by(cores as usize).map(|i| (i, draw(i))).collect::<Vec<_>>())
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        draws.sort_by_key(|(i, _)| *i);
        summary(draws.into_iter().map(|(_, draw)| draw))
    }

    /// What is wrong with `summary`, if anything.
    pub fn judge(&self, summary: &Summary) -> Vec<String> {
        let n = summary.repetitions;
        let monte_carlo = |share: f64| 3.0 * (share * (1.0 - share) / n).sqrt();
        let mut wrong = Vec::new();
        match self.demand {
            Demand::Exact => {
                // Within [.94, .96] at 20,000 repetitions, 3 Monte-Carlo errors at fewer.
                let room = monte_carlo(0.95).max(0.01);
                if (summary.coverage - 0.95).abs() > room {
                    wrong.push(format!("covers {:.4}, not .95 +- {room:.4}", summary.coverage));
                }
                if summary.error_ratio.abs() > 3.0 {
                    wrong.push(format!("standard errors are {:.4} of what they should be", summary.ratio));
                }
            }
            Demand::Safe => {
                if summary.coverage < 0.94 - monte_carlo(0.95) * f64::from(u8::from(n < 20_000.0)) {
                    wrong.push(format!("covers {:.4}, below .94", summary.coverage));
                }
            }
            Demand::Null | Demand::SafeNull => {
                for (level, share) in LEVELS.iter().zip(summary.rejected) {
                    let room = monte_carlo(*level).max(0.01 * level.sqrt());
                    if share > level + room || (self.demand == Demand::Null && share < level - room) {
                        wrong.push(format!("rejects {share:.4} at {level}"));
                    }
                }
            }
        }
        if summary.bias.abs() >= 3.0 && matches!(self.demand, Demand::Exact | Demand::Safe) {
            wrong.push(format!("a bias of {:.2} standard errors", summary.bias));
        }
        wrong
    }
}

fn summary(draws: impl Iterator<Item = Draw>) -> Summary {
    let (mut errors, mut std_errors, mut summary) = (Vec::new(), Vec::new(), Summary::default());
    for draw in draws {
        summary.repetitions += 1.0;
        match draw {
            Draw::Estimate { estimate: e, truth } => {
                summary.coverage += f64::from(u8::from(e.low <= truth && truth <= e.high));
                summary.half_width += (e.high - e.low) / 2.0;
                summary.fallback += f64::from(u8::from(e.method.interval == IntervalKind::Wilson));
                errors.push(e.value - truth);
                std_errors.push(e.std_error);
            }
            Draw::Contrast { p_value } => {
                summary.coverage += f64::from(u8::from(p_value > 0.05));
                for (level, share) in LEVELS.iter().zip(&mut summary.rejected) {
                    *share += f64::from(u8::from(p_value <= *level));
                }
            }
        }
    }
    let n = summary.repetitions;
    summary.coverage /= n;
    summary.half_width /= n;
    summary.fallback /= n;
    summary.rejected.iter_mut().for_each(|share| *share /= n);
    if !errors.is_empty() {
        let moments = |of: &[f64]| {
            let mean = of.iter().sum::<f64>() / n;
            let central = |power| of.iter().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
            (mean, central(2).sqrt(), central(4))
        };
        let (mean, sd, fourth) = moments(&errors);
        let (std_error, spread, _) = moments(&std_errors);
        summary.bias = mean / (sd / n.sqrt());
        summary.ratio = std_error / sd;
        summary.root_ratio = std_error.hypot(spread) / sd;
        // Of a standard deviation: sqrt((kurtosis - 1)/4n), relative.
        let relative = ((fourth / sd.powi(4) - 1.0).max(0.0) / 4.0 + (spread / std_error).powi(2)).sqrt() / n.sqrt();
        summary.error_ratio = (summary.ratio - 1.0) / relative;
    }
    summary
}
