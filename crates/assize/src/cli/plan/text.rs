//! A plan for people: table, recommendation, picture, and what is not known.

use super::basis::Source;
use super::report::{Cheap, Goal, Line, Report, points};
use super::sketch::sketch;
use crate::ui::format::{count, money, short_percent};

/// All of it; with the picture in letters where that is wanted.
pub fn text(report: &Report, with_sketch: bool) -> String {
    let period = report.period.name();
    let mut lines = vec![heading(report), String::new()];
    lines.extend(basis(report));
    lines.push(String::new());
    // Names of models are as long as they are.
    let names = report.plans.iter().map(|line| line.name.chars().count()).max().unwrap_or_default() + 4;
    lines.push(format!(
        "{:<names$}{:>12}{:>11}{:>12}{:>10}{:>10}",
        "",
        "calls",
        "cheap",
        format!("a {period}"),
        "± points",
        "of naive"
    ));
    lines.extend(report.plans.iter().map(|line| row(report, line, names)));
    lines.push(String::new());
    lines.extend(recommendation(report));
    lines.extend(report.cheap_tier.iter().map(cheap));
    lines.push(String::new());
    if with_sketch {
        lines.push(sketch(report));
    }
    lines.push("Not known:".to_owned());
    lines.extend(report.unknown.iter().flat_map(|text| wrapped(text, "- ", "  ")));
    lines.join("\n").replace('\u{202f}', " ")
}

fn heading(report: &Report) -> String {
    let metric = report.metric.as_deref().unwrap_or("a metric");
    let period = report.period.name();
    let level = short_percent(report.level);
    match report.goal {
        Goal::HalfWidth(wanted) => {
            format!("The rate of {metric} in a {period} to ±{} points, {level} of the time:", points(wanted))
        }
        Goal::BudgetUsd(budget) => format!("The rate of {metric} in a {period} for ${budget:.2}, {level} intervals:"),
    }
}

fn basis(report: &Report) -> Vec<String> {
    let said = |source: Source| source.name();
    let mut first = format!(
        "{} interactions a {} ({}), rate {} ({}), free score correlated {:.2} with the reference ({})",
        count(report.traffic.value.round() as u64),
        report.period.name(),
        said(report.traffic.source),
        short_percent((report.rate.value * 1e4).round() / 1e4),
        said(report.rate.source),
        report.rho.value,
        said(report.rho.source)
    );
    if report.estimand == "process" {
        first.push_str("; of what produces the traffic");
    }
    let second = format!("a call ${}: {}", report.judge.price.to_string().trim_start_matches('$'), report.judge.how);
    let third = report.judged_so_far.zip(report.measured_at.as_ref());
    let third = third.map(|(judged, place)| format!("measured: {} verdicts of {place}", count(judged)));
    [Some(first), Some(second), third].into_iter().flatten().flat_map(|text| wrapped(&text, "  ", "  ")).collect()
}

fn row(report: &Report, line: &Line, names: usize) -> String {
    let best = report.recommendation.as_ref().is_some_and(|best| best.line.name == line.name);
    let missed = if line.meets_goal { "" } else { " (misses)" };
    let cheap = if line.paid_calls > 0 { count(line.paid_calls) } else { String::new() };
    let ratio = line.ratio_to_naive.map_or(String::new(), |ratio| format!("{ratio:.2}"));
    let mark = if best { "* " } else { "  " };
    let width = points(line.half_width);
    let row = format!(
        "{:<names$}{:>12}{cheap:>11}{:>12}{width:>10}{ratio:>10}{missed}",
        format!("{mark}{}", line.name),
        count(line.reference_calls),
        money(line.cost)
    );
    row.trim_end().to_owned()
}

fn recommendation(report: &Report) -> Vec<String> {
    let Some(best) = &report.recommendation else {
        let all = report.plans.first().map_or(0.0, |line| line.half_width);
        let text = format!(
            "Not to be had: even judging everything leaves ±{} points, since this traffic is itself a sample.",
            points(all)
        );
        return wrapped(&text, "", "  ");
    };
    let escalate = if best.escalate { " and `escalate = true` on the metric" } else { "" };
    let share = best.share.map_or(String::new(), |share| format!(", `share = {}` on the reference", significant(share)));
    let text = format!(
        "Recommended (*): {}: {}. Set `rate = {}` under [sampling]{share}{escalate}.",
        best.line.name,
        best.why,
        significant(best.sampling_rate)
    );
    wrapped(&text, "", "  ")
}

/// A probability with three digits that count.
fn significant(rate: f64) -> String {
    if rate <= 0.0 || rate >= 1.0 {
        return format!("{rate}");
    }
    let digits = (2.0 - rate.log10().floor()).clamp(2.0, 12.0) as usize;
    // Up, so that the width is met.
    let scale = 10_f64.powi(digits as i32);
    format!("{:.digits$}", ((rate * scale - 1e-9).ceil() / scale).min(1.0))
}

fn cheap(cheap: &Cheap) -> String {
    let model = cheap.judge.model.as_deref().unwrap_or("the cheap judge");
    let price = format!("{model} costs {:.3} of a reference call", cheap.price_ratio);
    let text = match (cheap.rho, cheap.is_worth_it, cheap.cost_ratio) {
        (Some(rho), Some(is_worth_it), Some(ratio)) => format!(
            "A paid cheap tier: {price} and adds a partial correlation of {rho:.2}; from {:.2} on it saves. In ample traffic the cost would be {} of \
             that without: {}.",
            cheap.worthwhile_from,
            short_percent((ratio * 100.0).round() / 100.0),
            if is_worth_it { "worth having" } else { "not worth having here" }
        ),
        _ if cheap.worthwhile_from >= 1.0 => format!("A paid cheap tier: {price}: never worth having."),
        _ => format!(
            "A paid cheap tier: {price}; worth having if its partial correlation with the reference, given the free scores, is above {:.2}.",
            cheap.worthwhile_from
        ),
    };
    wrapped(&text, "", "  ").join("\n")
}

const WIDTH: usize = 110;

/// `text` in lines, the first beginning with `first`, the others with `rest`.
pub(super) fn wrapped(text: &str, first: &str, rest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(std::mem::replace(&mut line, rest.to_owned()));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_keep_their_digits_and_round_up() {
        assert_eq!(significant(0.000_345_67), "0.000346");
        assert_eq!(
            (significant(0.1), significant(0.999_99), significant(1.0)),
            ("0.100".to_owned(), "1.000".to_owned(), "1".to_owned())
        );
    }

    #[test]
    fn long_lines_break_between_words() {
        let lines = wrapped(&"word ".repeat(60), "- ", "  ");
        assert!(lines.len() > 2 && lines.iter().all(|line| line.chars().count() <= WIDTH), "{lines:?}");
        assert!(lines[0].starts_with("- word") && lines[1].starts_with("  word"));
    }
}
