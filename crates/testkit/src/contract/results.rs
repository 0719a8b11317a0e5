//! What every results store must do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use assize_core::queue::{Entry, Offset};
use assize_core::results::{DIMENSION_VALUES_MAX, Filter, OTHER, Outcomes, Results, Spend, SpendBy, Sums, SumsQuery};
use assize_core::{Accepted, DecisionState, Dimension, NanoUsd, Outcome, Reason, Scored, StoreErrorKind, Timestamp, TokenUsage};

use super::Opener;
use super::decided;
use super::listing::{self, everything};
use super::sums::{all_sums, by_key, expected_sums, mixed, same_sums};
use super::tiers;
use crate::samples::{
    MORNING, call, decision, drawn, entry, failed_call, id, interaction, judge, judge_failed, judged, metric, project, row,
    row_of, verdict, version,
};

const EVER: (Timestamp, Timestamp) = (Timestamp(i64::MIN), Timestamp(i64::MAX));

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Results>) {
    repeating_changes_nothing(opener).await;
    outcomes_add_up_at_every_step(opener).await;
    a_row_must_be_folded_before_it_is_scored(opener).await;
    calls_count_while_the_outcome_is_to_come(opener).await;
    what_is_on_record_is_told(opener).await;
    free_tiers_alone_leave_a_verdict(opener).await;
    edges_agree_with_whole_hours(opener).await;
    dimension_values_are_bounded(opener).await;
    a_dimension_that_comes_late_still_adds_up(opener).await;
    listing::run(opener).await;
    decided::run(opener).await;
    spend_is_split(opener).await;
    super::spend::run(opener).await;
    tiers::run(opener).await;
    projects_do_not_see_each_other(opener).await;
    absurd_numbers_do_no_harm(opener).await;
    super::bridge::run(opener).await;
}

pub(super) async fn open(opener: &dyn Opener<dyn Results>, data: &str) -> Arc<dyn Results> {
    opener.open(data).await.expect("the store opens")
}

/// The rows as entries with offsets from `first` on.
pub fn entries(first: u64, rows: &[Accepted]) -> Vec<(Offset, Entry)> {
    (first..).map(Offset).zip(rows.iter().cloned().map(entry)).collect()
}

pub(super) fn after(seconds: u64) -> Timestamp {
    MORNING.plus(Duration::from_secs(seconds))
}

async fn totals(results: &dyn Results) -> Sums {
    let mut total = Sums::default();
    for bucket in results.sums(&all_sums(None)).await.expect("sums") {
        total.add(&bucket.sums);
    }
    total
}

async fn outcomes(results: &dyn Results) -> Outcomes {
    results.outcomes(&project("p"), EVER.0, EVER.1).await.expect("outcomes")
}

fn count(outcomes: &Outcomes, metric_name: &str, outcome: Option<Outcome>) -> u64 {
    let of = |count: &&assize_core::results::OutcomeCount| count.metric == metric(metric_name) && count.outcome == outcome;
    outcomes.counts.iter().filter(of).map(|count| count.count).sum()
}

