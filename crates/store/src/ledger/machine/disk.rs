//! What the machine needs of whatever keeps its journal and its tables.

use assize_core::ledger::CapScope;
use assize_core::{Day, MetricName, NanoUsd, StoreError, TenantName, Timestamp};

use super::amounts::Amounts;
use super::event::{Event, Purpose, PurposeId};

/// How far journal and tables are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// The number of the last posting of the journal.
    pub last: u64,
    /// That of the last posting that the tables take in.
    pub folded: u64,
}

/// Whose balance: the scope, the tenant (none for the platform's), and the day or the month.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BalanceKey {
    pub scope: CapScope,
    pub tenant: Option<TenantName>,
    pub period: i32,
}

/// The totals of one purpose and day of the tenant: one for each metric, and the calls that were granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub amounts: Vec<Amounts>,
    pub calls: u64,
}

/// What is known of a call whose cost is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub purpose: PurposeId,
    pub tenant_day: Day,
    pub platform_day: Day,
    pub bound: NanoUsd,
    /// Whether the bound counts as spent already.
    pub is_assumed: bool,
    /// When it expires; of an assumed one, when its cost is waited for no longer.
    pub due: Timestamp,
}

/// What changes in the tables when they take in the journal up to its end. All values are absolute.
pub(crate) struct Fold<'a> {
    pub position: u64,
    /// About the present.
    pub at: Timestamp,
    pub balances: Vec<(&'a BalanceKey, Amounts)>,
    pub totals: Vec<(PurposeId, Day, &'a Parts)>,
    /// Calls that are new or have become assumed.
    pub open: Vec<(&'a str, Held)>,
    /// Calls that are no longer waited for.
    pub closed: Vec<Box<str>>,
}

/// Journal and tables, within one transaction that nobody else can come between. Whatever fails undoes the whole transaction.
pub(crate) trait Disk {
    fn standing(&mut self) -> Result<Standing, StoreError>;

    /// The events after the posting `position`, each with the number of its last posting, in order.
    fn events_after(
        &mut self,
        position: u64,
        each: &mut dyn FnMut(&mut Self, u64, Event) -> Result<(), StoreError>,
    ) -> Result<(), StoreError>
    where
        Self: Sized;

    /// A position at least an hour before the end of the journal, as [`step`](super::ended::step) counts time.
    fn an_hour_back(&mut self) -> Result<u64, StoreError>;

    /// Appends `events`, whose postings have the numbers `first` to `last`.
    fn append(&mut self, first: u64, last: u64, events: Vec<Event>) -> Result<(), StoreError>;

    /// The number of `purpose`, a new one where it has none.
    fn purpose_id(&mut self, purpose: &Purpose) -> Result<PurposeId, StoreError>;

    /// The purpose of a number that [`Self::purpose_id`] gave.
    fn purpose(&mut self, id: PurposeId) -> Result<Purpose, StoreError>;

    /// All purposes that are about this metric, among others perhaps, and else are like `purpose`, with the place of the metric.
    fn purposes_about(&mut self, purpose: &Purpose, metric: &MetricName) -> Result<Vec<(PurposeId, usize)>, StoreError>;

    /// What follows is as of the last fold.
    fn balance(&mut self, key: &BalanceKey) -> Result<Amounts, StoreError>;

    fn parts(&mut self, purpose: PurposeId, day: Day) -> Result<Parts, StoreError>;

    fn call(&mut self, id: &str) -> Result<Option<Held>, StoreError>;

    fn call_ids(&mut self, each: &mut dyn FnMut(&str)) -> Result<(), StoreError>;

    /// Calls whose time is over at `now`, at most `limit`.
    fn due(&mut self, now: Timestamp, limit: usize) -> Result<Vec<(Box<str>, Held)>, StoreError>;

    /// When the first call is due of those that are later than `after`.
    fn due_after(&mut self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    fn fold(&mut self, fold: Fold<'_>) -> Result<(), StoreError>;
}
