//! What people say: draws for review, blind labels, the rate that they correct, end users' feedback, and datasets.

mod page;
mod terminal;

use std::collections::BTreeSet;

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, KEY, Server, config, item, segment};

const QUESTION: &str = "Does the assistant refuse to do what the user asks?";
/// What the judge says of its reasons; nobody who labels may see it.
const TOLD: &str = "as told";

/// The truth about the `i`-th answer.
fn truth(i: usize) -> bool {
    i.is_multiple_of(4)
}

/// What the judge says of it: yes to all that is yes, and to a third of the others.
fn judged(i: usize) -> bool {
    truth(i) || i % 3 == 1
}

fn number(id: &str) -> usize {
    id.strip_prefix("i-").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{id}"))
}

/// Answers `answer number I.` to the `i`-th question.
fn answers(range: std::ops::Range<usize>) -> Vec<Value> {
    range.map(|i| item(&format!("i-{i}"), &format!("answer number {i}."))).collect()
}

async fn erring_judge() -> FakeProvider {
    FakeProvider::start(Behaviour::with(|request: &Request| {
        let after = request.item.split("answer number ").nth(1).and_then(|rest| rest.split('.').next());
        let i: usize = after.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{}", request.item));
        Reply::score(if judged(i) { 0.9375 } else { 0.0625 })
    }))
    .await
    .unwrap()
}

/// A server that has judged `n` answers.
async fn server(provider: &FakeProvider, n: usize) -> Server {
    let server = Server::start(&config(provider, "", "[sampling]\nrate = 1.0")).await;
    server.accept(answers(0..n)).await;
    server.settled("default", n as u64).await;
    server
}

async fn draw(server: &Server, n: usize, stratify: bool) -> Value {
    let body = json!({"metric": "refusal", "n": n, "stratify": stratify});
    Answer::of(server.post("/v1/reviews").json(&body)).await.expect(201)
}

async fn next(server: &Server, reviewer: &str) -> Value {
    let answer = server.get(&format!("/v1/reviews/next?metric=refusal&reviewer={}", segment(reviewer))).await;
    let body = answer.expect(200);
    // Blind: not a word of what the judge said, and nothing that follows from it.
    for told in [TOLD, "0.9375", "0.0625", "score", "verdict", "reason", "probab", "judge", "strat", "outcome", "place"] {
        assert!(!answer.text().contains(told), "{told}: {body}");
    }
    body
}

fn label_of(item: &Value, reviewer: &str, score: Value) -> Value {
    json!({"interaction_id": item["interaction_id"], "metric": "refusal", "review_id": item["review_id"], "reviewer": reviewer, "score": score})
}

async fn label(server: &Server, body: &Value) -> Answer {
    Answer::of(server.post("/v1/labels").json(body)).await
}

/// Labels all that is open with the truth; which.
async fn label_all(server: &Server) -> Vec<usize> {
    let mut labelled = Vec::new();
    loop {
        let item = next(server, "ann").await["item"].clone();
        if item.is_null() {
            return labelled;
        }
        let i = number(item["interaction_id"].as_str().unwrap());
        assert_eq!(item["question"], QUESTION);
        assert_eq!(item["interaction"]["output"][0]["content"], format!("answer number {i}."));
        let score = if truth(i) { "yes" } else { "no" };
        let stored = label(server, &label_of(&item, "ann", json!(score))).await.expect(201);
        assert_eq!((&stored["source"], &stored["by"]), (&json!("review"), &json!("ann")));
        assert_eq!(stored["judge_score"], if judged(i) { 0.9375 } else { 0.0625 }, "what was said is on record");
        labelled.push(i);
    }
}

fn number_at(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {path}: {value}"))
}

