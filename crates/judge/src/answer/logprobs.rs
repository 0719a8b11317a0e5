//! The probability that a model would have said yes, from the log-probabilities of the token at which it said yes or no.
//!
//! A score is the expected value over the label tokens instead of the one that happened to be drawn: P(yes) / (P(yes) + P(no)), as in
//! G-Eval (Liu et al. 2023, arXiv:2303.16634, section 2.2), with two labels. It is read where the word stands, so what is written
//! before and after does not matter. Spellings that mean the same are added up: `yes`, ` yes`, `"Yes`, `YES",`.
//!
//! There is no fallback to the written word: a verdict of 0 or 1 among probabilities would be another judge under the same version.

use super::word;

/// What the labels must have of the probability, at the least. The score is the expected value given that the model says yes or no
/// at all; whatever else it would have said changes that by less than the rest, 0.2.
pub const LABEL_MASS_MIN: f64 = 0.8;

/// What was said at one place of an answer, and what else might have been.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenLogprobs {
    /// The token that was chosen, as bytes: a token may end within a character.
    pub token: Vec<u8>,
    /// The likeliest tokens with their natural log-probabilities; the chosen one is among them or added.
    pub likeliest: Vec<(Vec<u8>, f64)>,
}

/// The probability of yes given yes or no, in [0, 1], at the word that begins `at` bytes into `text`, the answer that `tokens` spell.
/// The error says what is missing.
pub fn probability_of_yes(text: &str, at: usize, tokens: &[TokenLogprobs]) -> Result<f64, String> {
    let token = covering(text, at, tokens).ok_or("the log-probabilities are not those of the answer's text")?;
    let (mut yes, mut no) = (0.0, 0.0);
    for (spelling, logprob) in &token.likeliest {
        let label = std::str::from_utf8(spelling).ok().and_then(|spelling| word::is_yes(bare(spelling)));
        match label {
            // More than a rounding error above 0 is no log-probability; not a number fails the comparison too.
            Some(_) if !matches!(*logprob, logprob if logprob <= 1e-3) => {
                return Err("a log-probability is above 0 or not a number".to_owned());
            }
            Some(true) => yes += logprob.exp(),
            Some(false) => no += logprob.exp(),
            None => {}
        }
    }
    let mass: f64 = yes + no;
    if mass > 1.02 {
        return Err(format!("the probabilities of yes and no add up to {mass:.3}"));
    }
    if mass < LABEL_MASS_MIN {
        return Err(format!(
            "yes and no have {mass:.3} of the probability together, and {LABEL_MASS_MIN} is needed for a score: the model does not \
             answer in the form that it is asked for"
        ));
    }
    Ok((yes / mass).clamp(0.0, 1.0))
}

/// The token in which the byte `at` of `text` lies. The tokens may spell more than the text, such as white space that was taken off.
fn covering<'t>(text: &str, at: usize, tokens: &'t [TokenLogprobs]) -> Option<&'t TokenLogprobs> {
    let spelled: Vec<u8> = tokens.iter().flat_map(|token| token.token.iter().copied()).collect();
    let mut place = memchr::memmem::find(&spelled, text.as_bytes())? + at;
    tokens.iter().find(|token| match place.checked_sub(token.token.len()) {
        Some(rest) => {
            place = rest;
            false
        }
        None => true,
    })
}

