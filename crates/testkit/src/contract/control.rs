//! What every control store must do.

use std::sync::Arc;

use assize_core::audit::{Action, AuditEntry, AuditQuery};
use assize_core::control::{Answering, Control, MetricChange, Project, Scope, StoredKey};
use assize_core::{
    Budget, Disabled, Gap, JudgeVersion, MetricName, NanoUsd, PlatformPolicy, PolicyVersion, SamplingOverride, Tenant,
    TenantName, TenantPolicy, Timestamp, Zone,
};

use super::Opener;
use crate::samples::{MORNING, project};

/// Runs the whole suite.
pub async fn run(opener: &dyn Opener<dyn Control>) {
    projects_are_created_once(opener).await;
    keys_are_replaced_and_revoked(opener).await;
    policies_stay_as_they_are(opener).await;
    metrics_keep_every_change(opener).await;
    models_that_answered_are_kept_from_their_first_time(opener).await;
    tenants_come_with_their_projects(opener).await;
    tenants_are_changed_by_who_saw_the_last_change(opener).await;
    gaps_are_kept(opener).await;
    the_platform_is_changed_by_who_saw_the_last_change(opener).await;
    every_change_is_in_the_log(opener).await;
    the_log_is_one_chain_whoever_writes(opener).await;
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
    assert!(control.create_project(&of("p", "acme"), "key-1").await.expect("created"));
    assert!(control.create_project(&of("a", "acme"), "key-1").await.expect("created"));
    assert!(!control.create_project(&of("p", "other"), "key-1").await.expect("left alone"));
    if opener.is_durable() {
        drop(control);
        control = open(opener, "projects").await;
    }
    assert_eq!(control.projects().await.expect("listed"), [of("a", "acme"), of("p", "acme")]);
}

async fn keys_are_replaced_and_revoked(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "keys").await;
    let (first, second) = (key("first", 1, 10), key("second", 2, 5));
    control.put_key(&first, "key-1").await.expect("put");
    control.put_key(&second, "key-1").await.expect("put");
    assert_eq!(control.keys().await.expect("listed"), [second.clone(), first.clone()], "oldest first");
    let renamed = StoredKey { label: "renamed".to_owned(), scopes: vec![Scope::Admin], ..first };
    control.put_key(&renamed, "key-1").await.expect("put");
    assert!(!control.revoke_key("third", MORNING, "key-1").await.expect("no such key"));
    assert!(control.revoke_key("second", MORNING, "key-1").await.expect("revoked"));
    assert!(!control.revoke_key("second", Timestamp(0), "key-1").await.expect("not in force any more"));
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

fn name(text: &str) -> TenantName {
    TenantName::new(text).expect("a valid name")
}

fn tenant(text: &str, policy: TenantPolicy, version: u64) -> Tenant {
    Tenant { name: name(text), created_at: MORNING, policy, version }
}

fn later(ms: u64) -> Timestamp {
    MORNING.plus(std::time::Duration::from_millis(ms))
}

/// A policy in which everything is set.
fn full() -> TenantPolicy {
    TenantPolicy {
        budget: Budget { day_max: Some(NanoUsd(250_000_001)), month_max: Some(NanoUsd(u64::MAX)) },
        sampling: Some(SamplingOverride { rate: 0.1 + 0.2, until: Some(later(5)) }),
        disabled: Some(Disabled { since: MORNING, until: Some(later(9)), reason: "they \"asked\" for it \u{e9}".to_owned() }),
        items_per_second_max: Some(u32::MAX),
        contact: Some("ops@example.com".to_owned()),
        time_zone: Zone::try_from("Europe/Berlin".to_owned()).expect("a zone"),
        deleted_at: Some(later(7)),
    }
}

fn disabled(until: Option<u64>, reason: &str) -> TenantPolicy {
    let disabled = Disabled { since: MORNING, until: until.map(later), reason: reason.to_owned() };
    TenantPolicy { disabled: Some(disabled), ..TenantPolicy::default() }
}

