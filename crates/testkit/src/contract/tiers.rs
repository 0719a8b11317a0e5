//! What every results store must keep of cascades: draws between tiers, verdicts used again, calls that carried several questions.

use std::collections::BTreeMap;

use assize_core::results::{Results, ReuseAudit, SpendBy, SumsQuery};
use assize_core::{Decision, DecisionState, NanoUsd, Outcome, Part, ReuseKind, Reused, Scored, Step, Timestamp, TokenUsage};

use super::Opener;
use super::results::entries;
use crate::samples::{MORNING, call, decision, judge, judged, metric, project, row_of, verdict, version};

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Results>) {
    steps_are_final_and_cells_learn(opener).await;
    a_packed_call_counts_once(opener).await;
    reuse_is_counted_and_audited(opener).await;
}

fn step(drawn: bool) -> Step {
    Step { tier: 2, judge: judge("gpt-4o"), conditional: 0.5, probability: 0.25, drawn, predictor: Some((judge("mini"), 0.55)) }
}

fn two_tiers(metric_name: &str) -> Decision {
    Decision { probability: 0.5, ..decision(metric_name, Some(0.05), 0.5, DecisionState::Drawn) }
}

async fn steps_are_final_and_cells_learn(opener: &dyn Opener<dyn Results>) {
    let results = opener.open("steps").await.expect("results open");
    let row = row_of("p", "a", MORNING, vec![two_tiers("refusal")]);
    results.fold(&entries(1, std::slice::from_ref(&row))).await.expect("folded");
    let base = judged(&row, "refusal", 1.0);
    let cheap = Scored {
        outcome: None,
        verdicts: vec![verdict("mini", 0.55)],
        steps: vec![step(true)],
        calls: vec![call("c1", base.at)],
        ..base.clone()
    };
    results.record(std::slice::from_ref(&cheap)).await.expect("recorded");
    let recorded = results.recorded(row.key).await.expect("recorded");
    assert_eq!(recorded.steps, [(metric("refusal"), step(true))], "a draw is on record before the next judge is asked");
    assert!(recorded.closed.is_empty() && recorded.verdicts.len() == 1);

    let other = Step { drawn: false, probability: 0.1, ..step(true) };
    let last = Scored { steps: vec![other], calls: vec![call("c2", base.at)], ..base.clone() };
    for _ in 0..2 {
        results.record(std::slice::from_ref(&last)).await.expect("recorded");
    }
    for probability in [0.0, 1.5, f64::NAN] {
        let impossible = Scored { steps: vec![Step { tier: 1, probability, ..step(true) }], ..base.clone() };
        assert!(results.record(&[impossible]).await.is_err(), "{probability} is no probability of a draw");
    }
    let found = results.interaction(&project("p"), &row.id).await.expect("read").expect("on record");
    assert_eq!(
        (found.metrics[0].outcome, &found.metrics[0].steps),
        (Some(Outcome::Judged), &vec![step(true)]),
        "the first stays"
    );
    assert_eq!(found.metrics[0].verdicts.iter().map(|verdict| verdict.judge.as_str()).collect::<Vec<_>>(), ["mini", "gpt-4o"]);

    let cells = results.cells(&project("p"), Timestamp(0)).await.expect("cells");
    let cells: BTreeMap<(&str, u8), _> =
        cells.iter().map(|bucket| ((bucket.predictor.as_str(), bucket.bin), &bucket.cell)).collect();
    let (free, called) = (cells[&("words", 0)], cells[&("mini", 5)]);
    assert_eq!((free.population, free.judged, free.w, free.wh), (1.0, 1, 4.0, 4.0));
    assert_eq!((called.population, called.judged, called.w, called.wh), (2.0, 1, 4.0, 4.0), "mini saw half of the traffic");
    assert!(results.cells(&project("p"), Timestamp(MORNING.0 + 7_200_000)).await.expect("cells").is_empty());
    assert!(results.cells(&project("q"), Timestamp(0)).await.expect("cells").is_empty());
}

