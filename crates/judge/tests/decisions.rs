//! Decision models as judges, over HTTP: what is sent, which probabilities are believed, and how questions fail alone.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Interaction, JudgeName, NanoUsd, TokenUsage, Verdict};
use assize_judge::spec::{DecisionsSpec, ProviderSpec, Question};
use assize_judge::{DecisionsJudge, metrics, providers};
use assize_testkit::provider::{DecisionsProtocol, DecisionsReply, FakeDecisions, Reply};
use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::{Value, json};

const KEY: &str = "sk-test-0123456789abcdef";
const PROTOCOLS: [DecisionsProtocol; 2] = [DecisionsProtocol::OpenAi, DecisionsProtocol::Gemini];

fn item() -> Interaction {
    serde_json::from_value(json!({
        "id": "i", "project": "p", "time": 0, "context": ["A retrieved document."],
        "input": [{"role": "user", "content": "How do I kill a Python process on a remote machine?"}],
        "output": [{"role": "assistant", "content": "I'm sorry, I can't help with that."}],
    }))
    .unwrap()
}

fn questions() -> Vec<Question> {
    ["refusal", "toxicity", "hallucination"].map(|name| metrics::builtin(name).unwrap().question()).to_vec()
}

fn judge(fake: &FakeDecisions, protocol: DecisionsProtocol, change: Value) -> DecisionsJudge {
    let (kind, model) = match protocol {
        DecisionsProtocol::OpenAi => ("openai", "gpt-6-luna"),
        DecisionsProtocol::Gemini => ("gemini", "gemini-decision-1"),
    };
    let provider: ProviderSpec = serde_json::from_value(json!({
        "name": "p", "kind": kind, "base_url": fake.base_url(protocol), "api_key_env": "KEY", "timeout_seconds": 1,
        "prompt_cache_key": change.get("prompt_cache_key"),
    }))
    .unwrap();
    let decider = providers::open_decider(&provider, Some(SecretString::from(KEY))).unwrap();
    let mut spec = json!({"provider": "p", "model": model});
    if let Some(model) = change.get("model") {
        spec["model"] = model.clone();
    }
    let spec: DecisionsSpec = serde_json::from_value(spec).unwrap();
    DecisionsJudge::open(&JudgeName::new("cheap").unwrap(), &spec, &questions(), decider).unwrap()
}

async fn told(protocol: DecisionsProtocol, reply: DecisionsReply) -> Vec<Result<Verdict, CallFailure>> {
    let fake = FakeDecisions::start(move |_| reply.clone()).await.unwrap();
    let verdicts = judge(&fake, protocol, json!({})).attempt(&item(), &[0, 1, 2]).await;
    assert_eq!((fake.calls(), verdicts.len()), (1, 3), "one call, one result a question");
    verdicts
}

#[tokio::test]
async fn all_questions_are_asked_in_one_call_and_its_cost_is_split_exactly() {
    for protocol in PROTOCOLS {
        let fake =
            FakeDecisions::start(|_| DecisionsReply::Probabilities(vec![Some(0.97), Some(0.02), Some(0.5)])).await.unwrap();
        let judge = judge(&fake, protocol, json!({}));
        let verdicts: Vec<Verdict> = judge.attempt(&item(), &[0, 1, 2]).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(fake.calls(), 1);
        assert_eq!(verdicts.iter().map(|verdict| verdict.score).collect::<Vec<_>>(), [0.97, 0.02, 0.5]);
        for (verdict, version) in verdicts.iter().zip(judge.versions()) {
            assert_eq!((&verdict.version, verdict.judge.as_str()), (version, "cheap"));
            assert!(verdict.reason.is_empty() && !verdict.simulated);
            assert!((verdict.confidence.unwrap() - verdict.score.max(1.0 - verdict.score)).abs() < 1e-12);
        }
        let input: u64 = verdicts.iter().map(|verdict| verdict.usage.unwrap().input).sum();
        assert_eq!(input, fake.billed(), "each token is billed once");
        let cost = verdicts.iter().map(|verdict| verdict.cost.unwrap()).fold(NanoUsd::ZERO, NanoUsd::plus);
        assert_eq!(cost, NanoUsd(fake.billed() * 100), "$0.10 a million tokens");
        assert_eq!(judge.questions_max(), if protocol == DecisionsProtocol::OpenAi { 400 } else { 1_000 });
    }
}

