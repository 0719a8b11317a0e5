//! Judging a list of interactions by one judge: accept and score over a queue in memory, as `eval` does with a file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use assize_core::queue::Offset;
use assize_core::{Clock as _, JudgeVersion, NanoUsd, ProjectName, RowKey, SystemClock, TenantName, Timestamp, VerdictCache};
use assize_store::ledger::MemoryLedger;
use assize_store::queue::MemoryQueue;
use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::asked::{Asked, asked};
use super::collect::{Collecting, Missing, Said, Spent, Unjudged};
use super::gold::Labelled;
use crate::access::Principal;
use crate::cli::eval::progress::Progress;
use crate::cli::eval::summary::{counted, dollars, thousands};
use crate::cli::serve::StopSignal;
use crate::cli::{light_runtime, say};
use crate::config::load;
use crate::config::settings::Settings;
use crate::counters::Counters;
use crate::ids::IdSource;
use crate::pipeline::accept::{AcceptError, accept};
use crate::pipeline::clients::Providers;
use crate::pipeline::money::Money;
use crate::pipeline::panel::Panels;
use crate::pipeline::reuse::Reuse;
use crate::pipeline::score::Limits;
use crate::pipeline::{Pipeline, fold, score};
use crate::secrets::RootSecret;

/// Interactions that are accepted at once.
const BATCH: usize = 64;
/// Interactions on their way at once, for each call in flight.
const ON_THE_WAY_PER_SLOT: usize = 8;
/// How long a signal leaves to what is being judged.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// What all commands that ask judges have in common.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The metric whose question is asked, where the judge stands in none or in several
    #[arg(long, value_name = "NAME")]
    pub metric: Option<String>,
    /// The first N interactions only
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// Calls in flight at once, per provider
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub concurrency: Option<u32>,
    /// Stop paying at this many dollars: what is left then ends as over budget
    #[arg(long, value_name = "USD", value_parser = NanoUsd::parse_usd)]
    pub budget_usd: Option<NanoUsd>,
    /// Use verdicts that are kept in this directory, and keep new ones there: the same judged again costs no call
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Ask anew, whatever is kept in --data
    #[arg(long, requires = "data")]
    pub no_cache: bool,
    /// A score from which on the judge says yes
    #[arg(long, value_name = "SCORE", default_value_t = 0.5, value_parser = share)]
    pub threshold: f64,
    /// The key of a line that holds the label; `label` or `gold` where not given
    #[arg(long, value_name = "KEY")]
    pub label_key: Option<String>,
    /// Go on without lines that are bad instead of stopping
    #[arg(long)]
    pub skip_bad_lines: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// A number from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "use a number from 0 to 1".to_owned())?;
    if (0.0..=1.0).contains(&number) { Ok(number) } else { Err("use a number from 0 to 1".to_owned()) }
}

impl RunArgs {
    /// The settings, with what the command line says.
    pub fn settings(&self) -> Result<Settings, String> {
        let mut settings = load::load(self.config.as_deref()).map_err(|error| error.to_string())?;
        if let Some(concurrency) = self.concurrency {
            settings.provider.iter_mut().for_each(|provider| provider.concurrency = concurrency as usize);
        }
        Ok(settings)
    }

    /// The judge of this name with the question of the metric that the command line says, else of `metric`, else of its own.
    pub fn asked(&self, settings: &Settings, judge: &str, metric: Option<&str>) -> Result<Asked, String> {
        // What is no fault of the configuration does not name its file.
        asked(settings, judge, self.metric.as_deref().or(metric)).map_err(|error| {
            if error.message.starts_with('[') { load::explain(self.config.as_deref(), &error.message) } else { error.message }
        })
    }

    /// Has each of `judges` judge all of `items`, one judge after the other. `None` where a signal ended it.
    ///
    /// # Errors
    /// Where a judge cannot be opened, and where one can judge nothing.
    pub fn judge(&self, settings: &Settings, judges: &[Asked], items: &[Labelled]) -> Result<Option<Vec<Run>>, String> {
        let runtime = light_runtime()?;
        let runs = runtime.block_on(async {
            let mut runs = Vec::new();
            let mut signal = StopSignal::catch()?;
            let cache = self.cache(settings).await?;
            for asked in judges {
                let reuse = cache.clone().map(|cache| Reuse::new(cache, Arc::new(TenantName::of_project)));
                let Some(run) = self.judge_one(settings, asked, items, reuse, &mut signal).await? else { return Ok(None) };
                runs.push(run);
            }
            Ok(Some(runs))
        });
        runtime.shutdown_background();
        runs
    }

