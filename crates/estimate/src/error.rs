//! Why there is no estimate.

use std::fmt;

/// Why nothing could be estimated. Having nothing to estimate from is not an error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EstimateError {
    /// The confidence level does not lie strictly between 0 and 1.
    Level(f64),
    /// The sums of an hour cannot come from any set of interactions.
    Sums {
        /// The hour, as its bucket names it.
        hour: i64,
        /// What contradicts what.
        problem: &'static str,
    },
}

impl fmt::Display for EstimateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => {
                write!(f, "level = {level} is not a confidence level: use a number between 0 and 1, such as 0.95")
            }
            Self::Sums { hour, problem } => {
                write!(f, "the sums of hour {hour} contradict each other: {problem}; rebuild its rollup")
            }
        }
    }
}

impl std::error::Error for EstimateError {}
