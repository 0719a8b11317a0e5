//! What sums should be: a mixture of rows, and the definition of the sums applied to the rows alone.

use std::collections::BTreeMap;

use assize_core::results::{Sums, SumsBucket, SumsQuery};
use assize_core::scored::standing;
use assize_core::{Accepted, DecisionState, Dimension, Outcome, Reason, Scored, Step, Timestamp};

use crate::samples::{MORNING, decision, judge, judge_failed, judged, metric, project, row_of, verdict, version};

/// A query of everything on the metric `refusal` of project `p`.
pub fn all_sums(by: Option<Dimension>) -> SumsQuery {
    SumsQuery { project: project("p"), metric: metric("refusal"), from: Timestamp(i64::MIN), to: Timestamp(i64::MAX), by }
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
    let reals = |s: &Sums| [vec![s.g, s.gg, s.drawn_w, s.left_out_w, s.max_w], s.w.to_vec(), s.q.to_vec()].concat();
    let counts = |s: &Sums| Sums { g: 0.0, gg: 0.0, drawn_w: 0.0, left_out_w: 0.0, max_w: 0.0, w: [0.0; 6], q: [0.0; 6], ..*s };
    let close = |(x, y): (f64, f64)| (x - y).abs() <= 1e-9 * x.abs().max(y.abs()).max(1.0);
    counts(a) == counts(b) && reals(a).into_iter().zip(reals(b)).all(close)
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
                3 if pick(3, 12) == 0 => {
                    let one = later_draw(judged(&row, "refusal", 0.5), true);
                    scored.push(Scored { outcome: None, verdicts: vec![verdict("mini", 0.4)], ..one });
                }
                3 => {
                    let one = judged(&row, "refusal", pick(101, 10) as f64 / 100.0);
                    scored.push(later_draw(one, pick(2, 11) == 0));
                }
                _ => scored.push(judged(&row, "refusal", pick(101, 10) as f64 / 100.0)),
            }
        }
        rows.push(row);
    }
    (rows, scored)
}

/// The same, after a cheaper called judge and a draw of one in five.
fn later_draw(mut scored: Scored, drawn: bool) -> Scored {
    let probability = scored.row.decision(&scored.metric).map_or(1.0, |decision| decision.probability) * 0.2;
    let step =
        Step { tier: 2, judge: judge("gpt-4o"), conditional: 0.2, probability, drawn, predictor: Some((judge("mini"), 0.4)) };
    scored.steps = vec![step];
    if !drawn {
        scored.outcome = Some(Outcome::NotSampled);
        scored.verdicts = vec![verdict("mini", 0.4)];
    }
    scored
}

/// Sums of `[from, to)` computed from the rows alone, as the definition says.
pub fn expected_sums(rows: &[Accepted], scored: &[Scored], query: &SumsQuery) -> BTreeMap<(i64, String, String), Sums> {
    let mut expected: BTreeMap<_, Sums> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.time >= query.from && row.time < query.to && row.project == query.project) {
        let Some(decision) = row.decision(&query.metric) else { continue };
        let mut sums = Sums::of_accepted(decision);
        for scored in scored.iter().filter(|scored| scored.row.key == row.key && scored.metric == query.metric) {
            sums.add(&Sums::of_calls(&scored.calls));
            let stands = standing(decision.probability, &scored.steps);
            sums.add(&Sums::of_moved(decision.probability, stands));
            if let Some(outcome) = scored.outcome {
                sums.add(&Sums::of_outcome(decision, outcome, stands, scored.reference_score()));
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
