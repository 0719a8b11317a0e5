//! Command judges against real processes: what workers may do wrong, and what becomes of them. Needs `python3`. The launcher here only
//! becomes the command; what the real one confines is tested with the real binary.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::ffi::OsString;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Flags, Interaction, InteractionId, JudgeName, Message, NanoUsd, ProjectName, Role, Timestamp, Verdict};
use assize_judge::command::{CommandJudge, CommandSpec, Launcher, Pool};
use assize_judge::spec::Question;
use serde_json::{Value, json};

/// What every script begins with: `asked()` yields questions, `answer` writes one line, `raw` bytes as they are.
const PRELUDE: &str = r#"
import json, os, sys, time
def asked():
    for line in sys.stdin.buffer:
        yield json.loads(line)
def raw(data):
    sys.stdout.buffer.write(data); sys.stdout.buffer.flush()
def answer(question, **more):
    raw((json.dumps({"id": question["id"], **more}) + "\n").encode())
"#;

/// The interpreter itself: what is called `python3` may be a script that finds it, and adds to the environment.
fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let found = std::process::Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output();
        let found = found.expect("these tests need python3 along PATH");
        String::from_utf8(found.stdout).unwrap().trim().to_owned()
    })
}

fn launcher() -> Launcher {
    let becomes = "import json,os,sys; c=json.loads(sys.argv[-1])['command']; os.execvp(c[0], c)";
    Launcher { program: python().into(), args: vec!["-c".into(), becomes.into()], denied: Vec::new() }
}

struct Script {
    directory: tempfile::TempDir,
    spec: CommandSpec,
}

impl Script {
    fn new(body: &str) -> Self {
        Self::with(body, json!({}))
    }

    fn with(body: &str, change: Value) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("judge.py");
        std::fs::write(&path, format!("{PRELUDE}{body}")).unwrap();
        let mut spec = json!({"command": [python(), "judge.py"], "directory": directory.path(), "workers": 1});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Self { spec: serde_json::from_value(spec).unwrap(), directory }
    }

    fn judge(&self) -> CommandJudge {
        self.judge_in(&|name| std::env::var_os(name))
    }

    fn judge_in(&self, variable: &dyn Fn(&str) -> Option<OsString>) -> CommandJudge {
        let pool = Pool::open(&self.spec, &launcher(), variable).unwrap();
        CommandJudge::open(&name(), &self.spec, &[question("Is it toxic?")], Arc::new(pool)).unwrap()
    }

    fn file(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }
}

fn name() -> JudgeName {
    JudgeName::new("code").unwrap()
}

fn question(text: &str) -> Question {
    Question { text: text.into(), ..Question::default() }
}

fn interaction(output: &str) -> Interaction {
    Interaction {
        id: InteractionId::new("i1").unwrap(),
        project: ProjectName::new("default").unwrap(),
        time: Timestamp(0),
        conversation_id: None,
        model: None,
        prompt_version: None,
        environment: None,
        system: None,
        input: vec![Message::new(Role::User, "What is it?")],
        output: vec![Message::new(Role::Assistant, output)],
        context: Vec::new(),
        reference: None,
        tags: Default::default(),
        usage: None,
        flags: Flags::default(),
    }
}

async fn ask(judge: &CommandJudge, output: &str) -> Result<Verdict, CallFailure> {
    let results = judge.attempt(&interaction(output), &[0]).await;
    assert_eq!(results.len(), 1);
    results.into_iter().next().unwrap()
}

/// Asks until the pause between starts is over.
async fn ask_in_time(judge: &CommandJudge, output: &str) -> Result<Verdict, CallFailure> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match ask(judge, output).await {
            Err(failure) if failure.message.contains("the next start waits") && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            result => return result,
        }
    }
}