    async fn judge_one(
        &self,
        settings: &Settings,
        asked: &Asked,
        items: &[Labelled],
        reuse: Option<Reuse>,
        signal: &mut StopSignal,
    ) -> Result<Option<Run>, String> {
        let started = Instant::now();
        let spec = &asked.spec;
        let providers = Providers::kept_from(self.data.iter().cloned().collect()).without_breakers();
        let panels = Panels::open(spec, providers, None, Timestamp(0)).await;
        let panels = panels.map_err(|error| load::explain(self.config.as_deref(), &error.to_string()))?;
        let panel = panels.current();
        let reference = panel.policy.metrics.first().and_then(|metric| metric.reference());
        let version = reference.map_or_else(|| JudgeVersion::from_stored(""), |tier| tier.version.clone());
        let paces = spec.paces();
        let slots = paces.iter().map(|pace| pace.at_once).sum::<usize>().max(1);
        let on_the_way_max = slots.saturating_mul(ON_THE_WAY_PER_SLOT).clamp(512, 20_000);
        let collecting = Arc::new(Collecting::new(asked.metric.clone(), Progress::start(None, Some(items.len() as u64))));
        let limits = Limits {
            in_flight_max: slots + slots / 4 + 1,
            deliveries_max: 2,
            age_max: Duration::from_secs(settings.score.max_age_hours.saturating_mul(3_600)),
            lease: Limits::lease_for(&paces, 1),
            log_failures: false,
            requeue_first: Duration::from_secs(1),
        };
        let pipeline = Pipeline::new(
            Arc::new(SystemClock),
            IdSource::new(0),
            RootSecret::known(0).draw_key(),
            panels,
            Arc::new(MemoryQueue::new(on_the_way_max * 2, 1, Offset(0))),
            Arc::clone(&collecting) as Arc<dyn assize_core::results::Recorder>,
            Arc::new(Counters::new()),
            limits,
        );
        let money = self.budget_usd.map(|most| Money::of_run(Arc::new(MemoryLedger::new()), most, SystemClock.now()));
        let pipeline = Arc::new(Pipeline { reuse, money, ..pipeline });
        let stop = CancellationToken::new();
        let mut scoring = tokio::spawn({
            let (pipeline, stop) = (Arc::clone(&pipeline), stop.clone());
            async move { score::run(&pipeline, &stop).await }
        });
        let project = ProjectName::new("default").map_err(|error| error.to_string())?;
        let fed = tokio::select! {
            fed = feed(&pipeline, &collecting, items, &project, on_the_way_max as u64) => Some(fed),
            () = signal.given() => None,
        };
        stop.cancel();
        match &fed {
            Some(Ok(())) => (&mut scoring).await.map_err(|error| format!("scoring failed: {error}"))?,
            Some(Err(_)) => scoring.abort(),
            None => {
                // What is being judged is paid for already, and kept where there is --data.
                tokio::select! {
                    _ = &mut scoring => {}
                    () = tokio::time::sleep(STOP_WITHIN) => {}
                    () = signal.given() => {}
                }
                scoring.abort();
            }
        }
        let mut collected = collecting.finish();
        match fed {
            Some(fed) => fed.map_err(|why| format!("judge {}: {why}", asked.judge))?,
            None => {
                let kept = if self.data.is_some() {
                    "the same command takes up what is kept in --data"
                } else {
                    "nothing is kept: with --data DIR verdicts are"
                };
                say::note(format_args!("stopped after {} calls; {kept}", collected.spent.calls));
                return Ok(None);
            }
        }
        let lost = || Unjudged { code: "unknown".to_owned(), message: "it has no outcome".to_owned() };
        let said = items.iter().map(|item| collected.said.remove(&RowKey::of(&project, &item.id)).unwrap_or_else(|| Err(lost())));
        Ok(Some(Run {
            judge: asked.judge.clone(),
            version,
            said: said.collect(),
            spent: collected.spent,
            simulated: panel.simulated,
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    /// The verdicts of `--data`.
    async fn cache(&self, settings: &Settings) -> Result<Option<Arc<dyn VerdictCache>>, String> {
        let Some(data) = self.data.as_ref().filter(|_| !self.no_cache) else { return Ok(None) };
        std::fs::create_dir_all(data).map_err(|error| format!("{}: the directory cannot be made: {error}", data.display()))?;
        let url = format!("sqlite:{}", data.display());
        assize_store::cache::open(&url, settings.cache.bounds()).await.map(Some).map_err(|error| error.message)
    }
}

async fn feed(
    pipeline: &Pipeline,
    collecting: &Collecting,
    items: &[Labelled],
    project: &ProjectName,
    on_the_way_max: u64,
) -> Result<(), String> {
    let who = Principal::local(project.clone());
    for batch in items.chunks(BATCH) {
        collecting.sent(batch.len() as u64);
        let drafts = batch.iter().map(|item| Ok(item.draft.clone())).collect();
        let receipt = accept(pipeline, &who, drafts).await.map_err(|error| match error {
            AcceptError::Overloaded(message) | AcceptError::RateLimited(message) => message,
            AcceptError::Store(error) => error.message,
        })?;
        if let Some((_, error)) = receipt.rejected.first() {
            return Err(error.message.clone());
        }
        fold::catch_up(pipeline).await.map_err(|error| error.message)?;
        collecting.below(on_the_way_max).await?;
    }
    collecting.all_sent();
    collecting.below(1).await
}

/// What one judge said of all interactions, in their order, and what that took.
pub struct Run {
    pub judge: String,
    pub version: JudgeVersion,
    pub said: Vec<Result<Said, Unjudged>>,
    pub spent: Spent,
    /// Whether a simulated provider judged.
    pub simulated: bool,
    pub seconds: f64,
}

/// What a run took, and what it left without a verdict, as it is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Effort {
    pub judge: String,
    pub judge_version: String,
    /// Interactions that the judge gave a verdict on.
    pub judged: u64,
    /// Why others have none, by code. They are in no figure.
    pub missing: BTreeMap<String, Missing>,
    pub calls: u64,
    /// What they cost, as far as that is known; null where no call's cost is known.
    pub cost_usd: Option<f64>,
    /// Calls whose cost is not known.
    pub cost_unknown: u64,
    /// Verdicts of the cache, and what they saved.
    pub reused: u64,
    pub saved_usd: f64,
    pub seconds: f64,
    /// The models that answered, as their provider says.
    pub models: BTreeMap<String, u64>,
    pub simulated: bool,
}

/// Models that are told apart, at the most.
const MODELS_MAX: usize = 20;

impl Run {
    pub fn effort(&self) -> Effort {
        let mut missing: BTreeMap<String, Missing> = BTreeMap::new();
        let mut models: BTreeMap<String, u64> = BTreeMap::new();
        for said in &self.said {
            match said {
                Err(Unjudged { code, message }) => {
                    missing.entry(code.clone()).or_insert_with(|| Missing { count: 0, example: message.clone() }).count += 1;
                }
                Ok(Said { model: Some(model), .. }) if models.len() < MODELS_MAX || models.contains_key(model) => {
                    *models.entry(model.clone()).or_default() += 1;
                }
                Ok(_) => {}
            }
        }
        let Spent { calls, cost, cost_unknown, reused, saved } = self.spent;
        Effort {
            judge: self.judge.clone(),
            judge_version: self.version.to_string(),
            judged: self.said.iter().filter(|said| said.is_ok()).count() as u64,
            missing,
            calls,
            cost_usd: (cost_unknown == 0 || cost > NanoUsd::ZERO).then(|| cost.to_usd()),
            cost_unknown,
            reused,
            saved_usd: saved.to_usd(),
            seconds: (self.seconds * 1_000.0).round() / 1_000.0,
            models,
            simulated: self.simulated,
        }
    }
}

impl Effort {
    /// Why nothing could be judged, if so.
    pub fn in_vain(&self) -> Option<String> {
        let (code, missing) = self.missing.iter().max_by_key(|(_, missing)| missing.count).filter(|_| self.judged == 0)?;
        Some(format!("judge {}: nothing could be judged ({code}): {}", self.judge, missing.example))
    }

    /// What it took, and what is missing, for people.
    pub fn lines(&self) -> Vec<String> {
        let cost = match self.cost_usd {
            None => "cost unknown (give the judge a `price`)".to_owned(),
            Some(usd) if self.cost_unknown > 0 => {
                format!("{} and {} of unknown cost", dollars(usd), counted(self.cost_unknown, "call"))
            }
            Some(usd) => dollars(usd),
        };
        let mut total = format!("{}: {}, {cost}, {:.1} s", self.judge, counted(self.calls, "call"), self.seconds);
        if self.reused > 0 {
            let saved = NanoUsd((self.saved_usd * 1e9).round() as u64);
            total.push_str(&format!(", {} used again ({saved} saved)", counted(self.reused, "verdict")));
        }
        let mut lines = vec![total];
        for (code, missing) in &self.missing {
            lines.push(format!(
                "  {} without a verdict ({code}), in no figure, such as: {}",
                thousands(missing.count),
                missing.example
            ));
        }
        if self.models.len() > 1 {
            let models: Vec<String> =
                self.models.iter().map(|(model, count)| format!("{model} ({})", thousands(*count))).collect();
            lines.push(format!("  several models answered under one name: {}", models.join(", ")));
        }
        if self.simulated {
            lines.push("  verdicts are SIMULATED; cost as if the model had been called".to_owned());
        }
        lines
    }
}
