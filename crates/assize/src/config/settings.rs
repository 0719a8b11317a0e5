//! The shape of the configuration file. Defaults stand here and, with their explanation, in `config/default.toml`; a test holds the
//! two together.

use std::path::PathBuf;
use std::time::Duration;

use assize_core::{CacheBounds, Dimension, JudgeName, MetricName, Needs, ProjectName, ReusePolicy, SamplingPolicy, TenantName};
use assize_judge::spec::{JudgeSpec, ProviderSpec};
use serde::{Deserialize, Serialize};

use super::budget::PlatformBudget;
use super::export::ExportSpec;
use super::price::{PriceEntry, PriceFile};

/// Everything that can be configured.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Settings {
    pub server: Server,
    pub ingest: Ingest,
    pub store: Store,
    pub cache: Cache,
    pub budget: PlatformBudget,
    pub batch: Batch,
    pub score: Score,
    pub report: Report,
    pub sampling: Sampling,
    pub prices: PriceFile,
    pub price: Vec<PriceEntry>,
    pub project: Vec<ProjectSpec>,
    pub provider: Vec<ProviderSpec>,
    pub judge: Vec<JudgeSpec>,
    pub metric: Vec<MetricSpec>,
    pub export: Vec<ExportSpec>,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address of HTTP (and gRPC), as `HOST:PORT`.
    pub listen: String,
    /// A second address for gRPC alone; empty for none.
    pub grpc_listen: String,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: "127.0.0.1:4318".to_owned(), grpc_listen: "127.0.0.1:4317".to_owned() }
    }
}

/// Limits of ingestion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ingest {
    /// Bytes of one request after decompression.
    pub body_bytes_max: usize,
    /// Requests in hand at once; more are answered 503.
    pub concurrent_requests_max: usize,
    /// Interactions per second and project; 0 for no limit.
    pub items_per_second_max: u32,
    /// How long a span without text waits for its text, in seconds.
    pub content_wait_seconds: u64,
}

impl Default for Ingest {
    fn default() -> Self {
        Self { body_bytes_max: 32 << 20, concurrent_requests_max: 256, items_per_second_max: 0, content_wait_seconds: 3 }
    }
}

/// Which backends hold the data, by URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    pub queue: String,
    pub results: String,
    pub control: String,
    /// Of money: what is reserved, spent and charged.
    pub ledger: String,
    /// Of verdicts, to be used again; empty for none.
    pub cache: String,
    /// For how long an id that comes again is a duplicate, in days.
    pub duplicate_days: u32,
}

impl Default for Store {
    fn default() -> Self {
        let sqlite = || "sqlite".to_owned();
        Self { queue: sqlite(), results: sqlite(), control: sqlite(), ledger: sqlite(), cache: sqlite(), duplicate_days: 7 }
    }
}

/// How much of what judges said is kept to be used again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Verdicts, at the most.
    pub entries_max: u64,
    /// Their size, at the most.
    pub megabytes_max: u64,
    /// For how long a verdict is used.
    pub days: u32,
    /// The folder of the model of sentence embeddings, for metrics with `reuse.similarity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embeddings: Option<PathBuf>,
}

impl Default for Cache {
    fn default() -> Self {
        Self { entries_max: 1_000_000, megabytes_max: 1_024, days: 30, embeddings: None }
    }
}

impl Cache {
    /// The bounds that it describes.
    pub fn bounds(&self) -> CacheBounds {
        CacheBounds {
            entries_max: self.entries_max,
            bytes_max: self.megabytes_max.saturating_mul(1 << 20),
            ttl: Duration::from_secs(u64::from(self.days) * 86_400),
        }
    }
}

/// How providers' batches are made, of metrics with `max_delay_hours`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Batch {
    /// A batch is submitted when its oldest question has waited this long, or it is full.
    pub linger_seconds: u64,
    /// How often providers are asked how far they are.
    pub poll_seconds: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self { linger_seconds: 600, poll_seconds: 60 }
    }
}

/// How drawn items are worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Score {
    /// Drawn items in hand at once.
    pub in_flight_max: usize,
    /// How often an item goes back to the queue before it is given up.
    pub deliveries_max: u32,
    /// Age at which a drawn item expires, in hours.
    pub max_age_hours: u64,
}

