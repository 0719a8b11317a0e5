//! Money in the flow: what an attempt may cost is set aside before it is made, and settled once it is on record.
//!
//! Who has no budget reserves as well, so that the ledger knows all that is spent. A reservation that nobody settles, after a crash or
//! where a provider does not say what it charged, ends in a charge of its bound.

mod degraded;
mod demand;
mod payers;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use assize_core::judge::{CallFailureKind, Tightness};
use assize_core::ledger::{CallCost, Cap, CapScope, Grant, Ledger, Reservation};
use assize_core::{
    Budget, CallId, CallRecord, CallStatus, Day, JudgeName, MetricName, NanoUsd, ProjectName, Reason, Restraint, Scored,
    StoreError, TenantName, TenantPolicy, Timestamp, Zone,
};

pub use degraded::{Degradation, Degradations, Degraded};
use demand::{Demand, Waits};
pub use payers::{OnePayer, Payers};

use super::pacing::Paces;
use crate::counters::Counters;

/// A reservation outlives the attempt's own deadline by this: time to put its end on record.
pub const LEASE_GRACE: Duration = Duration::from_secs(15);
/// Where the ledger cannot be asked, money is asked for again after this.
const TROUBLE_WAIT: Duration = Duration::from_secs(5);

/// The ledger, and what is known of those who pay.
pub struct Money {
    pub ledger: Arc<dyn Ledger>,
    pub payers: Arc<dyn Payers>,
    /// What could not be afforded.
    pub degradations: Degradations,
    /// How fast each tenant may spend.
    pub paces: Paces,
    /// Whether anybody is paced.
    pub is_paced: bool,
    demand: Mutex<Demand>,
    waits: Mutex<Waits>,
    /// Reserved by this process and not settled yet, with the end of each lease.
    open: Mutex<HashMap<CallId, Timestamp>>,
    /// The one day of a run that has no days.
    day: Option<Day>,
}

/// For what money is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub project: &'a ProjectName,
    pub judge: &'a JudgeName,
    /// What it is spent on, at least one.
    pub metrics: &'a [&'a MetricName],
    pub now: Timestamp,
    /// How long the attempt may be under way.
    pub lease: Duration,
}

/// Why an attempt is not made.
#[derive(Debug, Clone, PartialEq)]
pub enum Withheld {
    /// There may be money once calls under way are settled: ask again after this.
    Wait(Duration),
    /// The budget does not allow it, and why.
    Refused(Reason),
}

impl Money {
    pub fn new(ledger: Arc<dyn Ledger>, payers: Arc<dyn Payers>) -> Self {
        Self {
            ledger,
            payers,
            degradations: Degradations::default(),
            paces: Paces::default(),
            is_paced: true,
            demand: Mutex::default(),
            waits: Mutex::default(),
            open: Mutex::default(),
            day: None,
        }
    }

    /// The purse of a run that stops paying at `most`, however many days it takes.
    pub fn of_run(ledger: Arc<dyn Ledger>, most: NanoUsd, now: Timestamp) -> Self {
        let budget = Budget { day_max: Some(most), month_max: None };
        let day = Some(Zone::default().day(now));
        Self { day, ..Self::new(ledger, Arc::new(OnePayer::with(budget))) }
    }

