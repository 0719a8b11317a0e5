//! Sums of money. They are exact: 128 bits hold more amounts of 64 bits than there will ever be, so that an overflow can neither grant
//! what does not fit nor lose what comes off later. They are cut to 64 bits where they are shown. Only `spent` of one purpose can be
//! below zero: a refund for one metric also takes what was paid for it in a call about several.

use assize_core::NanoUsd;
use assize_core::ledger::{Balance, Cap, Grant};

/// How money stands somewhere, in nano-dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Amounts {
    pub spent: i128,
    pub assumed: i128,
    pub reserved: i128,
}

/// How a caps check went, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    Now,
    Later,
    Never,
}

impl Amounts {
    /// What counts even if every call under way turned out to cost nothing.
    pub fn certain(&self) -> i128 {
        self.spent + self.assumed
    }

    /// All that counts.
    pub fn committed(&self) -> i128 {
        self.certain() + self.reserved
    }

    /// As shown: saturating.
    pub fn balance(&self) -> Balance {
        Balance { spent: shown(self.spent), assumed: shown(self.assumed), reserved: shown(self.reserved) }
    }

    pub fn add(&mut self, other: &Self) {
        self.spent += other.spent;
        self.assumed += other.assumed;
        self.reserved += other.reserved;
    }

    fn fit(&self, bound: i128, max: i128) -> Fit {
        if self.committed() + bound <= max {
            Fit::Now
        } else if self.certain() + bound <= max {
            Fit::Later
        } else {
            Fit::Never
        }
    }
}

/// An amount as shown: from zero to what 64 bits hold.
pub(crate) fn shown(amount: i128) -> NanoUsd {
    NanoUsd(u64::try_from(amount.max(0)).unwrap_or(u64::MAX))
}

/// Whether `bound` fits under all `caps`, of each of which `amounts` tells how its scope stands. What costs nothing always fits. Of
/// several caps that are in the way the one is told that refuses, and of those the first.
pub(crate) fn grant(caps: &[Cap], bound: NanoUsd, mut amounts: impl FnMut(&Cap) -> Amounts) -> Grant {
    let mut worst = (Fit::Now, Grant::Granted);
    if bound == NanoUsd::ZERO {
        return Grant::Granted;
    }
    for cap in caps {
        let fit = amounts(cap).fit(i128::from(bound.0), i128::from(cap.max.0));
        if fit > worst.0 {
            let answer = if fit == Fit::Never { Grant::Refused(cap.scope) } else { Grant::MustWait(cap.scope) };
            worst = (fit, answer);
        }
    }
    worst.1
}

#[cfg(test)]
mod tests {
    use assize_core::ledger::CapScope::{PlatformDay, TenantDay, TenantMonth};

    use super::*;

    const MAX: i128 = u64::MAX as i128;

    fn answer(bound: u64, stands: &[(Cap, Amounts)]) -> Grant {
        let caps: Vec<Cap> = stands.iter().map(|(cap, _)| *cap).collect();
        grant(&caps, NanoUsd(bound), |asked| stands.iter().find(|(cap, _)| cap == asked).unwrap().1)
    }

    fn cap(scope: assize_core::ledger::CapScope, max: u64) -> Cap {
        Cap { scope, max: NanoUsd(max) }
    }

    #[test]
    fn fits_now_later_or_never() {
        let stands = Amounts { spent: 40, assumed: 10, reserved: 30 };
        assert_eq!(answer(20, &[(cap(TenantDay, 100), stands)]), Grant::Granted);
        assert_eq!(answer(21, &[(cap(TenantDay, 100), stands)]), Grant::MustWait(TenantDay));
        assert_eq!(answer(50, &[(cap(TenantDay, 100), stands)]), Grant::MustWait(TenantDay));
        assert_eq!(answer(51, &[(cap(TenantDay, 100), stands)]), Grant::Refused(TenantDay));
        assert_eq!(answer(0, &[(cap(TenantDay, 7), stands)]), Grant::Granted, "what costs nothing is never in the way");
        assert_eq!(answer(1, &[(cap(TenantDay, 0), Amounts::default())]), Grant::Refused(TenantDay));
        assert_eq!(answer(1, &[]), Grant::Granted);
    }

    #[test]
    fn of_several_caps_the_refusal_is_told() {
        let full = Amounts { reserved: 100, ..Amounts::default() };
        let spent = Amounts { spent: 100, ..Amounts::default() };
        let (waits, refuses) = ((cap(TenantDay, 100), full), (cap(PlatformDay, 100), spent));
        assert_eq!(answer(1, &[waits, refuses]), Grant::Refused(PlatformDay));
        assert_eq!(answer(1, &[refuses, waits]), Grant::Refused(PlatformDay));
        assert_eq!(answer(1, &[waits, (cap(TenantMonth, 100), full)]), Grant::MustWait(TenantDay));
    }

    #[test]
    fn an_overflow_never_grants() {
        let stands = Amounts { spent: MAX - 1, assumed: 0, reserved: 0 };
        assert_eq!(answer(1, &[(cap(TenantDay, u64::MAX), stands)]), Grant::Granted);
        assert_eq!(answer(2, &[(cap(TenantDay, u64::MAX), stands)]), Grant::Refused(TenantDay));
        let stands = Amounts { spent: MAX * 3, assumed: MAX, reserved: MAX };
        assert_eq!(answer(1, &[(cap(TenantDay, u64::MAX), stands)]), Grant::Refused(TenantDay));
        assert_eq!(stands.balance().spent, NanoUsd(u64::MAX));
    }
}
