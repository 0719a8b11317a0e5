use std::time::Duration;

use assize_testkit::samples::{self, MORNING};

use super::*;

fn entry(key: u64, tenant: &str, at: Timestamp) -> CacheEntry {
    CacheEntry {
        key: CacheKey(*blake3::hash(&key.to_le_bytes()).as_bytes()),
        tenant: TenantName::new(tenant).unwrap(),
        metric: samples::metric("refusal"),
        verdict: samples::verdict("gpt-4o", 1.0),
        at,
    }
}

fn count(directory: &Path, sql: &str) -> u64 {
    let connection = Connection::open(directory.join("cache.db")).unwrap();
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
}

async fn opened(directory: &Path, bounds: CacheBounds) -> SqliteCache {
    SqliteCache::open(directory, bounds).await.unwrap()
}

#[tokio::test]
async fn the_file_is_cut_off_at_its_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let cache = opened(directory.path(), CacheBounds { entries_max: 1_000, ..CacheBounds::default() }).await;
    for batch in 0..30_u64 {
        cache.put((batch * 100..(batch + 1) * 100).map(|key| entry(key, "t", MORNING)).collect()).await;
        assert!(cache.stats().entries <= 1_000);
    }
    let stats = cache.stats();
    assert_eq!(stats.entries + stats.evictions, 3_000);
    assert!(stats.entries > 980, "no more than the slack is given away");
    let path = directory.path();
    assert_eq!(count(path, "SELECT count(*) FROM verdict"), stats.entries);
    let oldest = 3_000 - stats.entries;
    let key = entry(oldest, "t", MORNING).key;
    let first = Connection::open(path.join("cache.db")).unwrap();
    let first: [u8; 32] = first.query_row("SELECT key FROM verdict ORDER BY seq LIMIT 1", [], |row| row.get(0)).unwrap();
    assert_eq!(CacheKey(first), key, "the last ones stayed");
    let bytes = count(path, "SELECT sum(length(body)) FROM verdict");
    assert_eq!(stats.bytes, bytes + stats.entries * rows::ROW_OVERHEAD_BYTES);
}

#[tokio::test]
async fn expired_rows_are_cleared_away_by_what_comes_after() {
    let directory = tempfile::tempdir().unwrap();
    let bounds = CacheBounds { ttl: Duration::from_secs(60), ..CacheBounds::default() };
    let cache = opened(directory.path(), bounds).await;
    cache.put((0..2_500).map(|key| entry(key, "t", MORNING)).collect()).await;
    let later = MORNING.plus(bounds.ttl);
    let mut left = 2_500;
    for key in 0..40 {
        cache.put(vec![entry(10_000 + key, "t", later)]).await;
        left -= 66.min(left);
        assert_eq!(cache.stats().entries, left + key + 1, "a put clears a bounded number");
    }
    assert_eq!((left, cache.stats().evictions), (0, 0), "what is expired was not evicted");
}

#[tokio::test]
async fn a_replaced_entry_moves_to_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let bounds = CacheBounds { entries_max: 3, ttl: Duration::from_secs(60), ..CacheBounds::default() };
    let cache = opened(directory.path(), bounds).await;
    // The other one has a later time, so that the beginning of the file is not expired when the first is put again.
    let later = MORNING.plus(Duration::from_secs(59));
    cache.put(vec![entry(2, "t", later), entry(1, "t", MORNING)]).await;
    cache.put(vec![entry(1, "t", MORNING.plus(bounds.ttl))]).await;
    assert_eq!(cache.stats().entries, 2);
    cache.put(vec![entry(3, "t", later), entry(4, "t", later)]).await;
    drop(cache);
    let cache = opened(directory.path(), bounds).await;
    let keys = [1, 2, 3, 4].map(|key| entry(key, "t", later).key);
    let found = cache.get(&keys, later).await;
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, true, true]);
}

#[tokio::test]
async fn looking_up_uses_the_index_and_purging_the_tenants() {
    let directory = tempfile::tempdir().unwrap();
    let cache = opened(directory.path(), CacheBounds::default()).await;
    cache.put((0..100).map(|key| entry(key, "t", MORNING)).collect()).await;
    let connection = Connection::open(directory.path().join("cache.db")).unwrap();
    for sql in [
        "SELECT at FROM verdict WHERE key = x'00'",
        "SELECT seq FROM verdict WHERE tenant = 1 AND seq <= 9 ORDER BY seq LIMIT 9",
        "DELETE FROM verdict WHERE seq <= 9",
    ] {
        let plan: String = connection.query_row(&format!("EXPLAIN QUERY PLAN {sql}"), [], |row| row.get(3)).unwrap();
        assert!(plan.starts_with("SEARCH") && !plan.contains("SCAN"), "{sql}: {plan}");
    }
}

