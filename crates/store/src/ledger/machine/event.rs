//! What happens to the money of one call, as it is journalled: each event stands for itself, so that no reader has to look back.

use assize_core::ledger::{Account, Posting};
use assize_core::{CallId, Day, JudgeName, MetricName, NanoUsd, ProjectName, TenantName, Timestamp};

/// What money is for. The ledger numbers these, since the same few return all the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Purpose {
    pub tenant: TenantName,
    pub project: ProjectName,
    pub judge: JudgeName,
    /// At least one.
    pub metrics: Vec<MetricName>,
}

/// The number of a [`Purpose`].
pub(crate) type PurposeId = u32;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    pub call: CallId,
    pub purpose: PurposeId,
    pub tenant_day: Day,
    pub platform_day: Day,
    pub at: Timestamp,
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The bound was set aside.
    Reserved { bound: NanoUsd, expires_at: Timestamp },
    /// The cost was learned; the bound had been reserved or, after an expiry, assumed.
    Settled { was_assumed: bool, bound: NanoUsd, cost: NanoUsd },
    /// The bound counts as spent until the cost is learned.
    Assumed { bound: NanoUsd },
    /// Corrected by hand.
    Adjusted { amount: NanoUsd, is_refund: bool },
}

/// From where, to where, how much.
pub(crate) type Movement = (Account, Account, NanoUsd);

impl What {
    /// The movements of money that it stands for: one or two.
    pub fn movements(self) -> (Movement, Option<Movement>) {
        use Account::{Assumed, Available, Reserved, Spent};
        match self {
            Self::Reserved { bound, .. } => ((Available, Reserved, bound), None),
            Self::Assumed { bound } => ((Reserved, Assumed, bound), None),
            Self::Adjusted { amount, is_refund: false } => ((Available, Spent, amount), None),
            Self::Adjusted { amount, is_refund: true } => ((Spent, Available, amount), None),
            Self::Settled { was_assumed, bound, cost } => {
                let from = if was_assumed { Assumed } else { Reserved };
                let (rest, beyond) = (NanoUsd(bound.0.saturating_sub(cost.0)), NanoUsd(cost.0.saturating_sub(bound.0)));
                if cost == NanoUsd::ZERO && bound != NanoUsd::ZERO {
                    ((from, Available, bound), None)
                } else if rest != NanoUsd::ZERO {
                    ((from, Spent, cost), Some((from, Available, rest)))
                } else {
                    ((from, Spent, bound), (beyond != NanoUsd::ZERO).then_some((Available, Spent, beyond)))
                }
            }
        }
    }

    /// How many postings it takes.
    pub fn postings(self) -> u64 {
        1 + u64::from(self.movements().1.is_some())
    }

    /// Whether the call's money can change no more.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Settled { .. } | Self::Adjusted { .. })
    }
}

impl Event {
    /// Its postings, of which the first has the number `first`.
    pub fn postings(&self, first: u64, tenant: &TenantName) -> impl Iterator<Item = Posting> {
        let (one, two) = self.what.movements();
        let posting = |(number, (from, to, amount))| Posting {
            number,
            call: self.call.clone(),
            tenant: tenant.clone(),
            tenant_day: self.tenant_day,
            from,
            to,
            amount,
            at: self.at,
        };
        (first..).zip(std::iter::once(one).chain(two)).map(posting)
    }
}
