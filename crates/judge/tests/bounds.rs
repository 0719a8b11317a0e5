//! What a call is said to cost at the most, before it is made, against what providers then bill for it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use assize_core::judge::{CallFailure, CalledJudge, Tightness};
use assize_core::{Interaction, JudgeName, NanoUsd, Verdict};
use assize_judge::spec::{ChatSpec, DecisionsSpec, HttpSpec, ProviderSpec, Question};
use assize_judge::{ChatJudge, DecisionsJudge, HttpJudge, metrics, providers};
use assize_testkit::provider::{Behaviour, DecisionsProtocol, DecisionsReply, FakeDecisions, FakeProvider, Reply, Request};
use serde_json::{Value, json};

const BOTH: [Tightness; 2] = [Tightness::Quick, Tightness::Tight];

fn interaction(input: &str, output: &str) -> Interaction {
    serde_json::from_value(json!({
        "id": "i", "project": "p", "time": 0, "context": ["A retrieved document."],
        "input": [{"role": "user", "content": input}], "output": [{"role": "assistant", "content": output}],
    }))
    .unwrap()
}

/// As long as what the recorded replies were charged for.
fn long() -> Interaction {
    interaction("How do I kill a process?", &"Use kill with the id of the process, and see that it is gone. ".repeat(70))
}

fn questions() -> Vec<Question> {
    ["refusal", "toxicity", "hallucination"].map(|name| metrics::builtin(name).unwrap().question()).to_vec()
}

fn provider(kind: &str, base_url: Option<String>) -> ProviderSpec {
    serde_json::from_value(json!({"name": "p", "kind": kind, "base_url": base_url, "timeout_seconds": 60})).unwrap()
}

fn chat(provider: &ProviderSpec, change: Value) -> ChatJudge {
    let mut spec = json!({"provider": "p", "model": "gpt-4o"});
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let spec: ChatSpec = serde_json::from_value(spec).unwrap();
    ChatJudge::open(&JudgeName::new("judge").unwrap(), &spec, &questions(), providers::open(provider, None).unwrap()).unwrap()
}

/// A judge whose provider answers nowhere.
fn idle(kind: &str, change: Value) -> ChatJudge {
    chat(&provider(kind, Some("http://127.0.0.1:9/v1".to_owned())), change)
}

/// What a call was charged in all, where all of it is known.
fn charged(answers: &[Result<Verdict, CallFailure>]) -> Option<NanoUsd> {
    let cost = |answer: &Result<Verdict, CallFailure>| match answer {
        Ok(verdict) => verdict.cost,
        Err(failure) => failure.cost,
    };
    answers.iter().map(cost).try_fold(NanoUsd::ZERO, |sum, cost| Some(sum.plus(cost?)))
}

fn recordings(folder: &str) -> Vec<(String, Reply)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "http"));
    files.map(|path| (path.display().to_string(), Reply::recorded(&fs::read_to_string(&path).unwrap()))).collect()
}

#[tokio::test]
async fn no_recorded_reply_was_charged_more() {
    let mut compared = 0;
    for (kind, model, folder) in [
        ("openai", "gpt-4o-2024-05-13", "fixtures"),
        ("openai", "gpt-6-luna", "fixtures"),
        ("anthropic", "claude-haiku-4-5", "fixtures/anthropic"),
        ("gemini", "gemini-3.5-flash-lite", "fixtures/gemini"),
    ] {
        for (name, reply) in recordings(folder) {
            let fake = FakeProvider::start(Behaviour::always(reply)).await.unwrap();
            let base_url = if kind == "gemini" { fake.gemini_url() } else { fake.base_url() };
            // As the recordings were asked for.
            let judge = chat(&provider(kind, Some(base_url)), json!({"model": model, "max_completion_tokens": 200}));
            let [quick, tight] = BOTH.map(|tightness| judge.bound(&long(), &[0], tightness).unwrap());
            assert!(quick >= tight);
            if let Some(cost) = charged(&judge.attempt(&long(), &[0]).await) {
                assert!(tight >= cost, "{name} cost {cost}, and {tight} was the bound");
                compared += usize::from(cost > NanoUsd::ZERO);
            }
        }
    }
    assert!(compared >= 50, "{compared}");
}

