//! What every results store must do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use assize_core::queue::{Entry, Offset};
use assize_core::results::{DIMENSION_VALUES_MAX, Filter, OTHER, Outcomes, Results, Spend, SpendBy, Sums, SumsBucket, SumsQuery};
use assize_core::{Accepted, DecisionState, Dimension, NanoUsd, Outcome, Reason, Scored, StoreErrorKind, Timestamp, TokenUsage};

use super::Opener;
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
    interactions_are_listed_newest_first(opener).await;
    verdicts_are_listed_newest_first(opener).await;
    filters_find_what_they_say(opener).await;
    spend_is_split(opener).await;
    projects_do_not_see_each_other(opener).await;
    absurd_numbers_do_no_harm(opener).await;
}

async fn open(opener: &dyn Opener<dyn Results>, data: &str) -> Arc<dyn Results> {
    opener.open(data).await.expect("the store opens")
}

/// The rows as entries with offsets from `first` on.
pub fn entries(first: u64, rows: &[Accepted]) -> Vec<(Offset, Entry)> {
    (first..).map(Offset).zip(rows.iter().cloned().map(entry)).collect()
}

fn after(seconds: u64) -> Timestamp {
    MORNING.plus(Duration::from_secs(seconds))
}

/// A query of everything on the metric `refusal` of project `p`.
pub fn all_sums(by: Option<Dimension>) -> SumsQuery {
    SumsQuery { project: project("p"), metric: metric("refusal"), from: EVER.0, to: EVER.1, by }
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

/// Buckets by hour, group and reference version.
pub fn by_key(buckets: Vec<SumsBucket>) -> BTreeMap<(i64, String, String), Sums> {
    let mut map = BTreeMap::new();
    for SumsBucket { group, hour, reference, sums } in buckets {
        let before = map.insert((hour.0, group, reference.as_str().to_owned()), sums);
        assert_eq!(before, None, "one bucket for each hour, group and version");
    }
    map
}

/// Whether two sums agree: counts and money exactly, the rest but for the order of additions.
pub fn agree(a: &Sums, b: &Sums) -> bool {
    let reals = |s: &Sums| [vec![s.g, s.gg, s.drawn_w, s.max_w], s.w.to_vec(), s.q.to_vec()].concat();
    let counts = |s: &Sums| Sums { g: 0.0, gg: 0.0, drawn_w: 0.0, max_w: 0.0, w: [0.0; 6], q: [0.0; 6], ..*s };
    let close = |(x, y): (f64, f64)| (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0);
    counts(a) == counts(b) && reals(a).into_iter().zip(reals(b)).all(close)
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
    assert_eq!(results.recorded(rows[1].key).await.expect("read"), [metric("refusal")]);
    assert!(results.recorded(rows[3].key).await.expect("read").is_empty());
    assert!(results.recorded(rows[0].key).await.expect("read").is_empty(), "decided at accept");
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
    assert!(results.recorded(a.key).await.expect("read").is_empty());
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

/// Rows of two days' hours, models and states, with their scores; deterministic.
pub fn mixed(count: u64) -> (Vec<Accepted>, Vec<Scored>) {
    let (mut rows, mut scored) = (Vec::new(), Vec::new());
    for i in 0..count {
        // A cheap spread over the hour and over everything else.
        let pick = |of: u64, salt: u64| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(salt as u32 * 7) % of;
        let g = pick(101, 1) as f64 / 100.0;
        let pi = [0.1, 0.3, 0.7, 1.0][pick(4, 2) as usize];
        let (probability, state) = match pick(6, 3) {
            0 => (pi, DecisionState::Closed(Outcome::NotSampled, Some(Reason::new("draw", "left out")))),
            1 => (0.0, DecisionState::Closed(Outcome::NotSampled, Some(Reason::new("only", "outside")))),
            2 => (1.0, DecisionState::Closed(Outcome::NoContent, None)),
            3 => (1.0, DecisionState::Closed(Outcome::Judged, None)),
            _ => (pi, DecisionState::Drawn),
        };
        let time = Timestamp(MORNING.0 + pick(4 * 3_600_000, 4) as i64);
        let mut decision = decision("refusal", (pick(5, 5) > 0).then_some(g), probability, state);
        if pick(7, 6) == 0 {
            decision.reference = version("gpt-5");
        }
        let mut row = row_of("p", &i.to_string(), time, vec![decision]);
        if pick(3, 7) > 0 {
            row.dimensions.push((Dimension::Model, format!("model-{}", pick(3, 8))));
        }
        if row.is_drawn() {
            match pick(5, 9) {
                0 => {}
                1 => scored.push(judge_failed(&row, "refusal")),
                2 => scored.push(Scored { outcome: None, verdicts: vec![], ..judge_failed(&row, "refusal") }),
                _ => scored.push(judged(&row, "refusal", pick(101, 10) as f64 / 100.0)),
            }
        }
        rows.push(row);
    }
    (rows, scored)
}

/// Sums of `[from, to)` computed from the rows alone, as the definition says.
pub fn expected_sums(rows: &[Accepted], scored: &[Scored], query: &SumsQuery) -> BTreeMap<(i64, String, String), Sums> {
    let mut expected: BTreeMap<_, Sums> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.time >= query.from && row.time < query.to && row.project == query.project) {
        let Some(decision) = row.decision(&query.metric) else { continue };
        let mut sums = Sums::of_accepted(decision);
        for scored in scored.iter().filter(|scored| scored.row.key == row.key && scored.metric == query.metric) {
            sums.add(&Sums::of_calls(&scored.calls));
            if scored.outcome == Some(Outcome::Judged) {
                sums.add(&Sums::of_judged(decision, scored.verdicts.last().expect("a verdict").score));
            }
        }
        let value = query.by.as_ref().and_then(|by| row.dimensions.iter().find(|(dimension, _)| dimension == by));
        let group = value.map(|(_, value)| value.clone()).unwrap_or_default();
        expected.entry((row.time.hour().0, group, decision.reference.as_str().to_owned())).or_default().add(&sums);
    }
    expected
}

/// Whether the store's answer is what the rows say.
pub fn same_sums(found: &BTreeMap<(i64, String, String), Sums>, expected: &BTreeMap<(i64, String, String), Sums>) -> bool {
    found.len() == expected.len() && found.iter().all(|(key, sums)| expected.get(key).is_some_and(|other| agree(sums, other)))
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
    let one = Spend { calls: 1, cost: NanoUsd(5_750_000), input_tokens: 1000, output_tokens: 50, ..Spend::default() };
    let two = Spend { calls: 2, failed: 1, cost_unknown: 1, ..one.clone() };
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
        scored.calls[0].usage = Some(TokenUsage { input: u64::MAX, output: u64::MAX, cached_input: u64::MAX });
        scored.calls[0].latency_ms = u64::MAX;
        results.record(&[scored]).await.expect("recorded");
    }
    let sums = totals(&*results).await;
    assert_eq!((sums.judged, sums.calls), (2, 2));
    assert!(sums.cost.0 >= i64::MAX as u64);
    let spend = results.spend(&project("p"), EVER.0, EVER.1, SpendBy::Total).await.expect("spend");
    assert!(spend[""].cost.0 >= i64::MAX as u64 && spend[""].input_tokens >= i64::MAX as u64);
}
