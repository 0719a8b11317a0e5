//! The port of results: rows, verdicts and the rollups that estimates are made of.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::decided::{DecidedPage, DecidedQuery};
use crate::queue::{Entry, Offset};
use crate::{
    Accepted, AskedAs, CallRecord, Decision, DecisionState, Dimension, Hour, Interaction, InteractionId, JudgeName, JudgeVersion,
    MetricName, NanoUsd, Outcome, PolicyVersion, ProjectName, Reason, RowKey, Scored, Step, StoreError, Timestamp, Verdict,
    allocation::Cell,
};

/// Sums over interactions of one metric, from which estimate and variance follow for any union of buckets. `g` is the last free
/// score (0 where there is none), `H` the reference score, `pi` the recorded probability, `w = 1/pi`, `q = (1-pi)/pi^2`.
/// Sarndal, Swensson, Wretman, *Model Assisted Survey Sampling*, ch. 2 and 5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Interactions that the estimate speaks of: with content, and with a probability above zero.
    pub population: u64,
    /// Interactions with content that the policy never judges.
    pub excluded: u64,
    /// Interactions without what the metric needs.
    pub no_content: u64,
    /// Sum of `g` over the population.
    pub g: f64,
    /// Sum of `g^2` over the population.
    pub gg: f64,
    /// Interactions drawn, or judged by free tiers alone.
    pub drawn: u64,
    /// Sum of `w` over the drawn, `w` being that of the last tier they were drawn for.
    pub drawn_w: f64,
    /// Of the drawn, those that a draw between called tiers left out.
    pub left_out: u64,
    /// Sum over these of the `w` of the last draw that drew them.
    pub left_out_w: f64,
    /// Interactions with a reference verdict.
    pub judged: u64,
    /// Judged with `H >= 0.5`.
    pub positives: u64,
    /// Judged whose free score and reference score lie on different sides of 0.5.
    pub disagreements: u64,
    /// Largest `w` among the judged.
    pub max_w: f64,
    /// Over the judged: sum of `w` times 1, g, H, g^2, gH, H^2.
    pub w: [f64; 6],
    /// Over the judged: sum of `q` times 1, g, H, g^2, gH, H^2.
    pub q: [f64; 6],
    /// Calls made, failed ones included. One that carried the questions of several metrics counts with the first of them.
    pub calls: u64,
    /// What the metric's questions cost, as far as it is known: its own part of such a call.
    pub cost: NanoUsd,
    /// Questions whose cost is not known.
    pub cost_unknown: u64,
}

impl Sums {
    /// What an accepted row adds for one of its decisions.
    pub fn of_accepted(decision: &Decision) -> Self {
        let mut sums = Self::default();
        match &decision.state {
            DecisionState::Closed(Outcome::NoContent, _) => {
                sums.no_content = 1;
                return sums;
            }
            _ if decision.probability <= 0.0 => {
                sums.excluded = 1;
                return sums;
            }
            _ => {}
        }
        let g = decision.free_score().unwrap_or(0.0);
        sums.population = 1;
        sums.g = g;
        sums.gg = g * g;
        match decision.state {
            DecisionState::Drawn => {
                sums.drawn = 1;
                sums.drawn_w = 1.0 / decision.probability;
            }
            DecisionState::Closed(Outcome::Judged, _) => {
                sums.drawn = 1;
                sums.drawn_w = 1.0;
                sums.add(&Self::of_judged(decision, 1.0, g));
            }
            DecisionState::Closed(..) => {}
        }
        sums
    }

    /// What later draws add that moved an interaction from the cumulative probability `before` to `after`.
    pub fn of_moved(before: f64, after: f64) -> Self {
        Self { drawn_w: 1.0 / after - 1.0 / before, ..Self::default() }
    }

    /// What an outcome in `score` adds, `probability` being the cumulative one of the last draw that drew it.
    pub fn of_outcome(decision: &Decision, outcome: Outcome, probability: f64, reference_score: Option<f64>) -> Self {
        let is_left_out = matches!(outcome, Outcome::NotSampled | Outcome::Reused) && reference_score.is_none();
        if is_left_out {
            return Self { left_out: 1, left_out_w: 1.0 / probability, ..Self::default() };
        }
        reference_score.map(|h| Self::of_judged(decision, probability, h)).unwrap_or_default()
    }

