//! The model card: what a model was made of, how, and how good it is, for people (Markdown) and for programs (a JSON block in it).
//! After Mitchell et al. 2019, "Model cards for model reporting".

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::measure::Measured;
use super::train::{PartSize, TrainReport, TrainSpec};

/// What is known of the data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataCard {
    /// Where they come from.
    pub source: String,
    /// Under which licence.
    pub licence: String,
    /// Labelled lines that were read.
    pub examples: u64,
    /// Lines that were bad and passed over.
    pub bad_lines: u64,
    /// BLAKE3 of the file, in hex.
    pub blake3: String,
    /// Whether lines had clusters.
    pub clustered: bool,
}

/// A model card. [`Card::markdown`] writes it, [`Card::from_markdown`] reads the machine's part back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// What the model is called.
    pub name: String,
    /// BLAKE3 of the model's file, in hex.
    pub model_blake3: String,
    /// Bytes of the model's file.
    pub model_bytes: u64,
    /// The release that trained it.
    pub trained_by: String,
    /// The data.
    pub data: DataCard,
    /// The settings.
    pub settings: TrainSpec,
    /// Sizes of the split, and the figures on what was held out.
    pub report: TrainReport,
    /// Figures on other labelled files, none of which was trained on, by file and source.
    pub other_data: Vec<(String, Measured)>,
    /// What whoever trained it has to say, in Markdown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub notes: String,
}

const JSON_BEGINS: &str = "```json\n";
const JSON_ENDS: &str = "\n```";

impl Card {
    /// The card as Markdown, its last part being the card as JSON.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    /// Reads the JSON part of a card.
    ///
    /// # Errors
    /// Where there is none, or it is no card.
    pub fn from_markdown(text: &str) -> Result<Self, String> {
        let json = text.rsplit_once(JSON_BEGINS).and_then(|(_, rest)| rest.split_once(JSON_ENDS)).map(|(json, _)| json);
        serde_json::from_str(json.ok_or("the card has no JSON part")?).map_err(|error| format!("the card's JSON part: {error}"))
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (data, settings, report) = (&self.data, &self.settings, &self.report);
        writeln!(out, "# Model card: {}\n", self.name)?;
        writeln!(
            out,
            "A linear model: logistic regression over hashed n-grams of characters (3 to 5, within words) and words (1 to 3). A text is \
             read in short segments and scores as the highest of them does; the score is a calibrated probability on data like the \
             training data.\n"
        )?;
        writeln!(out, "| | |\n|---|---|")?;
        writeln!(out, "| Data | {} |", one_line(&data.source))?;
        writeln!(out, "| Licence of the data | {} |", one_line(&data.licence))?;
        writeln!(
            out,
            "| Labelled lines | {} read, {} bad and passed over; BLAKE3 `{}` |",
            data.examples, data.bad_lines, data.blake3
        )?;
        writeln!(
            out,
            "| Model file | {} bytes, 2^{} + 2^{} weights of one byte; BLAKE3 `{}` |",
            self.model_bytes, settings.bytes_bits, settings.words_bits, self.model_blake3
        )?;
        writeln!(out, "| Trained by | {}, seed {} |", one_line(&self.trained_by), settings.seed)?;
        let best = format!("round {} of at most {}, validation loss {:.4}", report.round, settings.rounds_max, report.loss);
        writeln!(out, "| Training | AdaGrad, step {}, L2 {}; {best} |\n", settings.learning_rate, settings.l2)?;

        writeln!(out, "## Split\n")?;
        let by = if data.clustered { "cluster (by their words where a line has none)" } else { "words" };
        writeln!(
            out,
            "By a keyed hash of each text's {by}, so that near-copies stay together: 70 % to train, 10 % to say when to stop, 10 % to \
             calibrate and to set the threshold, 10 % to measure. {} texts whose words stand in an earlier part too were left out.\n",
            report.repeated
        )?;
        writeln!(out, "| part | texts | positive |\n|---|--:|--:|")?;
        let parts = [
            ("training", report.training),
            ("validation", report.validation),
            ("calibration", report.calibration),
            ("test", report.test),
        ];
        for (name, PartSize { count, positive }) in parts {
            writeln!(out, "| {name} | {count} | {positive} |")?;
        }

        writeln!(out, "\n## Held-out figures\n")?;
        writeln!(
            out,
            "Positive is a label of 0.5 or more. ECE: ten bins of equal width. The threshold is the one of largest F1 on the calibration \
             part. FPR: the share of negatives at or above the threshold.\n"
        )?;
        table_head(out)?;
        row(out, "test part", &report.held_out)?;
        row(out, "test part, at 0.5", &report.held_out_at_half)?;
        for (source, measured) in &report.by_source {
            row(out, &format!("of it: {source}"), measured)?;
        }
        let confusion = &report.held_out.confusion;
        writeln!(
            out,
            "\nConfusion at the threshold {:.3}:\n\n| | found | not found |\n|---|--:|--:|\n| positive | {} | {} |\n| negative | {} | {} |",
            report.held_out.threshold,
            confusion.true_positive,
            confusion.false_negative,
            confusion.false_positive,
            confusion.true_negative
        )?;
        if !self.other_data.is_empty() {
            writeln!(out, "\n## Other data, never trained on\n")?;
            table_head(out)?;
            for (name, measured) in &self.other_data {
                row(out, name, measured)?;
            }
        }
        writeln!(
            out,
            "\n## Known limits\n\n\
             - It knows words and spellings, not meaning: irony, quotation and who is meant escape it, and a harmless text that shares \
             words with labelled ones may score high.\n\
             - It knows the languages, registers and labels of its data and no others. On texts of another kind the score still orders, \
             but is no calibrated probability; measure it there.\n\
             - Whoever labelled the data had views, and the model has them too. Do not decide about people by it.\n\
             - Of a text, the first 32 KiB and the last 8 KiB are read. A long text has more segments, and so more chances of a high one."
        )?;
        if !self.notes.trim().is_empty() {
            writeln!(out, "\n{}", self.notes.trim())?;
        }
        let json = serde_json::to_string_pretty(self).map_err(|_| std::fmt::Error)?;
        writeln!(out, "\n## For programs\n\n{JSON_BEGINS}{json}{JSON_ENDS}")
    }
}

