//! What judging cost less than it would have cost to have the reference judge see everything, and what made it so.
//!
//! Of one metric and one range of time. The reference judge's *list cost* is the mean of what its answered questions in the range would
//! have cost live and without the prompt cache. Everything is that times the questions that could have been asked. From there
//! each step takes off what it is on record for, so that the last line is what was paid, to the nano-dollar:
//!
//! `everything = mean x (left out by sampling + decided by cheaper tiers + used again + not done + judged)`, and
//! `paid = list costs of all calls - prompt caching - batches`.
#![deny(clippy::float_arithmetic)]

use crate::{NanoUsd, Outcome};

/// What is on record of a metric in a range of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// How the questions ended.
    pub ended: Ended,
    /// Calls of the reference judge that gave a verdict, and whose list cost is known: how many questions they answered.
    pub reference_answers: u64,
    /// What these would have cost live without the prompt cache.
    pub reference_list: NanoUsd,
    /// What the reference judge's other calls would have: failures, and tries before an answer.
    pub reference_other_list: NanoUsd,
    /// What the cheaper tiers' calls would have.
    pub cheaper_list: NanoUsd,
    /// What all other calls would have: fallback judges, and what is on record without its place.
    pub other_list: NanoUsd,
    /// What all of them would have cost live, the prompt cache as it was.
    pub live: NanoUsd,
    /// What they did cost.
    pub paid: NanoUsd,
}

/// How many questions ended how. Interactions without content are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ended {
    /// Left out by the draw at accept, or later for the budget's sake.
    pub not_sampled: u64,
    /// Left out by a draw after a cheaper tier had judged.
    pub cheaper_alone: u64,
    /// A verdict on the very same was used again.
    pub reused_exact: u64,
    /// A verdict on nearly the same was.
    pub reused_similar: u64,
    /// Left out since the budget did not allow it.
    pub over_budget: u64,
    /// Not judged for any other reason: failures, expired, dropped, still waiting.
    pub undone: u64,
    /// Judged by the reference judge.
    pub judged: u64,
}

impl Ended {
    /// Counts `count` questions that ended so; `None` for those that wait.
    pub fn add(&mut self, outcome: Option<Outcome>, code: &str, count: u64) {
        let sum = match (outcome, code) {
            (Some(Outcome::NoContent), _) => return,
            (Some(Outcome::NotSampled), "later_draw") => &mut self.cheaper_alone,
            (Some(Outcome::NotSampled), _) => &mut self.not_sampled,
            (Some(Outcome::Reused), "similar") => &mut self.reused_similar,
            (Some(Outcome::Reused), _) => &mut self.reused_exact,
            (Some(Outcome::OverBudget), _) => &mut self.over_budget,
            (Some(Outcome::Judged), _) => &mut self.judged,
            (Some(Outcome::JudgeFailed | Outcome::Expired | Outcome::Dropped) | None, _) => &mut self.undone,
        };
        *sum = sum.saturating_add(count);
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        let Self { not_sampled, cheaper_alone, reused_exact, reused_similar, over_budget, undone, judged } = *self;
        [not_sampled, cheaper_alone, reused_exact, reused_similar, over_budget, undone, judged]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

/// What took something off, or put something on. In the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lever {
    /// The draw left it out.
    Sampling,
    /// Cheaper tiers decided alone; what they cost is taken from it.
    Cascade,
    /// Verdicts on the very same were used again.
    ExactCache,
    /// Verdicts on nearly the same were.
    SimilarCache,
    /// The budget did not allow it: less was paid, and less is known.
    OverBudget,
    /// Not judged for another reason: nothing was saved by it, and nothing paid.
    Undone,
    /// Tries of the reference judge that failed: they cost more than everything would.
    FailedTries,
    /// Fallback judges, and calls of which it is not on record what they were for.
    OtherCalls,
    /// Judged at another time than it was called: questions of the range whose calls lie outside of it, and the other way round.
    Timing,
    /// Input that the provider's prompt cache had.
    PromptCache,
    /// Batches.
    Batch,
}

impl Lever {
    /// Every lever, in order.
    pub const ALL: [Self; 11] = [
        Self::Sampling,
        Self::Cascade,
        Self::ExactCache,
        Self::SimilarCache,
        Self::OverBudget,
        Self::Undone,
        Self::FailedTries,
        Self::OtherCalls,
        Self::Timing,
        Self::PromptCache,
        Self::Batch,
    ];

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::Cascade => "cascade",
            Self::ExactCache => "exact_cache",
            Self::SimilarCache => "similar_cache",
            Self::OverBudget => "over_budget",
            Self::Undone => "not_judged",
            Self::FailedTries => "failed_tries",
            Self::OtherCalls => "other_calls",
            Self::Timing => "timing",
            Self::PromptCache => "prompt_cache",
            Self::Batch => "batch",
        }
    }

    /// Whether it is a way to pay less for the same number; the others only keep the sum whole.
    pub fn is_saving(self) -> bool {
        use Lever::{Batch, Cascade, ExactCache, PromptCache, Sampling, SimilarCache};
        matches!(self, Sampling | Cascade | ExactCache | SimilarCache | PromptCache | Batch)
    }
}