    /// Sets aside what one attempt can cost at the most; `bound` says how much that is, `None` where it is free.
    pub async fn reserve(
        &self,
        call: &CallId,
        wanted: &Wanted<'_>,
        bound: impl Fn(Tightness) -> Option<NanoUsd>,
        counters: &Counters,
    ) -> Result<(), Withheld> {
        let Some(quick) = bound(Tightness::Quick) else { return Ok(()) };
        let (tenant, policy) = self.payers.policy_of(wanted.project);
        let mut reservation = self.reservation(call, wanted, tenant, &policy, quick);
        let caps = self.caps(&reservation.tenant, &policy, wanted.now);
        let mut granted = self.ledger.reserve(reservation.clone(), &caps).await;
        // Closer to the truth takes longer, and is worth it only here.
        if let Ok(Grant::MustWait(_) | Grant::Refused(_)) = granted
            && let Some(tight) = bound(Tightness::Tight).filter(|tight| *tight < quick)
        {
            reservation.bound = tight;
            granted = self.ledger.reserve(reservation.clone(), &caps).await;
        }
        match granted {
            Ok(Grant::Granted) => {
                self.open().insert(reservation.call, reservation.expires_at);
                Ok(())
            }
            Ok(Grant::MustWait(scope)) => {
                counters.withhold("wait", scope);
                let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
                Err(Withheld::Wait(waits.next(&reservation.tenant, wanted.now)))
            }
            Ok(Grant::Refused(scope)) => {
                counters.withhold("refused", scope);
                for metric in &reservation.metrics {
                    let what = Degraded::Judge { metric: metric.clone(), judge: reservation.judge.clone() };
                    self.degradations.note(&reservation.tenant, what, scope, wanted.now);
                }
                Err(Withheld::Refused(self.why(&reservation, &policy, &caps, scope)))
            }
            // Nothing is paid without the ledger.
            Err(error) => {
                counters.fault("ledger");
                tracing::error!(%error, "no money can be reserved, so that no judge is paid; trying again");
                Err(Withheld::Wait(TROUBLE_WAIT))
            }
        }
    }

    fn reservation(
        &self,
        call: &CallId,
        wanted: &Wanted<'_>,
        tenant: TenantName,
        policy: &TenantPolicy,
        bound: NanoUsd,
    ) -> Reservation {
        Reservation {
            call: call.clone(),
            tenant,
            project: wanted.project.clone(),
            judge: wanted.judge.clone(),
            metrics: wanted.metrics.iter().map(|metric| (*metric).clone()).collect(),
            bound,
            tenant_day: self.day.unwrap_or_else(|| policy.time_zone.day(wanted.now)),
            platform_day: self.day.unwrap_or_else(|| Zone::default().day(wanted.now)),
            at: wanted.now,
            expires_at: wanted.now.plus(wanted.lease),
        }
    }

    /// The limits of a reservation: the tenant's, the platform's, and, while others have demand, the tenant's part of the platform's.
    fn caps(&self, tenant: &TenantName, policy: &TenantPolicy, now: Timestamp) -> Vec<Cap> {
        let platform = self.payers.platform();
        let others = self.demand.lock().unwrap_or_else(PoisonError::into_inner).of_others(tenant, now);
        let share = |max: NanoUsd| demand::share_of(max, platform.tenant_share_max);
        let of = |scope, max: Option<NanoUsd>| max.map(|max| Cap { scope, max });
        let of_share = |scope, max: Option<NanoUsd>| of(scope, max.filter(|_| others).map(share));
        [
            of(CapScope::TenantDay, policy.budget.day_max),
            of(CapScope::TenantMonth, policy.budget.month_max),
            of(CapScope::PlatformDay, platform.budget.day_max),
            of(CapScope::PlatformMonth, platform.budget.month_max),
            of_share(CapScope::ShareOfDay, platform.budget.day_max),
            of_share(CapScope::ShareOfMonth, platform.budget.month_max),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// What is on record of an item that was not judged for want of money.
    fn why(&self, reservation: &Reservation, policy: &TenantPolicy, caps: &[Cap], scope: CapScope) -> Reason {
        let max = caps.iter().find(|cap| cap.scope == scope).map_or(NanoUsd::ZERO, |cap| cap.max);
        let (tenant, day) = (&reservation.tenant, reservation.tenant_day);
        let message = match scope {
            CapScope::TenantDay if self.day.is_some() => {
                format!("the run's budget of {max} is used up: give it more with --budget-usd")
            }
            CapScope::TenantDay => format!(
                "the budget of {max} of tenant {tenant} for {day} ({}) is used up: raise day_usd_max, or judge a smaller part",
                policy.time_zone.name()
            ),
            CapScope::TenantMonth => format!(
                "the budget of {max} of tenant {tenant} for {} is used up: raise month_usd_max, or judge a smaller part",
                day.month()
            ),
            CapScope::PlatformDay => {
                format!("the platform's budget of {max} for {} (UTC) is used up: raise its day_usd_max", reservation.platform_day)
            }
            CapScope::PlatformMonth => format!(
                "the platform's budget of {max} for {} is used up: raise its month_usd_max",
                reservation.platform_day.month()
            ),
            CapScope::ShareOfDay | CapScope::ShareOfMonth => format!(
                "tenant {tenant} has its part of {max} of the platform's budget, and others want theirs: raise tenant_share_max or \
                 the platform's budget"
            ),
        };
        Reason::new(scope.as_str(), message)
    }

    /// Settles calls that have ended. They must be on record.
    pub async fn settle<'c>(&self, calls: impl Iterator<Item = &'c CallRecord>, now: Timestamp) -> Result<(), StoreError> {
        let calls: Vec<&CallRecord> = {
            let open = self.open();
            // For what is free nothing was set aside; what a batch was reserved for may have been before a restart.
            calls.filter(|call| call.cost != Some(NanoUsd::ZERO) || open.contains_key(&call.id)).collect()
        };
        self.settle_again(calls.into_iter(), now).await
    }

    /// Settles calls that are on record, whoever has reserved for them: what was settled before stays as it is.
    pub async fn settle_again<'c>(&self, calls: impl Iterator<Item = &'c CallRecord>, now: Timestamp) -> Result<(), StoreError> {
        let mut costs: HashMap<&CallId, Option<NanoUsd>> = HashMap::new();
        for call in calls {
            let cost = costs.entry(&call.id).or_insert(Some(NanoUsd::ZERO));
            *cost = cost.and_then(|sum| Some(sum.plus(charged(call)?)));
        }
        let costs = costs.into_iter().map(|(call, cost)| CallCost { call: call.clone(), cost, at: now });
        self.post(costs.collect()).await
    }

