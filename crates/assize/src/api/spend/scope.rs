//! Whose spend a key may see: its own project's; of the tenant that pays for it, the totals; all, if it is an admin's.

use assize_core::control::Scope;
use assize_core::results::SpendBy;
use assize_core::{ProjectName, TenantName};
use axum::http::StatusCode;

use super::GroupBy;
use crate::access::{Principal, TenantError};
use crate::api::Server;
use crate::api::error::ApiError;
use crate::api::params::invalid;

/// Whose spend is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpendScope {
    /// Those that are summed up.
    pub projects: Vec<ProjectName>,
    /// Whether these are more than the one that was named.
    pub is_many: bool,
}

impl SpendScope {
    /// The projects that are meant; an error where the key does not reach them.
    pub fn of(
        server: &Server,
        who: &Principal,
        project: Option<&str>,
        tenant: Option<&str>,
        all: bool,
    ) -> Result<Self, ApiError> {
        let given = |text: Option<&'_ str>| text.map(str::to_owned).filter(|text| !text.is_empty());
        match (given(project), given(tenant)) {
            (Some(_), Some(_)) => Err(invalid("tenant", "is given together with project: name one of them")),
            (Some(project), None) => Ok(Self { projects: vec![who.project_named(&project)?], is_many: false }),
            (None, Some(tenant)) => {
                let tenant = tenant_named(server, who, &tenant)?;
                Ok(Self { projects: server.access.projects_of(&tenant), is_many: true })
            }
            (None, None) if all => {
                if !who.may(Scope::Admin) {
                    return Err(needs_admin("the spend of all tenants"));
                }
                Ok(Self { projects: server.access.projects(), is_many: true })
            }
            (None, None) => Ok(Self { projects: vec![who.project.clone()], is_many: false }),
        }
    }

    /// Whether the key may have it split like this: names of other projects' metrics and models are not everybody's.
    pub fn allows(&self, who: &Principal, by: GroupBy) -> Result<(), ApiError> {
        let is_total = matches!(by, GroupBy::Within(SpendBy::Total | SpendBy::Hour | SpendBy::Day));
        if self.is_many && !is_total && !who.may(Scope::Admin) {
            return Err(needs_admin("what other projects of the tenant spend it on"));
        }
        Ok(())
    }
}

/// The tenant of this name, if the key may see its totals. One of others is as unknown as one that does not exist.
pub fn tenant_named(server: &Server, who: &Principal, name: &str) -> Result<TenantName, ApiError> {
    let tenant = TenantName::new(name).map_err(|error| invalid("tenant", error))?;
    let is_seen = who.may(Scope::Admin) || who.tenant() == tenant;
    let found = server.access.tenant(&tenant).filter(|_| is_seen);
    Ok(found.ok_or_else(|| TenantError::Unknown(name.to_owned()))?.name)
}

fn needs_admin(what: &str) -> ApiError {
    let message = format!("{what}: only a key with the scope admin sees it");
    ApiError::new(StatusCode::FORBIDDEN, "forbidden", message)
}
