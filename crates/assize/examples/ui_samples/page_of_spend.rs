//! Spend: a tenant that is paced, and one that nobody was called for.

use assize::ui::overview::Range;
use assize::ui::spend::{DegradationRow, SavingsPanel, SpendPage, SplitRow, TenantRow, TodayPanel};
use assize_core::ledger::Balance;
use assize_core::projection::{Projection, Standing};
use assize_core::results::Spend;
use assize_core::savings::{Ended, Record, Savings};
use assize_core::{NanoUsd, TenantName, Timestamp};

use super::{HOUR, NOW, layout, noise, paid};

/// A tenant that is paced, and has done without the reference judge for a while.
pub fn rich() -> SpendPage {
    let range = Range::Week;
    let (from, to) = range.bounds(NOW);
    let usd = |usd: f64| NanoUsd((usd * 1e9) as u64);
    let day = |period: &str, hours: i64, days: i64, spent: f64, budget: Option<f64>, total: f64, used_up: Option<i64>| Standing {
        period: period.into(),
        start: Timestamp(NOW.0 - hours * HOUR),
        now: NOW,
        end: Timestamp(NOW.0 - hours * HOUR + days * 24 * HOUR),
        balance: Balance { spent: usd(spent), assumed: usd(spent * 0.01), reserved: usd(spent * 0.06) },
        budget: budget.map(usd),
        projection: Some(Projection { total: usd(total), used_up_at: used_up.map(|hours| Timestamp(NOW.0 + hours * HOUR)) }),
    };
    let row = |name: &str, cents: u64, calls: u64| SplitRow { name: name.into(), spend: paid(cents, calls), interactions: None };
    let savings = Record {
        ended: Ended {
            not_sampled: 183_000,
            cheaper_alone: 14_900,
            reused_exact: 1_950,
            reused_similar: 720,
            over_budget: 412,
            undone: 66,
            judged: 4_210,
        },
        reference_answers: 4_180,
        reference_list: usd(24.035),
        reference_other_list: usd(0.42),
        cheaper_list: usd(3.2),
        other_list: NanoUsd(0),
        live: usd(23.9),
        paid: usd(17.61),
    };
    let tenant = |name: &str, today: f64, budget: Option<f64>, yesterday: f64, change: Option<f64>, calls| TenantRow {
        name: name.into(),
        today: usd(today),
        budget: budget.map(usd),
        yesterday: usd(yesterday),
        change,
        calls,
    };
    let at = |hours: i64| Timestamp(NOW.0 - hours * HOUR);
    SpendPage {
        layout: layout(true),
        range,
        from,
        to,
        today: Some(TodayPanel {
            tenant: TenantName::new("acme").unwrap(),
            zone: "Europe/Berlin".into(),
            day: day("2026-11-24", 12, 1, 3.36, Some(5.0), 6.42, Some(5)),
            month: day("2026-11", 24 * 23 + 12, 30, 71.2, Some(120.0), 91.0, None),
            platform: Some((
                day("2026-11-24", 11, 1, 14.1, Some(60.0), 28.9, None),
                day("2026-11", 24 * 23 + 11, 30, 402.0, None, 515.0, None),
            )),
            pace: 0.62,
            degradations: vec![
                DegradationRow {
                    message:
                        "gpt-4o was not asked about hallucination, and cheaper judges decided alone: the tenant's share of the \
                              platform's day is used up"
                            .into(),
                    since: at(9),
                    last: at(8),
                    count: 412,
                },
                DegradationRow {
                    message: "Less was drawn than the policies say, so that the tenant's budget of the day lasts".into(),
                    since: at(3),
                    last: at(0),
                    count: 2_160,
                },
            ],
        }),
        total: paid(1_761, 9_411),
        interactions: 102_331,
        over_time: (0..7).map(|at| (Timestamp(from.0 + at * 24 * HOUR), paid(190 + (noise(at) * 140.0) as u64, 1_300))).collect(),
        by_metric: vec![row("hallucination", 1_004, 4_311), row("refusal", 502, 3_900), row("toxicity", 255, 1_200)],
        by_judge: vec![row("gpt-4o", 1_441, 4_602), row("gpt-4o-mini", 320, 4_809)],
        by_tier: vec![row("reference", 1_430, 4_580), row("cheaper", 320, 4_809), row("study", 11, 22)],
        by_project: vec![
            SplitRow { name: "support-bot".into(), spend: paid(1_761, 9_411), interactions: Some(102_331) },
            SplitRow { name: "checkout-assistant-with-a-long-name".into(), spend: paid(380, 1_807), interactions: Some(22_004) },
        ],
        savings: SavingsPanel {
            savings: Savings::of(&savings),
            left_out: usd(0.11),
            unknown: vec!["tone".into()],
            assumption:
                "Every question would have cost what the reference judge's answered questions of the same metric in this range \
                         would have cost on average, asked live and without the prompt cache, at list price."
                    .into(),
        },
        tenants: vec![
            tenant("acme", 3.36, Some(5.0), 4.98, Some(0.12), 1_804),
            tenant("globex", 2.2, None, 3.1, Some(-0.21), 1_120),
            tenant("initech-and-sons-of-the-northern-branch", 0.9, Some(10.0), 0.0, None, 320),
        ],
        simulated: false,
    }
}

/// Nobody was called, and no budget is set.
pub fn empty() -> SpendPage {
    let rich = rich();
    let plain =
        |standing: &Standing| Standing { balance: Balance::default(), budget: None, projection: None, ..standing.clone() };
    let today = rich.today.map(|today| TodayPanel {
        day: plain(&today.day),
        month: plain(&today.month),
        platform: None,
        pace: 1.0,
        degradations: Vec::new(),
        ..today
    });
    SpendPage {
        layout: layout(false),
        today,
        total: Spend::default(),
        interactions: 0,
        over_time: Vec::new(),
        by_metric: Vec::new(),
        by_judge: Vec::new(),
        by_tier: Vec::new(),
        by_project: Vec::new(),
        savings: SavingsPanel::default(),
        tenants: Vec::new(),
        ..rich
    }
}