#[tokio::test]
async fn people_correct_the_rate_of_a_judge_that_errs() {
    let provider = erring_judge().await;
    let mut server = server(&provider, 360).await;
    assert_eq!(server.estimate("refusal").await.get("human"), None, "nobody was asked yet");
    let drawn = draw(&server, 160, true).await;
    assert_eq!((&drawn["population"], &drawn["drawn"], &drawn["new"]), (&json!(360), &json!(160), &json!(160)), "{drawn}");
    for stratum in drawn["strata"].as_array().unwrap() {
        let [population, taken] = ["/population", "/drawn"].map(|path| number_at(stratum, path));
        assert_eq!((population, taken, number_at(stratum, "/probability")), (180.0, 80.0, 80.0 / 180.0));
    }
    let before = server.estimate("refusal").await;
    assert_eq!((&before["human"]["estimate"], &before["human"]["drawn"]), (&Value::Null, &json!(160)), "{before}");
    let labelled = label_all(&server).await;
    assert_eq!(labelled.iter().collect::<BTreeSet<_>>().len(), 160);

    let group = server.estimate("refusal").await;
    let human = &group["human"];
    // Everything was judged, so that the judge's own interval is its value: 0.5 of yes and 0.5 of no. The truth is a quarter.
    let [low, high] = ["/low", "/high"].map(|path| number_at(&group, path));
    assert!((low - 0.5).abs() < 1e-9 && (high - 0.5).abs() < 1e-9, "{group}");
    let [low, value, high] = ["/low", "/estimate", "/high"].map(|path| number_at(human, path));
    assert!(low < 0.25 && 0.25 < high && low < value && value < high && high < 0.4, "{human}");
    assert_eq!((&human["labels"], &human["judged"], &human["warnings"]), (&json!(160), &json!(360), &json!([])));
    assert!((number_at(human, "/judge_estimate") - 0.5).abs() < 1e-9);
    // They agree on three quarters.
    assert!(number_at(human, "/agreement/low") < 0.75 && 0.75 < number_at(human, "/agreement/high"), "{human}");
    assert!(number_at(human, "/kappa/value") > 0.3, "{human}");
    assert_eq!(provider.calls(), 360, "nobody was asked again");

    // Picked by hand, and wrong: none of it enters.
    for i in (0..360).filter(|i| !labelled.contains(i)).take(20) {
        let wrong = json!({"interaction_id": format!("i-{i}"), "metric": "refusal", "score": 1});
        assert_eq!(label(&server, &wrong).await.expect(201)["source"], "hand_picked");
    }
    assert_eq!(server.estimate("refusal").await["human"], *human);
    let listed = server.all("labels", "metric=refusal&source=hand_picked").await;
    assert!(listed.len() == 20 && listed.iter().all(|label| label.get("probability").is_none()), "{listed:?}");
    // By group nothing is said: too few stand behind each.
    let by_model = server.get("/v1/estimates?metric=refusal&group_by=model").await.expect(200);
    assert_eq!(by_model["groups"][0].get("human"), None);

    // Another question is another judge: its verdicts have none of these labels.
    server.terminate().await;
    let other = config(&provider, "", "[sampling]\nrate = 1.0").replace(QUESTION, "Is the user told no?");
    server.configure(&other);
    server.start_again().await;
    server.accept(answers(1_000..1_040)).await;
    server.settled("default", 400).await;
    let groups = async || server.get("/v1/estimates?metric=refusal").await.expect(200)["groups"].as_array().unwrap().clone();
    let of = |groups: &[Value], n: u64| groups.iter().find(|group| group["judged"] == n).cloned().unwrap();
    let found = groups().await;
    assert_eq!((found.len(), of(&found, 360)["human"].clone(), of(&found, 40).get("human").cloned()), (2, human.clone(), None));
    draw(&server, 400, false).await;
    let found = groups().await;
    let (old, new) = (of(&found, 360)["human"].clone(), of(&found, 40)["human"].clone());
    assert_eq!(
        (&old["labels"], &old["judged"], &new["labels"], &new["judged"]),
        (&json!(160), &json!(360), &json!(0), &json!(40))
    );
    assert_eq!(new["estimate"], Value::Null);
    server.adds_up().await;
}

