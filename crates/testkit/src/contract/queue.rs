//! What every queue must do.

use std::sync::Arc;
use std::time::Duration;

use assize_core::queue::{Depth, Enqueued, Entry, Leased, Offset, Queue, Receipt, Settlement};
use assize_core::{Accepted, Reason, Timestamp};

use super::Opener;
use crate::samples::{MORNING, drawn, entry, row};

const LEASE: Duration = Duration::from_secs(60);
const ALL: Offset = Offset(u64::MAX);

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Queue>) {
    offsets_grow_and_duplicates_are_told(opener).await;
    folding_frees_what_is_not_drawn(opener).await;
    a_lease_is_exclusive_and_expires(opener).await;
    leases_stop_at_the_bound_and_come_oldest_first(opener).await;
    settlements_end_leases(opener).await;
    done_before_folded_stays_for_the_fold(opener).await;
    keys_are_forgotten(opener).await;
    many_callers_at_once(opener).await;
    if opener.is_durable() {
        everything_survives_a_restart(opener).await;
    }
}

async fn open(opener: &dyn Opener<dyn Queue>, data: &str) -> Arc<dyn Queue> {
    opener.open(data).await.expect("the queue opens")
}

async fn enqueue(queue: &dyn Queue, rows: &[Accepted]) -> Vec<Enqueued> {
    queue.enqueue(rows.iter().cloned().map(entry).collect()).await.expect("enqueued")
}

async fn log(queue: &dyn Queue, after: u64) -> Vec<(u64, Entry)> {
    let entries = queue.accepted_after(Offset(after), 1_000_000).await.expect("read");
    entries.into_iter().map(|(offset, entry)| (offset.0, entry)).collect()
}

async fn lease(queue: &dyn Queue, now: Timestamp) -> Vec<Leased> {
    queue.lease(1_000, ALL, now, LEASE).await.expect("leased")
}

async fn settle(queue: &dyn Queue, settlement: Settlement) {
    queue.settle(vec![settlement]).await.expect("settled");
}

async fn depth(queue: &dyn Queue, now: Timestamp) -> Depth {
    queue.depth(now).await.expect("depth")
}

fn reason() -> Reason {
    Reason::new("timeout", "the judge did not answer")
}

fn after(seconds: u64) -> Timestamp {
    MORNING.plus(Duration::from_secs(seconds))
}

async fn offsets_grow_and_duplicates_are_told(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "duplicates").await;
    assert_eq!(queue.enqueue(Vec::new()).await.expect("nothing is fine"), Vec::new());
    let (a, b, c) = (row("p", "a", MORNING), drawn("p", "b", MORNING), row("p", "c", MORNING));
    use Enqueued::{Accepted, Duplicate};
    assert_eq!(enqueue(&*queue, &[a.clone(), b.clone(), a.clone()]).await, [Accepted, Accepted, Duplicate]);
    // A duplicate changes nothing, even if it would be drawn now.
    let redrawn = drawn("p", "a", after(5));
    assert_eq!(enqueue(&*queue, &[redrawn, c.clone(), row("q", "a", MORNING)]).await, [Duplicate, Accepted, Accepted]);
    let entries = log(&*queue, 0).await;
    assert_eq!(entries.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(entries[0].1, entry(a));
    assert_eq!(entries[1].1, entry(b));
    assert_eq!(entries[2].1, entry(c));
    assert_eq!(entries[3].1.row.project.as_str(), "q");
    let some = queue.accepted_after(Offset(1), 2).await.expect("read");
    assert_eq!(some.iter().map(|(offset, _)| offset.0).collect::<Vec<_>>(), [2, 3]);
    let reserve = Entry { payload: Some(b"kept".to_vec()), row: row("p", "reserve", MORNING) };
    queue.enqueue(vec![reserve.clone()]).await.expect("enqueued");
    assert_eq!(log(&*queue, 4).await, [(5, reserve)]);
}

async fn folding_frees_what_is_not_drawn(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "folding").await;
    enqueue(&*queue, &[row("p", "a", MORNING), drawn("p", "b", MORNING), row("p", "c", MORNING)]).await;
    queue.folded(Offset(2)).await.expect("folded");
    queue.folded(Offset(1)).await.expect("an older offset changes nothing");
    assert_eq!(log(&*queue, 2).await.len(), 1);
    let leased = lease(&*queue, MORNING).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].entry, entry(drawn("p", "b", MORNING)), "what is drawn is kept with its payload");
    settle(&*queue, Settlement::Done(leased[0].receipt)).await;
    queue.folded(Offset(3)).await.expect("folded");
    assert!(log(&*queue, 0).await.is_empty());
    // Offsets are never given twice, whatever was deleted.
    enqueue(&*queue, &[row("p", "d", MORNING)]).await;
    assert_eq!(log(&*queue, 0).await[0].0, 4);
}

