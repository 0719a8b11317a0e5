//! What every backend of the ledger must do.

mod crowd;
mod days;
mod entries;

use assize_core::ledger::{
    Adjustment, Balance, BalanceOf, CallCost, Cap, CapScope, Grant, Ledger, Reservation, Settled, Total, TotalsQuery,
};
use assize_core::{CallId, Day, NanoUsd, StoreErrorKind, TenantName, Timestamp};

use super::Opener;
use crate::samples::{MORNING, judge, metric, project};

/// The day of [`MORNING`] in UTC.
pub const TODAY: Day = Day(20_781);

/// How long a reservation of the samples lasts.
const LEASE_MS: i64 = 60_000;

/// A tenant of this name.
pub fn tenant(name: &str) -> TenantName {
    TenantName::new(name).expect("a valid name")
}

/// A reservation of `bound` nano-dollars for the tenant `acme`, made in the morning, that lasts a minute.
pub fn reservation(call: &str, bound: u64) -> Reservation {
    Reservation {
        call: CallId(call.to_owned()),
        tenant: tenant("acme"),
        project: project("chat"),
        judge: judge("gpt-4o"),
        metrics: vec![metric("refusal")],
        bound: NanoUsd(bound),
        tenant_day: TODAY,
        platform_day: TODAY,
        at: MORNING,
        expires_at: Timestamp(MORNING.0 + LEASE_MS),
    }
}

/// What a call cost, learned a second after the morning.
pub fn cost(call: &str, cost: impl Into<Option<u64>>) -> CallCost {
    CallCost { call: CallId(call.to_owned()), cost: cost.into().map(NanoUsd), at: Timestamp(MORNING.0 + 1_000) }
}

/// A cap.
pub fn cap(scope: CapScope, max: u64) -> Cap {
    Cap { scope, max: NanoUsd(max) }
}

/// A correction of `acme`'s by hand.
pub fn adjustment(id: &str, amount: u64, is_refund: bool) -> Adjustment {
    Adjustment {
        id: CallId(id.to_owned()),
        tenant: tenant("acme"),
        project: project("chat"),
        metric: metric("refusal"),
        judge: judge("gpt-4o"),
        tenant_day: TODAY,
        platform_day: TODAY,
        amount: NanoUsd(amount),
        is_refund,
        at: Timestamp(MORNING.0 + 2_000),
    }
}

/// A balance.
pub fn balance(spent: u64, assumed: u64, reserved: u64) -> Balance {
    Balance { spent: NanoUsd(spent), assumed: NanoUsd(assumed), reserved: NanoUsd(reserved) }
}

/// Every balance in which a call of this tenant on these days counts.
pub fn places(name: &str, tenant_day: Day, platform_day: Day) -> Vec<BalanceOf> {
    vec![
        BalanceOf::TenantDay(tenant(name), tenant_day),
        BalanceOf::TenantMonth(tenant(name), tenant_day.month()),
        BalanceOf::ShareOfDay(tenant(name), platform_day),
        BalanceOf::ShareOfMonth(tenant(name), platform_day.month()),
        BalanceOf::PlatformDay(platform_day),
        BalanceOf::PlatformMonth(platform_day.month()),
    ]
}

/// The balance of `acme`'s day; all others that must be the same are.
async fn acme(ledger: &dyn Ledger) -> Balance {
    let balances = ledger.balances(&places("acme", TODAY, TODAY)).await.unwrap();
    assert_eq!(balances.len(), 6);
    assert!(balances.iter().all(|balance| *balance == balances[0]), "one tenant, one day: {balances:?}");
    balances[0]
}

async fn totals(ledger: &dyn Ledger) -> Vec<Total> {
    ledger.totals(&TotalsQuery { tenant: None, from: Day(i32::MIN), to: Day(i32::MAX) }).await.unwrap()
}

async fn settle(ledger: &dyn Ledger, told: CallCost) -> Settled {
    let settled = ledger.settle(vec![told]).await.unwrap();
    assert_eq!(settled.len(), 1);
    settled[0]
}