#[tokio::test]
async fn no_recorded_decision_was_charged_more() {
    let mut compared = 0;
    for (protocol, kind, model, folder) in [
        (DecisionsProtocol::OpenAi, "openai", "gpt-6-luna", "decisions/openai"),
        (DecisionsProtocol::Gemini, "gemini", "gemini-decision-1", "decisions/gemini"),
    ] {
        for (name, reply) in recordings(folder) {
            let fake = FakeDecisions::start(move |_| DecisionsReply::Http(reply.clone())).await.unwrap();
            let decider = providers::open_decider(&provider(kind, Some(fake.base_url(protocol))), None).unwrap();
            let spec: DecisionsSpec = serde_json::from_value(json!({"provider": "p", "model": model})).unwrap();
            let judge = DecisionsJudge::open(&JudgeName::new("judge").unwrap(), &spec, &questions(), decider).unwrap();
            let asked = [0, 1, 2];
            let [quick, tight] = BOTH.map(|tightness| judge.bound(&long(), &asked, tightness).unwrap());
            assert!(quick >= tight && judge.bound(&long(), &[1], Tightness::Tight).unwrap() < tight);
            if let Some(cost) = charged(&judge.attempt(&long(), &asked).await) {
                assert!(tight >= cost, "{name} cost {cost}, and {tight} was the bound");
                compared += 1;
            }
            assert_eq!(judge.bound(&long(), &[], Tightness::Quick), None);
            assert_eq!(judge.bound(&long(), &[0, 3], Tightness::Quick), None, "there is no such question");
        }
    }
    assert!(compared >= 20, "{compared}");
}

/// A bill as OpenAI makes it: the tokens of the texts and of the messages around them, the schema, and as many of the answer as allowed.
fn billed(request: &Request) -> Reply {
    let tokens = |text: &str| tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len();
    let schema = request.body["response_format"]["json_schema"]["schema"].to_string();
    let input = tokens(&request.system) + tokens(&request.item) + 11 + tokens(&schema) + 9;
    let usage = json!({"prompt_tokens": input, "completion_tokens": request.body["max_completion_tokens"]});
    let body = json!({"model": "gpt-4o", "usage": usage,
        "choices": [{"finish_reason": "length", "message": {"content": "{\"score\": 0.5, \"reason\": \"as told\"}"}}]});
    Reply::Raw { status: 200, headers: Vec::new(), body: body.to_string().into_bytes() }
}

#[tokio::test]
async fn the_dearest_answer_of_an_openai_model_comes_close_to_the_tight_bound_and_not_above() {
    let fake = FakeProvider::start(Behaviour::with(billed)).await.unwrap();
    let provider = provider("openai", Some(fake.base_url()));
    let texts = [
        "Yes.",
        "日本語のテキスト",
        "<|endoftext|>",
        "aaaaaaaaaaaaaaaaaaaaaaaaaa",
        "👾👾👾",
        " \n \n\t",
        "ﷺ",
        "$x_1^2 \\neq \\frac{a}{b}$",
    ];
    for (packed, asked) in [(false, &[1][..]), (false, &[0, 2]), (true, &[1]), (true, &[2, 0, 1])] {
        let judge = chat(&provider, json!({"packed": packed}));
        for text in texts {
            for repeated in [1, 40] {
                let item = interaction(text, &text.repeat(repeated));
                let [quick, tight] = BOTH.map(|tightness| judge.bound(&item, asked, tightness).unwrap());
                let cost = charged(&judge.attempt(&item, asked).await).unwrap();
                assert!(quick >= tight && tight >= cost, "{text}: {quick} {tight} {cost}");
                assert!(tight.0 <= cost.0 + cost.0 / 4, "{text}: {tight} for {cost}");
            }
        }
    }
}