    /// Sees what was recorded, for pacing.
    pub fn scored(&self, scored: &[Scored]) {
        for of in scored.chunk_by(|a, b| a.row.project == b.row.project) {
            if let Some(first) = of.first() {
                self.paces.scored(&self.payers.policy_of(&first.row.project).0, of.iter());
            }
        }
    }

    /// Gives back what was set aside for calls that were never made.
    pub async fn release(&self, calls: &[CallId], now: Timestamp) -> Result<(), StoreError> {
        self.post(calls.iter().map(|call| CallCost { call: call.clone(), cost: Some(NanoUsd::ZERO), at: now }).collect()).await
    }

    async fn post(&self, costs: Vec<CallCost>) -> Result<(), StoreError> {
        if costs.is_empty() {
            return Ok(());
        }
        let calls: Vec<CallId> = costs.iter().map(|cost| cost.call.clone()).collect();
        self.ledger.settle(costs).await?;
        let mut open = self.open();
        for call in &calls {
            open.remove(call);
        }
        Ok(())
    }

    /// Charges what was reserved and not settled in time.
    pub async fn sweep(&self, now: Timestamp) -> Result<u64, StoreError> {
        let expired = self.ledger.expire(now).await?;
        // Whoever still settles one of these is known to the ledger; here they would only pile up where an item was dropped midway.
        self.open().retain(|_, expires_at| expires_at.plus(KEPT_AFTER) > now);
        Ok(expired)
    }

    /// What holds a project back at this moment.
    pub fn restraint(&self, project: &ProjectName, now: Timestamp) -> Restraint {
        let (tenant, policy) = self.payers.policy_of(project);
        Restraint { rate: policy.sampling_at(now), pace: self.paces.of(&tenant) }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<CallId, Timestamp>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ledger remembers a call for an hour after its end.
const KEPT_AFTER: Duration = Duration::from_secs(3_600);

/// What one question of a call is charged with; `None` where nobody knows. What a provider answers with an error's status is not
/// billed, and costs nothing; a call that broke off, that a gateway gave up, or whose answer came without its usage, may have cost anything.
fn charged(call: &CallRecord) -> Option<NanoUsd> {
    let unbilled =
        [CallFailureKind::RateLimited, CallFailureKind::Unavailable, CallFailureKind::Unauthorized, CallFailureKind::Rejected];
    let is_unbilled = || unbilled.iter().any(|kind| call.error.as_deref() == Some(kind.code()));
    call.cost.or_else(|| (call.status == CallStatus::Failed && is_unbilled()).then_some(NanoUsd::ZERO))
}