/// One step from everything down to what was paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// What took it off.
    pub lever: Lever,
    /// The questions that it is about, where it is about whole ones.
    pub questions: Option<u64>,
    /// How many nano-dollars it took off; negative where it put them on.
    pub saved: i128,
}

/// The way from everything down to what was paid.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Savings {
    /// Questions that could have been asked.
    pub questions: u64,
    /// Answers of reference judges that the mean rests on.
    pub answers: u64,
    /// What having the reference judge see everything would have cost.
    pub everything: i128,
    /// The steps, in the order of [`Lever::ALL`], those about nothing too.
    pub steps: Vec<Step>,
    /// What was paid: `everything` less all steps.
    pub paid: i128,
}

/// No amount is larger.
const MOST: i128 = 1 << 100;

impl Savings {
    /// The way of one metric; `None` where no answer of the reference judge has a known list cost, so that nobody knows what it would
    /// have cost.
    pub fn of(record: &Record) -> Option<Self> {
        if record.reference_answers == 0 {
            return None;
        }
        // So many questions cost so much, from the first on: differences of this add up exactly.
        let list = i128::from(record.reference_list.0);
        let (mean_of, answers) = (u128::from(record.reference_list.0), u128::from(record.reference_answers));
        // A product of two 64-bit numbers fits; what nobody could pay is cut off, so that sums of it fit, too.
        let up_to =
            |questions: u64| i128::try_from(u128::from(questions) * mean_of / answers).map_or(MOST, |worth| worth.min(MOST));
        let ended = record.ended;
        let mut counted = 0_u64;
        let mut worth = |questions: u64| {
            let before = up_to(counted);
            counted = counted.saturating_add(questions);
            up_to(counted) - before
        };
        let nanos = |amount: NanoUsd| i128::from(amount.0);
        let sampled = worth(ended.not_sampled);
        let alone = worth(ended.cheaper_alone);
        let exact = worth(ended.reused_exact);
        let similar = worth(ended.reused_similar);
        let over = worth(ended.over_budget);
        let undone = worth(ended.undone);
        let judged = worth(ended.judged);
        let all_list = [record.reference_list, record.reference_other_list, record.cheaper_list, record.other_list];
        let uncached: i128 = all_list.into_iter().map(nanos).sum();
        let step = |lever, questions, saved| Step { lever, questions, saved };
        let steps = vec![
            step(Lever::Sampling, Some(ended.not_sampled), sampled),
            step(Lever::Cascade, Some(ended.cheaper_alone), alone - nanos(record.cheaper_list)),
            step(Lever::ExactCache, Some(ended.reused_exact), exact),
            step(Lever::SimilarCache, Some(ended.reused_similar), similar),
            step(Lever::OverBudget, Some(ended.over_budget), over),
            step(Lever::Undone, Some(ended.undone), undone),
            step(Lever::FailedTries, None, -nanos(record.reference_other_list)),
            step(Lever::OtherCalls, None, -nanos(record.other_list)),
            step(Lever::Timing, None, judged - list),
            step(Lever::PromptCache, None, uncached - nanos(record.live)),
            step(Lever::Batch, None, nanos(record.live) - nanos(record.paid)),
        ];
        let (questions, everything) = (ended.all(), up_to(counted));
        Some(Self { questions, answers: record.reference_answers, everything, steps, paid: nanos(record.paid) })
    }