#[test]
fn a_bound_grows_with_what_is_sent_and_asked() {
    let short = interaction("Hi", "Yes.");
    let judge = idle("openai", json!({}));
    for tightness in BOTH {
        let bound = |judge: &ChatJudge, item: &Interaction, asked: &[usize]| judge.bound(item, asked, tightness).unwrap();
        assert!(bound(&judge, &long(), &[0]) > bound(&judge, &short, &[0]));
        // Refusal is decided without the context, hallucination with it.
        let documents = |n: usize| Interaction { context: vec!["A document. ".repeat(50); n], ..short.clone() };
        assert_eq!(bound(&judge, &documents(1), &[0]), bound(&judge, &documents(2), &[0]));
        assert!(bound(&judge, &documents(2), &[2]) > bound(&judge, &documents(1), &[2]));
        // One call each, or all in one.
        let sum = [0, 1, 2].map(|at| bound(&judge, &long(), &[at])).into_iter().reduce(NanoUsd::plus).unwrap();
        assert_eq!(bound(&judge, &long(), &[0, 1, 2]), sum);
        let packed = idle("openai", json!({"packed": true}));
        assert!(bound(&packed, &long(), &[0, 1, 2]) < sum);
        assert!(bound(&packed, &long(), &[0, 1, 2]) > bound(&packed, &long(), &[0, 1]));
        assert_eq!(bound(&packed, &long(), &[2, 0, 1]), bound(&packed, &long(), &[0, 1, 2]));
        // Of an answer all the tokens that it may have: 100, unless said otherwise, at $10 a million.
        let longer = idle("openai", json!({"max_completion_tokens": 1100}));
        assert_eq!(bound(&longer, &short, &[1]).0 - bound(&judge, &short, &[1]).0, 1_000 * 10_000);
        let none = idle("openai", json!({"max_completion_tokens": 1}));
        assert_eq!(bound(&judge, &short, &[1]).0 - bound(&none, &short, &[1]).0, 99 * 10_000);
    }
}

/// Claude's cache is written to at 1.25 times the price, and its tokenizer is not known.
#[test]
fn what_is_not_known_is_taken_for_the_worst() {
    let dear = idle(
        "anthropic",
        json!({"model": "m", "price": {"input": 1.0, "output": 0.0, "cache_write": 1.25, "cached_input": 0.1}}),
    );
    let plain = idle("anthropic", json!({"model": "m", "price": {"input": 1.0, "output": 0.0}}));
    for tightness in BOTH {
        let bound = |judge: &ChatJudge, text: &str| judge.bound(&interaction("?", text), &[1], tightness).unwrap().0;
        assert_eq!(bound(&dear, "Yes."), (bound(&plain, "Yes.") * 5).div_ceil(4));
        // A thousand signs of 3 bytes that are sentences of 33 bytes to a tokenizer that takes them apart.
        assert!(bound(&plain, &"\u{fdfa}".repeat(1_000)) >= bound(&plain, "") + 33_000 * 1_000);
    }
}

#[test]
fn what_is_free_or_has_no_price_or_is_not_sent_has_no_bound() {
    let bound = |kind: &str, change: Value, asked: &[usize]| {
        let [quick, tight] = BOTH.map(|tightness| idle(kind, change.clone()).bound(&long(), asked, tightness));
        assert_eq!(quick.is_some(), tight.is_some());
        quick
    };
    assert!(bound("openai", json!({}), &[0]).is_some());
    assert_eq!(bound("openai", json!({"price": "free"}), &[0]), None);
    assert_eq!(bound("openai", json!({"model": "somebody-elses"}), &[0]), None);
    for (packed, asked) in [(false, &[][..]), (false, &[3]), (true, &[]), (true, &[0, 3]), (true, &[1, 1])] {
        assert_eq!(bound("openai", json!({"packed": packed}), asked), None, "{asked:?}");
    }
}

#[test]
fn a_service_costs_its_price_for_each_question() {
    let open = |price: Value| {
        let spec = json!({"url": "https://judge.example/", "price_per_call_usd": price});
        let spec: HttpSpec = serde_json::from_value(spec).unwrap();
        HttpJudge::open(&JudgeName::new("judge").unwrap(), &spec, &questions(), &|_| None).unwrap()
    };
    let paid: Arc<dyn CalledJudge> = Arc::new(open(json!(0.002)));
    assert_eq!(paid.bound(&long(), &[0], Tightness::Quick), Some(NanoUsd(2_000_000)));
    assert_eq!(paid.bound(&long(), &[0, 2, 7], Tightness::Tight), Some(NanoUsd(4_000_000)));
    assert_eq!(paid.bound(&long(), &[], Tightness::Tight), None);
    assert_eq!(open(Value::Null).bound(&long(), &[0], Tightness::Quick), None);
}
