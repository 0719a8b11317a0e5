//! Whatever is folded and recorded, in whatever batches and order, with whatever repeated: sums of any range are what the rows say,
//! and outcomes add up.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use assize_core::results::{Results, SumsQuery};
use assize_core::{Accepted, Dimension, Outcome, Scored, Timestamp};
use assize_testkit::contract::results::entries;
use assize_testkit::contract::sums::{all_sums, by_key, expected_sums, mixed, same_sums};
use assize_testkit::samples::{MORNING, project};
use proptest::prelude::*;

/// How a history is cut up: sizes of fold batches, which of them are sent twice, and the order of records.
#[derive(Debug, Clone)]
struct History {
    rows: u64,
    batch: usize,
    record_batch: usize,
    repeat_every: usize,
    rotate: usize,
    ranges: Vec<(i64, i64)>,
}

fn history() -> impl Strategy<Value = History> {
    let instant = 0..5 * 3_600_000_i64;
    // Bounds in whole hours are as likely as any others.
    let bound = prop_oneof![instant, (0..=5_i64).prop_map(|hour| hour * 3_600_000)];
    let ranges = prop::collection::vec((bound.clone(), bound), 1..6);
    (1..120_u64, 1..40_usize, 1..40_usize, 1..4_usize, 0..100_usize, ranges).prop_map(
        |(rows, batch, record_batch, repeat_every, rotate, ranges)| History {
            rows,
            batch,
            record_batch,
            repeat_every,
            rotate,
            ranges,
        },
    )
}

async fn play(results: &dyn Results, history: &History) -> (Vec<Accepted>, Vec<Scored>) {
    let (rows, mut scored) = mixed(history.rows);
    let by = history.rotate.min(scored.len());
    scored.rotate_left(by);
    for (position, batch) in rows.chunks(history.batch).enumerate() {
        let first = (position * history.batch) as u64 + 1;
        results.fold(&entries(first, batch)).await.unwrap();
        if position % history.repeat_every == 0 {
            results.fold(&entries(first, batch)).await.unwrap();
        }
    }
    for (position, batch) in scored.chunks(history.record_batch).enumerate() {
        results.record(batch).await.unwrap();
        if position % history.repeat_every == 0 {
            results.record(batch).await.unwrap();
        }
    }
    (rows, scored)
}

async fn check(results: &dyn Results, history: &History, rows: &[Accepted], scored: &[Scored]) -> Result<(), TestCaseError> {
    for &(from, to) in &history.ranges {
        for by in [None, Some(Dimension::Model)] {
            let query = SumsQuery { from: Timestamp(MORNING.0 + from), to: Timestamp(MORNING.0 + to), ..all_sums(by) };
            let found = by_key(results.sums(&query).await.unwrap());
            let expected = expected_sums(rows, scored, &query);
            prop_assert!(same_sums(&found, &expected), "{query:?}\nfound {found:#?}\nexpected {expected:#?}");
        }
    }
    let outcomes = results.outcomes(&project("p"), Timestamp(i64::MIN), Timestamp(i64::MAX)).await.unwrap();
    prop_assert_eq!(outcomes.accepted, rows.len() as u64);
    prop_assert_eq!(outcomes.counts.iter().map(|count| count.count).sum::<u64>(), rows.len() as u64);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_what_the_rows_say(history in history()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().display());
        runtime.block_on(async {
            let results = assize_store::results::open(&url).await.unwrap();
            let (rows, scored) = play(&*results, &history).await;
            check(&*results, &history, &rows, &scored).await?;
            // And again after everything was sent once more to a store that was opened anew.
            drop(results);
            let results = assize_store::results::open(&url).await.unwrap();
            play(&*results, &history).await;
            check(&*results, &history, &rows, &scored).await
        })?;
    }
}

#[test]
fn the_mixture_has_some_of_everything() {
    let (rows, scored) = mixed(400);
    for outcome in [Some(Outcome::Judged), Some(Outcome::NotSampled), Some(Outcome::NoContent), None] {
        let some = rows.iter().filter(|row| row.decisions[0].closed() == outcome).count();
        assert!(some >= 20, "{outcome:?} at accept: {some}");
    }
    for outcome in [Some(Outcome::Judged), Some(Outcome::JudgeFailed), None] {
        let some = scored.iter().filter(|scored| scored.outcome == outcome).count();
        assert!(some >= 5, "{outcome:?} after: {some}");
    }
    for hour in 0..4 {
        assert!(rows.iter().filter(|row| row.time.hour().0 == MORNING.hour().0 + hour).count() >= 40, "hour {hour}");
    }
    assert!(rows.iter().any(|row| row.dimensions.is_empty()) && rows.iter().any(|row| !row.dimensions.is_empty()));
}
