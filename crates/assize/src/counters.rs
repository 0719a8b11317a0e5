//! Counters of what happens, in Prometheus text at `/metrics`. Label sets are fixed: nothing that a sender writes becomes a label.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use assize_core::ledger::CapScope;
use assize_core::{CallRecord, CallStatus, ProviderName, Scored};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::export::counts::ExportCounts;
use crate::pipeline::accept::Receipt;
use crate::pipeline::gate::Snapshot;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Code {
    code: &'static str,
}

/// What the process has counted since it started.
pub struct Counters {
    registry: Registry,
    accepted: Counter,
    duplicates: Counter,
    rejected: Family<Code, Counter>,
    rejected_total: AtomicU64,
    refused: Family<Code, Counter>,
    refused_total: AtomicU64,
    changes: AtomicU64,
    spans_ignored: Counter,
    orphaned_content: Counter,
    outcomes: Family<Code, Counter>,
    calls_answered: Counter,
    calls_failed: Counter,
    drifts: Counter,
    withheld: Family<Withheld, Counter>,
    faults: Family<Code, Counter>,
    gates: Gates,
    pub exports: ExportCounts,
}

/// A cap, and whether a call that it stopped may still come about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Withheld {
    how: &'static str,
    cap: &'static str,
}

/// A provider, as the operator's configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Provider {
    provider: String,
}

/// The gates of the providers.
struct Gates {
    limit: Family<Provider, Gauge>,
    in_use: Family<Provider, Gauge>,
    waiting: Family<Provider, Gauge>,
    breaker: Family<Provider, Gauge>,
    turned_away: Family<Provider, Counter>,
    openings: Family<Provider, Counter>,
}

impl Gates {
    fn new(registry: &mut Registry) -> Self {
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<Provider, Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<Provider, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        Self {
            limit: gauge(
                registry,
                "provider_calls_limit",
                "Calls that may be open at once, as learned from the provider's answers",
            ),
            in_use: gauge(registry, "provider_calls_open", "Calls that are open"),
            waiting: gauge(registry, "provider_items_waiting", "Items in hand that wait for their turn to be called for"),
            breaker: gauge(
                registry,
                "provider_breaker",
                "0 where calls go through, 1 while probes find out, 2 while none are made",
            ),
            turned_away: counter(registry, "provider_items_turned_away", "Items sent back to the queue without a call"),
            openings: counter(registry, "provider_breaker_openings", "How often calls began to be held back"),
        }
    }

    fn show(&self, provider: &ProviderName, gate: &Snapshot) {
        let label = Provider { provider: provider.as_str().to_owned() };
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.limit.get_or_create(&label).set(count(gate.limit));
        self.in_use.get_or_create(&label).set(count(gate.in_use));
        self.waiting.get_or_create(&label).set(count(gate.waiting));
        self.breaker.get_or_create(&label).set(gate.breaker as i64);
        for (family, total) in [(&self.turned_away, gate.turned_away), (&self.openings, gate.openings)] {
            // The gate has counted already; a total never falls.
            family.get_or_create(&label).inner().fetch_max(total, Ordering::Relaxed);
        }
    }
}

/// The counters of ingestion, for the dashboard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestCounts {
    pub accepted: u64,
    pub duplicates: u64,
    pub rejected: u64,
    pub refused: u64,
    pub spans_ignored: u64,
}

impl Counters {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("assize");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let accepted = counter("interactions_accepted", "Interactions accepted, on disk");
        let duplicates = counter("interactions_duplicate", "Interactions that had been accepted before");
        let spans_ignored = counter("spans_ignored", "Spans that are not calls of a language model");
        let orphaned_content = counter("log_content_orphaned", "Log events with text whose span never came");
        let calls_answered = counter("judge_calls_answered", "Calls to providers that gave a verdict");
        let calls_failed = counter("judge_calls_failed", "Calls to providers that gave none");
        let drifts = counter("judge_models_drifted", "Times that another model answered under the same configured name");
        let mut family = |name: &str, help: &str| {
            let family = Family::<Code, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let rejected = family("interactions_rejected", "Items of accepted requests that were rejected, by error code");
        let refused = family("requests_refused", "Requests refused as a whole, by error code");
        let outcomes = family("outcomes", "Outcomes decided in score, by kind");
        let faults = family("faults", "Failures of our own, by place");
        let withheld = Family::<Withheld, Counter>::default();
        registry.register("judge_calls_withheld", "Calls that a budget did not allow, by cap", withheld.clone());
        let gates = Gates::new(&mut registry);
        let exports = ExportCounts::new(&mut registry);
        Self {
            registry,
            accepted,
            duplicates,
            rejected,
            rejected_total: AtomicU64::new(0),
            refused,
            refused_total: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            spans_ignored,
            orphaned_content,
            outcomes,
            withheld,
            calls_answered,
            calls_failed,
            drifts,
            faults,
            gates,
            exports,
        }
    }

    pub fn accept(&self, receipt: &Receipt) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.accepted.inc_by(receipt.accepted as u64);
        self.duplicates.inc_by(receipt.duplicate as u64);
        self.rejected_total.fetch_add(receipt.rejected.len() as u64, Ordering::Relaxed);
        for (_, error) in &receipt.rejected {
            self.rejected.get_or_create(&Code { code: error.code }).inc();
        }
    }

    /// Items of a request that was answered all the same.
    pub fn reject(&self, code: &'static str, items: usize) {
        self.rejected_total.fetch_add(items as u64, Ordering::Relaxed);
        self.rejected.get_or_create(&Code { code }).inc_by(items as u64);
    }

    pub fn refuse(&self, code: &'static str) {
        self.refused_total.fetch_add(1, Ordering::Relaxed);
        self.refused.get_or_create(&Code { code }).inc();
    }

    pub fn ignore_spans(&self, spans: usize) {
        self.spans_ignored.inc_by(spans as u64);
    }

    pub fn orphan_content(&self, events: usize) {
        self.orphaned_content.inc_by(events as u64);
    }

    pub fn score(&self, scored: &Scored) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        if let Some(outcome) = scored.outcome {
            self.outcomes.get_or_create(&Code { code: outcome.as_str() }).inc();
        }
    }

    pub fn call(&self, call: &CallRecord) {
        match call.status {
            CallStatus::Answered => self.calls_answered.inc(),
            CallStatus::Failed => self.calls_failed.inc(),
        };
    }

    /// A call for which there was no money: it has to `wait`, or was `refused`.
    pub fn withhold(&self, how: &'static str, cap: CapScope) {
        self.withheld.get_or_create(&Withheld { how, cap: cap.as_str() }).inc();
    }

    /// Something else that a reader of the dashboard could see.
    pub fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn drift(&self) {
        self.drifts.inc();
    }

    pub fn fault(&self, place: &'static str) {
        self.faults.get_or_create(&Code { code: place }).inc();
    }

    pub fn ingest(&self) -> IngestCounts {
        IngestCounts {
            accepted: self.accepted.get(),
            duplicates: self.duplicates.get(),
            rejected: self.rejected_total.load(Ordering::Relaxed),
            refused: self.refused_total.load(Ordering::Relaxed),
            spans_ignored: self.spans_ignored.get(),
        }
    }

    /// Grows with everything that a reader of the dashboard could see change.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// All counters in Prometheus text; of providers' gates how they stand now.
    pub fn render(&self, gates: &BTreeMap<ProviderName, Snapshot>) -> String {
        for (provider, gate) in gates {
            self.gates.show(provider, gate);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
