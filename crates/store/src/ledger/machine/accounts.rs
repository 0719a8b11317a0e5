//! Balances and totals in memory: what was touched of late, each as it is now. What is missing is read from the tables, which is right
//! as long as nobody else has folded since: the machine begins anew then.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use assize_core::ledger::{BalanceOf, CapScope};
use assize_core::{Day, NanoUsd, StoreError};

use super::amounts::Amounts;
use super::disk::{BalanceKey, Disk, Parts};
use super::event::{Event, Purpose, PurposeId, What};

/// How many balances memory holds after a fold. Of more, all are let go, and those that are needed are read again.
const BALANCES_MAX: usize = 200_000;

/// Every scope, at the place of its balance in a [`Route`].
pub(crate) const SCOPES: [CapScope; 6] = [
    CapScope::TenantDay,
    CapScope::TenantMonth,
    CapScope::PlatformDay,
    CapScope::PlatformMonth,
    CapScope::ShareOfDay,
    CapScope::ShareOfMonth,
];

/// The place of a scope in [`SCOPES`]; it is stored, and never changes.
pub(crate) fn place(scope: CapScope) -> usize {
    match scope {
        CapScope::TenantDay => 0,
        CapScope::TenantMonth => 1,
        CapScope::PlatformDay => 2,
        CapScope::PlatformMonth => 3,
        CapScope::ShareOfDay => 4,
        CapScope::ShareOfMonth => 5,
    }
}

/// Where the money of a purpose counts on its days.
#[derive(Clone, Copy)]
pub(crate) struct Route {
    balances: [u32; 6],
    total: u32,
}

#[derive(Clone)]
struct Kept<K, V> {
    key: K,
    value: V,
    is_changed: bool,
}

/// A list of what is kept, found by key, that knows what has changed.
#[derive(Clone)]
struct Table<K, V> {
    rows: Vec<Kept<K, V>>,
    changed: Vec<u32>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: Vec::new(), changed: Vec::new() }
    }
}

impl<K, V> Table<K, V> {
    fn push(&mut self, key: K, value: V) -> u32 {
        self.rows.push(Kept { key, value, is_changed: false });
        // Let go long before: see `BALANCES_MAX`.
        u32::try_from(self.rows.len() - 1).unwrap_or(u32::MAX)
    }

    fn change(&mut self, at: u32) -> Option<&mut V> {
        let row = self.rows.get_mut(at as usize)?;
        if !row.is_changed {
            row.is_changed = true;
            self.changed.push(at);
        }
        Some(&mut row.value)
    }

    fn changed(&self) -> impl Iterator<Item = &Kept<K, V>> {
        self.changed.iter().filter_map(|at| self.rows.get(*at as usize))
    }

    fn settle(&mut self) {
        for at in std::mem::take(&mut self.changed) {
            if let Some(row) = self.rows.get_mut(at as usize) {
                row.is_changed = false;
            }
        }
    }
}

/// Hashes numbers that are the ledger's own, so that nobody can choose them: purposes and days. Multiplies by 2^64 over the golden ratio
/// (Knuth, The Art of Computer Programming 3, 6.4), and brings the high half, which depends on all bits, to where tables look.
#[derive(Default, Clone, Copy)]
struct OwnNumbers(u64);

impl Hasher for OwnNumbers {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u32(number.cast_unsigned());
    }
}

type ByNumbers<K, V> = HashMap<K, V, BuildHasherDefault<OwnNumbers>>;

#[derive(Default, Clone)]
pub(crate) struct Accounts {
    balances: Table<BalanceKey, Amounts>,
    totals: Table<(PurposeId, Day), Parts>,
    places: HashMap<BalanceKey, u32>,
    total_places: ByNumbers<(PurposeId, Day), u32>,
    routes: ByNumbers<(PurposeId, Day, Day), Route>,
}

/// The key of what `of` names.
pub(crate) fn key_of(of: &BalanceOf) -> BalanceKey {
    let key = |scope, tenant: Option<&assize_core::TenantName>, period| BalanceKey { scope, tenant: tenant.cloned(), period };
    match of {
        BalanceOf::TenantDay(tenant, day) => key(CapScope::TenantDay, Some(tenant), day.0),
        BalanceOf::TenantMonth(tenant, month) => key(CapScope::TenantMonth, Some(tenant), month.0),
        BalanceOf::ShareOfDay(tenant, day) => key(CapScope::ShareOfDay, Some(tenant), day.0),
        BalanceOf::ShareOfMonth(tenant, month) => key(CapScope::ShareOfMonth, Some(tenant), month.0),
        BalanceOf::PlatformDay(day) => key(CapScope::PlatformDay, None, day.0),
        BalanceOf::PlatformMonth(month) => key(CapScope::PlatformMonth, None, month.0),
    }
}

fn key_in(scope: CapScope, purpose: &Purpose, tenant_day: Day, platform_day: Day) -> BalanceKey {
    let tenant = Some(purpose.tenant.clone());
    let (tenant, period) = match scope {
        CapScope::TenantDay => (tenant, tenant_day.0),
        CapScope::TenantMonth => (tenant, tenant_day.month().0),
        CapScope::PlatformDay => (None, platform_day.0),
        CapScope::PlatformMonth => (None, platform_day.month().0),
        CapScope::ShareOfDay => (tenant, platform_day.0),
        CapScope::ShareOfMonth => (tenant, platform_day.month().0),
    };
    BalanceKey { scope, tenant, period }
}

impl Accounts {
    /// Where the money of a purpose counts on its days, if that is known already.
    pub fn known(&self, purpose: PurposeId, tenant_day: Day, platform_day: Day) -> Option<Route> {
        self.routes.get(&(purpose, tenant_day, platform_day)).copied()
    }

