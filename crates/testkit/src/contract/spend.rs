//! What every results store must keep of what calls were made for, what they would have cost, and how much came in by the hour.

use std::collections::BTreeMap;

use assize_core::results::{Results, Spend, SpendBy};
use assize_core::{AskedAs, CallRecord, CallStatus, DecisionState, ListCost, NanoUsd, Scored, Timestamp};

use super::Opener;
use super::results::{after, entries};
use crate::samples::{MORNING, call, decision, judged, project, row_of};

const EVER: (Timestamp, Timestamp) = (Timestamp(i64::MIN), Timestamp(i64::MAX));

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Results>) {
    places_and_list_costs_are_kept(opener).await;
    what_came_in_is_counted_by_hour(opener).await;
}

async fn places_and_list_costs_are_kept(opener: &dyn Opener<dyn Results>) {
    let results = opener.open("places").await.expect("results open");
    let row = row_of("p", "a", MORNING, vec![decision("refusal", None, 1.0, DecisionState::Drawn)]);
    results.fold(&entries(1, std::slice::from_ref(&row))).await.expect("folded");
    let of = |id: &str, asked_as, status, cost, list: Option<(u64, u64)>| CallRecord {
        asked_as,
        status,
        cost: Some(NanoUsd(cost)),
        list: list.map(|(live, uncached)| ListCost { live: NanoUsd(live), uncached: NanoUsd(uncached) }),
        ..call(id, after(1))
    };
    let calls = vec![
        of("a", AskedAs::Cheaper, CallStatus::Answered, 2, Some((2, 3))),
        of("b", AskedAs::Reference, CallStatus::Failed, 50, Some((100, 110))),
        of("c", AskedAs::Reference, CallStatus::Answered, 60, Some((120, 150))),
        of("d", AskedAs::Unknown, CallStatus::Answered, 7, None),
    ];
    let scored = Scored { calls: calls.clone(), ..judged(&row, "refusal", 1.0) };
    for _ in 0..2 {
        results.record(std::slice::from_ref(&scored)).await.expect("recorded");
    }
    let found = results.interaction(&project("p"), &row.id).await.expect("read").expect("on record");
    assert_eq!(found.metrics[0].calls, calls);
    let places = results.spend_by_place(&project("p"), EVER.0, EVER.1).await.expect("spend");
    let amounts = |spend: &Spend| (spend.cost.0, spend.live.0, spend.uncached.0, spend.listed, spend.uncached_listed.0);
    let of = |asked_as| amounts(&places[&("refusal".to_owned(), asked_as)]);
    assert_eq!(places.len(), 3);
    assert_eq!(of(AskedAs::Cheaper), (2, 2, 3, 1, 3));
    assert_eq!(of(AskedAs::Reference), (110, 220, 260, 1, 150), "what failed is in no mean");
    assert_eq!(of(AskedAs::Unknown), (7, 7, 7, 0, 0));
    let tiers = results.spend(&project("p"), EVER.0, EVER.1, SpendBy::AskedAs).await.expect("spend");
    assert_eq!(tiers.keys().collect::<Vec<_>>(), ["cheaper", "reference", "unknown"]);
    assert!(results.spend_by_place(&project("q"), EVER.0, EVER.1).await.expect("spend").is_empty());
    assert!(results.spend_by_place(&project("p"), after(3_600), EVER.1).await.expect("spend").is_empty());
}

async fn what_came_in_is_counted_by_hour(opener: &dyn Opener<dyn Results>) {
    let results = opener.open("by-hour").await.expect("results open");
    let decisions = || vec![decision("refusal", None, 1.0, DecisionState::Drawn)];
    let rows = [("a", 0), ("b", 60), ("c", 7_200)].map(|(id, seconds)| row_of("p", id, after(seconds), decisions()));
    results.fold(&entries(1, &rows)).await.expect("folded");
    let (first, third) = (MORNING.hour(), after(7_200).hour());
    let accepted = async |from, to| results.accepted(&project("p"), from, to).await.expect("counted");
    assert_eq!(accepted(EVER.0, EVER.1).await, BTreeMap::from([(first, 2), (third, 1)]));
    assert_eq!(accepted(after(3_600), EVER.1).await, BTreeMap::from([(third, 1)]));
    assert!(accepted(MORNING, MORNING).await.is_empty());
    assert!(results.accepted(&project("q"), EVER.0, EVER.1).await.expect("counted").is_empty());
}
