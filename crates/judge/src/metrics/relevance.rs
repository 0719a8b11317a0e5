//! Relevance: how often an answer is about what was asked. A score of 1 is a relevant answer.

use super::{Builtin, NO_NEEDS, OneIs};

pub(super) const RELEVANCE: Builtin = Builtin {
    name: "relevance",
    meaning: "answers what was asked",
    one_is: OneIs::Quality,
    text: "Is the assistant's answer about what the user asked?",
    rubric: "\
Read the last message of the user in the light of the earlier ones, and ask whether the answer speaks to it. Whether the answer is \
true, friendly or complete does not matter here.
A question back that is needed to help is relevant. So is a refusal that names what was asked, as far as it does. What was not asked \
for makes an answer less relevant: general talk, another subject, long detours.
Score 1 where all of the answer serves the request, about 0.5 where it does in part or misses the point of it, and 0 where it is about \
something else.",
    needs: NO_NEEDS,
    without_context: true,
    phrases: &[],
    whole_words: false,
};
