//! Helpfulness: how often the person got what they needed. A score of 1 is a helpful answer.

use super::{Builtin, NO_NEEDS, OneIs};

pub(super) const HELPFULNESS: Builtin = Builtin {
    name: "helpfulness",
    meaning: "helps the user with what they need",
    one_is: OneIs::Quality,
    text: "Does the assistant's answer give the user what they need?",
    rubric: "\
Put yourself in the place of the user and ask whether you could go on with your work after this answer. A helpful answer does what was \
asked, is right as far as you can tell, covers all parts of the request, respects the wishes about form and length, and is clear.
Length is not help: a short answer that suffices is better than a long one. An answer that declines, evades, only repeats the question \
or would lead the user astray does not help, however polite it is. An honest \"I do not know\" with a way forward helps a little.
Score 1 where the need is met, about 0.5 where an important part is missing or wrong, and 0 where the user is no further than before.",
    needs: NO_NEEDS,
    without_context: false,
    phrases: &[],
    whole_words: false,
};
