//! Changing what holds for tenants and for all of them, and noticing when another process has done so.

use std::time::Duration;

use assize_core::{PlatformPolicy, StoreError, Tenant, TenantName, TenantPolicy, Timestamp};
use tokio_util::sync::CancellationToken;

use super::Access;

/// How often the control store is asked whether anything has changed.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How often a change is tried again where others change the same at the same time.
const TRIES: usize = 8;

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TenantError {
    /// The name is taken.
    #[error("there is a tenant {0} already: change it with PATCH")]
    Exists(TenantName),
    /// There is none of the name.
    #[error("there is no tenant {0:?} that this key reaches")]
    Unknown(String),
    /// It was deleted.
    #[error("tenant {0} was deleted: its name stays taken, and nothing about it can be changed")]
    Deleted(TenantName),
    /// Somebody else has changed it since.
    #[error("it is at version {present}, not {expected}: read it again, then change it")]
    Conflict { present: u64, expected: u64 },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Access {
    /// The tenant of this name.
    pub fn tenant(&self, name: &TenantName) -> Option<Tenant> {
        self.directory.tenant(name)
    }

    /// The projects of a tenant, by name.
    pub fn projects_of(&self, tenant: &TenantName) -> Vec<assize_core::ProjectName> {
        self.directory.projects_of(tenant)
    }

    /// What holds for all tenants together, and how often it was changed.
    pub fn platform(&self) -> (PlatformPolicy, u64) {
        self.directory.platform()
    }

    /// Creates a tenant.
    pub async fn create_tenant(
        &self,
        name: TenantName,
        policy: TenantPolicy,
        (by, now): (&str, Timestamp),
    ) -> Result<Tenant, TenantError> {
        let _one_at_a_time = self.changing.lock().await;
        let tenant = Tenant { name, created_at: now, policy, version: 1 };
        let created = self.control.create_tenant(&tenant, by).await?;
        self.reload().await?;
        if created { Ok(tenant) } else { Err(TenantError::Exists(tenant.name)) }
    }

    /// Changes what holds for a tenant: `expected` is the version that is to be changed; without it, whichever there is. Returns it as
    /// it was and as it is. What stays the same is not written.
    pub async fn change_tenant(
        &self,
        name: &TenantName,
        expected: Option<u64>,
        change: impl Fn(&mut TenantPolicy) + Send,
        (by, now): (&str, Timestamp),
    ) -> Result<(Tenant, Tenant), TenantError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut present = 0;
        for _ in 0..TRIES {
            // Another process may have changed it a moment ago.
            self.reload().await?;
            let before = self.directory.tenant(name).ok_or_else(|| TenantError::Unknown(name.as_str().to_owned()))?;
            present = before.version;
            if let Some(expected) = expected.filter(|expected| *expected != present) {
                return Err(TenantError::Conflict { present, expected });
            }
            if before.policy.deleted_at.is_some() {
                return Err(TenantError::Deleted(before.name));
            }
            let mut after = before.clone();
            change(&mut after.policy);
            if after.policy == before.policy {
                return Ok((before, after));
            }
            after.version = present.saturating_add(1);
            if self.control.change_tenant(&after, by, now).await? {
                self.reload().await?;
                return Ok((before, after));
            }
        }
        Err(TenantError::Conflict { present, expected: expected.unwrap_or(present) })
    }

    /// Changes what holds for all tenants together; as [`Self::change_tenant`].
    pub async fn change_platform(
        &self,
        expected: Option<u64>,
        change: impl Fn(&mut PlatformPolicy) + Send,
        (by, now): (&str, Timestamp),
    ) -> Result<(PlatformPolicy, u64), TenantError> {
        let _one_at_a_time = self.changing.lock().await;
        let mut present = 0;
        for _ in 0..TRIES {
            let (stored, version) = self.control.platform().await?;
            // Until it is changed for the first time, the configuration's holds.
            let before = if version == 0 { self.directory.platform().0 } else { stored };
            present = version;
            if let Some(expected) = expected.filter(|expected| *expected != present) {
                return Err(TenantError::Conflict { present, expected });
            }
            let mut after = before;
            change(&mut after);
            if after == before {
                return Ok((before, version));
            }
            let version = version.saturating_add(1);
            if self.control.change_platform(&after, version, by, now).await? {
                self.reload().await?;
                return Ok((after, version));
            }
        }
        Err(TenantError::Conflict { present, expected: expected.unwrap_or(present) })
    }

    /// Takes over what other processes change, until `stop`. `fault` is told when that begins to fail.
    pub async fn watch(&self, stop: &CancellationToken, fault: impl Fn(&StoreError) + Send) {
        let mut is_well = true;
        while stop.run_until_cancelled(tokio::time::sleep(WATCH_EVERY)).await.is_some() {
            match self.catch_up().await {
                Ok(()) => is_well = true,
                Err(error) => {
                    if std::mem::replace(&mut is_well, false) {
                        fault(&error);
                    }
                }
            }
        }
    }

    async fn catch_up(&self) -> Result<(), StoreError> {
        if self.control.audited().await? == self.directory.revision() {
            return Ok(());
        }
        let _one_at_a_time = self.changing.lock().await;
        self.reload().await
    }
}