    /// Reads what is not known of where the money of `purpose`, whose number is `id`, counts on its days.
    pub fn route(
        &mut self,
        disk: &mut impl Disk,
        id: PurposeId,
        purpose: &Purpose,
        (tenant_day, platform_day): (Day, Day),
    ) -> Result<Route, StoreError> {
        let mut balances = [0; 6];
        for (at, scope) in balances.iter_mut().zip(SCOPES) {
            let key = key_in(scope, purpose, tenant_day, platform_day);
            *at = match self.places.get(&key) {
                Some(at) => *at,
                None => {
                    let at = self.balances.push(key.clone(), disk.balance(&key)?);
                    self.places.insert(key, at);
                    at
                }
            };
        }
        let total = match self.total_places.get(&(id, tenant_day)) {
            Some(at) => *at,
            None => {
                let mut parts = disk.parts(id, tenant_day)?;
                parts.amounts.resize(purpose.metrics.len(), Amounts::default());
                let at = self.totals.push((id, tenant_day), parts);
                self.total_places.insert((id, tenant_day), at);
                at
            }
        };
        let route = Route { balances, total };
        self.routes.insert((id, tenant_day, platform_day), route);
        Ok(route)
    }

    /// How the scope stands there.
    pub fn amounts(&self, route: Route, scope: CapScope) -> Amounts {
        let at = route.balances[place(scope)];
        self.balances.rows.get(at as usize).map_or(Amounts::default(), |row| row.value)
    }

    /// What all scopes there have spent at least.
    pub fn spent(&self, route: Route) -> i128 {
        SCOPES.into_iter().map(|scope| self.amounts(route, scope).spent).min().unwrap_or(0)
    }

    /// What the part `at` of a purpose has spent on a day of the tenant. It is not kept if it was not.
    pub fn spent_on(&self, disk: &mut impl Disk, purpose: PurposeId, day: Day, at: usize) -> Result<i128, StoreError> {
        let spent = |parts: &Parts| parts.amounts.get(at).map_or(0, |amounts| amounts.spent);
        match self.total_places.get(&(purpose, day)).and_then(|at| self.totals.rows.get(*at as usize)) {
            Some(row) => Ok(spent(&row.value)),
            None => Ok(spent(&disk.parts(purpose, day)?)),
        }
    }

    /// How a balance stands. It is not kept if it was not.
    pub fn balance(&self, disk: &mut impl Disk, key: &BalanceKey) -> Result<Amounts, StoreError> {
        match self.places.get(key).and_then(|at| self.balances.rows.get(*at as usize)) {
            Some(row) => Ok(row.value),
            None => disk.balance(key),
        }
    }

    /// Moves the money of an event.
    pub fn post(&mut self, route: Route, event: &Event) {
        for at in route.balances {
            if let Some(amounts) = self.balances.change(at) {
                post(amounts, event.what, 0, 1);
            }
        }
        if let Some(parts) = self.totals.change(route.total) {
            let metrics = parts.amounts.len() as u64;
            for (at, amounts) in (0..).zip(&mut parts.amounts) {
                post(amounts, event.what, at, metrics);
            }
            parts.calls += u64::from(matches!(event.what, What::Reserved { .. }));
        }
    }

    /// Balances that have changed since the last fold.
    pub fn changed_balances(&self) -> Vec<(&BalanceKey, Amounts)> {
        self.balances.changed().map(|row| (&row.key, row.value)).collect()
    }

    /// Totals that have.
    pub fn changed_totals(&self) -> Vec<(PurposeId, Day, &Parts)> {
        self.totals.changed().map(|row| (row.key.0, row.key.1, &row.value)).collect()
    }

    /// The tables have it all.
    pub fn folded(&mut self) {
        if self.balances.rows.len() > BALANCES_MAX || self.totals.rows.len() > BALANCES_MAX {
            *self = Self::default();
        }
        self.balances.settle();
        self.totals.settle();
    }
}

/// The part `at` of `n` of what an event moves, in the parts of [`NanoUsd::split`].
fn post(amounts: &mut Amounts, what: What, at: u64, n: u64) {
    let n = n.max(1);
    let part = |amount: NanoUsd| i128::from(amount.0 / n + u64::from(at < amount.0 % n));
    match what {
        What::Reserved { bound, .. } => amounts.reserved += part(bound),
        What::Assumed { bound } => {
            amounts.reserved -= part(bound);
            amounts.assumed += part(bound);
        }
        What::Settled { was_assumed, bound, cost } => {
            *(if was_assumed { &mut amounts.assumed } else { &mut amounts.reserved }) -= part(bound);
            amounts.spent += part(cost);
        }
        What::Adjusted { amount, is_refund: false } => amounts.spent += part(amount),
        What::Adjusted { amount, is_refund: true } => amounts.spent -= part(amount),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_money() {
        for (amount, n) in [(0, 1), (1, 3), (5, 3), (1_000_003, 7), (u64::MAX, 4)] {
            let parts: Vec<NanoUsd> = (0..n)
                .map(|at| {
                    let mut amounts = Amounts::default();
                    post(&mut amounts, What::Reserved { bound: NanoUsd(amount), expires_at: assize_core::Timestamp(0) }, at, n);
                    amounts.balance().reserved
                })
                .collect();
            assert_eq!(parts, NanoUsd(amount).split(n as usize));
        }
    }

    #[test]
    fn every_scope_has_its_place() {
        for (at, scope) in SCOPES.into_iter().enumerate() {
            assert_eq!(place(scope), at);
        }
    }
}
