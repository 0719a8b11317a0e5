//! Verdicts on what means nearly the same, through the whole flow in this process: embeddings are what a test says they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use assize::pipeline::nearest::embeddings::Embeddings;
use assize::pipeline::nearest::{Bounds, Nearest};
use assize_core::TenantName;
use assize_testkit::provider::{Behaviour, FakeProvider};
use async_trait::async_trait;
use serde_json::{Value, json};

/// Texts mean what their first word says.
#[derive(Default)]
struct FirstWords {
    calls: AtomicUsize,
    broken: AtomicBool,
}

#[async_trait]
impl Embeddings for FirstWords {
    fn version(&self) -> String {
        "first words".to_owned()
    }

    async fn embed(&self, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>, String> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            return Err("no model".to_owned());
        }
        let vector = |text: &&str| {
            let mut vector = vec![0.0; 26];
            let first = text.bytes().next().filter(u8::is_ascii_lowercase)?;
            vector[usize::from(first - b'a')] = 1.0;
            // The rest of it hardly matters.
            vector[25] = 0.001 * text.len() as f32;
            Some(vector)
        };
        Ok(texts.iter().map(vector).collect())
    }
}

/// A flow whose one metric uses what means nearly the same, with a limit that few audits reach.
struct Flow {
    flow: crate::flow::Flow,
    embeddings: Arc<FirstWords>,
    provider: FakeProvider,
}

impl Flow {
    async fn start() -> Self {
        let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
        let reuse = "cascade = [\"gpt\"]\nreuse = { audit = 0.2, error_max = 0.2, similarity = 0.95 }";
        let text = crate::harness::config(&provider, "", "[cache]\nembeddings = \"decided-here\"\n[sampling]\nrate = 1.0");
        let embeddings = Arc::new(FirstWords::default());
        let nearest = Nearest::new(Arc::clone(&embeddings) as Arc<dyn Embeddings>, Bounds::default());
        let flow = crate::flow::Flow::open(&text.replace("cascade = [\"words\", \"gpt\"]", reuse)).await;
        Self { flow: flow.with_cache(Some(nearest)).await, embeddings, provider }
    }

    async fn judge(&self, item: Value) {
        self.flow.judge(&item).await;
    }

    /// The outcome of an interaction, and how its verdicts were come by.
    async fn outcome(&self, id: &str) -> (String, Vec<Option<String>>) {
        let metric = self.flow.metrics(id).await.remove(0);
        let reused = metric.verdicts.iter().map(|verdict| verdict.reused.as_ref().map(|reused| reused.kind.as_str().to_owned()));
        (metric.outcome.as_ref().map(|outcome| outcome.as_str().to_owned()).unwrap_or_default(), reused.collect())
    }

    fn embedded(&self) -> usize {
        self.embeddings.calls.load(Ordering::SeqCst)
    }
}

/// A question about a refund, worded so that neither the exact nor the normalised key finds another.
fn worded(at: usize) -> Value {
    let word = |n: usize| char::from(b'a' + (n % 26) as u8);
    let ending: String = [word(at), word(at / 26)].iter().collect();
    json!({"id": format!("i-{at}"), "input": format!("refund, {ending}"), "output": format!("certainly, {ending}")})
}

#[tokio::test]
async fn a_paraphrase_is_used_once_reuse_is_known_to_be_right() {
    let flow = Flow::start().await;
    for at in 0..12 {
        flow.judge(worded(at)).await;
    }
    // No error in 11 says that 20 % is too much with a confidence of 91 % only.
    assert_eq!(flow.provider.calls(), 12, "until enough is known every hit is judged");
    assert_eq!(flow.outcome("i-0").await, ("judged".to_owned(), vec![None]));
    let judged = ("judged".to_owned(), vec![Some("similar".to_owned()), None]);
    assert_eq!(flow.outcome("i-11").await, judged, "and what was found is on record beside it");
    for at in 12..240 {
        flow.judge(worded(at)).await;
    }
    // A fifth of 200 and five standard errors, and some more until enough is known.
    let calls = flow.provider.calls();
    assert!((12 + 12..=40 + 68).contains(&calls), "{calls} of 240 judged");
    let reused = format!("outcomes_total{{code=\"reused\"}} {}\n", 240 - calls);
    let counted = flow.flow.pipeline.counters.render(&Default::default());
    assert!(counted.contains(&reused), "{calls} judged: {counted}");
    assert_eq!(flow.embedded(), 240, "once an item, whatever it is used for");

    // The judge comes to say the contrary: that is noticed, and then nothing is embedded any more.
    flow.provider.set(Behaviour::score(0.0));
    let mut at = 240;
    loop {
        let (calls, embedded) = (flow.provider.calls(), flow.embedded());
        for _ in 0..20 {
            flow.judge(worded(at)).await;
            at += 1;
        }
        if flow.embedded() == embedded {
            assert_eq!(flow.provider.calls() - calls, 20);
            break;
        }
        assert!(at < 670, "reuse never stopped");
    }
}

