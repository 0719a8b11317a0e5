//! The port of the ledger: money is reserved before a judge is called, and settled with what the call cost.
//!
//! Double entry: every posting moves an amount of one call from one [`Account`] to another, so that nothing appears or vanishes. A
//! reservation moves its bound from `available` to `reserved`; settling moves the cost on to `spent` and gives back the rest; what
//! was never settled becomes `assumed` in full, and is corrected when the cost is learned after all. A cap holds if
//! `spent + assumed + reserved` never passes it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::budget::{Day, Month};
use crate::{CallId, JudgeName, MetricName, NanoUsd, ProjectName, StoreError, TenantName, Timestamp};

/// Money asked for before a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reservation {
    /// The attempt's own id, of 1 to 256 bytes. Asking again for one that was granted changes nothing and gets the same answer; one that was
    /// not granted left nothing behind, and is decided anew.
    pub call: CallId,
    /// Who pays.
    pub tenant: TenantName,
    /// For which project.
    pub project: ProjectName,
    /// The judge that is called.
    pub judge: JudgeName,
    /// The metrics that it is asked about, at least one; cost is split over them as [`NanoUsd::split`] does.
    pub metrics: Vec<MetricName>,
    /// The most that the call can cost.
    pub bound: NanoUsd,
    /// The day that pays, in the tenant's time zone. It stays, whenever the call is settled.
    pub tenant_day: Day,
    /// The day that pays, in UTC.
    pub platform_day: Day,
    /// When it is asked for.
    pub at: Timestamp,
    /// From when on the bound counts as spent unless the call was settled.
    pub expires_at: Timestamp,
}

/// Whose spend of what time a cap limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CapScope {
    /// The tenant's, in its own day.
    TenantDay,
    /// The tenant's, in the month of its own day.
    TenantMonth,
    /// All tenants', in the day of UTC.
    PlatformDay,
    /// All tenants', in the month of UTC.
    PlatformMonth,
    /// The tenant's, in the day of UTC: its part of the platform's budget.
    ShareOfDay,
    /// The tenant's, in the month of UTC.
    ShareOfMonth,
}

impl CapScope {
    /// The scope as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TenantDay => "tenant_day",
            Self::TenantMonth => "tenant_month",
            Self::PlatformDay => "platform_day",
            Self::PlatformMonth => "platform_month",
            Self::ShareOfDay => "share_of_day",
            Self::ShareOfMonth => "share_of_month",
        }
    }
}

/// A limit that a reservation must stay within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cap {
    /// What it limits.
    pub scope: CapScope,
    /// To how much.
    pub max: NanoUsd,
}

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// The money is set aside, durably: the call may be made.
    Granted,
    /// It would fit once calls that are under way are settled for less than their bounds.
    MustWait(CapScope),
    /// It does not fit, whatever those cost.
    Refused(CapScope),
}

/// What a call cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallCost {
    /// The call.
    pub call: CallId,
    /// Its cost; zero for an attempt that reached nobody. `None` where the provider did not say: the bound then stays charged, as
    /// assumed, until the cost is learned.
    pub cost: Option<NanoUsd>,
    /// When it was learned.
    pub at: Timestamp,
}

/// What became of a settlement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// It was posted.
    Posted,
    /// The reservation had expired; what was assumed is corrected.
    Corrected,
    /// The call was settled before, or it is assumed and its cost is still not known; nothing changed.
    Again,
    /// No reservation is known by this id; nothing changed. Nor is one of which nobody told the cost for eight days after it expired: what
    /// was assumed then stays.
    Unknown,
}

/// Where money can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Account {
    /// Not asked for.
    Available,
    /// Set aside for a call that is under way.
    Reserved,
    /// Charged for a call whose cost nobody told.
    Assumed,
    /// Paid.
    Spent,
}

/// One posting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// Its place in the journal; only grows.
    pub number: u64,
    /// The call, or the id of a correction by hand.
    pub call: CallId,
    /// Who pays.
    pub tenant: TenantName,
    /// The day that pays, in the tenant's time zone.
    pub tenant_day: Day,
    /// Where the amount was.
    pub from: Account,
    /// Where it is.
    pub to: Account,
    /// How much.
    pub amount: NanoUsd,
    /// When it was posted.
    pub at: Timestamp,
}

