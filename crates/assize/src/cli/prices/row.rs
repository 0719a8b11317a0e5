//! A price as it is printed.

use assize_core::{NanoUsd, Price};
use assize_judge::prices::{LISTS, Of, OwnPrice, PriceSource, Prices};
use serde::Serialize;

/// USD per million tokens.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PerMillion {
    pub input: f64,
    pub cached_input: f64,
    pub cache_write: f64,
    pub output: f64,
}

impl From<Price> for PerMillion {
    fn from(price: Price) -> Self {
        Self {
            input: price.input.to_usd(),
            cached_input: price.cached_input.to_usd(),
            cache_write: price.cache_write.to_usd(),
            output: price.output.to_usd(),
        }
    }
}

/// What one model charges at one host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The names that it goes by.
    pub models: Vec<String>,
    /// Whose calls: a host, `provider NAME`, or `any`.
    pub host: String,
    pub endpoint: &'static str,
    pub usd_per_million: PerMillion,
    /// Null where there are no batches.
    pub batch_usd_per_million: Option<PerMillion>,
    /// The day from which calls fail.
    pub shutdown: Option<String>,
    /// The day on which the list was read; null for the operator's own.
    pub as_of: Option<String>,
    /// An address, `configuration` or `file`.
    pub source: String,
    #[serde(skip)]
    pub price: Price,
    #[serde(skip)]
    pub batch: Option<Price>,
}

/// Everything that is in force: the operator's own prices, then the lists.
pub fn rows(prices: &Prices) -> Vec<Row> {
    let own = prices.own().map(|(model, price, source)| of_own(model, price, source));
    let listed = LISTS.into_iter().flat_map(|list| {
        list.lines.iter().map(move |(names, line)| Row {
            models: names.iter().map(|&name| name.to_owned()).collect(),
            host: list.host.as_str().to_owned(),
            endpoint: list.endpoint.as_str(),
            usd_per_million: line.price.into(),
            batch_usd_per_million: line.batch.map(PerMillion::from),
            shutdown: line.shutdown.map(|day| day.to_string()),
            as_of: Some(list.as_of.to_string()),
            source: list.source.to_owned(),
            price: line.price,
            batch: line.batch,
        })
    });
    own.chain(listed).collect()
}

fn of_own(model: &str, own: &OwnPrice, source: PriceSource) -> Row {
    Row {
        models: vec![model.to_owned()],
        host: match &own.of {
            Of::Provider(provider) => format!("provider {provider}"),
            Of::Host(host) => host.to_string(),
            Of::Everyone => "any".to_owned(),
        },
        endpoint: own.endpoint.as_str(),
        usd_per_million: own.price.into(),
        batch_usd_per_million: own.batch.map(PerMillion::from),
        shutdown: own.shutdown.map(|day| day.to_string()),
        as_of: None,
        source: source_name(source),
        price: own.price,
        batch: own.batch,
    }
}

/// Who says so.
pub fn source_name(source: PriceSource) -> String {
    match source {
        PriceSource::Judge => "the judge's own price".to_owned(),
        PriceSource::Configuration => "configuration".to_owned(),
        PriceSource::File => "file".to_owned(),
        PriceSource::List(list) => list.source.to_owned(),
        PriceSource::Simulated => "simulated".to_owned(),
    }
}

/// `0.15`, at least two digits behind the point, without the sign.
pub fn plain(price: NanoUsd) -> String {
    price.to_string().trim_start_matches('$').to_owned()
}

/// Columns under their headings; those of numbers to the right.
pub fn table(headings: &[&str], rows: &[Vec<String>], numbers: &[usize]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(headings.get(at).map(|heading| heading.chars().count())).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| if numbers.contains(&at) { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let heading = line(&mut headings.iter().copied());
    let rest = rows.iter().map(|row| line(&mut row.iter().map(String::as_str)));
    std::iter::once(heading).chain(rest).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_list_is_shown_with_day_and_source() {
        let rows = rows(&Prices::default());
        assert_eq!(rows.len(), LISTS.iter().map(|list| list.lines.len()).sum::<usize>());
        assert!(rows.iter().all(|row| row.as_of.is_some() && row.source.starts_with("https://")));
    }

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "10.00".to_owned()], vec!["long".to_owned(), "5.0".to_owned()]];
        assert_eq!(table(&["name", "usd"], &rows, &[1]), "name    usd\na     10.00\nlong    5.0");
        assert_eq!(plain(NanoUsd(150_000_000)), "0.15");
    }
}
