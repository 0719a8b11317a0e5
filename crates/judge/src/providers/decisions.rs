//! Decision models: they write nothing, but give for each of many questions about one input the probability that its answer is yes.

use std::sync::Arc;

use assize_core::judge::CallFailure;
use assize_core::{Interaction, ProviderName, TokenUsage};
use async_trait::async_trait;
use serde_json::Value;

use super::headroom::Headroom;
use crate::spec::Question;

/// How far what a provider gives for both sides of a question may be from adding up to one: it rounds to two places.
pub const SUM_TOLERANCE: f64 = 0.02;

/// What a decision model is asked.
#[derive(Debug, Clone, Copy)]
pub struct DecisionsRequest<'a> {
    /// The model's name at the provider.
    pub model: &'a str,
    /// What stands before the item: the same for everything.
    pub opening: &'a str,
    /// The item.
    pub item: &'a str,
    /// The statements whose probabilities are wanted.
    pub predicates: &'a [Predicate<'a>],
    /// The same for calls with the same beginning and of no meaning otherwise.
    pub prompt_cache_key: &'a str,
    /// What `item` shows; only the simulation looks at it.
    pub interaction: &'a Interaction,
}

/// One statement.
#[derive(Debug, Clone, Copy)]
pub struct Predicate<'a> {
    /// What its answer is found by; no two of a request are the same.
    pub id: &'a str,
    /// The statement, with how to decide it.
    pub instructions: &'a str,
    /// What `instructions` words; only the simulation looks at it.
    pub question: &'a Question,
}

/// What became of one statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Decided {
    /// The probability that it is true, in [0, 1].
    Probability(f64),
    /// The model declined to decide it.
    Refused,
    /// There is no probability that could be believed, and why.
    Invalid(String),
}

/// What a decision model answered.
#[derive(Debug, Clone)]
pub struct Decisions {
    /// As many as there were predicates, in their order.
    pub decided: Vec<Decided>,
    /// The model that the provider says has answered.
    pub model: Option<String>,
    /// The tokens that were billed, where the provider said.
    pub usage: Option<TokenUsage>,
    /// How long it took, in milliseconds.
    pub latency_ms: u64,
    /// Made by the built-in simulation.
    pub simulated: bool,
}

/// A provider of decision models.
#[async_trait]
pub trait Decider: Send + Sync {
    /// What the configuration calls it.
    fn name(&self) -> &ProviderName;

    /// Its protocol, as part of the version of every judge that uses it.
    fn kind(&self) -> &'static str;

    /// How many questions one call may carry.
    fn questions_max(&self) -> usize;

    /// One attempt; it ends within the provider's timeout. A failure leaves `cost` open: the caller knows the price.
    async fn decide(&self, request: &DecisionsRequest<'_>) -> Result<Decisions, CallFailure>;

    /// What its answers said is left of its limits, kept up to date by [`Self::decide`]; `None` where it has none.
    fn headroom(&self) -> Option<Arc<Headroom>> {
        None
    }
}

/// The probability that `value` is, or why it is none.
pub(super) fn probability(value: Option<&Value>, name: &str) -> Result<f64, String> {
    let value = value.ok_or_else(|| format!("the answer has no {name}"))?;
    let number = value.as_f64().ok_or_else(|| format!("the {name} is not a number"))?;
    if (0.0..=1.0).contains(&number) { Ok(number.abs()) } else { Err(format!("the {name} {number} is not within 0 to 1")) }
}

/// Where both sides of a yes-or-no question are given, that they add up to one: `probabilities` is a list of objects with a
/// `probability`, or an object of numbers.
pub(super) fn sum_to_one(probabilities: Option<&Value>, yes: f64) -> Result<(), String> {
    let sides: Vec<Option<&Value>> = match probabilities {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(list)) => list.iter().map(|side| side.get("probability")).collect(),
        Some(Value::Object(object)) => object.values().map(Some).collect(),
        Some(_) => return Err("the probabilities are neither a list nor an object".to_owned()),
    };
    let sides = sides.into_iter().map(|side| probability(side, "probability of one side")).collect::<Result<Vec<_>, _>>()?;
    let sum: f64 = sides.iter().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(format!("the probabilities add up to {sum:.3}, not to 1"));
    }
    if sides.iter().all(|side| (side - yes).abs() > SUM_TOLERANCE) {
        return Err("the probabilities are not those of the answer".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn probabilities_are_numbers_from_0_to_1() {
        for (value, wanted) in [(json!(0), Ok(0.0)), (json!(-0.0), Ok(0.0)), (json!(0.5), Ok(0.5)), (json!(1), Ok(1.0))] {
            assert_eq!(probability(Some(&value), "p"), wanted);
        }
        for value in [json!(-0.01), json!(1.01), json!("0.5"), json!(null), json!([0.5]), json!(true)] {
            assert!(probability(Some(&value), "p").is_err(), "{value}");
        }
        assert!(probability(None, "p").is_err());
    }

    #[test]
    fn both_sides_add_up_to_one() {
        let sides = |yes: f64, no: f64| json!([{"value": true, "probability": yes}, {"value": false, "probability": no}]);
        assert_eq!(sum_to_one(None, 0.3), Ok(()));
        assert_eq!(sum_to_one(Some(&sides(0.3, 0.7)), 0.3), Ok(()));
        assert_eq!(sum_to_one(Some(&sides(0.3, 0.69)), 0.3), Ok(()));
        assert_eq!(sum_to_one(Some(&json!({"true": 0.3, "false": 0.7})), 0.3), Ok(()));
        assert!(sum_to_one(Some(&sides(0.3, 0.6)), 0.3).unwrap_err().contains("add up to 0.900"));
        assert!(sum_to_one(Some(&sides(0.3, 0.7)), 0.5).unwrap_err().contains("not those"));
        assert!(sum_to_one(Some(&json!([])), 0.3).is_err());
        assert!(sum_to_one(Some(&json!([0.3, 0.7])), 0.3).is_err());
        assert!(sum_to_one(Some(&json!({"true": 1.3, "false": -0.3})), 0.3).is_err());
    }

    proptest! {
        #[test]
        fn never_a_probability_outside_the_range(number in any::<f64>()) {
            if let Ok(probability) = probability(Some(&json!(number)), "p") {
                prop_assert!((0.0..=1.0).contains(&probability));
            }
        }
    }
}
