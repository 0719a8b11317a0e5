//! What an HTTP status other than success means, and which of the provider's own words may be passed on.

use assize_core::judge::{CallFailure, CallFailureKind};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::attempt::Attempt;
use super::connection::Connection;
use super::repeatable::{code, repeatable};
use crate::client;

impl Connection {
    /// The failure that `status` stands for with every protocol. What a protocol knows better it decides before.
    pub(super) fn refused(&self, attempt: &Attempt<'_>, status: u16, body: &Value) -> CallFailure {
        let said = self.said(attempt, body);
        let at = self.at(status);
        let (kind, message) = match status {
            401 => (CallFailureKind::Unauthorized, format!("{at}: {}", self.key_advice())),
            403 => (CallFailureKind::Unauthorized, format!("{at}: {said}; {}", self.key_advice())),
            429 => (CallFailureKind::RateLimited, format!("{at}: {said}")),
            status if client::is_timeout(status) => (CallFailureKind::Timeout, format!("{at}: {said}")),
            500..=599 => (CallFailureKind::Unavailable, format!("{at}: {said}")),
            300..=399 => (
                CallFailureKind::Rejected,
                format!("{at}: redirects are not followed; set base_url to the address that it redirects to"),
            ),
            404 => (CallFailureKind::Rejected, format!("{at}: {said}; check the judge's model and the provider's base_url")),
            _ => (CallFailureKind::Rejected, format!("{at}: {said}")),
        };
        attempt.because(kind, message)
    }

    /// Where the refusal came from: `HTTP 429 from api.openai.com`.
    pub(super) fn at(&self, status: u16) -> String {
        format!("HTTP {status} from {}", self.host)
    }

    /// What to do about a key that is not accepted.
    pub(super) fn key_advice(&self) -> String {
        match (&self.key_variable, &self.key) {
            (Some(variable), Some(_)) => format!("the key in {variable} is not accepted here; check it"),
            (Some(variable), None) => format!("{variable} is not set; put the API key there"),
            (None, _) => "it wants an API key; name the variable that holds it in the provider's api_key_env".to_owned(),
        }
    }

    /// The provider's own words about an error, as far as they hold neither the key nor what is judged. Where it is not known what is
    /// judged, its code for the error.
    pub(super) fn said(&self, attempt: &Attempt<'_>, body: &Value) -> String {
        let error = body.get("error").unwrap_or(body);
        let Some(judged) = attempt.judged else {
            return ["code", "type", "status"]
                .into_iter()
                .find_map(|name| code(error.get(name)?.as_str()?))
                .map_or_else(|| "it gave no reason that can be repeated".to_owned(), str::to_owned);
        };
        let message = [error.get("message"), Some(error), body.get("message"), body.get("detail")]
            .into_iter()
            .flatten()
            .find_map(Value::as_str)
            .unwrap_or("it gave no reason");
        let key = self.key.as_ref().map_or("", |key| key.expose_secret());
        repeatable(message.trim_end_matches('.'), key, judged)
    }
}

/// A request that cannot be sent at all.
pub(super) fn unwritable(error: serde_json::Error) -> CallFailure {
    // The category, not the error, which may repeat what it stumbled over.
    let what = error.classify();
    CallFailure::new(CallFailureKind::Rejected, format!("the request cannot be written as JSON ({what:?} error)"))
}
