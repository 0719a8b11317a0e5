//! The machine against a naive ledger that keeps every call and sums up whenever it is asked, over random operations of two processes
//! with restarts, folds and lost transactions anywhere between.

use std::collections::BTreeMap;

use assize_core::ledger::{Account, CapScope, Total};
use assize_core::{JudgeName, MetricName, NanoUsd, ProjectName, TenantName};
use proptest::prelude::*;

use super::accounts::SCOPES;
use super::*;
use crate::ledger::memory::MemoryDisk;

pub(super) const MORNING: Timestamp = assize_testkit::samples::MORNING;
pub(super) const TODAY: Day = Day(20_781);
const HOUR_MS: i64 = 3_600_000;

pub(super) fn reservation(call: &str, bound: u64) -> Reservation {
    Reservation {
        call: CallId(call.to_owned()),
        tenant: TenantName::new("acme").unwrap(),
        project: ProjectName::new("chat").unwrap(),
        judge: JudgeName::new("gpt-4o").unwrap(),
        metrics: vec![MetricName::new("refusal").unwrap()],
        bound: NanoUsd(bound),
        tenant_day: TODAY,
        platform_day: TODAY,
        at: MORNING,
        expires_at: Timestamp(MORNING.0 + 60_000),
    }
}

pub(super) fn cost(call: &str, cost: Option<u64>) -> CallCost {
    CallCost { call: CallId(call.to_owned()), cost: cost.map(NanoUsd), at: MORNING }
}

pub(super) fn cap(scope: CapScope, max: u64) -> Cap {
    Cap { scope, max: NanoUsd(max) }
}

#[derive(Debug, Clone)]
enum Operation {
    Reserve(Reservation, Vec<Cap>),
    Settle(CallCost),
    Expire(Timestamp),
    Adjust(Adjustment),
}

/// What is done, and by which process; whether its transaction is lost, whether it begins anew before, whether the tables are brought
/// up to date after.
#[derive(Debug, Clone)]
struct Act {
    operation: Operation,
    process: usize,
    is_lost: bool,
    is_new: bool,
    folds: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Answer {
    Grant(Grant),
    Settled(Settled),
    Expired(u64),
    Adjusted(bool),
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Reserved,
    Assumed,
    Forgotten,
    Settled(u64),
    Adjusted(i128),
}

struct Entry {
    asked: Reservation,
    due: Timestamp,
    state: State,
}

/// The naive ledger.
#[derive(Default)]
struct Naive(BTreeMap<String, Entry>);

/// Whether a call counts in a scope of the payer of `asked`.
fn counts(entry: &Reservation, asked: &Reservation, scope: CapScope) -> bool {
    let same_tenant = entry.tenant == asked.tenant;
    match scope {
        CapScope::TenantDay => same_tenant && entry.tenant_day == asked.tenant_day,
        CapScope::TenantMonth => same_tenant && entry.tenant_day.month() == asked.tenant_day.month(),
        CapScope::PlatformDay => entry.platform_day == asked.platform_day,
        CapScope::PlatformMonth => entry.platform_day.month() == asked.platform_day.month(),
        CapScope::ShareOfDay => same_tenant && entry.platform_day == asked.platform_day,
        CapScope::ShareOfMonth => same_tenant && entry.platform_day.month() == asked.platform_day.month(),
    }
}

impl Naive {
    fn amounts(&self, asked: &Reservation, scope: CapScope) -> Amounts {
        let mut sum = Amounts::default();
        for entry in self.0.values().filter(|entry| counts(&entry.asked, asked, scope)) {
            let bound = i128::from(entry.asked.bound.0);
            match entry.state {
                State::Reserved => sum.reserved += bound,
                State::Assumed | State::Forgotten => sum.assumed += bound,
                State::Settled(cost) => sum.spent += i128::from(cost),
                State::Adjusted(amount) => sum.spent += amount,
            }
        }
        sum
    }

    /// What was paid for one metric of one project and judge on a day of the tenant.
    fn spent_on(&self, asked: &Reservation) -> i128 {
        let same = |entry: &&Entry| {
            let Reservation { tenant, project, judge, tenant_day, .. } = &entry.asked;
            (tenant, project, judge, tenant_day) == (&asked.tenant, &asked.project, &asked.judge, &asked.tenant_day)
        };
        let part = |entry: &Entry| {
            let at = entry.asked.metrics.iter().position(|metric| *metric == asked.metrics[0])?;
            match entry.state {
                State::Settled(cost) => Some(i128::from(NanoUsd(cost).split(entry.asked.metrics.len())[at].0)),
                State::Adjusted(amount) => Some(amount),
                _ => None,
            }
        };
        self.0.values().filter(same).filter_map(part).sum()
    }

