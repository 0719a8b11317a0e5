use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream::{self, StreamExt};

use super::*;

const LATENCY: Duration = Duration::from_millis(200);

fn failure(kind: CallFailureKind) -> CallFailure {
    CallFailure::new(kind, "told to fail")
}

/// One call that ends after `latency` with `kind` of failure, or with none: what came back is an answer without questions.
async fn call(gate: &Gate, latency: Duration, kind: Option<CallFailureKind>) -> Result<(), CallFailure> {
    let slot = gate.turn().await?;
    slot.attempt(1, async {
        sleep(latency).await;
        kind.map(|kind| Err(failure(kind))).into_iter().collect()
    })
    .await;
    Ok(())
}

/// The breaker opened by calls that fail so.
async fn open(gate: &Gate, kind: CallFailureKind) {
    while gate.snapshot().breaker == Position::Closed {
        call(gate, Duration::from_millis(1), Some(kind)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_healthy_provider_is_kept_busy() {
    let gate = Gate::new(100, 3);
    let (open, peak) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begun = Instant::now();
    // As many in hand as `eval` has.
    let calls = stream::iter(0..2_000).map(|_| async {
        let slot = gate.turn().await.unwrap();
        peak.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        slot.attempt(1, async {
            sleep(LATENCY).await;
            open.fetch_sub(1, Ordering::Relaxed);
            Vec::new()
        })
        .await;
    });
    calls.buffer_unordered(126).for_each(async |()| {}).await;
    assert_eq!(peak.load(Ordering::Relaxed), 100);
    let wall = begun.elapsed().as_secs_f64() / 4.0;
    assert!(wall < 1.11, "{wall} times the ideal");
    let snapshot = gate.snapshot();
    assert_eq!((snapshot.limit, snapshot.in_use, snapshot.waiting, snapshot.turned_away), (100, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn several_metrics_of_an_item_in_hand_are_no_crowd() {
    let gate = Gate::new(100, 3);
    let calls = stream::iter(0..2_000).map(|_| call(&gate, LATENCY, None));
    // Three metrics of 126 items.
    assert!(calls.buffer_unordered(378).all(async |called| called.is_ok()).await, "somebody was turned away");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_past_its_deadline_holds_no_slot() {
    let gate = Gate::new(1, 3).timeout(Duration::from_secs(30));
    let begun = Instant::now();
    let results = gate.turn().await.unwrap().attempt(3, std::future::pending()).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(32));
    let kinds: Vec<CallFailureKind> = results.into_iter().map(|result| result.unwrap_err().kind).collect();
    assert_eq!(kinds, [CallFailureKind::Timeout; 3]);
    assert_eq!(gate.snapshot().in_use, 0);
    assert!(gate.turn().await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_keeps_few_places() {
    let gate = Gate::new(100, 3);
    let begun = Instant::now();
    // All 256 places of the pipeline, and whoever is sent away comes again at once.
    let items = stream::iter(0..256).map(async |_| {
        while begun.elapsed() < Duration::from_secs(30) {
            match gate.turn().await {
                Ok(slot) => drop(slot.attempt(1, std::future::pending()).await),
                Err(failure) => sleep(failure.retry_after.unwrap()).await,
            }
        }
    });
    let look = async {
        sleep(WAIT_IN_HAND_MAX + Duration::from_millis(1)).await;
        for _ in 0..20 {
            let snapshot = gate.snapshot();
            let held = snapshot.in_use + snapshot.waiting;
            assert!(held <= 25 + 26, "{snapshot:?}");
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = look => {}
        () = items.buffer_unordered(256).for_each(async |()| {}) => panic!("they hang"),
    }
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_leave_when_the_breaker_opens_and_come_back_apart() {
    let gate = Gate::new(4, 3);
    let holder = gate.turn().await.unwrap();
    let waiting = async {
        let turns = (0..20).map(|_| gate.turn());
        let begun = Instant::now();
        let ended = futures::future::join_all(turns).await;
        assert!(begun.elapsed() < Duration::from_millis(50), "{:?}", begun.elapsed());
        ended.into_iter().map(|turn| turn.err().unwrap()).collect::<Vec<_>>()
    };
    let outage = async {
        sleep(Duration::from_millis(10)).await;
        // The one slot is taken, so the answers are those of calls from before.
        let mut state = gate.state();
        let (pass, round) = (state.begin(Instant::now()).unwrap(), state.limiter.round());
        for _ in 0..10 {
            state.observe(pass, round, LATENCY, Some(&failure(CallFailureKind::Network)), Instant::now());
        }
        state.in_use -= 1;
        drop(state);
        gate.opened.notify_waiters();
    };
    let (failures, ()) = futures::join!(waiting, outage);
    drop(holder);
    assert_eq!(failures.len(), 20);
    let mut waits: Vec<Duration> = failures.iter().map(|failure| failure.retry_after.unwrap()).collect();
    assert!(failures.iter().all(|failure| failure.kind.is_retryable()));
    assert!(waits.iter().all(|wait| *wait >= Duration::from_secs(1)), "{waits:?}");
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 20, "they come back one by one: {waits:?}");
    let snapshot = gate.snapshot();
    assert_eq!((snapshot.waiting, snapshot.in_use, snapshot.breaker), (0, 0, Position::Open));
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_an_hour_costs_few_calls_and_ends_soon_after() {
    let gate = Gate::new(100, 3);
    let begun = Instant::now();
    let outage = Duration::from_secs(3_600);
    let calls = AtomicUsize::new(0);
    // Items that want a verdict and come back when they are told to.
    let items = stream::iter(0..300).map(async |_| {
        loop {
            match gate.turn().await {
                Ok(slot) => {
                    calls.fetch_add(1, Ordering::Relaxed);
                    let down = begun.elapsed() < outage;
                    let fails = down.then(|| Err(failure(CallFailureKind::Unavailable)));
                    slot.attempt(1, async { fails.into_iter().collect() }).await;
                    if !down {
                        return begun.elapsed();
                    }
                }
                Err(failure) => sleep(failure.retry_after.unwrap()).await,
            }
        }
    });
    let last = items.buffer_unordered(300).fold(Duration::ZERO, async |last, at| last.max(at)).await;
    let calls = calls.into_inner() - 300;
    assert!(calls < 300, "{calls} calls during the outage");
    assert!(last < outage + Duration::from_secs(300), "the last one after {last:?}");
    assert_eq!(gate.snapshot().breaker, Position::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_taken_again_ends_the_wait() {
    let gate = Gate::new(10, 3);
    assert!(!gate.may_pass(CallFailureKind::Unauthorized));
    open(&gate, CallFailureKind::Unauthorized).await;
    assert!(gate.may_pass(CallFailureKind::Unauthorized));
    let wait = gate.turn().await.err().unwrap().retry_after.unwrap();
    sleep(wait).await;
    let probe = gate.turn().await.unwrap();
    assert!(gate.turn().await.is_err(), "one probe at a time");
    // Nobody waits for its answer any more: the next may probe.
    drop(probe);
    call(&gate, LATENCY, None).await.unwrap();
    assert_eq!(gate.snapshot().breaker, Position::Closed);
    assert!(!gate.may_pass(CallFailureKind::Unauthorized));
    assert_eq!(gate.snapshot().openings, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_breaker_calls_go_through_whatever_came_before() {
    let gate = Gate::new(10, 3).without_breaker();
    for kind in [CallFailureKind::Unauthorized, CallFailureKind::Network] {
        for _ in 0..100 {
            call(&gate, Duration::from_millis(1), Some(kind)).await.unwrap();
        }
    }
    assert_eq!(gate.snapshot().limit, 1);
}

#[tokio::test(start_paused = true)]
async fn calls_keep_the_pace_of_the_headers() {
    let headroom = Arc::new(Headroom::default());
    let gate = Gate::new(40, 3).headroom(Some(Arc::clone(&headroom)));
    let fields = [("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset-requests", "10s")];
    let headers = fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
    headroom.note(&headers, assize_core::Timestamp(0), Instant::now().into_std());
    let begun = Instant::now();
    let turns = (0..10).map(async |_| gate.turn().await.map(|slot| (begun.elapsed(), drop(slot)).0));
    let ended = futures::future::join_all(turns).await;
    let seconds: Vec<u64> = ended.iter().filter_map(|turn| turn.as_ref().ok()).map(Duration::as_secs).collect();
    assert_eq!(seconds, [0, 2, 4]);
    for failure in ended.into_iter().filter_map(Result::err) {
        assert!(failure.retry_after.unwrap() > WAIT_IN_HAND_MAX, "{failure:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pause_holds_everybody_and_no_slot() {
    let gate = Gate::new(4, 3);
    let limited = |seconds| {
        let retry_after = Some(Duration::from_secs(seconds));
        CallFailure { retry_after, headroom_gone: true, ..failure(CallFailureKind::RateLimited) }
    };
    gate.turn().await.unwrap().attempt(1, async { vec![Err(limited(2))] }).await;
    let begun = Instant::now();
    call(&gate, LATENCY, None).await.unwrap();
    assert!((2_200..2_700).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    gate.turn().await.unwrap().attempt(1, async { vec![Err(limited(60))] }).await;
    let wait = gate.turn().await.err().unwrap().retry_after.unwrap();
    assert!((60..=76).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(gate.snapshot().in_use, 0);
}

#[tokio::test(start_paused = true)]
async fn turns_that_nobody_waits_for_leave_nothing_behind() {
    let gate = Gate::new(2, 3);
    let held = gate.turn().await.unwrap();
    for _ in 0..50 {
        let _ = timeout_at(Instant::now() + Duration::from_millis(10), gate.turn()).await;
    }
    {
        let attempt = held.attempt(1, std::future::pending());
        let _ = timeout_at(Instant::now() + Duration::from_millis(10), attempt).await;
    }
    let snapshot = gate.snapshot();
    assert_eq!((snapshot.in_use, snapshot.waiting), (0, 0));
    assert!(gate.turn().await.is_ok());
}