async fn a_lease_is_exclusive_and_expires(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "leases").await;
    enqueue(&*queue, &[drawn("p", "a", MORNING)]).await;
    let first = lease(&*queue, MORNING).await[0].receipt;
    assert_eq!(first.offset, Offset(1));
    assert!(lease(&*queue, after(59)).await.is_empty());
    assert_eq!(depth(&*queue, after(59)).await, Depth { leased: 1, oldest: Some(MORNING), ..Depth::default() });
    assert_eq!(depth(&*queue, after(60)).await, Depth { ready: 1, oldest: Some(MORNING), ..Depth::default() });
    let again = lease(&*queue, after(60)).await;
    assert_eq!(again.len(), 1);
    assert_ne!(again[0].receipt.delivery, first.delivery);
    assert_eq!(again[0].retries, 0, "an expired lease is not a retry that somebody asked for");
    // The first receipt is void now, whatever is asked with it.
    for void in [
        Settlement::Done(first),
        Settlement::Retry { receipt: first, not_before: MORNING, reason: reason(), tried: true },
        Settlement::Dead { receipt: first, reason: reason() },
    ] {
        settle(&*queue, void).await;
        assert_eq!(depth(&*queue, after(61)).await.leased, 1);
    }
    settle(&*queue, Settlement::Done(again[0].receipt)).await;
    assert_eq!(depth(&*queue, after(61)).await, Depth::default());
    // An expired lease that nobody else was given still counts.
    enqueue(&*queue, &[drawn("p", "b", MORNING)]).await;
    let late = lease(&*queue, MORNING).await[0].receipt;
    settle(&*queue, Settlement::Done(late)).await;
    assert!(lease(&*queue, after(1000)).await.is_empty());
}

async fn leases_stop_at_the_bound_and_come_oldest_first(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "bounds").await;
    let rows: Vec<Accepted> = (0..6).map(|i| drawn("p", &i.to_string(), after(i))).collect();
    enqueue(&*queue, &rows).await;
    let offsets = |leased: &[Leased]| leased.iter().map(|item| item.receipt.offset.0).collect::<Vec<_>>();
    assert!(queue.lease(10, Offset(0), MORNING, LEASE).await.expect("leased").is_empty());
    let first = queue.lease(2, Offset(3), MORNING, LEASE).await.expect("leased");
    assert_eq!(offsets(&first), [1, 2]);
    assert_eq!(offsets(&queue.lease(10, Offset(3), MORNING, LEASE).await.expect("leased")), [3]);
    settle(&*queue, Settlement::Retry { receipt: first[0].receipt, not_before: after(10), reason: reason(), tried: true }).await;
    // The retried item is older than those that were never leased: it comes first, once its time has come.
    assert_eq!(offsets(&queue.lease(1, ALL, after(9), LEASE).await.expect("leased")), [4]);
    assert_eq!(offsets(&queue.lease(2, ALL, after(10), LEASE).await.expect("leased")), [1, 5]);
    assert!(queue.lease(0, ALL, after(10), LEASE).await.expect("leased").is_empty());
}

async fn settlements_end_leases(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "settlements").await;
    enqueue(&*queue, &[drawn("p", "a", MORNING), drawn("p", "b", after(1)), drawn("p", "c", after(2))]).await;
    assert_eq!(depth(&*queue, MORNING).await, Depth { ready: 3, oldest: Some(MORNING), ..Depth::default() });
    let receipts: Vec<Receipt> = lease(&*queue, MORNING).await.iter().map(|item| item.receipt).collect();
    let settlements = vec![
        Settlement::Done(receipts[0]),
        Settlement::Retry { receipt: receipts[1], not_before: after(30), reason: reason(), tried: true },
        Settlement::Dead { receipt: receipts[2], reason: reason() },
    ];
    queue.settle(settlements.clone()).await.expect("settled");
    let expected = Depth { delayed: 1, dead: 1, oldest: Some(after(1)), ..Depth::default() };
    assert_eq!(depth(&*queue, after(29)).await, expected);
    queue.settle(settlements).await.expect("receipts that were used are void");
    assert_eq!(depth(&*queue, after(29)).await, expected);
    assert!(lease(&*queue, after(29)).await.is_empty());
    assert_eq!(depth(&*queue, after(30)).await, Depth { ready: 1, dead: 1, oldest: Some(after(1)), ..Depth::default() });
    let again = lease(&*queue, after(30)).await;
    assert_eq!((again.len(), again[0].retries), (1, 1));
    assert_eq!(again[0].entry, entry(drawn("p", "b", after(1))));
    settle(&*queue, Settlement::Done(again[0].receipt)).await;
    assert_eq!(depth(&*queue, after(30)).await, Depth { dead: 1, ..Depth::default() });
}

async fn done_before_folded_stays_for_the_fold(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "early").await;
    enqueue(&*queue, &[drawn("p", "a", MORNING)]).await;
    let leased = lease(&*queue, MORNING).await;
    settle(&*queue, Settlement::Done(leased[0].receipt)).await;
    assert_eq!(log(&*queue, 0).await.len(), 1, "the results have not seen it yet");
    queue.folded(Offset(1)).await.expect("folded");
    assert!(log(&*queue, 0).await.is_empty());
}