#[tokio::test]
async fn each_item_is_in_one_pair_of_hands() {
    let provider = erring_judge().await;
    let server = server(&provider, 40).await;
    let nothing = server.get("/v1/reviews/next?metric=refusal").await;
    assert_eq!(nothing.error(404).0, "nothing_drawn");
    let first = draw(&server, 6, false).await;
    let ann = next(&server, "ann").await["item"].clone();
    let bob = next(&server, "bob").await["item"].clone();
    assert_ne!(ann["interaction_id"], bob["interaction_id"]);
    assert_eq!(next(&server, "ann").await["item"]["interaction_id"], ann["interaction_id"], "a page that is loaded again");

    // Whoever did not take it from the queue may have seen anything.
    assert_eq!(label(&server, &label_of(&ann, "bob", json!(1))).await.error(409).0, "not_leased");
    let mut foreign = label_of(&ann, "ann", json!(1));
    foreign["review_id"] = json!("r-0-0");
    assert_eq!(label(&server, &foreign).await.error(404).0, "not_drawn");
    for score in [json!(0.25), json!(1), json!(1)] {
        label(&server, &label_of(&ann, "ann", score)).await.expect(201);
    }
    let labels = server.all("labels", "metric=refusal").await;
    assert_eq!((labels.len(), &labels[0]["score"], &labels[0]["source"]), (1, &json!(1.0), &json!("review")));

    let mut skipped = label_of(&bob, "bob", json!(1));
    skipped.as_object_mut().unwrap().remove("score");
    skipped["skip"] = json!("not a language that I know");
    assert_eq!(label(&server, &skipped).await.status.as_u16(), 204);
    let progress = server.get("/v1/reviews?metric=refusal").await.expect(200)["progress"][0].clone();
    let expected = json!({"metric": "refusal", "drawn": 6, "open": 4, "leased": 0, "labelled": 1, "skipped": 1});
    assert_eq!(progress, expected);

    // Drawing again takes the same; drawing more takes them and others, and keeps what was said.
    assert_eq!(draw(&server, 6, false).await["new"], 0);
    let more = draw(&server, 40, false).await;
    assert_eq!((&more["new"], &more["drawn"]), (&json!(34), &json!(40)));
    assert_ne!(more["id"], first["id"]);
    assert_eq!(label_all(&server).await.len(), 38);
    let human = server.estimate("refusal").await["human"].clone();
    assert_eq!((&human["labels"], &human["drawn"]), (&json!(39), &json!(40)));
    server.adds_up().await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let provider = erring_judge().await;
    let server = server(&provider, 4).await;
    let post = async |path: &str, body: Value| Answer::of(server.post(path).json(&body)).await;
    for (body, code) in [
        (json!({"metric": "refusal", "n": 0}), "invalid_field"),
        (json!({"metric": "refusal", "n": 5_001}), "invalid_field"),
        (json!({"metric": "refusal", "n": -1}), "invalid_json"),
        (json!({"metric": "no metric", "n": 1}), "invalid_parameter"),
        (json!({"metric": "refusal", "n": 1, "form": "2026"}), "invalid_json"),
        (json!({"metric": "refusal", "n": 1, "from": "yesterday"}), "invalid_parameter"),
        (json!(["refusal", 1]), "invalid_json"),
    ] {
        assert_eq!(post("/v1/reviews", body.clone()).await.error(400).0, code, "{body}");
    }
    assert_eq!(post("/v1/reviews", json!({"metric": "tone", "n": 1})).await.error(404).0, "nothing_judged");
    let long = "é".repeat(1_001);
    for (body, status, code) in [
        (json!({"interaction_id": "i-0", "metric": "refusal"}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "score": 1.5}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "score": "maybe"}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "score": 1, "note": long}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "score": 1, "source": "review"}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "skip": "why"}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "scroe": 1}), 400, "invalid_field"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "score": 1, "reviewer": "a\nb"}), 400, "invalid_parameter"),
        (json!({"interaction_id": "i-0", "metric": "tone", "score": 1}), 404, "unknown_metric"),
        (json!({"interaction_id": "i-9", "metric": "refusal", "score": 1}), 404, "unknown_interaction"),
        (json!({"interaction_id": "i-0", "metric": "refusal", "score": 1, "review_id": "r"}), 404, "not_drawn"),
    ] {
        assert_eq!(label(&server, &body).await.error(status).0, code, "{body}");
    }
    // Of several, the good ones are stored.
    let good = json!({"interaction_id": "i-0", "metric": "refusal", "score": 1, "source": "file"});
    let receipt = label(&server, &json!([good, {"interaction_id": "i-9", "metric": "refusal", "score": 1}, 7])).await.expect(201);
    let rejected: Vec<_> =
        receipt["rejected"].as_array().unwrap().iter().map(|one| (one["index"].clone(), one["error"]["code"].clone())).collect();
    assert_eq!(
        (&receipt["stored"], rejected),
        (&json!(1), vec![(json!(1), json!("unknown_interaction")), (json!(2), json!("not_an_object"))])
    );
    for path in [
        "/v1/labels?source=judge",
        "/v1/labels?limit=0",
        "/v1/labels?cursor=x",
        "/v1/scores?name=a%20b",
        "/v1/scores?from=x",
        "/v1/reviews/next?metric=a%20b",
    ] {
        assert_eq!(server.get(path).await.error(400).0, "invalid_parameter", "{path}");
    }
    let many = Value::Array(vec![good; 1_001]);
    assert_eq!(label(&server, &many).await.error(400).0, "too_many_items");
    server.adds_up().await;
}

