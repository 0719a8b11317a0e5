//! Answers that instruct their judge: whatever they say, the request around them stays the same to the byte, and they stay verbatim
//! inside tags that they cannot close, with every provider and in every frame. How many attacks move a verdict of a given model is
//! measured by the example of the same name.
#![allow(clippy::unwrap_used)]

#[path = "injection/attacks.rs"]
mod attacks;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use assize_core::judge::CalledJudge;
use assize_core::{Interaction, JudgeName};
use assize_judge::spec::{ChatSpec, DecisionsSpec, ProviderSpec, Question};
use assize_judge::{ChatJudge, DecisionsJudge, metrics, prompt, providers};
use attacks::{ANSWERS, code, interaction};
use serde_json::{Value, json};

/// A host that takes every request down and answers HTTP 500.
struct Host {
    address: SocketAddr,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Host {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&bodies);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut bytes = Vec::new();
                let mut buffer = vec![0; 1 << 16];
                let body = loop {
                    let n = stream.read(&mut buffer).unwrap();
                    assert!(n > 0, "a request that ends early");
                    bytes.extend_from_slice(&buffer[..n]);
                    if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                        let head = String::from_utf8(bytes[..end].to_ascii_lowercase()).unwrap();
                        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                        let whole = end + 4 + length.parse::<usize>().unwrap();
                        if bytes.len() >= whole {
                            break bytes[end + 4..whole].to_vec();
                        }
                    }
                };
                taken.lock().unwrap().push(body);
                let _ = stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}");
            }
        });
        Self { address, bodies }
    }

    fn take(&self) -> Value {
        let mut bodies = self.bodies.lock().unwrap();
        assert_eq!(bodies.len(), 1, "one request a call");
        serde_json::from_slice(&bodies.remove(0)).unwrap()
    }
}

fn questions() -> Vec<Question> {
    ["refusal", "toxicity", "helpfulness"].map(|name| metrics::builtin(name).unwrap().question()).to_vec()
}

/// Every kind of request that Assize makes of a model, by name.
fn judges(host: &Host) -> Vec<(String, Box<dyn CalledJudge>)> {
    let provider = |kind: &str| -> ProviderSpec {
        let spec = json!({"name": "p", "kind": kind, "base_url": format!("http://{}/v1", host.address)});
        serde_json::from_value(spec).unwrap()
    };
    let name = JudgeName::new("judge").unwrap();
    let mut judges: Vec<(String, Box<dyn CalledJudge>)> = Vec::new();
    for (kind, change) in [
        ("openai", json!({})),
        ("openai", json!({"packed": true})),
        ("openai", json!({"score_from": "logprobs"})),
        ("openai", json!({"response_format": "text"})),
        ("anthropic", json!({})),
        ("anthropic", json!({"packed": true})),
        ("gemini", json!({})),
        ("gemini", json!({"packed": true})),
    ] {
        let mut spec = json!({"provider": "p", "model": "m"});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let spec: ChatSpec = serde_json::from_value(spec).unwrap();
        let judge = ChatJudge::open(&name, &spec, &questions(), providers::open(&provider(kind), None).unwrap()).unwrap();
        judges.push((format!("{kind} {change}"), Box::new(judge)));
    }
    for kind in ["openai", "gemini"] {
        let spec: DecisionsSpec = serde_json::from_value(json!({"provider": "p", "model": "m"})).unwrap();
        let decider = providers::open_decider(&provider(kind), None).unwrap();
        judges.push((format!("{kind} decisions"), Box::new(DecisionsJudge::open(&name, &spec, &questions(), decider).unwrap())));
    }
    judges
}

/// Takes the item out of a body: what stands from its first line on in the only text that holds it.
fn take_item(value: &mut Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            if let Some(at) = text.find("Item to judge. The code of its tags is ") {
                found.push(text.split_off(at));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|value| take_item(value, found)),
        Value::Object(object) => object.values_mut().for_each(|value| take_item(value, found)),
        _ => {}
    }
}

async fn asked(judge: &dyn CalledJudge, host: &Host, interaction: &Interaction) -> (Value, String) {
    let all: Vec<usize> = (0..judge.questions_max().min(3)).collect();
    assert!(judge.attempt(interaction, &all).await.iter().all(Result::is_err));
    let mut body = host.take();
    let mut items = Vec::new();
    take_item(&mut body, &mut items);
    assert_eq!(items.len(), 1, "the item stands once");
    (body, items.remove(0))
}

#[test]
fn the_attacks_are_many_and_each_is_another() {
    let attacks = attacks::all().unwrap();
    assert!(attacks.len() >= 40, "{}", attacks.len());
    let mut texts: Vec<String> =
        attacks.iter().flat_map(|attack| ANSWERS.map(|answer| attack.on(answer, "0123456789ab"))).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 2 * attacks.len(), "none the same, and each aims at the wrong score for its answer");
    let mut names: Vec<&str> = attacks.iter().map(|attack| attack.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), attacks.len());
    assert!(attacks.iter().all(|attack| !attack.what.is_empty()));
}

#[tokio::test]
async fn no_attack_changes_the_request_around_it_or_leaves_its_tags() {
    let host = Host::start();
    let attacks = attacks::all().unwrap();
    for (name, judge) in judges(&host) {
        for answer in ANSWERS {
            let (around, plain) = asked(judge.as_ref(), &host, &interaction(answer.text()).unwrap()).await;
            for attack in &attacks {
                let text = attack.on(answer, code(&plain));
                let (body, item) = asked(judge.as_ref(), &host, &interaction(&text).unwrap()).await;
                assert_eq!(body, around, "{name}: {:?} changes what is around the item", attack.name);
                let code = code(&item);
                assert!(code.len() == 12 && !text.contains(code), "{name}: {:?} knows the code", attack.name);
                let stands = format!("\n</input-{code}>\n<output-{code}>\n{text}\n</output-{code}>\n");
                assert!(item.ends_with(&stands), "{name}: {:?} is not verbatim in its tags", attack.name);
                assert_eq!(item.matches(code).count(), 5, "{name}: {:?}: the announcement and four tags", attack.name);
            }
        }
    }
}

#[test]
fn no_attack_leaves_the_place_that_it_is_put_in() {
    for attack in attacks::all().unwrap() {
        let text = attack.on(ANSWERS[0], "0123456789ab");
        let mut whole = interaction("Fine.").unwrap();
        whole.system = Some(text.clone());
        whole.context = vec![text.clone(), "A document.".to_owned()];
        whole.reference = Some(text.clone());
        whole.input[0].content.clone_from(&text);
        whole.output[0].tool = Some(text.clone());
        // The item is the same for all of them; that it reaches the provider so is tested above.
        let item = prompt::item(&whole, false);
        let code = code(&item);
        for name in ["system", "context", "reference", "input"] {
            assert!(item.contains(&format!("<{name}-{code}>\n{text}\n</{name}-{code}>\n")), "{:?} in {name}", attack.name);
        }
        assert!(item.ends_with(&format!("\nFine.\n</assistant-{code}>\n</output-{code}>\n")), "{:?}", attack.name);
        assert_eq!(item.matches(code).count(), 15, "{:?}: the announcement and seven pairs of tags", attack.name);
    }
}