async fn repeating_changes_nothing(opener: &dyn Opener<dyn Results>) {
    let mut results = open(opener, "repeat").await;
    assert_eq!(results.folded().await.expect("read"), Offset(0));
    results.fold(&[]).await.expect("nothing is fine");
    results.record(&[]).await.expect("nothing is fine");
    let rows = [row("p", "a", MORNING), drawn("p", "b", MORNING), drawn("p", "c", after(1)), drawn("p", "d", after(2))];
    let folded = entries(1, &rows);
    let scored = [judged(&rows[1], "refusal", 1.0), judge_failed(&rows[2], "refusal")];
    let mut seen = None;
    for round in 0..3 {
        results.fold(&folded[..2]).await.expect("folded");
        results.fold(&folded).await.expect("folded, of which half is known");
        results.record(&scored).await.expect("recorded");
        // Another answer to what is settled, as a second worker may give after its lease has expired.
        let late = Scored { calls: Vec::new(), ..judged(&rows[2], "refusal", 0.5) };
        results.record(&[late]).await.expect("the first outcome stays");
        let state =
            (totals(&*results).await, outcomes(&*results).await, results.interactions(&everything()).await.expect("listed"));
        assert_eq!(state.0.population, 4);
        assert_eq!((state.0.drawn, state.0.judged, state.0.calls, state.0.cost_unknown), (3, 1, 2, 1));
        assert_eq!(state.0.cost, NanoUsd(5_750_000));
        assert_eq!(results.folded().await.expect("read"), Offset(4));
        assert_eq!(results.verdicts(&everything()).await.expect("listed").items.len(), 1);
        assert_eq!(*seen.get_or_insert_with(|| state.clone()), state, "round {round}");
        if opener.is_durable() {
            drop(results);
            results = open(opener, "repeat").await;
        }
    }
    // A key that the queue has forgotten comes again under a new offset: an interaction counts once.
    results.fold(&entries(5, &rows[..2])).await.expect("folded");
    assert_eq!(totals(&*results).await.population, 4);
    assert_eq!(outcomes(&*results).await.accepted, 4);
    assert_eq!(results.folded().await.expect("read"), Offset(6));
    let recorded = results.recorded(rows[1].key).await.expect("read");
    assert_eq!(recorded.accepted_at, Some(rows[1].accepted_at), "so that a late duplicate is known");
    assert_eq!(results.recorded(rows[1].key).await.expect("read").closed, [metric("refusal")]);
    assert!(results.recorded(rows[3].key).await.expect("read").closed.is_empty());
    assert!(results.recorded(rows[0].key).await.expect("read").closed.is_empty(), "decided at accept");
}

async fn outcomes_add_up_at_every_step(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "outcomes").await;
    let two = |name: &str, state: DecisionState| {
        let decisions = vec![decision("refusal", None, 0.1, DecisionState::Drawn), decision("tone", None, 0.5, state)];
        row_of("p", name, MORNING, decisions)
    };
    let no_content = DecisionState::Closed(Outcome::NoContent, None);
    let rows = [two("a", DecisionState::Drawn), two("b", no_content), row("p", "c", after(3_600)), drawn("p", "d", MORNING)];
    let check = async |step: &str| {
        let outcomes = outcomes(&*results).await;
        let sum = |name: &str| outcomes.counts.iter().filter(|c| c.metric == metric(name)).map(|c| c.count).sum::<u64>();
        let folded = results.folded().await.expect("read").0;
        assert_eq!(outcomes.accepted, folded, "{step}");
        assert_eq!(sum("refusal"), folded, "{step}: {outcomes:?}");
        assert_eq!(sum("tone"), folded.min(2), "{step}: {outcomes:?}");
        outcomes
    };
    for (offset, row) in (1..).zip(&rows) {
        results.fold(&entries(offset, std::slice::from_ref(row))).await.expect("folded");
        check("fold").await;
    }
    let pending = Scored { outcome: None, verdicts: Vec::new(), ..judge_failed(&rows[1], "refusal") };
    for scored in [judged(&rows[0], "refusal", 1.0), judge_failed(&rows[0], "tone"), pending, judge_failed(&rows[3], "refusal")] {
        results.record(&[scored]).await.expect("recorded");
        check("record").await;
    }
    let outcomes = check("end").await;
    assert_eq!(count(&outcomes, "refusal", Some(Outcome::Judged)), 1);
    assert_eq!(count(&outcomes, "refusal", Some(Outcome::NotSampled)), 1);
    assert_eq!(count(&outcomes, "refusal", Some(Outcome::JudgeFailed)), 1);
    assert_eq!(count(&outcomes, "refusal", None), 1);
    assert_eq!(count(&outcomes, "tone", Some(Outcome::NoContent)), 1);
    let failed = outcomes.counts.iter().find(|c| c.outcome == Some(Outcome::JudgeFailed)).expect("there");
    assert_eq!(failed.reason, "timeout");
    let first = results.outcomes(&project("p"), MORNING, after(3_600)).await.expect("outcomes");
    assert_eq!((first.accepted, count(&first, "refusal", Some(Outcome::NotSampled))), (3, 0));
    let empty = results.outcomes(&project("p"), MORNING, MORNING).await.expect("outcomes");
    assert_eq!(empty, Outcomes::default());
}

