//! What the feed of a results store must do.

use assize_core::decided::{Decided, DecidedPage, DecidedQuery, RESPONSE_ID};
use assize_core::results::Results;
use assize_core::{DecisionState, Outcome, Reason, ReuseKind, Reused, Scored, Step};

use super::Opener;
use super::results::{entries, open};
use crate::samples::{
    MORNING, decision, drawn, interaction, judge, judge_failed, judged, metric, project, row, row_of, verdict, version,
};

/// Runs the part of the suite that is about the feed.
pub(super) async fn run(opener: &dyn Opener<dyn Results>) {
    each_is_told_once_and_in_order(opener).await;
    parts_are_told(opener).await;
    what_counts_is_told(opener).await;
    the_answers_own_id_is_told(opener).await;
}

fn from(after: u64, limit: usize) -> DecidedQuery {
    DecidedQuery { after, projects: Vec::new(), metrics: Vec::new(), limit }
}

async fn all(results: &dyn Results) -> Vec<Decided> {
    let page = results.decided_after(&from(0, 1_000)).await.expect("read");
    assert!(page.is_end);
    page.items
}

fn ids(items: &[Decided]) -> Vec<&str> {
    items.iter().map(|decided| decided.id.as_str()).collect()
}

async fn each_is_told_once_and_in_order(opener: &dyn Opener<dyn Results>) {
    let mut results = open(opener, "feed").await;
    assert_eq!(results.decided_last().await.expect("read"), 0);
    let empty = DecidedPage { items: Vec::new(), up_to: 9, is_end: true };
    assert_eq!(results.decided_after(&from(9, 5)).await.expect("read"), empty);
    let rows = ["a", "b", "c", "d"].map(|id| drawn("p", id, MORNING));
    let folded = entries(1, &[&rows[..], &[row("p", "left-out", MORNING)]].concat());
    results.fold(&folded).await.expect("folded");
    assert!(all(&*results).await.is_empty(), "nothing is decided yet");
    let not_sampled = Scored { outcome: Some(Outcome::NotSampled), verdicts: Vec::new(), ..judged(&rows[3], "refusal", 0.0) };
    for scored in
        [judged(&rows[1], "refusal", 1.0), judge_failed(&rows[0], "refusal"), not_sampled, judged(&rows[2], "refusal", 0.0)]
    {
        results.record(std::slice::from_ref(&scored)).await.expect("recorded");
    }
    let told = all(&*results).await;
    assert_eq!(ids(&told), ["b", "a", "c"], "in order of recording, and of what somebody was asked about");
    assert!(told.is_sorted_by(|a, b| a.seq < b.seq));
    assert_eq!(results.decided_last().await.expect("read"), told[2].seq);
    // Repeating tells nothing again.
    results.fold(&folded).await.expect("folded");
    results.record(&[judged(&rows[1], "refusal", 0.5), judged(&rows[0], "refusal", 0.5)]).await.expect("recorded");
    assert_eq!(all(&*results).await, told);
    if opener.is_durable() {
        drop(results);
        results = open(opener, "feed").await;
        assert_eq!(all(&*results).await, told);
    }
    let last = drawn("p", "e", MORNING);
    results.fold(&entries(9, std::slice::from_ref(&last))).await.expect("folded");
    results.record(&[judged(&last, "refusal", 1.0)]).await.expect("recorded");
    let news = results.decided_after(&from(told[2].seq, 1_000)).await.expect("read");
    assert_eq!(ids(&news.items), ["e"]);
}

async fn parts_are_told(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "parts").await;
    let rows: Vec<_> = (0..10).map(|i| drawn(["p", "q"][i % 2], &format!("i-{i}"), MORNING)).collect();
    results.fold(&entries(1, &rows)).await.expect("folded");
    let scored: Vec<_> = rows.iter().map(|row| judged(row, "refusal", 1.0)).collect();
    results.record(&scored).await.expect("recorded");
    for (query, expected) in [
        (from(0, 4), 10),
        (DecidedQuery { projects: vec![project("q")], ..from(0, 2) }, 5),
        (DecidedQuery { projects: vec![project("q"), project("p")], metrics: vec![metric("refusal")], ..from(0, 3) }, 10),
        (DecidedQuery { metrics: vec![metric("toxicity")], ..from(0, 3) }, 0),
    ] {
        let (mut found, mut next) = (Vec::new(), query.clone());
        loop {
            let page = results.decided_after(&next).await.expect("read");
            assert!(page.items.len() <= query.limit && page.up_to >= next.after);
            assert!(page.items.iter().all(|decided| decided.seq > next.after && decided.seq <= page.up_to));
            found.extend(page.items);
            if page.is_end {
                break;
            }
            next.after = page.up_to;
        }
        assert_eq!(found.len(), expected, "{query:?}");
        assert!(found.is_sorted_by(|a, b| a.seq < b.seq));
        assert!(query.projects.is_empty() || found.iter().all(|decided| query.projects.contains(&decided.project)));
        assert_eq!(next.after.max(results.decided_last().await.expect("read")), results.decided_last().await.expect("read"));
    }
}

