//! What every backend of the batch store must do.

use assize_core::batch::{BatchStore, Lane, Member};
use assize_core::{ProviderName, Timestamp};

use super::Opener;
use crate::samples::{MORNING, drawn, entry, judge, metric};

fn lane(model: &str) -> Lane {
    Lane { provider: ProviderName::new("openai").unwrap(), model: model.to_owned() }
}

fn member(id: &str, model: &str, minutes: i64) -> Member {
    let parked_at = Timestamp(MORNING.0 + minutes * 60_000);
    Member {
        id: id.to_owned(),
        lane: lane(model),
        entry: entry(drawn("p", id, MORNING)),
        judge: judge("gpt-4o"),
        metrics: vec![metric("refusal"), metric("toxicity")],
        parked_at,
        deadline: Timestamp(parked_at.0 + 3_600_000),
        retries: 0,
    }
}

fn ids(members: &[Member]) -> Vec<&str> {
    members.iter().map(|member| member.id.as_str()).collect()
}

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn BatchStore>) {
    let open = async || opener.open("batch").await.expect("the batch store opens");
    let store = open().await;
    assert!(store.waiting().await.unwrap().is_empty() && store.batches().await.unwrap().is_empty());
    let [a, b, c, other] = [member("a", "m", 0), member("b", "m", 1), member("c", "m", 2), member("o", "n", 0)];
    store.park(&[a.clone(), b.clone(), other.clone()]).await.unwrap();
    store.park(&[c.clone(), Member { judge: judge("else"), ..a.clone() }]).await.unwrap();
    assert_eq!(
        store.next(&lane("m"), MORNING, 10, usize::MAX).await.unwrap(),
        [a.clone(), b.clone(), c.clone()],
        "as parked first, oldest first"
    );
    assert_eq!(ids(&store.next(&lane("m"), MORNING, 2, usize::MAX).await.unwrap()), ["a", "b"]);
    assert_eq!(ids(&store.next(&lane("m"), b.deadline, 10, usize::MAX).await.unwrap()), ["b", "c"], "those with time left");
    assert_eq!(ids(&store.next(&lane("m"), MORNING, 10, 1).await.unwrap()), ["a"], "one at the least");
    assert_eq!(ids(&store.members("b9", 10).await.unwrap()), [] as [&str; 0]);
    let waiting = store.waiting().await.unwrap();
    assert_eq!(waiting.iter().map(|w| (w.lane.model.as_str(), w.members)).collect::<Vec<_>>(), [("m", 3), ("n", 1)]);
    assert_eq!(waiting[0].oldest, a.parked_at);

    store.intend("b1", &lane("m"), &["a".to_owned(), "b".to_owned()], MORNING).await.unwrap();
    drop(store);
    let store = open().await;
    let batch = store.batches().await.unwrap().remove(0);
    assert_eq!(
        (batch.marker.as_str(), batch.provider_id.as_deref(), batch.members),
        ("b1", None, 2),
        "an intent outlives a crash"
    );
    assert_eq!((batch.lane, batch.deadline), (lane("m"), a.deadline));
    assert_eq!(store.members("b1", 10).await.unwrap(), [a.clone(), b.clone()]);
    assert_eq!(ids(&store.next(&lane("m"), MORNING, 10, usize::MAX).await.unwrap()), ["c"], "members of a batch are in no other");
    store.intend("b2", &lane("m"), &["b".to_owned(), "c".to_owned()], Timestamp(MORNING.0 + 1)).await.unwrap();
    assert_eq!(ids(&store.members("b1", 10).await.unwrap()), ["a", "b"], "members stay in their batch");
    assert_eq!(ids(&store.members("b2", 10).await.unwrap()), ["c"]);

    store.submitted("b1", "batch_123").await.unwrap();
    assert_eq!(store.batches().await.unwrap()[0].provider_id.as_deref(), Some("batch_123"));
    store.finish(&["a".to_owned(), "nobody".to_owned()]).await.unwrap();
    let parked = async |member: &Member| store.parked(member.entry.row.key, &member.judge).await.unwrap();
    let in_b = [(metric("refusal"), "b".to_owned()), (metric("toxicity"), "b".to_owned())];
    assert_eq!((parked(&a).await, parked(&b).await), (vec![], in_b.to_vec()));
    store.dissolve("b1", None).await.unwrap();
    assert_eq!(ids(&store.next(&lane("m"), MORNING, 10, usize::MAX).await.unwrap()), ["b"], "what was not answered waits again");
    assert_eq!(store.batches().await.unwrap().len(), 1);

    // Deadlines: b's is at 61 minutes, o's at 60; c is in a batch and not due.
    let at = |minutes: i64| Timestamp(MORNING.0 + minutes * 60_000);
    assert_eq!(ids(&store.due(at(61), at(0), 10).await.unwrap()), ["o"]);
    assert_eq!(ids(&store.due(at(62), at(0), 10).await.unwrap()), ["o", "b"]);
    store.put_off("b", None, true).await.unwrap();
    assert_eq!(ids(&store.next(&lane("m"), MORNING, 10, usize::MAX).await.unwrap()), ["b"], "into the next batch");
    store.put_off("b", Some(at(70)), false).await.unwrap();
    assert_eq!(ids(&store.due(at(62), at(70), 10).await.unwrap()), ["o"]);
    let due = store.due(at(62), at(71), 10).await.unwrap();
    assert_eq!((ids(&due), due[1].retries), (vec!["o", "b"], 1));
    assert!(store.next(&lane("m"), MORNING, 10, usize::MAX).await.unwrap().is_empty(), "what is put off goes into no batch");
    store.dissolve("b2", Some(at(5))).await.unwrap();
    assert_eq!(ids(&store.due(at(0), at(6), 10).await.unwrap()), ["c"], "a batch that was refused is asked for outside");
    assert!(store.batches().await.unwrap().is_empty());
    drop(store);
    a_metric_is_parked_once(opener).await;
}

