//! `assize judge train`: labelled lines in, a linear model and its card out.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use assize_judge::linear::card::{Card, DataCard};
use assize_judge::linear::data::{self, Keys, Labelled};
use assize_judge::linear::measure::Measured;
use assize_judge::linear::train::{self, Progress, TrainSpec, Trained};
use assize_judge::linear::{LinearModel, data::Example};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use crate::cli::{Ending, say};

#[derive(Debug, Args)]
#[command(after_help = "\
Each line of the data is a JSON object with a text and a label: 0 or 1, true or false, or a number between, such as the share of
raters who said yes. Beside the model OUT its card is written, as OUT with the ending .md: data, licence, split, held-out figures.

Example:
  assize judge train --data labelled.jsonl --out rude.bin --name rude --license CC-BY-4.0 --source 'our support desk, 2026'
then in the configuration:
  [[judge]]
  name = \"rude\"
  kind = \"linear\"
  model = \"rude.bin\"")]
pub struct Train {
    /// Labelled lines (JSONL)
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Where the model goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The key of a line that holds the text
    #[arg(long, value_name = "KEY", default_value = "output")]
    text_key: String,
    /// The key of a line that holds the label
    #[arg(long, value_name = "KEY", default_value = "label")]
    label_key: String,
    /// The key, where a line has it, of what texts share that resemble each other: they are never split
    #[arg(long, value_name = "KEY", default_value = "cluster")]
    cluster_key: String,
    /// The key, where a line has it, of where the text comes from: the card has figures for each
    #[arg(long, value_name = "KEY", default_value = "source")]
    source_key: String,
    /// What the model is called; the name of the file where not given
    #[arg(long)]
    name: Option<String>,
    /// The licence of the data, for the card
    #[arg(long, default_value = "not stated")]
    license: String,
    /// Where the data come from, for the card
    #[arg(long, default_value = "not stated")]
    source: String,
    /// Markdown that goes into the card as it is
    #[arg(long, value_name = "FILE")]
    notes: Option<PathBuf>,
    /// Other labelled lines, with the same keys, that the finished model is measured on (repeatable)
    #[arg(long, value_name = "FILE")]
    test_data: Vec<PathBuf>,
    /// Decides the split and the order of the examples
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds over the training data at the most; it stops by itself when it gets no better
    #[arg(long, default_value_t = TrainSpec::default().rounds_max)]
    rounds: u32,
    /// AdaGrad's step
    #[arg(long, default_value_t = TrainSpec::default().learning_rate)]
    learning_rate: f32,
    /// Penalty on large weights
    #[arg(long, default_value_t = TrainSpec::default().l2)]
    l2: f32,
    /// Each of the two tables has 2^BITS weights of one byte
    #[arg(long, default_value_t = TrainSpec::default().bytes_bits, value_parser = clap::value_parser!(u32).range(8..=22))]
    bits: u32,
    /// Go on without lines that are bad instead of stopping
    #[arg(long)]
    skip_bad_lines: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of notes, at the most.
const NOTES_BYTES_MAX: u64 = 256 << 10;

impl Train {
    pub fn run(self) -> Result<Ending, String> {
        let card_path = self.card_path()?;
        let notes = self.notes.as_deref().map(notes).transpose()?.unwrap_or_default();
        let (labelled, data_blake3) = self.read(&self.data)?;
        let test_data = self.test_data.iter().map(|path| Ok((path, self.read(path)?.0))).collect::<Result<Vec<_>, String>>()?;
        let spec = TrainSpec {
            name: self.name.clone().unwrap_or_else(|| stem(&self.out)),
            seed: self.seed,
            bytes_bits: self.bits,
            words_bits: self.bits,
            rounds_max: self.rounds,
            learning_rate: self.learning_rate,
            l2: self.l2,
            ..TrainSpec::default()
        };
        let bar = bar("{bar:24} round {pos} of at most {len}, {msg}", u64::from(self.rounds));
        let trained = train::train(&labelled.examples, &spec, &mut |progress: Progress| {
            bar.set_position(u64::from(progress.round));
            bar.set_message(format!("loss {:.4}, best {:.4}", progress.loss, progress.best));
        });
        bar.finish_and_clear();
        let Trained { model, report } = trained.map_err(|error| format!("{}: {error}", self.data.display()))?;
        let bytes = model.to_bytes();
        let card = Card {
            name: spec.name.clone(),
            model_blake3: blake3::hash(&bytes).to_hex().to_string(),
            model_bytes: bytes.len() as u64,
            trained_by: format!("assize {}", env!("CARGO_PKG_VERSION")),
            data: DataCard {
                source: self.source.clone(),
                licence: self.license.clone(),
                examples: labelled.examples.len() as u64,
                bad_lines: labelled.bad_count as u64,
                blake3: data_blake3,
                clustered: labelled.examples.iter().any(|example| example.cluster.is_some()),
            },
            settings: spec,
            report,
            other_data: test_data.iter().flat_map(|(path, labelled)| measured(&model, &stem(path), &labelled.examples)).collect(),
            notes,
        };
        write(&self.out, &bytes)?;
        write(&card_path, card.markdown().as_bytes())?;
        self.say(&card, &card_path)?;
        Ok(Ending::Done)
    }

