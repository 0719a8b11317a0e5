//! What a body asks to be changed about a tenant or the platform, read exactly and checked before anything is.

use assize_core::{Budget, NanoUsd, SamplingOverride, TenantPolicy, Timestamp, Zone};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::error::ApiError;

/// Bytes of a contact's address: the most that a mail server takes (RFC 5321, 4.5.3.1.3, less its brackets).
const CONTACT_BYTES_MAX: usize = 254;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 500;

/// Tells `null` from what is left out.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// The most that may be spent. What is left out stays as it is; null lifts the limit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetChange {
    /// Dollars in one day of the tenant's time zone, with at most nine decimals.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    pub day_usd_max: Option<Option<Box<RawValue>>>,
    /// Dollars in one month.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    pub month_usd_max: Option<Option<Box<RawValue>>>,
}

/// The most that may be spent by all tenants together, and what one of them may take of it.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlatformBudgetChange {
    /// Dollars in one day of UTC, with at most nine decimals. What is left out stays as it is; null lifts the limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    pub day_usd_max: Option<Option<Box<RawValue>>>,
    /// Dollars in one month of UTC.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<f64>, minimum = 0)]
    pub month_usd_max: Option<Option<Box<RawValue>>>,
    /// The share, above 0 and at most 1, that one tenant may take while others have demand.
    #[serde(default)]
    pub tenant_share_max: Option<f64>,
}

/// A sampling rate in place of those of the tenant's projects.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplingChange {
    /// The probability of every interaction, 0 to 1.
    #[schema(minimum = 0, maximum = 1)]
    pub rate: f64,
    /// Until when, RFC 3339; for good where not given.
    #[serde(default)]
    pub until: Option<String>,
}

/// What is to be changed about a tenant. What is left out stays as it is; null takes it away.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantChange {
    #[serde(default)]
    pub budget: Option<BudgetChange>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<SamplingChange>)]
    pub sampling: Option<Option<SamplingChange>>,
    /// Interactions a second that it may send, all projects together; null for the configuration's limit.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1)]
    pub items_per_second_max: Option<Option<u32>>,
    /// Whom to write to: an e-mail address.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub contact: Option<Option<String>>,
    /// In whose days its budget counts: an IANA name such as `Europe/Berlin`; null for UTC.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    pub time_zone: Option<Option<String>>,
}

/// A tenant to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// 1 to 64 of the characters `A-Z a-z 0-9 . _ -`.
    pub name: String,
    #[serde(default)]
    pub budget: Option<BudgetChange>,
    #[serde(default)]
    pub sampling: Option<SamplingChange>,
    /// Interactions a second that it may send, all projects together.
    #[serde(default)]
    pub items_per_second_max: Option<u32>,
    /// Whom to write to: an e-mail address.
    #[serde(default)]
    pub contact: Option<String>,
    /// In whose days its budget counts: an IANA name such as `Europe/Berlin`; UTC where not given.
    #[serde(default)]
    pub time_zone: Option<String>,
}

impl NewTenant {
    /// The change from the default that it asks for.
    pub fn change(self) -> TenantChange {
        TenantChange {
            budget: self.budget,
            sampling: self.sampling.map(Some),
            items_per_second_max: self.items_per_second_max.map(Some),
            contact: self.contact.map(Some),
            time_zone: self.time_zone.map(Some),
        }
    }
}

/// Why nothing is taken from a tenant. The body may be left out.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisableRequest {
    /// Shown to senders; at most 500 bytes.
    #[serde(default)]
    pub reason: String,
    /// Until when, RFC 3339; until somebody enables it where not given.
    #[serde(default)]
    pub until: Option<String>,
}

impl DisableRequest {
    /// Reason and end.
    pub fn check(self, now: Timestamp) -> Result<(String, Option<Timestamp>), ApiError> {
        if self.reason.len() > REASON_BYTES_MAX || self.reason.chars().any(char::is_control) {
            return Err(wrong("reason", format!("use at most {REASON_BYTES_MAX} bytes without control characters")));
        }
        Ok((self.reason, until("until", self.until.as_deref(), now)?))
    }
}

/// A change of a budget that was checked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BudgetPatch {
    day: Option<Option<NanoUsd>>,
    month: Option<Option<NanoUsd>>,
}

