//! Files that are newer, changed, damaged, locked or out of room: a clear error, and no panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use assize_core::queue::{Entry, Offset};
use assize_core::{StoreError, StoreErrorKind};
use assize_store::{control, ledger, queue, results};
use assize_testkit::samples::{self, MORNING};

fn url(directory: &Path) -> String {
    format!("sqlite:{}", directory.display())
}

/// Opens each port in turn.
async fn open_each(directory: &Path) -> [(&'static str, Result<(), StoreError>); 4] {
    let url = url(directory);
    [
        ("queue.db", queue::open(&url, Offset(0)).await.map(drop)),
        ("results.db", results::open(&url).await.map(drop)),
        ("control.db", control::open(&url).await.map(drop)),
        ("ledger.db", ledger::open(&url).await.map(drop)),
    ]
}

async fn created() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (file, opened) in open_each(directory.path()).await {
        opened.unwrap_or_else(|error| panic!("{file}: {error}"));
    }
    directory
}

fn change(directory: &Path, sql: &str) {
    for file in ["queue.db", "results.db", "control.db", "ledger.db"] {
        rusqlite::Connection::open(directory.join(file)).unwrap().execute_batch(sql).unwrap();
    }
}

async fn assert_all_refused(directory: &Path, kind: StoreErrorKind, words: &[&str]) {
    for (file, opened) in open_each(directory).await {
        let error = opened.expect_err(file);
        assert_eq!(error.kind, kind, "{file}: {error}");
        for word in words.iter().chain([&file]) {
            assert!(error.message.contains(word), "{file}: {error}");
        }
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = created().await;
    change(directory.path(), "INSERT INTO migration SELECT max(version) + 1, '9999_future', 'x' FROM migration");
    assert_all_refused(directory.path(), StoreErrorKind::Schema, &["9999_future", "newer"]).await;
}

#[tokio::test]
async fn a_changed_schema_is_refused() {
    let directory = created().await;
    change(directory.path(), "UPDATE migration SET checksum = 'x'");
    assert_all_refused(directory.path(), StoreErrorKind::Schema, &["0001_", "backup"]).await;
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = created().await;
    for file in ["queue.db", "results.db", "control.db", "ledger.db"] {
        std::fs::write(directory.path().join(file), "This is a letter to a friend, and no database. ".repeat(200)).unwrap();
    }
    assert_all_refused(directory.path(), StoreErrorKind::Failed, &["damaged", "backup"]).await;
}

#[tokio::test]
async fn damaged_pages_are_an_error_and_not_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let entries: Vec<Entry> = (0..500).map(|i| samples::entry(samples::drawn("p", &i.to_string(), MORNING))).collect();
    let queue = queue::open(&url(directory.path()), Offset(0)).await.unwrap();
    queue.enqueue(entries).await.unwrap();
    drop(queue);
    let path = directory.path().join("queue.db");
    let mut file = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 100_000, "the log was written back on closing");
    // Every page but the first: the file still opens.
    for page in 1..length / 4096 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        let mut bytes = [0; 64];
        file.read_exact(&mut bytes).unwrap();
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&bytes.map(|byte| !byte)).unwrap();
    }
    drop(file);
    let error = match queue::open(&url(directory.path()), Offset(0)).await {
        Err(error) => error,
        Ok(queue) => queue.accepted_after(Offset(0), 1_000).await.expect_err("no page is whole"),
    };
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert!(error.message.contains("damaged"), "{error}");
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue::open(&url(directory.path()), Offset(0)).await.unwrap();
    queue.enqueue(vec![samples::entry(samples::row("p", "a", MORNING))]).await.unwrap();
    rusqlite::Connection::open(directory.path().join("queue.db")).unwrap().execute_batch("UPDATE log SET row = x'01ff'").unwrap();
    let error = queue.accepted_after(Offset(0), 10).await.unwrap_err();
    assert!(error.message.contains("row 1"), "{error}");
}

