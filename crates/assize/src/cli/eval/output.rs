//! `--out`: every outcome as a JSON line, and how a run that stopped is resumed from it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use assize_core::Policy;
use serde::{Deserialize, Serialize};

use super::line::Line;
use super::tally::Tally;

/// The first line: what the rest belongs to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    assize_eval: u32,
    input: String,
    policy: String,
}

/// The open file, locked against other runs.
pub struct Output {
    path: PathBuf,
    file: File,
    /// Its length when this run began.
    began: u64,
    synced: Instant,
}

const SYNC_EVERY: Duration = Duration::from_secs(1);

impl Output {
    /// Opens or makes `path`. What it holds already goes into `tally`, and a record cut short at its end is removed.
    pub fn open(path: &Path, input: &str, policy: &Policy, tally: &mut Tally) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot use {}: {error}", path.display());
        let header = Header { assize_eval: 1, input: input.to_owned(), policy: policy.version.to_string() };
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        if !file.metadata().map_err(failed)?.is_file() {
            return Err(format!("{} is no regular file: name one with --out, so that the run can be resumed", path.display()));
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!("another run is writing to {}: wait for its end, or name another --out", path.display()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let whole = resume(&file, path, &header, policy.metrics.len(), tally)?;
        file.set_len(whole).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut output = Self { path: path.to_owned(), file, began: whole, synced: Instant::now() };
        if whole == 0 {
            output.append(&[serde_json::to_string(&header).map_err(|error| error.to_string())?])?;
            output.began = output.file.stream_position().map_err(failed)?;
        }
        Ok(output)
    }

    /// The file is as it was when this run began.
    pub fn take_back(&mut self) -> Result<(), String> {
        let taken = self.file.set_len(self.began).and_then(|()| self.file.seek(SeekFrom::End(0)).map(drop));
        taken.map_err(|error| format!("cannot use {}: {error}", self.path.display()))
    }

    /// Appends all lines of one interaction in one write, so that a crash leaves whole interactions.
    pub fn append(&mut self, lines: &[String]) -> Result<(), String> {
        let failed =
            |error: std::io::Error| format!("cannot write {}: {error}; what is written can be resumed", self.path.display());
        let mut text = lines.join("\n");
        text.push('\n');
        self.file.write_all(text.as_bytes()).map_err(failed)?;
        if self.synced.elapsed() >= SYNC_EVERY {
            self.file.sync_data().map_err(failed)?;
            self.synced = Instant::now();
        }
        Ok(())
    }

    /// On disk.
    pub fn finish(&mut self) -> Result<(), String> {
        self.file.sync_all().map_err(|error| format!("cannot write {}: {error}", self.path.display()))
    }
}

/// No line that we write is longer.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// Reads what is there; returns how many bytes of it are whole interactions.
fn resume(file: &File, path: &Path, header: &Header, metrics: usize, tally: &mut Tally) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| {
        line.clear();
        (&mut reader).take(LINE_BYTES_MAX).read_until(b'\n', line).map_err(failed)
    };
    if next(&mut line)? == 0 || !line.ends_with(b"\n") {
        let only_ours = line.is_empty() || line.starts_with(b"{\"assize_eval\"");
        return if only_ours { Ok(0) } else { Err(refused(path, "it was not written by this command")) };
    }
    let Ok(found) = serde_json::from_slice::<Header>(&line) else {
        return Err(refused(path, "it was not written by this command"));
    };
    if found.input != header.input {
        return Err(refused(path, "it belongs to another input file, or the input has changed since"));
    }
    if &found != header {
        return Err(refused(path, "it was written under another configuration"));
    }
    let mut whole = line.len() as u64;
    let mut at = whole;
    let mut group: Vec<Line> = Vec::with_capacity(metrics);
    for number in 2_u64.. {
        let bytes = next(&mut line)?;
        if !line.ends_with(b"\n") {
            // The end, or what a crash left of the last line.
            break;
        }
        // Nothing but the end is ever cut off: what follows a damaged line was paid for.
        let parsed: Line = serde_json::from_slice(&line).map_err(|_| refused(path, &format!("its line {number} is damaged")))?;
        at += bytes as u64;
        if group.first().is_some_and(|first| first.id != parsed.id) {
            return Err(refused(path, &format!("the interaction before its line {number} is not whole")));
        }
        group.push(parsed);
        if group.len() == metrics {
            tally.resume(std::mem::take(&mut group)).map_err(|error| refused(path, &format!("its line {number}: {error}")))?;
            whole = at;
        }
    }
    Ok(whole)
}

fn refused(path: &Path, why: &str) -> String {
    format!("{} is there already and cannot be resumed: {why}; name another --out, or remove it", path.display())
}
