//! Tables as CSV: RFC 4180, and nothing in them that a spreadsheet would take for a formula.

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};

use crate::api::error::ApiError;
use crate::api::params::invalid;

/// One field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Text that somebody else may have chosen.
    Text(String),
    /// A number of ours.
    Number(String),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Self::Number(number.to_string())
    }
}

impl Cell {
    /// Dollars with as many decimals as they have, at most nine; empty where they are not known.
    pub fn usd(usd: Option<f64>) -> Self {
        let text = usd.filter(|usd| usd.is_finite()).map(|usd| format!("{usd:.9}")).unwrap_or_default();
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
        Self::Number(if text == "-0" { "0".to_owned() } else { text.to_owned() })
    }

    /// The field as it is written. Text that a spreadsheet would run, since it begins like a formula, gets an apostrophe before it, as
    /// OWASP advises.
    fn written(&self) -> String {
        let text = match self {
            Self::Number(number) => return number.clone(),
            Self::Text(text) if text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']) => {
                format!("'{text}")
            }
            Self::Text(text) => text.clone(),
        };
        if text.contains([',', '"', '\r', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
    }
}

/// The rows, each ended by CRLF.
pub fn written(rows: &[Vec<Cell>]) -> String {
    let line = |row: &Vec<Cell>| row.iter().map(Cell::written).collect::<Vec<_>>().join(",") + "\r\n";
    rows.iter().map(line).collect()
}

/// Whether a table is wanted as CSV: by `format`, else by `Accept`.
pub fn is_wanted(format: Option<&str>, headers: &HeaderMap) -> Result<bool, ApiError> {
    match format {
        Some("csv") => Ok(true),
        Some("json") => Ok(false),
        Some(other) if !other.is_empty() => Err(invalid("format", format!("{other:?} is neither json nor csv"))),
        _ => {
            let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
            let mut kinds = accepted.flat_map(|line| line.split(',')).filter_map(|part| part.split(';').next()).map(str::trim);
            // The first of the two that is named: nobody weighs them.
            Ok(kinds.find(|kind| ["text/csv", "application/json"].contains(kind)) == Some("text/csv"))
        }
    }
}

/// The rows as a file of this name.
pub fn answer(name: &str, rows: &[Vec<Cell>]) -> Response {
    let mut response = written(rows).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}.csv\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_run_nothing() {
        let text = |text: &str| Cell::Text(text.to_owned()).written();
        for (given, expected) in [
            ("gpt-4o", "gpt-4o"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\r\nlines", "\"two\r\nlines\""),
            ("=1+1", "'=1+1"),
            ("=HYPERLINK(\"http://x\",\"y\")", "\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\""),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2", "'-2"),
            ("\tx", "'\tx"),
            ("", ""),
        ] {
            assert_eq!(text(given), expected, "{given:?}");
        }
        let rows = [vec![Cell::Text("key".to_owned()), Cell::from(7)], vec![Cell::Text("ü".to_owned()), Cell::usd(Some(-0.5))]];
        assert_eq!(written(&rows), "key,7\r\nü,-0.5\r\n");
    }

    #[test]
    fn dollars_keep_what_they_have() {
        for (usd, expected) in [
            (Some(0.25), "0.25"),
            (Some(100.0), "100"),
            (Some(0.0), "0"),
            (Some(-0.0), "0"),
            (Some(1e-9), "0.000000001"),
            (None, ""),
        ] {
            assert_eq!(Cell::usd(usd).written(), expected);
        }
        assert_eq!(Cell::usd(Some(f64::NAN)).written(), "");
    }

    #[test]
    fn the_format_is_asked_for_either_way() {
        let accept = |text: &'static str| HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(text))]);
        let none = HeaderMap::new();
        assert!(!is_wanted(None, &none).unwrap() && is_wanted(Some("csv"), &none).unwrap());
        assert!(is_wanted(None, &accept("text/csv;q=0.9, */*")).unwrap());
        assert!(!is_wanted(None, &accept("application/json, text/csv")).unwrap());
        assert!(!is_wanted(Some("json"), &accept("text/csv")).unwrap());
        assert!(is_wanted(Some("xlsx"), &none).is_err());
    }
}