    /// What the metric's questions cost; `None` where none of it is known, which is not the same as nothing.
    pub fn known_cost(&self) -> Option<NanoUsd> {
        (self.cost_unknown == 0 || self.cost > NanoUsd::ZERO).then_some(self.cost)
    }

    /// Interactions drawn and not left out by a later draw.
    pub fn drawn_for_reference(&self) -> u64 {
        self.drawn.saturating_sub(self.left_out)
    }

    /// Sum of `w` over these; those that wait count with the weight of the last draw so far.
    pub fn drawn_for_reference_w(&self) -> f64 {
        // Where all were left out, rounding must leave nothing behind.
        if self.drawn_for_reference() == 0 { 0.0 } else { (self.drawn_w - self.left_out_w).max(0.0) }
    }

    /// What a reference verdict of score `h` adds, `pi` being the probability with which the reference tier was to see it.
    pub fn of_judged(decision: &Decision, pi: f64, h: f64) -> Self {
        let g = decision.free_score().unwrap_or(0.0);
        let w = 1.0 / pi;
        let q = (1.0 - pi) / (pi * pi);
        let moments = [1.0, g, h, g * g, g * h, h * h];
        Self {
            judged: 1,
            positives: u64::from(h >= 0.5),
            disagreements: u64::from(decision.free_score().is_some_and(|g| (g >= 0.5) != (h >= 0.5))),
            max_w: w,
            w: moments.map(|m| w * m),
            q: moments.map(|m| q * m),
            ..Self::default()
        }
    }

    /// What calls add. A call of several questions is one, and its first question stands for it, so that totals over metrics are the
    /// calls that were made; the cost is every question's own.
    pub fn of_calls(calls: &[CallRecord]) -> Self {
        Self {
            calls: calls.iter().filter(|call| call.part.at == 0).count() as u64,
            cost: calls.iter().filter_map(|call| call.cost).fold(NanoUsd::ZERO, NanoUsd::plus),
            cost_unknown: calls.iter().filter(|call| call.cost.is_none()).count() as u64,
            ..Self::default()
        }
    }

    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        self.population += other.population;
        self.excluded += other.excluded;
        self.no_content += other.no_content;
        self.g += other.g;
        self.gg += other.gg;
        self.drawn += other.drawn;
        self.drawn_w += other.drawn_w;
        self.left_out += other.left_out;
        self.left_out_w += other.left_out_w;
        self.judged += other.judged;
        self.positives += other.positives;
        self.disagreements += other.disagreements;
        self.max_w = self.max_w.max(other.max_w);
        for (sum, value) in self.w.iter_mut().zip(other.w).chain(self.q.iter_mut().zip(other.q)) {
            *sum += value;
        }
        self.calls += other.calls;
        self.cost = self.cost.plus(other.cost);
        self.cost_unknown += other.cost_unknown;
    }
}

/// Which sums are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct SumsQuery {
    /// The project.
    pub project: ProjectName,
    /// The metric.
    pub metric: MetricName,
    /// Interactions whose time is at or after this.
    pub from: Timestamp,
    /// Interactions whose time is before this.
    pub to: Timestamp,
    /// Grouped by the values of this dimension, or all together.
    pub by: Option<Dimension>,
}

/// The sums of one hour, group and judge version.
#[derive(Debug, Clone, PartialEq)]
pub struct SumsBucket {
    /// Value of the dimension: empty where an interaction has none, or where no dimension was asked for; `other` beyond the first
    /// 1,000 values.
    pub group: String,
    /// The hour.
    pub hour: Hour,
    /// The reference judge's version as configured at accept.
    pub reference: JudgeVersion,
    /// The sums.
    pub sums: Sums,
}

/// How many values of a dimension are kept apart, per project.
pub const DIMENSION_VALUES_MAX: usize = 1_000;
/// What the values beyond that are counted under.
pub const OTHER: &str = "other";

/// The state of one metric of one interaction, as a reader sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricRecord {
    /// What was decided at accept.
    pub decision: Decision,
    /// The outcome; `None` while pending.
    pub outcome: Option<Outcome>,
    /// Why it was not judged.
    pub reason: Option<Reason>,
    /// Verdicts of called tiers.
    pub verdicts: Vec<Verdict>,
    /// Every call that was made for it.
    pub calls: Vec<CallRecord>,
    /// The draws between called tiers.
    pub steps: Vec<Step>,
}

