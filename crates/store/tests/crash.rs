//! A process that is killed in the middle of writing: whatever it acknowledged is there afterwards, once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use assize_core::queue::{Enqueued, Offset};
use assize_core::{Accepted, Timestamp};
use assize_testkit::samples;

const DIRECTORY: &str = "ASSIZE_TEST_CRASH_DIRECTORY";
const ROUND: &str = "ASSIZE_TEST_CRASH_ROUND";
const ROUNDS: usize = 5;
const CALLERS: usize = 4;

fn sample(id: &str) -> Accepted {
    let time = samples::MORNING;
    if id.len().is_multiple_of(2) { samples::drawn("p", id, time) } else { samples::row("p", id, time) }
}

/// The process that is killed: this very test, told by a variable to write until it dies.
#[test]
fn writes_until_killed() {
    let (Ok(directory), Ok(round)) = (std::env::var(DIRECTORY), std::env::var(ROUND)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let queue = assize_store::queue::open(&format!("sqlite:{directory}"), Offset(0)).await.unwrap();
        let callers = (0..CALLERS).map(|caller| {
            let (queue, round) = (queue.clone(), round.clone());
            tokio::spawn(async move {
                for batch in 0_u64.. {
                    let ids: Vec<String> = (0..7).map(|i| format!("{round}-{caller}-{batch}-{i}")).collect();
                    let entries = ids.iter().map(|id| samples::entry(sample(id))).collect();
                    let answers = queue.enqueue(entries).await.unwrap();
                    assert!(answers.iter().all(|answer| *answer == Enqueued::Accepted));
                    let lines: String = ids.iter().map(|id| format!("acknowledged {id} .\n")).collect();
                    std::io::stdout().lock().write_all(lines.as_bytes()).unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Another number of acknowledgements each time, so that the kill falls into another moment.
        let enough = acknowledged.len() + 200 + 37 * round;
        let id_of = |line: &str| line.strip_prefix("acknowledged ")?.strip_suffix(" .").map(str::to_owned);
        while acknowledged.len() < enough {
            let line = lines.next().expect("the child writes on").unwrap();
            acknowledged.extend(id_of(&line));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had said before it died counts too; a line cut short does not.
        acknowledged.extend(lines.map_while(Result::ok).filter_map(|line| id_of(&line)));
    }

    let queue = assize_store::queue::open(&format!("sqlite:{}", directory.path().display()), Offset(0)).await.unwrap();
    let mut found: HashMap<String, u32> = HashMap::new();
    let mut drawn = 0;
    for (_, entry) in queue.accepted_after(Offset(0), usize::MAX).await.unwrap() {
        assert_eq!(entry, samples::entry(sample(entry.row.id.as_str())));
        drawn += u64::from(entry.row.is_drawn());
        *found.entry(entry.row.id.as_str().to_owned()).or_default() += 1;
    }
    assert!(acknowledged.len() >= ROUNDS * 200);
    for id in &acknowledged {
        assert_eq!(found.get(id), Some(&1), "{id}");
    }
    assert!(found.values().all(|count| *count == 1), "nothing is there twice");
    let depth = queue.depth(Timestamp(0)).await.unwrap();
    assert_eq!(depth.ready, drawn, "the counts survived with what they count");
    for ids in acknowledged.chunks(500) {
        let again = queue.enqueue(ids.iter().map(|id| samples::entry(sample(id))).collect()).await.unwrap();
        assert!(again.iter().all(|answer| *answer == Enqueued::Duplicate));
    }
}
