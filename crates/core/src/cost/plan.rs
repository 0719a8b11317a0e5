//! A month of judging: everything with the reference judge, then lever by lever.

use crate::{NanoUsd, Price, TokenUsage};

use super::Share;

/// Tokens per evaluation are counted in thousandths, since averages are not whole.
pub const TOKEN_PARTS: u64 = 1_000;

/// What there is to judge in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Evaluations that judging everything would take: one of a request for each metric that is paid for.
    pub evaluations: u64,
    /// Input tokens of one, in thousandths.
    pub input_token_parts: u64,
    /// Output tokens of one, in thousandths.
    pub output_token_parts: u64,
}

/// What a model charges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// A live call.
    pub live: Price,
    /// A call of a batch; `None` where there is no other price.
    pub batch: Option<Price>,
}

impl Rates {
    /// A judge that costs nothing, as rules or a model that runs here.
    pub const FREE: Self = {
        let nothing =
            Price { input: NanoUsd::ZERO, cached_input: NanoUsd::ZERO, cache_write: NanoUsd::ZERO, output: NanoUsd::ZERO };
        Self { live: nothing, batch: None }
    };
}

/// A cheap judge for part of the evaluations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cascade {
    /// The part that it takes.
    pub share: Share,
    /// What it charges.
    pub rates: Rates,
}

/// The levers that are pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Levers {
    /// The part of all evaluations that is drawn.
    pub sample: Option<Share>,
    /// The part that a cheaper judge takes.
    pub cascade: Option<Cascade>,
    /// The part whose verdict is reused.
    pub cache_hit: Option<Share>,
    /// The part that is sent in batches.
    pub batch: Option<Share>,
    /// The part of the input tokens that comes from the provider's prompt cache.
    pub prompt_cached: Option<Share>,
}

impl Levers {
    /// Whether none is pulled.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// One lever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lever {
    /// Judging part of the traffic.
    Sampling,
    /// Cheap judges where they suffice.
    Cascade,
    /// Reusing verdicts.
    Cache,
    /// Waiting for the provider's batches.
    Batch,
    /// Equal beginnings of prompts.
    PromptCaching,
}

impl Lever {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sampling => "sampling",
            Self::Cascade => "cascade",
            Self::Cache => "cache",
            Self::Batch => "batch",
            Self::PromptCaching => "prompt_caching",
        }
    }
}

/// A month once a lever is pulled too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The lever; `None` for judging everything.
    pub lever: Option<Lever>,
    /// Calls of the reference judge.
    pub calls: u64,
    /// Calls of the cheap judge.
    pub cheap_calls: u64,
    /// What the month costs.
    pub monthly: NanoUsd,
    /// What it cost one step before; the same for the first.
    pub before: NanoUsd,
    /// For the cascade, what the specification says: half of the step before, whatever the cheap judge charges.
    pub specified: Option<NanoUsd>,
}

/// Why a month cannot be computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CostError {
    /// More than can be counted.
    #[error("the month comes to more than can be counted: use fewer requests, fewer tokens or a lower price")]
    Overflow,
}

/// What is called, at how it is paid.
#[derive(Clone, Copy)]
struct Month {
    load: Load,
    reference: Rates,
    cheap: Rates,
    calls: u64,
    cheap_calls: u64,
    batch: Share,
    prompt_cached: Share,
}

impl Month {
    fn cost(&self) -> Result<NanoUsd, CostError> {
        let sides = [(self.calls, self.reference), (self.cheap_calls, self.cheap)];
        let mut sum: u64 = 0;
        for (calls, rates) in sides {
            let in_batches = self.batch.floor(calls);
            for (calls, price) in [(calls - in_batches, rates.live), (in_batches, rates.batch.unwrap_or(rates.live))] {
                sum = sum.checked_add(self.group(calls, &price)?).ok_or(CostError::Overflow)?;
            }
        }
        Ok(NanoUsd(sum))
    }

