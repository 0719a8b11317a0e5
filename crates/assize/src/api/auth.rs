//! Whose request it is: `Authorization: Bearer KEY`, Basic with the key as password (Langfuse's `public:secret`), or a session of
//! the dashboard.

use std::sync::Arc;
use std::time::Duration;

use assize_core::control::Scope;
use assize_core::{ProjectName, Timestamp};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Server;
use super::error::ApiError;
use crate::access::{Access, Principal};

/// Name of the session cookie.
pub const COOKIE: &str = "assize_session";
/// How long a session of the dashboard lasts.
pub const SESSION_LASTS: Duration = Duration::from_secs(7 * 86_400);

/// Who may send interactions.
pub struct Sender(pub Principal);
/// Who may read results.
pub struct Reader(pub Principal);
/// Who may label: read text and send what people say of it.
pub struct Labeller(pub Principal);
/// Who may do everything.
pub struct Admin(pub Principal);

impl Reader {
    /// The project that is named, else the key's own.
    pub fn project(&self, named: Option<&str>) -> Result<ProjectName, ApiError> {
        match named {
            Some(name) if !name.is_empty() => Ok(self.0.project_named(name)?),
            _ => Ok(self.0.project.clone()),
        }
    }
}

impl Labeller {
    /// As [`Reader::project`].
    pub fn project(&self, named: Option<&str>) -> Result<ProjectName, ApiError> {
        Reader(self.0.clone()).project(named)
    }
}

impl FromRequestParts<Arc<Server>> for Labeller {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, ApiError> {
        let Reader(_) = Reader::from_request_parts(parts, server).await?;
        let who = authorize(&server.access, &parts.headers, Scope::Ingest, server.clock().now())
            .and_then(|who| own_page(&Method::POST, &parts.headers).map(|()| who));
        who.map(Self).inspect_err(|error| server.pipeline.counters.refuse(error.code))
    }
}

/// The holder of the request's key, if it allows `scope`.
pub fn authorize(access: &Access, headers: &HeaderMap, scope: Scope, now: Timestamp) -> Result<Principal, ApiError> {
    let unauthorized = |message: &str| Err(ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message));
    let who = match headers.get(header::AUTHORIZATION) {
        Some(value) => {
            let Some(key) = value.to_str().ok().and_then(key_of) else {
                return unauthorized(
                    "the Authorization header is not readable: send `Bearer KEY`, or Basic with the key as password",
                );
            };
            access.authenticate(&key)
        }
        None => match session_of(headers) {
            Some(session) => holder_of_session(access, session, now),
            None => return unauthorized("no key: send `Authorization: Bearer KEY`, or Basic with the key as password"),
        },
    };
    match who {
        None => unauthorized("the key is not known or was revoked"),
        Some(who) if !who.may(scope) => {
            let message = format!("the key {} does not allow this: it needs the scope {scope:?}", who.key_id).to_lowercase();
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
        }
        Some(who) => Ok(who),
    }
}

fn key_of(authorization: &str) -> Option<String> {
    let (scheme, rest) = authorization.trim().split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    // Exporters that know one value only put it before the colon.
    Some(if password.is_empty() { user } else { password }.to_owned())
}

/// The session cookie's value.
pub fn session_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// A session of the key's holder that lasts this long.
pub fn new_session(access: &Access, key_id: &str, now: Timestamp, lasts: Duration) -> String {
    let until = now.plus(lasts).0 / 1_000;
    let body = format!("{key_id}.{until}");
    let tag = access.secret().session_tag(body.as_bytes()).to_hex();
    format!("{body}.{tag}")
}

/// Who holds the session, while it lasts and its key is in force.
pub fn holder_of_session(access: &Access, session: &str, now: Timestamp) -> Option<Principal> {
    let (body, tag) = session.rsplit_once('.')?;
    let (key_id, until) = body.rsplit_once('.')?;
    // Comparing hashes takes the same time wherever they differ.
    let genuine = blake3::Hash::from_hex(tag).ok()? == access.secret().session_tag(body.as_bytes());
    let lasts = until.parse::<i64>().ok()? > now.0 / 1_000;
    if genuine && lasts { access.holder_of(key_id) } else { None }
}

/// A browser's session changes things from our own pages only: another page of the same host may not borrow it.
fn own_page(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if method.is_safe() || headers.contains_key(header::AUTHORIZATION) {
        return Ok(());
    }
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    match (origin, text(header::HOST)) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => Ok(()),
        _ => {
            let message = "a session of the dashboard changes nothing from elsewhere: send the key in the Authorization header";
            Err(ApiError::new(StatusCode::FORBIDDEN, "forbidden", message))
        }
    }
}

macro_rules! extract {
    ($type:ident, $scope:expr) => {
        impl FromRequestParts<Arc<Server>> for $type {
            type Rejection = ApiError;
            async fn from_request_parts(parts: &mut Parts, server: &Arc<Server>) -> Result<Self, ApiError> {
                let who = authorize(&server.access, &parts.headers, $scope, server.clock().now())
                    .and_then(|who| own_page(&parts.method, &parts.headers).map(|()| who));
                who.map(Self).inspect_err(|error| server.pipeline.counters.refuse(error.code))
            }
        }
    };
}
extract!(Sender, Scope::Ingest);
extract!(Reader, Scope::Read);
extract!(Admin, Scope::Admin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_not_borrowed_by_other_pages() {
        let from = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, axum::http::HeaderValue::from_static("127.0.0.1:4318"));
            origin.map(|origin| headers.insert(header::ORIGIN, axum::http::HeaderValue::from_static(origin)));
            headers
        };
        assert!(own_page(&Method::POST, &from(Some("http://127.0.0.1:4318"))).is_ok());
        assert!(own_page(&Method::GET, &from(None)).is_ok());
        for elsewhere in [None, Some("http://127.0.0.1:8080"), Some("null")] {
            assert!(own_page(&Method::POST, &from(elsewhere)).is_err(), "{elsewhere:?}");
        }
        let mut with_key = from(Some("http://elsewhere"));
        with_key.insert(header::AUTHORIZATION, axum::http::HeaderValue::from_static("Bearer k"));
        assert!(own_page(&Method::POST, &with_key).is_ok());
    }

    #[test]
    fn keys_are_found_in_every_form() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        assert_eq!(key_of("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(key_of("bearer  abc ").as_deref(), Some("abc"));
        assert_eq!(key_of(&basic("pk-lf-1:sk-lf-2")).as_deref(), Some("sk-lf-2"));
        assert_eq!(key_of(&basic("only:")).as_deref(), Some("only"));
        for bad in ["", "abc", "Basic !!!", "Digest x", &basic("no colon")] {
            assert_eq!(key_of(bad), None, "{bad}");
        }
    }
}
