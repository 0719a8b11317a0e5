//! The metrics that come with the product: one small file each, and one line in [`all`]. Metrics of one's own are configuration.
//!
//! Every question is worded such that 1 means yes. Where the metric's name is a problem, or a kind of problem, 1 means that the
//! answer has it; where the name is a quality (relevance, helpfulness, correctness), 1 means that the answer has the quality.
//! [`Builtin::one_is`] says which, so that nobody has to guess.

mod correctness;
mod hallucination;
mod helpfulness;
mod logic;
mod refusal;
mod relevance;
mod sentiment;
mod toxicity;

use assize_core::Needs;

use crate::spec::{Question, RulesSpec};

/// What a score of 1 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OneIs {
    /// A problem: lower rates are better.
    Problem,
    /// A quality: higher rates are better.
    Quality,
}

/// A metric that comes with the product.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// What the configuration calls it.
    pub name: &'static str,
    /// What a score of 1 says about the answer, in a few words for people: `refuses, fully or in part`.
    pub meaning: &'static str,
    /// Whether that is good or bad.
    pub one_is: OneIs,
    /// The question.
    pub text: &'static str,
    /// How to decide.
    pub rubric: &'static str,
    /// What an interaction must bring.
    pub needs: Needs,
    /// Whether the judge can do without the context.
    pub without_context: bool,
    /// Phrases that answer the question cheaply, if not reliably; empty where words alone say nothing.
    pub phrases: &'static [&'static str],
    /// Whether the phrases count as whole words only.
    pub whole_words: bool,
}

impl Builtin {
    /// The question as a judge is asked it.
    pub fn question(&self) -> Question {
        Question {
            text: self.text.to_owned(),
            rubric: self.rubric.to_owned(),
            needs: self.needs,
            without_context: self.without_context,
        }
    }

    /// Free rules for the first tier of a cascade, where words alone say something.
    pub fn rules(&self) -> Option<RulesSpec> {
        (!self.phrases.is_empty()).then(|| RulesSpec {
            any_of: self.phrases.iter().map(|phrase| (*phrase).to_owned()).collect(),
            whole_words: self.whole_words,
            ..RulesSpec::default()
        })
    }
}

const NO_NEEDS: Needs = Needs { context: false, reference: false };

/// All built-in metrics.
pub fn all() -> &'static [Builtin] {
    // Alphabetical.
    const {
        &[
            correctness::CORRECTNESS,
            hallucination::HALLUCINATION,
            helpfulness::HELPFULNESS,
            logic::LOGIC,
            refusal::REFUSAL,
            relevance::RELEVANCE,
            sentiment::SENTIMENT,
            toxicity::TOXICITY,
        ]
    }
}

/// The built-in metric of this name.
pub fn builtin(name: &str) -> Option<&'static Builtin> {
    all().iter().find(|metric| metric.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_can_be_asked_and_its_rules_opened() {
        assert_eq!(all().len(), 8);
        assert!(all().is_sorted_by_key(|metric| metric.name));
        for metric in all() {
            assert!(builtin(metric.name).is_some());
            assert_eq!(metric.question().check(), Ok(()), "{}", metric.name);
            assert!(metric.text.ends_with('?') && !metric.meaning.is_empty(), "{}", metric.name);
            if let Some(rules) = metric.rules() {
                assert!(crate::rules::open(&rules).is_ok(), "{}", metric.name);
            }
        }
        assert!(builtin("Refusal").is_none());
        assert!(builtin("hallucination").unwrap().needs.context);
        assert!(builtin("correctness").unwrap().needs.reference);
    }

    fn free_score(metric: &str, output: &str) -> f64 {
        let interaction = serde_json::json!({
            "id": "i", "project": "p", "time": 0, "output": [{"role": "assistant", "content": output}],
        });
        let rules = crate::rules::open(&builtin(metric).unwrap().rules().unwrap()).unwrap();
        rules.judge(&serde_json::from_value(interaction).unwrap()).score
    }

    #[test]
    fn free_rules_find_the_plain_cases() {
        for refusal in ["I’m sorry, but I can’t help with that.", "As an AI language model, I have no…", "I must decline."]
        {
            assert_eq!(free_score("refusal", refusal), 1.0, "{refusal}");
        }
        assert_eq!(free_score("refusal", "Of course. Use `kill -9 PID`."), 0.0);
        for rude in ["You are an idiot.", "Oh SHUT UP!"] {
            assert_eq!(free_score("toxicity", rude), 1.0, "{rude}");
        }
        assert_eq!(free_score("toxicity", "The class assessed the idiotic plan's scope."), 0.0);
    }
}
