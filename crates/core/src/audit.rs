//! The audit log: who changed what, when, from what to what. Each entry holds the hash of the one before, so that none can be
//! taken out or altered without all that follow showing it.

use serde::{Deserialize, Serialize};

use crate::control::{MetricChange, Project, StoredKey};
use crate::{PlatformPolicy, Tenant, Timestamp};

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    /// A project was created.
    #[serde(rename = "project.create")]
    ProjectCreate,
    /// A key was made, or stored again with other scopes.
    #[serde(rename = "key.put")]
    KeyPut,
    /// A key was revoked.
    #[serde(rename = "key.revoke")]
    KeyRevoke,
    /// A project's own metric was put in force.
    #[serde(rename = "metric.put")]
    MetricPut,
    /// A project's own metric was taken away.
    #[serde(rename = "metric.delete")]
    MetricDelete,
    /// A tenant was created.
    #[serde(rename = "tenant.create")]
    TenantCreate,
    /// A tenant's policy was changed.
    #[serde(rename = "tenant.change")]
    TenantChange,
    /// A tenant was deleted: its policy stays as a tombstone.
    #[serde(rename = "tenant.delete")]
    TenantDelete,
    /// The platform's policy was changed.
    #[serde(rename = "platform.change")]
    PlatformChange,
}

impl Action {
    const ALL: [Self; 9] = [
        Self::ProjectCreate,
        Self::KeyPut,
        Self::KeyRevoke,
        Self::MetricPut,
        Self::MetricDelete,
        Self::TenantCreate,
        Self::TenantChange,
        Self::TenantDelete,
        Self::PlatformChange,
    ];

    /// The action as stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProjectCreate => "project.create",
            Self::KeyPut => "key.put",
            Self::KeyRevoke => "key.revoke",
            Self::MetricPut => "metric.put",
            Self::MetricDelete => "metric.delete",
            Self::TenantCreate => "tenant.create",
            Self::TenantChange => "tenant.change",
            Self::TenantDelete => "tenant.delete",
            Self::PlatformChange => "platform.change",
        }
    }

    /// The action of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// A change that is to be recorded. Nothing in it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Timestamp,
    /// The id of the key with which it was made; `configuration` or `start` where the process made it by itself.
    pub by: String,
    /// What was done.
    pub action: Action,
    /// To what, such as `tenant/acme`, `metric/shop/rude` or `platform`.
    pub subject: String,
    /// What was there before, as JSON; `None` where nothing was.
    pub before: Option<String>,
    /// What is there now, as JSON; `None` where nothing is.
    pub after: Option<String>,
}

/// A change on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// 1 for the first, one more for each after it.
    pub number: u64,
    /// The change.
    pub change: Change,
    /// The hash of the entry before; zeros for the first.
    pub previous: [u8; 32],
    /// The hash of all of the above.
    pub hash: [u8; 32],
}

/// Which entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditQuery {
    /// Entries with a smaller number only.
    pub before: u64,
    /// Of this subject only.
    pub subject: Option<String>,
    /// At most this many, newest first.
    pub limit: usize,
}

impl AuditEntry {
    /// The entry after `last`, which is the number and the hash of the last one on record.
    pub fn after(last: Option<(u64, [u8; 32])>, change: Change) -> Self {
        let (number, previous) = last.map_or((1, [0; 32]), |(number, hash)| (number.saturating_add(1), hash));
        let hash = hash(number, &previous, &change);
        Self { number, change, previous, hash }
    }

    /// Whether it is what was written, directly after an entry of hash `previous`.
    pub fn follows(&self, previous: &[u8; 32]) -> bool {
        &self.previous == previous && self.hash == hash(self.number, &self.previous, &self.change)
    }
}

/// Every part with its length before it, so that no two changes read the same.
fn hash(number: u64, previous: &[u8; 32], change: &Change) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("assize audit entry 1");
    let Change { at, by, action, subject, before, after } = change;
    let mut part = |bytes: Option<&[u8]>| {
        hasher.update(&[u8::from(bytes.is_some())]);
        hasher.update(&(bytes.map_or(0, <[u8]>::len) as u64).to_le_bytes());
        hasher.update(bytes.unwrap_or_default());
    };
    part(Some(&number.to_le_bytes()));
    part(Some(previous));
    part(Some(&at.0.to_le_bytes()));
    for text in [by.as_str(), action.as_str(), subject] {
        part(Some(text.as_bytes()));
    }
    part(before.as_ref().map(String::as_bytes));
    part(after.as_ref().map(String::as_bytes));
    *hasher.finalize().as_bytes()
}

impl Change {
    /// A project was created.
    pub fn project_created(project: &Project, by: &str) -> Self {
        let Project { name, tenant, created_at } = project;
        let after = serde_json::json!({"name": name, "tenant": tenant});
        let (action, subject) = (Action::ProjectCreate, format!("project/{name}"));
        Self { at: *created_at, by: by.to_owned(), action, subject, before: None, after: Some(after.to_string()) }
    }

    /// A key was stored, in place of `before` if there was one of its hash.
    pub fn key_put(before: Option<&StoredKey>, key: &StoredKey, by: &str) -> Self {
        let (action, subject) = (Action::KeyPut, key_subject(&key.id));
        let (before, after) = (before.map(key_json), Some(key_json(key)));
        Self { at: key.created_at, by: by.to_owned(), action, subject, before, after }
    }

