//! Models that run in this process: opened once for all panels that use them, since they are large.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use assize_core::JudgeName;
use assize_core::judge::{CalledJudge, InlineJudge};
use assize_judge::spec::{BertSpec, LinearSpec};
use assize_judge::{SpecError, bert, linear};

use super::gate::Gate;

/// What is open; what no panel uses any more is closed.
#[derive(Default)]
pub struct LocalModels {
    linear: Mutex<Vec<(LinearSpec, Weak<dyn InlineJudge>)>>,
    bert: Mutex<Vec<OpenBert>>,
}

struct OpenBert {
    name: JudgeName,
    spec: BertSpec,
    questions: usize,
    judge: Weak<dyn CalledJudge>,
    gate: Arc<Gate>,
}

impl LocalModels {
    /// The linear model that `spec` describes.
    pub fn linear(&self, spec: &LinearSpec) -> Result<Arc<dyn InlineJudge>, SpecError> {
        let mut open = self.linear.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, judge)| judge.strong_count() > 0);
        if let Some(known) = open.iter().find(|(known, _)| known == spec).and_then(|(_, judge)| judge.upgrade()) {
            return Ok(known);
        }
        let judge = linear::open(spec)?;
        open.push((spec.clone(), Arc::downgrade(&judge)));
        Ok(judge)
    }

    /// The classifier that `spec` describes, on behalf of so many questions, and its gate.
    pub fn bert(
        &self,
        name: &JudgeName,
        spec: &BertSpec,
        questions: usize,
    ) -> Result<(Arc<dyn CalledJudge>, Arc<Gate>), SpecError> {
        let mut open = self.bert.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|known| known.judge.strong_count() > 0);
        let same = |known: &&OpenBert| &known.name == name && &known.spec == spec && known.questions == questions;
        if let Some((judge, gate)) = open.iter().find(same).and_then(|one| Some((one.judge.upgrade()?, Arc::clone(&one.gate)))) {
            return Ok((judge, gate));
        }
        let judge = bert::open(name, spec, questions)?;
        let gate = Arc::new(Gate::new(spec.concurrency(), BertSpec::ATTEMPTS).of(name.as_str()).without_breaker());
        let known = OpenBert { name: name.clone(), spec: spec.clone(), questions, judge: Arc::downgrade(&judge), gate };
        let gate = Arc::clone(&known.gate);
        open.push(known);
        Ok((judge, gate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_opened_once_while_it_is_used() {
        let models = LocalModels::default();
        let spec = LinearSpec { model: "builtin:toxicity".to_owned(), field: None };
        let first = models.linear(&spec).unwrap();
        assert!(Arc::ptr_eq(&first, &models.linear(&spec).unwrap()));
        let other = LinearSpec { model: "builtin:sentiment".to_owned(), field: None };
        assert!(!Arc::ptr_eq(&first, &models.linear(&other).unwrap()));
        drop(first);
        models.linear(&other).unwrap();
        assert!(models.linear.lock().unwrap().iter().all(|(known, _)| known != &spec), "closed when nobody used it");
    }
}
