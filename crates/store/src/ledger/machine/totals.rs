//! Totals as shown: the parts of all purposes, brought together by tenant, project, metric, judge and day.

use std::collections::BTreeMap;

use assize_core::ledger::Total;
use assize_core::{Day, JudgeName, MetricName, ProjectName, TenantName};

use super::amounts::Amounts;
use super::disk::Parts;
use super::event::Purpose;

type Key = (TenantName, Day, ProjectName, MetricName, JudgeName);

/// Totals in the order in which they are told.
#[derive(Default)]
pub(crate) struct Totals(BTreeMap<Key, (Amounts, u64)>);

impl Totals {
    /// Adds what is on record of a purpose on a day of its tenant.
    pub fn add(&mut self, purpose: &Purpose, day: Day, parts: &Parts) {
        for (at, (metric, amounts)) in purpose.metrics.iter().zip(&parts.amounts).enumerate() {
            let key = (purpose.tenant.clone(), day, purpose.project.clone(), metric.clone(), purpose.judge.clone());
            let (sum, calls) = self.0.entry(key).or_default();
            sum.add(amounts);
            *calls += if at == 0 { parts.calls } else { 0 };
        }
    }

    pub fn into_list(self) -> Vec<Total> {
        let total = |((tenant, day, project, metric, judge), (amounts, calls)): (Key, (Amounts, u64))| Total {
            tenant,
            project,
            metric,
            judge,
            day,
            balance: amounts.balance(),
            calls,
        };
        self.0.into_iter().map(total).collect()
    }
}
