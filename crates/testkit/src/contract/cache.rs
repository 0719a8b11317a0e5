//! What every verdict cache must do.

use std::sync::Arc;
use std::time::Duration;

use assize_core::cache::{CacheBounds, CacheEntry, CacheKey, CachedVerdict, VerdictCache};
use assize_core::{ReuseKind, Reused, TenantName, Timestamp};

use super::Opener;
use crate::samples::{MORNING, metric, verdict};

/// The bounds that an [`Opener`] must open the cache with: entries of a short reason meet the first, of a long one the second.
pub const BOUNDS: CacheBounds = CacheBounds { entries_max: 200, bytes_max: 300_000, ttl: Duration::from_secs(3_600) };

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn VerdictCache>) {
    what_was_put_is_found_as_it_was(opener).await;
    the_first_answer_stays_until_it_expires(opener).await;
    tenants_are_purged_one_at_a_time(opener).await;
    bounds_hold(opener).await;
    what_cannot_be_given_back_is_passed_over(opener).await;
    callers_at_once_see_one_answer(opener).await;
}

async fn open(opener: &dyn Opener<dyn VerdictCache>, data: &str) -> Arc<dyn VerdictCache> {
    opener.open(data).await.expect("the cache opens")
}

fn tenant(name: &str) -> TenantName {
    TenantName::new(name).expect("a valid name")
}

/// A key whose bytes are spread as those of a digest are.
pub fn key(number: u64) -> CacheKey {
    let mut state = number;
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_mut(8) {
        // SplitMix64, Steele et al. 2014.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
    }
    CacheKey(bytes)
}

/// An entry of the tenant `acme`, its verdict told apart by `score`.
pub fn entry(number: u64, score: f64, at: Timestamp) -> CacheEntry {
    CacheEntry { key: key(number), tenant: tenant("acme"), metric: metric("refusal"), verdict: verdict("gpt-4o", score), at }
}

async fn scores(cache: &dyn VerdictCache, numbers: &[u64], now: Timestamp) -> Vec<Option<f64>> {
    let keys: Vec<CacheKey> = numbers.iter().copied().map(key).collect();
    let found = cache.get(&keys, now).await;
    assert_eq!(found.len(), numbers.len());
    found.iter().map(|found| found.as_ref().map(|cached| cached.verdict.score)).collect()
}

async fn what_was_put_is_found_as_it_was(opener: &dyn Opener<dyn VerdictCache>) {
    let mut cache = open(opener, "found").await;
    assert_eq!(scores(&*cache, &[1, 2], MORNING).await, [None, None]);
    assert!(cache.get(&[], MORNING).await.is_empty());
    cache.put(Vec::new()).await;
    let mut plain = entry(1, 0.1 + 0.2, MORNING);
    let verdict = &mut plain.verdict;
    (verdict.label, verdict.confidence, verdict.model) = (Some("yes".to_owned()), None, None);
    (verdict.usage, verdict.cost, verdict.simulated) = (None, None, true);
    verdict.reason = "\"quoted\", \u{0}, 思, 👩‍⚖️\n".to_owned();
    let full = entry(2, 1.0, Timestamp(MORNING.0 + 1));
    cache.put(vec![plain.clone(), full.clone()]).await;
    if opener.is_durable() {
        drop(cache);
        cache = open(opener, "found").await;
    }
    let found = cache.get(&[key(2), key(3), key(1), key(2)], MORNING).await;
    let as_put = |entry: &CacheEntry| Some(Arc::new(CachedVerdict { verdict: entry.verdict.clone(), at: entry.at }));
    assert_eq!(found, [as_put(&full), None, as_put(&plain), as_put(&full)], "in the order of the keys");
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.evictions, stats.failures), (2, 0, 0));
    assert!(stats.bytes > 0 && stats.bytes <= BOUNDS.bytes_max);
    let before = if opener.is_durable() { 0 } else { 2 };
    assert_eq!((stats.hits, stats.misses), (3, 1 + before), "every key is counted");
    assert_eq!(cache.trouble(), None);
}

async fn the_first_answer_stays_until_it_expires(opener: &dyn Opener<dyn VerdictCache>) {
    let mut cache = open(opener, "first").await;
    let last = Timestamp(MORNING.0 + 3_600_000 - 1);
    let over = Timestamp(last.0 + 1);
    cache.put(vec![entry(1, 0.25, MORNING), entry(1, 0.5, MORNING)]).await;
    cache.put(vec![entry(1, 0.75, last)]).await;
    assert_eq!(scores(&*cache, &[1], MORNING).await, [Some(0.25)], "the same question has one answer");
    assert_eq!(scores(&*cache, &[1], last).await, [Some(0.25)]);
    assert_eq!(scores(&*cache, &[1], over).await, [None], "using it did not prolong it");
    assert_eq!(scores(&*cache, &[1], Timestamp(0)).await, [Some(0.25)], "a clock that was set back takes nothing away");
    if opener.is_durable() {
        drop(cache);
        cache = open(opener, "first").await;
        assert_eq!(scores(&*cache, &[1], over).await, [None]);
        assert_eq!(scores(&*cache, &[1], last).await, [Some(0.25)]);
    }
    cache.put(vec![entry(1, 1.0, over)]).await;
    assert_eq!(scores(&*cache, &[1], over).await, [Some(1.0)], "an expired one is replaced");
    assert_eq!(cache.stats().entries, 1);
    cache.put(vec![entry(1, 0.0, Timestamp(over.0 + 1))]).await;
    assert_eq!(scores(&*cache, &[1], over).await, [Some(1.0)]);
}