/// Everything on record about one interaction.
#[derive(Debug, Clone, PartialEq)]
pub struct InteractionRecord {
    /// The small row.
    pub row: Accepted,
    /// The interaction itself, where it was kept.
    pub payload: Option<Interaction>,
    /// Each metric, in the order of the policy.
    pub metrics: Vec<MetricRecord>,
}

/// Which interactions or verdicts are wanted. Newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// The project.
    pub project: ProjectName,
    /// Of this metric only.
    pub metric: Option<MetricName>,
    /// By this judge only.
    pub judge: Option<JudgeName>,
    /// With this outcome of `metric` (or of any metric) only.
    pub outcome: Option<Outcome>,
    /// With a dimension of this value only.
    pub dimension: Option<(Dimension, String)>,
    /// Time at or after this.
    pub from: Option<Timestamp>,
    /// Time before this.
    pub to: Option<Timestamp>,
    /// Score at least this.
    pub score_min: Option<f64>,
    /// Score at most this.
    pub score_max: Option<f64>,
    /// Where the page before ended.
    pub cursor: Option<String>,
    /// At most this many, 1 to 1,000.
    pub limit: usize,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<String>,
}

/// A verdict and what it is about.
#[derive(Debug, Clone, PartialEq)]
pub struct VerdictRecord {
    /// The interaction.
    pub id: InteractionId,
    /// When the interaction happened.
    pub time: Timestamp,
    /// The metric.
    pub metric: MetricName,
    /// Whether it is the reference judge's.
    pub is_reference: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// When it was recorded.
    pub at: Timestamp,
}

/// How many decisions of a metric ended one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutcomeCount {
    /// The metric.
    pub metric: MetricName,
    /// The outcome; `None` for pending.
    pub outcome: Option<Outcome>,
    /// The reason's code; empty where there is none.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Outcomes of a range. For every metric, the counts add up to the accepted interactions that it was asked about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Accepted interactions.
    pub accepted: u64,
    /// Counts by metric, outcome and reason.
    pub counts: Vec<OutcomeCount>,
}

/// By what spend is split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpendBy {
    /// Not at all.
    Total,
    /// By metric.
    Metric,
    /// By judge.
    Judge,
    /// By the model asked for.
    Model,
    /// By what judges were asked as: see [`AskedAs`](crate::AskedAs).
    AskedAs,
    /// By hour of the call, UTC.
    Hour,
    /// By day of the call, UTC.
    Day,
}

/// What was spent on one group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spend {
    /// Calls made. One that carried the questions of several metrics counts with the first of them.
    pub calls: u64,
    /// Questions that they carried.
    pub questions: u64,
    /// Calls that gave no verdict.
    pub failed: u64,
    /// Calls whose cost is not known.
    pub cost_unknown: u64,
    /// What the others cost.
    pub cost: NanoUsd,
    /// Input tokens.
    pub input_tokens: u64,
    /// Input tokens from the provider's prompt cache.
    pub cached_input_tokens: u64,
    /// Input tokens written to it.
    pub cache_write_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Verdicts that were used again instead of asking.
    pub reused: u64,
    /// What that saved, as far as it is known.
    pub saved: NanoUsd,
    /// What the calls of known cost would have cost live, the prompt cache as it was. Records from before this was noted count with
    /// their cost, here and in `uncached`.
    pub live: NanoUsd,
    /// What they would have cost live without the prompt cache.
    pub uncached: NanoUsd,
    /// Answered questions of which that is on record.
    pub listed: u64,
    /// Their part of `uncached`.
    pub uncached_listed: NanoUsd,
}

impl Spend {
    /// Adds `other`.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.calls, other.calls),
            (&mut self.questions, other.questions),
            (&mut self.failed, other.failed),
            (&mut self.cost_unknown, other.cost_unknown),
            (&mut self.input_tokens, other.input_tokens),
            (&mut self.cached_input_tokens, other.cached_input_tokens),
            (&mut self.cache_write_tokens, other.cache_write_tokens),
            (&mut self.output_tokens, other.output_tokens),
            (&mut self.reused, other.reused),
            (&mut self.listed, other.listed),
        ];
        for (sum, value) in pairs {
            *sum = sum.saturating_add(value);
        }
        self.cost = self.cost.plus(other.cost);
        self.saved = self.saved.plus(other.saved);
        self.live = self.live.plus(other.live);
        self.uncached = self.uncached.plus(other.uncached);
        self.uncached_listed = self.uncached_listed.plus(other.uncached_listed);
    }
}

