use proptest::prelude::*;
use serde_json::json;

use super::card::Card;
use super::measure;
use super::*;

fn judge(model: &str, field: Option<Field>) -> Arc<dyn InlineJudge> {
    open(&LinearSpec { model: model.to_owned(), field }).unwrap()
}

fn interaction(input: &[(&str, &str)], output: &[&str]) -> Interaction {
    let input: Vec<_> = input.iter().map(|(role, content)| json!({"role": role, "content": content})).collect();
    let output: Vec<_> = output.iter().map(|content| json!({"role": "assistant", "content": content})).collect();
    serde_json::from_value(json!({"id": "i", "project": "p", "time": 0, "input": input, "output": output})).unwrap()
}

fn said(output: &str) -> Interaction {
    interaction(&[], &[output])
}

/// Texts that no model was trained on, in the manner of assistants and of those who talk to them.
fn fixture(text: &str) -> Vec<(String, f64)> {
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.map(|line| (line["output"].as_str().unwrap().to_owned(), line["label"].as_f64().unwrap())).collect()
}

#[test]
fn the_built_in_models_tell_what_they_never_saw() {
    for (name, text, least) in [
        ("toxicity", include_str!("../../tests/fixtures/linear_toxicity.jsonl"), 0.85),
        ("sentiment", include_str!("../../tests/fixtures/linear_sentiment.jsonl"), 0.85),
    ] {
        let model = builtin(name).unwrap().model().unwrap();
        let scored: Vec<(f64, f64)> = fixture(text).iter().map(|(text, label)| (model.score(text), *label)).collect();
        let auc = measure::auc(&scored).unwrap();
        assert!(scored.len() >= 60 && auc >= least, "{name}: AUC {auc:.3} of {} texts", scored.len());
    }
}

#[test]
fn each_built_in_model_is_what_its_card_says() {
    for builtin in BUILTIN {
        let card = Card::from_markdown(builtin.card).unwrap();
        assert_eq!(card.name, builtin.name);
        assert_eq!(
            card.model_blake3,
            blake3::hash(builtin.bytes).to_hex().to_string(),
            "{}: the card is of another model",
            builtin.name
        );
        assert_eq!(card.model_bytes as usize, builtin.bytes.len());
        assert!(builtin.bytes.len() <= 300 << 10);
        let model = builtin.model().unwrap();
        assert_eq!(model.name(), builtin.name);
        assert_eq!(model.threshold(), card.report.held_out.threshold);
        assert!(!card.data.licence.contains("not stated") && !card.data.source.contains("not stated"));
    }
}

#[test]
fn plain_cases_and_their_reasons() {
    let toxicity = judge("builtin:toxicity", None);
    let verdict = toxicity.judge(&said("You are a stupid idiot, shut up."));
    assert!(verdict.score > 0.8, "{verdict:?}");
    assert!(verdict.reason.contains("idiot") || verdict.reason.contains("stupid"), "{verdict:?}");
    let verdict = toxicity.judge(&said("Your order has been confirmed and will be with you within two working days."));
    assert!(verdict.score < 0.4 && verdict.reason.is_empty(), "{verdict:?}");
    // One bad sentence in a long answer shows, though what stands around it weakens it.
    let long = "Your order has been confirmed and will arrive on Monday. ".repeat(40);
    let of = |text: &str| toxicity.judge(&said(text)).score;
    let within = of(&format!("{long} You stupid idiot. {long}"));
    assert!(within > of(&long) + 0.15, "{within} {}", of(&long));

    let sentiment = judge("builtin:sentiment", None);
    let user =
        |text: &str| sentiment.judge(&interaction(&[("user", text)], &["I am so sorry, that is terrible and awful."])).score;
    assert!(user("This is terrible, I'm so angry and disappointed with you.") > 0.7);
    assert!(user("Thank you, that is wonderful!") < 0.2);
}

