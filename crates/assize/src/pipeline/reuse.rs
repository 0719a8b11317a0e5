//! Verdicts used again: of the very same question for good, of nearly the same as one more cheap tier.
//!
//! The cache is looked up after the draw, so that probabilities stay true, and never again for an item that came back: what failed once
//! is asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assize_core::{
    CacheEntry, CacheKey, CachedVerdict, Interaction, JudgeVersion, NanoUsd, ProjectName, ReuseKind, Reused, StoreError,
    TenantName, Timestamp, Verdict, VerdictCache,
};
use assize_judge::cache_key;
use futures::future::BoxFuture;
use tokio::sync::watch;

use super::case::Case;
use super::course::Course;
use super::nearest::{Nearest, ShelfName, Vectors};
use super::seat::CalledSeat;
use crate::counters::Counters;

/// Who pays for a project.
pub type TenantOf = Arc<dyn Fn(&ProjectName) -> TenantName + Send + Sync>;

/// The cache of verdicts, and what is being asked right now.
pub struct Reuse {
    cache: Arc<dyn VerdictCache>,
    tenant_of: TenantOf,
    flights: Arc<Flights>,
    /// What finds verdicts by meaning, where there is a model for it.
    nearest: Option<Nearest>,
}

/// The keys under which a judge's answer to one metric's question is found again.
#[derive(Clone, Copy)]
pub struct Keys {
    pub exact: CacheKey,
    /// Where the metric uses verdicts on nearly the same, and the judge is its reference.
    pub similar: Option<CacheKey>,
    /// The digest of what must be the same where texts are compared by meaning, if the metric does that.
    pub rest: Option<CacheKey>,
}

/// A verdict that was given anew, as it will be kept.
pub struct Fresh {
    entries: Vec<CacheEntry>,
    /// The shelf, what must be the same on it, and the key.
    near: Option<(ShelfName, CacheKey, CacheKey)>,
}

impl Reuse {
    pub fn new(cache: Arc<dyn VerdictCache>, tenant_of: TenantOf) -> Self {
        Self { cache, tenant_of, flights: Arc::default(), nearest: None }
    }

    /// The same, which also finds verdicts by meaning where a metric wants that.
    pub fn with_nearest(self, nearest: Option<Nearest>) -> Self {
        Self { nearest, ..self }
    }

    /// The cache itself, to be counted.
    pub fn cache(&self) -> &dyn VerdictCache {
        self.cache.as_ref()
    }

    /// Forgets everything of `tenant`. How many verdicts that were.
    ///
    /// # Errors
    /// Where something of it may still be there; the message says where.
    pub async fn purge(&self, tenant: &TenantName) -> Result<u64, StoreError> {
        if let Some(nearest) = &self.nearest {
            nearest.forget(tenant);
        }
        self.cache.purge(tenant).await
    }

    /// The keys of what the course asks next; `None` where the answer depends on more than a key covers.
    pub fn keys(&self, course: &Course<'_>, seat: &CalledSeat, interaction: &Interaction) -> Option<Keys> {
        if !seat.cacheable {
            return None;
        }
        let tenant = (self.tenant_of)(&interaction.project);
        let (metric, version) = (&course.decision.metric, &seat.version);
        let exact = cache_key::exact(&tenant, metric, version, interaction, seat.without_context);
        let wants_similar = course.metric.reuse.is_some() && course.is_at_reference();
        let similar = || cache_key::normalised(&tenant, metric, version, interaction, seat.without_context);
        let compares = course.metric.reuse.is_some_and(|reuse| reuse.similarity.is_some()) && self.nearest.is_some();
        let rest = || cache_key::rest(&tenant, metric, version, interaction, seat.without_context);
        Some(Keys { exact, similar: wants_similar.then(similar), rest: (wants_similar && compares).then(rest) })
    }

    /// What is kept under `keys`, in their order.
    pub async fn find(&self, keys: &[CacheKey], now: Timestamp) -> Vec<Option<Arc<CachedVerdict>>> {
        self.cache.get(keys, now).await
    }

    /// What is kept on what means nearly the same as the case, by the metric's measure.
    pub async fn find_nearest(
        &self,
        case: &Case<'_>,
        shelf: &ShelfName,
        keys: Keys,
        similarity: f64,
        counters: &Counters,
        now: Timestamp,
    ) -> Option<Arc<CachedVerdict>> {
        let (nearest, rest) = (self.nearest.as_ref()?, keys.rest?);
        let vectors = vectors(nearest, case, counters).await?;
        let key = nearest.find(shelf, rest, &vectors, similarity).await?;
        self.find(&[key], now).await.into_iter().next().flatten()
    }

    /// The version of what is found by meaning, of the judge in `seat` on a metric with this measure.
    pub fn version_by_meaning(&self, seat: &CalledSeat, similarity: f64) -> Option<JudgeVersion> {
        Some(version_by_meaning(&seat.version, similarity, self.nearest.as_ref()?.version()))
    }

    /// Where verdicts of the judge in `seat` on the course's metric stand.
    pub fn shelf(&self, course: &Course<'_>, seat: &CalledSeat, project: &ProjectName) -> ShelfName {
        let tenant = (self.tenant_of)(project);
        ShelfName { tenant, metric: course.decision.metric.clone(), version: seat.version.clone() }
    }

    /// A verdict that was given anew, to be kept once it is on record; found by its meaning too, if it `finds_near`.
    #[allow(clippy::too_many_arguments)]
    pub fn fresh(
        &self,
        course: &Course<'_>,
        seat: &CalledSeat,
        project: &ProjectName,
        keys: Keys,
        verdict: &Verdict,
        finds_near: bool,
        at: Timestamp,
    ) -> Fresh {
        let ShelfName { tenant, metric, version } = self.shelf(course, seat, project);
        let entry = |key| CacheEntry { key, tenant: tenant.clone(), metric: metric.clone(), verdict: verdict.clone(), at };
        let entries = [Some(keys.exact), keys.similar].into_iter().flatten().map(entry).collect();
        let near = keys.rest.filter(|_| finds_near).map(|rest| (ShelfName { tenant, metric, version }, rest, keys.exact));
        Fresh { entries, near }
    }