/// Verdicts on nearly the same that were judged for real all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReuseAudit {
    /// The metric.
    pub metric: MetricName,
    /// The version of what was found: one for each way of finding.
    pub version: JudgeVersion,
    /// How many.
    pub judged: u64,
    /// Of these, on how many the two lay on different sides of 0.5.
    pub errors: u64,
}

/// What is known of the reference scores within one tenth of a cheaper judge's scores: what allocation learns from.
#[derive(Debug, Clone, PartialEq)]
pub struct CellBucket {
    /// The metric.
    pub metric: MetricName,
    /// The reference judge's version.
    pub reference: JudgeVersion,
    /// The cheaper judge.
    pub predictor: JudgeName,
    /// Which tenth, 0 to 9: see [`crate::allocation::bin`].
    pub bin: u8,
    /// The sums.
    pub cell: Cell,
}

/// A judge version that took the place of another as a metric's reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct VersionChange {
    /// The metric.
    pub metric: MetricName,
    /// The version before.
    pub old: JudgeVersion,
    /// The version since.
    pub new: JudgeVersion,
}

/// An interaction of the random sample that both versions are to judge: the bridge between their rates.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeItem {
    /// The interaction.
    pub key: RowKey,
    /// Scores of the old and the new version; `None` where the one that was asked gave none.
    pub scores: Option<(f64, f64)>,
    /// The probability, in (0, 1], with which it came to be judged by both.
    pub probability: f64,
    /// The part of it, in (0, 1], that is the bridge's own draw.
    pub rate: f64,
    /// Calls that were made for it.
    pub calls: u64,
    /// What they cost, as far as it is known.
    pub cost: NanoUsd,
    /// Calls whose cost is not known.
    pub cost_unknown: u64,
}

/// What the other version said of an interaction that has its verdict.
#[derive(Debug, Clone, PartialEq)]
pub struct BridgeVerdict {
    /// The project.
    pub project: ProjectName,
    /// Which versions are compared.
    pub change: VersionChange,
    /// The item.
    pub item: BridgeItem,
    /// The other version's verdict.
    pub verdict: Option<Verdict>,
    /// The calls, failed ones included.
    pub calls: Vec<CallRecord>,
    /// What their spend is counted under, in place of the metric.
    pub spent_on: MetricName,
    /// When this was decided.
    pub at: Timestamp,
}

/// Which judged interactions are wanted: see [`Results::judged`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedQuery {
    /// The project.
    pub project: ProjectName,
    /// The metric.
    pub metric: MetricName,
    /// Interactions whose time is at or after this.
    pub from: Timestamp,
    /// Interactions whose time is before this.
    pub to: Timestamp,
    /// At most this many; what is beyond is left out.
    pub limit: usize,
}

/// An interaction with a reference verdict, whose text is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// The key of its row.
    pub key: RowKey,
    /// The interaction.
    pub id: InteractionId,
    /// When it happened.
    pub time: Timestamp,
    /// When it was judged.
    pub at: Timestamp,
    /// The policy that it was accepted under.
    pub policy: PolicyVersion,
    /// The reference judge's version.
    pub version: JudgeVersion,
    /// The reference score, in [0, 1].
    pub score: f64,
    /// Whether free judges decide alone: they see everything, but the text is kept of a part only.
    pub is_free: bool,
    /// The cumulative probability with which the reference judge was to see it, in (0, 1]. Where free judges decide alone, the
    /// probability in [0, 1] that another metric drew it, so that its text is kept; the policy's reserve is not counted in.
    pub probability: f64,
}

/// What scoring has recorded of an interaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Recorded {
    /// When the row on record was accepted; `None` where there is none, or where rows are not kept.
    pub accepted_at: Option<Timestamp>,
    /// Metrics whose outcome was decided in `score` (not at accept).
    pub closed: Vec<MetricName>,
    /// Verdicts of called tiers.
    pub verdicts: Vec<(MetricName, Verdict)>,
    /// Draws between called tiers.
    pub steps: Vec<(MetricName, Step)>,
    /// Calls that were made, in no particular order: what they cost may still have to be settled.
    pub calls: Vec<CallRecord>,
}