fn table_head(out: &mut String) -> std::fmt::Result {
    writeln!(out, "| | texts | positive | threshold | precision | recall | F1 | FPR | AUC | ECE | Brier |")?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
}

fn row(out: &mut String, name: &str, measured: &Measured) -> std::fmt::Result {
    let share = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{share:.3}"));
    writeln!(
        out,
        "| {} | {} | {} | {:.3} | {} | {} | {} | {} | {} | {:.3} | {:.3} |",
        one_line(name),
        measured.count,
        measured.positive,
        measured.threshold,
        share(measured.precision),
        share(measured.recall),
        share(measured.f1),
        share(measured.confusion.false_positive_rate()),
        share(measured.auc),
        measured.ece,
        measured.brier
    )
}

/// What stands in a cell of a table.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let report = TrainReport {
            training: PartSize { count: 70, positive: 30 },
            validation: PartSize::default(),
            calibration: PartSize::default(),
            test: PartSize { count: 10, positive: 5 },
            repeated: 2,
            round: 3,
            loss: 0.25,
            held_out: Measured::of(&[(0.9, 1.0), (0.7, 0.0), (0.1, 0.0)], 0.5),
            held_out_at_half: Measured::of(&[(0.9, 1.0)], 0.5),
            by_source: vec![("a|b".to_owned(), Measured::of(&[(0.1, 0.0)], 0.5))],
        };
        let card = Card {
            name: "toxicity".to_owned(),
            model_blake3: "ab".to_owned(),
            model_bytes: 7,
            trained_by: "assize 0.1.0".to_owned(),
            data: DataCard {
                source: "made\nup".to_owned(),
                licence: "CC0".to_owned(),
                examples: 100,
                bad_lines: 1,
                blake3: "cd".to_owned(),
                clustered: true,
            },
            settings: TrainSpec::default(),
            report,
            other_data: vec![("elsewhere".to_owned(), Measured::default())],
            notes: "## Notes\n\n```json\n{}\n```\n".to_owned(),
        };
        let text = card.markdown();
        assert_eq!(Card::from_markdown(&text).unwrap(), card);
        for wanted in [
            "| Data | made up |",
            "| Licence of the data | CC0 |",
            "0.500",
            "| of it: a\\|b |",
            "## Notes",
            "ECE",
            "| elsewhere |",
        ] {
            assert!(text.contains(wanted), "{wanted}\n{text}");
        }
        assert!(Card::from_markdown("nothing").is_err());
    }
}
