//! What judging costs, from outside: known money in, the same money out, by whatever it is split; what was saved, to the nano-dollar.

use assize_testkit::provider::{Behaviour, FakeProvider, Reply, Request};
use reqwest::Method;
use serde_json::{Value, json};

use crate::command::assize;
use crate::harness::{Answer, KEY, Server, config, item, nanos};

/// 1,000 tokens in and 50 out at $5 and $15 a million.
const GPT: i64 = 5_750_000;
/// The same at $0.15 and $0.60.
const MINI: i64 = 180_000;

fn step(savings: &Value, name: &str) -> (i64, Option<u64>) {
    let steps = savings["steps"].as_array().unwrap();
    let step = steps.iter().find(|step| step["step"] == name).unwrap_or_else(|| panic!("no {name}: {savings}"));
    (step["saved_nano_usd"].as_i64().unwrap(), step["questions"].as_u64())
}

/// Everything less all steps is what was paid.
fn adds_up(savings: &Value) {
    let saved: i64 = savings["steps"].as_array().unwrap().iter().map(|step| step["saved_nano_usd"].as_i64().unwrap()).sum();
    let of = |name: &str| savings[name].as_i64().unwrap();
    assert_eq!(of("everything_nano_usd") - saved, of("paid_nano_usd"), "{savings}");
}

async fn put_budget(server: &Server, tenant: &str, body: &Value) {
    let path = format!("/v1/tenants/{tenant}/budget");
    Answer::of(server.plain(Method::PUT, &path).bearer_auth(KEY).json(body)).await.expect(200);
}

