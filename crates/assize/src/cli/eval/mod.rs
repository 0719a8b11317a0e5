//! `assize eval FILE`: accept and score over a queue in memory; the file streams through.

mod input;
mod line;
mod output;
pub(in crate::cli) mod progress;
mod recording;
pub(in crate::cli) mod summary;
mod tally;
mod threshold;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assize_core::queue::Offset;
use assize_core::{Clock as _, NanoUsd, ProjectName, SystemClock, TenantName};
use assize_store::ledger::MemoryLedger;
use assize_store::queue::MemoryQueue;
use clap::Args;
use tokio_util::sync::CancellationToken;

use self::input::Input;
use self::output::Output;
use self::progress::Progress;
use self::recording::{Finish, Recording};
use self::summary::Summary;
use self::tally::Tally;
use self::threshold::Threshold;
use super::serve::StopSignal;
use super::{Ending, light_runtime, say};
use crate::access::Principal;
use crate::config::settings::Settings;
use crate::config::{ConfigError, PolicySpec, load};
use crate::counters::Counters;
use crate::ids::IdSource;
use crate::pipeline::accept::{AcceptError, accept};
use crate::pipeline::clients::Providers;
use crate::pipeline::money::Money;
use crate::pipeline::nearest::embeddings;
use crate::pipeline::panel::Panels;
use crate::pipeline::reuse::Reuse;
use crate::pipeline::score::Limits;
use crate::pipeline::{Pipeline, fold, score};
use crate::secrets::RootSecret;

/// Interactions on their way at once: enough to keep every judge busy, few enough that memory does not grow with the file.
const ON_THE_WAY_PER_SLOT: usize = 8;
/// How long a signal leaves to what is being judged: it is paid for already.
const STOP_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize eval answers.jsonl --config assize.toml
  assize eval answers.jsonl --config assize.toml --out verdicts.jsonl     # run it again to go on where it stopped
  assize eval answers.jsonl --config assize.toml --fail-if 'refusal>0.1'  # exit code 1 if the rate is above 10 %
  cat answers.jsonl | assize eval - --json
  assize eval answers.jsonl --config assize.toml --budget-usd 5           # stop paying there; the rates say how sure they are

