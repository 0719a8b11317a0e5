//! What the listings of a results store must do.

use std::collections::BTreeSet;

use assize_core::results::{Filter, JudgedQuery, Results};
use assize_core::{Accepted, DecisionState, Dimension, Outcome, Scored, Step, StoreErrorKind};

use super::Opener;
use super::results::{after, entries, open};
use crate::samples::{MORNING, decision, drawn, id, judge, judge_failed, judged, metric, project, row, verdict};

/// Runs this part of the suite of results.
pub(super) async fn run(opener: &dyn Opener<dyn Results>) {
    interactions_are_listed_newest_first(opener).await;
    verdicts_are_listed_newest_first(opener).await;
    filters_find_what_they_say(opener).await;
    what_was_judged_is_listed_with_its_probability(opener).await;
}

/// A filter that everything of project `p` passes.
pub fn everything() -> Filter {
    Filter {
        project: project("p"),
        metric: None,
        judge: None,
        outcome: None,
        dimension: None,
        from: None,
        to: None,
        score_min: None,
        score_max: None,
        cursor: None,
        limit: 1_000,
    }
}

async fn interactions_are_listed_newest_first(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "list").await;
    // Several share a time, and the order of arrival is not that of time.
    let rows: Vec<Accepted> = (0..50).map(|i| row("p", &i.to_string(), after(i * 7 % 20))).collect();
    results.fold(&entries(1, &rows)).await.expect("folded");
    results.fold(&entries(51, &[row("q", "other", MORNING)])).await.expect("folded");
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = results.interactions(&Filter { limit: 7, cursor, ..everything() }).await.expect("listed");
        assert!(page.items.len() <= 7);
        seen.extend(page.items.into_iter().map(|record| (record.row.time, record.row.id)));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0].0 >= pair[1].0));
    assert_eq!(seen.iter().map(|(_, id)| id).collect::<BTreeSet<_>>().len(), 50);
    assert_eq!(seen.len(), 50);
    let some = Filter { from: Some(after(5)), to: Some(after(10)), ..everything() };
    let times: BTreeSet<_> =
        results.interactions(&some).await.expect("listed").items.into_iter().map(|record| record.row.time).collect();
    assert_eq!(times, (5..10).map(after).collect());
    for cursor in ["", "x", "1", "1.x", "💥.1"] {
        let filter = Filter { cursor: Some(cursor.to_owned()), ..everything() };
        assert_eq!(results.interactions(&filter).await.expect_err("a bad cursor").kind, StoreErrorKind::Invalid);
    }
}

async fn verdicts_are_listed_newest_first(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "verdicts").await;
    let rows: Vec<Accepted> = (0..20).map(|i| drawn("p", &i.to_string(), after(i))).collect();
    results.fold(&entries(1, &rows)).await.expect("folded");
    for row in &rows {
        results.record(&[judged(row, "refusal", row.time.since(MORNING).as_secs() as f64 / 20.0)]).await.expect("recorded");
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = results.verdicts(&Filter { limit: 6, cursor, ..everything() }).await.expect("listed");
        seen.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen.iter().map(|v| v.time).collect::<Vec<_>>(), (0..20).rev().map(after).collect::<Vec<_>>());
    assert_eq!(seen[0].verdict, verdict("gpt-4o", 0.95));
    assert_eq!(
        (&seen[0].id, &seen[0].metric, seen[0].is_reference, seen[0].at),
        (&id("19"), &metric("refusal"), true, after(20))
    );
    let filter = Filter { cursor: Some("nonsense".to_owned()), ..everything() };
    assert_eq!(results.verdicts(&filter).await.expect_err("a bad cursor").kind, StoreErrorKind::Invalid);
}

