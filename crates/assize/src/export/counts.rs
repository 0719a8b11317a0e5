//! Counters of exports, by target as the operator's configuration names it.

use assize_core::ExportName;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    target: String,
}

impl Label {
    fn of(target: &ExportName) -> Self {
        Self { target: target.as_str().to_owned() }
    }
}

/// What became of results on their way to the targets.
pub struct ExportCounts {
    behind: Family<Label, Gauge>,
    oldest: Family<Label, Gauge>,
    delivered: Family<Label, Counter>,
    lost: Family<Label, Counter>,
    failed: Family<Label, Counter>,
}

impl ExportCounts {
    pub fn new(registry: &mut Registry) -> Self {
        let gauge = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<Label, Gauge>::default();
            registry.register(name, help, family.clone());
            family
        };
        let counter = |registry: &mut Registry, name: &str, help: &str| {
            let family = Family::<Label, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        Self {
            behind: gauge(registry, "export_behind", "Results on record that the target has still to be told of, at the most"),
            oldest: gauge(registry, "export_oldest_seconds", "Age of the oldest of them, since it was decided"),
            delivered: counter(registry, "export_delivered", "Results that the target has acknowledged, repeated ones included"),
            lost: counter(registry, "export_lost", "Results that the target has refused for good and that were left out"),
            failed: counter(registry, "export_failures", "Deliveries that were not acknowledged"),
        }
    }

    /// How far the target is behind.
    pub fn lag(&self, target: &ExportName, behind: u64, oldest_seconds: u64) {
        let signed = |value| i64::try_from(value).unwrap_or(i64::MAX);
        self.behind.get_or_create(&Label::of(target)).set(signed(behind));
        self.oldest.get_or_create(&Label::of(target)).set(signed(oldest_seconds));
    }

    pub fn deliver(&self, target: &ExportName, results: u64) {
        self.delivered.get_or_create(&Label::of(target)).inc_by(results);
    }

    pub fn lose(&self, target: &ExportName, results: u64) {
        self.lost.get_or_create(&Label::of(target)).inc_by(results);
    }

    pub fn fail(&self, target: &ExportName) {
        self.failed.get_or_create(&Label::of(target)).inc();
    }
}
