//! Pacing: sees what judging would cost unthrottled, and every few seconds says how much of it each tenant may have judged.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use assize_core::budget::{Day, Month, Zone};
use assize_core::ledger::{BalanceOf, CapScope};
use assize_core::pacing::{Allowance, Controller, Profile};
use assize_core::{
    Accepted, Budget, DecisionState, NanoUsd, Outcome, ProjectName, Restraint, Scored, StoreError, TenantName, Timestamp,
};
use tokio_util::sync::CancellationToken;

use super::Pipeline;
use super::money::{Degraded, Money};

/// How often paces are set and leases that have run out are charged.
const EVERY: Duration = Duration::from_secs(5);
/// Tenants whose demand is followed; others are paced with the platform alone.
const TENANTS_MAX: usize = 10_000;
/// Balances that are asked for at once.
const BALANCES_AT_ONCE: usize = 500;
/// What was judged counts less by half after so much more of it.
const COST_MEMORY: f64 = 2_000.0;
/// A gap between two ticks counts as no longer than this.
const GAP_HOURS_MAX: f64 = 0.5;
/// Items that are left out of the backlog only where this part of their probability is gone: less is not worth a record.
pub const THIN_BELOW: f64 = 0.9;

/// How fast everybody may spend.
#[derive(Default)]
pub struct Paces {
    paces: RwLock<Published>,
    meters: Mutex<Meters>,
}

#[derive(Default)]
struct Published {
    platform: Option<f64>,
    tenants: HashMap<TenantName, f64>,
}

#[derive(Default)]
struct Meters {
    ticked: Option<Timestamp>,
    /// Hours between the last two ticks.
    gap: f64,
    tenants: HashMap<TenantName, Meter>,
    platform: Controller,
    platform_hours: Hours,
    cost: Cost,
}

/// What is seen of one tenant.
#[derive(Default)]
struct Meter {
    /// Questions that would have been drawn at pace 1, expected, since the last tick.
    demand: f64,
    /// Drawn and without an outcome yet, as far as this process knows.
    pending: f64,
    cost: Cost,
    controller: Controller,
    hours: Hours,
}

/// Questions to called judges that come with accepted interactions.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub struct Demanded {
    /// Expected to be drawn at pace 1.
    demand: f64,
    /// Drawn.
    drawn: f64,
}

impl Demanded {
    /// Those of a row that was decided at `pace`.
    pub fn of(row: &Accepted, pace: f64) -> Self {
        let mut asked = Self::default();
        for decision in &row.decisions {
            match decision.state {
                DecisionState::Drawn => asked.drawn += 1.0,
                DecisionState::Closed(Outcome::NotSampled, _) => {}
                DecisionState::Closed(..) => continue,
            }
            asked.demand += (decision.probability / pace.max(f64::MIN_POSITIVE)).min(1.0);
        }
        asked
    }

    /// Adds `other`.
    pub fn add(&mut self, other: Self) {
        self.demand += other.demand;
        self.drawn += other.drawn;
    }
}

/// Dollars of a drawn question, from those that ended lately.
#[derive(Default, Clone, Copy)]
struct Cost {
    dollars: f64,
    questions: f64,
}

impl Cost {
    fn paid(&mut self, dollars: f64, questions: f64) {
        let keep = 0.5_f64.powf(questions / COST_MEMORY);
        self.dollars = self.dollars * keep + dollars;
        self.questions = self.questions * keep + questions;
    }

    fn each(&self) -> Option<f64> {
        if self.questions > 0.0 { Some(self.dollars / self.questions) } else { None }
    }
}

/// The demand of the present day by its hours, and what was learned of the days before.
#[derive(Default)]
struct Hours {
    day: Option<Day>,
    by_hour: [f64; 24],
    /// Which hours of the day were seen, a bit each.
    seen: u32,
    profile: Profile,
    /// Whether a day was seen at all.
    learned: bool,
}

impl Hours {
    fn add(&mut self, day: Day, elapsed: f64, dollars: f64) {
        if self.day != Some(day) {
            // A day of which only a part was seen would be taken for one with an empty rest.
            let whole = self.seen.count_ones() >= 23;
            if let Some(seen) = Profile::of_day(&self.by_hour).filter(|_| whole) {
                if self.learned {
                    self.profile.learn(&seen)
                } else {
                    self.profile = seen
                }
                self.learned = true;
            }
            (self.day, self.by_hour, self.seen) = (Some(day), [0.0; 24], 0);
        }
        // A cast saturates.
        let hour = ((elapsed * 24.0) as usize).min(23);
        self.seen |= 1 << hour;
        if let Some(sum) = self.by_hour.get_mut(hour) {
            *sum += dollars;
        }
    }
}