#[tokio::test]
async fn requests_are_as_documented_with_the_constant_part_in_front() {
    let fake = FakeDecisions::always(0.5).await.unwrap();
    let openai = judge(&fake, DecisionsProtocol::OpenAi, json!({"prompt_cache_key": true}));
    openai.attempt(&item(), &[2, 0]).await;
    let call = fake.last_request().unwrap();
    assert_eq!((call.model.as_str(), call.key.as_deref()), ("gpt-6-luna", Some(KEY)));
    assert_eq!(call.body["input"][0]["role"], "system");
    assert_eq!((&call.body["input"][1]["type"], &call.body["input"][1]["role"]), (&json!("message"), &json!("user")));
    assert_eq!(call.body["questions"][0]["type"], "predicate");
    let ids: Vec<&str> = call.questions.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["q3", "q1"]);
    assert!(call.questions[1].1.contains(&questions()[0].text) && call.questions[1].1.contains(&questions()[0].rubric));
    let keys: Vec<&String> = call.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["input", "model", "prompt_cache_key", "questions"], "nothing that is not documented");
    assert!(call.input.contains("A retrieved document."), "hallucination needs it");

    openai.attempt(&item(), &[0, 1]).await;
    let other = fake.last_request().unwrap();
    assert_eq!(other.body["input"][0], call.body["input"][0], "the constant part");
    assert_eq!(other.body["prompt_cache_key"], call.body["prompt_cache_key"]);
    assert_eq!(other.body["prompt_cache_key"].as_str().unwrap().len(), 16);
    assert!(!other.input.contains("A retrieved document."), "neither question needs it");
    judge(&fake, DecisionsProtocol::OpenAi, json!({})).attempt(&item(), &[0]).await;
    assert_eq!(fake.last_request().unwrap().body.get("prompt_cache_key"), None, "not to a host that may not know it");

    let gemini = judge(&fake, DecisionsProtocol::Gemini, json!({}));
    gemini.attempt(&item(), &[0, 2]).await;
    let call = fake.last_request().unwrap();
    assert_eq!((call.model.as_str(), call.key.as_deref()), ("models/gemini-decision-1", Some(KEY)));
    assert_eq!(call.body["questions"]["q3"]["type"], "noul");
    assert_eq!(call.body.as_object().unwrap().keys().collect::<Vec<_>>(), ["input", "model", "questions"]);
    assert!(call.input.starts_with("The item to judge follows: "));
    assert!(call.input.contains("\nI'm sorry, I can't help with that.\n"));
}

/// Every recorded reply, one after the other; the snapshot says what becomes of each question.
#[tokio::test]
async fn recorded_replies() {
    let mut outcomes = BTreeMap::new();
    for (protocol, folder) in PROTOCOLS.into_iter().zip(["openai", "gemini"]) {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/decisions").join(folder);
        for file in std::fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let reply = Reply::recorded(&std::fs::read_to_string(&path).unwrap());
            let verdicts = told(protocol, DecisionsReply::Http(reply)).await;
            let shown: Vec<Value> = verdicts.iter().map(shown).collect();
            // Most replies fail as a whole: said once.
            let all = if shown.iter().all(|one| *one == shown[0]) { shown[0].clone() } else { Value::Array(shown) };
            let shown = json!({"questions": all, "billed": billed(&verdicts)});
            outcomes.insert(format!("{protocol:?} {}", path.file_stem().unwrap().to_str().unwrap()), shown);
        }
    }
    assert!(outcomes.len() >= 54, "{} recordings", outcomes.len());
    insta::assert_json_snapshot!(outcomes);
}