#[test]
fn only_the_named_field_is_read_and_of_the_input_what_the_user_says() {
    let rude = "You stupid idiot, shut up.";
    let kind = "Thank you very much for your help.";
    let score = |field: Option<Field>, interaction: &Interaction| judge("builtin:toxicity", field).judge(interaction).score;
    let by_user = interaction(&[("user", rude)], &[kind]);
    let by_assistant = interaction(&[("user", kind)], &[rude]);
    let by_earlier_assistant = interaction(&[("assistant", rude), ("user", kind)], &[kind]);
    let by_nobody_known = interaction(&[("system", rude)], &[kind]);
    for (interaction, input, output, both) in [
        (&by_user, true, false, true),
        (&by_assistant, false, true, true),
        (&by_earlier_assistant, false, false, false),
        (&by_nobody_known, true, false, true),
    ] {
        assert_eq!(score(Some(Field::Input), interaction) > 0.5, input);
        assert_eq!(score(Some(Field::Output), interaction) > 0.5, output);
        assert_eq!(score(None, interaction), score(Some(Field::Output), interaction));
        assert_eq!(score(Some(Field::Both), interaction) > 0.5, both);
    }
    assert_eq!(score(None, &interaction(&[("user", rude)], &[])), 0.0);
}

#[test]
fn the_version_hashes_weights_and_field() {
    let version = |model: &str, field: Option<Field>| judge(model, field).version().clone();
    assert_eq!(version("builtin:toxicity", None), version("builtin:toxicity", Some(Field::Output)));
    assert_ne!(version("builtin:toxicity", None), version("builtin:toxicity", Some(Field::Both)));
    assert_ne!(version("builtin:toxicity", Some(Field::Input)), version("builtin:sentiment", Some(Field::Input)));
    // The same weights from a file are the same judge; one weight more makes another.
    let mut model = builtin("toxicity").unwrap().model().unwrap();
    let path = std::env::temp_dir().join(format!("assize-linear-version-{}.bin", std::process::id()));
    std::fs::write(&path, model.to_bytes()).unwrap();
    assert_eq!(version(&path.to_string_lossy(), None), version("builtin:toxicity", None));
    model.words.weights.to_mut()[7] ^= 1;
    std::fs::write(&path, model.to_bytes()).unwrap();
    assert_ne!(version(&path.to_string_lossy(), None), version("builtin:toxicity", None));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_cannot_be_opened_says_why() {
    for (model, wanted) in [
        ("", "builtin:toxicity"),
        ("builtin:refusal", "builtin:sentiment"),
        ("no/such/file.bin", "no/such/file.bin: cannot be read"),
        (env!("CARGO_MANIFEST_DIR"), "cannot be read"),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "is no linear model"),
    ] {
        let error = open(&LinearSpec { model: model.to_owned(), field: None }).err().unwrap();
        assert_eq!(error.key, "model");
        assert!(error.message.contains(wanted), "{error}");
    }
    let spec = |value: serde_json::Value| serde_json::from_value::<crate::spec::JudgeSpec>(value);
    assert!(
        spec(json!({"name": "j", "kind": "linear", "model": "builtin:toxicity", "field": "output"})).unwrap().check().is_ok()
    );
    assert!(spec(json!({"name": "j", "kind": "linear", "model": "builtin:toxicity", "feild": "output"})).is_err());
    assert!(spec(json!({"name": "j", "kind": "linear"})).is_err());
    assert!(spec(json!({"name": "j", "kind": "linear", "model": "builtin:none"})).unwrap().check().is_err());
}

#[test]
fn numbers_are_never_repeated_in_a_reason() {
    let verdict =
        judge("builtin:toxicity", None).judge(&said("You stupid idiot 4111111111111111, you fucking moron 0170 1234567!"));
    assert!(!verdict.reason.is_empty() && !verdict.reason.chars().any(|c| ('1'..='9').contains(&c)), "{verdict:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn any_text_has_a_score_and_a_short_reason(text in any::<String>(), words in "([a-z]{1,9}|[🙂日é!?\u{0}\u{7}\n]| |idiot|stupid|hate){0,80}") {
        let judge = judge("builtin:toxicity", Some(Field::Both));
        for text in [&text, &words] {
            let item = interaction(&[("user", text)], &[text]);
            let verdict = judge.judge(&item);
            prop_assert!((0.0..=1.0).contains(&verdict.score));
            prop_assert!(verdict.reason.chars().count() <= REASON_CHARS_MAX);
            prop_assert_eq!(verdict, judge.judge(&item));
        }
    }
}