async fn keys_are_forgotten(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "forgetting").await;
    let rows: Vec<Accepted> = (0..10_000).map(|i| row("p", &i.to_string(), after(i % 10))).collect();
    for rows in rows.chunks(1_000) {
        enqueue(&*queue, rows).await;
        queue.folded(Offset(log(&*queue, 0).await.last().expect("some").0)).await.expect("folded");
    }
    assert_eq!(queue.forget_before(after(3)).await.expect("forgotten"), 3_000);
    assert_eq!(queue.forget_before(after(3)).await.expect("forgotten"), 0);
    let answers = enqueue(&*queue, &rows[..10]).await;
    assert!(answers[..3].iter().all(|answer| *answer == Enqueued::Accepted));
    assert!(answers[3..].iter().all(|answer| *answer == Enqueued::Duplicate));
}

async fn many_callers_at_once(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "crowd").await;
    let callers: Vec<_> = (0..16)
        .map(|caller| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut accepted = 0;
                for batch in 0..4 {
                    // Every second caller sends what its neighbour sends.
                    let rows: Vec<_> = (0..5).map(|i| drawn("p", &format!("{}-{batch}-{i}", caller / 2), MORNING)).collect();
                    let answers = enqueue(&*queue, &rows).await;
                    accepted += answers.iter().filter(|answer| **answer == Enqueued::Accepted).count();
                }
                accepted
            })
        })
        .collect();
    let mut accepted = 0;
    for caller in callers {
        accepted += caller.await.expect("no panic");
    }
    assert_eq!(accepted, 8 * 4 * 5);
    let entries = log(&*queue, 0).await;
    assert_eq!(entries.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (1..=160).collect::<Vec<_>>());
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                let mut receipts = Vec::new();
                loop {
                    let leased = queue.lease(7, ALL, MORNING, LEASE).await.expect("leased");
                    if leased.is_empty() {
                        return receipts;
                    }
                    receipts.extend(leased.iter().map(|item| item.receipt));
                }
            })
        })
        .collect();
    let mut receipts = Vec::new();
    for worker in workers {
        receipts.extend(worker.await.expect("no panic"));
    }
    receipts.sort_unstable();
    receipts.dedup_by_key(|receipt| receipt.offset);
    assert_eq!(receipts.len(), 160, "every item was leased once");
    queue.settle(receipts.into_iter().map(Settlement::Done).collect()).await.expect("settled");
    assert_eq!(depth(&*queue, MORNING).await, Depth::default());
}

async fn everything_survives_a_restart(opener: &dyn Opener<dyn Queue>) {
    let queue = open(opener, "restart").await;
    let rows = ["a", "b", "c", "d"].map(|id| drawn("p", id, MORNING));
    enqueue(&*queue, &rows).await;
    enqueue(&*queue, &[row("p", "e", MORNING)]).await;
    queue.folded(Offset(5)).await.expect("folded");
    let leased = queue.lease(3, ALL, MORNING, LEASE).await.expect("leased");
    settle(&*queue, Settlement::Done(leased[0].receipt)).await;
    settle(&*queue, Settlement::Retry { receipt: leased[1].receipt, not_before: after(10), reason: reason(), tried: true }).await;
    let before = depth(&*queue, after(5)).await;
    assert_eq!(before, Depth { ready: 1, delayed: 1, leased: 1, dead: 0, oldest: Some(MORNING) });
    drop(queue);

    let queue = open(opener, "restart").await;
    // The holder of the lease is gone, and what it had in hand is there to be had; what was told to wait still waits.
    assert_eq!(depth(&*queue, after(5)).await, Depth { ready: 2, leased: 0, ..before });
    assert_eq!(enqueue(&*queue, &rows).await, [Enqueued::Duplicate; 4]);
    assert!(log(&*queue, 5).await.is_empty());
    let again = lease(&*queue, after(10)).await;
    assert_eq!(again.iter().map(|item| (item.receipt.offset.0, item.retries)).collect::<Vec<_>>(), [(2, 1), (3, 0), (4, 0)]);
    assert_eq!(again[0].entry, entry(rows[1].clone()));
    let receipt = again[1].receipt;
    assert_eq!(receipt.delivery, leased[2].receipt.delivery + 1, "it is known that it was delivered before");
    settle(&*queue, Settlement::Done(leased[2].receipt)).await;
    assert_eq!(depth(&*queue, after(10)).await.leased, 3, "the old lease is void");
    settle(&*queue, Settlement::Done(receipt)).await;
    assert_eq!(depth(&*queue, after(10)).await.leased, 2);
    enqueue(&*queue, &[row("p", "f", MORNING)]).await;
    assert_eq!(log(&*queue, 5).await[0].0, 6, "offsets go on");
}
