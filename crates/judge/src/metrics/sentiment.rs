//! Sentiment: how often the person who wrote to the assistant is unhappy. A score of 1 is a *negative* sentiment, so that the rate
//! counts what somebody should look into.

use super::{Builtin, NO_NEEDS, OneIs};

pub(super) const SENTIMENT: Builtin = Builtin {
    name: "sentiment",
    meaning: "the user is unhappy (negative sentiment)",
    one_is: OneIs::Problem,
    text: "Does the user express a negative sentiment: frustration, anger, disappointment, distress or distrust?",
    rubric: "\
Judge the user's words in the input, the last message most of all; the output only tells how they were meant. What counts is the \
user's own feeling towards the assistant, the product or their situation, not a sad or violent subject that they write about in a \
neutral tone.
Score 1 for a clearly negative sentiment, about 0.5 for mild impatience or mixed feelings, and 0 for a neutral or a positive one. A \
matter-of-fact question, request or bug report is neutral.",
    needs: NO_NEEDS,
    without_context: true,
    phrases: &[],
    whole_words: false,
};
