//! The nouns of Assize, the ports that its backends implement, and the policies that decide what is judged.
//!
//! Nothing here does IO, reads a clock or draws a random number: time, ids and keys are arguments. Modules in suggested reading
//! order: what is judged ([`interaction`]), what is asked about it ([`metric`], [`policy`]), whether it is asked ([`sampling`],
//! [`draw`]), what becomes of it ([`accepted`], [`verdict`], [`outcome`], [`scored`]), what it costs and who pays ([`money`],
//! [`budget`], [`tenant`]), what it would cost ([`cost`]), and the ports ([`judge`], [`ledger`], [`cache`], [`batch`], [`parking`],
//! [`queue`], [`results`], [`labels`], [`control`] with its log of changes, [`audit`]). What people say of it is in
//! [`label`].
#![warn(missing_docs)]

pub mod accepted;
pub mod allocation;
pub mod audit;
pub mod batch;
pub mod budget;
pub mod cache;
pub mod control;
pub mod cost;
pub mod decided;
pub mod draw;
pub mod error;
pub mod export;
pub mod features;
pub mod ids;
pub mod interaction;
pub mod judge;
pub mod label;
pub mod labels;
pub mod ledger;
pub mod metric;
pub mod money;
pub mod outcome;
pub mod pacing;
pub mod parking;
pub mod policy;
pub mod projection;
pub mod queue;
pub mod results;
pub mod sampling;
pub mod savings;
pub mod scored;
pub mod tenant;
pub mod time;
pub mod verdict;

pub use accepted::{Accepted, Decision, DecisionState, TierScore};
pub use allocation::Allocation;
pub use budget::{Budget, Day, Month, Zone};
pub use cache::{CacheBounds, CacheEntry, CacheKey, CacheStats, CachedVerdict, VerdictCache};
pub use draw::{Draw, DrawKey};
pub use error::{StoreError, StoreErrorKind};
pub use features::Features;
pub use ids::{
    CallId, ExportName, InteractionId, JudgeName, JudgeVersion, MetricName, NameError, PolicyVersion, ProjectName, ProviderName,
    RowKey, ScoreName, TenantName,
};
pub use interaction::{Flags, Interaction, Message, Role, TokenUsage};
pub use label::{Feedback, FeedbackValue, Label, Review, ReviewItem, ReviewState, Reviewer, Source, Stratum};
pub use metric::{Metric, Needs, ReusePolicy, Tier, TierKind, Unit};
pub use money::{NanoUsd, Price};
pub use outcome::{Outcome, Reason};
pub use policy::{Dimension, Policy};
pub use sampling::{Condition, Restraint, SamplingPolicy, SmartRule, inclusion};
pub use scored::{AskedAs, CallRecord, CallStatus, ListCost, Part, Scored, Step};
pub use tenant::{Disabled, Gap, GapChange, PlatformPolicy, SamplingOverride, Tenant, TenantPolicy};
pub use time::{Clock, Hour, SystemClock, Timestamp};
pub use verdict::{ReuseKind, Reused, Verdict};