async fn filters_find_what_they_say(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "filters").await;
    let mut rows =
        [drawn("p", "high", after(1)), drawn("p", "low", after(2)), drawn("p", "failed", after(3)), row("p", "out", after(4))];
    rows[0].dimensions.push((Dimension::Model, "m".to_owned()));
    rows[1].decisions.push(decision("tone", Some(0.9), 1.0, DecisionState::Closed(Outcome::Judged, None)));
    results.fold(&entries(1, &rows)).await.expect("folded");
    let scored = [judged(&rows[0], "refusal", 1.0), judged(&rows[1], "refusal", 0.2), judge_failed(&rows[2], "refusal")];
    results.record(&scored).await.expect("recorded");
    let all = everything;
    let cases: Vec<(Filter, &[&str])> = vec![
        (all(), &["out", "failed", "low", "high"]),
        (Filter { metric: Some(metric("tone")), ..all() }, &["low"]),
        (Filter { metric: Some(metric("nope")), ..all() }, &[]),
        (Filter { outcome: Some(Outcome::Judged), ..all() }, &["low", "high"]),
        (Filter { outcome: Some(Outcome::JudgeFailed), ..all() }, &["failed"]),
        (Filter { outcome: Some(Outcome::NotSampled), metric: Some(metric("refusal")), ..all() }, &["out"]),
        (Filter { outcome: Some(Outcome::NotSampled), metric: Some(metric("tone")), ..all() }, &[]),
        (Filter { dimension: Some((Dimension::Model, "m".to_owned())), ..all() }, &["high"]),
        (Filter { dimension: Some((Dimension::Environment, "m".to_owned())), ..all() }, &[]),
        (Filter { score_min: Some(0.5), ..all() }, &["low", "high"]),
        (Filter { score_min: Some(0.5), metric: Some(metric("refusal")), ..all() }, &["high"]),
        (Filter { score_max: Some(0.2), ..all() }, &["low"]),
        (Filter { judge: Some(judge("gpt-4o")), ..all() }, &["low", "high"]),
        (Filter { judge: Some(judge("words")), score_min: Some(0.5), ..all() }, &["low"]),
        (Filter { to: Some(after(2)), ..all() }, &["high"]),
    ];
    for (filter, expected) in cases {
        let page = results.interactions(&filter).await.expect("listed");
        let found: Vec<_> = page.items.iter().map(|record| record.row.id.as_str()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let cases: Vec<(Filter, &[&str])> = vec![
        (all(), &["low", "high", "low"]),
        (Filter { metric: Some(metric("refusal")), ..all() }, &["low", "high"]),
        (Filter { judge: Some(judge("words")), ..all() }, &["low"]),
        (Filter { score_min: Some(0.3), score_max: Some(0.9), ..all() }, &["low"]),
        (Filter { dimension: Some((Dimension::Model, "m".to_owned())), ..all() }, &["high"]),
        (Filter { outcome: Some(Outcome::JudgeFailed), ..all() }, &[]),
        (Filter { outcome: Some(Outcome::Judged), from: Some(after(2)), ..all() }, &["low", "low"]),
    ];
    for (filter, expected) in cases {
        let page = results.verdicts(&filter).await.expect("listed");
        let found: Vec<_> = page.items.iter().map(|record| record.id.as_str()).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
}

async fn what_was_judged_is_listed_with_its_probability(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "judged").await;
    // Drawn at 0.1, in the second case narrowed to 0.02 by a later draw; `tone` is decided by free judges.
    let mut rows =
        [drawn("p", "b", after(2)), drawn("p", "a", after(1)), drawn("p", "failed", after(3)), row("p", "out", after(4))];
    for row in &mut rows {
        row.decisions.push(decision("tone", Some(0.9), 1.0, DecisionState::Closed(Outcome::Judged, None)));
    }
    results.fold(&entries(1, &rows)).await.expect("folded");
    results.fold(&entries(5, &[drawn("q", "a", after(1))])).await.expect("folded");
    let step = Step { tier: 2, judge: judge("gpt-4o"), conditional: 0.2, probability: 0.02, drawn: true, predictor: None };
    let late = Scored { steps: vec![step], ..judged(&rows[0], "refusal", 1.0) };
    results.record(&[late, judged(&rows[1], "refusal", 0.2), judge_failed(&rows[2], "refusal")]).await.expect("recorded");
    let query =
        |name: &str, limit| JudgedQuery { project: project("p"), metric: metric(name), from: after(0), to: after(9), limit };
    let listed = async |query: JudgedQuery| -> Vec<(String, f64, f64, bool)> {
        let found = results.judged(&query).await.expect("listed");
        found.into_iter().map(|one| (one.id.to_string(), one.score, one.probability, one.is_free)).collect()
    };
    let called = [("a".to_owned(), 0.2, 0.1, false), ("b".to_owned(), 1.0, 0.02, false)];
    assert_eq!(listed(query("refusal", 9)).await, called);
    assert_eq!(listed(query("refusal", 1)).await, called[..1]);
    assert_eq!(listed(JudgedQuery { from: after(2), ..query("refusal", 9) }).await, called[1..]);
    assert_eq!(listed(JudgedQuery { to: after(2), ..query("refusal", 9) }).await, called[..1]);
    // Of what free judges decide, the text is kept of what others drew: `out` has none.
    let free = ["a", "b", "failed"].map(|id| (id.to_owned(), 0.9, 0.1, true));
    assert_eq!(listed(query("tone", 9)).await, free);
    let one = results.judged(&query("refusal", 1)).await.expect("listed").remove(0);
    assert_eq!((one.key, one.time, one.at), (rows[1].key, after(1), judged(&rows[1], "refusal", 0.2).at));
    assert_eq!((one.version, one.policy), (rows[1].decisions[0].reference.clone(), rows[1].policy.clone()));
}