async fn a_row_must_be_folded_before_it_is_scored(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "order").await;
    let (a, b) = (drawn("p", "a", MORNING), drawn("p", "b", MORNING));
    results.fold(&entries(1, std::slice::from_ref(&a))).await.expect("folded");
    let error = results.record(&[judged(&a, "refusal", 1.0), judged(&b, "refusal", 1.0)]).await.expect_err("b is unknown");
    assert_eq!(error.kind, StoreErrorKind::Invalid);
    assert_eq!(totals(&*results).await.judged, 0, "all or nothing");
    for score in [7.0, -0.1, f64::NAN] {
        let error = results.record(&[judged(&a, "refusal", score)]).await.expect_err("not a score");
        assert_eq!(error.kind, StoreErrorKind::Invalid);
    }
    let error = results.record(&[Scored { verdicts: vec![], ..judged(&a, "refusal", 1.0) }]).await.expect_err("no verdict");
    assert_eq!(error.kind, StoreErrorKind::Invalid);
}

async fn calls_count_while_the_outcome_is_to_come(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "calls").await;
    let a = drawn("p", "a", MORNING);
    results.fold(&entries(1, std::slice::from_ref(&a))).await.expect("folded");
    let failed = failed_call("call-1", after(1));
    let first = Scored {
        outcome: None,
        verdicts: vec![verdict("mini", 0.25)],
        calls: vec![failed.clone()],
        ..judge_failed(&a, "refusal")
    };
    results.record(std::slice::from_ref(&first)).await.expect("recorded");
    let sums = totals(&*results).await;
    assert_eq!((sums.judged, sums.calls, sums.cost_unknown), (0, 1, 1));
    assert_eq!(count(&outcomes(&*results).await, "refusal", None), 1);
    assert!(results.recorded(a.key).await.expect("read").closed.is_empty());
    // The second try reports everything once more, and the answer.
    let answered = call("call-2", after(2));
    let second = Scored {
        verdicts: vec![verdict("mini", 0.75), verdict("gpt-4o", 1.0)],
        calls: vec![failed.clone(), answered.clone()],
        ..judged(&a, "refusal", 1.0)
    };
    results.record(&[second]).await.expect("recorded");
    let sums = totals(&*results).await;
    assert_eq!((sums.judged, sums.calls, sums.cost_unknown, sums.cost), (1, 2, 1, NanoUsd(5_750_000)));
    let record = results.interaction(&project("p"), &id("a")).await.expect("read").expect("there");
    assert_eq!(record.metrics[0].calls, [failed, answered]);
    assert_eq!(record.metrics[0].verdicts, [verdict("mini", 0.25), verdict("gpt-4o", 1.0)], "the reference's is last");
    let listed = results.verdicts(&everything()).await.expect("listed").items;
    assert_eq!(listed.iter().map(|v| (v.verdict.score, v.is_reference)).collect::<Vec<_>>(), [(1.0, true), (0.25, false)]);
    // A call after the outcome, of a worker whose lease had expired: the money counts.
    let late = Scored { calls: vec![call("call-3", after(3))], ..judged(&a, "refusal", 0.0) };
    results.record(&[late]).await.expect("recorded");
    let sums = totals(&*results).await;
    assert_eq!((sums.judged, sums.positives, sums.calls, sums.cost), (1, 1, 3, NanoUsd(11_500_000)));
}