Every line of FILE is one interaction: {\"id\": …, \"input\": …, \"output\": …, \"context\": …}. Lines that are none are named and left
out. Interactions whose judge fails have no verdict and widen the interval.

Exit code: 0 done, 1 a threshold failed, 2 an error (FILE holds no interaction, or every call failed), 130 interrupted.")]
pub struct Eval {
    /// JSON lines, one interaction each; `-` for stdin
    file: PathBuf,
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write every verdict and outcome to this file as JSON lines; resumed if it is there from the same input and configuration
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print the rates as JSON
    #[arg(long)]
    json: bool,
    /// Judge the first N interactions only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Calls in flight at once, per provider
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    concurrency: Option<u32>,
    /// Use verdicts that are kept in this directory, and keep new ones there: the same file judged again costs no call
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Ask anew, whatever is kept in --data
    #[arg(long, requires = "data")]
    no_cache: bool,
    /// Stop paying at this many dollars: what is left then ends as over budget
    #[arg(long, value_name = "USD", value_parser = NanoUsd::parse_usd)]
    budget_usd: Option<NanoUsd>,
    /// Exit with 1 if this holds, such as 'refusal>0.1' or 'refusal.high>=0.2' (repeatable)
    #[arg(long = "fail-if", value_name = "METRIC>RATE")]
    fail_if: Vec<Threshold>,
}

impl Eval {
    pub fn run(self) -> Result<Ending, String> {
        let explain = |message: String| load::explain(self.config.as_deref(), &message);
        let mut settings = load::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        if let Some(concurrency) = self.concurrency {
            settings.provider.iter_mut().for_each(|provider| provider.concurrency = concurrency as usize);
        }
        let spec = PolicySpec::of(&settings).map_err(|error| explain(error.to_string()))?;
        for threshold in &self.fail_if {
            threshold.check(&spec)?;
        }
        let runtime = light_runtime()?;
        let ending = runtime.block_on(async {
            let panels = Panels::open(
                &spec,
                Providers::kept_from(self.data.iter().cloned().collect()).without_breakers(),
                None,
                assize_core::Timestamp(0),
            )
            .await;
            let panels = panels.map_err(|error| explain(error.to_string()))?;
            match self.judge(&settings, &spec, panels).await? {
                Some(finish) => self.tell(finish),
                None => Ok(Ending::Interrupted),
            }
        });
        // A read of stdin that nobody waits for any more cannot be cancelled.
        runtime.shutdown_background();
        ending
    }

    fn tell(&self, Finish { summary, in_vain }: Finish) -> Result<Ending, String> {
        if self.json {
            say::json(&summary)?;
        } else {
            say::line(&summary.table())?;
        }
        if let Some(why) = in_vain {
            return Err(why);
        }
        if summary.interactions == 0 {
            let file = if self.file.as_os_str() == "-" { "stdin".into() } else { self.file.to_string_lossy() };
            return Err(format!("{file} holds no interaction: every line has to be one JSON object with input and output"));
        }
        let failed: Vec<String> = self.fail_if.iter().filter_map(|threshold| threshold.verdict(&summary)).collect();
        failed.iter().for_each(|message| say::note(format_args!("failed: {message}")));
        Ok(if failed.is_empty() { Ending::Done } else { Ending::Failed })
    }

    /// Judges the file; `None` where a signal ended it.
    async fn judge(&self, settings: &Settings, spec: &PolicySpec, panels: Panels) -> Result<Option<Finish>, String> {
        let started = Instant::now();
        let paces = spec.paces();
        let slots = paces.iter().map(|pace| pace.at_once).sum::<usize>().max(1);
        let on_the_way_max = slots.saturating_mul(ON_THE_WAY_PER_SLOT).clamp(512, 20_000);
        let panel = panels.current();
        let mut input = Input::open(&self.file, self.limit)?;
        let mut tally = Tally::new(&panel.policy, settings.report.level, panel.simulated);
        let output = match &self.out {
            Some(path) => Some(Output::open(path, &input.identity()?, &panel.policy, &mut tally)?),
            None => None,
        };
        let recording = Arc::new(Recording::new(tally, output, Progress::start(input.bytes_total(), input.limit())));
        let asked = |metric: &assize_core::Metric| metric.called().count() + usize::from(metric.fallback.is_some());
        let tiers = panel.policy.metrics.iter().map(asked).max().unwrap_or(1);
        let limits = Limits {
            in_flight_max: slots + slots / 4 + 1,
            deliveries_max: 2,
            age_max: Duration::from_secs(settings.score.max_age_hours.saturating_mul(3_600)),
            lease: Limits::lease_for(&paces, tiers),
            log_failures: false,
            requeue_first: Duration::from_secs(1),
        };
        let pipeline = Pipeline::new(
            Arc::new(SystemClock),
            IdSource::new(0),
            RootSecret::known(0).draw_key(),
            panels,
            // Duplicates are found before they come here.
            Arc::new(MemoryQueue::new(on_the_way_max * 2, 1, Offset(0))),
            Arc::clone(&recording) as Arc<dyn assize_core::results::Recorder>,
            Arc::new(Counters::new()),
            limits,
        );
        let money = self.budget_usd.map(|most| Money::of_run(Arc::new(MemoryLedger::new()), most, SystemClock.now()));
        let pipeline = Arc::new(Pipeline { reuse: self.reuse(settings, spec).await?, money, ..pipeline });
        let mut signal = StopSignal::catch()?;
        let stop = CancellationToken::new();
        let mut scoring = tokio::spawn({
            let (pipeline, stop) = (Arc::clone(&pipeline), stop.clone());
            async move { score::run(&pipeline, &stop).await }
        });
        let project = ProjectName::new("default").map_err(|error| error.to_string())?;
        let who = Principal::local(project);
        let fed = tokio::select! {
            fed = feed(&pipeline, &recording, &mut input, &who, on_the_way_max) => Some(fed),
            () = signal.given() => None,
        };
        stop.cancel();
        match fed {
            Some(Ok(())) => {
                scoring.await.map_err(|error| format!("scoring failed: {error}"))?;
                recording.finish(started.elapsed()).map(Some)
            }
            Some(Err(why)) => {
                scoring.abort();
                recording.finish(started.elapsed())?;
                Err(why)
            }
            None => {
                recording.stopping("stopping: what is being judged is finished first; a second Ctrl-C stops at once");
                tokio::select! {
                    _ = &mut scoring => {}
                    () = tokio::time::sleep(STOP_WITHIN) => {}
                    () = signal.given() => {}
                }
                scoring.abort();
                let summary = recording.finish(started.elapsed())?.summary;
                say::note(self.how_to_go_on(&summary));
                Ok(None)
            }
        }
    }

    /// The verdicts of `--data`.
    async fn reuse(&self, settings: &Settings, spec: &PolicySpec) -> Result<Option<Reuse>, String> {
        let Some(data) = self.data.as_ref().filter(|_| !self.no_cache) else { return Ok(None) };
        std::fs::create_dir_all(data).map_err(|error| format!("{}: the directory cannot be made: {error}", data.display()))?;
        let url = format!("sqlite:{}", data.display());
        let cache = assize_store::cache::open(&url, settings.cache.bounds()).await.map_err(|error| error.message)?;
        let explain = |error: ConfigError| load::explain(self.config.as_deref(), &error.to_string());
        let nearest = embeddings::open(settings, spec).map_err(explain)?;
        Ok(Some(Reuse::new(cache, Arc::new(TenantName::of_project)).with_nearest(nearest)))
    }

    fn how_to_go_on(&self, summary: &Summary) -> String {
        let paid = format!("stopped after {} calls", summary.calls);
        match &self.out {
            Some(path) => format!("{paid}; the same command goes on from {}", path.display()),
            None => format!("{paid}; nothing is kept: with --out FILE a run can be resumed"),
        }
    }
}

/// Reads, accepts and folds batch by batch, never more than `on_the_way_max` ahead of the judges; returns when all are done.
async fn feed(
    pipeline: &Pipeline,
    recording: &Recording,
    input: &mut Input,
    who: &Principal,
    on_the_way_max: usize,
) -> Result<(), String> {
    while let Some(batch) = input.next_batch().await? {
        let items = recording.new_ones(batch.bytes, batch.items);
        let receipt = accept(pipeline, who, items).await.map_err(|error| match error {
            AcceptError::Overloaded(message) | AcceptError::RateLimited(message) => message,
            AcceptError::Store(error) => error.message,
        })?;
        recording.received(&receipt);
        fold::catch_up(pipeline).await.map_err(|error| error.message)?;
        recording.below(on_the_way_max).await?;
    }
    recording.all_read();
    recording.below(1).await
}