    /// A key was revoked.
    pub fn key_revoked(key: &StoredKey, by: &str, at: Timestamp) -> Self {
        let revoked = StoredKey { revoked_at: Some(at), ..key.clone() };
        let (action, subject) = (Action::KeyRevoke, key_subject(&key.id));
        Self { at, by: by.to_owned(), action, subject, before: Some(key_json(key)), after: Some(key_json(&revoked)) }
    }

    /// A project's own metric was changed; `before` is its JSON until then.
    pub fn metric_changed(before: Option<String>, change: &MetricChange) -> Self {
        let MetricChange { project, metric, json, by, at, .. } = change;
        let action = if json.is_some() { Action::MetricPut } else { Action::MetricDelete };
        let subject = format!("metric/{project}/{metric}");
        Self { at: *at, by: by.clone(), action, subject, before, after: json.clone() }
    }

    /// A tenant was created.
    pub fn tenant_created(tenant: &Tenant, by: &str) -> Self {
        let (action, subject) = (Action::TenantCreate, tenant_subject(tenant));
        Self { at: tenant.created_at, by: by.to_owned(), action, subject, before: None, after: json(&tenant.policy) }
    }

    /// A tenant's policy was changed, or the tenant deleted.
    pub fn tenant_changed(before: &Tenant, after: &Tenant, by: &str, at: Timestamp) -> Self {
        let is_gone = before.policy.deleted_at.is_none() && after.policy.deleted_at.is_some();
        let action = if is_gone { Action::TenantDelete } else { Action::TenantChange };
        let subject = tenant_subject(after);
        Self { at, by: by.to_owned(), action, subject, before: json(&before.policy), after: json(&after.policy) }
    }

    /// The platform's policy was changed.
    pub fn platform_changed(before: &PlatformPolicy, after: &PlatformPolicy, by: &str, at: Timestamp) -> Self {
        let (action, subject) = (Action::PlatformChange, "platform".to_owned());
        Self { at, by: by.to_owned(), action, subject, before: json(before), after: json(after) }
    }
}

fn tenant_subject(tenant: &Tenant) -> String {
    format!("tenant/{}", tenant.name)
}

fn key_subject(id: &str) -> String {
    format!("key/{id}")
}

/// A key without its hash.
fn key_json(key: &StoredKey) -> String {
    let StoredKey { id, hash: _, project, scopes, label, created_at, revoked_at } = key;
    let (created_at, revoked_at) = (created_at.to_rfc3339(), revoked_at.map(Timestamp::to_rfc3339));
    let json = serde_json::json!({"id": id, "project": project, "scopes": scopes, "label": label,
        "created_at": created_at, "revoked_at": revoked_at});
    json.to_string()
}

/// Policies are plain data: their JSON cannot fail.
fn json(policy: &impl Serialize) -> Option<String> {
    serde_json::to_string(policy).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(subject: &str, before: Option<&str>, after: Option<&str>) -> Change {
        let (before, after) = (before.map(str::to_owned), after.map(str::to_owned));
        Change {
            at: Timestamp(7),
            by: "key-1".to_owned(),
            action: Action::TenantChange,
            subject: subject.to_owned(),
            before,
            after,
        }
    }

    #[test]
    fn a_chain_shows_what_was_altered_moved_or_taken_out() {
        let mut chain: Vec<AuditEntry> = Vec::new();
        for at in 0..5 {
            let last = chain.last().map(|entry| (entry.number, entry.hash));
            chain.push(AuditEntry::after(last, change(&format!("tenant/{at}"), None, Some("{}"))));
        }
        let sound = |chain: &[AuditEntry]| {
            let mut previous = [0; 32];
            chain.iter().enumerate().all(|(at, entry)| {
                let follows = entry.number == at as u64 + 1 && entry.follows(&previous);
                previous = entry.hash;
                follows
            })
        };
        assert!(sound(&chain));
        let without: Vec<_> = chain.iter().filter(|entry| entry.number != 3).cloned().collect();
        assert!(!sound(&without));
        let mut swapped = chain.clone();
        swapped.swap(1, 2);
        assert!(!sound(&swapped));
        let alterations: [fn(&mut AuditEntry); 6] = [
            |entry| entry.change.at = Timestamp(8),
            |entry| entry.change.by.push('x'),
            |entry| entry.change.action = Action::KeyPut,
            |entry| entry.change.subject.push('x'),
            |entry| entry.change.before = Some(String::new()),
            |entry| entry.change.after = None,
        ];
        for alter in alterations {
            let mut altered = chain.clone();
            alter(&mut altered[2]);
            assert!(!sound(&altered), "{:?}", altered[2]);
        }
    }

    #[test]
    fn nothing_moves_between_fields_unseen() {
        let hash = |change| AuditEntry::after(None, change).hash;
        assert_ne!(hash(change("a", Some("b"), None)), hash(change("a", None, Some("b"))));
        assert_ne!(hash(change("ab", Some("c"), None)), hash(change("a", Some("bc"), None)));
        assert_ne!(hash(change("a", Some(""), None)), hash(change("a", None, None)));
    }

    #[test]
    fn actions_have_one_name() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
            assert_eq!(serde_json::to_value(action).unwrap(), action.as_str());
        }
        assert_eq!(Action::parse("tenant.drop"), None);
    }
}
