//! URLs of backends.

use std::path::PathBuf;

use assize_core::{StoreError, StoreErrorKind};

/// What a URL names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// `sqlite:DIR`: files in this directory.
    Sqlite(PathBuf),
    /// `memory:`: nothing outlives the process.
    Memory,
}

/// Reads the URL of the backend of `port`. `known` lists the schemes that the port has, for the message.
pub(crate) fn parse(port: &str, url: &str, known: &[&str]) -> Result<Location, StoreError> {
    let invalid = |what: String| {
        let known = known.join(" or ");
        StoreError::new(StoreErrorKind::Invalid, format!("{port} = {url:?}: {what}; use {known}"))
    };
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(invalid("a URL is wanted".to_owned()));
    };
    if !known.iter().any(|form| form.split(':').next() == Some(scheme)) {
        return Err(invalid(format!("there is no backend {scheme:?}")));
    }
    match scheme {
        "sqlite" => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() {
                return Err(invalid("the directory is missing".to_owned()));
            }
            Ok(Location::Sqlite(PathBuf::from(path)))
        }
        "memory" => Ok(Location::Memory),
        _ => Err(invalid(format!("there is no backend {scheme:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["sqlite:DIR", "memory:"];

    #[test]
    fn forms_of_urls() {
        assert_eq!(parse("queue", "sqlite:data", KNOWN).unwrap(), Location::Sqlite("data".into()));
        assert_eq!(parse("queue", "sqlite:///var/lib/assize", KNOWN).unwrap(), Location::Sqlite("/var/lib/assize".into()));
        assert_eq!(parse("queue", "memory:", KNOWN).unwrap(), Location::Memory);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, expected) in [
            ("data", "a URL is wanted"),
            ("sqlite:", "the directory is missing"),
            ("kafka://broker/topic", "there is no backend \"kafka\"; use sqlite:DIR or memory:"),
        ] {
            let error = parse("queue", url, KNOWN).unwrap_err();
            assert_eq!(error.kind, StoreErrorKind::Invalid);
            assert!(error.message.contains(expected), "{}", error.message);
        }
        assert!(parse("results", "memory:", &["sqlite:DIR"]).is_err());
    }
}
