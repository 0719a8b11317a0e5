//! A sequence classifier as a judge: its probability of one label is the score.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, ProviderName, Verdict};
use async_trait::async_trait;
use tokio::time::timeout;

use super::batch::{Answer, Size};
use super::config::Problem;
use super::engine::{Engine, Purpose, Settings};
use super::tokens::Text;
use super::{BertError, BertSpec};
use crate::check::SpecError;
use crate::spec::Field;

/// Changes whenever the same files and settings would judge some text differently than before.
const ENGINE: &[u8] = b"bert/1";
/// Labels that a reason names.
const REASON_LABELS: usize = 3;
/// Characters of a label in a reason.
const REASON_LABEL_CHARS: usize = 40;

struct Classifier {
    name: JudgeName,
    provider: ProviderName,
    /// The folder's own name.
    model: String,
    field: Field,
    engine: Arc<Engine>,
    /// The label that counts as 1.
    label: usize,
    version: JudgeVersion,
    /// The version once per question: they do not differ.
    versions: Vec<JudgeVersion>,
}

/// See [`super::open`].
pub(crate) fn open(name: &JudgeName, spec: &BertSpec, questions: usize) -> Result<Arc<dyn CalledJudge>, SpecError> {
    spec.check()?;
    let wrong = |error: BertError| SpecError::new(error.key, error.message);
    let size = Size { threads: spec.threads, batch_max: spec.batch_max };
    let settings = Settings { purpose: Purpose::Classify, max_tokens: spec.max_tokens, size };
    let engine = Engine::open(&spec.folder, settings).map_err(wrong)?;
    let label = pick(&engine.labels, engine.problem, spec.label.as_deref()).map_err(wrong)?;
    let version = JudgeVersion::of(&[
        ENGINE,
        engine.hash.as_bytes(),
        &(label as u64).to_le_bytes(),
        &[spec.field as u8],
        &(engine.max_tokens as u64).to_le_bytes(),
    ]);
    Ok(Arc::new(Classifier {
        name: name.clone(),
        provider: ProviderName::new(name.as_str()).map_err(|error| SpecError::new("name", error.to_string()))?,
        model: folder_name(&spec.folder),
        field: spec.field,
        engine,
        label,
        versions: vec![version.clone(); questions],
        version,
    }))
}

