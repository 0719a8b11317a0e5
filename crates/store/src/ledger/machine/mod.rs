//! The ledger's mind: a state machine over a journal of events. It reads no clock, knows no files, and always gives the same answers
//! to the same operations.
//!
//! Each transaction begins with [`Machine::catch_up`], which takes in what other processes have journalled, so that every decision is made
//! against all that was ever granted; and ends with [`Machine::finish`], which journals what was decided. From time to time the tables
//! take in the journal (a fold), so that a start need not read it from its beginning, and so that memory holds only what is in use:
//! balances and totals that were touched of late, calls under way, and fingerprints of the other calls whose cost is not known.

mod accounts;
mod amounts;
mod disk;
mod ended;
mod event;
#[cfg(test)]
mod interleavings;
#[cfg(test)]
mod properties;
mod totals;

use std::collections::HashMap;
use std::hash::RandomState;
use std::time::Duration;

use assize_core::ledger::{Adjustment, Balance, BalanceOf, CallCost, Cap, Grant, Reservation, Settled};
use assize_core::{CallId, Day, StoreError, Timestamp};

pub(crate) use accounts::place;
pub(crate) use amounts::Amounts;
pub(crate) use disk::{BalanceKey, Disk, Fold, Held, Parts, Standing};
pub(crate) use ended::{KEPT_MS, step};
pub(crate) use event::{Event, Purpose, PurposeId, What};
pub(crate) use totals::Totals;

use accounts::{Accounts, Route};
use ended::{Ended, Stored, fingerprint};

/// For how long the cost of a call that expired, or of which it was not told, is waited for: batches take up to two days, and an
/// operator may look at what failed a few days later.
pub(crate) const AWAITED: Duration = Duration::from_secs(8 * 86_400);
/// How many calls expire in one transaction.
const EXPIRE_MAX: usize = 10_000;

/// Bounds of memory and of the work of a start. Tests make them small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// After how many events the tables take them in.
    pub events_max: u64,
    /// After how many transactions they do.
    pub appends_max: u64,
    /// How many calls under way memory holds after a fold. Of more, all are found in the tables.
    pub calls_max: usize,
    /// How many purposes it holds.
    pub purposes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events_max: 262_144, appends_max: 4_096, calls_max: 200_000, purposes_max: 50_000 }
    }
}

/// Whether the tables know a call.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Row {
    Absent,
    /// As it was.
    Old,
    /// As it is.
    Same,
}

