//! `[budget]`: what all judging together may cost, until somebody changes it over the API.

use assize_core::{Budget, NanoUsd, PlatformPolicy};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// The platform's budget.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlatformBudget {
    /// Dollars a day, UTC; no limit where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day_usd_max: Option<f64>,
    /// Dollars a month, UTC; no limit where not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month_usd_max: Option<f64>,
    /// The share, in (0, 1], that one tenant may take of it while others have demand.
    pub tenant_share_max: f64,
    /// Whether probabilities are lowered so that budgets, the tenants' as well, last their day and month.
    pub pacing: bool,
}

impl Default for PlatformBudget {
    fn default() -> Self {
        Self { day_usd_max: None, month_usd_max: None, tenant_share_max: 0.5, pacing: true }
    }
}

impl PlatformBudget {
    /// The policy that it describes. Errors name the key.
    pub fn policy(&self) -> Result<PlatformPolicy, ConfigError> {
        let amount = |key: &str, dollars: Option<f64>| {
            dollars
                .map(|dollars| dollars_of(dollars).map_err(|why| ConfigError::new(format!("[budget] {key} = {why}"))))
                .transpose()
        };
        let budget =
            Budget { day_max: amount("day_usd_max", self.day_usd_max)?, month_max: amount("month_usd_max", self.month_usd_max)? };
        if !(self.tenant_share_max > 0.0 && self.tenant_share_max <= 1.0) {
            return Err(ConfigError::new(format!(
                "[budget] tenant_share_max = {} is not a share: use a number above 0 and up to 1, such as 0.5",
                self.tenant_share_max
            )));
        }
        Ok(PlatformPolicy { budget, tenant_share_max: self.tenant_share_max })
    }
}

/// The amount of a number in dollars, as it would be written.
pub fn dollars_of(dollars: f64) -> Result<NanoUsd, String> {
    NanoUsd::parse_usd(&dollars.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_what_is_none_is_refused_by_name() {
        let budget = PlatformBudget { day_usd_max: Some(5.1), month_usd_max: Some(0.0), tenant_share_max: 1.0, pacing: true };
        let policy = budget.policy().unwrap();
        assert_eq!(policy.budget, Budget { day_max: Some(NanoUsd(5_100_000_000)), month_max: Some(NanoUsd::ZERO) });
        for bad in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            let error = PlatformBudget { month_usd_max: Some(bad), ..PlatformBudget::default() }.policy().unwrap_err();
            assert!(error.message.starts_with("[budget] month_usd_max = "), "{error}");
        }
        for bad in [0.0, 1.5, f64::NAN] {
            let error = PlatformBudget { tenant_share_max: bad, ..PlatformBudget::default() }.policy().unwrap_err();
            assert!(error.message.contains("tenant_share_max"), "{error}");
        }
        assert_eq!(PlatformBudget::default().policy().unwrap(), PlatformPolicy::default());
    }
}
