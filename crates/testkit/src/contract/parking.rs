//! What every backend of parking must do.

use assize_core::ProjectName;
use assize_core::parking::{ParkedId, Parking, Part};

use super::Opener;

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Parking>) {
    let open = async || opener.open("parking").await.expect("parking opens");
    let part = |project: &str, body: &str| Part { project: ProjectName::new(project).unwrap(), body: body.into() };
    let parking = open().await;
    assert!(parking.parked().await.unwrap().is_empty());
    let ids = parking.park(vec![part("a", "one"), part("b", "two"), part("a", "")]).await.unwrap();
    assert_eq!(ids.len(), 3);
    assert!(parking.park(Vec::new()).await.unwrap().is_empty());
    drop(parking);

    let parking = open().await;
    let found = parking.parked().await.unwrap();
    let expected = [part("a", "one"), part("b", "two"), part("a", "")];
    assert_eq!(found, ids.iter().copied().zip(expected).collect::<Vec<_>>(), "parked parts survive, oldest first");
    parking.release(vec![ids[0], ids[2], ids[0], ParkedId(u64::MAX >> 1)]).await.unwrap();
    drop(parking);

    let parking = open().await;
    assert_eq!(parking.parked().await.unwrap(), [(ids[1], part("b", "two"))], "released parts stay away");
    parking.release(vec![ids[1]]).await.unwrap();
    let next = parking.park(vec![part("a", "three")]).await.unwrap();
    assert!(!ids.contains(&next[0]), "an id is never given twice: a late release would hit another part");
}