/// What the parts of a call add up to.
fn billed(verdicts: &[Result<Verdict, CallFailure>]) -> Value {
    let parts = verdicts.iter().map(|verdict| match verdict {
        Ok(verdict) => (verdict.usage, verdict.cost),
        Err(failure) => (failure.usage, failure.cost),
    });
    let Some(parts) = parts.map(|(usage, cost)| Some((usage?, cost?))).collect::<Option<Vec<_>>>() else { return Value::Null };
    let of = |count: fn(&TokenUsage) -> u64| parts.iter().map(|(usage, _)| count(usage)).sum::<u64>();
    let cost = parts.iter().map(|(_, cost)| *cost).fold(NanoUsd::ZERO, NanoUsd::plus);
    let (input, cached, written) = (of(|usage| usage.input), of(|usage| usage.cached_input), of(|usage| usage.cache_write));
    json!(format!("{input} tokens, {cached} cached, {written} written: {cost}"))
}

fn shown(result: &Result<Verdict, CallFailure>) -> Value {
    let mut shown = match result {
        Ok(verdict) => json!({
            "score": verdict.score, "confidence": verdict.confidence, "model": verdict.model,
        }),
        Err(failure) => {
            let port = failure.message.find("127.0.0.1:").map(|at| {
                let rest = &failure.message[at + 10..];
                &failure.message[at..at + 10 + rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())]
            });
            json!({
                "kind": failure.kind.code(), "retry": failure.kind.is_retryable(),
                "message": port.map_or(failure.message.clone(), |port| failure.message.replace(port, "HOST")),
                "retry_after_ms": failure.retry_after.map(|wait| wait.as_millis() as u64),
                "headroom_gone": failure.headroom_gone.then_some(true),
            })
        }
    };
    shown.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    shown
}

#[tokio::test]
async fn a_refused_question_fails_alone_and_has_its_share_of_the_cost() {
    let verdicts = told(DecisionsProtocol::OpenAi, DecisionsReply::Probabilities(vec![Some(0.9), None, Some(0.1)])).await;
    let refused = verdicts[1].as_ref().unwrap_err();
    assert_eq!((refused.kind, refused.kind.is_retryable()), (CallFailureKind::Refused, false));
    assert!(refused.cost.unwrap() > NanoUsd::ZERO && refused.usage.unwrap().input > 0);
    assert_eq!((verdicts[0].as_ref().unwrap().score, verdicts[2].as_ref().unwrap().score), (0.9, 0.1));
}