impl BudgetPatch {
    /// Makes the change.
    pub fn apply(&self, budget: &mut Budget) {
        budget.day_max = self.day.unwrap_or(budget.day_max);
        budget.month_max = self.month.unwrap_or(budget.month_max);
    }

    fn read(day: Option<Option<Box<RawValue>>>, month: Option<Option<Box<RawValue>>>) -> Result<Self, ApiError> {
        Ok(Self { day: amount("day_usd_max", day)?, month: amount("month_usd_max", month)? })
    }
}

impl BudgetChange {
    /// The amounts, exactly as they are written.
    pub fn check(self) -> Result<BudgetPatch, ApiError> {
        BudgetPatch::read(self.day_usd_max, self.month_usd_max)
    }
}

impl PlatformBudgetChange {
    /// The amounts, exactly as they are written, and the share.
    pub fn check(self) -> Result<(BudgetPatch, Option<f64>), ApiError> {
        if let Some(share) = self.tenant_share_max.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(wrong("tenant_share_max", format!("{share} is not a share: use a number above 0 and at most 1")));
        }
        Ok((BudgetPatch::read(self.day_usd_max, self.month_usd_max)?, self.tenant_share_max))
    }
}

impl SamplingChange {
    /// The override.
    pub fn check(self, now: Timestamp) -> Result<SamplingOverride, ApiError> {
        if !(0.0..=1.0).contains(&self.rate) {
            return Err(wrong("rate", format!("{} is not a probability: use 0 to 1", self.rate)));
        }
        Ok(SamplingOverride { rate: self.rate, until: until("until", self.until.as_deref(), now)? })
    }
}

/// A change of a tenant's policy that was checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TenantPatch {
    pub budget: BudgetPatch,
    pub sampling: Option<Option<SamplingOverride>>,
    items_per_second_max: Option<Option<u32>>,
    contact: Option<Option<String>>,
    time_zone: Option<Zone>,
}

impl TenantChange {
    /// The change, if all of it can be made.
    pub fn check(self, now: Timestamp) -> Result<TenantPatch, ApiError> {
        if self.items_per_second_max == Some(Some(0)) {
            let message = "0 would let nothing through: use 1 or more, null for the configuration's limit, or disable the tenant";
            return Err(wrong("items_per_second_max", message));
        }
        if let Some(Some(contact)) = &self.contact
            && !is_address(contact)
        {
            return Err(wrong("contact", format!("use an e-mail address of at most {CONTACT_BYTES_MAX} bytes")));
        }
        let zone = |name: Option<String>| match name {
            None => Ok(Zone::default()),
            Some(name) => Zone::try_from(name).map_err(|error| wrong("time_zone", error)),
        };
        Ok(TenantPatch {
            budget: self.budget.map(BudgetChange::check).transpose()?.unwrap_or_default(),
            sampling: match self.sampling {
                None => None,
                Some(change) => Some(change.map(|change| change.check(now)).transpose()?),
            },
            items_per_second_max: self.items_per_second_max,
            contact: self.contact,
            time_zone: self.time_zone.map(zone).transpose()?,
        })
    }
}

impl TenantPatch {
    /// Makes the change.
    pub fn apply(&self, policy: &mut TenantPolicy) {
        self.budget.apply(&mut policy.budget);
        if let Some(sampling) = self.sampling {
            policy.sampling = sampling;
        }
        if let Some(limit) = self.items_per_second_max {
            policy.items_per_second_max = limit;
        }
        if let Some(contact) = &self.contact {
            policy.contact.clone_from(contact);
        }
        if let Some(zone) = &self.time_zone {
            policy.time_zone = zone.clone();
        }
    }
}

fn amount(name: &str, given: Option<Option<Box<RawValue>>>) -> Result<Option<Option<NanoUsd>>, ApiError> {
    let read = |raw: Box<RawValue>| NanoUsd::parse_usd(raw.get()).map_err(|error| wrong(name, error));
    given.map(|value| value.map(read).transpose()).transpose()
}

fn until(name: &str, text: Option<&str>, now: Timestamp) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let at = Timestamp::parse(text).map_err(|error| wrong(name, error))?;
    if at <= now {
        return Err(wrong(name, format!("{} is over already: use a time ahead", at.to_rfc3339())));
    }
    Ok(Some(at))
}

/// Something, one `@`, something, and nothing that would break a header of a mail.
fn is_address(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    let [name, host] = parts.as_slice() else { return false };
    let is_plain =
        |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_control() || c.is_whitespace() || "<>,;:\"".contains(c));
    is_plain(name) && is_plain(host) && text.len() <= CONTACT_BYTES_MAX
}