async fn what_is_on_record_is_told(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "record").await;
    let mut a = drawn("p", "ä/1", MORNING);
    a.dimensions = vec![(Dimension::Model, "gpt".to_owned()), (Dimension::Tag("team".to_owned()), "x".to_owned())];
    a.decisions.push(decision(
        "tone",
        Some(0.3),
        0.0,
        DecisionState::Closed(Outcome::NotSampled, Some(Reason::new("only", "m"))),
    ));
    let b = row("p", "b", MORNING);
    results.fold(&entries(1, &[a.clone(), b.clone()])).await.expect("folded");
    let record = results.interaction(&project("p"), &id("ä/1")).await.expect("read").expect("there");
    assert_eq!(record.row, a);
    assert_eq!(record.payload, Some(interaction("p", "ä/1", MORNING)));
    assert_eq!(record.metrics.len(), 2);
    assert_eq!((record.metrics[0].outcome, &record.metrics[0].reason), (None, &None));
    assert_eq!(record.metrics[0].decision, a.decisions[0]);
    assert_eq!(record.metrics[1].outcome, Some(Outcome::NotSampled));
    assert_eq!(record.metrics[1].reason, Some(Reason::new("only", "m")));
    let scored = judge_failed(&a, "refusal");
    results.record(std::slice::from_ref(&scored)).await.expect("recorded");
    let record = results.interaction(&project("p"), &id("ä/1")).await.expect("read").expect("there");
    assert_eq!((record.metrics[0].outcome, record.metrics[0].reason.clone()), (Some(Outcome::JudgeFailed), scored.reason));
    assert_eq!(record.metrics[0].calls, scored.calls);
    let record = results.interaction(&project("p"), &id("b")).await.expect("read").expect("there");
    assert_eq!((record.row, record.payload), (b, None));
    assert_eq!(results.interaction(&project("p"), &id("c")).await.expect("read"), None);
    assert_eq!(results.interaction(&project("q"), &id("b")).await.expect("read"), None);
}

async fn free_tiers_alone_leave_a_verdict(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "free").await;
    let mut free = decision("refusal", Some(1.0), 1.0, DecisionState::Closed(Outcome::Judged, None));
    free.reference = version("words");
    let a = row_of("p", "a", MORNING, vec![free]);
    results.fold(&entries(1, std::slice::from_ref(&a))).await.expect("folded");
    let sums = totals(&*results).await;
    assert_eq!((sums.judged, sums.positives, sums.calls, sums.max_w), (1, 1, 0, 1.0));
    let listed = results.verdicts(&everything()).await.expect("listed").items;
    assert_eq!(listed.len(), 1);
    assert!(listed[0].is_reference);
    assert_eq!((&listed[0].verdict.judge, &listed[0].verdict.version), (&judge("words"), &version("words")));
    assert_eq!((listed[0].verdict.score, listed[0].verdict.cost, listed[0].at), (1.0, Some(NanoUsd(0)), MORNING));
    let record = results.interaction(&project("p"), &id("a")).await.expect("read").expect("there");
    assert_eq!(record.metrics[0].outcome, Some(Outcome::Judged));
    assert!(record.metrics[0].verdicts.is_empty(), "no tier was called");
}

