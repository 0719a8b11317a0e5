//! Days, months and shares, and clocks that jump.

use assize_core::ledger::{BalanceOf, CallCost, CapScope, Grant, Ledger, Reservation, Settled};
use assize_core::{Day, NanoUsd, Timestamp, Zone};

use super::{Opener, TODAY, balance, cap, cost, places, reservation, settle, tenant};
use crate::samples::MORNING;

const DAY_MS: i64 = 86_400_000;

/// Runs this part of the suite.
pub async fn run(opener: &dyn Opener<dyn Ledger>) {
    let open = async |data: &str| opener.open(data).await.expect("the ledger opens");
    every_scope_is_its_own(&*open("scopes").await).await;
    tenants_live_in_their_own_days(&*open("zones").await).await;
    a_clock_may_jump(&*open("jumps").await).await;
}

async fn every_scope_is_its_own(ledger: &dyn Ledger) {
    use CapScope::{PlatformDay, PlatformMonth, ShareOfDay, ShareOfMonth, TenantDay, TenantMonth};
    let of = |call: &str, name: &str, tenant_day: i32, platform_day: i32, bound| Reservation {
        tenant: tenant(name),
        tenant_day: Day(tenant_day),
        platform_day: Day(platform_day),
        ..reservation(call, bound)
    };
    // 24 November is the day, 30 November the last of its month.
    let (today, next_month) = (TODAY.0, TODAY.0 + 7);
    ledger.reserve(of("a", "acme", today, today, 10), &[]).await.unwrap();
    ledger.reserve(of("b", "acme", today + 1, today, 20), &[]).await.unwrap();
    ledger.reserve(of("c", "acme", next_month, today + 1, 40), &[]).await.unwrap();
    ledger.reserve(of("d", "beta", today, next_month, 80), &[]).await.unwrap();
    // For `acme` today, in both calendars.
    for (scope, stands) in
        [(TenantDay, 10), (TenantMonth, 30), (PlatformDay, 30), (PlatformMonth, 70), (ShareOfDay, 30), (ShareOfMonth, 70)]
    {
        let asked = of(scope.as_str(), "acme", today, today, 5);
        let grant = ledger.reserve(asked.clone(), &[cap(scope, stands + 4)]).await.unwrap();
        assert_eq!(grant, Grant::MustWait(scope));
        assert_eq!(ledger.reserve(asked, &[cap(scope, stands + 5)]).await.unwrap(), Grant::Granted, "{scope:?}");
        assert_eq!(settle(ledger, cost(scope.as_str(), 0)).await, Settled::Posted);
    }
    let beta = ledger.balances(&places("beta", TODAY, Day(next_month))).await.unwrap();
    assert!(beta.iter().all(|stands| *stands == balance(0, 0, 80)), "{beta:?}");
    assert_eq!(settle(ledger, cost("c", 1)).await, Settled::Posted);
    let of = [BalanceOf::TenantDay(tenant("acme"), Day(next_month)), BalanceOf::ShareOfDay(tenant("acme"), Day(today + 1))];
    assert_eq!(ledger.balances(&of).await.unwrap(), [balance(1, 0, 0); 2], "it stays with the days that were named");
}

async fn tenants_live_in_their_own_days(ledger: &dyn Ledger) {
    let zone = |name: &str| Zone::try_from(name.to_owned()).expect("a zone");
    let at = Timestamp(MORNING.0 + 15 * 3_600_000); // 23:00 UTC
    let calls = [
        ("kiribati", "Pacific/Kiritimati", 1),
        ("hawaii", "Pacific/Honolulu", 0),
        ("utc", "UTC", 0),
        ("nepal", "Asia/Kathmandu", 1),
    ];
    for (name, zone_name, ahead) in calls {
        let tenant_day = zone(zone_name).day(at);
        assert_eq!(tenant_day, Day(TODAY.0 + ahead), "{name}");
        let asked = Reservation { tenant: tenant(name), tenant_day, at, ..reservation(name, 10) };
        assert_eq!(ledger.reserve(asked, &[cap(CapScope::PlatformDay, 40)]).await.unwrap(), Grant::Granted);
        let day = ledger.balances(&[BalanceOf::TenantDay(tenant(name), tenant_day)]).await.unwrap();
        assert_eq!(day, [balance(0, 0, 10)], "{name}");
    }
    let platform = ledger.balances(&[BalanceOf::PlatformDay(TODAY), BalanceOf::PlatformDay(Day(TODAY.0 + 1))]).await.unwrap();
    assert_eq!(platform, [balance(0, 0, 40), balance(0, 0, 0)], "the platform's day is that of UTC");
    // Settled after midnight of every one of them.
    for (name, _, ahead) in calls {
        let late = CallCost { at: Timestamp(at.0 + DAY_MS), ..cost(name, 4) };
        assert_eq!(settle(ledger, late).await, Settled::Posted);
        let day = ledger.balances(&[BalanceOf::TenantDay(tenant(name), Day(TODAY.0 + ahead))]).await.unwrap();
        assert_eq!(day, [balance(4, 0, 0)], "the day that was asked pays");
    }
}

async fn a_clock_may_jump(ledger: &dyn Ledger) {
    let day = |ahead: i32| [BalanceOf::TenantDay(tenant("acme"), Day(TODAY.0 + ahead))];
    let on = |call: &str, ahead: i32| {
        let at = Timestamp(MORNING.0 + i64::from(ahead) * DAY_MS);
        let (tenant_day, platform_day) = (Day(TODAY.0 + ahead), Day(TODAY.0 + ahead));
        Reservation { tenant_day, platform_day, at, expires_at: Timestamp(at.0 + 60_000), ..reservation(call, 10) }
    };
    let caps = [cap(CapScope::TenantDay, 20), cap(CapScope::TenantMonth, 50)];
    ledger.reserve(on("settled", 0), &caps).await.unwrap();
    settle(ledger, cost("settled", 3)).await;
    ledger.reserve(on("under way", 0), &caps).await.unwrap();
    // A day forwards: the day is another one, and all that was under way counts as spent.
    assert_eq!(ledger.reserve(on("tomorrow", 1), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.expire(on("", 1).at).await.unwrap(), 1);
    assert_eq!(ledger.balances(&day(0)).await.unwrap(), [balance(3, 10, 0)]);
    let again = CallCost { at: on("", 1).at, ..cost("settled", 3) };
    assert_eq!(settle(ledger, again).await, Settled::Again, "a jump makes nothing be forgotten");
    // And back: what was charged is corrected, and the day has what it had.
    assert_eq!(ledger.expire(on("", 0).at).await.unwrap(), 0);
    assert_eq!(ledger.reserve(on("over", 0), &caps).await.unwrap(), Grant::Refused(CapScope::TenantDay));
    assert_eq!(settle(ledger, cost("under way", 5)).await, Settled::Corrected);
    assert_eq!(ledger.balances(&day(0)).await.unwrap(), [balance(8, 0, 0)]);
    assert_eq!(ledger.reserve(on("over", 0), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(settle(ledger, cost("tomorrow", 9)).await, Settled::Posted);
    assert_eq!(ledger.balances(&day(1)).await.unwrap(), [balance(9, 0, 0)], "the day that was asked pays");
    let month = ledger.balances(&[BalanceOf::TenantMonth(tenant("acme"), TODAY.month())]).await.unwrap();
    assert_eq!(month, [balance(17, 0, 10)]);
    assert_eq!(ledger.reserve(on("backwards", -1), &caps).await.unwrap(), Grant::Granted);
    assert_eq!(ledger.balances(&day(-1)).await.unwrap()[0].reserved, NanoUsd(10));
}