    /// Keeps verdicts that are on record.
    pub async fn keep(&self, case: &Case<'_>, fresh: Vec<Fresh>, counters: &Counters) {
        let (entries, near): (Vec<_>, Vec<_>) = fresh.into_iter().map(|fresh| (fresh.entries, fresh.near)).unzip();
        if entries.is_empty() {
            return;
        }
        self.cache.put(entries.into_iter().flatten().collect()).await;
        if let Some(trouble) = self.cache.trouble() {
            tracing::warn!(%trouble, "the verdict cache");
        }
        let Some(nearest) = &self.nearest else { return };
        for (shelf, rest, key) in near.into_iter().flatten() {
            if let Some(vectors) = vectors(nearest, case, counters).await {
                nearest.add(shelf, rest, vectors, key);
            }
        }
    }

    /// Takes on `key`, so that whoever asks the same meanwhile waits for the answer; `Err` is the wait, where somebody has.
    pub fn take_on(&self, key: CacheKey) -> Result<Flight, BoxFuture<'static, ()>> {
        self.flights.take_on(key)
    }
}

/// What the case's texts mean, computed once; a failure is counted once, and then they mean nothing that can be compared.
async fn vectors(nearest: &Nearest, case: &Case<'_>, counters: &Counters) -> Option<Arc<Vectors>> {
    let embed = async || {
        nearest.vectors(case.subject).await.map(|vectors| vectors.map(Arc::new)).unwrap_or_else(|error| {
            counters.fault("embed");
            if nearest.should_say() {
                tracing::warn!(%error, "texts cannot be compared by meaning; their judges are asked instead");
            }
            None
        })
    };
    case.vectors.get_or_init(embed).await.clone()
}

/// A verdict of the cache as that of the judge in `seat`, for nothing: under the judge's own version, or that of what is found on nearly
/// the same.
pub fn again(cached: &CachedVerdict, seat: &CalledSeat, similar: Option<JudgeVersion>) -> Verdict {
    let kind = if similar.is_some() { ReuseKind::Similar } else { ReuseKind::Exact };
    Verdict {
        judge: seat.name.clone(),
        version: similar.unwrap_or_else(|| seat.version.clone()),
        usage: None,
        cost: Some(NanoUsd::ZERO),
        latency_ms: 0,
        reused: Some(Reused { kind, saved: cached.verdict.cost }),
        ..cached.verdict.clone()
    }
}

/// The version of what is found by normalised text: another judge than the one that gave it.
pub fn version_by_text(version: &JudgeVersion) -> JudgeVersion {
    JudgeVersion::of(&[b"similar", version.as_str().as_bytes()])
}

/// The version of what is found by meaning: yet another for every measure and every model, since each errs at a rate of its own.
fn version_by_meaning(version: &JudgeVersion, similarity: f64, embeddings: &str) -> JudgeVersion {
    let similarity = similarity.to_bits().to_le_bytes();
    JudgeVersion::of(&[b"similar by meaning", version.as_str().as_bytes(), &similarity, embeddings.as_bytes()])
}

/// No answer is waited for longer than this; then the question is asked again.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(60);

/// Questions that are being asked. As many as items in hand, at the most.
#[derive(Default)]
struct Flights(Mutex<HashMap<CacheKey, watch::Receiver<()>>>);

/// A question that is being asked, until this is dropped.
pub struct Flight {
    key: CacheKey,
    flights: Arc<Flights>,
    _landing: watch::Sender<()>,
}

impl Flights {
    fn take_on(self: &Arc<Self>, key: CacheKey) -> Result<Flight, BoxFuture<'static, ()>> {
        let mut flying = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landing) = flying.get(&key) {
            let mut landing = landing.clone();
            return Err(Box::pin(async move {
                // The sender never sends: it is dropped when the flight is over.
                let _ = tokio::time::timeout(WAIT_MAX, landing.changed()).await;
            }));
        }
        let (sender, receiver) = watch::channel(());
        flying.insert(key, receiver);
        Ok(Flight { key, flights: Arc::clone(self), _landing: sender })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_finding_is_audited_by_itself() {
        let version = JudgeVersion::of(&[b"v"]);
        let versions = [
            version.clone(),
            version_by_text(&version),
            version_by_meaning(&version, 0.95, "a"),
            version_by_meaning(&version, 0.96, "a"),
            version_by_meaning(&version, 0.95, "b"),
            version_by_meaning(&JudgeVersion::of(&[b"w"]), 0.95, "a"),
        ];
        let different: std::collections::HashSet<_> = versions.iter().map(JudgeVersion::as_str).collect();
        assert_eq!(different.len(), versions.len());
        assert_eq!(version_by_meaning(&version, 0.95, "a"), versions[2]);
    }

    #[tokio::test]
    async fn the_same_question_is_asked_once_at_a_time() {
        let flights = Arc::new(Flights::default());
        let key = CacheKey([1; 32]);
        let flight = flights.take_on(key).ok().unwrap();
        assert!(flights.take_on(CacheKey([2; 32])).is_ok());
        let Err(wait) = flights.take_on(key) else { panic!("taken on twice") };
        let waiting = tokio::spawn(wait);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(flight);
        waiting.await.unwrap();
        assert!(flights.take_on(key).is_ok(), "and again afterwards");
        assert!(flights.0.lock().unwrap().is_empty());
    }
}
