//! A month's figures as people read them.

use assize_core::NanoUsd;
use assize_core::cost::{Lever, Step};

use super::amount::{cents, tokens_text};
use super::figures::{Figures, Plan};
use super::model::Priced;
use crate::cli::eval::summary::thousands;
use crate::cli::prices::table as columns;

/// Everything, blank lines between its parts.
pub fn text(figures: &Figures) -> String {
    let mut parts = vec![month(figures), steps(figures)];
    parts.push(infra(figures));
    parts.push(today(figures));
    let notes = notes(figures);
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    parts.join("\n\n")
}

fn month(figures: &Figures) -> String {
    let load = &figures.load;
    let mut lines = vec![
        format!(
            "{} evaluations a month, {} tokens in and {} out each, by {}",
            thousands(load.evaluations),
            tokens_text(load.input_token_parts),
            tokens_text(load.output_token_parts),
            named(&figures.main.reference),
        ),
        format!("One evaluation by {} costs {}", figures.main.reference.name, figures.each(&figures.main)),
    ];
    if let Some(seen) = &figures.seen {
        lines.push(format!(
            "Seen from {} to {}: {} evaluations, {} questions to models, {} spent",
            seen.from,
            seen.to,
            thousands(seen.evaluations),
            thousands(seen.questions),
            cents(seen.spent),
        ));
    }
    lines.join("\n")
}

/// The model, and its price in a few words.
fn named(model: &Priced) -> String {
    let live = &model.rates.live;
    format!("{} ({} in, {} out per million)", model.name, live.input, live.output)
}

fn steps(figures: &Figures) -> String {
    let infra = figures.infra_total();
    let mut rows = Vec::new();
    for step in &figures.main.steps {
        rows.push(row(&what(figures, step), (step.monthly, step.before), infra, step.lever.is_none()));
        if let Some(specified) = step.specified {
            rows.push(row("  as the specification has it (-50 %)", (specified, step.before), infra, false));
        }
    }
    let table = columns(&["A month of judging", "cost", "saved", "saved %", "with infrastructure"], &rows, &[1, 2, 3, 4]);
    let monthly = figures.monthly();
    let result = if figures.is_applied {
        format!("Judging: {} a month; with infrastructure: {}", cents(monthly), cents(monthly.plus(infra)))
    } else {
        format!(
            "Judging everything: {} a month; with infrastructure: {}. The levers are an offer: pull them with their flags.",
            cents(monthly),
            cents(monthly.plus(infra))
        )
    };
    format!("{table}\n\n{result}")
}

fn row(what: &str, (monthly, before): (NanoUsd, NanoUsd), infra: NanoUsd, is_first: bool) -> Vec<String> {
    let (saved, percent) = match (is_first, before.0.checked_sub(monthly.0)) {
        (true, _) => (String::new(), String::new()),
        (false, Some(saved)) => (cents(NanoUsd(saved)), percent(saved, before.0, "")),
        (false, None) => {
            let more = monthly.0.saturating_sub(before.0);
            (format!("-{}", cents(NanoUsd(more))), percent(more, before.0, "-"))
        }
    };
    vec![what.to_owned(), cents(monthly), saved, percent, cents(monthly.plus(infra))]
}

/// `90.0 %`, to the nearest tenth.
fn percent(part: u64, whole: u64, sign: &str) -> String {
    if whole == 0 {
        return String::new();
    }
    let tenths = (u128::from(part) * 2_000 + u128::from(whole)) / (u128::from(whole) * 2);
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

fn what(figures: &Figures, step: &Step) -> String {
    let levers = &figures.levers;
    let share = |share: Option<assize_core::cost::Share>| share.map_or(String::new(), |share| share.to_string());
    match step.lever {
        None => format!("Judge everything with {}", figures.main.reference.name),
        Some(Lever::Sampling) => format!("+ sampling: judge {}", share(levers.sample)),
        Some(Lever::Cascade) => {
            let cheap = figures.main.cheap.as_ref().map_or("", |cheap| cheap.name.as_str());
            format!("+ cascade: {} by {cheap}", share(levers.cascade.map(|cascade| cascade.share)))
        }
        Some(Lever::Cache) => format!("+ cache: {} reused", share(levers.cache_hit)),
        Some(Lever::Batch) => format!("+ batches: {} may wait", share(levers.batch)),
        Some(Lever::PromptCaching) => format!("+ prompt caching: {} of the input", share(levers.prompt_cached)),
    }
}

fn infra(figures: &Figures) -> String {
    let mut rows: Vec<Vec<String>> = figures.infra.iter().map(|line| vec![line.name.clone(), cents(line.monthly)]).collect();
    rows.push(vec!["Total".to_owned(), cents(figures.infra_total())]);
    columns(&["Infrastructure", "a month"], &rows, &[1])
}

fn today(figures: &Figures) -> String {
    let Some(first) = figures.today.first() else { return String::new() };
    let infra = figures.infra_total();
    let mut headings = vec!["The same with models of today", "each", "everything"];
    headings.extend(first.steps.iter().skip(1).filter_map(|step| step.lever).map(heading));
    headings.push("with infrastructure");
    let row = |plan: &Plan| {
        let cheap = plan.cheap.as_ref().map_or(String::new(), |cheap| format!(" -> {}", cheap.name));
        let mut cells = vec![format!("{}{cheap}", plan.reference.name), figures.each(plan).to_string()];
        cells.extend(plan.steps.iter().map(|step| cents(step.monthly)));
        cells.push(cents(plan.with_levers().plus(infra)));
        cells
    };
    let rows: Vec<Vec<String>> = figures.today.iter().map(row).collect();
    let numbers: Vec<usize> = (1..headings.len()).collect();
    columns(&headings, &rows, &numbers)
}

fn heading(lever: Lever) -> &'static str {
    match lever {
        Lever::Sampling => "+ sampling",
        Lever::Cascade => "+ cascade",
        Lever::Cache => "+ cache",
        Lever::Batch => "+ batches",
        Lever::PromptCaching => "+ prompt caching",
    }
}

/// What to know before one believes the figures.
fn notes(figures: &Figures) -> Vec<String> {
    let mut notes = Vec::new();
    let main = [Some(&figures.main.reference), figures.main.cheap.as_ref()];
    for model in main.into_iter().flatten() {
        if let Some(day) = model.shutdown {
            notes.push(format!("Note: calls to {} fail from {day} on, says its vendor.", model.name));
        }
        if figures.levers.batch.is_some() && model.rates.batch.is_none() && model.name != "free" {
            notes.push(format!("Note: no batch price is known for {}: its batches are counted as live calls.", model.name));
        }
    }
    notes.push("Note: models count tokens differently; the same counts are used for all of them.".to_owned());
    if figures.seen.as_ref().is_some_and(|seen| seen.models > 1) {
        let model = &figures.main.reference.name;
        notes.push(format!("Note: several models were asked; all that was seen is counted at the price of {model}."));
    }
    if figures.seen.as_ref().is_some_and(|seen| seen.cost_unknown_calls > 0) {
        notes.push("Note: the cost of some calls that were seen is not known and not in what was spent.".to_owned());
    }
    notes
}