async fn edges_agree_with_whole_hours(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "edges").await;
    let (rows, scored) = mixed(400);
    for (position, rows) in rows.chunks(50).enumerate() {
        results.fold(&entries(position as u64 * 50 + 1, rows)).await.expect("folded");
    }
    for scored in scored.chunks(30) {
        results.record(scored).await.expect("recorded");
    }
    let hour = 3_600;
    let ranges = [
        EVER,
        (MORNING, after(4 * hour)),
        (after(1_000), after(2 * hour + 17)),
        (after(hour), after(2 * hour)),
        (after(hour + 1), after(2 * hour - 1)),
        (after(1_800), after(hour + 1_800)),
        (after(1_800), after(hour)),
        (after(hour), after(hour + 1)),
        (after(100), after(100)),
        (after(200), after(100)),
    ];
    for (from, to) in ranges {
        for by in [None, Some(Dimension::Model), Some(Dimension::Environment)] {
            let query = SumsQuery { from, to, ..all_sums(by) };
            let found = by_key(results.sums(&query).await.expect("sums"));
            let expected = expected_sums(&rows, &scored, &query);
            assert!(same_sums(&found, &expected), "{query:?}\nfound {found:#?}\nexpected {expected:#?}");
        }
    }
}

async fn dimension_values_are_bounded(opener: &dyn Opener<dyn Results>) {
    let mut results = open(opener, "bounded").await;
    let tag = Dimension::Tag("user".to_owned());
    let with = |i: usize| {
        let mut row = row("p", &i.to_string(), after(i as u64 % 60));
        row.dimensions.push((tag.clone(), format!("user-{i}")));
        row
    };
    let rows: Vec<Accepted> = (0..DIMENSION_VALUES_MAX + 20).map(with).collect();
    for (position, rows) in rows.chunks(600).enumerate() {
        results.fold(&entries(position as u64 * 600 + 1, rows)).await.expect("folded");
        if opener.is_durable() {
            drop(results);
            results = open(opener, "bounded").await;
        }
    }
    // Whole hour and part of the hour agree on who is `other`.
    for to in [after(3_600), after(3_599)] {
        let query = SumsQuery { to, ..all_sums(Some(tag.clone())) };
        let groups: BTreeMap<String, u64> =
            results.sums(&query).await.expect("sums").into_iter().map(|bucket| (bucket.group, bucket.sums.population)).collect();
        assert_eq!(groups.len(), DIMENSION_VALUES_MAX + 1);
        assert_eq!(groups[OTHER], 20);
    }
    let record = results.interaction(&project("p"), &id("1010")).await.expect("read").expect("there");
    assert_eq!(record.row.dimensions, [(tag.clone(), OTHER.to_owned())]);
    let listed =
        results.interactions(&Filter { dimension: Some((tag, OTHER.to_owned())), ..everything() }).await.expect("listed");
    assert_eq!(listed.items.len(), 20);
}

async fn a_dimension_that_comes_late_still_adds_up(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "late").await;
    let early = drawn("p", "a", MORNING);
    results.fold(&entries(1, std::slice::from_ref(&early))).await.expect("folded");
    let mut late = drawn("p", "b", after(3_600));
    late.dimensions.push((Dimension::Environment, "prod".to_owned()));
    results.fold(&entries(2, std::slice::from_ref(&late))).await.expect("folded");
    let (rows, scored) = (vec![early.clone(), late.clone()], vec![judged(&early, "refusal", 1.0), judged(&late, "refusal", 0.0)]);
    results.record(&scored).await.expect("recorded");
    for by in [Some(Dimension::Environment), None] {
        let query = all_sums(by);
        let found = by_key(results.sums(&query).await.expect("sums"));
        assert!(same_sums(&found, &expected_sums(&rows, &scored, &query)), "{found:#?}");
    }
}

