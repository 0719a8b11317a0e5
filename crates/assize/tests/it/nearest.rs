//! Verdicts on what means nearly the same, through the whole flow in this process: embeddings are what a test says they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use assize::access::Principal;
use assize::config::{PolicySpec, load};
use assize::counters::Counters;
use assize::ids::IdSource;
use assize::ingest::json::decode_line;
use assize::pipeline::accept::accept;
use assize::pipeline::clients::Providers;
use assize::pipeline::nearest::embeddings::Embeddings;
use assize::pipeline::nearest::{Bounds, Nearest};
use assize::pipeline::panel::Panels;
use assize::pipeline::reuse::Reuse;
use assize::pipeline::score::{Limits, score};
use assize::pipeline::{Pipeline, fold};
use assize::secrets::RootSecret;
use assize_core::queue::Offset;
use assize_core::results::{Recorder, Results};
use assize_core::{Clock, InteractionId, ProjectName, SystemClock, TenantName};
use assize_store::queue::MemoryQueue;
use assize_testkit::provider::{Behaviour, FakeProvider};
use async_trait::async_trait;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Texts mean what their first word says.
#[derive(Default)]
struct FirstWords {
    calls: AtomicUsize,
    broken: AtomicBool,
}

#[async_trait]
impl Embeddings for FirstWords {
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

/// A pipeline whose one metric uses what means nearly the same, with a limit that few audits reach.
struct Flow {
    pipeline: Pipeline,
    results: Arc<dyn Results>,
    embeddings: Arc<FirstWords>,
    provider: FakeProvider,
    _directory: TempDir,
}

impl Flow {
    async fn start() -> Self {
        let provider = FakeProvider::start(Behaviour::score(1.0)).await.unwrap();
        let reuse = "cascade = [\"gpt\"]\nreuse = { audit = 0.2, error_max = 0.2, similarity = 0.95 }";
        let text = crate::harness::config(&provider, "", "[cache]\nembeddings = \"decided-here\"\n[sampling]\nrate = 1.0");
        let settings = load::parse(&text.replace("cascade = [\"words\", \"gpt\"]", reuse)).unwrap();
        let spec = PolicySpec::of(&settings).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let panels = Panels::open(&spec, Providers::default(), None, clock.now()).await.unwrap();
        let directory = TempDir::new().unwrap();
        let url = format!("sqlite:{}", directory.path().display());
        let results = assize_store::results::open(&url).await.unwrap();
        let cache = assize_store::cache::open("memory:", settings.cache.bounds()).await.unwrap();
        let embeddings = Arc::new(FirstWords::default());
        let nearest = Nearest::new(Arc::clone(&embeddings) as Arc<dyn Embeddings>, Bounds::default());
        let limits = Limits {
            in_flight_max: 8,
            deliveries_max: 2,
            age_max: Duration::from_secs(3_600),
            lease: Duration::from_secs(600),
            log_failures: false,
            requeue_first: Duration::from_secs(1),
        };
        let pipeline = Pipeline::new(
            clock,
            IdSource::new(0),
            RootSecret::known(0).draw_key(),
            panels,
            Arc::new(MemoryQueue::new(1_000, 10_000, Offset(0))),
            Arc::clone(&results) as Arc<dyn Recorder>,
            Arc::new(Counters::new()),
            limits,
        );
        let reuse = Reuse::new(cache, Arc::new(TenantName::of_project)).with_nearest(Some(nearest));
        let pipeline = Pipeline { reuse: Some(reuse), ..pipeline };
        Self { pipeline, results, embeddings, provider, _directory: directory }
    }

    /// Takes one interaction through all of it.
    async fn judge(&self, item: Value) {
        let who = Principal::local(ProjectName::new("default").unwrap());
        let receipt = accept(&self.pipeline, &who, vec![decode_line(&item.to_string())]).await.unwrap();
        assert_eq!((receipt.accepted, receipt.rejected.len()), (1, 0));
        fold::catch_up(&self.pipeline).await.unwrap();
        let up_to = *self.pipeline.folded.borrow();
        let now = self.pipeline.clock.now();
        let leased = self.pipeline.queue.lease(10, up_to, now, self.pipeline.limits.lease).await.unwrap();
        assert_eq!(leased.len(), 1);
        for item in leased {
            score(&self.pipeline, item).await.unwrap();
        }
    }

    /// The outcome of an interaction, and how its verdicts were come by.
    async fn outcome(&self, id: &str) -> (String, Vec<Option<String>>) {
        let id = InteractionId::new(id).unwrap();
        let record = self.results.interaction(&ProjectName::new("default").unwrap(), &id).await.unwrap().unwrap();
        let metric = &record.metrics[0];
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
    let counted = flow.pipeline.counters.render(&Default::default());
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
    let counted = flow.pipeline.counters.render(&Default::default());
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
    flow.pipeline.reuse.as_ref().unwrap().purge(&tenant).await.unwrap();
    flow.judge(worded(1)).await;
    assert_eq!(flow.outcome("i-1").await, ("judged".to_owned(), vec![None]));
}