async fn tenants_are_purged_one_at_a_time(opener: &dyn Opener<dyn VerdictCache>) {
    let mut cache = open(opener, "tenants").await;
    // Names of which one begins with the other, and numbers that alternate.
    let names = ["acme", "acme2"];
    let of = |number: u64| CacheEntry { tenant: tenant(names[(number % 2) as usize]), ..entry(number, 1.0, MORNING) };
    let numbers: Vec<u64> = (0..100).collect();
    cache.put(numbers.iter().copied().map(of).collect()).await;
    assert_eq!(cache.purge(&tenant("nobody")).await.expect("purged"), 0);
    assert_eq!(cache.purge(&tenant("acme")).await.expect("purged"), 50);
    if opener.is_durable() {
        drop(cache);
        cache = open(opener, "tenants").await;
    }
    let expected: Vec<Option<f64>> = numbers.iter().map(|number| (number % 2 == 1).then_some(1.0)).collect();
    assert_eq!(scores(&*cache, &numbers, MORNING).await, expected, "its own, all of them, and nobody else's");
    assert_eq!(cache.stats().entries, 50);
    cache.put(vec![entry(0, 0.5, MORNING)]).await;
    assert_eq!(scores(&*cache, &[0], MORNING).await, [Some(0.5)], "it may be asked again");
    assert_eq!(cache.purge_all().await.expect("purged"), 51);
    assert!(scores(&*cache, &numbers, MORNING).await.iter().all(Option::is_none));
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.bytes, stats.evictions), (0, 0, 0), "forgetting is not evicting");
}

async fn bounds_hold(opener: &dyn Opener<dyn VerdictCache>) {
    let cache = open(opener, "bounds").await;
    let within = || {
        let stats = cache.stats();
        assert!(stats.entries <= BOUNDS.entries_max && stats.bytes <= BOUNDS.bytes_max, "{stats:?}");
        stats
    };
    for number in 0..1_000 {
        cache.put(vec![entry(number, 1.0, MORNING)]).await;
        within();
        assert_eq!(scores(&*cache, &[number], MORNING).await, [Some(1.0)], "there is room for a new one");
    }
    let stats = within();
    assert!(stats.entries >= BOUNDS.entries_max * 9 / 10, "{stats:?}: not much more is evicted than must be");
    assert_eq!(stats.entries + stats.evictions, 1_000);
    for number in 1_000..1_100 {
        let mut long = entry(number, 1.0, MORNING);
        long.verdict.reason = "x".repeat(10_000);
        cache.put(vec![long]).await;
        within();
        assert_eq!(scores(&*cache, &[number], MORNING).await, [Some(1.0)]);
    }
    let stats = within();
    assert!((20..=30).contains(&stats.entries), "{stats:?}: bytes are what is short");
    // More at once than there is room for.
    cache.put((2_000..3_000).map(|number| entry(number, 1.0, MORNING)).collect()).await;
    within();
}

async fn what_cannot_be_given_back_is_passed_over(opener: &dyn Opener<dyn VerdictCache>) {
    let cache = open(opener, "odd").await;
    let mut unsure = entry(3, 1.0, MORNING);
    unsure.verdict.confidence = Some(f64::INFINITY);
    let mut long = entry(4, 1.0, MORNING);
    long.verdict.reason = "x".repeat(CacheEntry::TEXT_BYTES_MAX + 1);
    let mut reused = entry(5, 1.0, MORNING);
    reused.verdict.reused = Some(Reused { kind: ReuseKind::Exact, saved: None });
    let odd = vec![entry(1, f64::NAN, MORNING), entry(2, 1.0, MORNING), unsure, long, reused];
    cache.put(odd).await;
    assert_eq!(scores(&*cache, &[1, 2, 3, 4, 5], MORNING).await, [None, Some(1.0), None, None, None]);
    let stats = cache.stats();
    assert_eq!((stats.entries, stats.failures), (1, 0));
}

async fn callers_at_once_see_one_answer(opener: &dyn Opener<dyn VerdictCache>) {
    let cache = open(opener, "at once").await;
    let callers = (0..8_u32).map(|caller| {
        let cache = cache.clone();
        tokio::spawn(async move {
            let mut seen = Vec::new();
            for number in 0..50 {
                cache.put(vec![entry(number, f64::from(caller) / 8.0, MORNING)]).await;
                seen.push(scores(&*cache, &[number], MORNING).await[0].expect("it was put"));
                tokio::task::yield_now().await;
            }
            seen
        })
    });
    let mut seen = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        seen.push(caller.await.expect("a caller"));
    }
    assert!(seen.iter().all(|scores| *scores == seen[0]), "{seen:?}");
    assert_eq!(cache.stats().entries, 50);
}
