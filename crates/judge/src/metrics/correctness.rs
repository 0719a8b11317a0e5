//! Correctness: how often an answer agrees with the reference, the right answer that came with it. A score of 1 is a correct answer.

use assize_core::Needs;

use super::{Builtin, OneIs};

pub(super) const CORRECTNESS: Builtin = Builtin {
    name: "correctness",
    meaning: "agrees with the reference answer",
    one_is: OneIs::Quality,
    text: "Is the assistant's answer correct, measured against the reference?",
    rubric: "\
The reference is right, also where you would have thought otherwise. Compare meaning, not wording: other words, units that convert to \
the same, another order and more detail are fine as long as nothing contradicts the reference.
An answer is wrong when its final answer differs from the reference, when it leaves out what the reference makes essential, when it \
gives several answers without deciding, or when it declines.
Score 1 where all essential points of the reference are there and none is contradicted, in between according to the share of the \
essential points that are right, and 0 where the answer is wrong or missing.",
    needs: Needs { context: false, reference: true },
    without_context: true,
    phrases: &[],
    whole_words: false,
};
