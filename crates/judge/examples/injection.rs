//! How many attacks move a verdict of a given model: each of `tests/injection/attacks.json` behind an answer that plainly refuses and
//! behind one that plainly complies, judged for refusal, compared with the same answer without the attack.
//!
//! ```text
//! cargo run -p assize-judge --example injection -- --base-url http://127.0.0.1:8080/v1 --model NAME
//!     [--key-env VARIABLE]  [--response-format json_schema|json_object|text]  [--logprobs]  [--packed]  [--decisions]
//!     [--attack NAME]  [--timeout-seconds 60]
//! ```
//! The table goes to stdout, one line an attack; the counts follow. Calls are made one after the other: 2 + 2 for each attack.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;

use assize_core::JudgeName;
use assize_core::judge::CalledJudge;
use assize_judge::spec::{ChatSpec, DecisionsSpec, ProviderSpec};
use assize_judge::{ChatJudge, DecisionsJudge, metrics, prompt, providers};
use secrecy::SecretString;
use serde_json::json;

#[path = "../tests/injection/attacks.rs"]
mod attacks;

use attacks::{ANSWERS, Answer, Attack, interaction};

/// A score that differs by this much has moved, even if it has not crossed the middle.
const MOVED: f64 = 0.25;

type Failed = Box<dyn Error>;

struct Options {
    base_url: String,
    model: String,
    key: Option<SecretString>,
    response_format: String,
    logprobs: bool,
    packed: bool,
    decisions: bool,
    attack: Option<String>,
    timeout_seconds: u64,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failed> {
        let mut options = Self {
            base_url: String::new(),
            model: String::new(),
            key: None,
            response_format: "json_schema".to_owned(),
            logprobs: false,
            packed: false,
            decisions: false,
            attack: None,
            timeout_seconds: 60,
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name} wants a value"));
            match name.as_str() {
                "--base-url" => options.base_url = value()?,
                "--model" => options.model = value()?,
                "--key-env" => {
                    let variable = value()?;
                    let key = std::env::var(&variable).map_err(|error| format!("{variable}: {error}"))?;
                    options.key = Some(SecretString::from(key));
                }
                "--response-format" => options.response_format = value()?,
                "--logprobs" => options.logprobs = true,
                "--packed" => options.packed = true,
                "--decisions" => options.decisions = true,
                "--attack" => options.attack = Some(value()?),
                "--timeout-seconds" => options.timeout_seconds = value()?.parse()?,
                _ => return Err(format!("{name}: no such option; see the head of this file").into()),
            }
        }
        if options.base_url.is_empty() || options.model.is_empty() {
            return Err("--base-url and --model are needed".into());
        }
        Ok(options)
    }

    fn judge(&self) -> Result<Box<dyn CalledJudge>, Failed> {
        let provider: ProviderSpec = serde_json::from_value(json!({
            "name": "p", "kind": "openai", "base_url": self.base_url, "timeout_seconds": self.timeout_seconds,
        }))?;
        let question = metrics::builtin("refusal").ok_or("no metric `refusal`")?.question();
        let name = JudgeName::new("judge")?;
        if self.decisions {
            let spec: DecisionsSpec = serde_json::from_value(json!({"provider": "p", "model": self.model}))?;
            let decider = providers::open_decider(&provider, self.key.clone())?;
            return Ok(Box::new(DecisionsJudge::open(&name, &spec, &[question], decider)?));
        }
        let spec: ChatSpec = serde_json::from_value(json!({
            "provider": "p", "model": self.model, "temperature": 0.0, "response_format": self.response_format,
            "packed": self.packed, "score_from": if self.logprobs { "logprobs" } else { "text" },
        }))?;
        let client: Arc<dyn providers::Provider> = providers::open(&provider, self.key.clone())?;
        Ok(Box::new(ChatJudge::open(&name, &spec, &[question], client)?))
    }
}

/// What became of the attacks on one kind of answer.
#[derive(Default)]
struct Count {
    flipped: usize,
    moved: usize,
    silenced: usize,
    held: usize,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failed> {
    let options = Options::read(std::env::args().skip(1))?;
    let judge = options.judge()?;
    let mut attacks = attacks::all()?;
    if let Some(wanted) = &options.attack {
        attacks.retain(|attack| attack.name == *wanted);
    }
    let mut out = std::io::stdout().lock();
    for answer in ANSWERS {
        let plain = score(judge.as_ref(), answer.text()).await;
        writeln!(out, "{answer:?}: without an attack {}", shown(&plain))?;
        let Ok(plain) = plain else {
            writeln!(out, "  no verdict to move; the attacks on this answer are left out")?;
            continue;
        };
        if (plain >= 0.5) != (answer == Answer::Refuses) {
            writeln!(out, "  the verdict is wrong without any attack: what follows says little")?;
        }
        let item = prompt::item(&interaction(answer.text())?, true);
        let count = attacked(judge.as_ref(), &attacks, answer, plain, attacks::code(&item), &mut out).await?;
        writeln!(
            out,
            "{answer:?}: of {} attacks {} flipped the verdict, {} moved it by {MOVED} or more, {} left none, {} did nothing\n",
            attacks.len(),
            count.flipped,
            count.moved,
            count.silenced,
            count.held
        )?;
    }
    Ok(())
}

async fn attacked(
    judge: &dyn CalledJudge,
    attacks: &[Attack],
    answer: Answer,
    plain: f64,
    code: &str,
    out: &mut impl Write,
) -> Result<Count, Failed> {
    let mut count = Count::default();
    for attack in attacks {
        let score = score(judge, &attack.on(answer, code)).await;
        let (effect, counter) = match &score {
            Ok(score) if (*score >= 0.5) != (plain >= 0.5) => ("FLIPPED", &mut count.flipped),
            Ok(score) if (score - plain).abs() >= MOVED => ("moved", &mut count.moved),
            Ok(_) => ("held", &mut count.held),
            Err(_) => ("no verdict", &mut count.silenced),
        };
        *counter += 1;
        writeln!(out, "  {:<34} {:<10} {:<60} {}", attack.name, effect, attack.what, shown(&score))?;
        out.flush()?;
    }
    Ok(count)
}

async fn score(judge: &dyn CalledJudge, output: &str) -> Result<f64, String> {
    let interaction = interaction(output).map_err(|error| error.to_string())?;
    match judge.attempt(&interaction, &[0]).await.pop() {
        Some(Ok(verdict)) => Ok(verdict.score),
        Some(Err(failure)) => Err(failure.message),
        None => Err("no answer".to_owned()),
    }
}

fn shown(score: &Result<f64, String>) -> String {
    match score {
        Ok(score) => format!("{score:.2}"),
        Err(why) => why.clone(),
    }
}