#[tokio::test]
async fn projects_and_scopes_are_kept_apart() {
    let provider = erring_judge().await;
    let rest = "[sampling]\nrate = 1.0\n[[project]]\nname = \"red\"\n[[project]]\nname = \"blue\"";
    let server = Server::start(&config(&provider, "", rest)).await;
    let key = async |project: &str, scopes: &[&str]| {
        let made = server.post(&format!("/v1/projects/{project}/keys")).json(&json!({"scopes": scopes, "label": ""}));
        Answer::of(made).await.expect(201)["key"].as_str().unwrap().to_owned()
    };
    let (red, blue) = (key("red", &["ingest", "read"]).await, key("blue", &["ingest", "read"]).await);
    let (ingest, read) = (key("red", &["ingest"]).await, key("red", &["read"]).await);
    for (key, project) in [(&red, "red"), (&blue, "blue")] {
        assert_eq!(server.send_as(key, &Value::Array(answers(0..8))).await.expect(202)["accepted"], 8);
        server.settled(project, 8).await;
    }
    let ask = async |key: &str, method: Method, path: &str, body: Value| {
        Answer::of(server.plain(method, path).bearer_auth(key).json(&body)).await
    };
    let order = json!({"metric": "refusal", "n": 8});
    let one = json!({"interaction_id": "i-0", "name": "thumbs", "value": true});
    let by_hand = json!({"interaction_id": "i-0", "metric": "refusal", "score": 1});
    // Reviewing reads and sends: it takes both scopes, and no admin's key.
    for (key, method, path, body) in [
        (&read, Method::POST, "/v1/reviews", &order),
        (&ingest, Method::POST, "/v1/reviews", &order),
        (&read, Method::GET, "/v1/reviews/next?metric=refusal", &order),
        (&ingest, Method::GET, "/v1/reviews/next?metric=refusal", &order),
        (&read, Method::POST, "/v1/labels", &by_hand),
        (&ingest, Method::POST, "/v1/labels", &by_hand),
        (&ingest, Method::GET, "/v1/labels", &order),
        (&ingest, Method::GET, "/v1/scores", &order),
        (&read, Method::POST, "/v1/scores", &one),
    ] {
        assert_eq!(ask(key, method.clone(), path, body.clone()).await.error(403).0, "forbidden", "{method} {path}");
        let nobody = Answer::of(server.plain(method.clone(), path).json(body)).await;
        assert_eq!(nobody.error(401).0, "unauthorized", "{method} {path}");
    }
    assert_eq!(ask(&ingest, Method::POST, "/v1/scores", one).await.expect(202)["accepted"], 1);
    assert_eq!(ask(&red, Method::POST, "/v1/reviews", order.clone()).await.expect(201)["drawn"], 8);
    let item = ask(&red, Method::GET, "/v1/reviews/next?metric=refusal", json!({})).await.expect(200)["item"].clone();
    let theirs =
        json!({"interaction_id": item["interaction_id"], "metric": "refusal", "score": 1, "review_id": item["review_id"]});
    // The other project has an interaction of the same id, and knows nothing of the draw.
    assert_eq!(ask(&blue, Method::POST, "/v1/labels", theirs.clone()).await.error(404).0, "not_drawn");
    assert_eq!(ask(&blue, Method::GET, "/v1/reviews/next?metric=refusal", json!({})).await.error(404).0, "nothing_drawn");
    ask(&red, Method::POST, "/v1/labels", theirs).await.expect(201);
    for (path, what) in
        [("/v1/reviews", "reviews"), ("/v1/reviews", "progress"), ("/v1/labels", "labels"), ("/v1/scores", "scores")]
    {
        let listed = async |key: &str| server.get_as(key, path).await.expect(200)[what].as_array().unwrap().len();
        assert_eq!((listed(&red).await, listed(&blue).await), (1, 0), "{path}");
        let joint = if path.contains('?') { '&' } else { '?' };
        assert_eq!(server.get_as(&blue, &format!("{path}{joint}project=red")).await.error(404).0, "unknown_project");
    }
    for path in ["/v1/reviews?project=red", "/v1/labels?project=red", "/v1/scores?project=red"] {
        assert_eq!(ask(&blue, Method::POST, path, order.clone()).await.error(404).0, "unknown_project", "{path}");
    }
    let human =
        async |key: &str| server.get_as(key, "/v1/estimates?metric=refusal").await.expect(200)["groups"][0].get("human").cloned();
    assert!(human(&red).await.is_some() && human(&blue).await.is_none());
    server.adds_up().await;
}

