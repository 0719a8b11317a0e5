//! `assize cost`: what judging a month of traffic costs, and what each lever saves.

mod amount;
mod figures;
mod infra;
mod model;
mod seen;
mod table;

use std::path::PathBuf;

use assize_core::NanoUsd;
use assize_core::cost::{Cascade, Levers, Load, Share, TOKEN_PARTS, plan};
use assize_judge::prices::Prices;
use clap::Args;

use self::figures::{Figures, Plan};
use self::infra::Line;
use self::model::Priced;
use self::seen::Seen;
use super::remote::Remote;
use super::{Ending, light_runtime, say};

#[derive(Debug, Args)]
// A negative number is told what is wrong with it.
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  assize cost                                        # the specification's month: 10M requests, GPT-4o
  assize cost --requests 2.5M --input-tokens 800 --model claude-sonnet-5-5 --sample 5%
  assize cost --sample 0.10 --cheap-share 0.8 --cheap-model gpt-6-luna@decisions --cache-hit 0.2
  assize cost --model gpt-4o --batch-share 0.5 --prompt-cached-share 0.6 --infra 120
  assize cost --from-data --url http://127.0.0.1:4318   # what a running server has seen
  assize cost --from-data ./assize-data --sample 0.02   # the same from its directory, while it does not run
  assize cost --print-infra > infra.toml; assize cost --infra-file infra.toml

A lever that is given is pulled. Where none is given, judging everything is what counts, and the levers of
the specification (--sample 0.10 --cheap-share 0.8) are shown beside it; with --from-data those that were
seen count. Models: NAME, HOST/NAME,
NAME@decisions for calls of a decision model, or free; see `assize prices list`. Amounts are exact to the
billionth of a dollar, rounded up; printed ones are rounded to the nearest cent."
)]
pub struct Cost {
    /// Requests of a month to be evaluated, such as 10M [default: 10M]
    #[arg(long, value_name = "N", value_parser = amount::count)]
    requests: Option<u64>,
    /// Input tokens of one evaluation [default: 1000]
    #[arg(long, value_name = "N", value_parser = amount::tokens)]
    input_tokens: Option<u64>,
    /// Output tokens of one evaluation [default: 50]
    #[arg(long, value_name = "N", value_parser = amount::tokens)]
    output_tokens: Option<u64>,
    /// The reference judge's model [default: gpt-4o-2024-05-13]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The share of requests that is judged, as 0.1 or 10%
    #[arg(long, value_name = "SHARE", value_parser = amount::share)]
    sample: Option<Share>,
    /// The share of what is judged that a cheaper judge takes
    #[arg(long, value_name = "SHARE", value_parser = amount::share)]
    cheap_share: Option<Share>,
    /// The cheaper judge's model [default: gpt-4o-mini]
    #[arg(long, value_name = "MODEL")]
    cheap_model: Option<String>,
    /// The share whose verdict is reused from the cache
    #[arg(long, value_name = "SHARE", value_parser = amount::share)]
    cache_hit: Option<Share>,
    /// The share that may wait for the provider's batches
    #[arg(long, value_name = "SHARE", value_parser = amount::share)]
    batch_share: Option<Share>,
    /// The share of input tokens that the provider's prompt cache has
    #[arg(long, value_name = "SHARE", value_parser = amount::share)]
    prompt_cached_share: Option<Share>,
    /// What runs beside the judges, in USD a month [default: 2000, as --print-infra]
    #[arg(long, value_name = "USD", value_parser = amount::usd, conflicts_with = "infra_file")]
    infra: Option<NanoUsd>,
    /// The same as a table of lines
    #[arg(long, value_name = "FILE")]
    infra_file: Option<PathBuf>,
    /// Print the table that is used without --infra and --infra-file, to be edited
    #[arg(long)]
    print_infra: bool,
    /// Take traffic and tokens from what was seen: by a running server, or by the one whose data is in DIR
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    from_data: Option<Option<PathBuf>>,
    /// How far back to look with --from-data
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=366), requires = "from_data")]
    days: u32,
    #[command(flatten)]
    remote: Remote,
    /// The configuration file, for prices of your own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The specification's month.
const REQUESTS: u64 = 10_000_000;
const INPUT_TOKENS: u64 = 1_000;
const OUTPUT_TOKENS: u64 = 50;
const MODEL: &str = "gpt-4o-2024-05-13";
const CHEAP_MODEL: &str = "gpt-4o-mini";