impl Default for Score {
    fn default() -> Self {
        Self { in_flight_max: 256, deliveries_max: 6, max_age_hours: 24 }
    }
}

/// How rates are reported.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Report {
    /// Level of the intervals, within (0, 1).
    pub level: f64,
    /// The dimensions that roll up, at most 8.
    pub dimensions: Vec<Dimension>,
    /// Interactions that the old and the new version both judge when a metric's reference judge changes; 0 for none.
    pub bridge: u32,
}

impl Default for Report {
    fn default() -> Self {
        Self { level: 0.95, dimensions: vec![Dimension::Model, Dimension::PromptVersion, Dimension::Environment], bridge: 300 }
    }
}

/// `[sampling]`: the policy of all metrics that have none of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sampling(pub SamplingPolicy);

impl Default for Sampling {
    fn default() -> Self {
        Self(SamplingPolicy::uniform(0.10))
    }
}

/// One `[[project]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProjectSpec {
    pub name: ProjectName,
    /// Who pays; the project's own name where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantName>,
}

/// One `[[metric]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSpec {
    pub name: MetricName,
    /// The built-in metric whose question is asked; the metric's own name where neither this nor a question is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builtin: Option<String>,
    /// The question, such that a score of 1 means yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// How to decide, where the question alone would leave doubt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<String>,
    /// What an interaction must bring; that of the built-in metric where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs: Option<Needs>,
    /// The judges from cheap to dear; the last one is the reference.
    pub cascade: Vec<CascadeTier>,
    /// Sampling of this metric alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampling: Option<SamplingPolicy>,
    /// Doubtful interactions get more of the calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub escalate: bool,
    /// The judge that is asked where the reference judge cannot be had; no rate counts what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<JudgeName>,
    /// Use of verdicts on nearly the same interactions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<ReusePolicy>,
    /// How many hours a verdict may take; from one on, the provider's batch API is used where it has one.
    #[serde(default, skip_serializing_if = "is_now")]
    pub max_delay_hours: u32,
}

fn is_now(hours: &u32) -> bool {
    *hours == 0
}

/// A tier of a cascade: a judge, and the part that it sees of what the called judge before it saw. Written as the judge's name alone,
/// or as `{ judge = "gpt-4o", share = 0.2 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "WrittenTier", into = "WrittenTier")]
pub struct CascadeTier {
    pub judge: CascadeEntry,
    /// In (0, 1].
    pub share: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name of a judge, or { judge = NAME, share = PART }")]
enum WrittenTier {
    Judge(CascadeEntry),
    Share(JudgeShare),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgeShare {
    judge: CascadeEntry,
    share: f64,
}

impl From<WrittenTier> for CascadeTier {
    fn from(written: WrittenTier) -> Self {
        match written {
            WrittenTier::Judge(judge) => Self { judge, share: 1.0 },
            WrittenTier::Share(JudgeShare { judge, share }) => Self { judge, share },
        }
    }
}

impl From<CascadeTier> for WrittenTier {
    fn from(tier: CascadeTier) -> Self {
        let CascadeTier { judge, share } = tier;
        if share == 1.0 { Self::Judge(judge) } else { Self::Share(JudgeShare { judge, share }) }
    }
}

/// A judge in a cascade: a configured one, or the free rules of a built-in metric as `builtin:METRIC`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum CascadeEntry {
    Judge(JudgeName),
    BuiltinRules(MetricName),
}

impl TryFrom<String> for CascadeEntry {
    type Error = assize_core::NameError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.strip_prefix("builtin:") {
            Some(metric) => Ok(Self::BuiltinRules(MetricName::new(metric)?)),
            None => Ok(Self::Judge(JudgeName::new(&text)?)),
        }
    }
}

impl From<CascadeEntry> for String {
    fn from(entry: CascadeEntry) -> String {
        match entry {
            CascadeEntry::Judge(name) => name.into(),
            CascadeEntry::BuiltinRules(metric) => format!("builtin:{metric}"),
        }
    }
}
