//! Results as a webhook: JSON, signed as <https://www.standardwebhooks.com> says, so that its libraries verify it.
//!
//! The signed text is `<webhook-id>.<webhook-timestamp>.<body>`, the signature HMAC-SHA256 in base64 behind `v1,`; the key is what
//! stands behind `whsec_`, in base64. Several signatures, separated by spaces, are those of several keys.

use assize_core::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Serialize;
use serde_json::value::RawValue;

use super::told::{Told, hex};

pub(super) const CONTENT_TYPE: &str = "application/json";
const PREFIX: &str = "whsec_";
/// Bytes of a key, as the specification wants them.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The present key and those before it.
const KEYS_MAX: usize = 4;

/// The keys that a webhook is signed with.
pub(super) struct Keys(Vec<hmac::Key>);

impl Keys {
    /// Reads one secret, or several separated by spaces. Errors repeat nothing of them.
    pub fn read(secrets: &str) -> Result<Self, String> {
        let keys = secrets.split_whitespace().map(|secret| {
            let encoded = secret.strip_prefix(PREFIX).unwrap_or(secret);
            let key = STANDARD.decode(encoded).ok().filter(|key| KEY_BYTES.contains(&key.len()));
            key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, &key))
        });
        let keys: Option<Vec<hmac::Key>> = keys.collect();
        keys.filter(|keys| (1..=KEYS_MAX).contains(&keys.len())).map(Self).ok_or_else(|| {
            "is no secret of a webhook: use whsec_ and 24 to 64 random bytes in base64, as from echo whsec_$(openssl rand -base64 32)"
                .to_owned()
        })
    }

    /// The value of `webhook-signature`.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let sign = |key: &hmac::Key| {
            let mut context = hmac::Context::with_key(key);
            context.update(format!("{id}.{seconds}.").as_bytes());
            context.update(body);
            format!("v1,{}", STANDARD.encode(context.sign()))
        };
        self.0.iter().map(sign).collect::<Vec<_>>().join(" ")
    }
}

/// One result.
#[derive(Serialize)]
struct Shown<'a> {
    idempotency_key: &'a str,
    project: &'a str,
    interaction_id: &'a str,
    time: String,
    trace_id: Option<String>,
    span_id: Option<String>,
    response_id: Option<&'a str>,
    metric: &'a str,
    outcome: &'a str,
    score: Option<f64>,
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'a str>,
    error_type: Option<&'a str>,
    judge: Option<&'a str>,
    judge_version: &'a str,
    fallback: bool,
    simulated: bool,
    reused: Option<&'a str>,
    probability: f64,
    decided_at: String,
}

/// The JSON of a result.
pub(super) fn result(told: &Told<'_>) -> Option<Box<RawValue>> {
    let decided = told.decided;
    let verdict = decided.verdict.as_ref();
    let shown = Shown {
        idempotency_key: &told.key,
        project: decided.project.as_str(),
        interaction_id: decided.id.as_str(),
        time: decided.time.to_rfc3339(),
        trace_id: told.span.map(|(trace, _)| hex(&trace)),
        span_id: told.span.map(|(_, span)| hex(&span)),
        response_id: told.response_id,
        metric: decided.metric.as_str(),
        outcome: decided.outcome.as_str(),
        score: told.score,
        label: told.label,
        explanation: told.explanation,
        error_type: told.error,
        judge: verdict.map(|verdict| verdict.judge.as_str()),
        judge_version: decided.version().as_str(),
        fallback: decided.is_fallback,
        simulated: verdict.is_some_and(|verdict| verdict.simulated),
        reused: verdict.and_then(|verdict| verdict.reused).map(|reused| reused.kind.as_str()),
        probability: decided.probability,
        decided_at: decided.at.to_rfc3339(),
    };
    serde_json::value::to_raw_value(&shown).ok()
}

#[derive(Serialize)]
struct Message<'a> {
    r#type: &'static str,
    id: &'a str,
    sent_at: String,
    results: &'a [Box<RawValue>],
}

/// The body of a delivery.
pub(super) fn body(id: &str, results: &[Box<RawValue>], now: Timestamp) -> Vec<u8> {
    let message = Message { r#type: "evaluation.results", id, sent_at: now.to_rfc3339(), results };
    // Plain data and finished JSON: this cannot fail.
    serde_json::to_vec(&message).unwrap_or_default()
}

/// The id of a message: the same when the same results are sent again.
pub(super) fn id<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut hasher = blake3::Hasher::new();
    keys.for_each(|key| {
        hasher.update(key.as_bytes());
    });
    format!("msg_{}", &hasher.finalize().to_hex()[..32])
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::told::tests::{failed, judged};
    use super::*;

    /// RFC 2104 by its definition, over SHA-256.
    fn hmac_sha256(key: &[u8], text: &[u8]) -> Vec<u8> {
        let padded = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(key).for_each(|(block, key)| *block ^= key);
            block.to_vec()
        };
        let sha256 = |parts: [&[u8]; 2]| ring::digest::digest(&ring::digest::SHA256, &parts.concat()).as_ref().to_vec();
        let inner = sha256([&padded(0x36), text]);
        sha256([&padded(0x5c), &inner])
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example that the reference libraries test themselves with.
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let (id, seconds, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b"{\"test\": 2432232314}");
        let signature = Keys::read(secret).unwrap().sign(id, seconds, body);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let text = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        assert_eq!(signature, format!("v1,{}", STANDARD.encode(hmac_sha256(&key, &text))));
        let other = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = Keys::read(&format!("{other} {secret}")).unwrap().sign(id, seconds, body);
        assert_eq!(both.split(' ').count(), 2);
        assert!(both.ends_with(&format!(" {signature}")));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        for secret in ["", "  ", "password", "whsec_", "whsec_!!", &short, &long] {
            let error = Keys::read(secret).err().unwrap();
            assert!(secret.trim().len() < 7 || !error.contains(secret), "{error}");
        }
        assert!(Keys::read(&STANDARD.encode([7; 24])).is_ok(), "the prefix may be left out");
    }

    #[test]
    fn a_result_says_what_is_known() {
        let shown = |told: &Told<'_>| serde_json::from_str::<Value>(result(told).unwrap().get()).unwrap();
        let id = format!("{}-{}", "1f".repeat(16), "e0".repeat(8));
        let decided = judged(&id);
        let expected = json!({
            "idempotency_key": decided.idempotency_key(), "project": "shop", "interaction_id": id,
            "time": "1970-01-01T00:00:01.000Z", "trace_id": "1f".repeat(16), "span_id": "e0".repeat(8), "response_id": "chatcmpl-1",
            "metric": "refusal", "outcome": "judged", "score": 0.75, "label": "refused", "explanation": "it says \"my secret\"",
            "error_type": null, "judge": "gpt", "judge_version": "v1", "fallback": false, "simulated": false, "reused": null,
            "probability": 0.25, "decided_at": "1970-01-01T00:00:02.000Z",
        });
        assert_eq!(shown(&Told::of(&decided, true)), expected);
        assert!(shown(&Told::of(&decided, false)).get("explanation").is_none());
        let failed = shown(&Told::of(&failed("order-1"), false));
        assert_eq!(
            (&failed["error_type"], &failed["score"], &failed["trace_id"]),
            (&json!("timeout"), &Value::Null, &Value::Null)
        );
    }

    #[test]
    fn the_same_results_make_the_same_id() {
        assert_eq!(id(["a", "b"].into_iter()), id(["a", "b"].into_iter()));
        assert_ne!(id(["a", "b"].into_iter()), id(["b", "a"].into_iter()));
    }
}
