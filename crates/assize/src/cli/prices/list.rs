//! `assize prices list` and `assize prices show`.

use std::path::{Path, PathBuf};

use assize_core::TokenUsage;
use assize_judge::prices::{Host, Prices};
use clap::Args;

use super::row::{Row, plain, rows, table};
use crate::cli::{Ending, say};
use crate::config::{Settings, load, price};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize prices list                       # USD per million tokens, every list that comes with Assize
  assize prices list --host groq
  assize prices list --model gpt-oss --config assize.toml --json

Prices of the configuration and of its file come first: they go before the lists.")]
pub struct List {
    /// The configuration file, for prices of your own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Of this host only: openai, anthropic, gemini, mistral, deepseek, groq, together, fireworks, deepinfra
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Option<Host>,
    /// Of models whose name holds this
    #[arg(long, value_name = "TEXT")]
    model: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  assize prices show gpt-4o-2024-05-13
  assize prices show openai/gpt-oss-120b   # at each of its hosts")]
pub struct Show {
    /// The model, by its exact name
    model: String,
    /// The configuration file, for prices of your own
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn host(name: &str) -> Result<Host, String> {
    let names = || Host::ALL.map(Host::as_str).join(", ");
    Host::named(name).ok_or_else(|| format!("use one of {}", names()))
}

/// The prices that the configuration in the file `config` puts in force.
pub fn prices(config: Option<&Path>) -> Result<Prices, String> {
    let settings = load::load(config).map_err(|error| error.to_string())?;
    in_force(&settings, config)
}

/// The same of settings that were read from there.
pub fn in_force(settings: &Settings, config: Option<&Path>) -> Result<Prices, String> {
    // What is wrong in the file of prices is not to be looked for in the configuration.
    price::prices(settings).map_err(|error| load::explain(config.filter(|_| error.path.is_none()), &error.to_string()))
}

impl List {
    pub fn run(self) -> Result<Ending, String> {
        let mut rows = rows(&prices(self.config.as_deref())?);
        rows.retain(|row| {
            let of_host = self.host.is_none_or(|host| row.host == host.as_str());
            let named = self.model.as_ref().is_none_or(|part| row.models.iter().any(|model| model.contains(part.as_str())));
            of_host && named
        });
        if self.json {
            return say::json(&serde_json::json!({ "prices": rows })).map(|()| Ending::Done);
        }
        if self.host == Some(Host::Openrouter) {
            say::note("openrouter asks what the vendor asks: openai/gpt-4o costs there what gpt-4o does");
        }
        if rows.is_empty() {
            return Err("no price is known that fits: `assize prices list` shows all".to_owned());
        }
        let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
        say::line("USD per million tokens")?;
        let headings =
            ["host", "model", "for", "input", "cached", "written", "output", "batch in", "batch out", "served until", "as of"];
        say::line(&table(&headings, &cells, &[3, 4, 5, 6, 7, 8]))?;
        let mut sources: Vec<String> = Vec::new();
        for row in rows.iter().filter(|row| row.as_of.is_some()) {
            let source = format!("  {} {}: {}", row.host, row.endpoint, row.source);
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
        if !sources.is_empty() {
            say::line(&format!("\nSources\n{}", sources.join("\n")))?;
        }
        Ok(Ending::Done)
    }
}

fn cells(row: &Row) -> Vec<String> {
    let batch = |part: fn(&Row) -> Option<String>| part(row).unwrap_or_else(|| "-".to_owned());
    vec![
        row.host.clone(),
        row.models.join(", "),
        row.endpoint.to_owned(),
        plain(row.price.input),
        plain(row.price.cached_input),
        plain(row.price.cache_write),
        plain(row.price.output),
        batch(|row| row.batch.map(|price| plain(price.input))),
        batch(|row| row.batch.map(|price| plain(price.output))),
        row.shutdown.clone().unwrap_or_default(),
        row.as_of.clone().unwrap_or_else(|| row.source.clone()),
    ]
}

impl Show {
    pub fn run(self) -> Result<Ending, String> {
        let all = rows(&prices(self.config.as_deref())?);
        let (found, others): (Vec<Row>, Vec<Row>) = all.into_iter().partition(|row| row.models.contains(&self.model));
        if found.is_empty() {
            return Err(unknown(&self.model, &others));
        }
        if self.json {
            return say::json(&serde_json::json!({ "prices": found })).map(|()| Ending::Done);
        }
        for row in &found {
            say::line(&tell(row))?;
        }
        Ok(Ending::Done)
    }
}

/// That nothing is known, and names like it.
pub fn unknown(model: &str, rows: &[Row]) -> String {
    let letters = |text: &str| text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "");
    let stem = letters(model.rsplit('/').next().unwrap_or_default());
    let is_like = |name: &&String| {
        let name = letters(name.rsplit('/').next().unwrap_or_default());
        name.contains(&stem) || (name.len() > 3 && stem.contains(&name))
    };
    let mut like: Vec<&str> = rows.iter().flat_map(|row| &row.models).filter(is_like).map(String::as_str).collect();
    like.sort_unstable();
    like.dedup();
    like.truncate(8);
    let like = if like.is_empty() || stem.is_empty() { String::new() } else { format!("; like it are {}", like.join(", ")) };
    format!(
        "no price is known for {model:?}{like}; `assize prices list` shows all, and a [[price]] in the configuration adds one"
    )
}

fn tell(row: &Row) -> String {
    let usage = TokenUsage { input: 1_000, output: 50, ..TokenUsage::default() };
    let mut lines = vec![format!("{} at {}, {}", row.models.join(", "), row.host, row.endpoint)];
    let prices = |price: &assize_core::Price| {
        format!(
            "input ${}, cached ${}, written to the cache ${}, output ${}",
            plain(price.input),
            plain(price.cached_input),
            plain(price.cache_write),
            plain(price.output)
        )
    };
    lines.push(format!("  per million tokens: {}", prices(&row.price)));
    lines.push(match &row.batch {
        Some(batch) => format!("  in a batch:         {}", prices(batch)),
        None => "  in a batch:         no price is known".to_owned(),
    });
    lines.push(format!("  1,000 tokens in and 50 out: {}", row.price.cost(&usage)));
    if let Some(day) = &row.shutdown {
        lines.push(format!("  calls fail from {day} on"));
    }
    lines.push(match &row.as_of {
        Some(day) => format!("  as of {day}: {}", row.source),
        None => format!("  from the {}", row.source),
    });
    lines.join("\n")
}
