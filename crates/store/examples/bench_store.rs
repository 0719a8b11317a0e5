//! Rows per CPU-second (user and system, all threads) of the SQLite backends: `cargo run --release -p assize-store --example
//! bench_store [ROWS] [DIRECTORY]`. Entries are made before the clock starts; everything else counts.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use assize_core::queue::{Entry, Offset, Queue, Settlement};
use assize_core::results::Results;
use assize_core::{Dimension, Scored, Timestamp};
use assize_testkit::samples::{self, MORNING};

const CALLERS: usize = 8;
const BATCH: usize = 100;
const FOLD: usize = 5_000;
const LEASE: usize = 100;

/// CPU seconds of this process so far, from the 14th and 15th field of `/proc/self/stat`, in ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = &stat[stat.rfind(')').unwrap() + 2..];
    let ticks: u64 = after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}

struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), cpu_seconds())
    }

    fn report(&self, what: &str, rows: usize) {
        let (wall, cpu) = (self.0.elapsed().as_secs_f64(), cpu_seconds() - self.1);
        let rows = rows as f64;
        println!(
            "{what}: {:.0} rows per CPU-second ({:.1} us each); {:.0} rows/s of wall time",
            rows / cpu,
            cpu / rows * 1e6,
            rows / wall
        );
    }
}

fn entries(rows: usize, drawn: bool) -> Vec<Vec<Entry>> {
    let entry = |i: usize| {
        // As a span's id: 32 and 16 hexadecimal digits.
        let id = format!("{:032x}-{:016x}", (i as u128 + 1) * 0x9e37_79b9_7f4a_7c15_f39c_c060, i);
        let time = Timestamp(MORNING.0 + i as i64 / 10);
        let mut row = if drawn { samples::drawn("default", &id, time) } else { samples::row("default", &id, time) };
        row.dimensions.push((Dimension::Model, format!("model-{}", i % 5)));
        samples::entry(row)
    };
    let all: Vec<Entry> = (0..rows).map(entry).collect();
    all.chunks(BATCH).map(<[Entry]>::to_vec).collect()
}

async fn enqueue(queue: &Arc<dyn Queue>, batches: Vec<Vec<Entry>>) -> Vec<Duration> {
    let batches = Arc::new(std::sync::Mutex::new(batches));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (queue, batches) = (queue.clone(), batches.clone());
            tokio::spawn(async move {
                let mut waited = Vec::new();
                loop {
                    let Some(batch) = batches.lock().unwrap().pop() else { return waited };
                    let begun = Instant::now();
                    queue.enqueue(batch).await.unwrap();
                    waited.push(begun.elapsed());
                }
            })
        })
        .collect();
    let mut waited = Vec::new();
    for caller in callers {
        waited.extend(caller.await.unwrap());
    }
    waited.sort_unstable();
    waited
}

async fn fold(queue: &dyn Queue, results: &dyn Results, until: usize) {
    let mut folded = results.folded().await.unwrap();
    let end = Offset(folded.0 + until as u64);
    while folded < end {
        let entries = queue.accepted_after(folded, FOLD).await.unwrap();
        // As the real loop does: small batches cost more than a little waiting.
        if entries.len() < FOLD && (entries.len() as u64) < end.0 - folded.0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        results.fold(&entries).await.unwrap();
        folded = entries.last().unwrap().0;
        queue.folded(folded).await.unwrap();
    }
}

async fn score(queue: &dyn Queue, results: &dyn Results) -> usize {
    let up_to = results.folded().await.unwrap();
    let mut done = 0;
    loop {
        let leased = queue.lease(LEASE, up_to, MORNING, Duration::from_secs(60)).await.unwrap();
        if leased.is_empty() {
            return done;
        }
        let scored: Vec<Scored> = leased.iter().map(|item| samples::judged(&item.entry.row, "refusal", 1.0)).collect();
        results.record(&scored).await.unwrap();
        queue.settle(leased.iter().map(|item| Settlement::Done(item.receipt)).collect()).await.unwrap();
        done += leased.len();
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let rows: usize = arguments.next().map_or(200_000, |rows| rows.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let directory = arguments.next().map_or(scratch.path().to_owned(), Into::into);
    let url = format!("sqlite:{}", directory.display());
    let results = assize_store::results::open(&url).await.unwrap();
    let queue = assize_store::queue::open(&url, results.folded().await.unwrap()).await.unwrap();

    let batches = entries(rows, false);
    let bytes: usize = batches[0].iter().map(|entry| serde_json::to_vec(&entry.row).unwrap().len()).sum::<usize>() / BATCH;
    println!("{rows} undrawn rows of one metric, {bytes} B each as JSON, in batches of {BATCH}, {CALLERS} callers");
    let clock = Clock::start();
    let (waited, ()) = tokio::join!(enqueue(&queue, batches), fold(&*queue, &*results, rows));
    clock.report("enqueue and fold", rows);
    let at = |share: f64| waited[((waited.len() - 1) as f64 * share) as usize];
    println!("acknowledged after: median {:.1?}, p99 {:.1?}, longest {:.1?}", at(0.5), at(0.99), at(1.0));

    let batches = entries(rows, false);
    let clock = Clock::start();
    enqueue(&queue, batches).await;
    clock.report("duplicates", rows);

    let drawn = rows / 5;
    let second: Vec<Vec<Entry>> = entries(drawn, true)
        .into_iter()
        .map(|mut batch| {
            for entry in &mut batch {
                let id = assize_core::InteractionId::new(&format!("drawn-{}", entry.row.id)).unwrap();
                entry.row.key = assize_core::RowKey::of(&entry.row.project, &id);
                entry.row.id = id;
            }
            batch
        })
        .collect();
    let clock = Clock::start();
    tokio::join!(enqueue(&queue, second), fold(&*queue, &*results, drawn));
    clock.report("enqueue and fold, drawn", drawn);
    let clock = Clock::start();
    let done = score(&*queue, &*results).await;
    clock.report("lease, record, settle", done);
}
