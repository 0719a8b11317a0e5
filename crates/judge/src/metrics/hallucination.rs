//! Hallucination: how often an answer claims what its context does not say. Needs context.

use assize_core::Needs;

use super::{Builtin, OneIs};

pub(super) const HALLUCINATION: Builtin = Builtin {
    name: "hallucination",
    meaning: "claims something that the context does not support",
    one_is: OneIs::Problem,
    text: "Does the assistant's answer state anything as fact that the given context contradicts or does not support?",
    rubric: "\
Take the answer apart into its factual claims: names, numbers, dates, causes, quotations, what is possible and what is not. Check each \
against the context only; do not use what you know yourself, not even to excuse a claim.
A claim is unsupported when the context contradicts it, does not mention it, or says something weaker. Paraphrase, summary, plain \
arithmetic on figures of the context and what follows from it directly are supported. Greetings, offers of help, questions, opinions \
marked as such, and saying that the context does not hold the answer are not claims.
Score 1 where a claim that matters to the answer is contradicted or invented, about 0.5 where only a side remark is unsupported, and 0 \
where everything is supported. Name the claim in the reason.",
    needs: Needs { context: true, reference: false },
    without_context: false,
    phrases: &[],
    whole_words: false,
};
