//! Ctrl-C, SIGTERM, and readers that went away.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_resumed() {
    let provider = FakeProvider::start(Behaviour::with(every_third).latency(Duration::from_millis(20))).await.unwrap();
    let files = Files::new();
    let config = configuration(&provider, 1.0);
    let running = to_out(&files, &config, lines(400)).option("--concurrency", "4").start();
    until("it is in the middle", || provider.calls() >= 40).await;
    running.signal("INT");
    let ended = running.end().await.code(130).says(&["goes on from out.jsonl"]);
    assert_eq!(ended.stdout, "", "half a result is no data");
    let calls = provider.calls();
    assert!(calls < 200, "it stopped soon: {calls}");
    assert_eq!(outcomes(&files).len() as u64, calls, "what was in hand was finished and written down");
    let summary = again(&files).option("--out", "out.jsonl").arg("--json").run().await.code(0).json();
    assert_eq!(provider.calls(), 400, "nothing was paid twice");
    assert_eq!(provider.calls_of_one_item_max(), 1);
    assert_eq!(summary["calls"], 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_does_not_wait() {
    let provider = FakeProvider::start(Behaviour::always(Reply::Hang)).await.unwrap();
    let files = Files::new();
    let running = eval(&files, &configuration(&provider, 1.0), lines(3)).start();
    until("it calls", || provider.calls() == 3).await;
    let began = std::time::Instant::now();
    running.signal("INT");
    running.has_said("stopping").await;
    running.signal("INT");
    running.end().await.code(130).says(&["stopping", "nothing is kept", "--out"]);
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_stdin_is_silent_ends_it() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let files = Files::new();
    files.write("c.toml", configuration(&provider, 1.0));
    let (reader, writer) = std::io::pipe().unwrap();
    let command = assize(["eval", "-", "--config", "c.toml"]).within(files.path());
    let running = command.start_reading(reader);
    std::io::Write::write_all(&mut &writer, line("a", "q", "a").repeat(70).as_bytes()).unwrap();
    until("it judges", || provider.calls() == 1).await;
    running.signal("TERM");
    running.end().await.code(130);
    drop(writer);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_went_away_is_no_error() {
    let provider = FakeProvider::start(Behaviour::score(0.0)).await.unwrap();
    let files = Files::new();
    let (status, stderr) = eval(&files, &configuration(&provider, 1.0), lines(3)).run_unread(true).await;
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
    let (status, stdout) =
        eval(&files, &configuration(&provider, 1.0), "nonsense\n".to_owned() + &lines(3)).arg("--json").run_unread(false).await;
    assert_eq!(status.code(), Some(0));
    assert!(stdout.contains("\"interactions\": 3"), "{stdout}");
}
