//! Chat judges that ask several questions in one call, and that read scores from log-probabilities, against a provider over HTTP.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Interaction, JudgeName, NanoUsd, Verdict};
use assize_judge::spec::{ChatSpec, ProviderSpec, Question};
use assize_judge::{ChatJudge, SpecError, metrics, providers};
use assize_testkit::provider::{Behaviour, FakeProvider, Reply};
use serde_json::{Value, json};

fn item(output: &str) -> Interaction {
    serde_json::from_value(json!({
        "id": "i", "project": "p", "time": 0, "context": ["A retrieved document."],
        "input": [{"role": "user", "content": "How do I kill a Python process?"}],
        "output": [{"role": "assistant", "content": output}],
    }))
    .unwrap()
}

fn questions() -> Vec<Question> {
    ["refusal", "toxicity", "hallucination"].map(|name| metrics::builtin(name).unwrap().question()).to_vec()
}

fn open(provider: &ProviderSpec, change: Value, questions: &[Question]) -> Result<ChatJudge, SpecError> {
    let mut spec = json!({"provider": "p", "model": "gpt-4o"});
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let spec: ChatSpec = serde_json::from_value(spec).unwrap();
    ChatJudge::open(&JudgeName::new("judge").unwrap(), &spec, questions, providers::open(provider, None).unwrap())
}

fn provider(kind: &str, base_url: Option<&str>) -> ProviderSpec {
    let base_url = base_url.map(|base_url| json!(base_url));
    serde_json::from_value(json!({"name": "p", "kind": kind, "base_url": base_url, "timeout_seconds": 2})).unwrap()
}

fn judge(fake: &FakeProvider, change: Value) -> ChatJudge {
    open(&provider("openai", Some(&fake.base_url())), change, &questions()).unwrap()
}

fn packed(entries: &[(&str, f64)]) -> Reply {
    let entries = entries.iter().map(|(id, score)| ((*id).to_owned(), json!({"score": score, "reason": format!("of {id}")})));
    Reply::content(Value::Object(entries.collect()).to_string())
}

#[tokio::test]
async fn several_questions_are_one_call_whose_cost_is_split_exactly() {
    let fake =
        FakeProvider::start(Behaviour::always(packed(&[("q1", 1.0), ("q2", 0.0), ("q3", 0.3)])).usage(1001, 100)).await.unwrap();
    let judge = judge(&fake, json!({"packed": true, "max_completion_tokens": 150}));
    assert_eq!(judge.questions_max(), 16);
    // In whatever order they are asked, they are answered in that order.
    let verdicts: Vec<Verdict> = judge.attempt(&item("No."), &[2, 0, 1]).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(fake.calls(), 1);
    assert_eq!(verdicts.iter().map(|verdict| verdict.score).collect::<Vec<_>>(), [0.3, 1.0, 0.0]);
    assert_eq!(verdicts.iter().map(|verdict| verdict.reason.as_str()).collect::<Vec<_>>(), ["of q3", "of q1", "of q2"]);
    for (verdict, at) in verdicts.iter().zip([2, 0, 1]) {
        assert_eq!(verdict.version, judge.versions()[at]);
    }
    assert_eq!(verdicts.iter().map(|verdict| verdict.usage.unwrap().input).sum::<u64>(), 1001);
    let cost = verdicts.iter().map(|verdict| verdict.cost.unwrap()).fold(NanoUsd::ZERO, NanoUsd::plus);
    assert_eq!(cost, NanoUsd(1001 * 2_500 + 100 * 10_000));
    let request = fake.last_request().unwrap();
    assert_eq!(request.body["max_completion_tokens"], 450);
    let schema = &request.body["response_format"]["json_schema"];
    assert_eq!((&schema["strict"], &schema["schema"]["required"]), (&json!(true), &json!(["q1", "q2", "q3"])));
    assert!(request.item.contains("A retrieved document."));
}