fn folder_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    whole.file_name().map_or_else(|| "bert".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The index of the label that counts as 1.
fn pick(labels: &[String], problem: Problem, wanted: Option<&str>) -> Result<usize, BertError> {
    let all = || labels.iter().map(|label| format!("{label:?}")).collect::<Vec<_>>().join(", ");
    let wrong = |what: String| BertError::new(what).at("label");
    if let Some(wanted) = wanted {
        let exact = labels.iter().position(|label| label == wanted);
        let mut alike = labels.iter().enumerate().filter(|(_, label)| label.eq_ignore_ascii_case(wanted));
        return match (exact, alike.next(), alike.next()) {
            (Some(at), ..) | (None, Some((at, _)), None) => Ok(at),
            _ => Err(wrong(format!("{wanted:?} is no label of the model: use one of {}", all()))),
        };
    }
    match labels {
        [_] => Ok(0),
        // Of yes and no the last is the yes by custom, unless its name says otherwise.
        [_, last] if problem == Problem::OneLabel && !denies(last) => Ok(1),
        _ => Err(wrong(format!("the model has several labels, and which one counts as 1 is not plain: use one of {}", all()))),
    }
}

/// Whether a label's name says that there is nothing.
fn denies(label: &str) -> bool {
    const NOTHING: [&str; 13] =
        ["no", "none", "false", "negative", "neutral", "normal", "safe", "clean", "benign", "ham", "ok", "other", "label_0"];
    let label = label.to_ascii_lowercase();
    let begins = ["not", "non-", "non_", "no_", "no ", "un"].iter().any(|start| label.starts_with(start));
    begins || NOTHING.contains(&label.as_str())
}

/// Logits as probabilities.
fn probabilities(logits: &[f32], problem: Problem) -> Vec<f64> {
    let logits = logits.iter().map(|&logit| f64::from(logit));
    match problem {
        Problem::OneLabel => {
            let highest = logits.clone().fold(f64::NEG_INFINITY, f64::max);
            let parts: Vec<f64> = logits.map(|logit| (logit - highest).exp()).collect();
            let sum: f64 = parts.iter().sum();
            parts.into_iter().map(|part| part / sum).collect()
        }
        Problem::ManyLabels | Problem::Regression => logits.map(|logit| 1.0 / (1.0 + (-logit).exp())).collect(),
    }
}

impl Classifier {
    /// What the model reads; `None` where there is nothing but white space.
    fn text(&self, interaction: &Interaction) -> Option<Text> {
        let (input, output) = (interaction.input_text(), interaction.output_text());
        let (first, second) = match self.field {
            Field::Input => (input, None),
            Field::Output => (output, None),
            Field::Both => (input, Some(output)),
        };
        let empty = first.trim().is_empty() && second.as_ref().is_none_or(|text| text.trim().is_empty());
        (!empty).then(|| Text { first: first.into_owned(), second: second.map(std::borrow::Cow::into_owned) })
    }

    async fn answer(&self, text: Text) -> Result<Answer, CallFailure> {
        match timeout(BertSpec::ANSWER_WAIT_MAX, self.engine.pool.ask(text)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(CallFailure::new(CallFailureKind::Unavailable, error.message)),
            Err(_) => Err(CallFailure::new(
                CallFailureKind::Timeout,
                format!(
                    "no answer within {} seconds: more texts come than the model can read; raise `threads` or judge a smaller part",
                    BertSpec::ANSWER_WAIT_MAX.as_secs()
                ),
            )),
        }
    }

    fn verdict(&self, answer: Option<&Answer>, latency_ms: u64) -> Verdict {
        let mut verdict = Verdict {
            judge: self.name.clone(),
            version: self.version.clone(),
            score: 0.0,
            label: None,
            confidence: None,
            reason: "there is no text to read".to_owned(),
            model: Some(self.model.clone()),
            usage: None,
            cost: Some(NanoUsd(0)),
            latency_ms,
            reused: None,
            simulated: false,
        };
        let Some(answer) = answer else { return verdict };
        let scores = probabilities(&answer.values, self.engine.problem);
        let mut ranked: Vec<(&String, f64)> = self.engine.labels.iter().zip(scores.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        verdict.score = scores.get(self.label).copied().unwrap_or(0.0).clamp(0.0, 1.0);
        verdict.confidence = Some(verdict.score.max(1.0 - verdict.score));
        // Where each label stands for itself, none may.
        let named = |score: f64| self.engine.problem == Problem::OneLabel || score >= 0.5;
        verdict.label = ranked.first().filter(|(_, score)| named(*score)).map(|(label, _)| (*label).clone());
        let short = |label: &str| label.chars().take(REASON_LABEL_CHARS).collect::<String>();
        let names = ranked.iter().take(REASON_LABELS).map(|(label, score)| format!("{} {score:.3}", short(label)));
        verdict.reason = names.collect::<Vec<_>>().join(", ");
        if answer.cut {
            verdict.reason.push_str(&format!("; of a longer text {} tokens were read", answer.tokens));
        }
        verdict
    }
}

#[async_trait]
impl CalledJudge for Classifier {
    fn versions(&self) -> &[JudgeVersion] {
        &self.versions
    }

    fn provider(&self) -> &ProviderName {
        &self.provider
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn questions_max(&self) -> usize {
        self.versions.len().max(1)
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        let started = Instant::now();
        let answer = match self.text(interaction) {
            Some(text) => self.answer(text).await.map(Some),
            None => Ok(None),
        };
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        // The text is read once, however many ask.
        let result = match answer {
            Ok(answer) => Ok(self.verdict(answer.as_ref(), latency_ms)),
            Err(failure) => Err(CallFailure { latency_ms, cost: Some(NanoUsd(0)), ..failure }),
        };
        vec![result; questions.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(labels: &[&str], problem: Problem, wanted: Option<&str>) -> Result<usize, String> {
        let labels: Vec<String> = labels.iter().map(|&label| label.to_owned()).collect();
        pick(&labels, problem, wanted).map_err(|error| error.to_string())
    }

    #[test]
    fn the_label_that_counts_is_plain_or_asked_for() {
        let one = Problem::OneLabel;
        assert_eq!(picked(&["LABEL_0", "LABEL_1"], one, None), Ok(1));
        assert_eq!(picked(&["NEGATIVE", "POSITIVE"], one, None), Ok(1));
        assert_eq!(picked(&["toxic"], Problem::ManyLabels, None), Ok(0));
        assert_eq!(picked(&["hate", "nothate"], one, Some("hate")), Ok(0));
        assert_eq!(picked(&["Hate", "nothate"], one, Some("hate")), Ok(0));
        assert_eq!(picked(&["hate", "Hate"], one, Some("Hate")), Ok(1));
        let doubtful: [(&[&str], Problem); 5] = [
            (&["hate", "nothate"], one),
            (&["toxic", "neutral"], one),
            (&["LABEL_1", "LABEL_0"], one),
            (&["neutral", "offensive", "hateful"], one),
            (&["toxicity", "threat"], Problem::ManyLabels),
        ];
        for (labels, problem) in doubtful {
            let error = picked(labels, problem, None).unwrap_err();
            assert!(labels.iter().all(|label| error.contains(&format!("{label:?}"))), "{error}");
        }
        let error = picked(&["a", "b"], one, Some("c")).unwrap_err();
        assert!(error.contains("\"c\" is no label") && error.contains("\"a\", \"b\""), "{error}");
        assert!(picked(&["hate", "Hate"], one, Some("HATE")).is_err());
    }

    #[test]
    fn probabilities_are_such_for_any_logits() {
        for logits in [vec![0.0, 0.0], vec![1e30, -1e30], vec![-1e30, -1e30, -1e30], vec![3.0, 1.0, -200.0]] {
            let one = probabilities(&logits, Problem::OneLabel);
            assert!((one.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{logits:?}");
            let many = probabilities(&logits, Problem::ManyLabels);
            assert!(one.iter().chain(&many).all(|p| (0.0..=1.0).contains(p)), "{logits:?}");
        }
        assert!((probabilities(&[1.0, 3.0], Problem::OneLabel)[1] - 0.880_797_077_977_882_3).abs() < 1e-12);
        assert!((probabilities(&[2.0], Problem::ManyLabels)[0] - 0.880_797_077_977_882_3).abs() < 1e-12);
    }
}
