//! Verdicts on texts that mean nearly the same: an index of recent verdicts by the embeddings of what was asked and answered.
//!
//! A question finds a verdict where everything but the user's messages and the model's answer is the same, as the normalised key means
//! it, and input and output are each as similar as the metric demands: the likeness of prompts alone says little about an answer. The
//! index holds keys of the cache of verdicts, not verdicts, so that what the cache has dropped is found no more. It lives in memory and
//! begins empty; a text that the embedding does not cover as a whole is never compared.
//!
//! Embeddings hardly tell "can" from "cannot": what is found here is a guess, used and audited as [`super::similar`] says.

pub mod embeddings;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use assize_core::{CacheKey, Interaction, JudgeVersion, MetricName, TenantName};
use assize_judge::cache_key::open_texts;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use embeddings::Embeddings;

/// Longer texts, in characters, are never compared: an embedding has the room of a few sentences.
const CHARS_MAX: usize = 2_000;
/// No embedding is waited for longer than this; then the judge is asked.
pub const EMBED_MAX: Duration = Duration::from_secs(10);

/// An index of recent verdicts by what their texts mean.
pub struct Nearest {
    embeddings: Arc<dyn Embeddings>,
    /// The embeddings' own.
    version: String,
    shelves: Mutex<Shelves>,
    /// Whether it was said that embeddings fail, since one last succeeded.
    failing: AtomicBool,
}

/// How much the index holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Entries of one tenant, metric and judge version: all of them are compared.
    pub per_shelf: usize,
    /// Entries in all.
    pub entries: usize,
    /// Tenants, metrics and judge versions.
    pub shelves: usize,
}

impl Default for Bounds {
    /// 4,096 entries a shelf and 32,768 in all, 100 MB of vectors of 384 dimensions.
    fn default() -> Self {
        Self { per_shelf: 4_096, entries: 32_768, shelves: 512 }
    }
}

/// Whose verdicts stand together: only these are compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ShelfName {
    pub tenant: TenantName,
    pub metric: MetricName,
    pub version: JudgeVersion,
}

/// What was asked and what was answered, as two vectors of length 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    input: Box<[f32]>,
    output: Box<[f32]>,
}

impl Nearest {
    pub fn new(embeddings: Arc<dyn Embeddings>, bounds: Bounds) -> Self {
        let shelves = Shelves { bounds, by_name: HashMap::new(), entries: 0, uses: 0 };
        Self { version: embeddings.version(), embeddings, shelves: Mutex::new(shelves), failing: AtomicBool::new(false) }
    }

    /// What the embeddings are made with.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What the interaction's open texts mean; `None` where one is longer than can be compared.
    ///
    /// # Errors
    /// Where the embedding failed or took too long.
    pub async fn vectors(&self, interaction: &Interaction) -> Result<Option<Vectors>, String> {
        let [Some(input), Some(output)] = open_texts(interaction).map(|texts| joined(&texts)) else { return Ok(None) };
        let embedded = timeout(EMBED_MAX, self.embeddings.embed(&[&input, &output])).await;
        let mut vectors = embedded.map_err(|_| format!("no embedding within {} seconds", EMBED_MAX.as_secs()))??.into_iter();
        match (vectors.next(), vectors.next()) {
            (Some(Some(input)), Some(Some(output))) => {
                let vectors = Vectors::new(input, output).ok_or("an embedding has no direction: the model is not fit for use")?;
                self.failing.store(false, Ordering::Relaxed);
                Ok(Some(vectors))
            }
            (Some(_), Some(_)) => Ok(None),
            _ => Err("fewer embeddings than texts".to_owned()),
        }
    }

    /// Whether a failure has not been said yet, since an embedding last succeeded.
    pub fn should_say(&self) -> bool {
        !self.failing.swap(true, Ordering::Relaxed)
    }

    /// The key of the verdict on the shelf that is nearest: the same `rest`, and input and output both at a cosine of `similarity` or
    /// more; of several the one whose lesser cosine is greatest.
    pub async fn find(&self, name: &ShelfName, rest: CacheKey, vectors: &Arc<Vectors>, similarity: f64) -> Option<CacheKey> {
        // The shelf as it stands: it is searched without a lock, and where nobody else waits for the thread.
        let entries = self.shelves().open(name)?;
        let vectors = Arc::clone(vectors);
        spawn_blocking(move || nearest(&entries, rest, &vectors, similarity)).await.ok().flatten()
    }

    /// Puts a verdict on the shelf, in place of one of the same key, else of the oldest where the shelf is full.
    pub fn add(&self, name: ShelfName, rest: CacheKey, vectors: Arc<Vectors>, key: CacheKey) {
        self.shelves().add(name, Entry { rest, vectors, key });
    }

    /// Forgets everything of `tenant`.
    pub fn forget(&self, tenant: &TenantName) {
        self.shelves().forget(tenant);
    }