const DAY: CapScope = CapScope::TenantDay;

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Ledger>) {
    let open = async |data: &str| opener.open(data).await.expect("the ledger opens");
    money_is_set_aside_and_settled(&*open("settle").await).await;
    a_cap_makes_wait_or_refuses(&*open("caps").await).await;
    of_several_caps_all_hold(&*open("several").await).await;
    what_costs_nothing_is_granted(&*open("nothing").await).await;
    unknown_costs_stay_charged(&*open("unknown").await).await;
    what_was_paid_counts_past_the_bound(&*open("beyond").await).await;
    expiry_charges_and_late_settlements_correct(&*open("expiry").await).await;
    refunds_give_back_what_was_spent(&*open("refunds").await).await;
    overflow_never_grants(&*open("overflow").await).await;
    what_makes_no_sense_is_refused(&*open("invalid").await).await;
    everything_is_idempotent(opener).await;
    entries::run(opener).await;
    days::run(opener).await;
    crowd::run(open("crowd").await, open("duplicates").await).await;
}

async fn money_is_set_aside_and_settled(ledger: &dyn Ledger) {
    assert_eq!(acme(ledger).await, Balance::default());
    assert!(totals(ledger).await.is_empty());
    assert_eq!(ledger.reserve(reservation("a", 100), &[cap(DAY, 100)]).await.unwrap(), Grant::Granted);
    assert_eq!(acme(ledger).await, balance(0, 0, 100));
    assert_eq!(settle(ledger, cost("a", 30)).await, Settled::Posted);
    assert_eq!(acme(ledger).await, balance(30, 0, 0), "the rest is given back");
    assert_eq!(ledger.reserve(reservation("b", 70), &[cap(DAY, 100)]).await.unwrap(), Grant::Granted);
    assert_eq!(settle(ledger, cost("b", 0)).await, Settled::Posted, "an attempt that reached nobody");
    assert_eq!(acme(ledger).await, balance(30, 0, 0));
    let all = ledger.settle(vec![cost("x", 1), cost("a", 1)]).await.unwrap();
    assert_eq!(all, [Settled::Unknown, Settled::Again], "told in the order asked");
    assert!(ledger.settle(Vec::new()).await.unwrap().is_empty());
    assert!(ledger.balances(&[]).await.unwrap().is_empty());
    let elsewhere = ledger.balances(&places("other", TODAY, Day(TODAY.0 + 40))).await.unwrap();
    assert!(elsewhere.iter().all(|balance| *balance == Balance::default()));
    let found = totals(ledger).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].balance, found[0].calls, found[0].day), (balance(30, 0, 0), 2, TODAY));
}

async fn a_cap_makes_wait_or_refuses(ledger: &dyn Ledger) {
    let hundred = [cap(DAY, 100)];
    assert_eq!(ledger.reserve(reservation("a", 60), &hundred).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.reserve(reservation("b", 40), &hundred).await.unwrap(), Grant::Granted, "up to the cap itself");
    assert_eq!(ledger.reserve(reservation("c", 1), &hundred).await.unwrap(), Grant::MustWait(DAY));
    assert_eq!(ledger.reserve(reservation("c", 101), &hundred).await.unwrap(), Grant::Refused(DAY));
    assert_eq!(settle(ledger, cost("c", 1)).await, Settled::Unknown, "what was not granted left nothing behind");
    assert_eq!(settle(ledger, cost("a", 50)).await, Settled::Posted);
    assert_eq!(ledger.reserve(reservation("c", 11), &hundred).await.unwrap(), Grant::MustWait(DAY));
    assert_eq!(ledger.reserve(reservation("c", 51), &hundred).await.unwrap(), Grant::Refused(DAY));
    assert_eq!(ledger.reserve(reservation("c", 10), &hundred).await.unwrap(), Grant::Granted, "asked again, it is decided anew");
    assert_eq!(acme(ledger).await, balance(50, 0, 50));
    // A cap that was lowered below what is spent, and one that was raised.
    assert_eq!(ledger.reserve(reservation("d", 1), &[cap(DAY, 20)]).await.unwrap(), Grant::Refused(DAY));
    assert_eq!(ledger.reserve(reservation("d", 1), &[cap(DAY, 0)]).await.unwrap(), Grant::Refused(DAY));
    assert_eq!(ledger.reserve(reservation("d", 900), &[cap(DAY, 1_000)]).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.reserve(reservation("e", 5_000), &[]).await.unwrap(), Grant::Granted, "without a cap");
}

