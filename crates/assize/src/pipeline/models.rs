//! Which models answer, by their providers' account: one that changes under the same configured name is noticed and reported.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use assize_core::control::Answering;
use assize_core::{JudgeVersion, Scored, StoreError, Timestamp, Verdict};

use super::PolicyStore;
use crate::counters::Counters;

/// The models that have answered as each judge version, oldest first.
#[derive(Default)]
pub struct Models(RwLock<HashMap<JudgeVersion, Known>>);

#[derive(Default, Clone)]
struct Known {
    models: Vec<Answering>,
    /// The place of the one that answered last.
    last: usize,
}

/// The model that answers is another than before, though the judge is the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drift {
    pub from: String,
    pub to: String,
    /// When the new one was seen first.
    pub since: Timestamp,
}

/// Models of one version that are kept; more would be a provider that makes names up.
const MODELS_MAX: usize = 16;
/// Characters of a model's name that are kept.
const NAME_CHARS_MAX: usize = 200;

impl Models {
    /// Takes up what was seen before the process started.
    pub async fn load(&self, store: &PolicyStore) -> Result<(), StoreError> {
        let Some(store) = store else { return Ok(()) };
        let stored = store.answering().await?;
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for answering in stored {
            let known: &mut Known = all.entry(answering.version.clone()).or_default();
            known.models.push(answering);
            known.last = known.models.len().saturating_sub(1);
        }
        Ok(())
    }

    /// The model that answered last as `version`.
    pub fn last(&self, version: &JudgeVersion) -> Option<String> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(version)?;
        known.models.get(known.last).map(|answering| answering.model.clone())
    }

    /// Whether the model that answers as `version` has changed: the latest change.
    pub fn drift(&self, version: &JudgeVersion) -> Option<Drift> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let [.., before, after] = all.get(version)?.models.as_slice() else { return None };
        Some(Drift { from: before.model.clone(), to: after.model.clone(), since: after.since })
    }

    /// Looks at who gave the verdicts that are being recorded.
    pub async fn note(&self, store: &PolicyStore, counters: &Counters, scored: &[Scored]) -> Result<(), StoreError> {
        for one in scored {
            for verdict in one.verdicts.iter().filter(|verdict| verdict.reused.is_none()) {
                let Some(answering) = self.is_new(verdict, one.at) else { continue };
                if let Some(Drift { from, to, .. }) = self.drift(&verdict.version) {
                    counters.drift();
                    tracing::warn!(
                        judge = %verdict.judge, metric = %one.metric, version = %verdict.version, ?from, ?to,
                        "another model answers under the same name: rates before and after may differ for that alone; pin the model's \
                         version in the judge's `model` to keep them comparable"
                    );
                }
                if let Some(store) = store {
                    store.put_answering(&answering).await?;
                }
            }
        }
        Ok(())
    }

    /// Takes note of the verdict's model; it is returned if it was not known.
    fn is_new(&self, verdict: &Verdict, now: Timestamp) -> Option<Answering> {
        let model: String = verdict.model.as_ref()?.chars().take(NAME_CHARS_MAX).collect();
        {
            let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = all.get(&verdict.version)
                && known.models.get(known.last).is_some_and(|last| last.model == model)
            {
                return None;
            }
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(verdict.version.clone()).or_default();
        if let Some(at) = known.models.iter().position(|answering| answering.model == model) {
            known.last = at;
            return None;
        }
        if known.models.len() >= MODELS_MAX {
            return None;
        }
        let answering = Answering { version: verdict.version.clone(), model, since: now };
        known.last = known.models.len();
        known.models.push(answering.clone());
        Some(answering)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(model: &str) -> Verdict {
        serde_json::from_value(serde_json::json!({"judge": "j", "version": "v", "score": 1.0, "model": model})).unwrap()
    }

    #[test]
    fn a_change_is_new_once() {
        let models = Models::default();
        let version = JudgeVersion::from_stored("v");
        assert!(models.is_new(&verdict("m-1"), Timestamp(1)).is_some());
        assert_eq!((models.last(&version).as_deref(), models.drift(&version)), (Some("m-1"), None));
        assert!(models.is_new(&verdict("m-1"), Timestamp(2)).is_none());
        assert!(models.is_new(&verdict("m-2"), Timestamp(3)).is_some());
        let drift = Drift { from: "m-1".to_owned(), to: "m-2".to_owned(), since: Timestamp(3) };
        // Back and forth between the same two says nothing new.
        assert!(models.is_new(&verdict("m-1"), Timestamp(4)).is_none() && models.is_new(&verdict("m-2"), Timestamp(5)).is_none());
        assert_eq!((models.last(&version).as_deref(), models.drift(&version)), (Some("m-2"), Some(drift)));
        for n in 0..100 {
            models.is_new(&verdict(&format!("x-{n}")), Timestamp(6));
        }
        assert_eq!(models.0.read().unwrap()[&version].models.len(), MODELS_MAX);
    }
}