async fn what_counts_is_told(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "counts").await;
    let mut free = decision("refusal", Some(1.0), 1.0, DecisionState::Closed(Outcome::Judged, None));
    free.reference = version("words");
    let mut rows = vec![row_of("p", "free", MORNING, vec![free])];
    rows.extend(["tiers", "exact", "similar", "fallback", "failed"].map(|id| drawn("p", id, MORNING)));
    results.fold(&entries(1, &rows)).await.expect("folded");
    let reused = |kind| Some(Reused { kind, saved: None });
    let of = |at: usize| judged(&rows[at], "refusal", 1.0);
    let [exact, similar] = [ReuseKind::Exact, ReuseKind::Similar]
        .map(|kind| assize_core::Verdict { reused: reused(kind), ..verdict("gpt-4o", 0.75) });
    let failed = |at: usize, code: &'static str, verdicts| Scored {
        outcome: Some(Outcome::JudgeFailed),
        reason: Some(Reason::new(code, "what happened")),
        verdicts,
        ..of(at)
    };
    let step = Step { tier: 2, judge: judge("gpt-4o"), conditional: 0.5, probability: 0.05, drawn: true, predictor: None };
    let verdicts = vec![verdict("mini", 0.25), verdict("gpt-4o", 0.5)];
    results
        .record(&[
            Scored { verdicts, steps: vec![step], ..of(1) },
            Scored { outcome: Some(Outcome::Reused), verdicts: vec![exact], ..of(2) },
            Scored { outcome: Some(Outcome::Reused), verdicts: vec![verdict("mini", 0.25), similar], ..of(3) },
            failed(4, "fallback", vec![verdict("mini", 0.25), verdict("other", 0.125)]),
            failed(5, "timeout", vec![verdict("mini", 0.25)]),
        ])
        .await
        .expect("recorded");
    let told = all(&*results).await;
    let said: Vec<_> = told
        .iter()
        .map(|decided| {
            let verdict = decided.verdict.as_ref().map(|verdict| (verdict.judge.as_str(), verdict.score));
            (decided.id.as_str(), decided.outcome, verdict, decided.is_fallback, decided.probability)
        })
        .collect();
    assert_eq!(
        said,
        [
            ("free", Outcome::Judged, Some(("words", 1.0)), false, 1.0),
            ("tiers", Outcome::Judged, Some(("gpt-4o", 0.5)), false, 0.05),
            ("exact", Outcome::Reused, Some(("gpt-4o", 0.75)), false, 0.1),
            ("similar", Outcome::Reused, Some(("gpt-4o", 0.75)), false, 0.1),
            ("fallback", Outcome::JudgeFailed, Some(("other", 0.125)), true, 0.1),
            ("failed", Outcome::JudgeFailed, None, false, 0.1),
        ]
    );
    assert_eq!(told[5].reason, Some(Reason::new("timeout", "what happened")));
    assert_eq!((told[5].version(), told[4].version()), (&version("gpt-4o"), &version("other")));
    assert_eq!((told[1].at, told[0].at, told[1].time), (of(1).at, MORNING, MORNING));
}

async fn the_answers_own_id_is_told(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "own-id").await;
    let rows = ["tagged", "plain"].map(|id| drawn("p", id, MORNING));
    let mut folded = entries(1, &rows);
    let mut tagged = interaction("p", "tagged", MORNING);
    tagged.tags.insert(RESPONSE_ID.to_owned(), "chatcmpl-1".to_owned());
    folded[0].1.payload = Some(serde_json::to_vec(&tagged).expect("an interaction is valid JSON"));
    results.fold(&folded).await.expect("folded");
    results.record(&rows.map(|row| judged(&row, "refusal", 1.0))).await.expect("recorded");
    let told: Vec<_> = all(&*results).await.into_iter().map(|decided| decided.response_id).collect();
    assert_eq!(told, [Some("chatcmpl-1".to_owned()), None]);
}
