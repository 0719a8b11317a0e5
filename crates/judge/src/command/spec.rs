//! How a command judge is written: `[[judge]]` with `kind = "command"`.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::check::{SpecError, ensure, in_range};
use crate::exchange;

/// A script or program as a judge. It is run on this machine, so it may come from the operator's configuration file only: whatever
/// takes judges over an API has to refuse it (see [`crate::spec::JudgeKind::is_operators_alone`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommandSpec {
    /// The program and its arguments, such as `["python3", "judge.py"]`; no shell is involved. Paths are relative to `directory`, or
    /// else to where Assize was started.
    pub command: Vec<String>,
    /// Processes at once, each judging one interaction at a time (1 to 256).
    #[serde(default = "workers")]
    pub workers: usize,
    /// A worker that takes longer for an answer is killed, in seconds (1 to 600).
    #[serde(default = "timeout_seconds")]
    pub timeout_seconds: u64,
    /// What a fresh worker may take in addition before it is ready, in seconds (0 to 600).
    #[serde(default = "start_seconds")]
    pub start_seconds: u64,
    /// Address space of each of its processes, in MiB (64 to 1,048,576).
    #[serde(default = "memory_mb")]
    pub memory_mb: u64,
    /// A worker that writes more for one interaction, to either output, is killed (1,024 to 16,777,216 bytes).
    #[serde(default = "output_bytes_max")]
    pub output_bytes_max: usize,
    /// Variables of Assize's environment that it sees besides PATH, LANG, LC_ALL, LC_CTYPE and TZ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Where it runs; a directory of its own, empty and writable, where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Names the judge's version in place of the contents of the files that `command` names. Whoever sets it has to change it with
    /// everything that changes an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Attempts per item before it goes back to the queue (1 to 10).
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// What one call costs, in USD; nothing where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_call_usd: Option<f64>,
}

fn workers() -> usize {
    2
}

fn timeout_seconds() -> u64 {
    30
}

fn start_seconds() -> u64 {
    60
}

fn memory_mb() -> u64 {
    2_048
}

fn output_bytes_max() -> usize {
    64 << 10
}

fn attempts() -> u32 {
    3
}

/// Variables that never reach a script, whoever lists them: the usual homes of providers' keys. Those that the configuration names
/// are refused besides, and everything that begins with `ASSIZE_`.
const PROVIDER_KEYS: [&str; 6] =
    ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "GOOGLE_API_KEY", "AZURE_OPENAI_API_KEY", "MISTRAL_API_KEY"];

const ARGUMENTS_MAX: usize = 100;
const ARGUMENT_BYTES_MAX: usize = 4_096;
const VARIABLES_MAX: usize = 100;
const VERSION_BYTES_MAX: usize = 256;

/// Whether a variable of this name is Assize's own or usually holds a provider's key.
pub(super) fn is_secret(variable: &str) -> bool {
    let name = variable.to_ascii_uppercase();
    name.starts_with("ASSIZE_") || PROVIDER_KEYS.contains(&name.as_str())
}

impl CommandSpec {
    /// Checks the command and the limits. Nothing is looked up on disk.
    pub fn check(&self) -> Result<(), SpecError> {
        ensure(cfg!(unix), "kind", || "command judges need Linux or another Unix: use kind = \"http\" here".into())?;
        ensure(self.command.first().is_some_and(|program| !program.trim().is_empty()), "command", || {
            "no program: write the program and its arguments as a list, such as [\"python3\", \"judge.py\"]".into()
        })?;
        ensure(self.command.len() <= ARGUMENTS_MAX, "command", || format!("more than {ARGUMENTS_MAX} arguments"))?;
        for (index, argument) in self.command.iter().enumerate() {
            ensure(argument.len() <= ARGUMENT_BYTES_MAX && !argument.contains('\0'), format!("command[{index}]"), || {
                format!("use {ARGUMENT_BYTES_MAX} bytes at the most, and no NUL")
            })?;
        }
        in_range("workers", self.workers, 1, 256)?;
        in_range("timeout_seconds", self.timeout_seconds, 1, 600)?;
        in_range("start_seconds", self.start_seconds, 0, 600)?;
        in_range("memory_mb", self.memory_mb, 64, 1 << 20)?;
        in_range("output_bytes_max", self.output_bytes_max, 1 << 10, 16 << 20)?;
        in_range("attempts", self.attempts, 1, 10)?;
        ensure(self.env.len() <= VARIABLES_MAX, "env", || format!("more than {VARIABLES_MAX} variables"))?;
        let mut seen = HashSet::new();
        for (index, variable) in self.env.iter().enumerate() {
            let key = || format!("env[{index}]");
            ensure(!variable.is_empty() && !variable.contains(['=', '\0']), key(), || {
                "not the name of a variable: list names, such as MODEL_PATH, and set them where Assize is started".into()
            })?;
            ensure(!is_secret(variable), key(), || {
                format!("{variable} never reaches a script: give it a key of its own in a variable of another name")
            })?;
            ensure(seen.insert(variable), key(), || "named twice".into())?;
        }
        if let Some(version) = &self.version {
            ensure(!version.trim().is_empty() && version.len() <= VERSION_BYTES_MAX, "version", || {
                format!("use 1 to {VERSION_BYTES_MAX} bytes, or leave it out: the script's contents then make the version")
            })?;
        }
        exchange::price(self.price_per_call_usd).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::spec::JudgeSpec;

    fn command(change: Value) -> Result<(), String> {
        let mut spec = json!({"name": "j", "kind": "command", "command": ["python3", "judge.py"]});
        spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        serde_json::from_value::<JudgeSpec>(spec).unwrap().check().map_err(|error| error.key)
    }

    #[test]
    fn the_key_that_is_wrong_is_named() {
        assert_eq!(command(json!({"env": ["MODEL"], "version": "2", "price_per_call_usd": 0.001, "directory": "/srv"})), Ok(()));
        for (change, key) in [
            (json!({"command": []}), "command"),
            (json!({"command": [" "]}), "command"),
            (json!({"command": ["a", "b\u{0}"]}), "command[1]"),
            (json!({"workers": 0}), "workers"),
            (json!({"timeout_seconds": 601}), "timeout_seconds"),
            (json!({"start_seconds": 601}), "start_seconds"),
            (json!({"memory_mb": 1}), "memory_mb"),
            (json!({"output_bytes_max": 10}), "output_bytes_max"),
            (json!({"attempts": 0}), "attempts"),
            (json!({"env": ["A", "B=1"]}), "env[1]"),
            (json!({"env": ["A", "A"]}), "env[1]"),
            (json!({"env": ["ASSIZE_BOOTSTRAP_KEY"]}), "env[0]"),
            (json!({"env": ["assize_key"]}), "env[0]"),
            (json!({"env": ["OPENAI_API_KEY"]}), "env[0]"),
            (json!({"version": " "}), "version"),
            (json!({"price_per_call_usd": -1.0}), "price_per_call_usd"),
        ] {
            assert_eq!(command(change.clone()), Err(key.into()), "{change}");
        }
        let unknown = json!({"name": "j", "kind": "command", "command": ["a"], "shell": true});
        assert!(serde_json::from_value::<JudgeSpec>(unknown).is_err());
    }
}
