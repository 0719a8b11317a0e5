//! A service as a judge: one POST with the question and the interaction as JSON, one JSON object as its answer (see
//! [`crate::exchange`] for both). One attempt, never a retry, no redirect, no proxy.

mod spec;

use std::ffi::OsString;
use std::time::{Duration, Instant, SystemTime};

use assize_core::judge::{CallFailure, CallFailureKind, CalledJudge, Tightness};
use assize_core::{Interaction, JudgeName, JudgeVersion, NanoUsd, ProviderName, Timestamp, Verdict};
use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

pub use spec::HttpSpec;

use crate::addresses;
use crate::check::SpecError;
use crate::client::{self, causes};
use crate::exchange::{self, Asked, Said};
use crate::providers::rate_limits::{self, Wait};
use crate::spec::Question;

const BODY_BYTES_MAX: usize = 256 << 10;

/// A judge that asks a service.
pub struct HttpJudge {
    name: JudgeName,
    provider: ProviderName,
    endpoint: Url,
    /// Host and port, as errors name it.
    host: String,
    client: Client,
    /// What is sent in headers from variables: never repeated.
    secrets: Vec<SecretString>,
    authorization_env: Option<String>,
    timeout: Duration,
    asked: Vec<Question>,
    versions: Vec<JudgeVersion>,
    price: NanoUsd,
}

impl HttpJudge {
    /// A judge called `name` that asks `questions`; nothing is sent yet. `variable` looks up the environment.
    ///
    /// # Errors
    /// Where [`HttpSpec::check`] or [`Question::check`] refuses, a variable that a header needs is not set or holds what cannot be
    /// sent, or the machine's certificates cannot be read.
    pub fn open(
        name: &JudgeName,
        spec: &HttpSpec,
        questions: &[Question],
        variable: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, SpecError> {
        spec.check()?;
        questions.iter().try_for_each(Question::check)?;
        let endpoint = spec.endpoint()?;
        let (headers, secrets) = headers(spec, variable)?;
        let timeout = Duration::from_secs(spec.timeout_seconds);
        let mut client = client::builder(&endpoint, headers, timeout, spec.concurrency).no_proxy();
        if !spec.allow_private {
            // The specification's check has looked at an address that is written out.
            client = addresses::public_only(client);
        }
        let client = client.build().map_err(|error| SpecError::new("url", format!("no client: {}", causes(&error))))?;
        Ok(Self {
            name: name.clone(),
            provider: exchange::provider(name)?,
            host: client::host(&endpoint),
            versions: questions.iter().map(|question| version(spec, &endpoint, question)).collect(),
            endpoint,
            client,
            secrets,
            authorization_env: spec.authorization_env.clone(),
            timeout,
            asked: questions.to_vec(),
            price: exchange::price(spec.price_per_call_usd)?,
        })
    }

    async fn ask(&self, interaction: &Interaction, question: &Question, version: &JudgeVersion) -> Result<Verdict, CallFailure> {
        let started = Instant::now();
        let answered = self.call(interaction, question).await;
        let latency_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        match answered {
            Ok(answer) => Ok(exchange::verdict(answer, &self.name, version, Some(self.price), latency_ms)),
            Err(failure) => {
                // Whoever charges for calls charges for those that were answered; of the others nobody knows, unless all are free.
                let cost = failure.cost.or(Some(self.price).filter(|price| *price == NanoUsd::ZERO));
                Err(CallFailure { cost, latency_ms, ..failure })
            }
        }
    }

    async fn call(&self, interaction: &Interaction, question: &Question) -> Result<exchange::Answer, CallFailure> {
        let body = serde_json::to_vec(&Asked::of(question, interaction)).map_err(|error| {
            CallFailure::new(CallFailureKind::Rejected, format!("the request cannot be written as JSON: {error}"))
        })?;
        let response = self.client.post(self.endpoint.clone()).body(body).send().await.map_err(|error| self.broken(&error))?;
        let status = response.status();
        if !status.is_success() {
            let wait = rate_limits::wait(response.headers(), Timestamp::from_system(SystemTime::now()));
            // Whatever becomes of the body, the status says what kind of failure it is.
            let body =
                client::read(response, BODY_BYTES_MAX).await.ok().flatten().and_then(|bytes| serde_json::from_slice(&bytes).ok());
            return Err(self.refused(status, wait, &body.unwrap_or(Value::Null), interaction));
        }
        let paid = |failure: CallFailure| CallFailure { cost: Some(self.price), ..failure };
        let invalid = |why: String| paid(CallFailure::new(CallFailureKind::InvalidAnswer, why));
        let host = &self.host;
        let bytes = client::read(response, BODY_BYTES_MAX).await.map_err(|error| self.broken(&error))?;
        let bytes = bytes.ok_or_else(|| invalid(format!("an answer from {host} of more than {BODY_BYTES_MAX} bytes")))?;
        // The error is not passed on: it may repeat what it stumbled over.
        let object: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|_| invalid(format!("an answer from {host} that is not one JSON object")))?;
        match exchange::said(&object).map_err(|why| invalid(format!("{why} (from {host})")))? {
            Said::Answer(answer) => Ok(answer),
            Said::Error { message, retryable } => {
                Err(paid(exchange::declined(&message, retryable, &self.secrets(), interaction)))
            }
        }
    }

    fn secrets(&self) -> Vec<&str> {
        self.secrets.iter().map(ExposeSecret::expose_secret).collect()
    }

