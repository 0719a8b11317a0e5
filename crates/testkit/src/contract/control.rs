//! What every control store must do.

use std::sync::Arc;

use assize_core::control::{Answering, Control, MetricChange, Project, Scope, StoredKey};
use assize_core::{JudgeVersion, MetricName, PolicyVersion, TenantName, Timestamp};

use super::Opener;
use crate::samples::{MORNING, project};

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Control>) {
    projects_are_created_once(opener).await;
    keys_are_replaced_and_revoked(opener).await;
    policies_stay_as_they_are(opener).await;
    metrics_keep_every_change(opener).await;
    models_that_answered_are_kept_from_their_first_time(opener).await;
}

async fn open(opener: &dyn Opener<dyn Control>, data: &str) -> Arc<dyn Control> {
    opener.open(data).await.expect("the store opens")
}

fn of(name: &str, tenant: &str) -> Project {
    Project { name: project(name), tenant: TenantName::new(tenant).expect("a valid name"), created_at: MORNING }
}

fn key(id: &str, hash: u8, created_at: i64) -> StoredKey {
    StoredKey {
        id: id.to_owned(),
        hash: [hash; 32],
        project: project("p"),
        scopes: vec![Scope::Ingest, Scope::Read],
        label: "for the \"shop\"".to_owned(),
        created_at: Timestamp(created_at),
        revoked_at: None,
    }
}

async fn projects_are_created_once(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "projects").await;
    assert!(control.projects().await.expect("listed").is_empty());
    assert!(control.create_project(&of("p", "acme")).await.expect("created"));
    assert!(control.create_project(&of("a", "acme")).await.expect("created"));
    assert!(!control.create_project(&of("p", "other")).await.expect("left alone"));
    if opener.is_durable() {
        drop(control);
        control = open(opener, "projects").await;
    }
    assert_eq!(control.projects().await.expect("listed"), [of("a", "acme"), of("p", "acme")]);
}

async fn keys_are_replaced_and_revoked(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "keys").await;
    let (first, second) = (key("first", 1, 10), key("second", 2, 5));
    control.put_key(&first).await.expect("put");
    control.put_key(&second).await.expect("put");
    assert_eq!(control.keys().await.expect("listed"), [second.clone(), first.clone()], "oldest first");
    let renamed = StoredKey { label: "renamed".to_owned(), scopes: vec![Scope::Admin], ..first };
    control.put_key(&renamed).await.expect("put");
    assert!(!control.revoke_key("third", MORNING).await.expect("no such key"));
    assert!(control.revoke_key("second", MORNING).await.expect("revoked"));
    assert!(!control.revoke_key("second", Timestamp(0)).await.expect("not in force any more"));
    if opener.is_durable() {
        drop(control);
        control = open(opener, "keys").await;
    }
    let revoked = StoredKey { revoked_at: Some(MORNING), ..second };
    assert_eq!(control.keys().await.expect("listed"), [revoked, renamed]);
}

async fn policies_stay_as_they_are(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "policies").await;
    let (one, two) = (PolicyVersion::of(&[b"1"]), PolicyVersion::of(&[b"2"]));
    assert_eq!(control.policy(&one).await.expect("read"), None);
    control.put_policy(&one, r#"{"a":1}"#, MORNING).await.expect("put");
    control.put_policy(&one, r#"{"a":2}"#, MORNING).await.expect("left alone");
    if opener.is_durable() {
        drop(control);
        control = open(opener, "policies").await;
    }
    assert_eq!(control.policy(&one).await.expect("read").as_deref(), Some(r#"{"a":1}"#));
    assert_eq!(control.policy(&two).await.expect("read"), None);
}

async fn metrics_keep_every_change(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "metrics").await;
    let change = |owner: &str, metric: &str, version: u64, json: Option<&str>| MetricChange {
        project: project(owner),
        metric: MetricName::new(metric).expect("a valid name"),
        version,
        json: json.map(str::to_owned),
        by: format!("key-{version}"),
        at: MORNING.plus(std::time::Duration::from_millis(version % 1_000)),
    };
    let changes = [
        change("p", "m", 1, Some(r#"{"a":1}"#)),
        change("p", "m", 2, None),
        change("p", "m", 3, Some(r#"{"a":"\u00e9"}"#)),
        change("p", "n", 1, Some("{}")),
        change("q", "m", 1, Some("{}")),
    ];
    for one in &changes {
        assert!(control.change_metric(one).await.expect("changed"), "{one:?}");
    }
    // Whoever did not see the last change changes nothing.
    for version in [0, 1, 3, 5, u64::MAX] {
        let stale = change("p", "m", version, Some("stale"));
        assert!(!control.change_metric(&stale).await.expect("left alone"), "{version}");
    }
    assert!(!control.change_metric(&change("r", "m", 2, None)).await.expect("left alone"), "the first is number 1");
    if opener.is_durable() {
        drop(control);
        control = open(opener, "metrics").await;
    }
    let [one, two, three, other, elsewhere] = changes;
    assert_eq!(control.metrics().await.expect("listed"), [three.clone(), other, elsewhere]);
    let of = async |before, limit| control.metric_changes(&three.project, &three.metric, before, limit).await.expect("listed");
    assert_eq!(of(u64::MAX, 10).await, [three.clone(), two.clone(), one.clone()], "newest first");
    assert_eq!(of(3, 1).await, [two]);
    assert_eq!(of(2, 10).await, [one]);
    assert!(of(1, 10).await.is_empty());
}

async fn models_that_answered_are_kept_from_their_first_time(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "answering").await;
    let seen = |version: &str, model: &str, since: i64| Answering {
        version: JudgeVersion::of(&[version.as_bytes()]),
        model: model.to_owned(),
        since: Timestamp(since),
    };
    for one in [seen("a", "m-1", 20), seen("a", "m-2", 30), seen("b", "m-1", 10), seen("a", "m-1", 40)] {
        control.put_answering(&one).await.expect("put");
    }
    if opener.is_durable() {
        drop(control);
        control = open(opener, "answering").await;
    }
    let all = control.answering().await.expect("listed");
    assert_eq!(all, [seen("b", "m-1", 10), seen("a", "m-1", 20), seen("a", "m-2", 30)]);
}