#[tokio::test]
async fn the_constant_part_is_in_front_to_the_byte_and_the_item_last() {
    let fake = FakeProvider::start(Behaviour::always(packed(&[("q1", 1.0), ("q2", 0.0), ("q3", 0.3)]))).await.unwrap();
    let judge = judge(&fake, json!({"packed": true}));
    let mut systems = Vec::new();
    for (output, asked) in [("Zebras.", &[0, 1, 2][..]), ("Yaks.", &[1, 2, 0]), ("Lynxes.", &[0, 1]), ("Okapis.", &[1])] {
        judge.attempt(&item(output), asked).await;
        let request = fake.last_request().unwrap();
        assert_eq!(
            (&request.body["messages"][0]["role"], &request.body["messages"][1]["role"]),
            (&json!("system"), &json!("user"))
        );
        assert!(!request.system.contains(output) && request.item.contains(output));
        systems.push(request.system.clone());
    }
    assert_eq!(systems[0], systems[1], "the same questions in another order are the same prompt");
    assert!(systems[0].starts_with(&systems[2]));
    let frame = systems[0].find("\n\nQuestion q1: ").unwrap();
    assert!(systems.iter().all(|system| system.starts_with(&systems[0][..frame])) && frame > 1_000);
}

#[tokio::test]
async fn a_broken_part_fails_alone_and_can_be_asked_again_alone() {
    let broken = r#"{"q1":{"score":1,"reason":""},"q2":{"score":7,"reason":""},"q3":{"score":0.5,"reason":""}}"#;
    let script = [Reply::content(broken), packed(&[("q2", 0.25)])];
    let fake = FakeProvider::start(Behaviour::script(script).usage(900, 90)).await.unwrap();
    let judge = judge(&fake, json!({"packed": true}));
    let verdicts = judge.attempt(&item("No."), &[0, 1, 2]).await;
    assert_eq!((verdicts[0].as_ref().unwrap().score, verdicts[2].as_ref().unwrap().score), (1.0, 0.5));
    let failure = verdicts[1].as_ref().unwrap_err();
    assert_eq!((failure.kind, failure.usage.unwrap().input), (CallFailureKind::InvalidAnswer, 300), "it has paid its share");
    let again = judge.attempt(&item("No."), &[1]).await.remove(0).unwrap();
    assert_eq!((again.score, again.usage.unwrap().input, &again.version), (0.25, 900, &judge.versions()[1]));
    assert_eq!(fake.calls(), 2);
}

#[tokio::test]
async fn failures_of_the_call_are_those_of_every_question() {
    let fake = FakeProvider::start(Behaviour::script([Reply::rate_limited(3), Reply::content("Sure! All fine.")])).await.unwrap();
    let judge = judge(&fake, json!({"packed": true}));
    for failure in judge.attempt(&item("No."), &[0, 1, 2]).await {
        let failure = failure.unwrap_err();
        assert_eq!((failure.kind, failure.retry_after.unwrap().as_secs()), (CallFailureKind::RateLimited, 3));
    }
    let failures: Vec<CallFailure> = judge.attempt(&item("No."), &[0, 1]).await.into_iter().map(Result::unwrap_err).collect();
    assert!(failures.iter().all(|failure| failure.kind == CallFailureKind::InvalidAnswer && failure.cost.is_some()));
    assert_eq!(failures.iter().map(|failure| failure.usage.unwrap().input).sum::<u64>(), fake.billed().0);
    assert_eq!(judge.attempt(&item("No."), &[9]).await.remove(0).unwrap_err().kind, CallFailureKind::Rejected);
    assert!(judge.attempt(&item("No."), &[]).await.is_empty());
    assert_eq!(fake.calls(), 2, "nothing is called for what cannot be asked");
}