    /// Adds those of another metric, or of another project.
    pub fn add(&mut self, other: &Self) {
        self.questions = self.questions.saturating_add(other.questions);
        self.answers = self.answers.saturating_add(other.answers);
        self.everything += other.everything;
        self.paid += other.paid;
        if self.steps.is_empty() {
            self.steps.clone_from(&other.steps);
            return;
        }
        for (step, more) in self.steps.iter_mut().zip(&other.steps) {
            step.saved += more.saved;
            step.questions = step.questions.zip(more.questions).map(|(a, b)| a.saturating_add(b));
        }
    }

    /// What was saved on purpose.
    pub fn saved(&self) -> i128 {
        self.steps.iter().filter(|step| step.lever.is_saving()).map(|step| step.saved).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn saved(savings: &Savings, lever: Lever) -> i128 {
        savings.steps.iter().find(|step| step.lever == lever).unwrap().saved
    }

    #[test]
    fn a_known_week_comes_down_step_by_step() {
        let mut ended = Ended::default();
        for (outcome, code, count) in [
            (Some(Outcome::NotSampled), "", 800),
            (Some(Outcome::NotSampled), "thinned", 50),
            (Some(Outcome::NotSampled), "later_draw", 60),
            (Some(Outcome::Reused), "", 20),
            (Some(Outcome::Reused), "similar", 10),
            (Some(Outcome::OverBudget), "tenant_day", 5),
            (Some(Outcome::JudgeFailed), "timeout", 1),
            (None, "", 4),
            (Some(Outcome::NoContent), "no_text", 1_000),
            (Some(Outcome::Judged), "", 50),
        ] {
            ended.add(outcome, code, count);
        }
        assert_eq!(ended.all(), 1_000);
        // A question of the reference judge costs 100, of the cheaper one 2.
        let record = Record {
            ended,
            reference_answers: 50,
            reference_list: NanoUsd(5_000),
            reference_other_list: NanoUsd(300),
            cheaper_list: NanoUsd(2 * 110),
            other_list: NanoUsd(7),
            live: NanoUsd(5_000),
            paid: NanoUsd(2_600),
        };
        let savings = Savings::of(&record).unwrap();
        assert_eq!((savings.questions, savings.everything, savings.paid), (1_000, 100_000, 2_600));
        let expected = [
            (Lever::Sampling, 85_000),
            (Lever::Cascade, 6_000 - 220),
            (Lever::ExactCache, 2_000),
            (Lever::SimilarCache, 1_000),
            (Lever::OverBudget, 500),
            (Lever::Undone, 500),
            (Lever::FailedTries, -300),
            (Lever::OtherCalls, -7),
            (Lever::Timing, 0),
            (Lever::PromptCache, 5_527 - 5_000),
            (Lever::Batch, 2_400),
        ];
        for (lever, amount) in expected {
            assert_eq!(saved(&savings, lever), amount, "{lever:?}");
        }
        assert_eq!(savings.saved(), 85_000 + 5_780 + 2_000 + 1_000 + 527 + 2_400);
    }

    #[test]
    fn without_an_answer_nobody_knows() {
        assert_eq!(Savings::of(&Record { paid: NanoUsd(5), ..Record::default() }), None);
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let counts = prop::array::uniform7(0..u64::MAX / 8);
        (counts, 1..u64::MAX, prop::array::uniform6(any::<u64>())).prop_map(|(counts, answers, money)| Record {
            ended: Ended {
                not_sampled: counts[0],
                cheaper_alone: counts[1],
                reused_exact: counts[2],
                reused_similar: counts[3],
                over_budget: counts[4],
                undone: counts[5],
                judged: counts[6],
            },
            reference_answers: answers,
            reference_list: NanoUsd(money[0]),
            reference_other_list: NanoUsd(money[1]),
            cheaper_list: NanoUsd(money[2]),
            other_list: NanoUsd(money[3]),
            live: NanoUsd(money[4]),
            paid: NanoUsd(money[5]),
        })
    }

    proptest! {
        #[test]
        fn steps_lead_to_what_was_paid_exactly(records in prop::collection::vec(any_record(), 1..4)) {
            let mut total = Savings::default();
            for record in &records {
                let savings = Savings::of(record).unwrap();
                prop_assert_eq!(savings.everything - savings.steps.iter().map(|step| step.saved).sum::<i128>(), savings.paid);
                total.add(&savings);
            }
            prop_assert_eq!(total.everything - total.steps.iter().map(|step| step.saved).sum::<i128>(), total.paid);
        }
    }
}
