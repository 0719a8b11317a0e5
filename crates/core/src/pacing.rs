//! Pacing: by how much all inclusion probabilities are scaled down so that a budget lasts its period.
//!
//! The pace that is wanted is what is left of the budget over what would still be spent at pace 1. Demand is seen as a level, the
//! dollars of an average hour, apart from the profile of the day: where the profile is known, a morning's peak moves neither the level
//! nor the pace. A steady pace matters: uneven probabilities widen the interval by `mean(pi) mean(1/pi)` (Cauchy-Schwarz, 1 where they
//! are all alike).

/// No pace is lower, so that every item keeps a probability and rates still speak of all of the traffic. Below it the hard cap acts.
pub const FLOOR: f64 = 0.001;
/// What was seen of demand counts less by a factor of e after so many hours.
const LEVEL_HOURS: f64 = 1.0;
/// The pace comes as much closer to where it should be within so many hours.
const STEER_HOURS: f64 = 1.0 / 6.0;
/// Towards its end a period is taken to be at least this many hours long, so that a small rest makes no jumps.
const HOURS_LEFT_MIN: f64 = 1.0 / 12.0;
/// What one day weighs in a profile against all before it.
const DAY_WEIGHT: f64 = 0.3;
/// An hour without any demand is still taken to have this part of an average hour's.
const DENSITY_MIN: f64 = 0.05;

/// How demand is spread over the hours of a day: 1 is an average hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile([f64; 24]);

impl Default for Profile {
    /// All hours alike: what is assumed until a day was seen.
    fn default() -> Self {
        Self([1.0; 24])
    }
}

impl Profile {
    /// The profile of one day, by its hours' demand in any unit. A day without demand says nothing: `None`.
    pub fn of_day(by_hour: &[f64; 24]) -> Option<Self> {
        let valid = |demand: f64| if demand.is_finite() { demand.max(0.0) } else { 0.0 };
        let total: f64 = by_hour.iter().map(|demand| valid(*demand)).sum();
        if total <= 0.0 || !total.is_finite() {
            return None;
        }
        Some(Self(by_hour.map(|demand| (valid(demand) / total * 24.0).max(DENSITY_MIN))).scaled())
    }

    /// Takes one more day in.
    pub fn learn(&mut self, day: &Self) {
        for (known, seen) in self.0.iter_mut().zip(day.0) {
            *known += DAY_WEIGHT * (seen - *known);
        }
        *self = self.scaled();
    }

    /// The demand at the share `elapsed` of the day, in average hours.
    pub fn density(&self, elapsed: f64) -> f64 {
        self.0.get(hour(elapsed)).copied().unwrap_or(1.0)
    }

    /// The demand that is to come after the share `elapsed` of the day, in average hours: 24 at its beginning, 0 at its end.
    pub fn left(&self, elapsed: f64) -> f64 {
        let at = hour(elapsed);
        let within = (within_day(elapsed) * 24.0 - at as f64).clamp(0.0, 1.0);
        let later: f64 = self.0.iter().skip(at + 1).sum();
        later + self.density(elapsed) * (1.0 - within)
    }

    fn scaled(self) -> Self {
        let mean = self.0.iter().sum::<f64>() / 24.0;
        Self(self.0.map(|density| density / mean))
    }
}

fn within_day(elapsed: f64) -> f64 {
    if elapsed.is_nan() { 0.0 } else { elapsed.clamp(0.0, 1.0) }
}

fn hour(elapsed: f64) -> usize {
    // A cast of what lies in [0, 24] cuts off.
    ((within_day(elapsed) * 24.0) as usize).min(23)
}

/// What a budget still allows, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Allowance {
    /// Dollars that are neither spent nor set aside.
    pub left: f64,
    /// Average hours of demand until its period ends: see [`Profile::left`].
    pub hours: f64,
}

/// Keeps the pace of one tenant, or of the platform.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Controller {
    dollars: f64,
    hours: f64,
    pace: Option<f64>,
}

impl Default for Controller {
    fn default() -> Self {
        Self { dollars: 0.0, hours: 0.0, pace: None }
    }
}

impl Controller {
    /// Takes in that the traffic of the last `hours`, in which the profile has the density `density`, would have cost `dollars` at pace 1.
    /// What is no such thing changes nothing.
    pub fn observe(&mut self, dollars: f64, hours: f64, density: f64) {
        let is_valid = dollars.is_finite() && dollars >= 0.0 && hours.is_finite() && hours > 0.0 && density.is_finite();
        if !is_valid {
            return;
        }
        let keep = (-hours / LEVEL_HOURS).exp();
        self.dollars = self.dollars * keep + dollars;
        self.hours = self.hours * keep + hours * density.max(DENSITY_MIN);
    }

    /// The dollars of an average hour at pace 1; `None` before anything was seen.
    pub fn level(&self) -> Option<f64> {
        if self.hours > 0.0 { Some(self.dollars / self.hours) } else { None }
    }

    /// The pace in force, in [[`FLOOR`], 1].
    pub fn pace(&self) -> f64 {
        self.pace.unwrap_or(1.0)
    }

    /// Moves the pace, `hours` after it was moved last, to where every allowance lasts its period: the smallest one counts. `waiting` is
    /// what items that are drawn and wait would cost at pace 1, in dollars. Without allowances it is 1 at once.
    pub fn steer(&mut self, allowances: impl IntoIterator<Item = Allowance>, waiting: f64, hours: f64) -> f64 {
        let level = self.level();
        let waiting = if waiting.is_finite() { waiting.max(0.0) } else { 0.0 };
        let mut is_used_up = false;
        let wanted = allowances.into_iter().map(|allowance| {
            let hours = if allowance.hours.is_nan() { HOURS_LEFT_MIN } else { allowance.hours.max(HOURS_LEFT_MIN) };
            let demand = level.unwrap_or(0.0) * hours + waiting;
            let left = if allowance.left.is_nan() { 0.0 } else { allowance.left.max(0.0) };
            // Nothing left is the floor even where nothing is known of demand.
            is_used_up |= left <= 0.0;
            if left <= 0.0 {
                FLOOR
            } else if demand > 0.0 {
                (left / demand).clamp(FLOOR, 1.0)
            } else {
                1.0
            }
        });
        let wanted = wanted.reduce(f64::min);
        if level.is_none() && waiting <= 0.0 && !is_used_up {
            // Where nothing is known of demand, the first that is seen of it sets the pace.
            self.pace = None;
            return 1.0;
        }
        let pace = match (wanted, self.pace) {
            (None, _) => None,
            (Some(wanted), None) => Some(wanted),
            (Some(wanted), Some(pace)) => {
                let hours = if hours.is_nan() { 0.0 } else { hours.max(0.0) };
                let share = 1.0 - (-hours / STEER_HOURS).exp();
                // In equal ratios: from 1 to 1/2 takes as long as from 1/10 to 1/20.
                Some((pace * (wanted / pace).powf(share)).clamp(FLOOR, 1.0))
            }
        };
        self.pace = pace;
        self.pace()
    }
}

#[cfg(test)]
mod tests;