    /// Beside the model. What is there already is only replaced where it is a model.
    fn card_path(&self) -> Result<PathBuf, String> {
        let card = self.out.with_extension("md");
        if card == self.out {
            return Err(format!("--out {}: the ending .md is the card's: write a path such as model.bin", self.out.display()));
        }
        if self.out.exists()
            && let Err(error) = LinearModel::open(&self.out)
        {
            return Err(format!("--out {error}; it is there already and would be lost: write another path"));
        }
        Ok(card)
    }

    fn read(&self, path: &Path) -> Result<(Labelled, String), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        let file = File::open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let bar = bar("{bar:24} {percent:>3} %  reading {msg}", length);
        bar.set_message(stem(path));
        let keys = Keys {
            text: self.text_key.clone(),
            label: self.label_key.clone(),
            cluster: self.cluster_key.clone(),
            source: self.source_key.clone(),
        };
        let mut hashing = Hashing { file, hasher: blake3::Hasher::new() };
        let labelled = data::read(BufReader::with_capacity(1 << 16, &mut hashing), &keys, |bytes| bar.set_position(bytes));
        bar.finish_and_clear();
        let labelled = labelled.map_err(failed)?;
        for bad in &labelled.bad {
            say::note(format_args!("{}: {bad}", path.display()));
        }
        if labelled.bad_count > labelled.bad.len() {
            say::note(format_args!("{}: and {} more", path.display(), labelled.bad_count - labelled.bad.len()));
        }
        if labelled.bad_count > 0 && !self.skip_bad_lines {
            return Err(format!(
                "{}: {} lines cannot be learned from: mend them, or pass over them with --skip-bad-lines",
                path.display(),
                labelled.bad_count
            ));
        }
        Ok((labelled, hashing.hasher.finalize().to_hex().to_string()))
    }

    fn say(&self, card: &Card, card_path: &Path) -> Result<(), String> {
        if self.json {
            return say::json(&Said { model: &self.out, card_file: card_path, card });
        }
        let held_out = &card.report.held_out;
        let share = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{share:.3}"));
        let (count, positive) = (held_out.count, held_out.positive);
        say::line(&format!("model\t{}\t{} bytes", self.out.display(), card.model_bytes))?;
        say::line(&format!("card\t{}", card_path.display()))?;
        say::line(&format!("held out\t{count} texts, {positive} positive, threshold {:.3}", held_out.threshold))?;
        for (name, value) in [
            ("precision", held_out.precision),
            ("recall", held_out.recall),
            ("F1", held_out.f1),
            ("AUC", held_out.auc),
            ("ECE", Some(held_out.ece)),
            ("Brier", Some(held_out.brier)),
        ] {
            say::line(&format!("{name}\t{}", share(value)))?;
        }
        Ok(())
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Said<'c> {
    model: &'c Path,
    card_file: &'c Path,
    card: &'c Card,
}

/// The whole file, then each of its sources.
fn measured(model: &LinearModel, file: &str, examples: &[Example]) -> Vec<(String, Measured)> {
    let scored: Vec<(f64, f64)> = examples.iter().map(|example| (model.score(&example.text), example.label)).collect();
    let mut sources: Vec<&str> = examples.iter().filter_map(|example| example.source.as_deref()).collect();
    sources.sort_unstable();
    sources.dedup();
    sources.truncate(50);
    let mut found = vec![(file.to_owned(), Measured::of(&scored, model.threshold()))];
    for source in sources {
        let of_source = scored.iter().zip(examples).filter(|(_, example)| example.source.as_deref() == Some(source));
        let of_source: Vec<(f64, f64)> = of_source.map(|(pair, _)| *pair).collect();
        found.push((format!("{file}: {source}"), Measured::of(&of_source, model.threshold())));
    }
    found
}

fn notes(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("--notes {}: {error}", path.display());
    let mut text = String::new();
    File::open(path).map_err(failed)?.take(NOTES_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > NOTES_BYTES_MAX {
        return Err(format!("--notes {}: longer than {NOTES_BYTES_MAX} bytes", path.display()));
    }
    Ok(text)
}

/// Written beside its place and moved there, so that nothing half stands in it.
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: cannot be written ({error})", path.display());
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    std::fs::write(&beside, bytes).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)
}

fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A bar on stderr; none when that is no terminal.
fn bar(template: &str, length: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(5));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸ "));
    }
    bar
}

struct Hashing {
    file: File,
    hasher: blake3::Hasher,
}

impl Read for Hashing {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(into)?;
        self.hasher.update(into.get(..read).unwrap_or_default());
        Ok(read)
    }
}