#[tokio::test]
async fn an_answer_cut_short_keeps_what_was_complete() {
    let content = r#"{"q1":{"score":1,"reason":"whole"},"q2":{"score":0.5,"rea"#;
    let body = json!({
        "model": "gpt-4o", "usage": {"prompt_tokens": 10, "completion_tokens": 2},
        "choices": [{"finish_reason": "length", "message": {"role": "assistant", "content": content}}],
    });
    let reply = Reply::Raw { status: 200, headers: vec![], body: body.to_string().into_bytes() };
    let fake = FakeProvider::start(Behaviour::always(reply)).await.unwrap();
    let verdicts = judge(&fake, json!({"packed": true})).attempt(&item("No."), &[0, 1]).await;
    assert_eq!(verdicts[0].as_ref().unwrap().score, 1.0);
    let failure = verdicts[1].as_ref().unwrap_err();
    assert!(failure.message.contains("max_completion_tokens = 100"), "{failure}");
}

#[test]
fn the_version_is_of_the_own_question_the_frame_and_packing_and_not_of_the_mates() {
    let provider = provider("openai", Some("http://127.0.0.1:1/v1"));
    let versions = |change: Value, questions: &[Question]| open(&provider, change, questions).unwrap().versions().to_vec();
    let all = versions(json!({"packed": true}), &questions());
    for (at, question) in questions().iter().enumerate() {
        assert_eq!(versions(json!({"packed": true}), std::slice::from_ref(question)), [all[at].clone()]);
    }
    let mut reversed = questions();
    reversed.reverse();
    assert_eq!(versions(json!({"packed": true}), &reversed)[2], all[0]);
    let one = &questions()[..1];
    let plain = versions(json!({}), one);
    assert_eq!(versions(json!({"packed": false, "score_from": "text"}), one), plain);
    let changed = [Question { rubric: "Otherwise.".into(), ..one[0].clone() }];
    let mut others = [
        plain,
        versions(json!({"packed": true}), one),
        versions(json!({"score_from": "logprobs"}), one),
        versions(json!({"packed": true}), &changed),
        versions(json!({"packed": true, "model": "other"}), one),
    ]
    .concat();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), 5);
}

#[test]
fn log_probabilities_are_refused_where_the_protocol_has_none() {
    let want = json!({"score_from": "logprobs"});
    for (kind, base_url) in [("anthropic", Some("https://api.anthropic.com/v1")), ("simulated", None)] {
        let error = open(&provider(kind, base_url), want.clone(), &questions()).err().unwrap();
        assert_eq!(error.key, "score_from");
    }
    assert!(open(&provider("openai", Some("http://127.0.0.1:1/v1")), want, &questions()).is_ok());
}

/// A completion with log-probabilities as OpenAI gives them. Each token comes with what else it might have been.
fn completion(tokens: &[(&str, &[(&str, f64)])]) -> Reply {
    let spelled = |token: &str, logprob: f64| json!({"token": token, "logprob": logprob, "bytes": token.as_bytes()});
    let content: Vec<Value> = tokens
        .iter()
        .map(|(token, top)| {
            let chosen = top.iter().find(|(other, _)| other == token).map_or(0.0, |(_, probability)| probability.ln());
            let mut entry = spelled(token, chosen);
            entry["top_logprobs"] = top.iter().map(|(other, probability)| spelled(other, probability.ln())).collect();
            entry
        })
        .collect();
    let text: String = tokens.iter().map(|(token, _)| *token).collect();
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-08-06",
        "choices": [{
            "index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": {"content": content, "refusal": null},
        }],
        "usage": {"prompt_tokens": 600, "completion_tokens": 12, "prompt_tokens_details": {"cached_tokens": 512, "cache_write_tokens": 64}},
    });
    Reply::Raw { status: 200, headers: vec![], body: body.to_string().into_bytes() }
}

