//! The verdict cache against a model, under load, killed in the middle of writing, and over files that cannot be used.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use assize_core::cache::{CacheBounds, CacheEntry, CacheKey, VerdictCache};
use assize_core::{StoreErrorKind, TenantName, Timestamp};
use assize_store::cache::open;
use assize_testkit::contract::cache::{entry, key};
use assize_testkit::samples::MORNING;
use proptest::prelude::*;

const TTL_MS: i64 = 100;
const TENANTS: [&str; 3] = ["a", "b", "c"];

fn tenant(at: u8) -> TenantName {
    TenantName::new(TENANTS[usize::from(at) % TENANTS.len()]).unwrap()
}

fn url(directory: &Path) -> String {
    format!("sqlite:{}", directory.display())
}

#[derive(Debug, Clone)]
enum Step {
    Put(Vec<(u8, u8, u8)>),
    Get(Vec<u8>),
    Pass(i64),
    Purge(u8),
    PurgeAll,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => prop::collection::vec((0_u8..24, any::<u8>(), any::<u8>()), 0..5).prop_map(Step::Put),
        6 => prop::collection::vec(0_u8..24, 0..6).prop_map(Step::Get),
        4 => (0_i64..TTL_MS).prop_map(Step::Pass),
        1 => any::<u8>().prop_map(Step::Purge),
        1 => Just(Step::PurgeAll),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a cache of unlimited room would hold: tenant, score, time.
type Model = HashMap<u8, (TenantName, f64, Timestamp)>;

/// Plays the steps on a cache that `url` names. With `room` the cache equals the model; without it only ever gives back what was put.
async fn play(steps: &[Step], url: &str, bounds: CacheBounds, room: bool) {
    let mut cache = open(url, bounds).await.unwrap();
    let (mut model, mut now) = (Model::new(), MORNING);
    let mut ever: HashMap<u8, Vec<(f64, Timestamp)>> = HashMap::new();
    let fresh = |at: Timestamp, now: Timestamp| now.0 < at.0 + TTL_MS;
    for step in steps {
        match step {
            Step::Put(entries) => {
                let of = |&(number, owner, score): &(u8, u8, u8)| CacheEntry {
                    tenant: tenant(owner),
                    ..entry(u64::from(number), f64::from(score) / 256.0, now)
                };
                cache.put(entries.iter().map(of).collect()).await;
                for &(number, owner, score) in entries {
                    let value = (tenant(owner), f64::from(score) / 256.0, now);
                    ever.entry(number).or_default().push((value.1, now));
                    let held = model.entry(number).or_insert_with(|| value.clone());
                    if !fresh(held.2, now) {
                        *held = value;
                    }
                }
            }
            Step::Get(numbers) => {
                let keys: Vec<CacheKey> = numbers.iter().map(|number| key(u64::from(*number))).collect();
                let found = cache.get(&keys, now).await;
                for (number, found) in numbers.iter().zip(found) {
                    let found = found.map(|cached| (cached.verdict.score, cached.at));
                    if room {
                        let held = model.get(number).filter(|held| fresh(held.2, now)).map(|held| (held.1, held.2));
                        assert_eq!(found, held, "{number}");
                    } else if let Some(found) = found {
                        assert!(ever[number].contains(&found) && fresh(found.1, now), "{number}: {found:?}");
                    }
                }
            }
            Step::Pass(time) => now = Timestamp(now.0 + time),
            Step::Purge(owner) => {
                let purged = cache.purge(&tenant(*owner)).await.unwrap();
                let before = model.len();
                model.retain(|_, held| held.0 != tenant(*owner));
                // Expired ones may have been cleared away before.
                assert!(purged <= (before - model.len()) as u64 || !room, "{purged}");
            }
            Step::PurgeAll => {
                cache.purge_all().await.unwrap();
                (model, ever) = Default::default();
                assert_eq!(cache.stats().entries, 0);
            }
            Step::Reopen if url.starts_with("sqlite:") => {
                drop(cache);
                cache = open(url, bounds).await.unwrap();
            }
            Step::Reopen => {}
        }
        let stats = cache.stats();
        assert!(stats.entries <= bounds.entries_max && stats.bytes <= bounds.bytes_max, "{stats:?}");
        assert!(stats.failures == 0 && (!room || stats.evictions == 0), "{stats:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_cache_equals_its_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let ttl = Duration::from_millis(TTL_MS.unsigned_abs());
        let ample = CacheBounds { ttl, ..CacheBounds::default() };
        let tight = CacheBounds { entries_max: 5, bytes_max: 4_000, ttl };
        runtime.block_on(async {
            for (bounds, room) in [(ample, true), (tight, false)] {
                play(&steps, "memory:", bounds, room).await;
                let directory = tempfile::tempdir().unwrap();
                play(&steps, &url(directory.path()), bounds, room).await;
            }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bounds_hold_while_many_write_read_and_purge() {
    let directory = tempfile::tempdir().unwrap();
    let bounds = CacheBounds { entries_max: 3_000, bytes_max: 1_500_000, ..CacheBounds::default() };
    for url in ["memory:".to_owned(), url(directory.path())] {
        let cache = open(&url, bounds).await.unwrap();
        let callers = (0..8_u64).map(|caller| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for batch in 0..100_u64 {
                    let number = |at: u64| (caller << 32) + batch * 20 + at;
                    let of = |at| CacheEntry { tenant: tenant(caller as u8), ..entry(number(at), caller as f64, MORNING) };
                    cache.put((0..20).map(of).collect()).await;
                    let stats = cache.stats();
                    assert!(stats.entries <= bounds.entries_max && stats.bytes <= bounds.bytes_max, "{stats:?}");
                    let keys: Vec<CacheKey> = (0..20).map(|at| key(number(at))).collect();
                    for found in cache.get(&keys, MORNING).await.into_iter().flatten() {
                        assert_eq!(found.verdict.score, caller as f64, "each finds its own");
                    }
                    if caller == 7 && batch % 25 == 24 {
                        cache.purge(&tenant(7)).await.unwrap();
                    }
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
        let stats = cache.stats();
        assert!(stats.evictions > 5_000 && stats.failures == 0, "{url}: {stats:?}");
        // What is purged while others put and read is gone in the end, from memory and file.
        cache.purge(&tenant(1)).await.unwrap();
        for number in
            (0..8_u64).filter(|caller| tenant(*caller as u8) == tenant(1)).flat_map(|c| (0..2_000).map(move |n| (c << 32) + n))
        {
            assert!(cache.get(&[key(number)], MORNING).await[0].is_none(), "{url}: {number}");
        }
    }
}

const DIRECTORY: &str = "ASSIZE_TEST_CACHE_CRASH_DIRECTORY";
const ROUND: &str = "ASSIZE_TEST_CACHE_CRASH_ROUND";
const ROUNDS: u64 = 4;

fn crash_entry(number: u64) -> CacheEntry {
    CacheEntry { tenant: tenant(number as u8), ..entry(number, (number % 97) as f64 / 97.0, MORNING) }
}

/// The process that is killed: this very test, told by a variable to write until it dies.
#[test]
fn writes_until_killed() {
    let (Ok(directory), Ok(round)) = (std::env::var(DIRECTORY), std::env::var(ROUND)) else { return };
    let round: u64 = round.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let cache = open(&url(Path::new(&directory)), CacheBounds::default()).await.unwrap();
        let callers = (0..4_u64).map(|caller| {
            let cache = cache.clone();
            tokio::spawn(async move {
                for batch in 0.. {
                    let numbers: Vec<u64> = (0..5).map(|at| (round << 48) + (caller << 40) + batch * 5 + at).collect();
                    cache.put(numbers.iter().copied().map(crash_entry).collect()).await;
                    let lines: String = numbers.iter().map(|number| format!("kept {number} .\n")).collect();
                    std::io::stdout().lock().write_all(lines.as_bytes()).unwrap();
                }
            })
        });
        for caller in callers.collect::<Vec<_>>() {
            caller.await.unwrap();
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_survives_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let mut kept: Vec<u64> = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "writes_until_killed", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let number_of = |line: &str| line.strip_prefix("kept ")?.strip_suffix(" .")?.parse::<u64>().ok();
        // Another number each time, so that the kill falls into another moment.
        let enough = kept.len() + 500 + 137 * round as usize;
        while kept.len() < enough {
            kept.extend(number_of(&lines.next().expect("the child writes on").unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kept.extend(lines.map_while(Result::ok).filter_map(|line| number_of(&line)));
    }
    let cache = open(&url(directory.path()), CacheBounds::default()).await.unwrap();
    assert_eq!(cache.trouble(), None, "a kill damages nothing");
    for numbers in kept.chunks(100) {
        let keys: Vec<CacheKey> = numbers.iter().copied().map(key).collect();
        for (number, found) in numbers.iter().zip(cache.get(&keys, MORNING).await) {
            assert_eq!(found.expect("it was kept").verdict, crash_entry(*number).verdict, "{number}");
        }
    }
    let entries = cache.stats().entries;
    assert!(entries >= kept.len() as u64);
    assert_eq!(cache.purge_all().await.unwrap(), entries);
    drop(cache);
    let rows = rusqlite::Connection::open(directory.path().join("cache.db")).unwrap();
    let left: i64 = rows.query_row("SELECT count(*) FROM verdict", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

async fn filled(directory: &Path) {
    let cache = open(&url(directory), CacheBounds::default()).await.unwrap();
    cache.put((0..2_000).map(|number| entry(number, 1.0, MORNING)).collect()).await;
}

/// Opens a cache over a file that cannot be used: it must be empty, usable, and say what happened; the file must lie beside it.
async fn begins_anew(directory: &Path, what: &str) {
    let before = std::fs::read(directory.join("cache.db")).unwrap();
    let cache: Arc<dyn VerdictCache> =
        open(&url(directory), CacheBounds::default()).await.unwrap_or_else(|error| panic!("{what}: {error}"));
    let trouble = cache.trouble().unwrap_or_else(|| panic!("{what}: nothing was said"));
    assert!(trouble.contains("set aside as cache.damaged.db"), "{what}: {trouble}");
    assert!(std::fs::read(directory.join("cache.damaged.db")).unwrap() == before, "{what}: kept as it was");
    assert_eq!(cache.stats().entries, 0, "{what}");
    cache.put(vec![entry(1, 0.5, MORNING)]).await;
    assert_eq!(cache.get(&[key(1)], MORNING).await[0].as_ref().map(|cached| cached.verdict.score), Some(0.5), "{what}");
    drop(cache);
    let cache = open(&url(directory), CacheBounds::default()).await.unwrap();
    assert_eq!((cache.trouble(), cache.stats().entries), (None, 1), "{what}");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_stops_nobody() {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 6] = [
        ("no database", |path| std::fs::write(path, "A letter to a friend, and no database. ".repeat(300)).unwrap()),
        ("half a file", |path| {
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..bytes.len() / 2 / 4096 * 4096]).unwrap();
        }),
        ("a first page of nonsense", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[100..4096].fill(0xa5);
            std::fs::write(path, bytes).unwrap();
        }),
        ("all pages but the first", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            bytes[4096..].iter_mut().for_each(|byte| *byte = !*byte);
            std::fs::write(path, bytes).unwrap();
        }),
        ("a newer schema", |path| {
            let file = rusqlite::Connection::open(path).unwrap();
            file.execute_batch("INSERT INTO migration VALUES (2, '0002_future', 'x')").unwrap();
        }),
        ("a changed schema", |path| {
            let file = rusqlite::Connection::open(path).unwrap();
            file.execute_batch("UPDATE migration SET checksum = 'x'").unwrap();
        }),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (what, spoil) in spoils {
        filled(directory.path()).await;
        spoil(&directory.path().join("cache.db"));
        begins_anew(directory.path(), what).await;
    }
}

#[tokio::test]
async fn an_empty_file_is_a_new_one_and_a_log_of_nonsense_is_passed_over() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("cache.db"), b"").unwrap();
    filled(directory.path()).await;
    std::fs::write(directory.path().join("cache.db-wal"), vec![0xa5; 100_000]).unwrap();
    let cache = open(&url(directory.path()), CacheBounds::default()).await.unwrap();
    assert_eq!((cache.trouble(), cache.stats().entries), (None, 2_000));
}

#[tokio::test]
async fn what_is_not_the_files_fault_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(&url(directory.path()), CacheBounds::default()).await.unwrap();
    let error = open(&url(directory.path()), CacheBounds::default()).await.err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Locked);
    assert!(error.message.contains("cache.db"), "{error}");
    drop(cache);
    let elsewhere = tempfile::tempdir().unwrap();
    std::fs::create_dir(elsewhere.path().join("cache.db")).unwrap();
    let error = open(&url(elsewhere.path()), CacheBounds::default()).await.err().unwrap();
    assert_eq!(error.kind, StoreErrorKind::Failed);
    assert_eq!(open("redis://host", CacheBounds::default()).await.err().unwrap().kind, StoreErrorKind::Invalid);
}