async fn tenants_come_with_their_projects(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "tenants").await;
    assert!(control.tenants().await.expect("listed").is_empty());
    assert!(control.create_tenant(&tenant("given", full(), 9), "key-1").await.expect("created"));
    assert!(!control.create_tenant(&tenant("given", TenantPolicy::default(), 1), "key-1").await.expect("left alone"));
    // The project of a tenant that is there changes nothing about it.
    for (project, owner) in [("p", "acme"), ("a", "acme"), ("g", "given")] {
        assert!(control.create_project(&of(project, owner), "key-1").await.expect("created"));
    }
    // A project that is there already creates no tenant.
    assert!(!control.create_project(&of("p", "another"), "key-1").await.expect("left alone"));
    if opener.is_durable() {
        drop(control);
        control = open(opener, "tenants").await;
    }
    let all = [tenant("acme", TenantPolicy::default(), 1), tenant("given", full(), 1)];
    assert_eq!(control.tenants().await.expect("listed"), all);
}

async fn tenants_are_changed_by_who_saw_the_last_change(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "changes").await;
    control.create_tenant(&tenant("acme", TenantPolicy::default(), 1), "key-1").await.expect("created");
    control.create_tenant(&tenant("other", TenantPolicy::default(), 1), "key-1").await.expect("created");
    let number = control.audited().await.expect("counted");
    for version in [0, 1, 3, u64::MAX] {
        let stale = tenant("acme", full(), version);
        assert!(!control.change_tenant(&stale, "key-1", later(1)).await.expect("left alone"), "{version}");
    }
    assert!(!control.change_tenant(&tenant("none", full(), 1), "key-1", later(1)).await.expect("nobody"));
    assert_eq!(control.audited().await.expect("counted"), number, "what did not change is not in the log");
    let moved = Tenant { created_at: later(99), ..tenant("acme", full(), 2) };
    assert!(control.change_tenant(&moved, "key-2", later(1)).await.expect("changed"));
    assert!(!control.change_tenant(&moved, "key-2", later(1)).await.expect("left alone"), "the same again");
    // Of many who saw the same, one changes it.
    let third = tenant("acme", TenantPolicy::default(), 3);
    let attempts = (0..8).map(|_| control.change_tenant(&third, "key-3", later(2)));
    let changed = futures_of(attempts).await.into_iter().filter(|changed| *changed).count();
    assert_eq!(changed, 1);
    if opener.is_durable() {
        drop(control);
        control = open(opener, "changes").await;
    }
    assert_eq!(control.tenants().await.expect("listed"), [third, tenant("other", TenantPolicy::default(), 1)]);
}

async fn futures_of<F: Future<Output = Result<bool, assize_core::StoreError>>>(all: impl Iterator<Item = F>) -> Vec<bool> {
    let mut answers = Vec::new();
    for answer in futures::future::join_all(all).await {
        answers.push(answer.expect("answered"));
    }
    answers
}

async fn gaps_are_kept(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "gaps").await;
    let (on, ever) = (TenantPolicy::default(), (Timestamp(i64::MIN), Timestamp(i64::MAX)));
    control.create_tenant(&tenant("acme", on.clone(), 1), "key-1").await.expect("created");
    control.create_tenant(&tenant("born-off", disabled(None, "not yet"), 1), "key-1").await.expect("created");
    let steps = [
        (10, disabled(None, "one")),
        (15, TenantPolicy { contact: Some("a@b".to_owned()), ..disabled(None, "one") }),
        (20, on.clone()),
        (30, disabled(None, "two")),
        (35, disabled(Some(40), "two, longer")),
        // By then it has ended by itself.
        (50, on.clone()),
        (60, disabled(Some(100), "three")),
        (70, disabled(None, "four")),
    ];
    for (version, (at, policy)) in (2..).zip(steps) {
        assert!(control.change_tenant(&tenant("acme", policy, version), "key-1", later(at)).await.expect("changed"));
    }
    if opener.is_durable() {
        drop(control);
        control = open(opener, "gaps").await;
    }
    let gap = |since: u64, until: Option<u64>, reason: &str| Gap {
        since: later(since),
        until: until.map(later),
        reason: reason.to_owned(),
    };
    let all = [gap(10, Some(20), "one"), gap(30, Some(40), "two, longer"), gap(60, None, "four")];
    let acme = name("acme");
    assert_eq!(control.gaps(&acme, ever.0, ever.1, 10).await.expect("listed"), all);
    assert_eq!(control.gaps(&acme, ever.0, ever.1, 2).await.expect("listed"), all[1..], "the last ones");
    let within = async |from, to| control.gaps(&acme, later(from), later(to), 10).await.expect("listed");
    assert_eq!(within(0, 10).await, []);
    assert_eq!(within(0, 11).await, all[..1]);
    assert_eq!(within(19, 31).await, all[..2]);
    assert_eq!(within(20, 30).await, [], "ends are not within");
    assert_eq!(within(1_000, 2_000).await, all[2..]);
    assert_eq!(control.gaps(&name("born-off"), ever.0, ever.1, 10).await.expect("listed"), [gap(0, None, "not yet")]);
    assert_eq!(control.gaps(&name("none"), ever.0, ever.1, 10).await.expect("listed"), []);
}

