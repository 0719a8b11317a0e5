//! Reads JSON lines a batch at a time.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use assize_core::InteractionId;

use crate::ingest::{self, Draft, ITEM_TEXT_MAX, ItemError};

/// Lines of one batch, and bytes after which a batch ends early.
const LINES: usize = 64;
const BYTES: usize = 1 << 20;
/// A line longer than this is rejected unread: the text of an item is limited, its JSON may be somewhat longer.
const LINE_BYTES_MAX: usize = 2 * ITEM_TEXT_MAX;

/// The file of interactions.
pub struct Input {
    path: Option<PathBuf>,
    reader: Option<Box<dyn BufRead + Send>>,
    line: u64,
    taken: u64,
    limit: Option<u64>,
    bytes_total: Option<u64>,
}

/// Some lines of it.
pub struct Batch {
    pub items: Vec<Result<Draft, ItemError>>,
    /// Bytes read from the file for it.
    pub bytes: u64,
}

impl Input {
    /// Opens `path`; `-` is stdin.
    pub fn open(path: &Path, limit: Option<u64>) -> Result<Self, String> {
        if path.as_os_str() == "-" {
            let reader: Box<dyn BufRead + Send> = Box::new(BufReader::new(std::io::stdin()));
            return Ok(Self { path: None, reader: Some(reader), line: 0, taken: 0, limit, bytes_total: None });
        }
        let failed = |why: &str| format!("cannot read {}: {why}", path.display());
        let file = File::open(path).map_err(|error| failed(&error.to_string()))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(failed("it is a directory; name a file of JSON lines"));
        }
        let bytes_total = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
        let reader: Box<dyn BufRead + Send> = Box::new(BufReader::with_capacity(1 << 16, file));
        Ok(Self { path: Some(path.to_owned()), reader: Some(reader), line: 0, taken: 0, limit, bytes_total })
    }

    pub fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Hash of the whole file: what an `--out` is bound to.
    pub fn identity(&self) -> Result<String, String> {
        let Some(path) = &self.path else {
            return Err("--out needs a file to read: what comes from stdin cannot be resumed".to_owned());
        };
        if self.bytes_total.is_none() {
            return Err(format!("--out needs a file that can be read again, and {} is none", path.display()));
        }
        let failed = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path).map_err(failed)?).map_err(failed)?;
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The next lines; `None` at the end. Blank lines are passed over. A line without an id is known by its number.
    pub async fn next_batch(&mut self) -> Result<Option<Batch>, String> {
        let Some(reader) = self.reader.take() else { return Ok(None) };
        let room = self.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.taken)).min(LINES as u64);
        let first = self.line;
        // Reading may block: a pipe, a slow disk.
        let read = tokio::task::spawn_blocking(move || read(reader, first, room)).await.map_err(|error| error.to_string())?;
        let (reader, lines, batch) = read.map_err(|error| format!("line {}: cannot be read: {error}", first + 1))?;
        if batch.bytes == 0 || room == 0 {
            return Ok(None);
        }
        self.reader = Some(reader);
        self.line += lines;
        self.taken += batch.items.len() as u64;
        Ok(Some(batch))
    }
}

type Reading = (Box<dyn BufRead + Send>, u64, Batch);

fn read(mut reader: Box<dyn BufRead + Send>, first: u64, room: u64) -> std::io::Result<Reading> {
    let mut batch = Batch { items: Vec::new(), bytes: 0 };
    let mut lines = 0;
    let mut line = Vec::new();
    while (batch.items.len() as u64) < room && batch.bytes < BYTES as u64 {
        line.clear();
        let bytes = (&mut reader).take(LINE_BYTES_MAX as u64 + 1).read_until(b'\n', &mut line)?;
        if bytes == 0 {
            break;
        }
        lines += 1;
        batch.bytes += bytes as u64;
        if bytes > LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            batch.bytes += skip_line(&mut reader)?;
            let message = format!("line {}: longer than {LINE_BYTES_MAX} bytes", first + lines);
            batch.items.push(Err(ItemError::new("item_too_large", message)));
        } else if !line.trim_ascii().is_empty() && (first + lines > 1 || line.trim_ascii() != b"\xef\xbb\xbf") {
            batch.items.push(item(&line, first + lines));
        }
    }
    Ok((reader, lines, batch))
}

fn skip_line(reader: &mut dyn BufRead) -> std::io::Result<u64> {
    let mut skipped = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let (used, end) = match buffer.iter().position(|&byte| byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(used);
        skipped += used as u64;
        if end {
            return Ok(skipped);
        }
    }
}

fn item(line: &[u8], number: u64) -> Result<Draft, ItemError> {
    let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
    let mut draft = decode(line).map_err(|error| ItemError::new(error.code, format!("line {number}: {}", error.message)))?;
    // The file is the project: what it says of projects is for the server.
    draft.project = None;
    if draft.id.is_none() {
        draft.id = InteractionId::new(&format!("line-{number}")).ok();
    }
    Ok(draft)
}

fn decode(line: &[u8]) -> Result<Draft, ItemError> {
    let text = std::str::from_utf8(line)
        .map_err(|error| ItemError::new("invalid_utf8", format!("not UTF-8 at its byte {}", error.valid_up_to())))?;
    ingest::json::decode_line(text)
}
