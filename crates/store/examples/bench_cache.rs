//! Look-ups per CPU-second (user and system, all threads) of the verdict cache: `cargo run --release -p assize-store --example
//! bench_cache [ENTRIES] [DIRECTORY]`. Keys are computed before the clock starts, as the digest of a text is not the cache's work.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::Instant;

use assize_core::cache::{CacheBounds, CacheEntry, CacheKey, VerdictCache};
use assize_testkit::contract::cache::{entry, key};
use assize_testkit::samples::MORNING;
use nix::sys::resource::{UsageWho, getrusage};

/// Entries in memory, and look-ups of each kind.
const IN_MEMORY: u64 = 100_000;
const LOOK_UPS: u64 = 2_000_000;
const ON_DISK: u64 = 100_000;
/// What `score` asks for at a time: the metrics of one interaction.
const KEYS: u64 = 3;
const BATCH: u64 = 100;
/// What the memory before the file holds.
const FRONT: u64 = 65_536;

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), cpu_seconds())
    }

    fn report(&self, what: &str, count: u64) {
        let (wall, cpu, count) = (self.0.elapsed().as_secs_f64(), cpu_seconds() - self.1, count as f64);
        println!(
            "{what}: {:.0} per CPU-second ({:.2} us each); {:.0}/s of wall time",
            count / cpu,
            cpu / count * 1e6,
            count / wall
        );
    }
}

/// A verdict as judges give it: its reason is one sentence.
fn sample(number: u64) -> CacheEntry {
    let mut entry = entry(number, (number % 2) as f64, MORNING);
    entry.verdict.confidence = Some(0.93);
    entry.verdict.reason =
        "The answer declines to help with the request and offers no alternative, although nothing in the question calls for that.".into();
    entry
}

async fn fill(cache: &dyn VerdictCache, entries: u64) {
    for first in (0..entries).step_by(BATCH as usize) {
        cache.put((first..entries.min(first + BATCH)).map(sample).collect()).await;
    }
}

/// A permutation of 0..count that jumps about, so that neighbours in time are none in the order of arrival.
fn scattered(count: u64) -> impl Iterator<Item = u64> {
    (0..).map(move |at: u64| at.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count)
}

async fn look_up(cache: &Arc<dyn VerdictCache>, what: &str, keys: &[CacheKey], at_a_time: u64, expected: bool) {
    let clock = Clock::start();
    let mut hits = 0;
    for keys in keys.chunks(at_a_time as usize) {
        hits += cache.get(keys, MORNING).await.iter().flatten().count();
    }
    clock.report(&format!("{what}, {at_a_time} at a time"), keys.len() as u64);
    assert_eq!(hits, if expected { keys.len() } else { 0 }, "{what}");
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let entries: u64 = arguments.next().map_or(1_000_000, |entries| entries.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let directory = arguments.next().map_or(scratch.path().to_owned(), Into::into);

    let cache = assize_store::cache::open("memory:", CacheBounds::default()).await.unwrap();
    fill(&*cache, IN_MEMORY).await;
    let hits: Vec<CacheKey> = scattered(IN_MEMORY).take(LOOK_UPS as usize).map(key).collect();
    let misses: Vec<CacheKey> = scattered(LOOK_UPS).take(LOOK_UPS as usize).map(|number| key(number + (1 << 40))).collect();
    println!("in memory, {IN_MEMORY} entries, {} B each as the cache reckons", cache.stats().bytes / IN_MEMORY);
    for at_a_time in [1, KEYS] {
        look_up(&cache, "hits", &hits, at_a_time, true).await;
        look_up(&cache, "misses", &misses, at_a_time, false).await;
    }

    let bounds = CacheBounds { entries_max: entries, bytes_max: 1 << 40, ..CacheBounds::default() };
    let url = format!("sqlite:{}", directory.display());
    let cache = assize_store::cache::open(&url, bounds).await.unwrap();
    let clock = Clock::start();
    fill(&*cache, entries).await;
    clock.report(&format!("on disk, {entries} entries put, {BATCH} at a time"), entries);
    let (reckoned, body) = (cache.stats().bytes / entries, serde_json::to_vec(&sample(1).verdict).unwrap().len());
    drop(cache);
    let file = std::fs::metadata(directory.join("cache.db")).unwrap().len();
    println!("{} B of the file for each entry, {body} of them the verdict; reckoned {reckoned}", file / entries);

    let cache = assize_store::cache::open(&url, bounds).await.unwrap();
    let recent: Vec<CacheKey> = (0..FRONT.min(entries) / 2).map(|at| key(entries - 1 - at)).collect();
    look_up(&cache, "hits on disk, put last", &recent, KEYS, true).await;
    let again: Vec<CacheKey> = (0..20).flat_map(|_| recent.iter().copied()).collect();
    look_up(&cache, "hits in the memory before it", &again, KEYS, true).await;
    let anywhere: Vec<CacheKey> = scattered(entries).take(ON_DISK.min(entries / 2) as usize).map(key).collect();
    look_up(&cache, "hits anywhere on disk", &anywhere, KEYS, true).await;
    look_up(&cache, "misses", &misses[..ON_DISK as usize], KEYS, false).await;
    look_up(&cache, "misses", &misses[ON_DISK as usize..2 * ON_DISK as usize], 1, false).await;

    let clock = Clock::start();
    let more = entries / 10;
    for first in (entries..entries + more).step_by(BATCH as usize) {
        cache.put((first..first + BATCH).map(sample).collect()).await;
    }
    clock.report(&format!("put into a full cache, {BATCH} at a time"), more);
    let stats = cache.stats();
    println!("{stats:?}");
    let tenant = sample(0).tenant;
    let clock = Clock::start();
    let purged = cache.purge(&tenant).await.unwrap();
    clock.report("purged", purged);
    assert_eq!(purged, stats.entries);
}
