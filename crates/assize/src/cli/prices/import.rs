//! `assize prices import FILE`: prices of LiteLLM's map as a file of our own.

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use assize_judge::prices::litellm::{self, Found, Taken};
use clap::Args;
use serde::Serialize;

use crate::cli::eval::summary::counted;
use crate::cli::{Ending, say};
use crate::config::price::{ENTRIES_MAX, PriceEntry, text};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  curl -sSO https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json
  assize prices import model_prices_and_context_window.json
  assize prices import prices.json --model gpt-oss --out prices.toml

The file that is written is named by the configuration:
  [prices]
  file = \"assize-data/prices.toml\"

Exit code: 0 done, 2 an error; then nothing is written.")]
pub struct Import {
    /// A JSON file in the format of LiteLLM's model_prices_and_context_window.json
    file: PathBuf,
    /// Take models only whose name holds this (repeatable)
    #[arg(long, value_name = "TEXT")]
    model: Vec<String>,
    /// The file to write; prices.toml in the data directory where not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The data directory
    #[arg(long, value_name = "DIR", default_value = "assize-data")]
    data: PathBuf,
    /// Leave out what cannot be right instead of refusing the file
    #[arg(long)]
    leave_invalid: bool,
    /// Say what would be taken and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How many of what is wrong or left are named.
const NAMED_MAX: usize = 10;

impl Import {
    pub fn run(self) -> Result<Ending, String> {
        let at = |message: String| format!("{}: {message}", self.file.display());
        let mut found = litellm::read(&text(&self.file).map_err(at)?).map_err(at)?;
        found.wrong.retain(|(model, _)| self.wants(model));
        found.taken.retain(|taken| self.wants(&taken.model));
        if !found.wrong.is_empty() && !self.leave_invalid {
            let mut lines: Vec<String> =
                found.wrong.iter().take(NAMED_MAX).map(|(model, what)| format!("  {model}: {what}")).collect();
            if found.wrong.len() > NAMED_MAX {
                lines.push(format!("  and {} more", found.wrong.len() - NAMED_MAX));
            }
            let count = counted(found.wrong.len() as u64, "entry").replace("entrys", "entries");
            return Err(at(format!(
                "{count} cannot be right, and nothing was written:\n{}\nmend them, or leave them out with --leave-invalid",
                lines.join("\n")
            )));
        }
        if found.taken.is_empty() {
            return Err(at("no model is left that Assize can call and whose host it knows: nothing was written".to_owned()));
        }
        if found.taken.len() > ENTRIES_MAX {
            return Err(at(format!("more than {ENTRIES_MAX} models: choose with --model; nothing was written")));
        }
        let out = self.out.clone().unwrap_or_else(|| self.data.join("prices.toml"));
        if !self.dry_run {
            write(&out, &self.file, &found.taken)?;
        }
        self.report(&found, &out)?;
        Ok(Ending::Done)
    }

    fn wants(&self, model: &str) -> bool {
        self.model.is_empty() || self.model.iter().any(|part| model.contains(part.as_str()))
    }

    fn report(&self, found: &Found, out: &Path) -> Result<(), String> {
        if self.json {
            let left: Vec<_> =
                found.left.iter().map(|(why, models)| serde_json::json!({ "why": why, "models": models })).collect();
            let taken: Vec<_> =
                found.taken.iter().map(|taken| serde_json::json!({ "host": taken.host, "model": taken.model })).collect();
            let wrong: Vec<_> =
                found.wrong.iter().map(|(model, what)| serde_json::json!({ "model": model, "what": what })).collect();
            let written = (!self.dry_run).then(|| out.to_string_lossy());
            return say::json(&serde_json::json!({ "taken": taken, "left": left, "wrong": wrong, "written": written }));
        }
        let mut hosts: Vec<(String, usize)> = Vec::new();
        for taken in &found.taken {
            let host = taken.host.to_string();
            match hosts.iter_mut().find(|(known, _)| *known == host) {
                Some((_, count)) => *count += 1,
                None => hosts.push((host, 1)),
            }
        }
        let taken = hosts.iter().map(|(host, count)| format!("{count} of {host}")).collect::<Vec<_>>().join(", ");
        say::line(&format!("taken: {} ({taken})", counted(found.taken.len() as u64, "model")))?;
        for (why, models) in &found.left {
            let named = models.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
            let more = if models.len() > 3 { ", …" } else { "" };
            say::line(&format!("left:  {} {why} ({named}{more})", models.len()))?;
        }
        for (model, what) in found.wrong.iter().take(NAMED_MAX) {
            say::line(&format!("wrong: {model}: {what}"))?;
        }
        if self.dry_run {
            say::note("nothing was written: this was a dry run");
        } else {
            let file = toml::Value::String(out.to_string_lossy().into_owned());
            say::note(format_args!(
                "written to {}; put it in force in the configuration:\n[prices]\nfile = {file}",
                out.display()
            ));
        }
        Ok(())
    }
}

#[derive(Serialize)]
struct Written {
    price: Vec<PriceEntry>,
}

/// Writes beside the file first and renames, so that whoever reads it finds the old one or the new one.
fn write(out: &Path, source: &Path, taken: &[Taken]) -> Result<(), String> {
    let fail = |error: &dyn std::fmt::Display| format!("{}: cannot write the prices: {error}", out.display());
    let price = taken.iter().map(|taken| PriceEntry::of(&taken.model, &taken.price, None)).collect();
    let body = toml::to_string(&Written { price }).map_err(|error| fail(&error))?;
    let name = source.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, " ");
    let text = format!(
        "# USD per million tokens, from {name} by `assize prices import`. Prices of the configuration go before these.\n\n{body}"
    );
    let directory = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As the stores make the data directory.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(|error| fail(&error))?;
    let beside = directory.join(format!(".{}.{}.new", out.file_name().unwrap_or_default().to_string_lossy(), std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&beside, out));
    renamed.map_err(|error| {
        // Nothing is left of an attempt that failed.
        let _ = std::fs::remove_file(&beside);
        fail(&error)
    })
}