/// What accept and score write.
#[async_trait]
pub trait Recorder: Send + Sync {
    /// The offset up to which rows are folded in.
    async fn folded(&self) -> Result<Offset, StoreError>;

    /// Folds accepted rows in and moves the offset to `up_to`, in one transaction. Rows at or before the stored offset are passed
    /// over, so that repeating a call changes nothing.
    async fn fold(&self, entries: &[(Offset, Entry)]) -> Result<(), StoreError>;

    /// Records verdicts, calls and outcomes, in one transaction. Repeatable: a call is known by its id, a verdict by (interaction,
    /// metric, judge version), and the first outcome of an interaction's metric stays.
    async fn record(&self, scored: &[Scored]) -> Result<(), StoreError>;

    /// What scoring has recorded of an interaction so far, so that a redelivery asks nobody twice.
    async fn recorded(&self, key: RowKey) -> Result<Recorded, StoreError>;
}

/// The results store: what report, API and dashboard read.
#[async_trait]
pub trait Results: Recorder {
    /// Sums by hour, group and judge version. Exact for any range: whole hours from rollups, the rest from rows.
    async fn sums(&self, query: &SumsQuery) -> Result<Vec<SumsBucket>, StoreError>;

    /// The cells of a project's metrics, over interactions whose hour begins at or after `from`.
    async fn cells(&self, project: &ProjectName, from: Timestamp) -> Result<Vec<CellBucket>, StoreError>;

    /// How the reuse of verdicts on nearly the same has fared in a project, by metric and version of what was found.
    async fn reuse_audits(&self, project: &ProjectName) -> Result<Vec<ReuseAudit>, StoreError>;

    /// Everything about one interaction.
    async fn interaction(&self, project: &ProjectName, id: &InteractionId) -> Result<Option<InteractionRecord>, StoreError>;

    /// Interactions, newest first.
    async fn interactions(&self, filter: &Filter) -> Result<Page<InteractionRecord>, StoreError>;

    /// Verdicts, newest first.
    async fn verdicts(&self, filter: &Filter) -> Result<Page<VerdictRecord>, StoreError>;

    /// What was decided after a place in the feed, in order of recording. A call looks at a bounded number of places, so that it may
    /// come back empty before the end.
    async fn decided_after(&self, query: &DecidedQuery) -> Result<DecidedPage, StoreError>;

    /// The last place in the feed; 0 while nothing was decided.
    async fn decided_last(&self) -> Result<u64, StoreError>;

    /// Interactions with a reference verdict whose text is kept, oldest first.
    async fn judged(&self, query: &JudgedQuery) -> Result<Vec<Judged>, StoreError>;

    /// Outcomes of interactions whose hour lies in [from, to).
    async fn outcomes(&self, project: &ProjectName, from: Timestamp, to: Timestamp) -> Result<Outcomes, StoreError>;

    /// Spend on calls that ended in [from, to), to the hour, by key.
    async fn spend(
        &self,
        project: &ProjectName,
        from: Timestamp,
        to: Timestamp,
        by: SpendBy,
    ) -> Result<BTreeMap<String, Spend>, StoreError>;

    /// Spend on calls that ended in [from, to), to the hour, by metric and by what the judges were asked as.
    async fn spend_by_place(
        &self,
        project: &ProjectName,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<BTreeMap<(String, AskedAs), Spend>, StoreError>;

    /// How many interactions were accepted, by their hour, of hours that lie in [from, to).
    async fn accepted(&self, project: &ProjectName, from: Timestamp, to: Timestamp) -> Result<BTreeMap<Hour, u64>, StoreError>;

    /// Records what the other version said, in one transaction: a verdict and its calls, and in no rate. Repeating it changes nothing.
    async fn record_bridge(&self, extra: &BridgeVerdict) -> Result<(), StoreError>;

    /// The bridge over a change, in no particular order.
    async fn bridge(&self, project: &ProjectName, change: &VersionChange) -> Result<Vec<BridgeItem>, StoreError>;
}