    fn run(&mut self, operation: &Operation) -> Answer {
        match operation {
            Operation::Reserve(asked, caps) => Answer::Grant(self.reserve(asked, caps)),
            Operation::Settle(told) => Answer::Settled(self.settle(told)),
            Operation::Expire(now) => {
                let mut expired = 0;
                for entry in self.0.values_mut().filter(|entry| entry.due <= *now) {
                    match entry.state {
                        State::Reserved => {
                            (entry.state, entry.due) = (State::Assumed, now.plus(AWAITED));
                            expired += 1;
                        }
                        State::Assumed => entry.state = State::Forgotten,
                        _ => {}
                    }
                }
                Answer::Expired(expired)
            }
            Operation::Adjust(by_hand) => Answer::Adjusted(self.adjust(by_hand)),
        }
    }

    fn reserve(&mut self, asked: &Reservation, caps: &[Cap]) -> Grant {
        if self.0.get(&asked.call.0).is_some_and(|entry| entry.state != State::Forgotten) {
            return Grant::Granted;
        }
        let bound = i128::from(asked.bound.0);
        let passes = |cap: &&Cap, stands: fn(&Amounts) -> i128| {
            bound > 0 && stands(&self.amounts(asked, cap.scope)) + bound > i128::from(cap.max.0)
        };
        if let Some(cap) = caps.iter().find(|cap| passes(cap, Amounts::certain)) {
            return Grant::Refused(cap.scope);
        }
        if let Some(cap) = caps.iter().find(|cap| passes(cap, Amounts::committed)) {
            return Grant::MustWait(cap.scope);
        }
        self.put(Entry { asked: asked.clone(), due: asked.expires_at, state: State::Reserved });
        Grant::Granted
    }

    /// What is waited for no longer stays charged, and its id is free.
    fn put(&mut self, entry: Entry) {
        let name = format!("{} the former, {}", entry.asked.call.0, self.0.len());
        let former = self.0.insert(entry.asked.call.0.clone(), entry);
        self.0.extend(former.map(|former| (name, former)));
    }

    fn settle(&mut self, told: &CallCost) -> Settled {
        let Some(entry) = self.0.get_mut(&told.call.0) else { return Settled::Unknown };
        match (entry.state, told.cost) {
            (State::Reserved, Some(cost)) => {
                entry.state = State::Settled(cost.0);
                Settled::Posted
            }
            (State::Reserved, None) => {
                (entry.state, entry.due) = (State::Assumed, told.at.plus(AWAITED));
                Settled::Posted
            }
            (State::Assumed, Some(cost)) => {
                entry.state = State::Settled(cost.0);
                Settled::Corrected
            }
            (State::Forgotten, _) => Settled::Unknown,
            _ => Settled::Again,
        }
    }

    fn adjust(&mut self, by_hand: &Adjustment) -> bool {
        if self.0.get(&by_hand.id.0).is_some_and(|entry| entry.state != State::Forgotten) {
            return false;
        }
        let asked = payer(by_hand);
        let mut amount = i128::from(by_hand.amount.0);
        if by_hand.is_refund {
            let spent = SCOPES.into_iter().map(|scope| self.amounts(&asked, scope).spent).min().unwrap();
            amount = -amount.min(spent).min(self.spent_on(&asked)).max(0);
        }
        self.put(Entry { asked, due: Timestamp(i64::MAX), state: State::Adjusted(amount) });
        true
    }
}

/// A correction as a call that counts where it does.
fn payer(by_hand: &Adjustment) -> Reservation {
    let Adjustment { id, tenant, project, metric, judge, tenant_day, platform_day, at, .. } = by_hand.clone();
    let (bound, metrics, expires_at) = (NanoUsd::ZERO, vec![metric], at);
    Reservation { call: id, tenant, project, judge, metrics, bound, tenant_day, platform_day, at, expires_at }
}

fn run(machine: &mut Machine, disk: &mut MemoryDisk, operation: &Operation) -> Answer {
    match operation.clone() {
        Operation::Reserve(asked, caps) => Answer::Grant(machine.reserve(disk, asked, &caps).unwrap()),
        Operation::Settle(told) => Answer::Settled(machine.settle(disk, told).unwrap()),
        Operation::Expire(now) => Answer::Expired(machine.expire(disk, now).unwrap().0),
        Operation::Adjust(by_hand) => Answer::Adjusted(machine.adjust(disk, by_hand).unwrap()),
    }
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0_u64..40, 1 => Just(u64::MAX), 1 => any::<u64>()]
}

