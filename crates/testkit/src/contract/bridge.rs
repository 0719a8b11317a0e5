//! What every results store must do with interactions that two versions of a judge have seen.

use assize_core::results::{BridgeItem, BridgeVerdict, Results, SpendBy, VersionChange};
use assize_core::{JudgeVersion, NanoUsd, StoreErrorKind, Timestamp};

use super::Opener;
use super::results::{entries, open};
use super::sums::all_sums;
use crate::samples::{MORNING, call, drawn, id, judged, metric, project, verdict};

/// Runs the suite.
pub(super) async fn run(opener: &dyn Opener<dyn Results>) {
    let mut store = open(opener, "bridge").await;
    let rows = [drawn("p", "a", MORNING), drawn("p", "b", MORNING)];
    store.fold(&entries(1, &rows)).await.expect("folded");
    store.record(&[judged(&rows[0], "refusal", 1.0)]).await.expect("recorded");
    let sums = store.sums(&all_sums(None)).await.expect("sums");
    let change = VersionChange { metric: metric("refusal"), old: JudgeVersion::of(&[b"old"]), new: JudgeVersion::of(&[b"new"]) };
    let item = BridgeItem {
        key: rows[0].key,
        scores: Some((0.25, 1.0)),
        probability: 0.05,
        rate: 0.5,
        calls: 1,
        cost: NanoUsd(7),
        cost_unknown: 0,
    };
    let extra = assize_core::Verdict { version: change.old.clone(), ..verdict("older", 0.25) };
    let said = BridgeVerdict {
        project: project("p"),
        change: change.clone(),
        item: item.clone(),
        verdict: Some(extra.clone()),
        calls: vec![call("bridge-call", MORNING)],
        spent_on: metric("bridge.m"),
        at: MORNING,
    };
    let failed = BridgeVerdict {
        item: BridgeItem { key: rows[1].key, scores: None, calls: 0, cost: NanoUsd(0), ..item.clone() },
        verdict: None,
        calls: Vec::new(),
        ..said.clone()
    };
    let ever = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let spend = async |store: &dyn Results| {
        store.spend(&project("p"), ever.0, ever.1, SpendBy::Total).await.expect("spend").into_values().next().unwrap_or_default()
    };
    let before = spend(&*store).await;
    for _ in 0..2 {
        store.record_bridge(&said).await.expect("recorded");
    }
    store.record_bridge(&failed).await.expect("recorded");
    if opener.is_durable() {
        drop(store);
        store = open(opener, "bridge").await;
    }
    assert_eq!(store.sums(&all_sums(None)).await.expect("sums"), sums, "no rate changes");
    let by_metric = store.spend(&project("p"), ever.0, ever.1, SpendBy::Metric).await.expect("spend");
    assert_eq!((by_metric["bridge.m"].calls, by_metric["refusal"].calls), (1, before.calls));
    let after = spend(&*store).await;
    assert_eq!((after.calls, after.questions), (before.calls + 1, before.questions + 1), "what was paid counts once");
    let mut items = store.bridge(&project("p"), &change).await.expect("listed");
    items.sort_by_key(|item| item.scores.is_none());
    assert_eq!(items, [item, failed.item.clone()]);
    let backwards = VersionChange { old: change.new.clone(), new: change.old.clone(), ..change.clone() };
    assert!(store.bridge(&project("p"), &backwards).await.expect("listed").is_empty());
    assert!(store.bridge(&project("q"), &change).await.expect("listed").is_empty());
    let record = store.interaction(&project("p"), &id("a")).await.expect("read").expect("there");
    let verdicts = &record.metrics[0].verdicts;
    assert_eq!((verdicts.len(), &verdicts[0], verdicts[1].score), (2, &extra, 1.0), "the reference's is last");
    for wrong in [
        BridgeVerdict { project: project("q"), ..said.clone() },
        BridgeVerdict { item: BridgeItem { probability: 0.0, ..said.item.clone() }, ..said.clone() },
        BridgeVerdict { item: BridgeItem { scores: Some((f64::NAN, 0.0)), ..said.item.clone() }, ..said.clone() },
    ] {
        let error = store.record_bridge(&wrong).await.expect_err("refused");
        assert_eq!(error.kind, StoreErrorKind::Invalid);
    }
}