async fn of_several_caps_all_hold(ledger: &dyn Ledger) {
    use CapScope::{PlatformDay, TenantDay};
    let other = |call: &str, bound| Reservation { tenant: tenant("other"), ..reservation(call, bound) };
    ledger.reserve(reservation("a", 50), &[]).await.unwrap();
    ledger.reserve(other("b", 40), &[]).await.unwrap();
    settle(ledger, cost("b", 40)).await;
    // The tenant's day: 50 reserved. The platform's: 40 spent and 50 reserved.
    let caps = [cap(TenantDay, 60), cap(PlatformDay, 100)];
    assert_eq!(ledger.reserve(reservation("c", 11), &caps).await.unwrap(), Grant::MustWait(TenantDay));
    let caps = [cap(TenantDay, 55), cap(PlatformDay, 45)];
    assert_eq!(ledger.reserve(reservation("c", 6), &caps).await.unwrap(), Grant::Refused(PlatformDay), "a refusal is final");
    let caps = [cap(PlatformDay, 95), cap(TenantDay, 60)];
    assert_eq!(ledger.reserve(reservation("c", 6), &caps).await.unwrap(), Grant::MustWait(PlatformDay));
    let day = ledger.balances(&[BalanceOf::TenantDay(tenant("acme"), TODAY), BalanceOf::PlatformDay(TODAY)]).await.unwrap();
    assert_eq!(day, [balance(0, 0, 50), balance(40, 0, 50)], "all or nothing");
    let caps = [cap(TenantDay, 55), cap(PlatformDay, 95)];
    assert_eq!(ledger.reserve(reservation("c", 5), &caps).await.unwrap(), Grant::Granted);
}

async fn what_costs_nothing_is_granted(ledger: &dyn Ledger) {
    ledger.reserve(reservation("a", 10), &[]).await.unwrap();
    settle(ledger, cost("a", 10)).await;
    for scope in [DAY, CapScope::PlatformMonth] {
        let grant = ledger.reserve(reservation(scope.as_str(), 0), &[cap(scope, 0)]).await.unwrap();
        assert_eq!(grant, Grant::Granted);
        assert_eq!(settle(ledger, cost(scope.as_str(), 0)).await, Settled::Posted);
        assert_eq!(settle(ledger, cost(scope.as_str(), 0)).await, Settled::Again);
    }
    assert_eq!(acme(ledger).await, balance(10, 0, 0));
}

async fn unknown_costs_stay_charged(ledger: &dyn Ledger) {
    ledger.reserve(reservation("a", 100), &[]).await.unwrap();
    assert_eq!(settle(ledger, cost("a", None)).await, Settled::Posted);
    assert_eq!(acme(ledger).await, balance(0, 100, 0));
    assert_eq!(ledger.reserve(reservation("b", 1), &[cap(DAY, 100)]).await.unwrap(), Grant::Refused(DAY), "it counts as spent");
    assert_eq!(settle(ledger, cost("a", None)).await, Settled::Again);
    let found = totals(ledger).await;
    assert_eq!(found[0].balance, balance(0, 100, 0));
    assert_eq!(settle(ledger, cost("a", 30)).await, Settled::Corrected, "until the cost is learned");
    assert_eq!(acme(ledger).await, balance(30, 0, 0));
    assert_eq!(settle(ledger, cost("a", 30)).await, Settled::Again);
    assert_eq!(settle(ledger, cost("a", None)).await, Settled::Again);
    assert_eq!(acme(ledger).await, balance(30, 0, 0));
}