/// The specification's levers: one in ten is judged, four of five of these by a cheaper judge.
fn specified() -> (Option<Share>, Option<Share>) {
    (Share::from_billionths(100_000_000), Share::from_billionths(800_000_000))
}

impl Cost {
    pub fn run(self) -> Result<Ending, String> {
        if self.print_infra {
            return say::line(infra::DEFAULT.trim_end()).map(|()| Ending::Done);
        }
        let prices = super::prices::prices(self.config.as_deref())?;
        let seen = match &self.from_data {
            None => None,
            Some(directory) => {
                let seen = light_runtime()?.block_on(seen::look(directory.as_deref(), &self.remote, self.days));
                Some(seen?)
            }
        };
        let figures = self.figures(&prices, seen)?;
        if self.json {
            say::json(&figures.json())?;
        } else {
            say::line(&table::text(&figures))?;
        }
        Ok(Ending::Done)
    }

    fn figures(&self, prices: &Prices, seen: Option<Seen>) -> Result<Figures, String> {
        let of_seen = |pick: fn(&Seen) -> u64, default: u64| seen.as_ref().map_or(default, pick);
        let load = Load {
            evaluations: self.requests.unwrap_or_else(|| of_seen(|seen| seen.monthly, REQUESTS)),
            input_token_parts: self.input_tokens.unwrap_or_else(|| of_seen(|seen| seen.input_parts, INPUT_TOKENS * TOKEN_PARTS)),
            output_token_parts: self
                .output_tokens
                .unwrap_or_else(|| of_seen(|seen| seen.output_parts, OUTPUT_TOKENS * TOKEN_PARTS)),
        };
        let of_traffic = seen.as_ref().and_then(|seen| seen.model.as_deref());
        let reference = model::priced(prices, self.model.as_deref().or(of_traffic).unwrap_or(MODEL))?;
        let cheap = model::priced(prices, self.cheap_model.as_deref().unwrap_or(CHEAP_MODEL))?;
        let given = self.levers(&cheap)?;
        // Traffic that was seen was judged with levers, and is taken with them where no others are given.
        let is_applied = !given.is_none() || seen.is_some();
        let levers = if !given.is_none() { given } else { self.specified_levers(&cheap, seen.as_ref()) };
        let plan_of = |reference: &Priced, cheap: &Priced| {
            let cascade = levers.cascade.map(|cascade| Cascade { rates: cheap.rates, ..cascade });
            let levers = Levers { cascade, ..levers };
            let steps = plan(load, reference.rates, &levers).map_err(|error| error.to_string())?;
            Ok::<_, String>(Plan { reference: reference.clone(), cheap: levers.cascade.map(|_| cheap.clone()), steps })
        };
        let main = plan_of(&reference, &cheap)?;
        let today = model::TODAY
            .iter()
            .map(|(reference, cheap)| plan_of(&model::priced(prices, reference)?, &model::priced(prices, cheap)?));
        Ok(Figures { load, levers, is_applied, main, today: today.collect::<Result<_, _>>()?, infra: self.infra_lines()?, seen })
    }

    fn levers(&self, cheap: &Priced) -> Result<Levers, String> {
        if self.cheap_model.is_some() && self.cheap_share.is_none() {
            return Err(
                "--cheap-model says who judges cheaply, and nothing says how much: add --cheap-share, such as 0.8".to_owned()
            );
        }
        Ok(Levers {
            sample: self.sample,
            cascade: self.cheap_share.map(|share| Cascade { share, rates: cheap.rates }),
            cache_hit: self.cache_hit,
            batch: self.batch_share,
            prompt_cached: self.prompt_cached_share,
        })
    }

    /// What is shown where no lever is given: those of the specification, or those that traffic was seen with.
    fn specified_levers(&self, cheap: &Priced, seen: Option<&Seen>) -> Levers {
        let (sample, share) = specified();
        match seen {
            None => Levers { sample, cascade: share.map(|share| Cascade { share, rates: cheap.rates }), ..Levers::default() },
            Some(seen) => Levers {
                sample: Some(seen.sample),
                cache_hit: Some(seen.cache_hit).filter(|share| !share.is_zero()),
                prompt_cached: Some(seen.prompt_cached).filter(|share| !share.is_zero()),
                ..Levers::default()
            },
        }
    }

    fn infra_lines(&self) -> Result<Vec<Line>, String> {
        match self.infra {
            Some(monthly) => Ok(vec![Line { name: "As given with --infra".to_owned(), monthly }]),
            None => infra::load(self.infra_file.as_deref()),
        }
    }
}