#[tokio::test]
async fn a_directory_has_one_owner_and_control_is_shared() {
    let directory = tempfile::tempdir().unwrap();
    let url = url(directory.path());
    let queue = queue::open(&url, Offset(0)).await.unwrap();
    let results = results::open(&url).await.unwrap();
    for opened in [queue::open(&url, Offset(0)).await.map(drop), results::open(&url).await.map(drop)] {
        assert_eq!(opened.unwrap_err().kind, StoreErrorKind::Locked);
    }
    let (one, two) = (control::open(&url).await.unwrap(), control::open(&url).await.unwrap());
    one.put_policy(&assize_core::PolicyVersion::of(&[b"1"]), "{}", MORNING).await.unwrap();
    assert!(two.policy(&assize_core::PolicyVersion::of(&[b"1"])).await.unwrap().is_some());
    drop((queue, results));
    queue::open(&url, Offset(0)).await.unwrap();
}

#[tokio::test]
async fn nobody_else_may_read() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a/data");
    let url = url(&directory);
    let queue = queue::open(&url, Offset(0)).await.unwrap();
    let results = results::open(&url).await.unwrap();
    let control = control::open(&url).await.unwrap();
    let ledger = ledger::open(&url).await.unwrap();
    let asked = assize_testkit::contract::ledger::reservation("c", 1);
    assert_eq!(ledger.reserve(asked, &[]).await.unwrap(), assize_core::ledger::Grant::Granted);
    queue.enqueue(vec![samples::entry(samples::row("p", "a", MORNING))]).await.unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let mut files = 0;
    for file in std::fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += 1;
    }
    assert!(files >= 5, "the lock and four databases, and what lies beside them");
    assert!(directory.join("ledger.db-wal").exists(), "what was reserved lies in the log");
    drop((queue, results, control, ledger));
}

#[tokio::test]
async fn offsets_begin_after_what_the_results_have() {
    let directory = tempfile::tempdir().unwrap();
    let url = url(directory.path());
    let entry = |id: &str| samples::entry(samples::row("p", id, MORNING));
    for queue_url in [url.as_str(), "memory:"] {
        let queue = queue::open(queue_url, Offset(41)).await.unwrap();
        queue.enqueue(vec![entry("a")]).await.unwrap();
        assert_eq!(queue.accepted_after(Offset(41), 10).await.unwrap()[0].0, Offset(42), "{queue_url}");
    }
    let queue = queue::open(&url, Offset(7)).await.unwrap();
    queue.enqueue(vec![entry("b")]).await.unwrap();
    assert_eq!(queue.accepted_after(Offset(42), 10).await.unwrap()[0].0, Offset(43), "never backwards");
}

/// Takes back what calls and spend have had since `0005_spend`.
const WITHOUT_PLACES: &str = "
    ALTER TABLE call DROP COLUMN asked_as;
    ALTER TABLE call DROP COLUMN live;
    ALTER TABLE call DROP COLUMN uncached;
    CREATE TABLE older AS SELECT project, hour, metric, judge, model, calls, questions, failed, cost_unknown, cost, input_tokens,
        cached_input_tokens, cache_write_tokens, output_tokens, reused, saved FROM spend;
    DROP TABLE spend;
    ALTER TABLE older RENAME TO spend;
    DELETE FROM migration WHERE version >= 5;";

