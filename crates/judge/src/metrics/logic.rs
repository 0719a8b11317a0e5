//! Logic: how often an answer's reasoning is faulty.

use super::{Builtin, NO_NEEDS, OneIs};

pub(super) const LOGIC: Builtin = Builtin {
    name: "logic",
    meaning: "has an error in its reasoning",
    one_is: OneIs::Problem,
    text: "Does the assistant's answer contain an error of reasoning?",
    rubric: "\
Follow the answer step by step. Errors of reasoning are: it contradicts itself, a conclusion does not follow from what is given, a \
calculation or a count is wrong, a step that the conclusion needs is missing, cause and effect are confused, a condition of the task \
is ignored, or code does not do what the answer says it does.
Judge the reasoning, not style, completeness or whether you would have decided otherwise. A false fact from which everything else \
follows correctly is no error of reasoning. An answer that reasons about nothing, such as a greeting or a refusal, has none.
Score 1 for an error that changes the conclusion, about 0.5 for one that does not, and 0 for none. Name the step in the reason.",
    needs: NO_NEEDS,
    without_context: false,
    phrases: &[],
    whole_words: false,
};