async fn what_was_paid_counts_past_the_bound(ledger: &dyn Ledger) {
    ledger.reserve(reservation("a", 10), &[cap(DAY, 10)]).await.unwrap();
    assert_eq!(settle(ledger, cost("a", 25)).await, Settled::Posted);
    assert_eq!(acme(ledger).await, balance(25, 0, 0), "even past a cap: it was paid");
    ledger.reserve(reservation("b", 10), &[]).await.unwrap();
    settle(ledger, cost("b", None)).await;
    assert_eq!(settle(ledger, cost("b", 12)).await, Settled::Corrected);
    assert_eq!(acme(ledger).await, balance(37, 0, 0));
    assert_eq!(ledger.reserve(reservation("c", 1), &[cap(DAY, 37)]).await.unwrap(), Grant::Refused(DAY));
}

async fn expiry_charges_and_late_settlements_correct(ledger: &dyn Ledger) {
    let until = MORNING.0 + LEASE_MS;
    for call in ["a", "b", "c", "d"] {
        ledger.reserve(reservation(call, 10), &[]).await.unwrap();
    }
    let later = Reservation { expires_at: Timestamp(until + 5), ..reservation("e", 10) };
    ledger.reserve(later, &[]).await.unwrap();
    settle(ledger, cost("d", 4)).await;
    assert_eq!(ledger.expire(Timestamp(until - 1)).await.unwrap(), 0);
    assert_eq!(acme(ledger).await, balance(4, 0, 40));
    assert_eq!(settle(ledger, cost("c", 3)).await, Settled::Posted);
    assert_eq!(ledger.expire(Timestamp(until)).await.unwrap(), 2, "what was settled does not expire");
    assert_eq!(acme(ledger).await, balance(7, 20, 10));
    assert_eq!(ledger.expire(Timestamp(until)).await.unwrap(), 0);
    assert_eq!(ledger.reserve(reservation("a", 10), &[]).await.unwrap(), Grant::Granted, "the same call, the same answer");
    assert_eq!(acme(ledger).await, balance(7, 20, 10), "and no more money");
    assert_eq!(settle(ledger, cost("a", 6)).await, Settled::Corrected);
    assert_eq!(settle(ledger, cost("a", 6)).await, Settled::Again);
    assert_eq!(settle(ledger, cost("b", None)).await, Settled::Again, "nothing was learned");
    assert_eq!(acme(ledger).await, balance(13, 10, 10));
    assert_eq!(ledger.expire(Timestamp(until + 5)).await.unwrap(), 1);
    // Batches take up to two days: eight days are waited.
    let late = Timestamp(until + 8 * 86_400_000 - 1);
    assert_eq!(ledger.expire(late).await.unwrap(), 0);
    assert_eq!(settle(ledger, CallCost { at: late, ..cost("b", 1) }).await, Settled::Corrected);
    assert_eq!(acme(ledger).await, balance(14, 10, 0));
    assert_eq!(ledger.expire(Timestamp(until + 9 * 86_400_000)).await.unwrap(), 0);
    assert_eq!(acme(ledger).await, balance(14, 10, 0), "what is waited for no longer stays charged");
    assert_eq!(settle(ledger, cost("e", 1)).await, Settled::Unknown);
    let found = totals(ledger).await;
    assert_eq!((found[0].balance, found[0].calls), (balance(14, 10, 0), 5));
}