/// A correction by hand, such as a refund. It counts in `spent` like a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adjustment {
    /// Names it; the same one twice changes nothing.
    pub id: CallId,
    /// Whose spend is corrected.
    pub tenant: TenantName,
    /// Of which project.
    pub project: ProjectName,
    /// For which metric.
    pub metric: MetricName,
    /// For which judge.
    pub judge: JudgeName,
    /// In which of the tenant's days.
    pub tenant_day: Day,
    /// In which day of UTC.
    pub platform_day: Day,
    /// How much.
    pub amount: NanoUsd,
    /// Whether the amount was spent beyond what is on record, or given back.
    pub is_refund: bool,
    /// When it was made.
    pub at: Timestamp,
}

/// How money stands in some scope and time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Balance {
    /// Paid.
    pub spent: NanoUsd,
    /// Charged for calls whose cost nobody told.
    pub assumed: NanoUsd,
    /// Set aside for calls under way.
    pub reserved: NanoUsd,
}

impl Balance {
    /// All that counts towards a cap.
    pub fn committed(&self) -> NanoUsd {
        self.spent.plus(self.assumed).plus(self.reserved)
    }

    /// What counts even if every call under way turned out to cost nothing.
    pub fn certain(&self) -> NanoUsd {
        self.spent.plus(self.assumed)
    }
}

/// Whose balance, of which time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BalanceOf {
    /// A tenant's day, in its own time zone.
    TenantDay(TenantName, Day),
    /// A tenant's month.
    TenantMonth(TenantName, Month),
    /// A tenant's part of a day of UTC.
    ShareOfDay(TenantName, Day),
    /// A tenant's part of a month of UTC.
    ShareOfMonth(TenantName, Month),
    /// The platform's day, in UTC.
    PlatformDay(Day),
    /// The platform's month.
    PlatformMonth(Month),
}

/// Totals of one tenant, project, metric, judge and day of the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// Who pays.
    pub tenant: TenantName,
    /// The project.
    pub project: ProjectName,
    /// The metric.
    pub metric: MetricName,
    /// The judge.
    pub judge: JudgeName,
    /// The tenant's day.
    pub day: Day,
    /// How its money stands.
    pub balance: Balance,
    /// Calls that were granted; one that carried several metrics counts with the first.
    pub calls: u64,
}

/// Which totals are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotalsQuery {
    /// Of this tenant only.
    pub tenant: Option<TenantName>,
    /// From this day on.
    pub from: Day,
    /// Up to this day, included.
    pub to: Day,
}

/// The ledger. What returns `Ok` is on disk. Every operation is idempotent: calls are remembered for at least an hour after their end.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Sets money aside if every cap allows it, all or nothing, at any concurrency and from any number of processes. A cap of which
    /// `certain() + bound` is more than the maximum refuses, also if others only make wait; one of which `committed() + bound` is more makes
    /// wait. What overflows never fits. A bound of zero is granted whatever is spent.
    ///
    /// A caller that goes away before it has the answer may leave a reservation behind, which expires.
    ///
    /// # Errors
    /// `Invalid` for a reservation without metrics or with an id that is empty or too long; else nothing is set aside.
    async fn reserve(&self, reservation: Reservation, caps: &[Cap]) -> Result<Grant, StoreError>;

    /// Posts what calls cost, in their order. A cost beyond the bound is posted as it is, even past a cap: it was paid.
    async fn settle(&self, costs: Vec<CallCost>) -> Result<Vec<Settled>, StoreError>;

    /// Charges in full what was reserved and not settled by `now`. Returns how many.
    async fn expire(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Corrects by hand. Whether it was new. A refund gives back at most what the day has spent on its project, metric and judge, so that
    /// no total falls below zero.
    async fn adjust(&self, adjustment: Adjustment) -> Result<bool, StoreError>;

    /// How money stands, in the order asked.
    async fn balances(&self, of: &[BalanceOf]) -> Result<Vec<Balance>, StoreError>;

    /// Totals, by tenant, day, project, metric and judge.
    async fn totals(&self, query: &TotalsQuery) -> Result<Vec<Total>, StoreError>;

    /// The journal after `number`, in order, at most `limit` postings. A backend keeps those of two months at least, unless it lives in
    /// memory.
    async fn postings(&self, number: u64, limit: usize) -> Result<Vec<Posting>, StoreError>;
}