fn wrong(name: &str, why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request("invalid_field", format!("{name}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn patch(json: &str) -> Result<TenantPatch, String> {
        let change: TenantChange = serde_json::from_str(json).map_err(|error| error.to_string())?;
        change.check(NOW).map_err(|error| error.message)
    }

    #[test]
    fn what_is_left_out_stays_and_null_takes_away() {
        let mut policy = TenantPolicy::default();
        let all = r#"{"budget":{"day_usd_max":0.1,"month_usd_max":123456789.123456789},"sampling":{"rate":0.01},
            "items_per_second_max":5,"contact":"a@b.example","time_zone":"Europe/Berlin"}"#;
        patch(all).unwrap().apply(&mut policy);
        assert_eq!(
            policy.budget,
            Budget { day_max: Some(NanoUsd(100_000_000)), month_max: Some(NanoUsd(123_456_789_123_456_789)) }
        );
        let full = policy.clone();
        patch("{}").unwrap().apply(&mut policy);
        patch(r#"{"budget":{}}"#).unwrap().apply(&mut policy);
        assert_eq!(policy, full);
        patch(r#"{"budget":{"day_usd_max":null}}"#).unwrap().apply(&mut policy);
        assert_eq!(policy.budget, Budget { day_max: None, ..full.budget });
        let nulls =
            r#"{"budget":{"month_usd_max":null},"sampling":null,"items_per_second_max":null,"contact":null,"time_zone":null}"#;
        patch(nulls).unwrap().apply(&mut policy);
        assert_eq!(policy, TenantPolicy::default());
    }

    #[test]
    fn what_cannot_be_is_refused_and_named() {
        for (json, named) in [
            (r#"{"budget":{"day_usd_max":-1}}"#, "day_usd_max: -1 is negative"),
            (r#"{"budget":{"month_usd_max":1e300}}"#, "month_usd_max: 1e300 is more dollars"),
            (r#"{"budget":{"day_usd_max":0.0000000001}}"#, "nine decimals"),
            (r#"{"budget":{"day_usd_max":"0.25"}}"#, "day_usd_max: \"0.25\" is not an amount"),
            (r#"{"budget":{"day_usd_max":[1]}}"#, "not an amount"),
            (r#"{"budget":{"day_usd_max":NaN}}"#, "expected value"),
            (r#"{"budget":{"day_usd":1}}"#, "unknown field"),
            (r#"{"sampling":{"rate":1.5}}"#, "rate: 1.5 is not a probability"),
            (r#"{"sampling":{"rate":1e300}}"#, "is not a probability"),
            (r#"{"sampling":{"rate":-0.1}}"#, "is not a probability"),
            (r#"{"sampling":{}}"#, "missing field `rate`"),
            (r#"{"sampling":{"rate":0.1,"until":"2001-01-01T00:00:00Z"}}"#, "over already"),
            (r#"{"sampling":{"rate":0.1,"until":"tomorrow"}}"#, "until: \"tomorrow\" is not an RFC 3339 time"),
            (r#"{"items_per_second_max":0}"#, "items_per_second_max: 0 would"),
            (r#"{"items_per_second_max":-1}"#, "invalid value"),
            (r#"{"contact":"nobody"}"#, "contact"),
            (r#"{"contact":"a@b@c"}"#, "contact"),
            (r#"{"contact":"a@b\r\nBcc: x@y"}"#, "contact"),
            (r#"{"time_zone":"Mars/Olympus"}"#, "time_zone"),
            (r#"{"tier":"gold"}"#, "unknown field"),
        ] {
            let error = patch(json).unwrap_err();
            assert!(error.contains(named), "{json}: {error}");
        }
        let share = |json: &str| serde_json::from_str::<PlatformBudgetChange>(json).unwrap().check();
        for bad in ["0", "-0.5", "1.01", "1e300"] {
            assert!(share(&format!(r#"{{"tenant_share_max":{bad}}}"#)).is_err(), "{bad}");
        }
        assert_eq!(share(r#"{"tenant_share_max":1}"#).unwrap(), (BudgetPatch::default(), Some(1.0)));
        let long = DisableRequest { reason: "x".repeat(501), until: None };
        assert!(long.check(NOW).is_err());
    }
}