async fn refunds_give_back_what_was_spent(ledger: &dyn Ledger) {
    assert!(ledger.adjust(adjustment("early", 5, true)).await.unwrap());
    assert_eq!(acme(ledger).await, balance(0, 0, 0), "nothing was spent");
    ledger.reserve(reservation("a", 100), &[]).await.unwrap();
    settle(ledger, cost("a", 80)).await;
    assert!(ledger.adjust(adjustment("more", 15, false)).await.unwrap());
    assert_eq!(acme(ledger).await, balance(95, 0, 0), "it counts like a call");
    assert!(!ledger.adjust(adjustment("more", 15, false)).await.unwrap(), "the same one twice");
    assert_eq!(ledger.reserve(reservation("b", 6), &[cap(DAY, 100)]).await.unwrap(), Grant::Refused(DAY));
    assert!(ledger.adjust(adjustment("back", 20, true)).await.unwrap());
    assert_eq!(acme(ledger).await, balance(75, 0, 0));
    assert!(!ledger.adjust(adjustment("back", 20, true)).await.unwrap());
    assert_eq!(ledger.reserve(reservation("b", 25), &[cap(DAY, 100)]).await.unwrap(), Grant::Granted);
    let elsewhere = Adjustment { metric: metric("tone"), ..adjustment("elsewhere", 20, true) };
    assert!(ledger.adjust(elsewhere).await.unwrap());
    assert_eq!(acme(ledger).await, balance(75, 0, 25), "nothing was spent on that");
    assert!(ledger.adjust(adjustment("all", 1_000, true)).await.unwrap());
    assert_eq!(acme(ledger).await, balance(0, 0, 25), "no more than was spent, and never what is reserved");
    // Of a call about several metrics each can be given back its part.
    let two = Reservation { metrics: vec![metric("refusal"), metric("tone")], ..reservation("two", 10) };
    ledger.reserve(two, &[]).await.unwrap();
    settle(ledger, cost("two", 7)).await;
    ledger.adjust(Adjustment { metric: metric("tone"), ..adjustment("tone", 1_000, true) }).await.unwrap();
    assert_eq!(acme(ledger).await, balance(4, 0, 25));
    let by_metric: Vec<_> = totals(ledger).await.into_iter().map(|total| (total.metric, total.balance)).collect();
    assert_eq!(by_metric, [(metric("refusal"), balance(4, 0, 25)), (metric("tone"), balance(0, 0, 0))]);
    assert!(ledger.adjust(adjustment("a", 1, false)).await.is_ok_and(|is_new| !is_new), "the id of a call is taken");
    assert_eq!(settle(ledger, cost("back", 1)).await, Settled::Again, "and so is that of a correction");
}

async fn overflow_never_grants(ledger: &dyn Ledger) {
    let most = cap(DAY, u64::MAX);
    assert_eq!(ledger.reserve(reservation("a", u64::MAX - 1), &[most]).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.reserve(reservation("b", 2), &[most]).await.unwrap(), Grant::MustWait(DAY));
    assert_eq!(ledger.reserve(reservation("b", u64::MAX), &[most]).await.unwrap(), Grant::MustWait(DAY));
    assert_eq!(ledger.reserve(reservation("b", 1), &[most]).await.unwrap(), Grant::Granted);
    assert_eq!(settle(ledger, cost("a", u64::MAX)).await, Settled::Posted);
    assert_eq!(ledger.reserve(reservation("c", 1), &[most]).await.unwrap(), Grant::Refused(DAY));
    for call in ["d", "e"] {
        ledger.reserve(reservation(call, u64::MAX), &[]).await.unwrap();
        settle(ledger, cost(call, u64::MAX)).await;
    }
    assert_eq!(acme(ledger).await, balance(u64::MAX, 0, 1));
    assert_eq!(acme(ledger).await.committed(), NanoUsd(u64::MAX));
    assert_eq!(ledger.reserve(reservation("f", 1), &[most]).await.unwrap(), Grant::Refused(DAY));
    // What overflowed is not forgotten: giving one part back does not make room.
    ledger.adjust(adjustment("back", u64::MAX, true)).await.unwrap();
    assert_eq!(ledger.reserve(reservation("f", 1), &[most]).await.unwrap(), Grant::Refused(DAY));
    let far = |call: &str, day, at| Reservation {
        tenant_day: Day(day),
        platform_day: Day(day),
        at: Timestamp(at),
        expires_at: Timestamp(at),
        ..reservation(call, 1)
    };
    for (call, day, at) in [("min", i32::MIN, i64::MIN), ("max", i32::MAX, i64::MAX)] {
        assert_eq!(ledger.reserve(far(call, day, at), &[most]).await.unwrap(), Grant::Granted, "{call}");
        let at = ledger.balances(&places("acme", Day(day), Day(day))).await.unwrap();
        assert!(at.iter().all(|balance| balance.reserved == NanoUsd(1)), "{call}: {at:?}");
    }
}