async fn spend_is_split(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "spend").await;
    let decisions = |_| ["refusal", "tone"].map(|name| decision(name, None, 1.0, DecisionState::Drawn)).to_vec();
    let rows: Vec<Accepted> = (0..3_u64).map(|i| row_of("p", &i.to_string(), after(i), decisions(i))).collect();
    results.fold(&entries(1, &rows)).await.expect("folded");
    let mut scored = vec![judged(&rows[0], "refusal", 1.0), judge_failed(&rows[1], "refusal"), judged(&rows[2], "tone", 0.0)];
    scored[2].calls[0].at = after(86_400);
    scored[2].calls[0].judge = judge("mini");
    scored[2].calls[0].model = "gpt-4o-mini".to_owned();
    results.record(&scored).await.expect("recorded");
    let split = async |by, (from, to)| results.spend(&project("p"), from, to, by).await.expect("spend");
    let cost = NanoUsd(5_750_000);
    // What is on record without its list cost counts with its cost.
    let (live, uncached) = (cost, cost);
    let one = Spend { calls: 1, questions: 1, cost, live, uncached, input_tokens: 1000, output_tokens: 50, ..Spend::default() };
    let two = Spend { calls: 2, questions: 2, failed: 1, cost_unknown: 1, ..one.clone() };
    let pair = |a: &str, b: &str| BTreeMap::from([(a.to_owned(), two.clone()), (b.to_owned(), one.clone())]);
    assert_eq!(split(SpendBy::Metric, EVER).await, pair("refusal", "tone"));
    assert_eq!(split(SpendBy::Judge, EVER).await, pair("gpt-4o", "mini"));
    assert_eq!(split(SpendBy::Model, EVER).await, pair("gpt-4o-2024-05-13", "gpt-4o-mini"));
    assert_eq!(split(SpendBy::Hour, EVER).await, pair("2026-11-24T08:00:00Z", "2026-11-25T08:00:00Z"));
    assert_eq!(split(SpendBy::Day, EVER).await, pair("2026-11-24", "2026-11-25"));
    let total = split(SpendBy::Total, EVER).await;
    assert_eq!((total.len(), total[""].calls, total[""].cost, total[""].input_tokens), (1, 3, NanoUsd(11_500_000), 2000));
    assert_eq!(split(SpendBy::Total, (MORNING, after(3_600))).await, BTreeMap::from([(String::new(), two.clone())]));
    assert!(split(SpendBy::Total, (MORNING, MORNING)).await.is_empty());
}

async fn projects_do_not_see_each_other(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "projects").await;
    let theirs = drawn("q", "a", MORNING);
    results.fold(&entries(1, std::slice::from_ref(&theirs))).await.expect("folded");
    results.record(&[judged(&theirs, "refusal", 1.0)]).await.expect("recorded");
    assert!(results.sums(&all_sums(None)).await.expect("sums").is_empty());
    let part = SumsQuery { from: after(0), to: after(10), ..all_sums(None) };
    assert!(results.sums(&part).await.expect("sums").is_empty());
    assert_eq!(outcomes(&*results).await, Outcomes::default());
    assert!(results.interactions(&everything()).await.expect("listed").items.is_empty());
    assert!(results.verdicts(&everything()).await.expect("listed").items.is_empty());
    assert!(results.spend(&project("p"), EVER.0, EVER.1, SpendBy::Total).await.expect("spend").is_empty());
}

async fn absurd_numbers_do_no_harm(opener: &dyn Opener<dyn Results>) {
    let results = open(opener, "absurd").await;
    let rows = ["a", "b"].map(|name| drawn("p", name, MORNING));
    results.fold(&entries(1, &rows)).await.expect("folded");
    for row in &rows {
        let mut scored = judged(row, "refusal", 1.0);
        scored.calls[0].cost = Some(NanoUsd(u64::MAX));
        scored.calls[0].usage =
            Some(TokenUsage { input: u64::MAX, output: u64::MAX, cached_input: u64::MAX, ..TokenUsage::default() });
        scored.calls[0].latency_ms = u64::MAX;
        results.record(&[scored]).await.expect("recorded");
    }
    let sums = totals(&*results).await;
    assert_eq!((sums.judged, sums.calls), (2, 2));
    assert!(sums.cost.0 >= i64::MAX as u64);
    let spend = results.spend(&project("p"), EVER.0, EVER.1, SpendBy::Total).await.expect("spend");
    assert!(spend[""].cost.0 >= i64::MAX as u64 && spend[""].input_tokens >= i64::MAX as u64);
}
