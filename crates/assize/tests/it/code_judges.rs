//! Code judges through the real binary: the shipped examples, and what a script is kept from. Needs `python3` along PATH.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{InteractionId, JudgeName, Verdict};
use assize_judge::command::{CommandJudge, CommandSpec, Launcher, Pool, confine};
use assize_judge::spec::Question;
use assize_testkit::samples;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::command::{Files, Serving, assize, line, until};

const KEY: &str = "ak-of-the-tests-0123456789abcdef0123";

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/judges").join(name);
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}

/// A configuration with one judge of code and one metric that it decides, on everything.
fn config(judge: &str) -> String {
    format!("[[judge]]\nname = \"code\"\n{judge}\n[[metric]]\nname = \"decided\"\ncascade = [\"code\"]\n[sampling]\nrate = 1.0\n")
}

fn outcomes(files: &Files) -> Vec<Value> {
    files.read("out.jsonl").lines().skip(1).map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A line of a script as a command judge: `q` is asked, `say(…)` answers.
fn script(files: &Files, name: &str, body: &str) -> PathBuf {
    files.write(
        name,
        format!(
            "import json, os, sys, time\n\
             def say(q, **more): print(json.dumps({{'id': q['id'], **more}}), flush=True)\n\
             for line in sys.stdin:\n    q = json.loads(line)\n{body}"
        ),
    )
}

fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[tokio::test(flavor = "multi_thread")]
async fn eval_asks_the_python_example() {
    let files = Files::new();
    files.write("c.toml", config(&format!("kind = \"command\"\ncommand = [\"python3\", {:?}]", example("python_judge.py"))));
    let mut input = line("a", "How tall is it? It is said to be 330 m.", "It is 330 m tall, and was built in 1889.");
    input += &line("b", "How tall?", "Very tall.");
    input += "{\"id\": \"c\", \"input\": \"q\", \"output\": \"1,000 and 2.5\", \"context\": [\"1000 of 25\"]}\n";
    files.write("answers.jsonl", input);
    let command = assize(["eval", "answers.jsonl", "--config", "c.toml", "--out", "out.jsonl", "--json"]);
    let ended = command.within(files.path()).run().await.code(0);
    assert_eq!(ended.stderr, "");
    let summary = ended.json();
    assert_eq!((&summary["calls"], &summary["cost_unknown"], &summary["cost_usd"]), (&json!(3), &json!(0), &json!(0.0)));
    let mut scores: Vec<_> = outcomes(&files).iter().map(|o| (o["id"].to_string(), o["score"].as_f64())).collect();
    scores.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(scores.iter().map(|(_, score)| *score).collect::<Vec<_>>(), [Some(0.5), Some(0.0), Some(0.0)]);
    assert!(outcomes(&files)[0]["reason"].is_string());
}

struct Service {
    _child: Child,
    url: String,
}

async fn http_example(token: &str) -> Service {
    let mut command = Command::new("python3");
    command.arg(example("http_judge.py")).arg("0").env("JUDGE_TOKEN", token).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("this test needs python3 along PATH");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.next_line().await.unwrap().expect("the example says where it listens");
    Service { _child: child, url: said.strip_prefix("listening on ").unwrap().to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn eval_asks_the_http_example() {
    let service = http_example("tok-of-the-tests").await;
    let files = Files::new();
    let judge = format!(
        "kind = \"http\"\nurl = {:?}\nallow_private = true\nauthorization_env = \"JUDGE_TOKEN\"\nprice_per_call_usd = 0.001\nattempts = 1",
        service.url
    );
    files.write("c.toml", config(&judge));
    files.write("answers.jsonl", line("a", "q", "It is.") + &line("b", "q", "It is because") + &line("c", "q", "It \u{2026}"));
    let eval = || assize(["eval", "answers.jsonl", "--config", "c.toml", "--json"]).within(files.path());
    let summary = eval().env("JUDGE_TOKEN", "tok-of-the-tests").run().await.code(0).json();
    assert_eq!((&summary["calls"], &summary["cost_usd"]), (&json!(3), &json!(0.003)));
    let estimate = summary["metrics"]["decided"]["estimate"].as_f64().unwrap();
    assert!((estimate - 1.0 / 3.0).abs() < 1e-9, "{summary}");
    let ended = eval().env("JUDGE_TOKEN", "tok-that-is-wrong").run().await.code(2).says(&["401", "JUDGE_TOKEN"]);
    assert!(!ended.stderr.contains("tok-that-is-wrong"), "{}", ended.stderr);
    eval().run().await.code(2).says(&["authorization_env", "JUDGE_TOKEN is not set"]);
    // Private addresses are called only if the operator says so.
    files.write("c.toml", config(&judge).replace("allow_private = true", "").replace("127.0.0.1", "localhost"));
    eval().env("JUDGE_TOKEN", "tok-of-the-tests").run().await.code(2).says(&["allow_private = true"]);
}

/// What the real binary confines, without a server around it.
struct Confined {
    judge: CommandJudge,
    files: Files,
}

impl Confined {
    fn new(body: &str, change: Value) -> Self {
        let files = Files::new();
        let path = script(&files, "judge.py", body);
        std::fs::create_dir(files.at("data")).unwrap();
        files.write("data/secret", "the root secret");
        std::fs::create_dir(files.at("beside")).unwrap();
        files.write("beside/model", "the model");
        let mut spec = json!({"command": ["python3", path], "workers": 1});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let spec: CommandSpec = serde_json::from_value(spec).unwrap();
        let launcher = Launcher {
            program: env!("CARGO_BIN_EXE_assize").into(),
            args: vec!["__judge-worker".into()],
            denied: vec![files.at("data"), files.at("not there")],
        };
        let pool = Pool::open(&spec, &launcher, &|name| std::env::var_os(name)).unwrap();
        let question = Question { text: "Is it?".into(), ..Question::default() };
        let judge = CommandJudge::open(&JudgeName::new("code").unwrap(), &spec, &[question], Arc::new(pool)).unwrap();
        Self { judge, files }
    }

    /// Asks about an interaction whose id is `id`.
    async fn ask(&self, id: &str) -> Result<Verdict, CallFailure> {
        let mut interaction = samples::interaction("default", "i1", samples::MORNING);
        interaction.id = InteractionId::new(id).unwrap();
        self.judge.attempt(&interaction, &[0]).await.pop().unwrap()
    }
}

/// Tries everything in `q["interaction_id"]`, a list in JSON; tells what became of each as the name of its error or `ok`.
const TRIES: &str = r#"
    import signal, socket
    def tried(what):
        try:
            eval(what)
            return "ok"
        except Exception as error:
            return type(error).__name__
    say(q, score=1, reason=json.dumps([tried(what) for what in json.loads(q["output"])]))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_script_reaches_neither_the_data_nor_assize_itself() {
    let confined = Confined::new(TRIES, json!({}));
    let at = |name: &str| confined.files.at(name).canonicalize().unwrap().to_str().unwrap().to_owned();
    std::os::unix::fs::symlink(confined.files.at("data"), confined.files.at("link")).unwrap();
    let (data, beside, root) = (at("data"), at("beside"), at("."));
    let denied = [
        format!("open('{data}/secret').read()"),
        format!("os.listdir('{data}')"),
        format!("open('{root}/link/secret').read()"),
        format!("open('{beside}/../data/secret').read()"),
        format!("os.rename('{data}/secret', '{data}/other')"),
        format!("open('{data}/new', 'w')"),
        format!("open('{beside}/model', 'w')"),
        format!("os.unlink('{beside}/model')"),
        format!("os.link('{data}/secret', os.environ['TMPDIR'] + '/secret')"),
        format!("open('/proc/{}/environ', 'rb').read()", std::process::id()),
        format!("open('/proc/{}/mem', 'rb').read(1)", std::process::id()),
    ];
    let allowed = [
        format!("open('{beside}/model').read()"),
        format!("os.listdir('{beside}')"),
        "open(os.environ['TMPDIR'] + '/new', 'w').write('x')".to_owned(),
        "open('relative', 'w').write('x')".to_owned(),
        "open('/dev/null', 'w').write('x')".to_owned(),
        "__import__('subprocess').run(['true'], check=True)".to_owned(),
    ];
    let all: Vec<&String> = denied.iter().chain(&allowed).collect();
    let verdict = confined.ask_about(&json!(all).to_string()).await.unwrap();
    let became: Vec<String> = serde_json::from_str(&verdict.reason).unwrap();
    for (what, became) in all.iter().zip(&became) {
        let is_denied = denied.contains(what) && confine::is_complete();
        if is_denied {
            assert!(["PermissionError", "OSError"].contains(&became.as_str()), "{what}: {became}");
        } else if allowed.contains(what) {
            assert_eq!(became, "ok", "{what}");
        }
    }
    if confine::is_complete() {
        assert_eq!(confined.files.read("data/secret"), "the root secret");
        assert_eq!(confined.files.read("beside/model"), "the model");
    } else {
        println!("this system has no Landlock: files are not kept from scripts, and `assize` says so at its start");
    }
}

impl Confined {
    /// The tries are handed over in the question's text, which may be long.
    async fn ask_about(&self, tries: &str) -> Result<Verdict, CallFailure> {
        let mut interaction = samples::interaction("default", "i1", samples::MORNING);
        interaction.output[0].content = tries.to_owned();
        self.judge.attempt(&interaction, &[0]).await.pop().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_inherits_three_descriptors_and_no_core_dumps() {
    let body = r#"
    import resource
    def raised(name):
        try:
            resource.setrlimit(name, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return True
        except (ValueError, OSError):
            return False
    listed = sorted(int(n) for n in os.listdir("/proc/self/fd"))
    say(q, score=1, reason=json.dumps([len(listed), resource.getrlimit(resource.RLIMIT_CORE), resource.getrlimit(resource.RLIMIT_AS), raised(resource.RLIMIT_AS)]))
"#;
    let confined = Confined::new(body, json!({"memory_mb": 700}));
    let told: Value = serde_json::from_str(&confined.ask("i1").await.unwrap().reason).unwrap();
    // The fourth lists them.
    assert_eq!(told, json!([4, [0, 0], [700 << 20, 700 << 20], false]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_takes_too_much_memory_ends_and_is_replaced() {
    let body = "    if q['interaction_id'] == 'much': held = bytearray(1 << 30)\n    say(q, score=1)\n";
    let confined = Confined::new(body, json!({"memory_mb": 512}));
    assert_eq!(confined.ask("little").await.unwrap().score, 1.0);
    let failure = confined.ask("much").await.unwrap_err();
    assert_eq!(failure.kind, CallFailureKind::Unavailable);
    assert_eq!(failure.message, "exited with status 1: MemoryError");
    let roomy = Confined::new(body, json!({"memory_mb": 4096}));
    assert_eq!(roomy.ask("much").await.unwrap().score, 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_not_there_is_named() {
    let confined = Confined::new("", json!({"command": ["no-such-program", "x"]}));
    let failure = confined.ask("i1").await.unwrap_err();
    assert!(
        failure.message.starts_with("exits at once with status 2: error: cannot run \"no-such-program\""),
        "{}",
        failure.message
    );
}

/// A script that says which process it is, and hangs.
fn hanging(files: &Files) -> String {
    let body = "    open(os.environ['PID_FILE'] + '.part', 'w').write(str(os.getpid()))\n    os.rename(os.environ['PID_FILE'] + '.part', os.environ['PID_FILE'])\n    time.sleep(600)\n";
    let path = script(files, "judge.py", body);
    config(&format!(
        "kind = \"command\"\ncommand = [\"python3\", {:?}]\nenv = [\"PID_FILE\"]\nworkers = 1",
        path.to_str().unwrap()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_script_outlives_assize() {
    for signals in [&["KILL"][..], &["INT", "INT"]] {
        let files = Files::new();
        files.write("c.toml", hanging(&files));
        files.write("answers.jsonl", line("a", "q", "x"));
        // Only shared memory is writable for a script besides its own directory.
        let pid_file = format!("/dev/shm/assize-test-{}-{}", std::process::id(), signals.len());
        let command = assize(["eval", "answers.jsonl", "--config", "c.toml"]).env("PID_FILE", &pid_file);
        let started = command.within(files.path()).start();
        until("the script begins", || Path::new(&pid_file).exists()).await;
        let pid: u32 = std::fs::read_to_string(&pid_file).unwrap().parse().unwrap();
        std::fs::remove_file(&pid_file).unwrap();
        assert!(is_alive(pid));
        started.signal(signals[0]);
        if signals.len() > 1 {
            started.has_said("stopping").await;
            started.signal(signals[1]);
        }
        started.end().await;
        until("the script ends", || !is_alive(pid)).await;
    }
}

async fn up(files: &Files, config: &str) -> Serving {
    files.write("c.toml", format!("{config}\n[server]\ngrpc_listen = \"\"\n"));
    let command = assize(["up", "--config", "c.toml", "--data", "data", "--listen", "127.0.0.1:0"]);
    command.within(files.path()).env("ASSIZE_BOOTSTRAP_KEY", KEY).serve().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_keeps_its_data_directory_and_its_keys_from_scripts() {
    let files = Files::new();
    let body = "
    try: read = len(open(q['input'] + '/secret', 'rb').read())
    except PermissionError: read = 0
    keys = [name for name in os.environ if 'KEY' in name or name.startswith('ASSIZE')]
    say(q, score=1, reason=json.dumps([os.getpid(), read, keys]))
";
    let path = script(&files, "judge.py", body);
    let server = up(&files, &config(&format!("kind = \"command\"\ncommand = [\"python3\", {:?}]", path.to_str().unwrap()))).await;
    assize_judge::providers::install_tls();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let data = files.at("data").canonicalize().unwrap();
    let item = json!({"id": "a", "input": data, "output": "x"});
    let sent = client.post(format!("{}/v1/interactions", server.url)).bearer_auth(KEY).json(&item).send().await.unwrap();
    assert_eq!(sent.status(), 202);
    let deadline = std::time::Instant::now() + crate::command::DEADLINE;
    let reason = loop {
        assert!(std::time::Instant::now() < deadline, "it is never judged");
        let shown = client.get(format!("{}/v1/verdicts", server.url)).bearer_auth(KEY).send().await.unwrap();
        let shown = shown.text().await.unwrap();
        let found = serde_json::from_str::<Value>(&shown).unwrap_or_else(|error| panic!("{error}: {shown}"));
        let verdict = found.pointer("/verdicts/0").cloned();
        if let Some(verdict) = verdict {
            break verdict["reason"].as_str().unwrap().to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let (pid, read, keys): (u32, u64, Vec<String>) = serde_json::from_str(&reason).unwrap();
    assert_eq!(read, if confine::is_complete() { 0 } else { 32 });
    assert_eq!(keys, Vec::<String>::new());
    assert!(is_alive(pid), "it is kept for the next");
    assert!(server.stop().await.success());
    until("the script ends", || !is_alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_provider_is_never_listed_for_a_script() {
    let files = Files::new();
    let provider =
        "[[provider]]\nname = \"p\"\nkind = \"openai\"\nbase_url = \"https://p.example/v1\"\napi_key_env = \"P_TOKEN\"\n";
    let judge = "kind = \"command\"\ncommand = [\"true\"]\nenv = [\"MODEL\", \"P_TOKEN\"]";
    files.write("c.toml", format!("{provider}{}", config(judge)));
    let check = || assize(["config", "check", "--config", "c.toml"]).within(files.path());
    check().run().await.code(2).says(&["env[1]: P_TOKEN", "never reaches a script"]);
    files.write("c.toml", format!("{provider}{}", config(judge).replace(", \"P_TOKEN\"", "")));
    check().run().await.code(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_cannot_run_ends_the_run_and_is_named() {
    let files = Files::new();
    files.write("judge.py", "import sys\nsys.exit('no module named torch')\n");
    files.write("c.toml", config("kind = \"command\"\ncommand = [\"python3\", \"judge.py\"]"));
    files.write("answers.jsonl", line("a", "q", "x") + &line("b", "q", "y"));
    let command = assize(["eval", "answers.jsonl", "--config", "c.toml", "--json"]).within(files.path());
    let ended =
        command.run().await.code(2).says(&["nothing could be judged", "exits at once with status 1: no module named torch"]);
    assert_eq!(ended.json()["metrics"]["decided"]["outcomes"]["judge_failed"], 2);
}