async fn what_makes_no_sense_is_refused(ledger: &dyn Ledger) {
    for wrong in
        [Reservation { metrics: Vec::new(), ..reservation("a", 1) }, reservation("", 1), reservation(&"x".repeat(257), 1)]
    {
        let error = ledger.reserve(wrong, &[]).await.expect_err("it is refused");
        assert_eq!(error.kind, StoreErrorKind::Invalid);
    }
    let error = ledger.adjust(adjustment("", 1, true)).await.expect_err("it is refused");
    assert_eq!(error.kind, StoreErrorKind::Invalid);
    assert_eq!(settle(ledger, cost("", 1)).await, Settled::Unknown);
    assert_eq!(acme(ledger).await, Balance::default());
    assert!(ledger.postings(0, 10).await.unwrap().is_empty());
}

/// What is done again changes nothing, also after the ledger was closed in between.
async fn everything_is_idempotent(opener: &dyn Opener<dyn Ledger>) {
    let ledger = opener.open("again").await.expect("the ledger opens");
    let caps = [cap(DAY, 100)];
    for round in 0..2 {
        assert_eq!(ledger.reserve(reservation("open", 40), &caps).await.unwrap(), Grant::Granted, "{round}");
        assert_eq!(ledger.reserve(reservation("over", 50), &caps).await.unwrap(), Grant::Granted, "{round}");
        assert_eq!(ledger.reserve(reservation("open", 90), &caps).await.unwrap(), Grant::Granted, "the first one counts");
        let settled = settle(&*ledger, cost("over", 20)).await;
        assert_eq!(settled, if round == 0 { Settled::Posted } else { Settled::Again });
        assert_eq!(ledger.adjust(adjustment("by hand", 5, false)).await.unwrap(), round == 0);
        assert_eq!(acme(&*ledger).await, balance(25, 0, 40), "{round}");
    }
    if !opener.is_durable() {
        return;
    }
    let (found, posted) = (totals(&*ledger).await, ledger.postings(0, 1_000).await.unwrap());
    drop(ledger);
    let ledger = opener.open("again").await.expect("the ledger opens again");
    assert_eq!(acme(&*ledger).await, balance(25, 0, 40), "what was acknowledged is on record");
    assert_eq!((totals(&*ledger).await, ledger.postings(0, 1_000).await.unwrap()), (found, posted.clone()));
    assert_eq!(ledger.reserve(reservation("open", 40), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.reserve(reservation("over", 40), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(settle(&*ledger, cost("over", 20)).await, Settled::Again, "what ended is remembered");
    assert!(!ledger.adjust(adjustment("by hand", 5, false)).await.unwrap());
    assert_eq!(ledger.reserve(reservation("next", 60), &caps).await.unwrap(), Grant::MustWait(DAY));
    assert_eq!(ledger.postings(0, 1_000).await.unwrap(), posted, "nothing was posted again");
    assert_eq!(settle(&*ledger, cost("open", 30)).await, Settled::Posted);
    assert_eq!(acme(&*ledger).await, balance(55, 0, 0));
    let last = ledger.postings(posted.len() as u64, 10).await.unwrap();
    assert_eq!(last[0].number, posted.len() as u64 + 1, "numbers go on");
}