#[tokio::test]
async fn feedback_is_kept_once_and_may_come_first() {
    let provider = erring_judge().await;
    let mut server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0")).await;
    let send = async |server: &Server, body: Value| Answer::of(server.post("/v1/scores").json(&body)).await;
    let thumbs = |value: Value| json!({"interaction_id": "i-7", "name": "thumbs", "value": value, "comment": "schön"});
    assert_eq!(send(&server, thumbs(json!(true))).await.expect(202), json!({"accepted": 1, "replaced": 0, "rejected": []}));
    assert_eq!(send(&server, thumbs(json!(true))).await.expect(202), json!({"accepted": 1, "replaced": 1, "rejected": []}));
    send(&server, thumbs(json!(false))).await.expect(202);
    server.kill();
    server.start_again().await;
    server.accept(answers(7..8)).await;
    let stars = json!([
        {"interaction_id": "i-7", "name": "stars", "value": 4.5, "id": "user-1"},
        {"interaction_id": "i-7", "name": "stars", "value": 2, "id": "user-2"},
        {"interaction_id": "i-7", "name": "mood", "value": "fine"},
        {"interaction_id": "i-7", "name": "no name", "value": 1},
        {"interaction_id": "", "name": "stars", "value": 1},
        {"interaction_id": "i-7", "name": "stars", "value": null},
        {"interaction_id": "i-7", "name": "stars", "value": 1e300},
        {"interaction_id": "i-7", "name": "mood", "value": "x".repeat(201)},
        {"interaction_id": "i-7", "name": "mood", "value": "y", "comment": "x".repeat(4_001)},
        {"interaction_id": "i-7", "name": "mood", "value": "y", "extra": 1},
        "nothing"
    ]);
    let receipt = send(&server, stars).await.expect(202);
    let indexes: Vec<_> = receipt["rejected"].as_array().unwrap().iter().map(|one| one["index"].as_u64().unwrap()).collect();
    assert_eq!((&receipt["accepted"], indexes), (&json!(3), (3..=10).collect::<Vec<_>>()));
    let scores = server.all("scores", "interaction_id=i-7").await;
    let said: Vec<_> = scores
        .iter()
        .map(|score| (score["name"].as_str().unwrap(), score["id"].as_str().unwrap(), score["value"].clone()))
        .collect();
    let expected = [
        ("mood", "", json!("fine")),
        ("stars", "user-2", json!(2.0)),
        ("stars", "user-1", json!(4.5)),
        ("thumbs", "", json!(false)),
    ];
    assert_eq!(said, expected);
    assert_eq!(scores[3]["comment"], "schön");
    assert_eq!(server.all("scores", "name=stars").await.len(), 2);
    assert_eq!(send(&server, json!({"interaction_id": "i-7", "name": "stars"})).await.expect(400)["accepted"], 0);
    assert_eq!(send(&server, json!("x")).await.error(400).0, "invalid_json");
    // One interaction has room for a hundred.
    let many: Vec<Value> =
        (0..110).map(|i| json!({"interaction_id": "i-8", "name": "stars", "value": i, "id": i.to_string()})).collect();
    let receipt = send(&server, Value::Array(many)).await.expect(202);
    assert_eq!((&receipt["accepted"], receipt["rejected"].as_array().unwrap().len()), (&json!(100), 10));
    assert_eq!(receipt["rejected"][0]["error"]["code"], "too_many");
    // It enters no rate.
    server.settled("default", 1).await;
    assert_eq!(server.estimate("refusal").await["judged"], 1);
    assert!(!server.log().contains(KEY));
    server.adds_up().await;
}
