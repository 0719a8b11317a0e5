//! The command as it is run: its files found and hashed, its environment settled.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::confine::Confinement;
use super::spec::{CommandSpec, is_secret};
use crate::check::SpecError;

/// How workers are started: a program that reads a [`Confinement`] as its last argument and enters it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    /// The program: Assize's own binary.
    pub program: PathBuf,
    /// What comes before the confinement.
    pub args: Vec<String>,
    /// Directories that no worker may open: the data directory. What does not exist when a worker starts is passed over.
    pub denied: Vec<PathBuf>,
}

/// What every worker sees of the environment, besides what is listed.
const PASSED: [&str; 5] = ["PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"];
/// Files larger than this are not hashed.
const HASHED_BYTES_MAX: u64 = 64 << 20;

/// A command that can be started.
pub(super) struct Script {
    /// With the paths of files made absolute.
    command: Vec<String>,
    /// The arguments that are files, and what they held when the judge was opened.
    files: BTreeMap<usize, blake3::Hash>,
    directory: Option<PathBuf>,
    environment: Vec<(String, OsString)>,
    /// The values of listed variables: they may be secrets, and are not repeated in messages.
    secrets: Vec<SecretString>,
    memory_mb: u64,
    launcher: Launcher,
    /// Whether a version was given, so that files may change.
    is_versioned: bool,
}

impl Script {
    /// Finds the files that `spec` names. `variable` looks up the environment.
    pub(super) fn open(
        spec: &CommandSpec,
        launcher: &Launcher,
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SpecError> {
        let directory = spec.directory.as_deref().map(directory).transpose()?;
        let base = match &directory {
            Some(directory) => directory.clone(),
            None => std::env::current_dir()
                .map_err(|error| SpecError::new("directory", format!("where Assize was started cannot be used: {error}")))?,
        };
        let mut command = spec.command.clone();
        let mut files = BTreeMap::new();
        for (at, argument) in command.iter_mut().enumerate() {
            // A program without a slash is looked for along PATH.
            if (at == 0 && !argument.contains('/')) || argument.starts_with('-') || argument.is_empty() {
                continue;
            }
            let path = base.join(&*argument);
            if path.is_file() {
                let key = || format!("command[{at}]");
                if spec.version.is_none() {
                    files.insert(at, hash(&path).map_err(|why| SpecError::new(key(), why))?);
                }
                let absolute = path.to_str().ok_or_else(|| SpecError::new(key(), "its path is not UTF-8"))?;
                *argument = absolute.to_owned();
            }
        }
        let mut environment = Vec::new();
        let mut secrets = Vec::new();
        for name in PASSED.into_iter().chain(spec.env.iter().map(String::as_str)).filter(|name| !is_secret(name)) {
            if let Some(value) = variable(name) {
                if !PASSED.contains(&name) {
                    secrets.extend(value.to_str().filter(|value| value.len() >= 6).map(SecretString::from));
                }
                environment.push((name.to_owned(), value));
            }
        }
        let launcher = Launcher {
            denied: launcher.denied.iter().map(|path| path.canonicalize().unwrap_or_else(|_| path.clone())).collect(),
            ..launcher.clone()
        };
        let (memory_mb, is_versioned) = (spec.memory_mb, spec.version.is_some());
        Ok(Self { command, files, directory, environment, secrets, memory_mb, launcher, is_versioned })
    }

    /// What of the command decides an answer: arguments, and in place of files their contents.
    pub(super) fn identity(&self, spec: &CommandSpec) -> Vec<Vec<u8>> {
        let part = |at: usize, argument: &String| match self.files.get(&at) {
            Some(hash) => [b"file:", hash.as_bytes().as_slice()].concat(),
            None => [b"text:", argument.as_bytes()].concat(),
        };
        spec.command.iter().enumerate().map(|(at, argument)| part(at, argument)).collect()
    }

    /// The secrets that a message of the script must not repeat.
    pub(super) fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(ExposeSecret::expose_secret).collect()
    }

    /// Starts a worker, in a process group of its own, with the directory that it may write to.
    ///
    /// # Errors
    /// Where a file has changed since the judge was opened, or the system refuses.
    pub(super) fn start(&self) -> Result<(Child, TempDir), String> {
        if !self.is_versioned {
            self.files.iter().try_for_each(|(at, hash)| self.unchanged(*at, hash))?;
        }
        let own = tempfile::Builder::new()
            .prefix("assize-judge-")
            .tempdir()
            .map_err(|error| format!("no directory can be made for it: {error}"))?;
        let confinement = Confinement {
            parent: std::process::id(),
            memory_mb: self.memory_mb,
            denied: self.launcher.denied.iter().filter(|path| path.exists()).cloned().collect(),
            writable: vec![own.path().to_owned()],
            command: self.command.clone(),
        };
        let confinement = serde_json::to_string(&confinement).map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.launcher.program);
        command
            .args(&self.launcher.args)
            .arg(confinement)
            .env_clear()
            // Its own directory is its home: no dot files of whoever started Assize.
            .env("HOME", own.path())
            .env("TMPDIR", own.path())
            // Python buffers its output otherwise, and reads another encoding than JSON's where the locale is not set.
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONUTF8", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.directory.as_deref().unwrap_or(own.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0).arg0("assize");
        let child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
        Ok((child, own))
    }

    fn unchanged(&self, at: usize, hash_then: &blake3::Hash) -> Result<(), String> {
        let path = self.command.get(at).map(Path::new).unwrap_or(Path::new(""));
        match hash(path) {
            Ok(now) if &now == hash_then => Ok(()),
            Ok(_) => Err(format!("{} has changed, which makes another judge of it: start Assize again", path.display())),
            Err(why) => Err(format!("{}: {why}", path.display())),
        }
    }
}

fn directory(path: &Path) -> Result<PathBuf, SpecError> {
    let wrong = |why: String| SpecError::new("directory", format!("{}: {why}", path.display()));
    let path = path.canonicalize().map_err(|error| wrong(error.to_string()))?;
    if path.is_dir() { Ok(path) } else { Err(wrong("it is no directory".to_owned())) }
}

fn hash(path: &Path) -> Result<blake3::Hash, String> {
    let mut file = std::fs::File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let bytes = file.metadata().map_err(|error| format!("cannot be read: {error}"))?.len();
    if bytes > HASHED_BYTES_MAX {
        return Err(format!("{bytes} bytes are too many to be hashed: set `version`, and change it with the file"));
    }
    let mut hasher = blake3::Hasher::new();
    std::io::copy(&mut file, &mut hasher).map_err(|error| format!("cannot be read: {error}"))?;
    Ok(hasher.finalize())
}
