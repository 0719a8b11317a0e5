//! `assize config check` and `config show`: what is valid, and where it is wrong.

use crate::command::{AS_WRITTEN, Files, Finished, assize};

async fn check(text: &str) -> Finished {
    let files = Files::new();
    files.write("c.toml", text);
    assize(["config", "check", "--config", "c.toml"]).within(files.path()).run().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_as_written_is_valid() {
    let ended = check(AS_WRITTEN).await.code(0).says(&["the configuration is valid"]);
    assert_eq!(ended.stdout, "refusal: refusal-words -> gpt-4o (10 % of interactions by gpt-4o)\n");
    check(&AS_WRITTEN.replace('\n', "\r\n")).await.code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn sampling_is_told_in_words() {
    let smart = "rate = 0.07\nsmart = [{ when = { turns_min = 3 }, rate = 0.5 }]\nonly = { chars_min = 100 }";
    let ended = check(&AS_WRITTEN.replace("rate = 0.10", smart)).await.code(0);
    let told = "(7 % of interactions, 50 % of those with at least 3 turns; only those with at least 100 characters by gpt-4o)";
    assert!(ended.stdout.contains(told), "{}", ended.stdout);
    let unused = format!("{AS_WRITTEN}\n[[judge]]\nname = \"idle\"\nkind = \"rules\"\npii = [\"email\"]\n");
    check(&unused).await.code(0).says(&["note: no metric's `cascade` names the judge \"idle\""]);
}

/// A change of the valid configuration, the line that it makes wrong (counted from 1), and what has to be said.
const WRONG: &[(&str, &str, usize, &[&str])] = &[
    ("rate = 0.10", "ratee = 0.10", 24, &["unknown key `ratee`", "`rate`"]),
    ("[sampling]", "[samplingg]", 23, &["unknown key `samplingg`", "`sampling`"]),
    ("rate = 0.10", "rate = \"x\"", 24, &["`rate`", "expected a number"]),
    ("rate = 0.10", "rate = 1.5", 24, &["[sampling]", "rate = 1.5", "use 0 to 1"]),
    ("rate = 0.10", "rate = nan", 24, &["rate = NaN", "use 0 to 1"]),
    ("rate = 0.10", "rate = ", 24, &["`rate`"]),
    ("rate = 0.10", "rate = 0.1\nrate = 0.2", 25, &["`rate`: duplicate key"]),
    ("rate = 0.10", "rate = 0.1\nreserve = 2", 25, &["reserve = 2"]),
    ("rate = 0.10", "rate = 0.1\nonly = { turns = 3 }", 25, &["unknown key `turns`", "`turns_min`"]),
    ("rate = 0.10", "rate = 0.1\nonly = { free_score = [0.9, 0.1] }", 25, &["free_score"]),
    ("[sampling]", "[report]\nlevel = 95\n[sampling]", 24, &["level = 95", "such as 0.95"]),
    ("[sampling]", "[report]\ndimensions = [\"modell\"]\n[sampling]", 24, &["\"modell\" is not a dimension", "tag:NAME"]),
    ("[sampling]", "[report]\ndimensions = [\"tag:\"]\n[sampling]", 24, &["\"tag:\" is not a dimension"]),
    ("[sampling]", "[[project]]\nname = \"my shop\"\n[sampling]", 24, &["my shop", "use 1 to 64"]),
    ("kind = \"rules\"", "kind = \"ruless\"", 9, &["[[judge]] \"refusal-words\"", "`ruless`", "`rules`", "`chat`"]),
    ("kind = \"rules\"\n", "", 7, &["[[judge]] \"refusal-words\"", "missing key `kind`"]),
    ("any_of = [\"I'm", "any_off = [\"I'm", 10, &["unknown key `any_off`", "`any_of`"]),
    (
        "any_of = [\"I'm sorry\", \"I cannot\", \"I can't\", \"As an AI\"]",
        "any_of = \"sorry\"",
        10,
        &["`any_of`", "expected a list"],
    ),
    ("any_of = [\"I'm sorry\", \"I cannot\", \"I can't\", \"As an AI\"]", "", 8, &["there is no rule"]),
    ("any_of = [\"I'm", "any_pattern = [\"a(\"]\nany_of = [\"I'm", 10, &["any_pattern[0]", "unclosed group"]),
    ("any_of = [\"I'm", "pii = [\"emial\"]\nany_of = [\"I'm", 10, &["`emial`", "`email`"]),
    ("name = \"gpt-4o\"", "name = \"refusal-words\"", 13, &["[[judge]] \"refusal-words\" stands twice"]),
    ("name = \"gpt-4o\"\n", "", 12, &["[[judge]]", "missing key `name`"]),
    (
        "provider = \"openai\"",
        "provider = \"openia\"",
        15,
        &["[[judge]] \"gpt-4o\"", "`provider`", "\"openia\"", "add a [[provider]]"],
    ),
    ("model = \"gpt-4o-2024-05-13\"\n", "", 12, &["missing key `model`"]),
    ("model = \"gpt-4o-2024-05-13\"", "model = \"\"", 16, &["model"]),
    ("question = \"Does", "temperature = \"hot\"\nquestion = \"Does", 17, &["`temperature`", "expected a number"]),
    ("question = \"Does", "temperature = 3.0\nquestion = \"Does", 17, &["temperature", "use 0 to 2"]),
    ("question = \"Does", "price = { input = -1.0, output = 1.0 }\nquestion = \"Does", 17, &["price.input = -1"]),
    ("question = \"Does", "price = { input = 1.0 }\nquestion = \"Does", 17, &["`price`", "\"free\""]),
    ("question = \"Does", "instructions = \"{{ qestion }}\"\nquestion = \"Does", 17, &["instructions", "question"]),
    (
        "[\"refusal-words\", \"gpt-4o\"]",
        "[\"refusal-words\", \"gpt-4\"]",
        21,
        &["[[metric]] \"refusal\"", "\"gpt-4\"", "add a [[judge]]"],
    ),
    (
        "[\"refusal-words\", \"gpt-4o\"]",
        "[\"gpt-4o\", \"refusal-words\"]",
        21,
        &["free judge \"refusal-words\" after one that is called"],
    ),
    ("[\"refusal-words\", \"gpt-4o\"]", "[\"builtin:nosuch\", \"gpt-4o\"]", 21, &["\"builtin:nosuch\"", "refusal, toxicity"]),
    ("[\"refusal-words\", \"gpt-4o\"]", "[]", 21, &["`cascade` is empty"]),
    ("[\"refusal-words\", \"gpt-4o\"]", "\"gpt-4o\"", 21, &["`cascade`", "expected a list"]),
    ("[\"refusal-words\", \"gpt-4o\"]", "[\"gpt-4o\"]\nbuiltin = \"nosuch\"", 22, &["`builtin` = \"nosuch\"", "hallucination"]),
    (
        "[\"refusal-words\", \"gpt-4o\"]",
        "[\"gpt-4o\"]\nsampling = { rate = 2.0 }",
        22,
        &["[[metric]] \"refusal\"", "sampling.rate = 2"],
    ),
    ("name = \"refusal\"", "name = \"the refusal\"", 20, &["metric name \"the refusal\"", "use 1 to 64"]),
    ("cascade = [", "cascad = [", 21, &["unknown key `cascad`", "`cascade`"]),
    ("kind = \"openai\"", "kind = \"opnai\"", 3, &["`opnai`", "`openai`"]),
    ("base_url = \"http://127.0.0.1:8400/v1\"\n", "", 2, &["base_url", "https://api.openai.com/v1"]),
    ("http://127.0.0.1:8400/v1", "127.0.0.1:8400", 4, &["base_url", "https://api.openai.com/v1"]),
    ("http://127.0.0.1:8400/v1", "ftp://127.0.0.1/v1", 4, &["base_url", "neither http:// nor https://"]),
    ("http://127.0.0.1:8400/v1", "https://api.example.com/v1", 5, &["OPENAI_API_KEY", "`api_key_env`", "export it"]),
    ("api_key_env", "concurrency = \"many\"\napi_key_env", 5, &["`concurrency`", "expected a whole number"]),
    ("api_key_env", "concurrency = -1\napi_key_env", 5, &["`concurrency`"]),
    ("api_key_env", "concurrency = 0\napi_key_env", 5, &["concurrency", "use 1 to 10000"]),
    ("api_key_env", "timeout_seconds = 5000\napi_key_env", 5, &["timeout_seconds", "use 1 to 600"]),
    ("api_key_env", "api_key = \"sk-secret\"\napi_key_env", 5, &["unknown key `api_key`", "`api_key_env`"]),
];

/// The configuration as written, whose metric compares texts by meaning.
fn compares(cache: &str) -> String {
    let cascade = "[\"refusal-words\", \"gpt-4o\"]";
    assert!(AS_WRITTEN.contains(cascade));
    format!("{}\n{cache}", AS_WRITTEN.replacen(cascade, &format!("{cascade}\nreuse = {{ similarity = 0.95 }}"), 1))
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_compared_by_a_model_that_is_there() {
    let ended = check(&compares("")).await.code(2);
    let parts = ["error: c.toml:22: ", "[[metric]] \"refusal\"", "`reuse.similarity`", "`embeddings` under [cache]"];
    assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
    // With the feature the folder is looked at; without it, what stands in the way is the build.
    let folder = "[cache]\nembeddings = \"no-such-folder\"\n";
    let ended = check(&compares(folder)).await.code(2);
    let parts = match cfg!(feature = "bert") {
        true => ["[cache] embeddings: ", "no-such-folder"],
        false => ["[[metric]] \"refusal\": `reuse.similarity`", "build with --features bert"],
    };
    assert!(parts.iter().all(|part| ended.stderr.contains(part)), "{}", ended.stderr);
    let ended = check(&format!("{AS_WRITTEN}\n{folder}")).await.code(2);
    assert!(ended.stderr.starts_with("error: c.toml:") && ended.stderr.contains("embeddings"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_error_names_file_line_and_key() {
    let mut failures = Vec::new();
    for (from, to, line, parts) in WRONG {
        assert!(AS_WRITTEN.contains(from), "{from}");
        let wrong = AS_WRITTEN.replacen(from, to, 1);
        let ended = check(&wrong).await;
        let place = format!("error: c.toml:{line}: ");
        let told = ended.stderr.starts_with(&place) && parts.iter().all(|part| ended.stderr.contains(part));
        if ended.status.code() != Some(2) || !told || !ended.stdout.is_empty() || ended.stderr.contains("sk-secret") {
            failures.push(format!(
                "{from:?} -> {to:?}: wanted {place}{parts:?}\n{:?} {}{}",
                ended.status.code(),
                ended.stdout,
                ended.stderr
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_needed_where_the_metric_is_no_built_in_one() {
    let question = "question = \"Does the assistant refuse to do what the user asks, fully or in part?\"\n";
    let without = AS_WRITTEN.replace(question, "");
    check(&without).await.code(0);
    let other = without.replace("name = \"refusal\"", "name = \"sarcasm\"");
    check(&other).await.code(2).says(&["c.toml:19: [[metric]] \"sarcasm\"", "`question`", "built-in metric (correctness,"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unused_judge_is_checked_too() {
    let unused = format!("{AS_WRITTEN}\n[[judge]]\nname = \"idle\"\nkind = \"rules\"\nany_pattern = [\"(\"]\n");
    check(&unused).await.code(2).says(&["c.toml:29: [[judge]] \"idle\": any_pattern[0]", "unclosed group"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_read_are_named() {
    assize(["config", "check", "--config", "nosuch.toml"]).run().await.code(2).says(&["nosuch.toml", "No such file"]);
    assize(["config", "show", "--config", "/"]).run().await.code(2).says(&["/: cannot read", "directory"]);
    let files = Files::new();
    files.write("c.toml", b"name = \"\xff\"");
    assize(["config", "check", "--config", "c.toml"]).within(files.path()).run().await.code(2).says(&["c.toml", "UTF-8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_defaults_need_a_key_and_say_so() {
    assize(["config", "check"]).run().await.code(2).says(&["OPENAI_API_KEY", "is not set", "export it"]);
    let ended = assize(["config", "check"]).env("OPENAI_API_KEY", "sk-secret").run().await.code(0);
    assert!(ended.stdout.contains("refusal: builtin.refusal -> gpt-4o (10 % of interactions by gpt-4o)"), "{}", ended.stdout);
    // A host of one's own is named by the same variable as elsewhere.
    let elsewhere = assize(["config", "show", "--json"]).env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1").run().await.code(0);
    assert_eq!(elsewhere.json()["provider"][0]["base_url"], "http://127.0.0.1:9/v1");
    assize(["config", "check"]).env("OPENAI_BASE_URL", "http://127.0.0.1:9/v1").run().await.code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_means_the_same() {
    let rich = AS_WRITTEN.replace("rate = 0.10", "rate = 0.07\nreserve = 0.01\nonly = { chars_min = 10 }\n[[sampling.smart]]\nwhen = { turns_min = 3, free_score = [0.2, 0.8] }\nrate = 0.5\n[server]\ngrpc_listen = \"\"\n[report]\ndimensions = [\"tag:feature\"]")
        .replace("question = \"Does", "price = { input = 1.5, output = 2.0 }\nseed = 7\nquestion = \"Does")
        .replace("[\"refusal-words\", \"gpt-4o\"]", "[\"builtin:refusal\", \"gpt-4o\"]\nsampling = { rate = 0.2 }\nneeds = { context = true }");
    for text in [AS_WRITTEN, rich.as_str(), ""] {
        let files = Files::new();
        files.write("c.toml", text);
        let show = |file: &'static str| assize(["config", "show", "--config", file]).within(files.path());
        let shown = show("c.toml").run().await.code(0);
        assert_eq!(shown.stderr, "");
        files.write("shown.toml", &shown.stdout);
        let again = show("shown.toml").run().await.code(0);
        assert_eq!(again.stdout, shown.stdout);
        let json = show("c.toml").arg("--json").run().await.code(0).json();
        assert_eq!(show("shown.toml").arg("--json").run().await.code(0).json(), json);
        assert_eq!(json["server"]["listen"], "127.0.0.1:4318");
    }
}