#[tokio::test]
async fn what_was_spent_before_places_were_noted_is_kept() {
    use assize_core::AskedAs;
    use assize_core::results::Spend;

    let directory = tempfile::tempdir().unwrap();
    let row = samples::drawn("p", "a", MORNING);
    let store = results::open(&url(directory.path())).await.unwrap();
    store.fold(&[(Offset(1), samples::entry(row.clone()))]).await.unwrap();
    let mut scored = samples::judged(&row, "refusal", 1.0);
    let list = assize_core::ListCost { live: assize_core::NanoUsd(7_000_000), uncached: assize_core::NanoUsd(8_000_000) };
    (scored.calls[0].asked_as, scored.calls[0].list) = (AskedAs::Reference, Some(list));
    store.record(&[scored.clone()]).await.unwrap();
    drop(store);
    let file = rusqlite::Connection::open(directory.path().join("results.db")).unwrap();
    file.execute_batch(WITHOUT_PLACES).unwrap();
    drop(file);
    let store = results::open(&url(directory.path())).await.unwrap();
    let ever = (assize_core::Timestamp(i64::MIN), assize_core::Timestamp(i64::MAX));
    let spend = store.spend_by_place(&row.project, ever.0, ever.1).await.unwrap();
    let cost = scored.calls[0].cost.unwrap();
    let expected = Spend {
        calls: 1,
        questions: 1,
        cost,
        live: cost,
        uncached: cost,
        input_tokens: 1_000,
        output_tokens: 50,
        ..Spend::default()
    };
    assert_eq!(spend.into_iter().collect::<Vec<_>>(), [(("refusal".to_owned(), AskedAs::Unknown), expected)]);
    let kept = store.interaction(&row.project, &row.id).await.unwrap().unwrap();
    assert_eq!((kept.metrics[0].calls[0].asked_as, kept.metrics[0].calls[0].list), (AskedAs::Unknown, None));
}

#[tokio::test]
async fn what_was_decided_before_there_was_a_feed_is_in_it() {
    use assize_core::decided::DecidedQuery;
    use assize_core::{DecisionState, Outcome};

    let directory = tempfile::tempdir().unwrap();
    let rows = ["a", "b", "c"].map(|id| samples::drawn("p", id, MORNING));
    let free = samples::decision("tone", Some(1.0), 1.0, DecisionState::Closed(Outcome::Judged, None));
    let free = samples::row_of("q", "free", MORNING, vec![free]);
    let query = DecidedQuery { after: 0, projects: Vec::new(), metrics: Vec::new(), limit: 100 };
    let store = results::open(&url(directory.path())).await.unwrap();
    let folded = (1..).map(Offset).zip(rows.iter().cloned().chain([free]).map(samples::entry)).collect::<Vec<_>>();
    store.fold(&folded).await.unwrap();
    store.record(&[samples::judged(&rows[0], "refusal", 1.0)]).await.unwrap();
    store.record(&[samples::judge_failed(&rows[1], "refusal")]).await.unwrap();
    let told = store.decided_after(&query).await.unwrap();
    assert_eq!(told.items.iter().map(|decided| decided.id.as_str()).collect::<Vec<_>>(), ["free", "a", "b"]);
    drop(store);
    let file = rusqlite::Connection::open(directory.path().join("results.db")).unwrap();
    file.execute_batch("DROP TABLE decided; DROP TABLE bridge").unwrap();
    file.execute_batch(WITHOUT_PLACES).unwrap();
    file.execute_batch("DELETE FROM migration WHERE version >= 3").unwrap();
    drop(file);
    let store = results::open(&url(directory.path())).await.unwrap();
    let again = store.decided_after(&query).await.unwrap();
    let order = |page: &assize_core::decided::DecidedPage| {
        let mut items: Vec<_> =
            page.items.iter().map(|decided| (decided.at, decided.id.clone(), decided.verdict.clone())).collect();
        assert!(items.is_sorted_by_key(|(at, ..)| *at), "in order of time");
        items.sort_by(|a, b| a.1.cmp(&b.1));
        items
    };
    assert_eq!(order(&again), order(&told));
    store.record(&[samples::judged(&rows[2], "refusal", 1.0)]).await.unwrap();
    let news = store.decided_after(&DecidedQuery { after: again.up_to, ..query }).await.unwrap();
    assert_eq!(news.items.iter().map(|decided| decided.id.as_str()).collect::<Vec<_>>(), ["c"]);
}