fn asked() -> impl Strategy<Value = Reservation> {
    let metrics = prop::sample::subsequence(vec!["a", "b", "c"], 1..=3);
    let days = (-1_i32..9, -1_i32..9);
    (0..10_u32, 0..3_usize, metrics, days, amount(), 0..5_i64).prop_map(|(call, tenant, metrics, days, bound, lease)| {
        let at = Timestamp(MORNING.0 + i64::from(call) * 1_000);
        Reservation {
            tenant: TenantName::new(["acme", "beta", "acme"][tenant]).unwrap(),
            project: ProjectName::new(["chat", "chat", "mail"][tenant]).unwrap(),
            metrics: metrics.into_iter().map(|metric| MetricName::new(metric).unwrap()).collect(),
            tenant_day: Day(TODAY.0 + days.0),
            platform_day: Day(TODAY.0 + days.1),
            at,
            expires_at: Timestamp(at.0 + lease * HOUR_MS),
            ..reservation(&format!("c{call}"), bound)
        }
    })
}

fn operation() -> impl Strategy<Value = Operation> {
    let caps = prop::collection::vec((prop::sample::select(SCOPES.to_vec()), amount()), 0..3);
    let caps = caps.prop_map(|caps| caps.into_iter().map(|(scope, max)| cap(scope, max.saturating_mul(3))).collect());
    let adjust = (asked(), 0..4_u32, any::<bool>()).prop_map(|(asked, id, is_refund)| {
        let Reservation { tenant, project, judge, tenant_day, platform_day, bound, at, mut metrics, .. } = asked;
        let (id, metric) = (CallId(format!("c{}", 8 + id)), metrics.remove(0));
        Adjustment { id, tenant, project, metric, judge, tenant_day, platform_day, amount: bound, is_refund, at }
    });
    prop_oneof![
        6 => (asked(), caps).prop_map(|(asked, caps)| Operation::Reserve(asked, caps)),
        6 => (0..12_u32, prop::option::of(amount()), 0..200_i64).prop_map(|(call, paid, hours)| {
            Operation::Settle(CallCost { at: Timestamp(MORNING.0 + hours * HOUR_MS), ..cost(&format!("c{call}"), paid) })
        }),
        2 => (0..20_i64).prop_map(|hours| Operation::Expire(Timestamp(MORNING.0 + hours * hours * HOUR_MS))),
        1 => adjust.prop_map(Operation::Adjust),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let chance = |percent: u8| (0..100_u8).prop_map(move |drawn| drawn < percent);
    (operation(), 0..2_usize, chance(10), chance(10), chance(15)).prop_map(|(operation, process, is_lost, is_new, folds)| Act {
        operation,
        process,
        is_lost,
        is_new,
        folds,
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    (1..20_u64, 1..20_u64, 0..5_usize, 0..3_usize).prop_map(|(events_max, appends_max, calls_max, purposes_max)| Limits {
        events_max,
        appends_max,
        calls_max,
        purposes_max,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn the_machine_answers_as_the_naive_ledger(acts in prop::collection::vec(act(), 1..50), limits in limits()) {
        let (mut naive, mut disk) = (Naive::default(), MemoryDisk::default());
        let mut machines = [Machine::new(limits), Machine::new(limits)];
        for (at, act) in acts.iter().enumerate() {
            let machine = &mut machines[act.process];
            if act.is_new {
                *machine = Machine::new(limits);
            }
            let before = disk.clone();
            machine.catch_up(&mut disk).unwrap();
            let answer = run(machine, &mut disk, &act.operation);
            machine.finish(&mut disk).unwrap();
            if act.is_lost {
                (disk, *machine) = (before, Machine::new(limits));
                continue;
            }
            prop_assert_eq!(answer, naive.run(&act.operation), "{}: {:?}", at, act);
            if act.folds {
                machine.fold(&mut disk).unwrap();
            }
            prop_assert!(machine.standing == disk.standing().unwrap());
        }
        check_balances(&naive, &mut machines, &mut disk)?;
        check_journal(&naive, &disk)?;
        check_totals(&naive, &mut machines[0], &mut disk)?;
    }
}

fn check_balances(naive: &Naive, machines: &mut [Machine; 2], disk: &mut MemoryDisk) -> Result<(), TestCaseError> {
    for machine in machines {
        machine.catch_up(disk).unwrap();
        for Entry { asked, .. } in naive.0.values() {
            let Reservation { tenant, tenant_day, platform_day, .. } = asked.clone();
            let of = [
                (CapScope::TenantDay, BalanceOf::TenantDay(tenant.clone(), tenant_day)),
                (CapScope::TenantMonth, BalanceOf::TenantMonth(tenant.clone(), tenant_day.month())),
                (CapScope::PlatformDay, BalanceOf::PlatformDay(platform_day)),
                (CapScope::PlatformMonth, BalanceOf::PlatformMonth(platform_day.month())),
                (CapScope::ShareOfDay, BalanceOf::ShareOfDay(tenant.clone(), platform_day)),
                (CapScope::ShareOfMonth, BalanceOf::ShareOfMonth(tenant, platform_day.month())),
            ];
            for (scope, of) in of {
                let found = machine.balances(disk, std::slice::from_ref(&of)).unwrap();
                prop_assert_eq!(found[0], naive.amounts(asked, scope).balance(), "{:?}", of);
            }
        }
    }
    Ok(())
}

/// The movements alone give how the money of every call stands.
fn check_journal(naive: &Naive, disk: &MemoryDisk) -> Result<(), TestCaseError> {
    let mut accounts: BTreeMap<(String, Account), i128> = BTreeMap::new();
    for event in disk.journal() {
        let (one, two) = event.what.movements();
        for (from, to, amount) in std::iter::once(one).chain(two) {
            *accounts.entry((event.call.0.clone(), from)).or_default() -= i128::from(amount.0);
            *accounts.entry((event.call.0.clone(), to)).or_default() += i128::from(amount.0);
        }
    }
    prop_assert_eq!(accounts.values().sum::<i128>(), 0);
    let mut expected: BTreeMap<&str, [i128; 3]> = BTreeMap::new();
    for entry in naive.0.values() {
        let bound = i128::from(entry.asked.bound.0);
        let [reserved, assumed, spent] = expected.entry(&entry.asked.call.0).or_default();
        match entry.state {
            State::Reserved => *reserved += bound,
            State::Assumed | State::Forgotten => *assumed += bound,
            State::Settled(cost) => *spent += i128::from(cost),
            State::Adjusted(amount) => *spent += amount,
        }
    }
    for (call, stands) in expected {
        let has = |account| accounts.get(&(call.to_owned(), account)).copied().unwrap_or_default();
        prop_assert_eq!([has(Account::Reserved), has(Account::Assumed), has(Account::Spent)], stands, "{}", call);
    }
    Ok(())
}

/// Totals are the parts of all calls.
fn check_totals(naive: &Naive, machine: &mut Machine, disk: &mut MemoryDisk) -> Result<(), TestCaseError> {
    machine.fold(disk).unwrap();
    let mut expected: BTreeMap<_, (Amounts, u64)> = BTreeMap::new();
    for Entry { asked, state, .. } in naive.0.values() {
        let metrics = asked.metrics.len();
        for (at, metric) in asked.metrics.iter().enumerate() {
            let part = |amount: NanoUsd| i128::from(amount.split(metrics)[at].0);
            let key = (&asked.tenant, asked.tenant_day, &asked.project, metric, &asked.judge);
            let (sum, calls) = expected.entry(key).or_default();
            match *state {
                State::Reserved => sum.reserved += part(asked.bound),
                State::Assumed | State::Forgotten => sum.assumed += part(asked.bound),
                State::Settled(cost) => sum.spent += part(NanoUsd(cost)),
                State::Adjusted(amount) => sum.spent += amount,
            }
            *calls += u64::from(at == 0 && !matches!(state, State::Adjusted(_)));
        }
    }
    let found = disk.totals(&assize_core::ledger::TotalsQuery { tenant: None, from: Day(i32::MIN), to: Day(i32::MAX) }).unwrap();
    let expected: Vec<Total> = expected
        .into_iter()
        .map(|((tenant, day, project, metric, judge), (amounts, calls))| Total {
            tenant: tenant.clone(),
            project: project.clone(),
            metric: metric.clone(),
            judge: judge.clone(),
            day,
            balance: amounts.balance(),
            calls,
        })
        .collect();
    prop_assert_eq!(found, expected);
    Ok(())
}