#[tokio::test]
async fn what_differs_elsewhere_is_not_found() {
    let flow = Flow::start().await;
    flow.judge(worded(0)).await;
    let other = |at: usize, key: &str, value: Value| {
        let mut item = worded(at);
        item[key] = value;
        item
    };
    let turns = json!([{"role": "user", "content": "refund"}, {"role": "assistant", "content": "Where?"}, {"role": "user", "content": "x"}]);
    let others = [
        other(1, "output", json!("no, never")),
        other(2, "input", json!("weather")),
        other(3, "context", json!(["Refunds take three days."])),
        other(4, "system", json!("Be kind.")),
        other(5, "input", turns),
        other(6, "output", json!(format!("certainly {}", "and more ".repeat(300)))),
    ];
    for (at, item) in others.into_iter().enumerate() {
        flow.judge(item).await;
        assert_eq!(flow.outcome(&format!("i-{}", at + 1)).await, ("judged".to_owned(), vec![None]), "{at}");
    }
    assert_eq!(flow.provider.calls(), 7);
    assert_eq!(flow.embedded(), 6, "a text that is too long is not embedded");
    flow.judge(worded(7)).await;
    assert_eq!(flow.outcome("i-7").await.1, [Some("similar".to_owned()), None], "the first is still there");
}

#[tokio::test]
async fn a_broken_model_costs_a_hit_and_nothing_else() {
    let flow = Flow::start().await;
    flow.judge(worded(0)).await;
    flow.embeddings.broken.store(true, Ordering::SeqCst);
    flow.judge(worded(1)).await;
    flow.judge(worded(2)).await;
    for id in ["i-1", "i-2"] {
        assert_eq!(flow.outcome(id).await, ("judged".to_owned(), vec![None]));
    }
    let counted = flow.flow.pipeline.counters.render(&Default::default());
    assert!(counted.contains("faults_total{code=\"embed\"} 2"), "once an item, though it was wanted twice: {counted}");
    assert_eq!((flow.provider.calls(), flow.embedded()), (3, 3));
    flow.embeddings.broken.store(false, Ordering::SeqCst);
    flow.judge(worded(3)).await;
    assert_eq!(flow.outcome("i-3").await.1, [Some("similar".to_owned()), None]);
}

#[tokio::test]
async fn what_a_tenant_has_forgotten_is_not_found() {
    let flow = Flow::start().await;
    flow.judge(worded(0)).await;
    let tenant = TenantName::new("default").unwrap();
    flow.flow.pipeline.reuse.as_ref().unwrap().purge(&tenant).await.unwrap();
    flow.judge(worded(1)).await;
    assert_eq!(flow.outcome("i-1").await, ("judged".to_owned(), vec![None]));
}

#[tokio::test]
async fn what_is_found_by_its_text_is_audited_by_itself() {
    let flow = Flow::start().await;
    for at in 0..60 {
        flow.judge(worded(at)).await;
    }
    let calls = flow.provider.calls();
    assert!((12..60).contains(&calls), "{calls}: what is found by meaning is used by now");
    for at in 0..10 {
        let shouted = |key: &str| worded(at)[key].as_str().unwrap().to_uppercase();
        flow.judge(json!({"id": format!("t-{at}"), "input": shouted("input"), "output": shouted("output")})).await;
        let judged = ("judged".to_owned(), vec![Some("similar".to_owned()), None]);
        assert_eq!(flow.outcome(&format!("t-{at}")).await, judged, "nothing is known yet of what is found by text");
    }
    assert_eq!(flow.provider.calls() - calls, 10);
}