impl Paces {
    /// The pace of a tenant, in (0, 1].
    pub fn of(&self, tenant: &TenantName) -> f64 {
        let published = self.paces.read().unwrap_or_else(PoisonError::into_inner);
        let platform = published.platform.unwrap_or(1.0);
        published.tenants.get(tenant).map_or(platform, |pace| pace.min(platform))
    }

    /// Sees what was accepted on behalf of `tenant`.
    pub fn accepted(&self, tenant: &TenantName, asked: Demanded) {
        if asked.demand > 0.0 {
            self.with(tenant, |meter, _| {
                meter.demand += asked.demand;
                meter.pending += asked.drawn;
            });
        }
    }

    /// Sees what drawn questions of `tenant` ended in, and what was paid for them.
    pub fn scored<'s>(&self, tenant: &TenantName, scored: impl Iterator<Item = &'s Scored>) {
        let (mut dollars, mut ended, mut asked) = (0.0, 0.0, 0.0);
        for one in scored {
            dollars += one.calls.iter().filter_map(|call| call.cost).map(NanoUsd::to_usd).sum::<f64>();
            let thinned = one.reason.as_ref().is_some_and(|reason| reason.code == THINNED);
            match one.outcome {
                None => {}
                Some(Outcome::OverBudget | Outcome::Expired | Outcome::Dropped) => ended += 1.0,
                Some(_) if thinned => ended += 1.0,
                Some(_) => (ended, asked) = (ended + 1.0, asked + 1.0),
            }
        }
        if dollars > 0.0 || ended > 0.0 {
            self.with(tenant, |meter, all| {
                meter.cost.paid(dollars, asked);
                all.paid(dollars, asked);
                meter.pending = (meter.pending - ended).max(0.0);
            });
        }
    }

    fn with(&self, tenant: &TenantName, change: impl FnOnce(&mut Meter, &mut Cost)) {
        let meters = &mut *self.meters();
        if meters.tenants.len() < TENANTS_MAX || meters.tenants.contains_key(tenant) {
            change(meters.tenants.entry(tenant.clone()).or_default(), &mut meters.cost);
        }
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The code of the reason of what was drawn and left out of the backlog later.
pub const THINNED: &str = "thinned";

impl Pipeline {
    /// Sees what was accepted, by project.
    pub fn see_demand(&self, demand: HashMap<ProjectName, Demanded>) {
        let Some(money) = &self.money else { return };
        for (project, asked) in demand {
            money.paces.accepted(&money.payers.policy_of(&project).0, asked);
        }
    }

    /// What holds a project back at this moment.
    pub fn restraint(&self, project: &ProjectName) -> Restraint {
        self.money.as_ref().map(|money| money.restraint(project, self.clock.now())).unwrap_or_default()
    }
}

/// Sets paces and charges what was reserved and never settled, until `stop`.
pub async fn run(pipeline: &Pipeline, stop: &CancellationToken) {
    let Some(money) = &pipeline.money else { return };
    loop {
        if let Err(error) = tick(money, pipeline.clock.now()).await {
            pipeline.counters.fault("pacing");
            tracing::error!(%error, "the ledger could not be worked on: paces stay as they are");
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return;
        }
    }
}

/// One tick.
pub async fn tick(money: &Money, now: Timestamp) -> Result<(), StoreError> {
    let expired = money.sweep(now).await?;
    if expired > 0 {
        tracing::warn!(expired, "reservations ended without a settlement: their bounds are charged");
    }
    if !money.is_paced {
        return Ok(());
    }
    let payers = seen(money, now);
    let platform = money.payers.platform().budget;
    let today = Zone::default().day(now);
    let mut wanted = Vec::new();
    for payer in &payers {
        wanted.extend(payer.budget.day_max.map(|_| BalanceOf::TenantDay(payer.tenant.clone(), payer.day)));
        wanted.extend(payer.budget.month_max.map(|_| BalanceOf::TenantMonth(payer.tenant.clone(), payer.day.month())));
    }
    wanted.extend(platform.day_max.map(|_| BalanceOf::PlatformDay(today)));
    wanted.extend(platform.month_max.map(|_| BalanceOf::PlatformMonth(today.month())));
    let mut committed: HashMap<BalanceOf, NanoUsd> = HashMap::new();
    for of in wanted.chunks(BALANCES_AT_ONCE) {
        let balances = money.ledger.balances(of).await?;
        committed.extend(of.iter().cloned().zip(balances.iter().map(|balance| balance.committed())));
    }
    publish(money, &payers, &committed, now);
    Ok(())
}

/// A tenant with demand.
struct Payer {
    tenant: TenantName,
    budget: Budget,
    day: Day,
    elapsed: f64,
}

/// Takes in what was seen since the last tick, and says of whom.
fn seen(money: &Money, now: Timestamp) -> Vec<Payer> {
    let meters = &mut *money.paces.meters();
    let gap = meters.ticked.map_or(0.0, |ticked| now.since(ticked).as_secs_f64() / 3_600.0).min(GAP_HOURS_MAX);
    (meters.ticked, meters.gap) = (Some(now), gap);
    // Whoever has gone needs no meter.
    meters.tenants.retain(|tenant, _| money.payers.policy(tenant).is_some());
    let mut payers = Vec::new();
    let mut all = 0.0;
    for (tenant, meter) in &mut meters.tenants {
        let Some(policy) = money.payers.policy(tenant) else { continue };
        let (day, elapsed) = (policy.time_zone.day(now), policy.time_zone.elapsed(now));
        // Before anything was paid, nothing is known of what would be.
        if let Some(each) = meter.cost.each().or(meters.cost.each())
            && gap > 0.0
        {
            let dollars = std::mem::take(&mut meter.demand) * each;
            meter.hours.add(day, elapsed, dollars);
            meter.controller.observe(dollars, gap, meter.hours.profile.density(elapsed));
            all += dollars;
        }
        payers.push(Payer { tenant: tenant.clone(), budget: policy.budget, day, elapsed });
    }
    if gap > 0.0 {
        let utc = Zone::default();
        let elapsed = utc.elapsed(now);
        meters.platform_hours.add(utc.day(now), elapsed, all);
        meters.platform.observe(all, gap, meters.platform_hours.profile.density(elapsed));
    }
    payers
}

/// Steers everybody, and says so.
fn publish(money: &Money, payers: &[Payer], committed: &HashMap<BalanceOf, NanoUsd>, now: Timestamp) {
    let left = |max: NanoUsd, of: BalanceOf| {
        let committed = committed.get(&of).copied().unwrap_or_default();
        NanoUsd(max.0.saturating_sub(committed.0)).to_usd()
    };
    let mut tenants = HashMap::new();
    let meters = &mut *money.paces.meters();
    let hours = meters.gap;
    let mut waiting_in_all = 0.0;
    for payer in payers {
        let Some(meter) = meters.tenants.get_mut(&payer.tenant) else { continue };
        let each = meter.cost.each().or(meters.cost.each()).unwrap_or(0.0);
        let waiting = meter.pending * each / meter.controller.pace();
        waiting_in_all += waiting;
        let to_come = meter.hours.profile.left(payer.elapsed);
        let day = payer
            .budget
            .day_max
            .map(|max| Allowance { left: left(max, BalanceOf::TenantDay(payer.tenant.clone(), payer.day)), hours: to_come });
        let month = payer.budget.month_max.map(|max| Allowance {
            left: left(max, BalanceOf::TenantMonth(payer.tenant.clone(), payer.day.month())),
            hours: to_come + 24.0 * days_left(payer.day),
        });
        if day.is_none() && month.is_none() {
            meter.controller.steer([], 0.0, hours);
            continue;
        }
        let pace = meter.controller.steer(day.into_iter().chain(month), waiting, hours);
        if pace < 1.0 {
            let why = if day.is_some() { CapScope::TenantDay } else { CapScope::TenantMonth };
            money.degradations.note(&payer.tenant, Degraded::Pace, why, now);
        }
        tenants.insert(payer.tenant.clone(), pace);
    }
    let (budget, today) = (money.payers.platform().budget, Zone::default().day(now));
    let to_come = meters.platform_hours.profile.left(Zone::default().elapsed(now));
    let day = budget.day_max.map(|max| Allowance { left: left(max, BalanceOf::PlatformDay(today)), hours: to_come });
    let month = budget.month_max.map(|max| Allowance {
        left: left(max, BalanceOf::PlatformMonth(today.month())),
        hours: to_come + 24.0 * days_left(today),
    });
    let allowances = day.into_iter().chain(month);
    let platform = meters.platform.steer(allowances, waiting_in_all, hours);
    if platform < 1.0 {
        let why = if day.is_some() { CapScope::PlatformDay } else { CapScope::PlatformMonth };
        for payer in payers.iter().filter(|payer| tenants.get(&payer.tenant).is_none_or(|pace| *pace > platform)) {
            money.degradations.note(&payer.tenant, Degraded::Pace, why, now);
        }
    }
    *money.paces.paces.write().unwrap_or_else(PoisonError::into_inner) = Published { platform: Some(platform), tenants };
}

/// Whole days of the month after `day`.
fn days_left(day: Day) -> f64 {
    let next = Month(day.month().0.saturating_add(1)).first();
    f64::from(next.0.saturating_sub(day.0).saturating_sub(1).max(0))
}