/// Whatever its mates, and while it is in a batch.
async fn a_metric_is_parked_once(opener: &dyn Opener<dyn BatchStore>) {
    let store = opener.open("metrics").await.expect("the batch store opens");
    let first = member("first", "m", 0);
    store.park(std::slice::from_ref(&first)).await.unwrap();
    store.intend("b1", &lane("m"), &["first".to_owned()], MORNING).await.unwrap();
    let of = |id: &str, metrics: &[&str]| {
        let metrics = metrics.iter().map(|name| metric(name)).collect();
        Member { id: id.to_owned(), metrics, ..first.clone() }
    };
    let elsewhere = Member { judge: judge("else"), ..of("elsewhere", &["refusal"]) };
    store
        .park(&[of("fewer", &["toxicity"]), of("more", &["quality", "toxicity"]), of("same", &["quality"]), elsewhere])
        .await
        .unwrap();
    let waiting = store.next(&lane("m"), MORNING, 10, usize::MAX).await.unwrap();
    let metrics: Vec<_> = waiting.iter().map(|one| (one.id.as_str(), one.metrics.clone())).collect();
    assert_eq!(metrics, [("more", vec![metric("quality")]), ("elsewhere", vec![metric("refusal")])]);
    let parked = store.parked(first.entry.row.key, &first.judge).await.unwrap();
    let wanted = [("refusal", "first"), ("toxicity", "first"), ("quality", "more")];
    assert_eq!(parked, wanted.map(|(name, id)| (metric(name), id.to_owned())));
    store.finish(&["first".to_owned()]).await.unwrap();
    store.park(&[of("again", &["refusal", "quality"])]).await.unwrap();
    assert_eq!(store.parked(first.entry.row.key, &first.judge).await.unwrap()[1], (metric("refusal"), "again".to_owned()));
}
