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
    /// One of the rows cannot be right.
    Row {
        /// Which, counted from 0 in the order given.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A setting outside what it may be.
    Setting {
        /// Its name.
        name: &'static str,
        /// What it was.
        value: f64,
        /// What it may be.
        allowed: &'static str,
    },
}

impl EstimateError {
    /// `Ok` where `level` lies strictly between 0 and 1.
    pub(crate) fn level(level: f64) -> Result<(), Self> {
        if level > 0.0 && level < 1.0 { Ok(()) } else { Err(Self::Level(level)) }
    }

    /// `Ok` where `value` lies strictly between 0 and 1.
    pub(crate) fn share(name: &'static str, value: f64) -> Result<(), Self> {
        let allowed = "a number above 0 and below 1";
        if value > 0.0 && value < 1.0 { Ok(()) } else { Err(Self::Setting { name, value, allowed }) }
    }

    /// `Ok` where `probability` is one that something can have been drawn with.
    pub(crate) fn probability(index: usize, probability: f64) -> Result<(), Self> {
        // Sums of the square of its reciprocal have to stay within what a bucket believes.
        if (1e-25..=1.0).contains(&probability) {
            Ok(())
        } else {
            Err(Self::Row { index, problem: "its probability is not above 0 (1e-25) and at most 1" })
        }
    }
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
            Self::Row { index, problem } => write!(f, "row {index}, counted from 0: {problem}; correct it or leave it out"),
            Self::Setting { name, value, allowed } => write!(f, "{name} = {value} is out of range: use {allowed}"),
        }
    }
}

impl std::error::Error for EstimateError {}
