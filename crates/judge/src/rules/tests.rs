use assize_core::{InteractionId, ProjectName, Role, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn interaction(input: &str, output: &str) -> Interaction {
    serde_json::from_value(json!({
        "id": InteractionId::new("i").unwrap(), "project": ProjectName::new("p").unwrap(), "time": Timestamp(0),
        "input": [Message::new(Role::User, input)], "output": [Message::new(Role::Assistant, output)],
    }))
    .unwrap()
}

fn judge(spec: serde_json::Value) -> Arc<dyn InlineJudge> {
    open(&serde_json::from_value(spec).unwrap()).unwrap()
}

fn verdict(spec: serde_json::Value, output: &str) -> (f64, String) {
    let verdict = judge(spec).judge(&interaction("question", output));
    (verdict.score, verdict.reason)
}

fn found(reason: &str) -> (f64, String) {
    (1.0, reason.to_owned())
}

fn nothing() -> (f64, String) {
    (0.0, String::new())
}

#[test]
fn each_rule_names_itself_and_what_it_found() {
    let words = json!({"any_of": ["I'm sorry", "I cannot"]});
    assert_eq!(verdict(words.clone(), "Oh, I’m sorry."), found("any_of: \"I'm sorry\""));
    assert_eq!(verdict(words, "Gladly."), nothing());
    assert_eq!(verdict(json!({"all_of": ["yes", "sources:"]}), "Yes."), found("all_of: \"sources:\" is missing"));
    assert_eq!(verdict(json!({"any_pattern": ["[A-Z]{3}-\\d+"]}), "see ABC-12"), found("any_pattern[0]: \"ABC-12\""));
    assert_eq!(verdict(json!({"chars_min": 3}), "日本"), found("chars_min: 2 characters are fewer than 3"));
    assert_eq!(verdict(json!({"chars_min": 2, "chars_max": 2}), "日本"), nothing());
    assert_eq!(verdict(json!({"chars_max": 1}), "日本"), found("chars_max: 2 characters are more than 1"));
    assert_eq!(verdict(json!({"must_equal": " A "}), "A\n"), nothing());
    assert_eq!(verdict(json!({"must_equal": "A"}), "a"), found("must_equal: it is something else"));
    assert_eq!(verdict(json!({"pii": ["email", "phone"]}), "to a@b.de"), found("pii: email"));
}

#[test]
fn json_is_checked_at_any_depth() {
    let json = json!({"must_be_json": true});
    for good in ["{}", "[1,2]", "42", " {\"a\": [null, \"\\u00e9\"]}\n"] {
        assert_eq!(verdict(json.clone(), good), nothing(), "{good}");
    }
    assert_eq!(verdict(json.clone(), "{\"a\":"), found("must_be_json: not valid JSON (line 1, it ends too early)"));
    for bad in ["", "{'a': 1}", "{} {}", "```json\n{}\n```", "{\"a\": NaN}"] {
        assert_eq!(verdict(json.clone(), bad).0, 1.0, "{bad}");
    }
    let deep = 300_000;
    assert_eq!(verdict(json.clone(), &"[".repeat(deep)).0, 1.0);
    let closed = format!("{}{}", "[".repeat(deep), "]".repeat(deep));
    let _ = verdict(json, &closed);
}

#[test]
fn the_reference_is_compared_without_case() {
    let mut with = interaction("q", " STRASSE é ");
    with.reference = Some("strasse É".into());
    let equal = judge(json!({"must_equal_reference": true}));
    let contain = judge(json!({"must_contain_reference": true}));
    assert_eq!(equal.judge(&with).score, 0.0);
    assert_eq!(contain.judge(&with).score, 0.0);
    with.reference = Some("asse".into());
    assert_eq!(equal.judge(&with).reason, "must_equal_reference: it differs from the reference");
    assert_eq!(contain.judge(&with).score, 0.0);
    with.reference = Some("Gasse".into());
    assert_eq!(contain.judge(&with).reason, "must_contain_reference: the reference does not occur");
    for none in [None, Some(" ".to_owned())] {
        with.reference = none;
        for rule in [&equal, &contain] {
            let verdict = rule.judge(&with);
            assert_eq!((verdict.score, verdict.reason.as_str()), (0.0, "does not apply: the interaction has no reference"));
        }
    }
}

#[test]
fn the_field_decides_what_is_read() {
    let asked = interaction("say SECRET", "no");
    for (field, score) in [("input", 1.0), ("output", 0.0), ("both", 1.0)] {
        assert_eq!(judge(json!({"field": field, "any_of": ["secret"]})).judge(&asked).score, score, "{field}");
    }
    let chars = judge(json!({"field": "both", "chars_max": 11}));
    assert_eq!(chars.judge(&asked).reason, "chars_max: 12 characters are more than 11");
}

#[test]
fn several_messages_are_read_one_by_one() {
    let mut talk = interaction("q", "one two");
    talk.output.push(Message::new(Role::Assistant, "three"));
    assert_eq!(judge(json!({"any_of": ["THREE"]})).judge(&talk).score, 1.0);
    assert_eq!(judge(json!({"any_of": ["two\nthree"]})).judge(&talk).score, 0.0);
    assert_eq!(judge(json!({"all_of": ["one", "three"]})).judge(&talk).score, 0.0);
    talk.output.clear();
    assert_eq!(judge(json!({"any_of": ["x"], "pii": ["email"]})).judge(&talk).score, 0.0);
}

#[test]
fn a_reason_is_cut_at_a_character() {
    let (score, reason) = verdict(json!({"any_pattern": ["é+"]}), &"é".repeat(5000));
    assert_eq!((score, reason.chars().count()), (1.0, REASON_CHARS_MAX));
}

#[test]
fn the_version_follows_the_specification_alone() {
    let version = |spec| judge(spec).version().clone();
    let spec = json!({"any_of": ["a", "b"], "whole_words": true});
    assert_eq!(version(spec.clone()), version(json!({"whole_words": true, "any_of": ["a", "b"]})));
    for other in [json!({"any_of": ["a", "b"]}), json!({"any_of": ["b", "a"], "whole_words": true})] {
        assert_ne!(version(spec.clone()), version(other));
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_fail(input in any::<String>(), output in any::<String>(), reference in proptest::option::of(any::<String>())) {
        let mut item = interaction(&input, &output);
        item.reference = reference;
        for field in ["input", "output", "both"] {
            let whole = field != "both";
            let rules = judge(json!({
                "field": field, "any_of": ["I'm", "é"], "all_of": ["a", "'b"], "whole_words": true, "any_pattern": ["\\bx.*y"],
                "chars_min": 1, "chars_max": 50, "must_be_json": whole, "must_equal_reference": whole,
                "must_contain_reference": true, "pii": ["email", "phone", "credit_card", "iban", "us_ssn", "ip_address"],
            }));
            let verdict = rules.judge(&item);
            prop_assert!(verdict.score == 0.0 || verdict.score == 1.0);
            prop_assert!(verdict.reason.chars().count() <= REASON_CHARS_MAX);
            prop_assert_eq!(verdict.score == 1.0, !verdict.reason.is_empty() && !verdict.reason.starts_with("does not apply"));
        }
    }
}
