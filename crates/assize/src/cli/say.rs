//! What a command says: data on stdout, talk on stderr. A reader that went away is no error.

use std::io::Write;

/// One line of data.
pub fn line(text: &str) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("cannot write to stdout: {error}")),
        _ => Ok(()),
    }
}

/// A value as indented JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), String> {
    line(&serde_json::to_string_pretty(value).map_err(|error| error.to_string())?)
}

/// One line of talk. Unlike `eprintln!`, it does not panic when nobody listens.
pub fn note(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