    fn broken(&self, error: &reqwest::Error) -> CallFailure {
        let host = &self.host;
        let failure = CallFailure::new;
        if let Some(refused) = addresses::refused(error) {
            let message = format!("{refused}: set allow_private = true for this judge if it is meant");
            return CallFailure { cost: Some(NanoUsd::ZERO), ..failure(CallFailureKind::Rejected, message) };
        }
        if error.is_connect() {
            let kind = if error.is_timeout() { CallFailureKind::Timeout } else { CallFailureKind::Network };
            let message = format!("no connection to {host}: {}", causes(error));
            return CallFailure { cost: Some(NanoUsd::ZERO), ..failure(kind, message) };
        }
        if error.is_timeout() {
            let message = format!("no answer from {host} within {} s (timeout_seconds)", self.timeout.as_secs());
            return failure(CallFailureKind::Timeout, message);
        }
        failure(CallFailureKind::Network, format!("broken connection to {host}: {}", causes(error)))
    }

    /// An answer that is no success.
    fn refused(&self, status: StatusCode, wait: Wait, body: &Value, interaction: &Interaction) -> CallFailure {
        let error = body.get("error").unwrap_or(body);
        let said = [error.get("message"), Some(error), body.get("message"), body.get("detail")];
        let said = said.into_iter().flatten().find_map(Value::as_str).unwrap_or("it gave no reason");
        let said = exchange::told(said, &self.secrets(), interaction);
        let at = format!("HTTP {} from {}", status.as_u16(), self.host);
        let (kind, message) = match status.as_u16() {
            401 | 403 => {
                let advice = match &self.authorization_env {
                    Some(variable) => format!("check what {variable} holds"),
                    None => "name the variable that holds its token in authorization_env".to_owned(),
                };
                (CallFailureKind::Unauthorized, format!("{at}: {said}; {advice}"))
            }
            429 => (CallFailureKind::RateLimited, format!("{at}: {said}")),
            status if client::is_timeout(status) => (CallFailureKind::Timeout, format!("{at}: {said}")),
            500..=599 => (CallFailureKind::Unavailable, format!("{at}: {said}")),
            300..=399 => (
                CallFailureKind::Rejected,
                format!("{at}: redirects are not followed; set url to the address that it redirects to"),
            ),
            _ => (CallFailureKind::Rejected, format!("{at}: {said}")),
        };
        CallFailure { retry_after: wait.retry_after, headroom_gone: wait.headroom_gone, ..CallFailure::new(kind, message) }
    }
}

/// All headers of a request, and the secrets among their values.
fn headers(spec: &HttpSpec, variable: &dyn Fn(&str) -> Option<OsString>) -> Result<(HeaderMap, Vec<SecretString>), SpecError> {
    let mut headers = HeaderMap::new();
    let mut secrets = Vec::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in &spec.headers {
        let wrong = || SpecError::new(format!("headers.{name}"), "cannot be sent");
        headers.insert(name.parse::<HeaderName>().map_err(|_| wrong())?, HeaderValue::from_str(value).map_err(|_| wrong())?);
    }
    let named = spec.headers_env.iter().map(|(name, variable)| (format!("headers_env.{name}"), name.as_str(), variable));
    let authorization =
        spec.authorization_env.iter().map(|named| ("authorization_env".to_owned(), AUTHORIZATION.as_str(), named));
    for (key, name, named) in named.chain(authorization) {
        let value = variable(named).and_then(|value| value.into_string().ok()).map(|value| value.trim().to_owned());
        let value = value.filter(|value| !value.is_empty()).ok_or_else(|| {
            SpecError::new(key.clone(), format!("the variable {named} is not set: export it where Assize is started"))
        })?;
        let sent = if key == "authorization_env" && !value.contains(' ') { format!("Bearer {value}") } else { value.clone() };
        let mut sent = HeaderValue::try_from(sent)
            .map_err(|_| SpecError::new(key.clone(), format!("{named} holds characters that cannot be sent: set it again")))?;
        sent.set_sensitive(true);
        headers.insert(name.parse::<HeaderName>().map_err(|_| SpecError::new(key, "not the name of a header"))?, sent);
        // The scheme in front of credentials is no secret.
        secrets.push(SecretString::from(value.rsplit(' ').next().unwrap_or(&value)));
    }
    Ok((headers, secrets))
}

/// The hash of what decides an answer, as far as it can be seen: the operator's own word for it, or else the URL, and the question.
fn version(spec: &HttpSpec, endpoint: &Url, question: &Question) -> JudgeVersion {
    JudgeVersion::of(&[
        b"http",
        exchange::FORM,
        &[u8::from(spec.version.is_some())],
        spec.version.as_deref().unwrap_or(endpoint.as_str()).as_bytes(),
        question.text.as_bytes(),
        question.rubric.as_bytes(),
        &[u8::from(question.without_context)],
    ])
}

#[async_trait]
impl CalledJudge for HttpJudge {
    fn versions(&self) -> &[JudgeVersion] {
        &self.versions
    }

    fn provider(&self) -> &ProviderName {
        &self.provider
    }

    fn model(&self) -> &str {
        &self.host
    }

    fn bound(&self, _interaction: &Interaction, questions: &[usize], _tightness: Tightness) -> Option<NanoUsd> {
        exchange::bound(self.price, questions.iter().filter(|&&at| at < self.asked.len()).count())
    }

    async fn attempt(&self, interaction: &Interaction, questions: &[usize]) -> Vec<Result<Verdict, CallFailure>> {
        let mut verdicts = Vec::with_capacity(questions.len());
        for (question, version) in questions.iter().filter_map(|&at| Some((self.asked.get(at)?, self.versions.get(at)?))) {
            verdicts.push(self.ask(interaction, question, version).await);
        }
        verdicts
    }
}