async fn the_platform_is_changed_by_who_saw_the_last_change(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "platform").await;
    assert_eq!(control.platform().await.expect("read"), (PlatformPolicy::default(), 0));
    let policy =
        |nanos| PlatformPolicy { budget: Budget { day_max: Some(NanoUsd(nanos)), month_max: None }, tenant_share_max: 0.3 };
    for version in [0, 2, u64::MAX] {
        assert!(!control.change_platform(&policy(1), version, "key-1", MORNING).await.expect("left alone"), "{version}");
    }
    assert!(control.change_platform(&policy(1), 1, "key-1", MORNING).await.expect("changed"));
    assert!(!control.change_platform(&policy(2), 1, "key-1", MORNING).await.expect("left alone"));
    assert!(control.change_platform(&policy(3), 2, "key-1", MORNING).await.expect("changed"));
    if opener.is_durable() {
        drop(control);
        control = open(opener, "platform").await;
    }
    assert_eq!(control.platform().await.expect("read"), (policy(3), 2));
    assert_eq!(control.audited().await.expect("counted"), 2);
}

const ALL: AuditQuery = AuditQuery { before: u64::MAX, subject: None, limit: usize::MAX };

/// All entries, oldest first, each of which follows the one before it.
async fn chain(control: &dyn Control) -> Vec<AuditEntry> {
    let mut entries = control.audit(&ALL).await.expect("listed");
    entries.reverse();
    let mut previous = [0; 32];
    for (at, entry) in entries.iter().enumerate() {
        assert_eq!(entry.number, at as u64 + 1);
        assert!(entry.follows(&previous), "{entry:?}");
        previous = entry.hash;
    }
    entries
}