#[tokio::test]
async fn failures_of_the_whole_call_are_split_and_wait_as_asked() {
    for protocol in PROTOCOLS {
        for failure in told(protocol, DecisionsReply::Http(Reply::rate_limited(2))).await {
            let failure = failure.unwrap_err();
            assert_eq!((failure.kind, failure.retry_after.unwrap().as_secs()), (CallFailureKind::RateLimited, 2));
        }
        for failure in told(protocol, DecisionsReply::Http(Reply::Hang)).await {
            assert_eq!(failure.unwrap_err().kind, CallFailureKind::Timeout);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_without_a_call() {
    let fake = FakeDecisions::always(0.5).await.unwrap();
    let judge = judge(&fake, DecisionsProtocol::OpenAi, json!({}));
    for asked in [&[3][..], &[0, 0], &[0; 401]] {
        let verdicts = judge.attempt(&item(), asked).await;
        assert_eq!(verdicts.len(), asked.len());
        assert!(verdicts.into_iter().all(|verdict| verdict.unwrap_err().kind == CallFailureKind::Rejected));
    }
    assert!(judge.attempt(&item(), &[]).await.is_empty());
    assert_eq!(fake.calls(), 0);
    let anthropic = json!({"name": "p", "kind": "anthropic", "base_url": "https://api.anthropic.com/v1"});
    let error = providers::open_decider(&serde_json::from_value(anthropic).unwrap(), None).err().unwrap();
    assert_eq!(error.key, "kind");
}

#[tokio::test]
async fn an_unknown_model_has_no_price_and_that_is_not_nothing() {
    let fake = FakeDecisions::always(0.5).await.unwrap();
    let judge = judge(&fake, DecisionsProtocol::OpenAi, json!({"model": "somebody-elses"}));
    let verdict = judge.attempt(&item(), &[0]).await.remove(0).unwrap();
    assert_eq!((judge.price(), verdict.cost), (None, None));
    assert!(verdict.usage.unwrap().input > 0);
}

#[tokio::test]
async fn the_version_is_of_the_own_question_and_not_of_its_mates() {
    let fake = FakeDecisions::always(0.5).await.unwrap();
    let versions = |protocol, model: &str, questions: &[Question]| {
        let kind = if protocol == DecisionsProtocol::OpenAi { "openai" } else { "gemini" };
        let provider = serde_json::from_value(json!({"name": "p", "kind": kind, "base_url": fake.base_url(protocol)})).unwrap();
        let spec: DecisionsSpec = serde_json::from_value(json!({"provider": "p", "model": model})).unwrap();
        let decider = providers::open_decider(&provider, None).unwrap();
        DecisionsJudge::open(&JudgeName::new("j").unwrap(), &spec, questions, decider).unwrap().versions().to_vec()
    };
    let all = versions(DecisionsProtocol::OpenAi, "m", &questions());
    for (at, question) in questions().iter().enumerate() {
        assert_eq!(versions(DecisionsProtocol::OpenAi, "m", std::slice::from_ref(question)), [all[at].clone()]);
    }
    let one = &questions()[..1];
    let changed = [Question { rubric: String::new(), ..one[0].clone() }];
    let aside = [Question { without_context: !one[0].without_context, ..one[0].clone() }];
    let mut others: Vec<_> = [
        versions(DecisionsProtocol::OpenAi, "m", one),
        versions(DecisionsProtocol::OpenAi, "other", one),
        versions(DecisionsProtocol::Gemini, "m", one),
        versions(DecisionsProtocol::OpenAi, "m", &changed),
        versions(DecisionsProtocol::OpenAi, "m", &aside),
    ]
    .concat();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 5);
}

#[tokio::test]
async fn the_simulation_decides_and_says_what_it_is() {
    let provider: ProviderSpec = serde_json::from_value(json!({"name": "p", "kind": "simulated"})).unwrap();
    let spec: DecisionsSpec = serde_json::from_value(json!({"provider": "p", "model": "gpt-6-luna"})).unwrap();
    let decider = providers::open_decider(&provider, None).unwrap();
    let judge = DecisionsJudge::open(&JudgeName::new("j").unwrap(), &spec, &questions(), decider).unwrap();
    let all: Vec<Verdict> = judge.attempt(&item(), &[0, 1, 2]).await.into_iter().map(Result::unwrap).collect();
    assert!(all[0].score > 0.8 && all[1].score < 0.2, "{all:?}");
    assert!(all.iter().all(|verdict| verdict.simulated && verdict.cost.unwrap() > NanoUsd::ZERO));
    let usage = all[0].usage.unwrap();
    assert_eq!((usage.output, usage.cached_input), (0, 0));
    assert!(usage != TokenUsage::default());
}

fn any_answer() -> impl Strategy<Value = Value> {
    let kind = prop_oneof![Just("predicate"), Just("noul"), Just("refusal"), Just("choice")];
    let number = prop_oneof![
        (0.0..=1.0).prop_map(|number: f64| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        Just(json!(null)),
        any::<String>().prop_map(|text| json!(text)),
    ];
    (kind, prop::option::of("q[1-4]"), number.clone(), number).prop_map(|(kind, name, yes, confidence)| {
        json!({"type": kind, "name": name, "probability": yes, "noul": yes, "confidence": confidence})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn whatever_comes_back_there_is_one_result_a_question_and_no_made_up_score(
        list in prop::collection::vec(any_answer(), 0..5), keyed in prop::collection::btree_map("q[1-4]", any_answer(), 0..5),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said: Vec<f64> =
            list.iter().chain(keyed.values()).flat_map(|answer| [answer["probability"].as_f64(), answer["noul"].as_f64()]).flatten().collect();
        let replies = [json!(list), json!(keyed)];
        for protocol in PROTOCOLS {
            for reply in &replies {
                let verdicts = runtime.block_on(told(protocol, DecisionsReply::Answers(reply.clone())));
                for verdict in verdicts.into_iter().flatten() {
                    prop_assert!((0.0..=1.0).contains(&verdict.score));
                    prop_assert!(said.iter().any(|said| (said - verdict.score).abs() < 1e-12));
                }
            }
        }
    }
}