async fn a_packed_call_counts_once(opener: &dyn Opener<dyn Results>) {
    let results = opener.open("packed").await.expect("results open");
    let decisions = ["refusal", "tone"].map(|name| decision(name, None, 1.0, DecisionState::Drawn)).to_vec();
    let row = row_of("p", "a", MORNING, decisions);
    results.fold(&entries(1, std::slice::from_ref(&row))).await.expect("folded");
    let cost = NanoUsd(1_000_001).split(2);
    let usage = TokenUsage { input: 101, output: 11, cached_input: 7, cache_write: 3 }.split(2);
    let of = |name: &str, at: usize| {
        let one = judged(&row, name, 1.0);
        let part = Part { at: at as u16, of: 2 };
        let call = assize_core::CallRecord { part, cost: Some(cost[at]), usage: Some(usage[at]), ..call("shared", one.at) };
        Scored { calls: vec![call], ..one }
    };
    let both = [of("refusal", 0), of("tone", 1)];
    for _ in 0..2 {
        results.record(&both).await.expect("recorded");
    }
    let ever = (Timestamp(i64::MIN), Timestamp(i64::MAX));
    let spend = results.spend(&project("p"), ever.0, ever.1, SpendBy::Total).await.expect("spend").remove("").expect("spent");
    assert_eq!((spend.calls, spend.questions, spend.cost), (1, 2, NanoUsd(1_000_001)));
    let tokens = (spend.input_tokens, spend.output_tokens, spend.cached_input_tokens, spend.cache_write_tokens);
    assert_eq!(tokens, (101, 11, 7, 3), "parts add up to the call");
    // Whole hours, and a part of one.
    for to in [ever.1, Timestamp(MORNING.0 + 60_000)] {
        let mut sums = Vec::new();
        for name in ["refusal", "tone"] {
            let query = SumsQuery { project: project("p"), metric: metric(name), from: ever.0, to, by: None };
            let found = results.sums(&query).await.expect("sums").remove(0).sums;
            sums.push((found.calls, found.cost, found.cost_unknown));
        }
        assert_eq!(sums, [(1, cost[0], 0), (0, cost[1], 0)], "totals over metrics are the calls made");
    }
    let found = results.interaction(&project("p"), &row.id).await.expect("read").expect("on record");
    assert_eq!(found.metrics[1].calls[0].part, Part { at: 1, of: 2 });
    assert_eq!(found.metrics[1].calls[0].usage, Some(usage[1]));
}

async fn reuse_is_counted_and_audited(opener: &dyn Opener<dyn Results>) {
    let results = opener.open("reuse").await.expect("results open");
    let rows: Vec<_> = ["exact", "similar", "right", "wrong"]
        .map(|id| row_of("p", id, MORNING, vec![decision("refusal", None, 1.0, DecisionState::Drawn)]))
        .to_vec();
    results.fold(&entries(1, &rows)).await.expect("folded");
    let again = |kind, score| {
        let judge_name = if kind == ReuseKind::Exact { "gpt-4o" } else { "near" };
        let reused = Some(Reused { kind, saved: Some(NanoUsd(500)) });
        assize_core::Verdict { reused, cost: Some(NanoUsd::ZERO), usage: None, ..verdict(judge_name, score) }
    };
    let reused = |row, kind| {
        let one = judged(row, "refusal", 1.0);
        Scored { outcome: Some(Outcome::Reused), verdicts: vec![again(kind, 1.0)], calls: Vec::new(), ..one }
    };
    let audited = |row, real| {
        let one = judged(row, "refusal", real);
        let verdicts = vec![again(ReuseKind::Similar, 1.0), verdict("gpt-4o", real)];
        Scored { verdicts, ..one }
    };
    let all = [
        reused(&rows[0], ReuseKind::Exact),
        reused(&rows[1], ReuseKind::Similar),
        audited(&rows[2], 0.75),
        audited(&rows[3], 0.0),
    ];
    results.record(&all).await.expect("recorded");
    let audits = results.reuse_audits(&project("p")).await.expect("audits");
    assert_eq!(audits, [ReuseAudit { metric: metric("refusal"), version: version("near"), judged: 2, errors: 1 }]);
    assert!(results.reuse_audits(&project("q")).await.expect("audits").is_empty());
    let spend = results.spend(&project("p"), Timestamp(0), Timestamp(i64::MAX), SpendBy::Total).await.expect("spend");
    assert_eq!((spend[""].reused, spend[""].saved, spend[""].calls), (4, NanoUsd(2_000), 2));
    let sums = results.sums(&super::sums::all_sums(None)).await.expect("sums");
    let total = sums.iter().fold(assize_core::results::Sums::default(), |mut total, bucket| {
        total.add(&bucket.sums);
        total
    });
    assert_eq!((total.population, total.judged, total.left_out), (4, 3, 1), "nearly the same is no verdict on this one");
    let exact = results.interaction(&project("p"), &rows[0].id).await.expect("read").expect("on record");
    assert_eq!(exact.metrics[0].verdicts[0].reused, Some(Reused { kind: ReuseKind::Exact, saved: Some(NanoUsd(500)) }));
}