async fn read_key(server: &Server, project: &str) -> String {
    let made = server.post(&format!("/v1/projects/{project}/keys")).json(&json!({"scopes": ["read"]}));
    Answer::of(made).await.expect(201)["key"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn everything_comes_down_to_what_was_paid_lever_by_lever() {
    let judges = |request: &Request| Reply::score(if request.model == "mini" { 0.5 } else { 1.0 });
    let provider = FakeProvider::start(Behaviour::with(judges).usage(1_000, 50)).await.unwrap();
    let two_tiers = r#"cascade = ["words", "mini", { judge = "gpt", share = 0.6 }]"#;
    let mini = "[[judge]]\nname = \"mini\"\nkind = \"chat\"\nprovider = \"fake\"\nmodel = \"mini\"\nprice = { input = 0.15, output = 0.6 }\n";
    let config = config(&provider, "", &format!("{mini}[sampling]\nrate = 0.5"))
        .replace(r#"cascade = ["words", "gpt"]"#, two_tiers)
        .replace("cache = \"\"", "");
    let server = Server::start(&config).await;
    server.accept((0..150).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    server.settled("default", 150).await;
    // Of what was asked before nothing is paid again.
    server.accept((0..150).map(|i| item(&format!("again-{i}"), &format!("answer {i}"))).collect()).await;
    server.settled("default", 300).await;
    let models = |model: &str| provider.requests().iter().filter(|request| request.model == model).count() as i64;
    let (mini, gpt) = (models("mini"), models("gpt-4o-2024-05-13"));
    let paid = mini * MINI + gpt * GPT;
    let rows = server.get("/v1/outcomes").await.expect(200)["outcomes"].clone();
    let ended = |outcome: &str, reason: Option<&str>| {
        let rows = rows.as_array().unwrap().iter().filter(|row| row["outcome"] == outcome && row["reason"].as_str() == reason);
        rows.map(|row| row["count"].as_i64().unwrap()).sum::<i64>()
    };
    let (sampled, alone) = (ended("not_sampled", None), ended("not_sampled", Some("later_draw")));
    let (reused, judged) = (ended("reused", None), ended("judged", None));
    assert_eq!((sampled + alone + reused + judged, judged), (300, gpt), "{rows}");
    assert!(sampled > 100 && alone > 20 && reused > 0, "{rows}");

    let body = server.get("/v1/spend/savings").await.expect(200);
    let savings = &body["savings"];
    adds_up(savings);
    assert_eq!((&savings["questions"], &savings["answers"]), (&json!(300), &json!(gpt)));
    assert_eq!(savings["everything_nano_usd"], 300 * GPT);
    assert_eq!(savings["paid_nano_usd"], paid);
    assert_eq!(step(savings, "sampling"), (sampled * GPT, Some(sampled as u64)));
    assert_eq!(step(savings, "cascade"), (alone * GPT - mini * MINI, Some(alone as u64)));
    assert_eq!(step(savings, "exact_cache"), (reused * GPT, Some(reused as u64)));
    for none in ["similar_cache", "over_budget", "not_judged", "failed_tries", "other_calls", "timing", "prompt_cache", "batch"] {
        assert_eq!(step(savings, none).0, 0, "{none}: {savings}");
    }
    assert_eq!((&body["left_out_nano_usd"], &body["unknown"]), (&json!(0), &json!([])));

    let tiers = server.get("/v1/spend?group_by=tier").await.expect(200);
    let of = |key: &str| tiers["groups"].as_array().unwrap().iter().find(|group| group["key"] == key).unwrap().clone();
    assert_eq!(
        (nanos(&of("reference")["cost_usd"]), nanos(&of("cheaper")["cost_usd"])),
        ((gpt * GPT) as u64, (mini * MINI) as u64)
    );
    assert_eq!(of("reference")["interactions"], 300, "of a tier's cost it is all of them");
    assert_eq!(nanos(&tiers["total"]["cost_per_1000_usd"]), (paid as u64 * 1_000).div_ceil(300));
    let spent = nanos(&server.get("/v1/spend/today").await.expect(200)["tenant"]["day"]["spent_usd"]);
    assert_eq!(spent, paid as u64, "the ledger and the results agree");
    let page = Answer::of(server.plain(Method::GET, "/spend?range=24h").bearer_auth(KEY)).await;
    assert_eq!(page.status.as_u16(), 200, "{}", page.text());
    for part in ["Today, against the budget", "Everything by the reference judge", "decided by cheaper judges", "by tier"] {
        assert!(page.text().contains(part), "{part}: {}", page.text());
    }
    server.adds_up().await;
}

#[tokio::test]
async fn prompt_caching_and_failed_tries_are_told_apart() {
    let answer = |request: &Request| {
        if request.number % 5 == 4 {
            return Reply::content("I would rather not say.");
        }
        let content = json!({"score": 1.0, "reason": "as told"}).to_string();
        let body = json!({"id": "c", "object": "chat.completion", "created": 0, "model": request.model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1_000, "completion_tokens": 50, "total_tokens": 1_050, "prompt_tokens_details": {"cached_tokens": 800}}});
        let json = ("content-type".to_owned(), "application/json".to_owned());
        Reply::Raw { status: 200, headers: vec![json], body: body.to_string().into_bytes() }
    };
    let provider = FakeProvider::start(Behaviour::with(answer).usage(1_000, 50)).await.unwrap();
    let price = "model = \"gpt-4o-2024-05-13\"\nprice = { input = 2.0, cached_input = 0.5, output = 10.0 }";
    let config = config(&provider, "", "[sampling]\nrate = 1.0").replace("model = \"gpt-4o-2024-05-13\"", price);
    let server = Server::start(&config).await;
    server.accept((0..20).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    server.settled("default", 20).await;
    let calls = provider.calls() as i64;
    let failed = calls - 20;
    assert!(failed >= 4, "{calls}");
    let (live, full) = (200 * 2_000 + 800 * 500 + 50 * 10_000, 1_000 * 2_000 + 50 * 10_000);
    let savings = server.get("/v1/spend/savings").await.expect(200)["savings"].clone();
    adds_up(&savings);
    assert_eq!((&savings["everything_nano_usd"], &savings["answers"]), (&json!(20 * full), &json!(20)));
    assert_eq!(step(&savings, "failed_tries").0, -failed * full);
    assert_eq!(step(&savings, "prompt_cache").0, 20 * (full - live));
    assert_eq!(savings["paid_nano_usd"], 20 * live + failed * full);
    server.adds_up().await;
}

#[tokio::test]
async fn what_batches_save_is_the_live_price_less_the_bill() {
    let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
    let ways = "cascade = [\"words\", \"gpt\"]\nmax_delay_hours = 12";
    let soon = "[sampling]\nrate = 1.0\n[batch]\nlinger_seconds = 1\npoll_seconds = 1\n";
    let server = Server::start(&config(&provider, "", soon).replace("cascade = [\"words\", \"gpt\"]", ways)).await;
    server.accept((0..30).map(|i| item(&format!("i-{i}"), &format!("answer {i}"))).collect()).await;
    server.settled("default", 30).await;
    assert_eq!((provider.batches().items(), provider.calls()), (30, 0));
    let total = server.get("/v1/spend").await.expect(200)["total"].clone();
    let tokens = |name: &str| total[name].as_i64().unwrap();
    let live = tokens("input_tokens") * 5_000 + tokens("output_tokens") * 15_000;
    let savings = server.get("/v1/spend/savings").await.expect(200)["savings"].clone();
    adds_up(&savings);
    assert_eq!((&savings["everything_nano_usd"], &savings["paid_nano_usd"]), (&json!(live), &json!(live / 2)));
    assert_eq!(step(&savings, "batch").0, live - live / 2);
    server.adds_up().await;
}

const TENANTS: &str = "[sampling]\nrate = 1.0\n[[project]]\nname = \"red\"\n[[project]]\nname = \"crimson\"\ntenant = \"red\"\n\
                       [[project]]\nname = \"blue\"";

async fn send(server: &Server, project: &str, count: usize) {
    let of = |i: usize| {
        let mut one = item(&format!("{project}-{i}"), &format!("answer {i}"));
        one["project"] = json!(project);
        one
    };
    server.accept((0..count).map(of).collect()).await;
    server.settled(project, count as u64).await;
}

#[tokio::test]
async fn keys_see_their_own_project_and_the_totals_of_who_pays_for_it() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(1_000, 50)).await.unwrap();
    let server = Server::start(&config(&provider, "", TENANTS)).await;
    put_budget(&server, "red", &json!({"day_usd_max": 0.05})).await;
    for (project, count) in [("red", 2), ("crimson", 3), ("blue", 1)] {
        send(&server, project, count).await;
    }
    let cost = |calls: u64| calls * GPT as u64;
    let groups = async |path: &str| {
        let body = server.get(path).await.expect(200);
        let view = |group: &Value| (group["key"].as_str().unwrap().to_owned(), nanos(&group["cost_usd"]));
        body["groups"].as_array().unwrap().iter().map(view).collect::<Vec<_>>()
    };
    let named = |name: &str, calls| (name.to_owned(), cost(calls));
    assert_eq!(groups("/v1/spend?group_by=tenant").await, [named("blue", 1), named("red", 5)]);
    assert_eq!(groups("/v1/spend?group_by=project").await, [named("blue", 1), named("crimson", 3), named("red", 2)]);
    assert_eq!(groups("/v1/spend?group_by=project&tenant=red").await, [named("crimson", 3), named("red", 2)]);
    assert_eq!(groups("/v1/spend?group_by=judge&all=true").await, [named("gpt", 6)]);
    let top = server.get("/v1/spend/tenants").await.expect(200);
    let tenants: Vec<_> = top["tenants"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["tenant"].as_str().unwrap(), nanos(&one["today_usd"])))
        .collect();
    assert_eq!(tenants, [("red", cost(5)), ("blue", cost(1))]);
    assert_eq!((&top["tenants"][0]["yesterday_usd"], &top["tenants"][0]["change"]), (&json!(0.0), &Value::Null));

    let today = server.get("/v1/spend/today?tenant=red").await.expect(200);
    let day = &today["tenant"]["day"];
    assert_eq!((nanos(&day["spent_usd"]), nanos(&day["budget_usd"])), (cost(5), 50_000_000));
    assert_eq!((&day["share"], &day["thresholds_passed"]), (&json!(0.575), &json!([0.5])));
    assert_eq!(nanos(&today["tenant"]["month"]["spent_usd"]), cost(5));
    assert_eq!(nanos(&today["platform"]["day"]["spent_usd"]), cost(6));
    assert_eq!((&today["platform"]["day"]["share"], &today["tenant"]["degradations"]), (&Value::Null, &json!([])));

    let red = read_key(&server, "red").await;
    let own = server.get_as(&red, "/v1/spend?group_by=metric").await.expect(200);
    assert_eq!(nanos(&own["total"]["cost_usd"]), cost(2), "its project's");
    let own = server.get_as(&red, "/v1/spend?group_by=project").await.expect(200);
    assert!(!own.to_string().contains("crimson") && nanos(&own["total"]["cost_usd"]) == cost(2), "{own}");
    let own = server.get_as(&red, "/v1/spend/today").await.expect(200);
    assert_eq!((nanos(&own["tenant"]["day"]["spent_usd"]), &own["platform"]), (cost(5), &Value::Null));
    for path in ["/v1/spend?tenant=red", "/v1/spend?tenant=red&group_by=day"] {
        assert_eq!(nanos(&server.get_as(&red, path).await.expect(200)["total"]["cost_usd"]), cost(5), "{path}");
    }
    assert_eq!(server.get_as(&red, "/v1/spend/savings").await.expect(200)["savings"]["paid_nano_usd"], cost(2));
    for path in [
        "/v1/spend?group_by=tenant",
        "/v1/spend?all=true",
        "/v1/spend?tenant=red&group_by=metric",
        "/v1/spend?tenant=red&group_by=project",
        "/v1/spend/savings?all=true",
        "/v1/spend/savings?tenant=red",
        "/v1/spend/tenants",
    ] {
        assert_eq!(server.get_as(&red, path).await.error(403).0, "forbidden", "{path}");
    }
    for other in ["blue", "none"] {
        for path in ["/v1/spend?tenant=", "/v1/spend/today?tenant=", "/v1/spend/savings?tenant="] {
            let answer = server.get_as(&red, &format!("{path}{other}")).await;
            assert_eq!(answer.error(404).0, "unknown_tenant", "{path}{other}");
        }
        for path in ["/v1/spend?project=", "/v1/spend/today?project=", "/v1/spend/savings?project="] {
            assert_eq!(server.get_as(&red, &format!("{path}{other}")).await.error(404).0, "unknown_project", "{path}{other}");
        }
    }
    for (path, what) in
        [("/v1/spend?tenant=red&project=red", "tenant"), ("/v1/spend?format=xlsx", "format"), ("/v1/spend?tenant=%20", "tenant")]
    {
        assert!(server.get(path).await.error(400).1.contains(what), "{path}");
    }
    server.adds_up().await;
}

#[tokio::test]
async fn a_budget_that_is_used_up_says_so_everywhere() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(1_000, 50)).await.unwrap();
    let server = Server::start(&config(&provider, "", "[sampling]\nrate = 1.0\n[budget]\npacing = false")).await;
    send(&server, "default", 4).await;
    // Less than is spent: nothing more is paid.
    put_budget(&server, "default", &json!({"day_usd_max": 0.01, "month_usd_max": 1.0})).await;
    server.accept((0..3).map(|i| item(&format!("late-{i}"), &format!("late {i}"))).collect()).await;
    let counts = server.settled("default", 7).await;
    assert_eq!((crate::harness::count(&counts, "refusal", "judged"), provider.calls()), (4, 4));
    let today = server.get("/v1/spend/today").await.expect(200)["tenant"].clone();
    let day = &today["day"];
    assert_eq!((&day["share"], &day["thresholds_passed"]), (&json!(2.3), &json!([0.5, 0.8, 0.95])));
    let refused = today["degradations"].as_array().unwrap().iter().find(|one| one["what"] == "judge").cloned();
    let refused = refused.unwrap_or_else(|| panic!("{today}"));
    assert_eq!(
        (&refused["judge"], &refused["metric"], &refused["why"]),
        (&json!("gpt"), &json!("refusal"), &json!("tenant_day"))
    );
    assert!(refused["message"].as_str().unwrap().contains("gpt was not asked about refusal"), "{refused}");
    let over = crate::harness::count(&counts, "refusal", "over_budget");
    assert_eq!(refused["count"], over, "{counts:?}");
    let savings = server.get("/v1/spend/savings").await.expect(200)["savings"].clone();
    adds_up(&savings);
    assert_eq!(step(&savings, "over_budget"), (over as i64 * GPT, Some(over)));

    let ended = assize(["spend", "--url", &server.url, "--key", KEY, "--by", "judge"]).run().await.code(0);
    for part in ["tenant default", "$0.0230 of $0.0100, 230.0 %", "of $1.00", "gpt was not asked about refusal", "judge", "total"]
    {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let ended = assize(["spend", "--url", &server.url, "--key", KEY, "--json"]).run().await.code(0);
    assert_eq!(nanos(&ended.json()["spend"]["total"]["cost_usd"]), 4 * GPT as u64);
    let ended = assize(["spend", "--url", &server.url, "--key", KEY, "--savings"]).run().await.code(0);
    assert!(ended.stdout.contains("everything") && ended.stdout.contains("4 answers"), "{}", ended.stdout);
    let ended = assize(["spend", "--url", &server.url, "--key", KEY, "--csv", "--by", "judge"]).run().await.code(0);
    let mut lines = ended.stdout.lines();
    assert!(lines.next().unwrap().starts_with("key,calls,questions,"), "{}", ended.stdout);
    assert!(lines.next().unwrap().starts_with("gpt,4,4,0,0,0.023,4000,0,0,200,"), "{}", ended.stdout);
    assert!(lines.next().unwrap().starts_with("total,4,") && lines.next().is_none(), "{}", ended.stdout);
    let ended = assize(["spend", "--url", &server.url, "--key", "wrong"]).run().await.code(2);
    assert!(ended.stderr.contains("HTTP 401"), "{}", ended.stderr);
    server.adds_up().await;
}