fn is_alive(pid: u32) -> bool {
    // A zombie has no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

async fn is_gone(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_alive(pid) {
        assert!(Instant::now() < deadline, "process {pid} stays");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn pid_in(verdict: &Verdict) -> u32 {
    verdict.reason.parse().unwrap()
}

#[tokio::test]
async fn a_worker_answers_one_question_after_the_other() {
    let script = Script::new(
        r#"
for q in asked():
    answer(q, score=len(q["output"]) / 10, label="l", confidence=0.5, reason=f'{os.getpid()}', model="m1", more=[1])
"#,
    );
    let judge = script.judge();
    let first = ask(&judge, "12345").await.unwrap();
    assert_eq!((first.score, first.label.as_deref(), first.confidence), (0.5, Some("l"), Some(0.5)));
    assert_eq!((first.cost, first.usage, first.model.as_deref()), (Some(NanoUsd::ZERO), None, Some("m1")));
    assert_eq!(judge.provider().as_str(), "code");
    assert_eq!(judge.model(), "judge.py");
    let second = ask(&judge, "").await.unwrap();
    assert_eq!(second.score, 0.0);
    assert_eq!(pid_in(&first), pid_in(&second), "one process");
    let pid = pid_in(&first);
    assert!(is_alive(pid));
    drop(judge);
    is_gone(pid).await;
}

#[tokio::test]
async fn what_is_asked_arrives_whole_and_a_price_is_charged_for_answers() {
    let script = Script::with(
        "for q in asked():\n    answer(q, score=1, reason=json.dumps([q['question'], q['interaction_id'], len(q['output'])]))",
        json!({"price_per_call_usd": 0.0005}),
    );
    let judge = script.judge();
    // More than a pipe holds, with everything that JSON has to escape.
    let long = "\"\\\n\u{1}\u{1f600}".repeat(200_000);
    let verdict = ask(&judge, &long).await.unwrap();
    let told: Value = serde_json::from_str(&verdict.reason).unwrap();
    assert_eq!(told, json!(["Is it toxic?", "i1", long.chars().count()]));
    assert_eq!(verdict.cost, Some(NanoUsd(500_000)));
}

#[tokio::test]
async fn workers_judge_at_once_and_no_more_of_them_than_were_asked_for() {
    let script = Script::with(
        r#"
open(f"started-{os.getpid()}", "w")
for q in asked():
    # Waits until the other one is here.
    while len([n for n in os.listdir(".") if n.startswith("started-")]) < 2: time.sleep(0.01)
    answer(q, score=0)
"#,
        json!({"workers": 2}),
    );
    let judge = script.judge();
    let all = tokio::join!(ask(&judge, "a"), ask(&judge, "b"), ask(&judge, "c"), ask(&judge, "d"));
    assert!(all.0.is_ok() && all.1.is_ok() && all.2.is_ok() && all.3.is_ok());
    let started = std::fs::read_dir(script.directory.path()).unwrap();
    assert_eq!(started.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("started-")).count(), 2);
}

#[tokio::test]
async fn lines_that_are_no_answer() {
    // What the worker does, whether it may go on, and a part of the message.
    let cases = [
        ("answer(q, score=7)", true, "the score 7 is not within 0 to 1"),
        ("answer(q, score=-0.001)", true, "not within"),
        ("answer(q)", true, "no score"),
        ("answer(q, score='1')", true, "not a number"),
        ("answer(q, score=1, confidence=2)", true, "confidence"),
        ("answer(q, score=float('nan'))", false, "NaN"),
        ("answer({'id': 'another'}, score=1)", false, "another id"),
        ("answer({'id': 0}, score=1)", false, "another id"),
        ("raw(b'{\"score\": 1}\\n')", false, "no id"),
        ("raw(b'loading the model...\\n')", false, "not one JSON object"),
        ("raw(b'[1]\\n')", false, "not one JSON object"),
        ("raw(b'\\n')", false, "not one JSON object"),
        ("raw(b'{\"score\": \"\\xff\"}\\n')", false, "no UTF-8"),
        ("line = json.dumps({'id': q['id'], 'score': 1}).encode() + b'\\n'; raw(line + line)", false, "more than one line"),
        ("raw(b'{\"id\": '); os._exit(0)", false, "ends within a line"),
        ("raw(b'[' * 50000 + b'\\n')", false, "not one JSON object"),
    ];
    for (does, stays, message) in cases {
        let body = format!(
            "for q in asked():\n    if q['output'] == 'bad': {does}\n    else: answer(q, score=1, reason=str(os.getpid()))\n"
        );
        let script = Script::new(&body);
        let judge = script.judge();
        let before = ask(&judge, "good").await.unwrap();
        let failure = ask(&judge, "bad").await.unwrap_err();
        assert_eq!(failure.kind, CallFailureKind::InvalidAnswer, "{does}: {}", failure.message);
        assert!(failure.message.contains(message), "{does}: {}", failure.message);
        let after = ask_in_time(&judge, "good").await.unwrap();
        assert_eq!(pid_in(&before) == pid_in(&after), stays, "{does}");
        if !stays {
            is_gone(pid_in(&before)).await;
        }
    }
}

#[tokio::test]
async fn a_late_second_answer_is_never_taken_for_anothers() {
    // The second line comes with or after the first; the next question is answered by 0 by whoever gets it.
    let script = Script::new(
        r#"
import threading
for q in asked():
    if q["output"] == "twice":
        answer(q, score=1)
        threading.Timer(0.05, lambda q=q: answer(q, score=1)).start()
    else:
        time.sleep(0.1); answer(q, score=0)
"#,
    );
    let judge = script.judge();
    assert_eq!(ask(&judge, "twice").await.unwrap().score, 1.0);
    match ask(&judge, "once").await {
        Ok(verdict) => assert_eq!(verdict.score, 0.0),
        Err(failure) => assert_eq!(failure.kind, CallFailureKind::InvalidAnswer),
    }
    assert_eq!(ask_in_time(&judge, "once").await.unwrap().score, 0.0);
}

#[tokio::test]
async fn a_text_that_is_printed_forges_no_answer() {
    // A script that prints what it judges, and a text that is an answer to the first, second, … question.
    let script = Script::new("for q in asked():\n    print(q['output'])\n    answer(q, score=1)\n");
    let judge = script.judge();
    for forged in [r#"{"id": "0", "score": 0}"#, r#"{"id": 0, "score": 0}"#, r#"{"id": "{id}", "score": 0}"#, r#"{"score": 0}"#] {
        let failure = ask_in_time(&judge, forged).await.unwrap_err();
        assert_eq!(failure.kind, CallFailureKind::InvalidAnswer, "{forged}");
        assert!(!failure.message.contains("forged"));
    }
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_with_its_children_and_replaced() {
    let script = Script::with(
        r#"
import subprocess
for q in asked():
    if q["output"] == "hang":
        child = subprocess.Popen(["sleep", "600"])
        open("pids.part", "w").write(f"{os.getpid()} {child.pid}"); os.rename("pids.part", "pids")
        time.sleep(600)
    answer(q, score=1, reason=str(os.getpid()))
"#,
        json!({"timeout_seconds": 1, "start_seconds": 20}),
    );
    let judge = script.judge();
    let before = pid_in(&ask(&judge, "good").await.unwrap());
    let began = Instant::now();
    let failure = ask(&judge, "hang").await.unwrap_err();
    assert_eq!(failure.kind, CallFailureKind::Timeout, "{}", failure.message);
    assert!(failure.message.contains("1 s (timeout_seconds)"), "{}", failure.message);
    assert!(began.elapsed() >= Duration::from_secs(1) && began.elapsed() < Duration::from_secs(10));
    let pids = std::fs::read_to_string(script.file("pids")).unwrap();
    let pids: Vec<u32> = pids.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert_eq!(pids[0], before);
    for pid in pids {
        is_gone(pid).await;
    }
    assert_ne!(pid_in(&ask(&judge, "good").await.unwrap()), before);
}

#[tokio::test]
async fn a_start_has_its_own_time_and_ends_with_ready() {
    // 1.5 s to load are more than the second that an answer may take.
    let body =
        |says: &str, then: &str| format!("time.sleep(1.5)\n{says}\nfor q in asked():\n    {then}\n    answer(q, score=1)\n");
    let ready = "raw(b'{\"ready\": true}\\n')";
    let limits = json!({"timeout_seconds": 1, "start_seconds": 20});
    for says in [ready, ""] {
        let judge = Script::with(&body(says, ""), limits.clone()).judge_ok();
        assert_eq!(ask(&judge.0, "x").await.unwrap().score, 1.0, "{says}");
    }
    // From ready on only the time for an answer counts.
    let judge = Script::with(&body(ready, "time.sleep(600)"), limits).judge_ok();
    let began = Instant::now();
    let failure = ask(&judge.0, "x").await.unwrap_err();
    assert_eq!(failure.kind, CallFailureKind::Timeout);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Without it the start counts as well, but not without end.
    let judge = Script::with(&body("", "time.sleep(600)"), json!({"timeout_seconds": 1, "start_seconds": 2})).judge_ok();
    assert!(ask(&judge.0, "x").await.unwrap_err().message.contains("start_seconds"));
}

impl Script {
    /// With the script, which has to stay while the judge is asked.
    fn judge_ok(self) -> (CommandJudge, Self) {
        (self.judge(), self)
    }
}

#[tokio::test]
async fn a_flood_on_either_output_is_cut_off() {
    for (does, on) in [
        ("raw(b'x' * 100_000_000)", "stdout"),
        ("sys.stderr.write('x' * 100_000_000)", "stderr"),
        ("[sys.stderr.write('line\\n') for _ in range(10_000_000)]", "stderr"),
    ] {
        let body = format!(
            "for q in asked():\n    if q['output'] == 'flood': {does}\n    answer(q, score=1, reason=str(os.getpid()))\n"
        );
        let script = Script::with(&body, json!({"output_bytes_max": 4096}));
        let judge = script.judge();
        let before = pid_in(&ask(&judge, "x").await.unwrap());
        let failure = ask(&judge, "flood").await.unwrap_err();
        assert_eq!(failure.kind, CallFailureKind::InvalidAnswer);
        assert!(failure.message.contains(&format!("4096 bytes on {on} (output_bytes_max)")), "{}", failure.message);
        is_gone(before).await;
        assert_ne!(pid_in(&ask_in_time(&judge, "x").await.unwrap()), before);
    }
}

#[tokio::test]
async fn talk_on_stderr_is_allowed_a_piece_for_each_question() {
    let script = Script::with(
        "for q in asked():\n    sys.stderr.write('x' * 1000 + '\\n'); sys.stderr.flush()\n    answer(q, score=1, reason=str(os.getpid()))",
        json!({"output_bytes_max": 4096}),
    );
    let judge = script.judge();
    let first = pid_in(&ask(&judge, "x").await.unwrap());
    for _ in 0..20 {
        assert_eq!(pid_in(&ask(&judge, "x").await.unwrap()), first, "it was not replaced");
    }
}

#[tokio::test]
async fn a_script_that_ends_at_once_is_named_and_started_ever_more_rarely() {
    let script =
        Script::new("open('starts', 'a').write('s')\nsys.stderr.write('loading\\nno module named torch\\n\\n')\nsys.exit(3)\n");
    let judge = script.judge();
    let failure = ask(&judge, "x").await.unwrap_err();
    assert_eq!(failure.kind, CallFailureKind::Unavailable);
    assert_eq!(failure.message, "exits at once with status 3: no module named torch");
    assert!(failure.retry_after.is_some() && failure.cost == Some(NanoUsd::ZERO));
    // For a second and a half it is asked without end.
    let until = Instant::now() + Duration::from_millis(1500);
    let mut asked = 0;
    while Instant::now() < until {
        let failure = ask(&judge, "x").await.unwrap_err();
        assert!(failure.message.starts_with("exits at once with status 3: no module named torch"), "{}", failure.message);
        assert_eq!(failure.kind, CallFailureKind::Unavailable);
        asked += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let starts = std::fs::read_to_string(script.file("starts")).unwrap().len();
    assert!(asked > 10 && (2..=4).contains(&starts), "{asked} asked, {starts} starts");
}

#[tokio::test]
async fn how_it_ended_is_told_without_what_it_judged() {
    for (does, message) in [
        ("os.kill(os.getpid(), 11)", "exits at once with signal 11 (SIGSEGV)"),
        (
            "sys.stderr.write('boom: ' + q['output'] + '\\n'); os._exit(2)",
            "exits at once with status 2: (its message repeats judged text and is left out)",
        ),
        (
            "sys.stderr.write('bad token ' + os.environ['JUDGE_TOKEN'] + '\\n'); os._exit(2)",
            "exits at once with status 2: (its message repeats the API key and is left out)",
        ),
    ] {
        let script = Script::with(&format!("for q in asked():\n    {does}\n"), json!({"env": ["JUDGE_TOKEN"]}));
        let judge = script.judge_in(&|name| match name {
            "JUDGE_TOKEN" => Some("tok-0123456789abcdef".into()),
            name => std::env::var_os(name),
        });
        let failure = ask(&judge, "My card is 4111 1111 1111 1111").await.unwrap_err();
        assert_eq!(failure.message, message, "{does}");
    }
    // What it said about another interaction is not told with this one.
    let script = Script::new(
        "for q in asked():\n    if q['output'] == 'die': os._exit(4)\n    sys.stderr.write('saw ' + q['output'] + '\\n'); sys.stderr.flush()\n    time.sleep(0.2)\n    answer(q, score=1)",
    );
    let judge = script.judge();
    ask(&judge, "the first one's private words").await.unwrap();
    assert_eq!(ask(&judge, "die").await.unwrap_err().message, "exited with status 4");
}

#[tokio::test]
async fn a_program_that_is_not_there_is_said() {
    let script = Script::with("", json!({"command": [python(), "missing.py"]}));
    let failure = ask(&script.judge(), "x").await.unwrap_err();
    assert!(failure.message.starts_with("exits at once with status 2: "), "{}", failure.message);
    assert!(failure.message.contains("missing.py"), "{}", failure.message);
}

#[tokio::test]
async fn an_error_of_its_own_keeps_the_worker() {
    let script = Script::with(
        r#"
for q in asked():
    if q["output"] == "later": answer(q, error="busy", retryable=True)
    elif q["output"] == "never": answer(q, error="not in this language: " + q["input"] * 3)
    else: answer(q, score=1, reason=str(os.getpid()))
"#,
        json!({"price_per_call_usd": 0.001}),
    );
    let judge = script.judge();
    let pid = pid_in(&ask(&judge, "x").await.unwrap());
    let later = ask(&judge, "later").await.unwrap_err();
    assert_eq!((later.kind, later.message.as_str()), (CallFailureKind::Unavailable, "the judge answered with an error: busy"));
    assert_eq!(later.cost, Some(NanoUsd(1_000_000)), "it was answered");
    assert_eq!(ask(&judge, "never").await.unwrap_err().kind, CallFailureKind::Rejected);
    assert_eq!(pid_in(&ask(&judge, "x").await.unwrap()), pid);
}

#[tokio::test]
async fn a_worker_that_answers_once_and_ends_is_started_for_each() {
    let script = Script::new("for q in asked():\n    answer(q, score=1, reason=str(os.getpid()))\n    sys.exit(0)\n");
    let judge = script.judge();
    let mut pids = std::collections::HashSet::new();
    for _ in 0..3 {
        // It may still have been ending when the next question came.
        let pid = pid_in(&ask_in_time_or_again(&judge).await);
        is_gone(pid).await;
        pids.insert(pid);
    }
    assert_eq!(pids.len(), 3);
}

async fn ask_in_time_or_again(judge: &CommandJudge) -> Verdict {
    for _ in 0..5 {
        match ask_in_time(judge, "x").await {
            Ok(verdict) => return verdict,
            Err(failure) => assert!(failure.message.starts_with("exit"), "{}", failure.message),
        }
    }
    panic!("it never answers")
}

#[tokio::test]
async fn the_environment_is_what_was_listed() {
    let script =
        Script::with("for q in asked():\n    answer(q, score=1, reason=json.dumps(dict(os.environ)))", json!({"env": ["MODEL"]}));
    let judge = script.judge_in(&|name| match name {
        "PATH" => std::env::var_os("PATH"),
        name => Some(format!("value of {name}").into()),
    });
    let seen: Value = serde_json::from_str(&ask(&judge, "x").await.unwrap().reason).unwrap();
    let mut names: Vec<&str> = seen.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "LC_ALL", "LC_CTYPE", "MODEL", "PATH", "PYTHONUNBUFFERED", "PYTHONUTF8", "TMPDIR", "TZ"]);
    assert_eq!(seen["MODEL"], "value of MODEL");
    let home = seen["HOME"].as_str().unwrap();
    assert!(home.contains("assize-judge-") && Path::new(home).is_dir());
    drop(judge);
    assert!(!Path::new(home).exists(), "its own directory goes with it");
}

#[test]
fn secrets_do_not_reach_the_environment_even_if_listed() {
    for name in ["ASSIZE_BOOTSTRAP_KEY", "assize_key", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"] {
        let script = Script::with("", json!({"env": [name]}));
        let refused = Pool::open(&script.spec, &launcher(), &|_| Some("secret".into())).err().unwrap();
        assert_eq!(refused.key, "env[0]", "{name}");
    }
}

#[tokio::test]
async fn another_script_or_question_is_another_version() {
    let script = Script::new("for q in asked():\n    answer(q, score=1)\n");
    let version = |script: &Script, spec: &CommandSpec, text: &str| {
        let pool = Pool::open(spec, &launcher(), &|name| std::env::var_os(name)).unwrap();
        let judge = CommandJudge::open(&name(), spec, &[question("other"), question(text)], Arc::new(pool)).unwrap();
        assert!(script.file("judge.py").exists());
        judge.versions()[1].clone()
    };
    let first = version(&script, &script.spec, "q");
    assert_eq!(version(&script, &script.spec, "q"), first);
    assert_ne!(version(&script, &script.spec, "another"), first);
    let roomier = CommandSpec { workers: 7, timeout_seconds: 9, memory_mb: 900, ..script.spec.clone() };
    assert_eq!(version(&script, &roomier, "q"), first, "limits are no part of it");
    let mut arguments = script.spec.clone();
    arguments.command.push("--strict".into());
    assert_ne!(version(&script, &arguments, "q"), first);
    // The same file elsewhere is the same judge.
    let elsewhere = Script::new("for q in asked():\n    answer(q, score=1)\n");
    assert_eq!(version(&elsewhere, &elsewhere.spec, "q"), first);

    // A running judge does not change under its version: workers of before go on, new ones are not started.
    let judge = script.judge();
    ask(&judge, "x").await.unwrap();
    std::fs::write(script.file("judge.py"), format!("{PRELUDE}for q in asked():\n    answer(q, score=0)\n")).unwrap();
    assert_eq!(ask(&judge, "x").await.unwrap().score, 1.0);
    let fresh = Script { directory: script.directory, spec: script.spec };
    let changed = version(&fresh, &fresh.spec, "q");
    assert_ne!(changed, first);
    let opened = fresh.judge();
    std::fs::write(fresh.file("judge.py"), "other").unwrap();
    let failure = ask(&opened, "x").await.unwrap_err();
    assert!(failure.message.contains("judge.py has changed"), "{}", failure.message);
    // Whoever names the version answers for it.
    let named = CommandSpec { version: Some("1".into()), ..fresh.spec.clone() };
    let before = version(&fresh, &named, "q");
    std::fs::write(fresh.file("judge.py"), "yet another").unwrap();
    assert_eq!(version(&fresh, &named, "q"), before);
    assert_ne!(version(&fresh, &CommandSpec { version: Some("2".into()), ..named }, "q"), before);
}

#[tokio::test]
async fn an_attempt_that_is_given_up_leaves_no_process() {
    let script = Script::new(
        "open('pid.part', 'w').write(str(os.getpid())); os.rename('pid.part', 'pid')\nfor q in asked():\n    time.sleep(600)\n",
    );
    let judge = script.judge();
    let path = script.file("pid");
    let started = async {
        while !path.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        result = ask(&judge, "x") => panic!("{result:?}"),
        () = started => {}
    }
    is_gone(std::fs::read_to_string(&path).unwrap().parse().unwrap()).await;
}
