//! What every control store must do.

use std::sync::Arc;

use assize_core::control::{Control, Project, Scope, StoredKey};
use assize_core::{PolicyVersion, TenantName, Timestamp};

use super::Opener;
use crate::samples::{MORNING, project};

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Control>) {
    projects_are_created_once(opener).await;
    keys_are_replaced_and_revoked(opener).await;
    policies_stay_as_they_are(opener).await;
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