    fn shelves(&self) -> std::sync::MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Texts as one; `None` where that is longer than can be compared.
fn joined(texts: &[&str]) -> Option<String> {
    let bytes: usize = texts.iter().map(|text| text.len() + 2).sum();
    // No character has more than four bytes.
    let text = (bytes <= 4 * CHARS_MAX + 2).then(|| texts.join("\n\n"))?;
    text.chars().nth(CHARS_MAX).is_none().then_some(text)
}

impl Vectors {
    /// The vectors at length 1; `None` where one has no direction.
    pub fn new(input: Vec<f32>, output: Vec<f32>) -> Option<Self> {
        Some(Self { input: unit(input)?, output: unit(output)? })
    }

    /// The lesser of the cosines of inputs and of outputs, if both are at least `similarity`.
    pub fn likeness(&self, other: &Self, similarity: f64) -> Option<f32> {
        let inputs = cosine(&self.input, &other.input).filter(|cosine| f64::from(*cosine) >= similarity)?;
        let outputs = cosine(&self.output, &other.output).filter(|cosine| f64::from(*cosine) >= similarity)?;
        Some(inputs.min(outputs))
    }
}

fn unit(mut vector: Vec<f32>) -> Option<Box<[f32]>> {
    let length = vector.iter().map(|x| f64::from(*x) * f64::from(*x)).sum::<f64>().sqrt();
    if !length.is_finite() || length <= 0.0 {
        return None;
    }
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
    Some(vector.into_boxed_slice())
}

/// The product of two vectors of length 1; `None` where they are of different models.
fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    // Sums that do not wait for each other, which the compiler turns into vector instructions.
    const LANES: usize = 16;
    let (parts_a, parts_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = parts_a.remainder().iter().zip(parts_b.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in parts_a.zip(parts_b) {
        sums.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum += a * b);
    }
    (a.len() == b.len()).then(|| sums.iter().sum::<f32>() + rest)
}

#[derive(Debug)]
struct Entry {
    rest: CacheKey,
    vectors: Arc<Vectors>,
    key: CacheKey,
}

/// The key that [`Nearest::find`] wants.
fn nearest(entries: &[Arc<Entry>], rest: CacheKey, vectors: &Vectors, similarity: f64) -> Option<CacheKey> {
    let mut best: Option<(f32, CacheKey)> = None;
    for entry in entries.iter().filter(|entry| entry.rest == rest) {
        if let Some(likeness) = entry.vectors.likeness(vectors, similarity)
            && best.is_none_or(|(most, _)| likeness > most)
        {
            best = Some((likeness, entry.key));
        }
    }
    best.map(|(_, key)| key)
}

struct Shelves {
    bounds: Bounds,
    by_name: HashMap<ShelfName, Shelf>,
    /// On all shelves together.
    entries: usize,
    /// Counts every use of a shelf.
    uses: u64,
}

#[derive(Default)]
struct Shelf {
    /// Shared with whoever searches it now.
    entries: Arc<Vec<Arc<Entry>>>,
    /// The place of the oldest, once it is full.
    oldest: usize,
    last_use: u64,
}

impl Shelves {
    fn open(&mut self, name: &ShelfName) -> Option<Arc<Vec<Arc<Entry>>>> {
        self.uses += 1;
        let shelf = self.by_name.get_mut(name)?;
        shelf.last_use = self.uses;
        Some(Arc::clone(&shelf.entries))
    }

    fn add(&mut self, name: ShelfName, entry: Entry) {
        self.uses += 1;
        let shelf = self.by_name.entry(name).or_default();
        shelf.last_use = self.uses;
        let per_shelf = self.bounds.per_shelf.min(self.bounds.entries).max(1);
        // A copy of the pointers only where somebody searches.
        let entries = Arc::make_mut(&mut shelf.entries);
        if let Some(same) = entries.iter_mut().find(|other| other.key == entry.key) {
            *same = Arc::new(entry);
        } else if entries.len() < per_shelf {
            entries.push(Arc::new(entry));
            self.entries += 1;
        } else if let Some(oldest) = entries.get_mut(shelf.oldest) {
            *oldest = Arc::new(entry);
            shelf.oldest = (shelf.oldest + 1) % per_shelf;
        }
        while self.entries > self.bounds.entries || self.by_name.len() > self.bounds.shelves.max(1) {
            let unused = self.by_name.iter().min_by_key(|(_, shelf)| shelf.last_use).map(|(name, _)| name.clone());
            let Some(removed) = unused.and_then(|name| self.by_name.remove(&name)) else { break };
            self.entries -= removed.entries.len();
        }
    }

    fn forget(&mut self, tenant: &TenantName) {
        self.by_name.retain(|name, _| name.tenant != *tenant);
        self.entries = self.by_name.values().map(|shelf| shelf.entries.len()).sum();
    }
}

#[cfg(test)]
mod tests;