/// The word in a token, without what JSON puts around it.
fn bare(token: &str) -> &str {
    token.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | ':' | ',' | '{' | '}'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(token: &str, others: &[(&str, f64)]) -> TokenLogprobs {
        let likeliest = others.iter().map(|(token, probability)| (token.as_bytes().to_vec(), probability.ln())).collect();
        TokenLogprobs { token: token.as_bytes().to_vec(), likeliest }
    }

    fn answer(word: TokenLogprobs) -> Vec<TokenLogprobs> {
        let sure = |text: &str| token(text, &[(text, 1.0)]);
        vec![sure("{\""), sure("answer"), sure("\":"), sure(" \""), word, sure("\","), sure(" \"reason"), sure("\":\"é\"}")]
    }

    fn of(word: TokenLogprobs) -> Result<f64, String> {
        let tokens = answer(word);
        let text = String::from_utf8(tokens.iter().flat_map(|token| token.token.clone()).collect()).unwrap();
        probability_of_yes(&text, super::super::word::parse(&text).unwrap().at, &tokens)
    }

    #[test]
    fn spellings_are_added_up_and_renormalised() {
        assert!((of(token("yes", &[("yes", 0.6), ("no", 0.4)])).unwrap() - 0.6).abs() < 1e-12);
        let spelled =
            of(token("yes", &[("yes", 0.3), (" Yes", 0.2), ("YES\",", 0.1), ("no", 0.2), ("\"no", 0.1), ("maybe", 0.1)]));
        assert!((spelled.unwrap() - 0.6 / 0.9).abs() < 1e-12);
        assert_eq!(of(token("no", &[("no", 1.0)])).unwrap(), 0.0);
        // Words that only begin alike are no labels.
        let begun = of(token("yes", &[("yes", 0.85), ("yesterday", 0.1), ("none", 0.05)]));
        assert_eq!(begun.unwrap(), 1.0);
    }

    #[test]
    fn too_little_of_the_probability_is_refused() {
        assert!(of(token("yes", &[("yes", 0.5), ("no", 0.29), ("probably", 0.2)])).unwrap_err().contains("0.790"));
        assert!(of(token("yes", &[("yes", 0.5), ("no", 0.31)])).is_ok());
        assert!(of(token("yes", &[])).unwrap_err().contains("0.000"));
        // A tokeniser that splits the labels cannot be read.
        let mut split = answer(token("y", &[("y", 1.0)]));
        split.insert(5, token("es", &[("es", 1.0)]));
        let text = String::from_utf8(split.iter().flat_map(|token| token.token.clone()).collect()).unwrap();
        assert!(probability_of_yes(&text, 12, &split).is_err());
    }

    #[test]
    fn what_cannot_be_probabilities_is_refused() {
        for logprob in [f64::NAN, 0.5, f64::INFINITY] {
            let broken = TokenLogprobs { token: b"yes".to_vec(), likeliest: vec![(b"yes".to_vec(), logprob)] };
            assert!(of(broken).unwrap_err().contains("above 0"), "{logprob}");
        }
        assert!(of(token("yes", &[("yes", 0.9), ("no", 0.9)])).unwrap_err().contains("add up to 1.8"));
        let impossible = TokenLogprobs {
            token: b"yes".to_vec(),
            likeliest: vec![(b"yes".to_vec(), 0.0), (b"no".to_vec(), f64::NEG_INFINITY)],
        };
        assert_eq!(of(impossible).unwrap(), 1.0);
    }

    #[test]
    fn tokens_of_another_text_are_refused_and_more_than_the_text_is_not() {
        let tokens = answer(token("yes", &[("yes", 1.0)]));
        assert!(probability_of_yes("{\"answer\": \"no\"}", 12, &tokens).unwrap_err().contains("not those"));
        let mut padded = tokens;
        padded.insert(0, token(" \n", &[]));
        padded.push(token("<|end|>", &[]));
        assert_eq!(probability_of_yes("{\"answer\": \"yes\", \"reason\":\"é\"}", 12, &padded).unwrap(), 1.0);
        assert!(probability_of_yes("", 0, &[]).is_err());
    }

    #[test]
    fn a_token_may_hold_more_than_the_word() {
        let one = |text: &str, at, others: &[(&str, f64)]| probability_of_yes(text, at, &[token(text, others)]);
        assert!(one("{\"answer\":\"yes\"}", 11, &[("{\"answer\":\"yes\"}", 1.0)]).is_err(), "no label alone: refused");
        let tokens = [token("{\"answer\":", &[]), token("\"no\"", &[("\"no\"", 0.9), ("\"yes\"", 0.1)]), token("}", &[])];
        assert!((probability_of_yes("{\"answer\":\"no\"}", 11, &tokens).unwrap() - 0.1).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn never_panics_and_never_leaves_the_range(
            text in any::<String>(), at in 0..50_usize,
            tokens in prop::collection::vec((any::<Vec<u8>>(), prop::collection::vec(("yes|no| Yes|x", any::<f64>()), 0..4)), 0..6),
        ) {
            let tokens: Vec<TokenLogprobs> = tokens.into_iter().map(|(token, likeliest)| TokenLogprobs {
                token, likeliest: likeliest.into_iter().map(|(token, logprob)| (token.into_bytes(), logprob)).collect(),
            }).collect();
            let spelled = String::from_utf8_lossy(&tokens.iter().flat_map(|token| token.token.clone()).collect::<Vec<_>>()).into_owned();
            for text in [text, spelled] {
                if let Ok(probability) = probability_of_yes(&text, at, &tokens) {
                    prop_assert!((0.0..=1.0).contains(&probability));
                }
            }
        }
    }
}