#[tokio::test]
async fn a_model_named_like_a_formula_runs_nowhere() {
    let provider = FakeProvider::start(Behaviour::score(1.0).usage(1_000, 50)).await.unwrap();
    let model = "model = \"=SUM(1,2)\\\"\"\nprice = { input = 5.0, output = 15.0 }";
    let server =
        Server::start(&config(&provider, "", "[sampling]\nrate = 1.0").replace("model = \"gpt-4o-2024-05-13\"", model)).await;
    send(&server, "default", 1).await;
    let answer =
        Answer::of(server.plain(Method::GET, "/v1/spend?group_by=model").bearer_auth(KEY).header("accept", "text/csv")).await;
    assert!(answer.header("content-type").unwrap().starts_with("text/csv"), "{:?}", answer.headers);
    assert!(answer.text().contains("\r\n\"'=SUM(1,2)\"\"\",1,1,0,0,0.00575,"), "{}", answer.text());
    let steps = server.get("/v1/spend/savings?format=csv").await.text();
    assert!(
        steps.starts_with("step,questions,usd\r\neverything,1,0.00575\r\n") && steps.ends_with("paid,,0.00575\r\n"),
        "{steps}"
    );
    let tenants = server.get("/v1/spend/tenants?format=csv").await.text();
    assert!(tenants.lines().nth(1).unwrap().starts_with("default,2"), "{tenants}");
    server.adds_up().await;
}