#[tokio::test]
async fn a_large_tenant_is_purged_whole_and_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let cache = opened(directory.path(), CacheBounds::default()).await;
    let tenant_of = |key: u64| if key.is_multiple_of(2) { "even" } else { "odd" };
    cache.put((0..5_001).map(|key| entry(key, tenant_of(key), MORNING)).collect()).await;
    assert_eq!(cache.purge(&TenantName::new("even").unwrap()).await.unwrap(), 2_501);
    assert_eq!(cache.purge(&TenantName::new("even").unwrap()).await.unwrap(), 0);
    let keys: Vec<CacheKey> = (0..5_001).map(|key| entry(key, "t", MORNING).key).collect();
    let found = cache.get(&keys, MORNING).await;
    assert!((0..5_001).zip(&found).all(|(key, found)| found.is_some() == (tenant_of(key) == "odd")));
    let path = directory.path();
    assert_eq!(count(path, "SELECT count(*) FROM verdict"), 2_500);
    assert_eq!(cache.stats().entries, 2_500);
    assert_eq!(cache.purge_all().await.unwrap(), 2_500);
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
    assert!(cache.get(&keys, MORNING).await.iter().all(Option::is_none));
}

#[tokio::test]
async fn damage_that_shows_while_open_stops_nobody_and_is_gone_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    let cache = opened(directory.path(), CacheBounds::default()).await;
    cache.put((0..2_000).map(|key| entry(key, "t", MORNING)).collect()).await;
    drop(cache);
    // All pages but the first and the ends of the tables: found neither by opening nor by the look at both ends.
    let (mut bytes, page) = (std::fs::read(&path).unwrap(), 4096);
    let root = count(directory.path(), "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_verdict_1'");
    let root = usize::try_from(root).unwrap();
    bytes[(root - 1) * page..root * page].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();

    let cache = opened(directory.path(), CacheBounds::default()).await;
    assert_eq!(cache.trouble(), None);
    assert_eq!(cache.get(&[entry(1, "t", MORNING).key], MORNING).await, [None]);
    let trouble = cache.trouble().unwrap();
    assert!(trouble.contains("cache.db") && trouble.contains("damaged") && trouble.contains("restart"), "{trouble}");
    assert_eq!(cache.trouble(), None, "told once");
    cache.put(vec![entry(1, "t", MORNING)]).await;
    assert!(cache.get(&[entry(1, "t", MORNING).key], MORNING).await[0].is_some(), "memory goes on");
    let error = cache.purge(&TenantName::new("t").unwrap()).await.unwrap_err();
    assert!(error.message.contains("purge again"), "{error}");
    assert_eq!(cache.get(&[entry(1, "t", MORNING).key], MORNING).await, [None], "what can be forgotten is");
    drop(cache);

    let cache = opened(directory.path(), CacheBounds::default()).await;
    let trouble = cache.trouble().unwrap();
    assert!(trouble.contains("cache.damaged.db"), "{trouble}");
    assert_eq!(std::fs::read(directory.path().join("cache.damaged.db")).unwrap().len(), bytes.len());
    cache.put(vec![entry(1, "t", MORNING)]).await;
    assert_eq!(cache.stats().entries, 1);
    assert_eq!(cache.purge(&TenantName::new("t").unwrap()).await.unwrap(), 1);
    assert!(!directory.path().join("cache.damaged.db").exists(), "it may hold what is to be forgotten");
    drop(cache);
    assert_eq!(opened(directory.path(), CacheBounds::default()).await.trouble(), None, "the mark is gone");
}

#[tokio::test]
async fn a_verdict_that_cannot_be_read_is_a_miss() {
    let directory = tempfile::tempdir().unwrap();
    let cache = opened(directory.path(), CacheBounds::default()).await;
    cache.put(vec![entry(1, "t", MORNING), entry(2, "t", MORNING)]).await;
    drop(cache);
    let change = Connection::open(directory.path().join("cache.db")).unwrap();
    change.execute("UPDATE verdict SET body = x'7b' WHERE seq = 1", []).unwrap();
    drop(change);
    let cache = opened(directory.path(), CacheBounds::default()).await;
    let found = cache.get(&[1, 2].map(|key| entry(key, "t", MORNING).key), MORNING).await;
    assert!(found[0].is_none() && found[1].is_some());
    assert_eq!(cache.stats().failures, 1);
    assert!(cache.trouble().unwrap().contains("a verdict"));
}