async fn every_change_is_in_the_log(opener: &dyn Opener<dyn Control>) {
    let mut control = open(opener, "audit").await;
    assert_eq!(control.audited().await.expect("counted"), 0);
    control.create_project(&of("p", "acme"), "configuration").await.expect("created");
    control.create_project(&of("p", "acme"), "configuration").await.expect("left alone");
    let stored = key("key-9", 3, 10);
    control.put_key(&stored, "key-1").await.expect("put");
    control.put_key(&StoredKey { label: "renamed".to_owned(), ..stored }, "key-1").await.expect("put");
    control.revoke_key("key-9", MORNING, "key-2").await.expect("revoked");
    control.revoke_key("key-9", MORNING, "key-2").await.expect("not in force");
    let metric = MetricName::new("rude").expect("a valid name");
    for (version, json) in [(1, Some("{\"a\":1}")), (2, None)] {
        let (project, json) = (project("p"), json.map(str::to_owned));
        let change = MetricChange { project, metric: metric.clone(), version, json, by: "key-3".to_owned(), at: MORNING };
        assert!(control.change_metric(&change).await.expect("changed"));
        assert!(!control.change_metric(&change).await.expect("left alone"));
    }
    assert!(control.change_tenant(&tenant("acme", disabled(None, "late"), 2), "key-4", later(1)).await.expect("changed"));
    assert!(control.change_tenant(&tenant("acme", full(), 3), "key-4", later(2)).await.expect("changed"));
    assert!(control.change_platform(&PlatformPolicy::default(), 1, "key-5", later(3)).await.expect("changed"));
    if opener.is_durable() {
        drop(control);
        control = open(opener, "audit").await;
    }
    let entries = chain(&*control).await;
    let told: Vec<(&str, Action, &str)> =
        entries.iter().map(|entry| (entry.change.by.as_str(), entry.change.action, entry.change.subject.as_str())).collect();
    assert_eq!(
        told,
        [
            ("configuration", Action::TenantCreate, "tenant/acme"),
            ("configuration", Action::ProjectCreate, "project/p"),
            ("key-1", Action::KeyPut, "key/key-9"),
            ("key-1", Action::KeyPut, "key/key-9"),
            ("key-2", Action::KeyRevoke, "key/key-9"),
            ("key-3", Action::MetricPut, "metric/p/rude"),
            ("key-3", Action::MetricDelete, "metric/p/rude"),
            ("key-4", Action::TenantChange, "tenant/acme"),
            ("key-4", Action::TenantDelete, "tenant/acme"),
            ("key-5", Action::PlatformChange, "platform"),
        ]
    );
    let states = |at: usize| {
        let state = |json: &Option<String>| json.as_ref().map(|json| serde_json::from_str(json).expect("JSON"));
        let change = &entries[at].change;
        let (before, after): (Option<serde_json::Value>, Option<serde_json::Value>) =
            (state(&change.before), state(&change.after));
        (before.unwrap_or_default(), after.unwrap_or_default())
    };
    assert!(states(2).0.is_null());
    assert_eq!((&states(3).0["label"], &states(3).1["label"]), (&states(2).1["label"], &"renamed".into()));
    assert!(states(4).0["revoked_at"].is_null() && states(4).1["revoked_at"].is_string());
    assert_eq!((states(6).0, states(6).1), (serde_json::json!({"a": 1}), serde_json::Value::Null));
    assert!(states(7).0.get("disabled").is_none());
    assert_eq!(states(7).1["disabled"]["reason"], "late");
    assert_eq!(states(8).0, states(7).1, "what was there before is what was there after the change before");
    assert!(entries[2..5].iter().all(|entry| !format!("{:?}", entry.change).contains("hash")), "no hash of a key");

    let of = async |subject: Option<&str>, before, limit| {
        let query = AuditQuery { before, subject: subject.map(str::to_owned), limit };
        let entries = control.audit(&query).await.expect("listed");
        entries.into_iter().map(|entry| entry.number).collect::<Vec<_>>()
    };
    assert_eq!(of(None, u64::MAX, 3).await, [10, 9, 8], "newest first");
    assert_eq!(of(None, 3, 10).await, [2, 1]);
    assert_eq!(of(Some("tenant/acme"), u64::MAX, 10).await, [9, 8, 1]);
    assert_eq!(of(Some("tenant/acme"), 9, 1).await, [8]);
    assert!(of(Some("tenant/none"), u64::MAX, 10).await.is_empty());
    assert_eq!(control.audited().await.expect("counted"), 10);
}

async fn the_log_is_one_chain_whoever_writes(opener: &dyn Opener<dyn Control>) {
    let control = open(opener, "writers").await;
    let names: Vec<String> = (0..40).map(|at| format!("t-{at}")).collect();
    let tenants: Vec<Tenant> = names.iter().map(|text| tenant(text, TenantPolicy::default(), 1)).collect();
    // Where processes may share the store, the second half comes from elsewhere.
    let other = if opener.is_durable() { open(opener, "writers").await } else { Arc::clone(&control) };
    let writes = tenants.iter().enumerate().map(|(at, tenant)| {
        let store = if at % 2 == 0 { &control } else { &other };
        store.create_tenant(tenant, "key-1")
    });
    assert!(futures_of(writes).await.into_iter().all(|created| created));
    assert_eq!(chain(&*control).await.len(), 40);
    assert_eq!(other.audited().await.expect("counted"), 40, "everybody sees that something has changed");
    assert_eq!(other.tenants().await.expect("listed").len(), 40);
}