    fn group(&self, calls: u64, price: &Price) -> Result<u64, CostError> {
        let tokens = |parts: u64| {
            let tokens = (u128::from(calls) * u128::from(parts)).div_ceil(u128::from(TOKEN_PARTS));
            u64::try_from(tokens).map_err(|_| CostError::Overflow)
        };
        let input = tokens(self.load.input_token_parts)?;
        let usage = TokenUsage {
            input,
            output: tokens(self.load.output_token_parts)?,
            cached_input: self.prompt_cached.floor(input),
            ..TokenUsage::default()
        };
        match price.cost(&usage) {
            NanoUsd(u64::MAX) => Err(CostError::Overflow),
            NanoUsd(cost) => Ok(cost),
        }
    }
}

/// The month of judging everything with a judge that charges `reference`, then with each lever that is pulled, in the order in which the
/// specification names them. Prompt caching counts what is read; writing is taken to cost what other input does.
///
/// # Errors
/// Where the month overflows what can be counted.
pub fn plan(load: Load, reference: Rates, levers: &Levers) -> Result<Vec<Step>, CostError> {
    let mut month = Month {
        load,
        reference,
        cheap: Rates::FREE,
        calls: load.evaluations,
        cheap_calls: 0,
        batch: Share::default(),
        prompt_cached: Share::default(),
    };
    let mut before = month.cost()?;
    let mut steps = vec![Step { lever: None, calls: month.calls, cheap_calls: 0, monthly: before, before, specified: None }];
    let mut pull = |lever, month: Month, specified| {
        let monthly = month.cost()?;
        let (calls, cheap_calls) = (month.calls, month.cheap_calls);
        steps.push(Step { lever: Some(lever), calls, cheap_calls, monthly, before, specified });
        before = monthly;
        Ok(monthly)
    };
    if let Some(share) = levers.sample {
        month.calls = share.ceil(month.calls);
        pull(Lever::Sampling, month, None)?;
    }
    if let Some(Cascade { share, rates }) = levers.cascade {
        let undivided = month.cost()?;
        month.cheap_calls = share.floor(month.calls);
        month.calls -= month.cheap_calls;
        month.cheap = rates;
        pull(Lever::Cascade, month, Some(NanoUsd(undivided.0.div_ceil(2))))?;
    }
    if let Some(hit) = levers.cache_hit {
        month.calls = hit.rest().ceil(month.calls);
        month.cheap_calls = hit.rest().ceil(month.cheap_calls);
        pull(Lever::Cache, month, None)?;
    }
    if let Some(share) = levers.batch {
        month.batch = share;
        pull(Lever::Batch, month, None)?;
    }
    if let Some(share) = levers.prompt_cached {
        month.prompt_cached = share;
        pull(Lever::PromptCaching, month, None)?;
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn usd(cents: u64) -> NanoUsd {
        NanoUsd(cents * 10_000_000)
    }

    const fn price(input: u64, cached: u64, output: u64) -> Price {
        Price { input: usd(input), cached_input: usd(cached), cache_write: usd(input), output: usd(output) }
    }

    /// USD 5 and 15 per million tokens, as the specification has it.
    const GPT_4O: Rates = Rates { live: price(500, 500, 1500), batch: Some(price(250, 250, 750)) };
    const MINI: Rates = Rates { live: price(15, 7, 60), batch: None };
    const SPECIFIED: Load =
        Load { evaluations: 10_000_000, input_token_parts: 1_000 * TOKEN_PARTS, output_token_parts: 50 * TOKEN_PARTS };

    fn share(text: &str) -> Option<Share> {
        Some(text.parse().unwrap())
    }

    fn costs(levers: &Levers) -> Vec<String> {
        plan(SPECIFIED, GPT_4O, levers).unwrap().iter().map(|step| step.monthly.to_string()).collect()
    }

    #[test]
    fn the_specifications_table_to_the_cent() {
        let cascade = Some(Cascade { share: share("0.8").unwrap(), rates: MINI });
        let levers = Levers { sample: share("0.10"), cascade, ..Levers::default() };
        let steps = plan(SPECIFIED, GPT_4O, &levers).unwrap();
        let monthly: Vec<NanoUsd> = steps.iter().map(|step| step.monthly).collect();
        // 1 M x (0.2 x $0.00575 + 0.8 x $0.00018).
        assert_eq!(monthly, [usd(5_750_000), usd(575_000), usd(129_400)]);
        assert_eq!(steps[2].specified, Some(usd(287_500)));
        assert_eq!(steps.iter().map(|step| step.before).collect::<Vec<_>>(), [monthly[0], monthly[0], monthly[1]]);
        assert_eq!((steps[2].calls, steps[2].cheap_calls), (200_000, 800_000));
        assert_eq!(steps[1].specified, None);
    }

    #[test]
    fn each_lever_alone() {
        let none = Levers::default();
        assert_eq!(costs(&none), ["$57500.00"]);
        assert_eq!(costs(&Levers { cache_hit: share("0.2"), ..none }), ["$57500.00", "$46000.00"]);
        assert_eq!(costs(&Levers { batch: share("50%"), ..none }), ["$57500.00", "$43125.00"]);
        assert_eq!(costs(&Levers { prompt_cached: share("0.9"), ..none })[1], "$57500.00", "no discount for this model");
        let free = Some(Cascade { share: share("0.8").unwrap(), rates: Rates::FREE });
        assert_eq!(costs(&Levers { cascade: free, ..none }), ["$57500.00", "$11500.00"]);
        assert!(none.is_none());
    }

    #[test]
    fn a_model_without_batches_is_paid_live_in_them() {
        let steps = plan(SPECIFIED, MINI, &Levers { batch: share("1"), ..Levers::default() }).unwrap();
        assert_eq!(steps[0].monthly, steps[1].monthly);
    }

    #[test]
    fn cached_input_costs_what_the_list_says() {
        // 10 G tokens, of which half at 7 cents a million in place of 15.
        let steps = plan(SPECIFIED, MINI, &Levers { prompt_cached: share("0.5"), ..Levers::default() }).unwrap();
        assert_eq!(steps[0].monthly.0 - steps[1].monthly.0, usd(8 * 5_000).0);
    }

    #[test]
    fn absurd_months_are_refused() {
        let absurd = [
            Load { evaluations: u64::MAX, ..SPECIFIED },
            Load { input_token_parts: u64::MAX, ..SPECIFIED },
            Load { evaluations: u64::MAX, input_token_parts: 1, output_token_parts: 0 },
        ];
        let dear = Rates { live: price(u64::MAX / 10_000_000, 0, 0), batch: None };
        for load in absurd {
            assert_eq!(plan(load, dear, &Levers::default()), Err(CostError::Overflow), "{load:?}");
        }
        let nothing = plan(Load { evaluations: 0, ..SPECIFIED }, GPT_4O, &Levers::default()).unwrap();
        assert_eq!(nothing[0].monthly, NanoUsd::ZERO);
    }

    proptest! {
        #[test]
        fn no_lever_makes_it_dearer_where_the_cheap_judge_is_cheaper(
            evaluations in 0_u64..1_000_000_000,
            tokens in 0_u64..10_000_000,
            shares in proptest::array::uniform5(0_u32..=1_000_000_000),
        ) {
            let share = |at: usize| Share::from_billionths(shares[at]);
            let cascade = share(1).map(|share| Cascade { share, rates: MINI });
            let levers =
                Levers { sample: share(0), cascade, cache_hit: share(2), batch: share(3), prompt_cached: share(4) };
            let load = Load { evaluations, input_token_parts: tokens, output_token_parts: tokens / 20 };
            let steps = plan(load, GPT_4O, &levers).unwrap();
            prop_assert_eq!(steps.len(), 6);
            for step in &steps {
                // Rounding up may cost one token and one nano-dollar a group.
                prop_assert!(step.monthly.0 <= step.before.0 + 4 * 20_001);
                prop_assert!(step.calls + step.cheap_calls <= evaluations);
            }
        }
    }
}
