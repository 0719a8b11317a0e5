//! Double entry: what is posted, and that it adds up.

use std::collections::HashMap;

use assize_core::ledger::{Account, BalanceOf, CallCost, Ledger, Posting, Reservation, TotalsQuery};
use assize_core::{CallId, Day, NanoUsd, TenantName};

use super::{Opener, TODAY, adjustment, balance, cost, reservation, settle, tenant, totals};
use crate::samples::{judge, metric, project};

/// Runs this part of the suite.
pub async fn run(opener: &dyn Opener<dyn Ledger>) {
    let open = async |data: &str| opener.open(data).await.expect("the ledger opens");
    movements_are_those_of_the_port(&*open("movements").await).await;
    postings_replay_to_the_balances(&*open("replay").await).await;
    parts_add_up(&*open("parts").await).await;
}

fn movements(postings: &[Posting]) -> Vec<(&str, Account, Account, u64)> {
    postings.iter().map(|posting| (posting.call.0.as_str(), posting.from, posting.to, posting.amount.0)).collect()
}

async fn movements_are_those_of_the_port(ledger: &dyn Ledger) {
    use Account::{Assumed, Available, Reserved, Spent};
    for call in ["less", "all", "more", "free", "lost", "late"] {
        ledger.reserve(reservation(call, 10), &[]).await.unwrap();
    }
    for told in [cost("less", 4), cost("all", 10), cost("more", 13), cost("free", 0), cost("lost", None), cost("lost", 7)] {
        settle(ledger, told).await;
    }
    ledger.expire(reservation("late", 0).expires_at).await.unwrap();
    settle(ledger, cost("late", 12)).await;
    ledger.adjust(adjustment("up", 3, false)).await.unwrap();
    ledger.adjust(adjustment("down", 2, true)).await.unwrap();
    let postings = ledger.postings(0, 1_000).await.unwrap();
    let set_aside = ["less", "all", "more", "free", "lost", "late"].map(|call| (call, Available, Reserved, 10));
    let expected = [
        ("less", Reserved, Spent, 4),
        ("less", Reserved, Available, 6),
        ("all", Reserved, Spent, 10),
        ("more", Reserved, Spent, 10),
        ("more", Available, Spent, 3),
        ("free", Reserved, Available, 10),
        ("lost", Reserved, Assumed, 10),
        ("lost", Assumed, Spent, 7),
        ("lost", Assumed, Available, 3),
        ("late", Reserved, Assumed, 10),
        ("late", Assumed, Spent, 10),
        ("late", Available, Spent, 2),
        ("up", Available, Spent, 3),
        ("down", Spent, Available, 2),
    ];
    assert_eq!(movements(&postings), set_aside.into_iter().chain(expected).collect::<Vec<_>>());
    for (at, posting) in (1..).zip(&postings) {
        assert_eq!((posting.number, &posting.tenant, posting.tenant_day), (at, &tenant("acme"), TODAY));
    }
    assert_eq!((postings[0].at, postings[6].at), (reservation("less", 0).at, cost("less", 0).at));
    for limit in [1, 3, 7, 100] {
        let mut read: Vec<Posting> = Vec::new();
        loop {
            let page = ledger.postings(read.last().map_or(0, |posting| posting.number), limit).await.unwrap();
            assert!(page.len() <= limit);
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert_eq!(read, postings, "in pages of {limit}");
    }
    assert!(ledger.postings(u64::MAX >> 1, 10).await.unwrap().is_empty());
    assert!(ledger.postings(0, 0).await.unwrap().is_empty());
}

/// The postings alone give every tenant's every day.
async fn postings_replay_to_the_balances(ledger: &dyn Ledger) {
    let names = ["acme", "beta", "gamma"];
    let days = [Day(TODAY.0 - 1), TODAY, Day(TODAY.0 + 1)];
    // Numbers that jump about, always the same.
    let mut state = 7_u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for at in 0..400_u64 {
        let call = format!("c{at}");
        let asked = Reservation {
            tenant: tenant(names[next(3) as usize]),
            tenant_day: days[next(3) as usize],
            metrics: [metric("a"), metric("b"), metric("c")].into_iter().take(1 + next(3) as usize).collect(),
            bound: NanoUsd(next(1_000_000)),
            ..reservation(&call, 0)
        };
        ledger.reserve(asked, &[]).await.unwrap();
        let earlier = format!("c{}", next(at + 1));
        match next(4) {
            0 => drop(settle(ledger, cost(&earlier, None)).await),
            1 => drop(settle(ledger, cost(&earlier, next(1_200_000))).await),
            2 => drop(settle(ledger, cost(&call, next(1_000_000))).await),
            _ => {}
        }
        if next(20) == 0 {
            let by_hand = adjustment(&format!("a{at}"), next(500_000), next(2) == 0);
            ledger.adjust(by_hand).await.unwrap();
        }
        if at == 300 {
            ledger.expire(reservation("", 0).expires_at).await.unwrap();
        }
    }
    let mut accounts: HashMap<(TenantName, Day, Account), i128> = HashMap::new();
    for posting in ledger.postings(0, 10_000).await.unwrap() {
        let mut add = |account, amount| {
            *accounts.entry((posting.tenant.clone(), posting.tenant_day, account)).or_default() += amount;
        };
        add(posting.from, -i128::from(posting.amount.0));
        add(posting.to, i128::from(posting.amount.0));
    }
    assert_eq!(accounts.values().sum::<i128>(), 0, "nothing appears or vanishes");
    let all = totals(ledger).await;
    for name in names {
        for day in days {
            let has = |account| {
                let amount = accounts.get(&(tenant(name), day, account)).copied().unwrap_or_default();
                u64::try_from(amount).expect("no account but that of what is available is below zero")
            };
            let expected = balance(has(Account::Spent), has(Account::Assumed), has(Account::Reserved));
            assert!(expected.committed() > NanoUsd::ZERO, "something happened there");
            let found = ledger.balances(&[BalanceOf::TenantDay(tenant(name), day)]).await.unwrap();
            assert_eq!(found, [expected], "{name} {day}");
            let parts = all.iter().filter(|total| total.tenant == tenant(name) && total.day == day);
            let sum = parts.fold(balance(0, 0, 0), |sum, total| assize_core::ledger::Balance {
                spent: sum.spent.plus(total.balance.spent),
                assumed: sum.assumed.plus(total.balance.assumed),
                reserved: sum.reserved.plus(total.balance.reserved),
            });
            assert_eq!(sum, expected, "the totals of {name} {day} add up to its balance");
        }
    }
    assert_eq!(all.iter().map(|total| total.calls).sum::<u64>(), 400);
}

/// A call about several metrics counts with each for its part, as money is split.
async fn parts_add_up(ledger: &dyn Ledger) {
    let metrics = [metric("tone"), metric("refusal"), metric("a")];
    let several = |call: &str, bound| Reservation { metrics: metrics.to_vec(), ..reservation(call, bound) };
    for (call, bound, paid) in [("p", 100, Some(50)), ("q", 7, None), ("r", 1_000_001, Some(1_000_003)), ("s", 11, Some(1))] {
        ledger.reserve(several(call, bound), &[]).await.unwrap();
        if call != "s" {
            settle(ledger, CallCost { call: CallId(call.to_owned()), cost: paid.map(NanoUsd), ..cost("", 0) }).await;
        }
    }
    let other = Reservation { judge: judge("mini"), project: project("mail"), ..reservation("t", 9) };
    ledger.reserve(other, &[]).await.unwrap();
    let beta = Reservation { tenant: tenant("beta"), tenant_day: Day(TODAY.0 + 1), ..reservation("u", 5) };
    ledger.reserve(beta, &[]).await.unwrap();
    let split = |amount: u64, at: usize| NanoUsd(amount).split(3)[at].0;
    let found = totals(ledger).await;
    let keys: Vec<_> = found
        .iter()
        .map(|total| (total.tenant.as_str(), total.day, total.project.as_str(), total.metric.as_str(), total.judge.as_str()))
        .collect();
    let acme = |project, metric, judge| ("acme", TODAY, project, metric, judge);
    let expected = [
        acme("chat", "a", "gpt-4o"),
        acme("chat", "refusal", "gpt-4o"),
        acme("chat", "tone", "gpt-4o"),
        acme("mail", "refusal", "mini"),
        ("beta", Day(TODAY.0 + 1), "chat", "refusal", "gpt-4o"),
    ];
    assert_eq!(keys, expected, "by tenant, day, project, metric and judge");
    for (total, place) in found[..3].iter().zip([2, 1, 0]) {
        let spent = split(50, place) + split(1_000_003, place);
        assert_eq!(total.balance, balance(spent, split(7, place), split(11, place)), "{}", total.metric);
        assert_eq!(total.calls, if place == 0 { 4 } else { 0 }, "a call counts with its first metric");
    }
    let asked = |tenant, from, to| TotalsQuery { tenant, from: Day(from), to: Day(to) };
    let count = async |query| ledger.totals(&query).await.unwrap().len();
    assert_eq!(count(asked(Some(tenant("beta")), TODAY.0, TODAY.0 + 1)).await, 1);
    assert_eq!(count(asked(Some(tenant("beta")), TODAY.0, TODAY.0)).await, 0);
    assert_eq!(count(asked(None, TODAY.0, TODAY.0)).await, 4);
    assert_eq!(count(asked(None, TODAY.0 + 1, i32::MAX)).await, 1);
    assert_eq!(count(asked(None, TODAY.0 + 1, TODAY.0)).await, 0, "an empty range");
}