#[derive(Clone, Copy)]
struct Open {
    held: Held,
    row: Row,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Machine {
    limits: Limits,
    key: RandomState,
    /// The last posting that was taken in, and the last that the tables have.
    standing: Standing,
    purposes: HashMap<Purpose, PurposeId>,
    purposes_by_id: HashMap<PurposeId, Purpose>,
    accounts: Accounts,
    calls: HashMap<Box<str>, Open>,
    /// Calls that only the tables know.
    stored: Stored,
    /// Calls of the tables that have ended since the fold.
    closed: Vec<Box<str>>,
    ended: Ended,
    /// No call is due before.
    next_due: Timestamp,
    at: Timestamp,
    /// What was decided and is not journalled yet.
    decided: Vec<Event>,
    events: u64,
    appends: u64,
}

impl Machine {
    /// A machine that knows nothing; [`Self::catch_up`] tells it all.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            key: RandomState::new(),
            standing: Standing::default(),
            purposes: HashMap::new(),
            purposes_by_id: HashMap::new(),
            accounts: Accounts::default(),
            calls: HashMap::new(),
            stored: Stored::default(),
            closed: Vec::new(),
            ended: Ended::default(),
            next_due: Timestamp(i64::MAX),
            at: Timestamp(i64::MIN),
            decided: Vec::new(),
            events: 0,
            appends: 0,
        }
    }

    /// Takes in what others have journalled. Whether there was anything.
    pub fn catch_up<D: Disk>(&mut self, disk: &mut D) -> Result<bool, StoreError> {
        let now = disk.standing()?;
        if now == self.standing {
            return Ok(false);
        }
        // Which calls ended is gathered from where it was left off, all else from the last fold on.
        let known = if self.standing.last == 0 { disk.an_hour_back()? } else { self.standing.last };
        if now.folded != self.standing.folded {
            self.begin_anew(disk, now.folded)?;
        }
        let applied = self.standing.last;
        disk.events_after(known.min(applied), &mut |disk, number, event| {
            let print = self.print(&event.call.0);
            if number > known {
                self.note(&event, print);
            }
            if number > applied { self.apply(disk, &event, print) } else { Ok(()) }
        })?;
        self.standing = now;
        self.appends += 1;
        Ok(true)
    }

    /// Forgets all but which calls ended, as the tables are others now.
    fn begin_anew(&mut self, disk: &mut impl Disk, folded: u64) -> Result<(), StoreError> {
        self.accounts = Accounts::default();
        self.purposes.clear();
        self.purposes_by_id.clear();
        self.calls.clear();
        self.stored = Stored::default();
        self.closed.clear();
        (self.events, self.appends) = (0, 0);
        self.standing = Standing { last: folded, folded };
        self.next_due = disk.due_after(Timestamp(i64::MIN))?.unwrap_or(Timestamp(i64::MAX));
        let (key, stored) = (&self.key, &mut self.stored);
        disk.call_ids(&mut |id| stored.insert(fingerprint(key, id)))
    }

    /// See [`Ledger::reserve`](assize_core::ledger::Ledger::reserve). At least one metric is named.
    pub fn reserve<D: Disk>(&mut self, disk: &mut D, asked: Reservation, caps: &[Cap]) -> Result<Grant, StoreError> {
        let print = self.print(&asked.call.0);
        if self.ended.contains(print) || self.held(disk, &asked.call.0, print)?.is_some() {
            return Ok(Grant::Granted);
        }
        let Reservation { call, tenant, project, judge, metrics, bound, tenant_day, platform_day, at, expires_at } = asked;
        let purpose = self.purpose_id(disk, Purpose { tenant, project, judge, metrics })?;
        let route = self.route(disk, purpose, (tenant_day, platform_day))?;
        let grant = amounts::grant(caps, bound, |cap| self.accounts.amounts(route, cap.scope));
        if grant == Grant::Granted {
            let what = What::Reserved { bound, expires_at };
            self.decide(disk, Event { call, purpose, tenant_day, platform_day, at, what }, print)?;
        }
        Ok(grant)
    }

    /// See [`Ledger::settle`](assize_core::ledger::Ledger::settle).
    pub fn settle<D: Disk>(&mut self, disk: &mut D, told: CallCost) -> Result<Settled, StoreError> {
        let CallCost { call, cost, at } = told;
        let print = self.print(&call.0);
        let Some(held) = self.held(disk, &call.0, print)? else {
            return Ok(if self.ended.contains(print) { Settled::Again } else { Settled::Unknown });
        };
        let Held { purpose, tenant_day, platform_day, bound, is_assumed, .. } = held;
        let (what, answer) = match cost {
            Some(cost) if is_assumed => (What::Settled { was_assumed: true, bound, cost }, Settled::Corrected),
            Some(cost) => (What::Settled { was_assumed: false, bound, cost }, Settled::Posted),
            None if is_assumed => return Ok(Settled::Again),
            None => (What::Assumed { bound }, Settled::Posted),
        };
        self.decide(disk, Event { call, purpose, tenant_day, platform_day, at, what }, print)?;
        Ok(answer)
    }

    /// Charges what is due at `now`. How many calls that were, and whether there may be more.
    pub fn expire<D: Disk>(&mut self, disk: &mut D, now: Timestamp) -> Result<(u64, bool), StoreError> {
        if now < self.next_due {
            return Ok((0, false));
        }
        // The tables list what is due: they are to know all of it.
        self.fold(disk)?;
        let due = disk.due(now, EXPIRE_MAX)?;
        let may_be_more = due.len() >= EXPIRE_MAX;
        let next = disk.due_after(now)?.unwrap_or(Timestamp(i64::MAX));
        self.next_due = if may_be_more { now } else { next };
        let mut expired = 0;
        for (id, held) in due {
            let print = self.print(&id);
            if held.is_assumed {
                self.close(&id, print);
                continue;
            }
            let Held { purpose, tenant_day, platform_day, bound, .. } = held;
            let (call, what) = (CallId(id.into()), What::Assumed { bound });
            self.decide(disk, Event { call, purpose, tenant_day, platform_day, at: now, what }, print)?;
            expired += 1;
        }
        if !self.closed.is_empty() {
            // What is waited for no longer is no event: the tables tell the other processes.
            self.fold(disk)?;
        }
        Ok((expired, may_be_more))
    }

    /// See [`Ledger::adjust`](assize_core::ledger::Ledger::adjust).
    pub fn adjust<D: Disk>(&mut self, disk: &mut D, asked: Adjustment) -> Result<bool, StoreError> {
        let print = self.print(&asked.id.0);
        if self.ended.contains(print) || self.held(disk, &asked.id.0, print)?.is_some() {
            return Ok(false);
        }
        let Adjustment { id, tenant, project, metric, judge, tenant_day, platform_day, mut amount, is_refund, at } = asked;
        let purpose = Purpose { tenant, project, judge, metrics: vec![metric.clone()] };
        let number = self.purpose_id(disk, purpose.clone())?;
        let route = self.route(disk, number, (tenant_day, platform_day))?;
        if is_refund {
            let mut spent = 0;
            for (like, at) in disk.purposes_about(&purpose, &metric)? {
                spent += self.accounts.spent_on(disk, like, tenant_day, at)?;
            }
            amount = amount.min(amounts::shown(spent.min(self.accounts.spent(route))));
        }
        let what = What::Adjusted { amount, is_refund };
        self.decide(disk, Event { call: id, purpose: number, tenant_day, platform_day, at, what }, print)?;
        Ok(true)
    }

    /// How balances stand.
    pub fn balances(&self, disk: &mut impl Disk, of: &[BalanceOf]) -> Result<Vec<Balance>, StoreError> {
        of.iter().map(|of| Ok(self.accounts.balance(disk, &accounts::key_of(of))?.balance())).collect()
    }

    /// Journals what was decided. The transaction may be committed then.
    pub fn finish(&mut self, disk: &mut impl Disk) -> Result<(), StoreError> {
        self.journal(disk)?;
        if self.events >= self.limits.events_max || self.appends >= self.limits.appends_max {
            self.fold(disk)?;
        }
        Ok(())
    }

    /// Brings the tables up to date.
    pub fn fold(&mut self, disk: &mut impl Disk) -> Result<(), StoreError> {
        self.journal(disk)?;
        if self.standing.folded == self.standing.last && self.closed.is_empty() {
            return Ok(());
        }
        let (balances, totals) = (self.accounts.changed_balances(), self.accounts.changed_totals());
        let open = self.calls.iter().filter(|(_, open)| open.row != Row::Same);
        let open = open.map(|(id, open)| (&**id, open.held)).collect();
        let closed = std::mem::take(&mut self.closed);
        disk.fold(Fold { position: self.standing.last, at: self.at, balances, totals, open, closed })?;
        self.standing.folded = self.standing.last;
        (self.events, self.appends) = (0, 0);
        self.accounts.folded();
        // An assumed call is hardly ever heard of again: the tables are place enough for it.
        let all = self.calls.len() > self.limits.calls_max;
        let (key, stored) = (&self.key, &mut self.stored);
        self.calls.retain(|id, open| {
            open.row = Row::Same;
            let stays = !all && !open.held.is_assumed;
            if !stays {
                stored.insert(fingerprint(key, id));
            }
            stays
        });
        if self.purposes.len() > self.limits.purposes_max {
            self.purposes.clear();
            self.purposes_by_id.clear();
        }
        Ok(())
    }

    fn journal(&mut self, disk: &mut impl Disk) -> Result<(), StoreError> {
        if self.decided.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut self.decided);
        let first = self.standing.last + 1;
        let last = self.standing.last + events.iter().map(|event| event.what.postings()).sum::<u64>();
        self.appends += 1;
        disk.append(first, last, events)?;
        self.standing.last = last;
        Ok(())
    }

    fn decide(&mut self, disk: &mut impl Disk, event: Event, print: u64) -> Result<(), StoreError> {
        self.note(&event, print);
        self.apply(disk, &event, print)?;
        self.decided.push(event);
        Ok(())
    }

    /// Remembers the call if this is its end.
    fn note(&mut self, event: &Event, print: u64) {
        self.ended.advance(event.at);
        if event.what.is_end() {
            self.ended.insert(print);
        }
    }

    /// Posts an event and keeps what is known of its call.
    fn apply(&mut self, disk: &mut impl Disk, event: &Event, print: u64) -> Result<(), StoreError> {
        let Event { call, purpose, tenant_day, platform_day, at, what } = event;
        let route = self.route(disk, *purpose, (*tenant_day, *platform_day))?;
        self.accounts.post(route, event);
        self.at = *at;
        self.events += 1;
        let (bound, is_assumed, due) = match *what {
            What::Reserved { bound, expires_at } => (bound, false, expires_at),
            What::Assumed { bound } => (bound, true, at.plus(AWAITED)),
            What::Settled { .. } => {
                self.close(&call.0, print);
                return Ok(());
            }
            What::Adjusted { .. } => return Ok(()),
        };
        let held = Held { purpose: *purpose, tenant_day: *tenant_day, platform_day: *platform_day, bound, is_assumed, due };
        self.next_due = self.next_due.min(due);
        // Nearly all are new.
        let before = self.calls.insert(call.0.as_str().into(), Open { held, row: Row::Absent });
        let is_in_table = match before {
            Some(open) => open.row != Row::Absent,
            None => is_assumed && self.stored.remove(print),
        };
        if is_in_table && let Some(open) = self.calls.get_mut(call.0.as_str()) {
            open.row = Row::Old;
        }
        Ok(())
    }

    /// What is known of a call whose cost is not.
    fn held(&mut self, disk: &mut impl Disk, id: &str, print: u64) -> Result<Option<Held>, StoreError> {
        match self.calls.get(id) {
            Some(open) => Ok(Some(open.held)),
            None if self.stored.contains(print) && !self.ended.contains(print) => disk.call(id),
            None => Ok(None),
        }
    }

    /// The call is waited for no longer.
    fn close(&mut self, id: &str, print: u64) {
        let is_stored = match self.calls.remove(id) {
            Some(open) => open.row != Row::Absent,
            None => self.stored.remove(print),
        };
        if is_stored {
            self.closed.push(id.into());
        }
    }

    /// The fingerprint of an id, which each operation takes once.
    fn print(&self, id: &str) -> u64 {
        fingerprint(&self.key, id)
    }

    fn purpose_id(&mut self, disk: &mut impl Disk, purpose: Purpose) -> Result<PurposeId, StoreError> {
        if let Some(id) = self.purposes.get(&purpose) {
            return Ok(*id);
        }
        let id = disk.purpose_id(&purpose)?;
        self.purposes_by_id.insert(id, purpose.clone());
        self.purposes.insert(purpose, id);
        Ok(id)
    }

    fn route(&mut self, disk: &mut impl Disk, purpose: PurposeId, days: (Day, Day)) -> Result<Route, StoreError> {
        if let Some(route) = self.accounts.known(purpose, days.0, days.1) {
            return Ok(route);
        }
        let known = match self.purposes_by_id.get(&purpose) {
            Some(known) => known.clone(),
            None => {
                let known = disk.purpose(purpose)?;
                self.purposes_by_id.insert(purpose, known.clone());
                self.purposes.insert(known.clone(), purpose);
                known
            }
        };
        self.accounts.route(disk, purpose, &known, days)
    }
}