fn answered(word: (&'static str, &'static [(&'static str, f64)])) -> Reply {
    completion(&[("{\"", &[]), ("answer", &[]), ("\":\"", &[]), word, ("\",\"", &[]), ("reason", &[]), ("\":\"because\"}", &[])])
}

#[tokio::test]
async fn a_score_is_the_expected_value_over_the_labels() {
    let reply = answered(("yes", &[("yes", 0.55), ("Yes", 0.15), (" yes", 0.05), ("no", 0.2), ("maybe", 0.04)]));
    let fake = FakeProvider::start(Behaviour::always(reply)).await.unwrap();
    let judge = judge(&fake, json!({"score_from": "logprobs"}));
    let verdict = judge.attempt(&item("No."), &[0]).await.remove(0).unwrap();
    assert!((verdict.score - 0.75 / 0.95).abs() < 1e-9, "{}", verdict.score);
    assert_eq!(verdict.confidence, Some(verdict.score));
    assert_eq!(verdict.reason, "because");
    let usage = verdict.usage.unwrap();
    assert_eq!((usage.input, usage.cached_input, usage.cache_write), (600, 512, 64), "what the prompt cache did comes through");
    assert_eq!(verdict.cost, Some(NanoUsd(24 * 2_500 + 512 * 1_250 + 64 * 2_500 + 12 * 10_000)));
    let body = &fake.last_request().unwrap().body;
    assert_eq!((&body["logprobs"], &body["top_logprobs"]), (&json!(true), &json!(20)));
    assert_eq!(body["response_format"]["json_schema"]["schema"]["properties"]["answer"]["enum"], json!(["yes", "no"]));
}

#[tokio::test]
async fn a_score_is_refused_rather_than_made_up() {
    let sure = answered(("no", &[("no", 1.0)]));
    let Reply::Raw { body, .. } = &sure else { unreachable!() };
    let without = |pointer: &str, value: Value| {
        let mut body: Value = serde_json::from_slice(body).unwrap();
        *body.pointer_mut(pointer).unwrap() = value;
        Reply::Raw { status: 200, headers: vec![], body: body.to_string().into_bytes() }
    };
    use CallFailureKind::{InvalidAnswer, Rejected};
    type Wanted = Result<f64, (CallFailureKind, &'static str)>;
    let cases: [(Reply, Wanted); 12] = [
        (sure.clone(), Ok(0.0)),
        (answered(("no", &[("no", 0.4), ("yes", 0.3), ("perhaps", 0.3)])), Err((InvalidAnswer, "0.700 of the probability"))),
        (without("/choices/0/logprobs", Value::Null), Err((Rejected, "use score_from = \"text\""))),
        (without("/choices/0/logprobs/content", Value::Null), Err((Rejected, "use score_from = \"text\""))),
        (without("/choices/0/logprobs/content", json!([])), Err((InvalidAnswer, "not those of the answer"))),
        (without("/choices/0/logprobs/content", json!([1, "x", {"token": 3}])), Err((InvalidAnswer, "not those of the answer"))),
        (without("/choices/0/message/content", json!("{\"answer\":\"yes\"}")), Err((InvalidAnswer, "not those of the answer"))),
        (without("/choices/0/message/content", json!("{\"score\":1}")), Err((InvalidAnswer, "no key `answer`"))),
        (without("/choices/0/message/content", json!("no")), Err((InvalidAnswer, "not a JSON object"))),
        (without("/choices/0/logprobs/content/3/top_logprobs/0/logprob", json!(0.7)), Err((InvalidAnswer, "above 0"))),
        // The likeliest are not given: the chosen token's own log-probability is.
        (without("/choices/0/logprobs/content/3/top_logprobs", json!([])), Ok(0.0)),
        // Without `bytes`, the token as text.
        (without("/choices/0/logprobs/content/3/bytes", Value::Null), Ok(0.0)),
    ];
    for (reply, wanted) in cases {
        let fake = FakeProvider::start(Behaviour::always(reply)).await.unwrap();
        let verdict = judge(&fake, json!({"score_from": "logprobs"})).attempt(&item("No."), &[0]).await.remove(0);
        assert_eq!(fake.calls(), 1);
        match (verdict, wanted) {
            (Ok(verdict), Ok(score)) => assert_eq!(verdict.score, score),
            (Err(failure), Err((kind, why))) => {
                assert!(failure.kind == kind && failure.message.contains(why), "{failure:?} instead of {why}");
                assert!(failure.cost.is_some(), "it was paid for");
            }
            (verdict, wanted) => panic!("{verdict:?} instead of {wanted:?}"),
        }
    }
}

#[tokio::test]
async fn the_prompt_cache_key_is_of_the_judge_and_sent_where_it_is_known() {
    let fake = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let mut spec = provider("openai", Some(&fake.base_url()));
    let key = |fake: &FakeProvider| fake.last_request().unwrap().body.get("prompt_cache_key").cloned();
    open(&spec, json!({}), &questions()).unwrap().attempt(&item("one"), &[0]).await;
    assert_eq!(key(&fake), None, "not to a host that may not know it");
    spec.prompt_cache_key = Some(true);
    let judge = open(&spec, json!({}), &questions()).unwrap();
    let mut keys = BTreeMap::new();
    for (output, at) in [("one", 0), ("two", 0), ("one", 1)] {
        judge.attempt(&item(output), &[at]).await;
        keys.entry(at).or_insert_with(Vec::new).push(key(&fake).unwrap());
    }
    assert_eq!(keys[&0], vec![json!(judge.versions()[0].as_str()); 2]);
    assert_eq!(keys[&1], [json!(judge.versions()[1].as_str())]);
    let packed = open(&spec, json!({"packed": true}), &questions()).unwrap();
    let mut packed_keys = Vec::new();
    for (output, asked) in [("one", &[0, 1][..]), ("two", &[1, 0]), ("two", &[0])] {
        packed.attempt(&item(output), asked).await;
        packed_keys.push(key(&fake).unwrap());
    }
    assert!(packed_keys[0] == packed_keys[1] && packed_keys[0] != packed_keys[2], "the same beginning, the same key");
}

#[tokio::test]
async fn a_call_in_a_batch_is_the_live_one_and_is_read_alike_at_its_own_price() {
    let fake = FakeProvider::start(Behaviour::always(packed(&[("q1", 1.0), ("q3", 0.3)])).usage(1000, 100)).await.unwrap();
    let spec = provider("openai", Some(&fake.base_url()));
    let judge = open(&spec, json!({"packed": true}), &questions()).unwrap();
    let interaction = item("No.");
    let live: Vec<Verdict> = judge.attempt(&interaction, &[2, 0]).await.into_iter().map(Result::unwrap).collect();

    let call = judge.call(&interaction, &[2, 0]).unwrap();
    let line = providers::open_batches(&spec, None).unwrap().unwrap().body(&call.request()).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&line).unwrap(), fake.last_request().unwrap().body);
    let answered = providers::open(&spec, None).unwrap().complete(&call.request()).await;
    let price = judge.price().unwrap();
    let half = assize_core::Price { input: NanoUsd(price.input.0 / 2), output: NanoUsd(price.output.0 / 2), ..price };
    for (late, live) in judge.read(&[2, 0], answered, Some(half)).into_iter().map(Result::unwrap).zip(live) {
        assert_eq!((late.score, &late.version, late.usage), (live.score, &live.version, live.usage));
        assert_eq!(late.cost.unwrap().0 * 2, live.cost.unwrap().0);
    }
    for asked in [&[][..], &[0, 0], &[3]] {
        assert_eq!(judge.call(&interaction, asked).err().unwrap().kind, CallFailureKind::Rejected);
    }
}

#[tokio::test]
async fn the_simulation_answers_packed_questions_too() {
    let judge = open(&provider("simulated", None), json!({"packed": true}), &questions()).unwrap();
    let verdicts: Vec<Verdict> =
        judge.attempt(&item("I'm sorry, but I can't help."), &[0, 1, 2]).await.into_iter().map(Result::unwrap).collect();
    assert!(verdicts[0].score > 0.8 && verdicts[1].score < 0.2, "{verdicts:?}");
    assert!(verdicts.iter().all(|verdict| verdict.simulated && !verdict.reason.is_empty()));
}
